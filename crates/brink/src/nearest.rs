//! The nearest valid name to one that was mistyped. Pure.

/// The name in `valid` most like `given`, if any is like it at all.
pub fn nearest<'a>(given: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    valid
        .into_iter()
        // The first knows shared beginnings, the second swapped letters.
        .map(|name| {
            (
                (strsim::jaro_winkler(given, name) + strsim::normalized_damerau_levenshtein(given, name))
                    / 2.0,
                name,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.55)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// `unknown model `tokyo`: did you mean `tokio`? models are threads, tokio, mio`
pub fn unknown(kind: &str, given: &str, valid: &[&str]) -> String {
    let hint = nearest(given, valid.iter().copied())
        .map_or(String::new(), |name| format!(" did you mean `{name}`?"));
    format!("unknown {kind} `{given}`:{hint} allowed: {}", valid.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_likeliest_or_none() {
        let valid = ["threads", "tokio", "mio"];
        assert_eq!(nearest("tokyo", valid), Some("tokio"));
        assert_eq!(nearest("thread", valid), Some("threads"));
        assert_eq!(nearest("moi", valid), Some("mio"));
        assert_eq!(nearest("xyz", valid), None);
        assert_eq!(
            unknown("model", "tokyo", &valid),
            "unknown model `tokyo`: did you mean `tokio`? allowed: threads, tokio, mio"
        );
    }
}

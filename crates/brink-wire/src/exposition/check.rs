//! A strict reader of the exposition format: what a server that scrapes would refuse, and what promtool would find
//! fault with. For tests.

use std::collections::{BTreeMap, BTreeSet};

/// A unit that is no base unit, as the last word of a name.
const OTHER_UNITS: [&str; 9] = ["ms", "us", "ns", "milliseconds", "kb", "mb", "kib", "mib", "percent"];

/// One sample, as read.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// A family on its way.
#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    samples: Vec<Sample>,
}

/// Checks that a text is what the format says, and that names and values keep to its conventions.
///
/// # Errors
/// The first line that is wrong, and why.
pub fn check(text: &str) -> Result<(), String> {
    if !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let (mut family, mut names) = (Family::default(), BTreeSet::new());
    for line in text.lines() {
        let wrong = |why: &str| format!("`{line}`: {why}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            family.check_whole()?;
            if !names.insert(name.to_owned()) {
                return Err(wrong("a family comes twice"));
            }
            unescape(help, false).map_err(|why| wrong(&why))?;
            check_name(name).map_err(|why| wrong(&why))?;
            family = Family { name: name.to_owned(), ..Family::default() };
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            if name != family.name || !family.kind.is_empty() {
                return Err(wrong("the type does not follow the help of its family"));
            }
            let is_known = ["counter", "gauge", "histogram"].contains(&kind);
            if !is_known || (kind == "counter") != name.ends_with("_total") {
                return Err(wrong("the type does not go with the name"));
            }
            kind.clone_into(&mut family.kind);
        } else {
            let sample = read_sample(line).map_err(|why| wrong(&why))?;
            family.take(sample).map_err(|why| wrong(&why))?;
        }
    }
    family.check_whole()
}

impl Family {
    fn take(&mut self, sample: Sample) -> Result<(), String> {
        let suffix = sample.name.strip_prefix(&self.name).ok_or("not of the family before it")?;
        match (self.kind.as_str(), suffix) {
            ("counter" | "gauge", "") | ("histogram", "_bucket" | "_sum" | "_count") => {}
            _ => return Err("not a name of its family".to_owned()),
        }
        if self.kind == "counter" && sample.value < 0.0 {
            return Err("a counter below zero".to_owned());
        }
        let is_same = |other: &Sample| (&other.name, &other.labels) == (&sample.name, &sample.labels);
        if self.samples.iter().any(is_same) {
            return Err("a sample comes twice".to_owned());
        }
        self.samples.push(sample);
        Ok(())
    }

    fn check_whole(&self) -> Result<(), String> {
        if !self.name.is_empty() && self.samples.is_empty() {
            return Err(format!("`{}` has no sample", self.name));
        }
        if self.kind == "histogram" { self.check_histogram() } else { Ok(()) }
    }

    fn check_histogram(&self) -> Result<(), String> {
        let mut of: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        for bucket in self.samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
            let mut labels = bucket.labels.clone();
            let bound = labels.remove("le").ok_or_else(|| format!("`{}`: a bucket without le", self.name))?;
            let bound = read_number(&bound)?;
            of.entry(labels).or_default().push((bound, bucket.value));
        }
        for (labels, buckets) in &of {
            let rises = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let value = |suffix: &str| {
                let name = format!("{}{suffix}", self.name);
                let is = |sample: &&Sample| sample.name == name && sample.labels == *labels;
                self.samples.iter().find(is).map(|sample| sample.value)
            };
            let last = buckets.last().copied();
            let is_whole =
                last.is_some_and(|(bound, count)| bound.is_infinite() && value("_count") == Some(count));
            if !rises || !is_whole || value("_sum").is_none() {
                return Err(format!("`{}`: its buckets do not add up", self.name));
            }
        }
        if of.is_empty() { Err(format!("`{}` has no buckets", self.name)) } else { Ok(()) }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_first = |c: char| c.is_ascii_lowercase();
    let is_rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_name = name.starts_with(is_first) && name.chars().all(is_rest) && !name.contains("__");
    let stem = name.strip_suffix("_total").unwrap_or(name);
    let unit = stem.rsplit('_').next().unwrap_or_default();
    match () {
        () if !is_name => Err("not a name".to_owned()),
        () if OTHER_UNITS.contains(&unit) => Err(format!("`{unit}` is no base unit")),
        () => Ok(()),
    }
}

fn read_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("a label without a value")?;
            check_name(label)?;
            let end = end_of_value(after).ok_or("a label's value does not end")?;
            if labels.insert(label.to_owned(), unescape(&after[..end], true)?).is_some() {
                return Err("a label comes twice".to_owned());
            }
            rest = &after[end + 1..];
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = rest.strip_prefix(',').ok_or("no comma between labels")?;
        }
    }
    let value = read_number(rest.strip_prefix(' ').ok_or("no blank before the value")?)?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// Where the quote is that ends a label's value.
fn end_of_value(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end.then_some(at)
    })
}

fn unescape(text: &str, is_label: bool) -> Result<String, String> {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        match (c, is_label) {
            ('\\', _) => match chars.next() {
                Some('\\') => out.push('\\'),
                Some('n') => out.push('\n'),
                Some('"') if is_label => out.push('"'),
                _ => return Err("a backslash that escapes nothing".to_owned()),
            },
            ('"', true) => return Err("a quote within a label's value".to_owned()),
            _ => out.push(c),
        }
    }
    Ok(out)
}

fn read_number(text: &str) -> Result<f64, String> {
    if text == "+Inf" {
        return Ok(f64::INFINITY);
    }
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte));
    text.parse().ok().filter(|_| is_plain).ok_or_else(|| format!("`{text}` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn finds_what_is_wrong() {
        let good =
            "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"y,}\\\"\"} 1\na_total{x=\"z\"} 2e3\n";
        check(good).unwrap();
        let histogram = "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n";
        check(histogram).unwrap();
        for (from, to) in [
            ("counter", "gauge"),
            ("counter", "summary"),
            ("# HELP a_total A.\n", ""),
            ("# TYPE a_total counter\n", ""),
            ("x=\"z\"", "x=\"y,}\\\"\""),
            ("\\\"\"", "\"\""),
            ("\\\"\"", "\\q\""),
            ("2e3", "-1"),
            ("2e3", "NaN"),
            ("2e3\n", "2e3"),
            ("} 1", "}1"),
            ("a_total", "A_total"),
            ("a_total", "a_ms_total"),
            ("a_total{x=\"z\"}", "b_total"),
        ] {
            assert!(check(&good.replace(from, to)).is_err(), "{from} -> {to}");
        }
        for (from, to) in [
            ("} 2", "} 4"),
            ("\"+Inf\"} 3", "\"+Inf\"} 5"),
            ("h_sum 4\n", ""),
            ("h_count 3\n", ""),
            ("\"1\"", "\"x\""),
        ] {
            assert!(check(&histogram.replace(from, to)).is_err(), "{from} -> {to}");
        }
        assert!(check(&format!("{good}{good}")).is_err(), "twice");
    }
}

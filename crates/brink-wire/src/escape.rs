//! Bytes as people write them: text with `\r`, `\n`, `\t`, `\0`, `\\`, `\"` and `\xNN` for what cannot be typed. Pure.

/// Reads bytes.
///
/// # Errors
/// A line that says what is allowed.
pub fn parse_escaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escaped = rest.next();
        bytes.push(match escaped {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('x') => {
                let digits = (rest.next(), rest.next());
                let byte = match digits {
                    (Some(high), Some(low)) => high.to_digit(16).zip(low.to_digit(16)),
                    _ => None,
                };
                let (high, low) = byte.ok_or_else(|| {
                    format!("`{text}`: \\x needs two hexadecimal digits, as in \\x0a")
                })?;
                (high * 16 + low) as u8
            }
            other => {
                let other = other.map_or_else(|| "nothing".to_owned(), |c| format!("`{c}`"));
                return Err(format!(
                    "`{text}`: {other} after a backslash: \\r, \\n, \\t, \\0, \\\\, \\\" and \\xNN are allowed"
                ));
            }
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_cannot_be_typed() {
        assert_eq!(parse_escaped(r"PING\r\n").unwrap(), b"PING\r\n");
        assert_eq!(parse_escaped(r#"a\t\0\\\"\x00\xfFz"#).unwrap(), b"a\t\0\\\"\x00\xffz");
        assert_eq!(parse_escaped("ä").unwrap(), "ä".as_bytes());
        for bad in [r"\q", r"\x1", r"\xg0", r"\"] {
            let error = parse_escaped(bad).unwrap_err();
            assert!(error.starts_with(&format!("`{bad}`")) && error.lines().count() == 1, "{error}");
        }
    }
}

//! Values as people write them: `10k` connections, `100ms`, `64KiB`, CPUs `0,2-3`.
//!
//! Parsing says what was wrong and what is allowed, in one line without the name
//! of the flag or field, which the caller knows. Pure.

use std::time::Duration;

/// Reads a count: digits, underscores, an optional decimal part and `k`, `m` or `g` (thousands).
///
/// # Errors
/// A line that says what is allowed.
pub fn parse_count(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is not a count: write a whole number, with k, m or g for thousands (10k, 1.5m)");
    let (number, scale) = match text.trim().to_ascii_lowercase().chars().last() {
        Some('k') => (cut_last(text), 1e3),
        Some('m') => (cut_last(text), 1e6),
        Some('g') => (cut_last(text), 1e9),
        _ => (text.trim(), 1.0),
    };
    let value = decimal(number).ok_or_else(wrong)? * scale;
    whole(value).ok_or_else(wrong)
}

/// Reads a size in bytes: `64`, `64B`, `1k`/`1KiB` (1,024), `1m`/`1MiB`, `1g`/`1GiB`, `1kB` (1,000).
///
/// # Errors
/// A line that says what is allowed.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: write bytes as 64, 64B, 16KiB or 1MiB");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let scale = match text[split..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        _ => return Err(wrong()),
    };
    whole(decimal(text[..split].trim()).ok_or_else(wrong)? * scale).ok_or_else(wrong)
}

/// Reads a duration: a number with a unit, `ns`, `us`, `ms`, `s`, `m` or `h`. Zero needs no unit.
///
/// # Errors
/// A line that says what is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let split = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let unit_ns = match text[split..].trim() {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        "" => {
            return Err(format!("`{text}` has no unit: write us, ms, s or m, as in 100ms"));
        }
        unit => {
            return Err(format!("`{text}` has the unit `{unit}`: write us, ms, s or m, as in 100ms"));
        }
    };
    let number = decimal(text[..split].trim())
        .ok_or_else(|| format!("`{text}` is not a duration: write a number and a unit, as in 100ms"))?;
    whole((number * unit_ns).round())
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("`{text}` is too long: at most 584 years"))
}

/// Reads a list of CPUs as in cpuset(7): `0`, `0,2`, `0-3,6`. Sorted, without repeats.
///
/// # Errors
/// A line that says what is allowed.
pub fn parse_cpus(text: &str) -> Result<Vec<usize>, String> {
    let wrong = || format!("`{text}` is not a list of CPUs: write 0 or 0,2 or 0-3");
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        if first > last || last >= 4096 {
            return Err(wrong());
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

/// A count with thousands marked: `12,500`.
#[must_use]
pub fn format_count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size in binary units with three significant digits: `9.77 KiB`.
#[must_use]
pub fn format_bytes(bytes: f64) -> String {
    let (mut value, mut unit) = (bytes, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value.abs() < 1023.5 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    format!("{} {unit}", three_digits(value))
}

/// A duration with three significant digits and a fitting unit: `1.02 ms`.
#[must_use]
pub fn format_ns(ns: f64) -> String {
    let (value, unit) = match ns.abs() {
        v if v < 999.5 => (ns, "ns"),
        v if v < 999.5e3 => (ns / 1e3, "us"),
        v if v < 999.5e6 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// A duration as [`parse_duration`] reads it, without loss: `1s`, `1500us`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let ns = duration.as_nanos();
    for (unit_ns, unit) in [(60_000_000_000, "m"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")] {
        if ns >= unit_ns && ns.is_multiple_of(unit_ns) {
            return format!("{}{unit}", ns / unit_ns);
        }
    }
    if ns == 0 { "0s".to_owned() } else { format!("{ns}ns") }
}

/// A list of CPUs as [`parse_cpus`] reads it.
#[must_use]
pub fn format_cpus(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

fn cut_last(text: &str) -> &str {
    let text = text.trim();
    &text[..text.len() - 1]
}

/// A plain decimal number: digits, `_` and one point. No sign, no exponent, no `inf`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'_' || b == b'.');
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_digit());
    (plain && starts).then(|| text.replace('_', "").parse().ok()).flatten()
}

fn whole(value: f64) -> Option<u64> {
    let rounded = value.round();
    ((value - rounded).abs() < 1e-6 && rounded < 1.8e19).then_some(rounded as u64)
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v == v.round() && v < 10.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let ok = |text| parse_count(text).unwrap();
        assert_eq!(
            [ok("10k"), ok("1m"), ok("1.5M"), ok("10_000"), ok("0")],
            [10_000, 1_000_000, 1_500_000, 10_000, 0]
        );
        for bad in ["", "k", "1.5", "-1", "1e3", "ten", "10kk", "0.0001k", "inf"] {
            assert!(parse_count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        let ok = |text| parse_duration(text).unwrap().as_nanos();
        assert_eq!(
            [ok("100ms"), ok("1.5s"), ok("2m"), ok("10us"), ok("0"), ok("0s")],
            [100_000_000, 1_500_000_000, 120_000_000_000, 10_000, 0, 0]
        );
        assert!(parse_duration("100").unwrap_err().contains("no unit"));
        assert!(parse_duration("10 parsecs").unwrap_err().contains("`parsecs`"));
        for bad in ["ms", "", "-1s", "1e9s", "99999999999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_survive_writing_and_reading() {
        for ns in [0, 1, 999, 1_000, 1_500_000, 1_000_000_000, 60_000_000_000, 61_000_000_000] {
            let duration = Duration::from_nanos(ns);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn sizes() {
        let ok = |text| parse_bytes(text).unwrap();
        assert_eq!(
            [ok("64"), ok("64B"), ok("1k"), ok("1KiB"), ok("1MiB"), ok("1kB")],
            [64, 64, 1024, 1024, 1 << 20, 1000]
        );
        for bad in ["", "B", "64 apples", "-1", "0.3"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cpus() {
        assert_eq!(parse_cpus("3,0-1,1"), Ok(vec![0, 1, 3]));
        for bad in ["", "a", "2-1", "0,", "9999"] {
            assert!(parse_cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn formats() {
        assert_eq!(format_count(1_234_567), "1,234,567");
        assert_eq!(format_count(12), "12");
        assert_eq!(format_bytes(10_004.0), "9.77 KiB");
        assert_eq!(format_bytes(8.0 * 1024.0 * 1024.0), "8 MiB");
        assert_eq!(format_ns(1_020_000.0), "1.02 ms");
        assert_eq!(format_ns(12.0), "12.0 ns");
    }
}

//! A rule of a gate as it is written: `p99 < 5ms`, `opened == requested`, `per_s > 0.95 * baseline`.
//!
//! Reads one, and says what is wrong with it. Must not look at a result: `gate` does.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use brink_wire::value;

use crate::measures::{Measure, Unit};

/// The word that stands for the same measure of the baseline.
const BASELINE: &str = "baseline";

/// A measure, and what it is held against.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What is measured.
    pub measure: &'static Measure,
    /// How it is held against the bound.
    pub operator: Operator,
    /// What it is held against.
    pub bound: Bound,
    /// As it was written, with blanks about the operator.
    text: String,
}

/// How a measure is held against its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// What a measure is held against.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// A figure, in the unit of the measure.
    Figure(f64),
    /// So many times another measure of the same result.
    Measure {
        /// So many times.
        factor: f64,
        /// The other.
        measure: &'static Measure,
    },
    /// So many times the same measure of the baseline.
    Baseline {
        /// So many times.
        factor: f64,
    },
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleError {
    /// A word that is no measure.
    #[error("`{0}` is not a measure")]
    UnknownMeasure(String),
    /// Anything else, in one line.
    #[error("{0}")]
    Wrong(String),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Operator {
    /// The longer before the shorter, so that `<=` is not read as `<`.
    const ALL: [(&'static str, Self); 6] = [
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    /// Whether `value` keeps to `bound`.
    #[must_use]
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
            Self::Greater => value > bound,
            Self::GreaterOrEqual => value >= bound,
            Self::Equal => value == bound,
            Self::NotEqual => value != bound,
        }
    }

    /// By how much `value` is beyond `bound`; the larger the worse.
    #[must_use]
    pub fn excess(self, value: f64, bound: f64) -> f64 {
        match self {
            Self::Less | Self::LessOrEqual => value - bound,
            Self::Greater | Self::GreaterOrEqual => bound - value,
            Self::Equal => (value - bound).abs(),
            Self::NotEqual => -(value - bound).abs(),
        }
    }

    /// Whether the same figure on both sides is at the edge of what is allowed, or within it.
    #[must_use]
    pub fn allows_the_same(self, factor: f64) -> bool {
        match self {
            Self::Less | Self::LessOrEqual => factor >= 1.0,
            Self::Greater | Self::GreaterOrEqual => factor <= 1.0,
            Self::Equal | Self::NotEqual => false,
        }
    }
}

impl Rule {
    /// Whether it needs a baseline.
    #[must_use]
    pub fn needs_baseline(&self) -> bool {
        matches!(self.bound, Bound::Baseline { .. })
    }

    /// Whether it is about counts of one run, which are facts: a median over repeats would hide one that breaks it.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.measure.unit == Unit::Count && !self.needs_baseline()
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (left, sign, operator, right) = split(text)?;
        let measure = find(left)?;
        let bound = bound(measure, right)?;
        Ok(Self { measure, operator, bound, text: format!("{left} {sign} {right}") })
    }
}

fn wrong<T>(problem: impl Into<String>) -> Result<T, RuleError> {
    Err(RuleError::Wrong(problem.into()))
}

/// `p99<5ms` into `p99`, `<` and `5ms`.
fn split(text: &str) -> Result<(&str, &'static str, Operator, &str), RuleError> {
    let text = text.trim();
    let Some(at) = text.find(['<', '>', '=', '!']) else {
        return wrong(format!(
            "`{text}` compares nothing: write MEASURE < VALUE, as in p99 < 5ms, with < <= > >= == or !="
        ));
    };
    let Some(&(sign, operator)) = Operator::ALL.iter().find(|(sign, _)| text[at..].starts_with(sign)) else {
        let sign = &text[at..=at];
        return wrong(format!("`{sign}` is no comparison: allowed are < <= > >= == !="));
    };
    let (left, right) = (text[..at].trim(), text[at + sign.len()..].trim());
    if let Some(more) = right.find(['<', '>', '=', '!']) {
        return wrong(format!("`{}`: one comparison is allowed in a rule", right[more..].trim()));
    }
    if left.is_empty() || right.is_empty() {
        return wrong(format!("`{text}`: a measure is needed left of `{sign}`, and a value right of it"));
    }
    Ok((left, sign, operator, right))
}

fn find(word: &str) -> Result<&'static Measure, RuleError> {
    Measure::find(word).ok_or_else(|| RuleError::UnknownMeasure(word.to_owned()))
}

fn bound(measure: &'static Measure, text: &str) -> Result<Bound, RuleError> {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let parts: Vec<&str> = text.split('*').map(str::trim).collect();
    let (factor, word) = match parts.as_slice() {
        [one] if is_number(one) => return figure(measure, one).map(Bound::Figure),
        [one] => (1.0, *one),
        [first, second] if is_number(first) && !is_number(second) => (factor(first)?, *second),
        [first, second] if is_number(second) && !is_number(first) => (factor(second)?, *first),
        _ => {
            return wrong(format!(
                "`{text}`: allowed are a figure, a measure, {BASELINE}, and a number * one of the last two"
            ));
        }
    };
    if word == BASELINE {
        return Ok(Bound::Baseline { factor });
    }
    let other = find(word)?;
    if kind(other.unit) != kind(measure.unit) {
        return wrong(format!(
            "`{word}` is {}, and `{}` is {}: both must be the same kind",
            kind(other.unit),
            measure.name,
            kind(measure.unit)
        ));
    }
    Ok(Bound::Measure { factor, measure: other })
}

/// `0.95` or `95%`.
fn factor(text: &str) -> Result<f64, RuleError> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 0.01),
        None => (text, 1.0),
    };
    match decimal(number) {
        Some(factor) if factor > 0.0 => Ok(factor * scale),
        _ => wrong(format!("`{text}` is not a factor: write a number above zero, as in 0.95 or 95%")),
    }
}

/// A figure in the unit of the measure.
fn figure(measure: &Measure, text: &str) -> Result<f64, RuleError> {
    let within = |problem: String| {
        RuleError::Wrong(format!("{problem} (`{}` is {})", measure.name, kind(measure.unit)))
    };
    match measure.unit {
        Unit::Ns | Unit::Seconds => {
            let time = value::parse_duration(text).map_err(within)?;
            Ok(if measure.unit == Unit::Ns { time.as_nanos() as f64 } else { time.as_secs_f64() })
        }
        Unit::Bytes => scaled(text, value::parse_bytes, "a size: write 512B, 1.5KiB or 2MiB").map_err(within),
        Unit::PerSecond => {
            let plain = text.strip_suffix("/s").map_or(text, str::trim_end);
            scaled(plain, value::parse_count, "a rate: write 500, 9.5k or 9.5k/s").map_err(within)
        }
        Unit::Count => scaled(text, value::parse_count, "a count: write 100, 10k or 1.5m").map_err(within),
    }
}

/// A decimal number with a unit that `one` knows.
fn scaled(text: &str, one: fn(&str) -> Result<u64, String>, allowed: &str) -> Result<f64, String> {
    let split = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let unit = one(&format!("1{}", text[split..].trim())).ok();
    let number = decimal(text[..split].trim());
    number
        .zip(unit)
        .map(|(number, unit)| number * unit as f64)
        .ok_or_else(|| format!("`{text}` is not {allowed}"))
}

/// Digits, `_` and a point; no sign, no exponent.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'_');
    text.replace('_', "").parse().ok().filter(|number: &f64| plain && number.is_finite())
}

fn kind(unit: Unit) -> &'static str {
    match unit {
        Unit::Ns | Unit::Seconds => "a time",
        Unit::Bytes => "a size",
        Unit::PerSecond => "a rate",
        Unit::Count => "a count",
    }
}

/// Takes a figure of one measure into the unit of another of the same kind.
pub(super) fn converted(figure: f64, from: Unit, to: Unit) -> f64 {
    match (from, to) {
        (Unit::Seconds, Unit::Ns) => figure * 1e9,
        (Unit::Ns, Unit::Seconds) => figure / 1e9,
        _ => figure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        text.parse().unwrap()
    }

    fn wrong(text: &str) -> String {
        text.parse::<Rule>().unwrap_err().to_string()
    }

    fn figure_of(text: &str) -> f64 {
        match rule(text).bound {
            Bound::Figure(figure) => figure,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_rules_of_the_readme() {
        assert_eq!(figure_of("p99<5ms"), 5e6);
        assert_eq!(rule("p99<5ms").to_string(), "p99 < 5ms");
        assert_eq!(figure_of("memory_per_connection.target.user_bytes < 2KiB"), 2048.0);
        let equal = rule("opened == requested");
        assert!(equal.is_exact() && equal.operator == Operator::Equal);
        assert!(
            matches!(equal.bound, Bound::Measure { factor: 1.0, measure } if measure.short == "requested")
        );
        for text in ["per_s > 0.95 * baseline", "per_s > baseline*0.95", "per_s > 95% * baseline"] {
            let rule = rule(text);
            assert!(rule.needs_baseline() && !rule.is_exact(), "{text}");
            assert!(
                matches!(rule.bound, Bound::Baseline { factor } if (factor - 0.95).abs() < 1e-12),
                "{text}"
            );
        }
    }

    #[test]
    fn figures_are_read_in_the_unit_of_their_measure() {
        assert_eq!(figure_of("target_cpu <= 50us"), 50e-6);
        assert_eq!(figure_of("target_memory < 1.26KiB"), 1.26 * 1024.0);
        assert_eq!(
            [figure_of("per_s >= 9.5k/s"), figure_of("per_s >= 9_500"), figure_of("per_s > 0.5")],
            [9500.0, 9500.0, 0.5]
        );
        assert_eq!(
            [figure_of("opened > 1m"), figure_of("failed == 0"), figure_of("p50 > 0")],
            [1e6, 0.0, 0.0]
        );
    }

    #[test]
    fn measures_of_one_kind_are_compared_across_units() {
        assert!(matches!(rule("p99 < 3 * p50").bound, Bound::Measure { factor: 3.0, .. }));
        assert!(matches!(rule("target_cpu < p50").bound, Bound::Measure { .. }));
        assert_eq!(converted(2.0, Unit::Seconds, Unit::Ns), 2e9);
    }

    #[test]
    fn what_is_wrong_is_named_in_one_line() {
        assert_eq!("p9 < 5ms".parse::<Rule>().unwrap_err(), RuleError::UnknownMeasure("p9".to_owned()));
        assert_eq!("p99 < p5".parse::<Rule>().unwrap_err(), RuleError::UnknownMeasure("p5".to_owned()));
        for (text, word) in [
            ("p99 < 5KiB", "`KiB`"),
            ("p99 < 5KiB", "a time"),
            ("p99 < 5", "no unit"),
            ("target_memory < 5ms", "`5ms` is not a size"),
            ("per_s > 5ms", "`5ms` is not a rate"),
            ("opened > 1/s", "a count"),
            ("p99", "compares nothing"),
            ("", "compares nothing"),
            ("p99 = 5ms", "`=` is no comparison"),
            ("p99 !5ms", "`!` is no comparison"),
            ("p50 < p99 < 5ms", "one comparison"),
            ("< 5ms", "left of"),
            ("p99 <", "right of"),
            ("p99 < opened", "`opened` is a count"),
            ("p99 < 2 * 5ms", "allowed are"),
            ("p99 < p50 * p90", "allowed are"),
            ("p99 < x2 * baseline", "allowed are"),
            ("p99 < 0 * baseline", "not a factor"),
            ("p99 < -1ms", "`-1ms`"),
            ("p99 < 1e3ms", "`1e3ms`"),
        ] {
            let said = wrong(text);
            assert!(said.contains(word) && said.lines().count() == 1, "{text}: {said}");
        }
    }

    #[test]
    fn operators() {
        assert!(Operator::Less.holds(1.0, 2.0) && !Operator::Less.holds(2.0, 2.0));
        assert!(Operator::LessOrEqual.holds(2.0, 2.0) && Operator::NotEqual.holds(1.0, 2.0));
        assert!(Operator::GreaterOrEqual.excess(1.0, 3.0) > Operator::GreaterOrEqual.excess(2.0, 3.0));
        assert!(Operator::Less.allows_the_same(1.0) && !Operator::Less.allows_the_same(0.9));
        assert!(Operator::Greater.allows_the_same(0.95) && !Operator::Greater.allows_the_same(1.2));
    }
}

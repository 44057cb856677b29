//! What a figure is counted in, as powers of time and size, so that a sum of unlike figures is found before it is made.

use brink_wire::value::{format_bytes, format_count, format_ns};

use crate::measures::Unit;

/// Powers of seconds and bytes: a rate is a time to the power of -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dimension {
    /// Of seconds.
    pub time: i8,
    /// Of bytes.
    pub size: i8,
}

/// A plain number.
pub const PLAIN: Dimension = Dimension { time: 0, size: 0 };
/// Seconds.
pub const TIME: Dimension = Dimension { time: 1, size: 0 };
/// Bytes.
pub const SIZE: Dimension = Dimension { time: 0, size: 1 };
/// Per second.
pub const RATE: Dimension = Dimension { time: -1, size: 0 };

impl Dimension {
    /// That of a measure, and what its figures are multiplied with to be seconds, bytes or per second.
    #[must_use]
    pub fn of(unit: Unit) -> (Self, f64) {
        match unit {
            Unit::Ns => (TIME, 1e-9),
            Unit::Seconds => (TIME, 1.0),
            Unit::Bytes => (SIZE, 1.0),
            Unit::PerSecond => (RATE, 1.0),
            Unit::Count => (PLAIN, 1.0),
        }
    }

    /// That of a program's figure, by the end of its name: `makespan_ns`, `wall_s`, `user_bytes`, `requests_per_s`; what is
    /// counted for each of many is of the same kind: `user_bytes_per_sleeper`.
    #[must_use]
    pub fn of_name(name: &str) -> (Self, f64) {
        match () {
            () if name.ends_with("_per_s") => (RATE, 1.0),
            () if name.ends_with("_ns") => (TIME, 1e-9),
            () if name.ends_with("_s") => (TIME, 1.0),
            () if name.ends_with("_bytes") || name.contains("_bytes_per_") => (SIZE, 1.0),
            () => (PLAIN, 1.0),
        }
    }

    /// Of a product; `None` past any power that a figure can have.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        Some(Self { time: self.time.checked_add(other.time)?, size: self.size.checked_add(other.size)? })
    }

    /// Of a quotient; `None` past any power that a figure can have.
    #[must_use]
    pub fn over(self, other: Self) -> Option<Self> {
        Some(Self { time: self.time.checked_sub(other.time)?, size: self.size.checked_sub(other.size)? })
    }

    /// `a time`, for messages.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            PLAIN => "a plain number".to_owned(),
            TIME => "a time".to_owned(),
            SIZE => "a size".to_owned(),
            RATE => "a rate".to_owned(),
            Self { time, size } => format!("seconds^{time} bytes^{size}"),
        }
    }

    /// A figure in words: `1.02 ms`, `9.71 KiB`, `9,980/s`, `2.03`.
    #[must_use]
    pub fn format(self, figure: f64) -> String {
        if figure.is_infinite() {
            return "none".to_owned();
        }
        let sign = if figure < 0.0 { "-" } else { "" };
        let figure = figure.abs();
        let words = match self {
            TIME if figure >= COUNTED_MAX => format!("{figure:.2e} s"),
            SIZE if figure >= COUNTED_MAX => format!("{figure:.2e} B"),
            TIME => format_ns(figure * 1e9),
            SIZE => format_bytes(figure),
            RATE => format!("{}/s", number(figure)),
            PLAIN => number(figure),
            Self { time, size } => format!("{} s^{time} B^{size}", number(figure)),
        };
        format!("{sign}{words}")
    }
}

/// Above it digits of a count say nothing, and soon there are too many of them for an integer.
const COUNTED_MAX: f64 = 1e15;

/// Three digits, and thousands marked.
fn number(figure: f64) -> String {
    match figure {
        f if f >= COUNTED_MAX => format!("{f:.2e}"),
        f if f >= 99.95 || (f >= 1.0 && f.fract() == 0.0) => format_count(f.round() as u64),
        f if f >= 9.995 => format!("{f:.1}"),
        f if f >= 0.1 => format!("{f:.2}"),
        0.0 => "0".to_owned(),
        f if f >= 0.001 => format!("{f:.4}").trim_end_matches('0').to_owned(),
        f => format!("{f:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_put_in_their_unit() {
        let all =
            [(TIME, 0.0123), (SIZE, 2048.0), (RATE, 9980.4), (PLAIN, 2.0345), (PLAIN, 812.0), (PLAIN, 0.0)];
        let words: Vec<String> = all.into_iter().map(|(of, figure)| of.format(figure)).collect();
        assert_eq!(words, ["12.3 ms", "2 KiB", "9,980/s", "2.03", "812", "0"]);
        assert_eq!(SIZE.format(-2048.0), "-2 KiB");
        assert_eq!(PLAIN.format(f64::INFINITY), "none");
        assert_eq!(PLAIN.format(1e60), "1.00e60");
        assert_eq!([TIME, SIZE, RATE].map(|of| of.format(-1e60)), ["-1.00e60 s", "-1.00e60 B", "-1.00e60/s"]);
    }

    #[test]
    fn products_and_quotients() {
        assert_eq!(RATE.times(TIME), Some(PLAIN));
        assert_eq!(SIZE.over(SIZE), Some(PLAIN));
        assert_eq!(Dimension { time: 127, size: 0 }.times(TIME), None);
        assert_eq!(Dimension::of_name("requests_per_s").0, RATE);
        assert_eq!(Dimension::of_name("wall_ns"), (TIME, 1e-9));
        assert_eq!(Dimension::of_name("user_bytes_per_sleeper").0, SIZE);
    }
}

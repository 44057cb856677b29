//! How long a target waits before it answers: a distribution, as people write it.
//!
//! Drawing from it belongs to the target. Pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::frame::DELAY_NS_MAX;
use crate::value::{format_duration, parse_duration};

/// A wait before each reply, all in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(
    description = "A wait: fixed (`100ms`), evenly spread between two bounds (`50ms..150ms`), or exponential with this \
                   mean and cut at ten times that (`exp:100ms`); units are ns, us, ms, s, m and h.",
    extend("examples" = ["0s", "100ms", "50ms..150ms", "exp:100ms"])
))]
#[serde(try_from = "String", into = "String")]
pub enum Delay {
    /// Always the same: `100ms`.
    Fixed(Duration),
    /// Evenly spread between two bounds: `50ms..150ms`.
    Uniform(Duration, Duration),
    /// Exponential with this mean, cut at ten times the mean: `exp:100ms`.
    Exponential(Duration),
}

impl Delay {
    /// No wait at all.
    pub const ZERO: Self = Self::Fixed(Duration::ZERO);

    /// The mean wait. An exponential cut at ten means has a mean lower by `11/e^10`
    /// (0.05%), which is left out.
    #[must_use]
    pub fn mean(self) -> Duration {
        match self {
            Self::Fixed(delay) | Self::Exponential(delay) => delay,
            Self::Uniform(low, high) => (low + high) / 2,
        }
    }

    /// The longest wait that can be drawn.
    #[must_use]
    pub fn max(self) -> Duration {
        match self {
            Self::Fixed(delay) => delay,
            Self::Uniform(_, high) => high,
            Self::Exponential(mean) => mean * 10,
        }
    }
}

impl FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let delay = if let Some(mean) = text.strip_prefix("exp:") {
            Self::Exponential(parse_duration(mean)?)
        } else if let Some((low, high)) = text.split_once("..") {
            let (low, high) = (parse_duration(low)?, parse_duration(high)?);
            if low > high {
                return Err(format!(
                    "`{text}` is empty: the first bound is the lower one, as in 50ms..150ms"
                ));
            }
            Self::Uniform(low, high)
        } else {
            Self::Fixed(parse_duration(text)?)
        };
        if delay.max() > Duration::from_nanos(DELAY_NS_MAX) {
            return Err(format!(
                "`{text}` waits too long: at most 1h (an exponential reaches ten times its mean)"
            ));
        }
        Ok(delay)
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fixed(delay) => f.write_str(&format_duration(delay)),
            Self::Uniform(low, high) => {
                write!(f, "{}..{}", format_duration(low), format_duration(high))
            }
            Self::Exponential(mean) => write!(f, "exp:{}", format_duration(mean)),
        }
    }
}

impl TryFrom<String> for Delay {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Delay> for String {
    fn from(delay: Delay) -> Self {
        delay.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["100ms", "0s", "50ms..150ms", "exp:100ms"] {
            assert_eq!(text.parse::<Delay>().unwrap().to_string(), text);
        }
        assert_eq!("0".parse(), Ok(Delay::ZERO));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for bad in ["", "100", "150ms..50ms", "exp:", "2h", "exp:7m", "1s..2h"] {
            assert!(bad.parse::<Delay>().is_err(), "{bad}");
        }
    }
}

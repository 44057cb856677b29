//! Axes: from values to a range, ticks and pixels.
//!
//! Pure arithmetic. Must not draw.

use brink_wire::value::{format_bytes, format_count, format_ns};

/// What an axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things, or things per second.
    Count,
    /// Bytes, ticks at powers of two.
    Bytes,
    /// Nanoseconds.
    Ns,
    /// Seconds.
    Seconds,
    /// A place in a distribution: 1 / (1 - quantile), so that 10 is 90% and 1,000 is 99.9%.
    Nines,
}

/// An axis before the values are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// What is along it.
    pub title: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Auto(Unit),
    Log(Unit),
    Linear(Unit),
    Categories(Vec<String>),
}

/// From this factor between its least and its greatest value on an axis is logarithmic: below, a plot that begins at
/// zero shows all of them, and differences in proportion.
const LOG_FROM: f64 = 10.0;

impl Axis {
    /// Logarithmic where the values span decades, else linear from zero.
    #[must_use]
    pub fn auto(title: &str, unit: Unit) -> Self {
        Self { title: title.to_owned(), kind: Kind::Auto(unit) }
    }

    /// The same with its kind decided by the values that are to be on it.
    #[must_use]
    pub fn settled(&self, values: impl Iterator<Item = f64>) -> Self {
        let Kind::Auto(unit) = self.kind else { return self.clone() };
        let above_zero = values.filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) =
            above_zero.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), v| (low.min(v), high.max(v)));
        let kind = if high >= LOG_FROM * low { Kind::Log(unit) } else { Kind::Linear(unit) };
        Self { title: self.title.clone(), kind }
    }

    /// Logarithmic: values at or below zero cannot be on it.
    #[must_use]
    pub fn log(title: &str, unit: Unit) -> Self {
        Self { title: title.to_owned(), kind: Kind::Log(unit) }
    }

    /// Linear, from zero.
    #[must_use]
    pub fn linear(title: &str, unit: Unit) -> Self {
        Self { title: title.to_owned(), kind: Kind::Linear(unit) }
    }

    /// One row for each name: the values are their places in the list.
    #[must_use]
    pub fn categories(title: &str, names: &[String]) -> Self {
        Self { title: title.to_owned(), kind: Kind::Categories(names.to_vec()) }
    }

    /// Rows of a list; 0 for an axis of values.
    #[must_use]
    pub fn categories_count(&self) -> usize {
        match &self.kind {
            Kind::Categories(names) => names.len(),
            Kind::Auto(_) | Kind::Log(_) | Kind::Linear(_) => 0,
        }
    }

    /// Whether it is logarithmic.
    #[must_use]
    pub fn is_log(&self) -> bool {
        matches!(self.kind, Kind::Log(_))
    }

    /// Whether the value has a place on it.
    #[must_use]
    pub fn takes(&self, value: f64) -> bool {
        value.is_finite() && (value > 0.0 || !self.is_log())
    }

    /// A value on it in words; `None` for a place in a list, which its name stands beside.
    #[must_use]
    pub fn text(&self, value: f64) -> Option<String> {
        match &self.kind {
            Kind::Auto(unit) | Kind::Log(unit) | Kind::Linear(unit) => Some(value_text(value, *unit)),
            Kind::Categories(_) => None,
        }
    }

    /// The axis fitted to values, all of which it takes. Without values, to 1.
    #[must_use]
    pub fn fit(&self, values: &[f64]) -> Scale {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if low <= high { (low, high) } else { (1.0, 1.0) };
        // Beyond there is nothing that could be measured, and the ends of an axis would be infinite.
        let (low, high) = (low.clamp(-FARTHEST, FARTHEST), high.clamp(-FARTHEST, FARTHEST));
        match &self.kind {
            Kind::Log(unit) => log_scale(low, high, *unit),
            Kind::Auto(unit) | Kind::Linear(unit) => linear_scale(low, high, *unit),
            Kind::Categories(names) => {
                let ticks = names.iter().enumerate().map(|(i, name)| (i as f64, name.clone())).collect();
                // Downwards, as one reads.
                Scale { log: false, low: names.len() as f64 - 0.5, high: -0.5, ticks }
            }
        }
    }
}

/// No axis reaches further.
const FARTHEST: f64 = 1e15;
/// Nor nearer to nothing, where it is logarithmic.
const NEAREST: f64 = 1e-15;

/// An axis that knows its range.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    log: bool,
    low: f64,
    high: f64,
    /// Where a line is drawn, and what is written there.
    pub ticks: Vec<(f64, String)>,
}

impl Scale {
    /// Whether a value is within its range.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        (self.low.min(self.high)..=self.low.max(self.high)).contains(&value)
    }

    /// The place of a value between two pixels, kept between them.
    #[must_use]
    pub fn pixel(&self, value: f64, from: i32, to: i32) -> i32 {
        let place = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        from + (f64::from(to - from) * place.clamp(0.0, 1.0)).round() as i32
    }
}

/// Ticks that fit on an axis of a small panel.
const TICKS_MAX: usize = 6;

/// Most ticks at powers of two and half as much again: the narrowest of them are 0.42 of an octave apart.
const HALF_OCTAVES_MAX: usize = 6;

fn log_scale(low: f64, high: f64, unit: Unit) -> Scale {
    let (low, high) = (low.max(NEAREST), high.max(NEAREST));
    // A tenth of the range beyond its ends, and never less in all than leaves three ticks that do not touch.
    let factor_min = if unit == Unit::Bytes { 6.0 } else { 10.0 };
    let spread = ((factor_min / (high / low)).max(1.0).sqrt() * (high / low).powf(0.06)).max(1.15);
    let (low, high) = (low / spread, high * spread);
    let ticks = match unit {
        Unit::Bytes => {
            let octaves = powers(2.0, &[1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 40], low, high);
            let halves = half_octaves(low, high);
            // More would touch.
            if octaves.len() >= 4 || halves.len() > HALF_OCTAVES_MAX { octaves } else { halves }
        }
        Unit::Count | Unit::Ns | Unit::Seconds | Unit::Nines => {
            let decades = powers(10.0, &[1, 2, 3, 4, 6, 10], low, high);
            if decades.len() >= 3 { decades } else { one_two_five(low, high) }
        }
    };
    Scale { log: true, low, high, ticks: ticks.into_iter().map(|v| (v, tick_text(v, unit))).collect() }
}

/// The powers of a base in a range, at the narrowest step of exponents that leaves few enough.
fn powers(base: f64, steps: &[i32], low: f64, high: f64) -> Vec<f64> {
    let first = low.log(base).ceil() as i32;
    let last = high.log(base).floor() as i32;
    let at = |step: i32| -> Vec<f64> {
        (first..=last).filter(|e| e.rem_euclid(step) == 0).map(|e| base.powi(e)).collect()
    };
    let mut all = steps.iter().map(|&step| at(step));
    all.clone().find(|ticks| ticks.len() <= TICKS_MAX).unwrap_or_else(|| all.next_back().unwrap_or_default())
}

/// Powers of two and half as much again: 8, 12, 16, 24, 32.
fn half_octaves(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log2().floor() as i32, high.log2().floor() as i32);
    let all = (first..=last).flat_map(|e| [1.0, 1.5].map(|m| m * 2f64.powi(e)));
    all.filter(|v| (low..=high).contains(v)).collect()
}

fn one_two_five(low: f64, high: f64) -> Vec<f64> {
    let first = low.log10().floor() as i32;
    let last = high.log10().floor() as i32;
    let all = (first..=last).flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)));
    all.filter(|v| (low..=high).contains(v)).collect()
}

fn linear_scale(low: f64, high: f64, unit: Unit) -> Scale {
    let low = low.min(0.0);
    let high = if high > low { high + (high - low) * 0.08 } else { low + 1.0 };
    let rough = (high - low) / TICKS_MAX as f64;
    let decade = 10f64.powf(rough.log10().floor());
    let step = match unit {
        // Of bytes, powers of two: they are whole numbers of KiB and MiB.
        Unit::Bytes => 2f64.powf(rough.log2().ceil()),
        _ => [1.0, 2.0, 5.0, 10.0].map(|m| m * decade).into_iter().find(|s| *s >= rough).unwrap_or(rough),
    };
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    let ticks = (first..=last).map(|i| i as f64 * step).map(|v| (v, tick_text(v, unit))).collect();
    Scale { log: false, low, high, ticks }
}

/// A value as a tick: short.
fn tick_text(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes | Unit::Ns | Unit::Seconds if value == 0.0 => "0".to_owned(),
        Unit::Bytes => format_bytes(value).replace(".00 ", " ").replace(".0 ", " "),
        Unit::Ns => format_ns(value).replace(".00 ", " ").replace(".0 ", " "),
        Unit::Seconds => tick_text(value * 1e9, Unit::Ns),
        Unit::Nines => percent_text(value),
        Unit::Count if value >= 0.0 && value.fract() == 0.0 => format_count(value as u64),
        // Without the dust of binary fractions: 0.3, not 0.30000000000000004.
        Unit::Count => format!("{}", (value * 1e9).round() / 1e9),
    }
}

/// A value on hovering: to three digits or more.
fn value_text(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count if value >= 9.95 => format_count(value.round() as u64),
        Unit::Count if value.fract() != 0.0 => format!("{value:.2}"),
        Unit::Bytes => format_bytes(value),
        Unit::Ns => format_ns(value),
        Unit::Seconds => format_ns(value * 1e9),
        _ => tick_text(value, unit),
    }
}

/// `1 / (1 - quantile)` as a percentage: 1,000 is 99.9%.
fn percent_text(value: f64) -> String {
    let digits = (value.log10().round() as usize).saturating_sub(2);
    format!("{:.digits$}%", 100.0 * (1.0 - 1.0 / value.max(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis, values: &[f64]) -> Vec<String> {
        axis.fit(values).ticks.into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn half_octaves_do_not_touch() {
        let ticks = Axis::log("", Unit::Bytes).fit(&[24.0 * 1024.0, 180.0 * 1024.0]).ticks;
        let names: Vec<&str> = ticks.iter().map(|tick| tick.1.as_str()).collect();
        assert_eq!(names, ["32 KiB", "64 KiB", "128 KiB"]);
    }

    #[test]
    fn decades_and_powers_of_two() {
        let count = Axis::log("", Unit::Count);
        assert_eq!(texts(&count, &[10.0, 10_000.0]), ["10", "100", "1,000", "10,000"]);
        let bytes = Axis::log("", Unit::Bytes);
        assert_eq!(texts(&bytes, &[100.0, 1e8]), ["256 B", "4 KiB", "64 KiB", "1 MiB", "16 MiB"]);
        assert_eq!(texts(&bytes, &[8e3, 36e3]), ["8 KiB", "12 KiB", "16 KiB", "24 KiB", "32 KiB"]);
        assert_eq!(texts(&Axis::log("", Unit::Ns), &[1.1e6, 1e9]), ["1 ms", "10 ms", "100 ms", "1 s"]);
    }

    #[test]
    fn decades_are_logarithmic_and_less_is_linear_from_zero() {
        let kind = |values: &[f64]| Axis::auto("", Unit::Count).settled(values.iter().copied());
        assert!(kind(&[10.0, 100.0]).is_log() && !kind(&[10.0, 99.0]).is_log());
        assert!(!kind(&[5.0, 0.0]).is_log() && !kind(&[]).is_log() && !kind(&[f64::NAN]).is_log());
        let linear = kind(&[40.0, 50.0]);
        assert_eq!(texts(&linear, &[40.0, 50.0])[0], "0");
        assert!(!Axis::linear("", Unit::Count).settled([1.0, 1e9].into_iter()).is_log());
    }

    #[test]
    fn ticks_have_units_and_no_dust() {
        assert_eq!(
            texts(&Axis::log("", Unit::Nines), &[1.5, 10_000.0]),
            ["0%", "90%", "99%", "99.9%", "99.99%"],
            "quantiles, as far apart as their nines"
        );
        assert_eq!(texts(&Axis::linear("", Unit::Bytes), &[5.0 * 1_048_576.0])[..3], ["0", "1 MiB", "2 MiB"]);
        assert_eq!(texts(&Axis::linear("", Unit::Count), &[0.5])[3], "0.3");
        assert_eq!(texts(&Axis::linear("", Unit::Seconds), &[3.1])[1], "1 s");
        assert_eq!(Axis::linear("", Unit::Count).text(0.123_456), Some("0.12".to_owned()));
    }

    #[test]
    fn a_single_value_is_in_the_middle() {
        let scale = Axis::log("", Unit::Count).fit(&[10.0]);
        assert_eq!(scale.pixel(10.0, 0, 100), 50);
        assert!(scale.ticks.len() >= 3, "{scale:?}");
    }

    #[test]
    fn no_value_makes_no_fault() {
        for axis in [Axis::log("", Unit::Bytes), Axis::linear("", Unit::Ns), Axis::categories("", &[])] {
            let scale = axis.fit(&[]);
            assert!(scale.ticks.len() < 10 && (0..=100).contains(&scale.pixel(1.0, 0, 100)), "{scale:?}");
        }
    }

    #[test]
    fn figures_beyond_all_measure_make_no_endless_axis() {
        for axis in [Axis::log("", Unit::Count), Axis::log("", Unit::Bytes), Axis::linear("", Unit::Ns)] {
            for values in [[1.0, 1e300], [f64::MIN_POSITIVE, f64::MAX], [1e305, 1e308]] {
                let scale = axis.fit(&values);
                assert!((1..=8).contains(&scale.ticks.len()), "{values:?}: {scale:?}");
                assert!(scale.pixel(values[0], 0, 100) <= scale.pixel(values[1], 0, 100), "{scale:?}");
            }
        }
    }

    #[test]
    fn pixels_stay_inside() {
        let scale = Axis::log("", Unit::Count).fit(&[1.0, 1000.0]);
        assert_eq!(scale.pixel(-5.0, 10, 90), 10);
        assert_eq!(scale.pixel(1e300, 10, 90), 90);
        let linear = Axis::linear("", Unit::Count).fit(&[0.0, 100.0]);
        assert_eq!(linear.ticks[1].1, "20");
    }
}

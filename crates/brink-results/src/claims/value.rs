//! Values of a claim: expressions reckoned over what was measured, with their intervals.
//!
//! Intervals are carried through arithmetic by drawing: each measured figure is drawn from a normal distribution whose
//! central 95% is its own interval (of its logarithm where it scatters by factors), the expression is reckoned for each
//! draw, and the central 95% of what comes out is the interval (JCGM 101:2008, GUM Supplement 1, 7). A figure that stands
//! in an expression twice is drawn once. The same files give the same draws.

use super::crossover::crossover;
use super::dimension::Dimension;
use super::evidence::{Evidence, Figures};
use super::expression::{Expression, Operation, dimension_of};
use crate::slope::Z_975;
use crate::statistics::{Scale, estimate};

/// Draws: the ends of a central 95% are then the 50th of 2,000 from either side.
pub const DRAWS: usize = 2_000;
/// Any will do, as long as it stays.
const SEED: u64 = 0x63_6c_61_69_6d;

/// How sure a figure is.
#[derive(Debug, Clone, PartialEq)]
pub enum Spread {
    /// It was written down, or follows from such figures alone.
    Exact,
    /// A single run: nobody knows.
    Unknown,
    /// As drawn, one for each of [`DRAWS`].
    Drawn(Vec<f64>),
}

/// A figure with what is known of how sure it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// In seconds, bytes, per second or plain.
    pub figure: f64,
    /// How sure it is.
    pub spread: Spread,
    /// What it is counted in.
    pub dimension: Dimension,
    /// What is said in its stead: a crossover in words, and for a cell.
    pub note: Option<[String; 2]>,
}

impl Value {
    /// The central 95%.
    #[must_use]
    pub fn interval(&self) -> Option<[f64; 2]> {
        let Spread::Drawn(draws) = &self.spread else { return None };
        let mut sorted = draws.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let beyond = sorted.len() / 40;
        let ends = [*sorted.get(beyond)?, *sorted.get(sorted.len().checked_sub(beyond + 1)?)?];
        // JSON has no number for what is infinite.
        ends.iter().all(|end| end.is_finite()).then_some(ends)
    }

    /// `101 ms (100 ms to 103 ms)`; `0.99 (one run)`.
    #[must_use]
    pub fn words(&self) -> String {
        if let Some([note, _]) = &self.note {
            return note.clone();
        }
        let figure = self.dimension.format(self.figure);
        match (&self.spread, self.interval()) {
            (_, Some([low, high])) => {
                let [low, high] = [low, high].map(|end| self.dimension.format(end));
                if low == high { figure } else { format!("{figure} ({low} to {high})") }
            }
            (Spread::Unknown, None) => format!("{figure} (one run)"),
            (_, None) => figure,
        }
    }

    /// For a cell: `101 ms ±1.5 ms`, the farther end of the interval.
    #[must_use]
    pub fn short(&self) -> String {
        if let Some([_, note]) = &self.note {
            return note.clone();
        }
        let figure = self.dimension.format(self.figure);
        match self.interval().map(|[low, high]| (self.figure - low).max(high - self.figure)) {
            // Closer than the figure itself is told.
            Some(off) if off < self.figure.abs() / 2_000.0 => figure,
            Some(off) => format!("{figure} ±{}", self.dimension.format(two_digits(off))),
            None => figure,
        }
    }

    /// Whether its interval has nothing in it, so that nothing can be a multiple of it.
    fn may_be_nothing(&self) -> bool {
        self.interval().is_some_and(|[low, high]| low <= 0.0 && high >= 0.0)
    }

    fn draw(&self, at: usize) -> f64 {
        match &self.spread {
            Spread::Drawn(draws) => draws.get(at).copied().unwrap_or(self.figure),
            Spread::Exact | Spread::Unknown => self.figure,
        }
    }

    /// In how many of the draws of both something holds, as a share; `None` where one of them is a single run.
    #[must_use]
    pub fn share(&self, other: &Self, holds: impl Fn(f64, f64) -> bool) -> Option<f64> {
        match (&self.spread, &other.spread) {
            (Spread::Unknown, _) | (_, Spread::Unknown) => None,
            (Spread::Exact, Spread::Exact) => Some(f64::from(u8::from(holds(self.figure, other.figure)))),
            _ => {
                let held = (0..DRAWS).filter(|&at| holds(self.draw(at), other.draw(at))).count();
                Some(held as f64 / DRAWS as f64)
            }
        }
    }
}

/// How far a figure may be off is known to two digits at the most.
fn two_digits(off: f64) -> f64 {
    match 10f64.powf(1.0 - off.log10().floor()) {
        scale if scale.is_finite() => (off * scale).round() / scale,
        _ => off,
    }
}

/// Reckons an expression. `named`: an earlier value of the claim, or why there is none.
///
/// # Errors
/// Why there is no figure.
pub fn reckon(
    expression: &Expression,
    evidence: &Evidence,
    named: &dyn Fn(&str) -> Result<Value, String>,
) -> Result<Value, String> {
    match expression {
        Expression::Figure(figure, dimension) => {
            Ok(Value { figure: *figure, spread: Spread::Exact, dimension: *dimension, note: None })
        }
        Expression::Name(name) => named(name),
        Expression::Measured { measure, case } => {
            let figures = evidence.figures(measure, case)?;
            measured(measure, case, &figures).ok_or_else(|| format!("{case}: `{measure}` has no median"))
        }
        Expression::Crossover { measure, before, after } => crossover(evidence, measure, before, after),
        Expression::Binary(left, operation, right) => {
            let (left, right) = (reckon(left, evidence, named)?, reckon(right, evidence, named)?);
            let dimension = expression.dimension(&|name| named(name).ok().map(|value| value.dimension))?;
            let figure = operation.apply(left.figure, right.figure);
            if *operation == Operation::Divide && right.may_be_nothing() {
                let [low, high] = right.interval().unwrap_or_default().map(|end| right.dimension.format(end));
                return Err(format!("what it is divided by, {low} to {high}, cannot be told from nothing"));
            }
            if !figure.is_finite() {
                return Err(format!(
                    "{} and {} give no figure",
                    left.dimension.format(left.figure),
                    right.dimension.format(right.figure)
                ));
            }
            let spread = match (&left.spread, &right.spread) {
                (Spread::Unknown, _) | (_, Spread::Unknown) => Spread::Unknown,
                (Spread::Exact, Spread::Exact) => Spread::Exact,
                _ => Spread::Drawn(
                    (0..DRAWS).map(|at| operation.apply(left.draw(at), right.draw(at))).collect(),
                ),
            };
            Ok(Value { figure, spread, dimension, note: None })
        }
    }
}

fn measured(measure: &str, case: &str, figures: &Figures) -> Option<Value> {
    let scale = figures.scale;
    let found = estimate(&figures.runs, scale).map(|found| (found, scale));
    // What may be zero does not scatter by factors.
    let (found, scale) = match found {
        Some(found) => found,
        None => (estimate(&figures.runs, Scale::Amount)?, Scale::Amount),
    };
    // The interval of a single run says how well that run was read, and nothing of the next one.
    let spread = match found.interval.filter(|_| figures.runs.len() > 1) {
        None => Spread::Unknown,
        Some([low, high]) => {
            let mut random = fastrand::Rng::with_seed(seed(measure, case));
            let of = |z: f64| match scale {
                Scale::Ratio => found.value * ((high / low).ln() / 2.0 / Z_975 * z).exp(),
                Scale::Amount => found.value + (high - low) / 2.0 / Z_975 * z,
            };
            Spread::Drawn((0..DRAWS).map(|_| of(normal(&mut random))).collect())
        }
    };
    Some(Value { figure: found.value, spread, dimension: dimension_of(measure), note: None })
}

/// The same figure is drawn alike wherever it stands, others independently: FNV-1a of its name.
fn seed(measure: &str, case: &str) -> u64 {
    let bytes = measure.bytes().chain([0]).chain(case.bytes());
    bytes.fold(SEED ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A normal value: Box and Muller, A Note on the Generation of Random Normal Deviates, 1958.
fn normal(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

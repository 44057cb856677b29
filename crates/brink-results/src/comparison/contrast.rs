//! One measure of one case on both sides: the figures, their ratio or difference, and what follows.
//!
//! A difference is called only where its 95% interval leaves out "none" and it is at least the threshold. Must not know
//! how results were matched.

use brink_wire::value::format_count;

use crate::answer::compare::NEAR_CEILING;
use crate::case::Workload;
use crate::measures::{Better, Measure, Unit};
use crate::schema::{CaseResult, KernelScope, StoppedBy};
use crate::statistics::{Estimate, Observation, Scale, estimate, median, ratio};

/// Ends count as at rest when their memory moves by less than this between two looks (`SETTLED_BYTES` of the
/// program), so that a slope over N connections is not known better than this / N.
const SETTLED_BYTES: f64 = 16_384.0;

/// What a comparison of one measure says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The candidate is better.
    Better,
    /// The candidate is worse.
    Worse,
    /// None seen.
    NoDifference,
    /// It cannot be told: a single run, or not measured on a side.
    Undecided,
    /// It says nothing of what is compared: the delay or the schedule sets it.
    NotJudged,
}

impl Outcome {
    /// As in tables, in words; in JSON with underscores.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifference => "no difference",
            Self::Undecided => "undecided",
            Self::NotJudged => "not judged",
        }
    }
}

/// One measure on both sides.
#[derive(Debug, Clone)]
pub struct Contrast {
    /// Which.
    pub measure: &'static Measure,
    /// The baseline's median; `None`: not measured there.
    pub baseline: Option<Estimate>,
    /// The candidate's.
    pub candidate: Option<Estimate>,
    /// Candidate over baseline, where both are above zero by nature.
    pub ratio: Option<Estimate>,
    /// Candidate less baseline, where there is no such ratio.
    pub difference: Option<Estimate>,
    /// What follows.
    pub outcome: Outcome,
    /// Why it is undecided or not judged; else empty.
    pub why: String,
}

/// Candidate against baseline: their ratio where both are above zero by nature, else their difference.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// Candidate over baseline.
    Ratio(Estimate),
    /// Candidate less baseline.
    Difference(Estimate),
}

impl Change {
    /// `None` where a side has no figure.
    pub(crate) fn of(measure: &Measure, baseline: &[Observation], candidate: &[Observation]) -> Option<Self> {
        if measure.scale() == Scale::Ratio
            && let Some(ratio) = ratio(candidate, baseline)
        {
            return Some(Self::Ratio(ratio));
        }
        let (a, b) = (estimate(baseline, Scale::Amount)?, estimate(candidate, Scale::Amount)?);
        let half = |e: &Estimate| e.interval.map(|[low, high]| (high - low) / 2.0);
        let value = b.value - a.value;
        let interval = half(&a).zip(half(&b)).map(|(a, b)| [value - a.hypot(b), value + a.hypot(b)]);
        let interval = interval.filter(|ends| value.is_finite() && ends.iter().all(|end| end.is_finite()));
        Some(Self::Difference(Estimate { value, interval, count: a.count.min(b.count) }))
    }

    /// Whether the interval leaves out "no difference"; `None` without an interval.
    pub(crate) fn is_seen(&self) -> Option<bool> {
        let (estimate, none) = match self {
            Self::Ratio(estimate) => (estimate, 1.0),
            Self::Difference(estimate) => (estimate, 0.0),
        };
        estimate.interval.map(|[low, high]| none < low || high < none)
    }

    /// Whether it is at least the threshold, which counts both ways alike: 1.03 and 1 / 1.03.
    fn is_large(&self, threshold: f64, baseline: f64, floor: f64) -> bool {
        match self {
            Self::Ratio(ratio) => ratio.value.ln().abs() >= threshold.ln_1p(),
            Self::Difference(difference) => difference.value.abs() >= (threshold * baseline.abs()).max(floor),
        }
    }

    fn is_more(&self) -> bool {
        match self {
            Self::Ratio(ratio) => ratio.value > 1.0,
            Self::Difference(difference) => difference.value > 0.0,
        }
    }
}

/// Holds the runs of a candidate against those of a baseline. `None` where neither side has the measure.
#[must_use]
pub fn contrast(
    measure: &'static Measure,
    baseline: &[&CaseResult],
    candidate: &[&CaseResult],
    threshold: f64,
) -> Option<Contrast> {
    let (a, b) = (observations(measure, baseline), observations(measure, candidate));
    if a.is_empty() && b.is_empty() {
        return None;
    }
    let change = Change::of(measure, &a, &b);
    let (outcome, why) = match (not_judged(measure, baseline, candidate), &change) {
        (Some(why), _) => (Outcome::NotJudged, why),
        (None, None) => {
            let side = if a.is_empty() { "baseline" } else { "candidate" };
            (Outcome::Undecided, format!("not measured in the {side}"))
        }
        (None, Some(change)) => judged(measure, change, &a, floor(measure, baseline), threshold),
    };
    Some(Contrast {
        measure,
        baseline: figure(measure, &a),
        candidate: figure(measure, &b),
        ratio: change.and_then(|change| if let Change::Ratio(ratio) = change { Some(ratio) } else { None }),
        difference: change.and_then(|change| {
            if let Change::Difference(difference) = change { Some(difference) } else { None }
        }),
        outcome,
        why,
    })
}

fn judged(
    measure: &Measure,
    change: &Change,
    baseline: &[Observation],
    floor: f64,
    threshold: f64,
) -> (Outcome, String) {
    let value = median(&baseline.iter().map(|run| run.value).collect::<Vec<f64>>()).unwrap_or_default();
    match change.is_seen() {
        None => (Outcome::Undecided, "a single run has no interval".to_owned()),
        Some(false) => (Outcome::NoDifference, String::new()),
        Some(true) if !change.is_large(threshold, value, floor) => (Outcome::NoDifference, String::new()),
        Some(true) => {
            let is_better = change.is_more() == (measure.better == Better::Higher);
            (if is_better { Outcome::Better } else { Outcome::Worse }, String::new())
        }
    }
}

/// What the runs measured.
pub(crate) fn observations(measure: &Measure, runs: &[&CaseResult]) -> Vec<Observation> {
    runs.iter().copied().filter_map(measure.pick).collect()
}

/// The median with its interval, on the scale of amounts where a value is not above zero.
pub(crate) fn figure(measure: &Measure, runs: &[Observation]) -> Option<Estimate> {
    estimate(runs, measure.scale()).or_else(|| estimate(runs, Scale::Amount))
}

/// The smallest difference that the way of measuring can show.
fn floor(measure: &Measure, runs: &[&CaseResult]) -> f64 {
    let is_slope = measure.name.starts_with("memory_per_connection.");
    let connections = runs.iter().map(|run| run.connections.peak_live).max().unwrap_or_default();
    if is_slope { SETTLED_BYTES / (connections.max(1) as f64) } else { 0.0 }
}

/// Why the measure says nothing of what is compared.
fn not_judged(measure: &Measure, baseline: &[&CaseResult], candidate: &[&CaseResult]) -> Option<String> {
    let mut all = baseline.iter().chain(candidate).copied();
    let load = &baseline.first().or(candidate.first())?.case.load;
    match measure.name {
        "requests.per_s" => match load.workload {
            Workload::Open { .. } => Some("set by the schedule".to_owned()),
            Workload::Hold { .. } => Some("set by the heartbeat".to_owned()),
            Workload::Closed { .. } if load.requests.is_none() && all.all(is_near_ceiling) => {
                Some("set by the delay".to_owned())
            }
            _ => None,
        },
        "ceiling.at_connections" => {
            let stopped =
                all.find_map(|run| run.ceiling.as_ref().filter(|c| c.stopped_by == StoppedBy::StopAt))?;
            Some(format!("nothing gave way up to {}", format_count(stopped.stop_at)))
        }
        name if is_kernel(name) => {
            let is_apart = |run: &CaseResult| {
                let memory = &run.memory_per_connection;
                let end = if name.contains(".client.") { &memory.client } else { &memory.target };
                end.kernel_scope == Some(KernelScope::Cgroup)
            };
            (!all.all(is_apart)).then(|| "counts the whole machine".to_owned())
        }
        _ => None,
    }
}

fn is_kernel(name: &str) -> bool {
    ["kernel_bytes", "kernel_stack_bytes", "slab_bytes"].iter().any(|tail| name.ends_with(tail))
}

fn is_near_ceiling(run: &CaseResult) -> bool {
    let requests = &run.requests;
    requests.per_s.zip(requests.per_s_ceiling).is_some_and(|(per_s, ceiling)| per_s >= NEAR_CEILING * ceiling)
}

/// Whether a measure is what was asked and not what was seen.
#[must_use]
pub fn is_asked(measure: &Measure) -> bool {
    matches!(measure.name, "connections.requested" | "requests.per_s_ceiling" | "requests.intended")
}

/// A figure that may be below zero.
#[must_use]
pub fn signed(unit: Unit, value: f64) -> String {
    if value < 0.0 { format!("-{}", unit.format(-value)) } else { unit.format(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: &[f64], half: f64) -> Vec<Observation> {
        values.iter().map(|&value| Observation { value, half }).collect()
    }

    fn outcome(name: &str, a: &[Observation], b: &[Observation], floor: f64, threshold: f64) -> Outcome {
        let measure = Measure::find(name).unwrap();
        judged(measure, &Change::of(measure, a, b).unwrap(), a, floor, threshold).0
    }

    #[test]
    fn a_difference_must_be_seen_and_be_large() {
        let hundred = runs(&[99.9, 100.0, 100.1], 0.0);
        let ninety = runs(&[89.9, 90.0, 90.1], 0.0);
        let near = runs(&[97.9, 98.0, 98.1], 0.0);
        assert_eq!(outcome("per_s", &hundred, &ninety, 0.0, 0.03), Outcome::Worse);
        assert_eq!(outcome("per_s", &ninety, &hundred, 0.0, 0.03), Outcome::Better);
        assert_eq!(outcome("p99", &hundred, &ninety, 0.0, 0.03), Outcome::Better, "less is better");
        assert_eq!(
            outcome("per_s", &hundred, &near, 0.0, 0.03),
            Outcome::NoDifference,
            "2% is under the threshold"
        );
        assert_eq!(outcome("per_s", &hundred, &near, 0.0, 0.0), Outcome::Worse);
        let scattered = runs(&[80.0, 90.0, 105.0], 0.0);
        assert_eq!(outcome("per_s", &hundred, &scattered, 0.0, 0.03), Outcome::NoDifference, "not seen");
        assert_eq!(outcome("per_s", &hundred, &runs(&[50.0], 0.0), 0.0, 0.03), Outcome::Undecided);
    }

    #[test]
    fn the_threshold_counts_both_ways_alike() {
        let (a, b) = (runs(&[100.0, 100.0], 0.0), runs(&[103.1, 103.1], 0.0));
        assert_eq!(outcome("per_s", &a, &b, 0.0, 0.03), Outcome::Better);
        assert_eq!(outcome("per_s", &b, &a, 0.0, 0.03), Outcome::Worse);
    }

    #[test]
    fn slopes_may_be_below_zero_and_have_a_floor() {
        let (none, some) = (runs(&[-1.0], 2.0), runs(&[60.0], 2.0));
        assert_eq!(outcome("target_memory", &none, &some, 1.6, 0.03), Outcome::Worse);
        assert_eq!(outcome("target_memory", &none, &some, 163.0, 0.03), Outcome::NoDifference);
        assert_eq!(outcome("target_memory", &none, &runs(&[1.0], 2.0), 0.0, 0.0), Outcome::NoDifference);
    }

    #[test]
    fn what_is_zero_is_compared_by_amount() {
        let measure = Measure::find("delay_error_ns.p50").unwrap();
        let change = Change::of(measure, &runs(&[0.0, 0.0], 0.0), &runs(&[10.0, 11.0], 0.0)).unwrap();
        assert!(matches!(change, Change::Difference(d) if d.value == 10.5));
    }

    #[test]
    fn figures_with_a_sign() {
        assert_eq!(signed(Unit::Count, -5.0), "-5");
    }
}

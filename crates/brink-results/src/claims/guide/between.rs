//! What measured cases tell of a workload between them: interpolated on logarithms of work, wait and connections; outside of
//! them the nearest, told as such.
//!
//! Must not know what is made of it.

use super::{Figure, How, Question, work_ns};
use crate::comparison::contrast::figure;
use crate::measures::Measure;
use crate::repeats::Repeats;

/// Added to a wait or a work before its logarithm is taken, in nanoseconds: nothing has none.
const NS_FLOOR: f64 = 100_000.0;

/// A case as a place among others, and its p99 beyond what was asked.
struct Point {
    /// Logarithms of work, delay and connections.
    at: [f64; 3],
    beyond_ns: f64,
    interval: Option<[f64; 2]>,
    name: String,
}

/// A wait or a work on a logarithmic axis.
pub(super) fn log_ns(ns: u64) -> f64 {
    (ns as f64 + NS_FLOOR).ln()
}

fn point(group: &Repeats) -> Option<Point> {
    let first = group.first();
    let measure = Measure::find("latency_ns.p99")?;
    let runs: Vec<_> = group.observations(measure);
    let found = figure(measure, &runs)?;
    let (delay_ns, work_ns) = (first.case.asked_delay_ns()?, work_ns(first));
    let asked = (delay_ns + work_ns) as f64;
    Some(Point {
        at: [log_ns(work_ns), log_ns(delay_ns), (first.case.load.connections as f64).ln()],
        beyond_ns: (found.value - asked).max(0.0),
        interval: found.interval.map(|ends| ends.map(|end| (end - asked).max(0.0))),
        name: group.name.clone(),
    })
}

/// The p99 of a workload beyond what it asks for: what these cases tell of it.
pub(super) fn beyond(loops: &[&Repeats], question: &Question) -> Option<Figure> {
    let points: Vec<Point> = loops.iter().filter_map(|group| point(group)).collect();
    let asked = [log_ns(question.work_ns), log_ns(question.delay_ns), (question.connections as f64).ln()];
    along(&points.iter().collect::<Vec<_>>(), &asked, 0)
}

/// Along this axis between the nearest groups on either side, and within each along the rest.
fn along(points: &[&Point], asked: &[f64; 3], axis: usize) -> Option<Figure> {
    if axis == asked.len() {
        let point = points.first()?;
        return Some(Figure {
            value: point.beyond_ns,
            interval: point.interval,
            how: How::Measured,
            cases: vec![point.name.clone()],
        });
    }
    let want = asked[axis];
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
    let group =
        |at: f64| -> Vec<&Point> { points.iter().copied().filter(|p| near(p.at[axis], at)).collect() };
    if points.iter().any(|p| near(p.at[axis], want)) {
        return along(&group(want), asked, axis + 1);
    }
    let places = || points.iter().map(|p| p.at[axis]);
    let below = places().filter(|at| *at < want).max_by(f64::total_cmp);
    let above = places().filter(|at| *at > want).min_by(f64::total_cmp);
    match (below, above) {
        (Some(low), Some(high)) => {
            let (a, b) = (along(&group(low), asked, axis + 1)?, along(&group(high), asked, axis + 1)?);
            Some(mixed(&a, &b, (want - low) / (high - low)))
        }
        (Some(only), None) | (None, Some(only)) => {
            along(&group(only), asked, axis + 1).map(|figure| Figure { how: How::Extrapolated, ..figure })
        }
        (None, None) => None,
    }
}

/// Between two figures, on logarithms; a nanosecond keeps nothing from having none.
fn mixed(a: &Figure, b: &Figure, share: f64) -> Figure {
    let between = |a: f64, b: f64| ((a + 1.0).ln() * (1.0 - share) + (b + 1.0).ln() * share).exp() - 1.0;
    let interval = a.interval.zip(b.interval).map(|(a, b)| [between(a[0], b[0]), between(a[1], b[1])]);
    Figure {
        value: between(a.value, b.value),
        interval,
        how: a.how.max(b.how).max(How::Interpolated),
        cases: a.cases.iter().chain(&b.cases).cloned().collect(),
    }
}

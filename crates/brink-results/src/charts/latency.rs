//! Latency: percentiles against connections, and the whole distribution of the largest cases.
//!
//! Decides what is drawn, not how.

use brink_wire::value::{format_count, format_ns};
use hdrhistogram::Histogram;

use crate::charts::Figure;
use crate::charts::axis::{Axis, Unit};
use crate::charts::cases::{Cases, Named, exact, is_valid};
use crate::charts::panel::{Line, Panel, Point, Series};
use crate::charts::reference::with_reference;
use crate::hdr;
use crate::repeats::Repeats;
use crate::schema::CaseResult;
use crate::statistics::Scale;

/// p50, p99 and p99.9 of request latency against connections, with the asked delay dashed.
pub(super) fn percentiles(cases: &Cases) -> Figure {
    let asked = |r: &CaseResult| exact(asked_delay_ns(r).filter(|_| r.latency_ns.is_some()));
    let percentile = |title: &str, name: &str| Panel {
        title: format!("Latency, {title}"),
        x: Axis::auto("connections", Unit::Count),
        y: Axis::auto("from request to reply, the asked delay included", Unit::Ns),
        series: with_reference(
            cases.measured(Unit::Ns, name),
            cases.series(Unit::Ns, Scale::Amount, &asked),
            "asked delay",
        ),
        marks: Vec::new(),
    };
    Figure::new(
        "Latency against connections",
        vec![
            percentile("p50", "latency_ns.p50"),
            percentile("p99", "latency_ns.p99"),
            percentile("p99.9", "latency_ns.p999"),
        ],
    )
}

/// The wait that each request asked for; `None` where it is drawn or zero.
fn asked_delay_ns(result: &CaseResult) -> Option<f64> {
    let ns = result.case.asked_delay_ns().filter(|ns| *ns > 0)?;
    result.requests.per_s_ceiling.map(|_| ns as f64)
}

/// Steps of the curve in each half of the distance to 100%, as HdrHistogram's own plots have them.
const STEPS_PER_HALF: u32 = 5;
/// Where the curve has a marker, as 1 / (1 - quantile).
const MARKED: [f64; 6] = [2.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];

/// The whole distribution of the largest case of each name, its repeats added up, over an axis on which each nine is
/// as long as the one before; and the same without the delay that was asked, which hides the rest where it is long.
pub(super) fn distribution(cases: &Cases) -> Figure {
    let (mut whole, mut beyond) = (Vec::new(), Vec::new());
    let mut shown: Vec<(&str, u64)> = Vec::new();
    for named in &cases.names {
        let Some((case, histogram)) = named.largest(true).and_then(|case| Some((case, merged(case)?))) else {
            continue;
        };
        shown.push((&named.name, case.first().case.load.connections));
        whole.extend(curve(named, is_valid(case), &histogram, 0.0));
        if let Some(asked_ns) = asked_delay_ns(case.first()) {
            beyond.extend(curve(named, is_valid(case), &histogram, asked_ns));
        }
    }
    let panel = |title: &str, what: &str, series| Panel {
        title: title.to_owned(),
        x: Axis::log("share of requests that took no longer", Unit::Nines),
        y: Axis::auto(what, Unit::Ns),
        series,
        marks: Vec::new(),
    };
    let mut panels = vec![panel("Latency of all requests", "from request to reply", whole)];
    if !beyond.is_empty() {
        panels.push(panel("Beyond the asked delay", "from request to reply, less the asked delay", beyond));
    }
    Figure { notes: largest(&shown), ..Figure::new("Latency distribution", panels) }
}

/// Which cases are shown.
fn largest(shown: &[(&str, u64)]) -> Vec<String> {
    let Some(first) = shown.first() else { return Vec::new() };
    let words = |connections: u64| format!("{} connections", format_count(connections));
    let each = if shown.iter().all(|one| one.1 == first.1) {
        words(first.1)
    } else {
        shown.iter().map(|(name, n)| format!("{name} {}", words(*n))).collect::<Vec<_>>().join(", ")
    };
    vec![format!("The largest case of each target, the requests of all its valid repeats together: {each}.")]
}

/// The requests of all repeats that may be believed; of all of them, where none may.
fn merged(case: &Repeats) -> Option<Histogram<u64>> {
    let mut all: Option<Histogram<u64>> = None;
    for result in case.told() {
        let Some(one) = result.latency_ns.as_ref().and_then(|l| hdr::decode(&l.hdr).ok()) else { continue };
        match &mut all {
            None => all = Some(one),
            // Of another shape it cannot be added: what there is stays.
            Some(all) => {
                let _ = all.add(&one);
            }
        }
    }
    all.filter(|histogram| !histogram.is_empty())
}

/// A line and its markers, `less_ns` taken off all values.
fn curve(named: &Named, valid: bool, histogram: &Histogram<u64>, less_ns: f64) -> [Series; 2] {
    let count = histogram.len() as f64;
    // Beyond the last request there is no share that it could stand for.
    let nines = |quantile: f64| (1.0 / (1.0 - quantile).max(f64::MIN_POSITIVE)).min(count);
    let mut points: Vec<Point> = histogram
        .iter_quantiles(STEPS_PER_HALF)
        .map(|step| {
            let value = step.value_iterated_to().min(histogram.max());
            Point::new(nines(step.quantile_iterated_to()), value as f64 - less_ns, valid)
        })
        .collect();
    points.dedup_by(|a, b| a.x <= b.x);
    let beyond = if less_ns > 0.0 { " beyond the asked delay" } else { "" };
    let marked = |at: f64| {
        let ns = histogram.value_at_quantile(1.0 - 1.0 / at) as f64 - less_ns;
        let share = Axis::log("", Unit::Nines).text(at).unwrap_or_default();
        let told = Some(format!("{share} within {}{beyond}", format_ns(ns)));
        Point { told, ..Point::new(at, ns, valid) }
    };
    let mut marks: Vec<Point> = MARKED.into_iter().filter(|at| *at < count).map(marked).collect();
    let most_ns = histogram.max() as f64 - less_ns;
    let told = format!("the slowest of {}: {}{beyond}", format_count(histogram.len()), format_ns(most_ns));
    marks.push(Point { told: Some(told), ..Point::new(count.max(1.0), most_ns, valid) });
    let of = |line, in_legend, points| Series {
        label: named.name.clone(),
        colour: named.colour,
        line,
        in_legend,
        points,
    };
    [of(Line::Bare, false, points), of(Line::None, true, marks)]
}

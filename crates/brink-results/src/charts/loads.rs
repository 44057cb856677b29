//! Charts that only some runs have: how far waits were off, and how long a fixed number of requests took.
//!
//! Decides what is drawn, not how.

use brink_wire::value::{format_count, format_ns};

use crate::answer::table::NULL;
use crate::answer::workload::floor;
use crate::charts::Figure;
use crate::charts::axis::{Axis, Unit};
use crate::charts::cases::{Cases, Named, Value, exact, told, value};
use crate::charts::panel::{Colour, Line, Panel, Point, Series};
use crate::measures::Measure;
use crate::repeats::Repeats;
use crate::schema::{CaseResult, DelayError};
use crate::statistics::Scale;

/// How far the targets' own waits were off the delay asked, at p50 and p99, against connections. `None` where no
/// result says so of a delay that was asked.
pub(super) fn delay_error(cases: &Cases) -> Option<Figure> {
    let says = |r: &CaseResult| r.delay_error_ns.filter(|_| r.case.asked_delay_ns().is_some_and(|ns| ns > 0));
    let percentile = |title: &str, pick: fn(&DelayError) -> u64| Panel {
        title: format!("Own wait off by, {title}"),
        x: Axis::auto("connections", Unit::Count),
        y: Axis::auto("wait that happened against wait asked", Unit::Ns),
        // Many targets do not say; those that do keep their colours.
        series: cases
            .series(Unit::Ns, Scale::Ratio, &|r| exact(says(r).map(|e| pick(&e) as f64)))
            .into_iter()
            .filter(|series| !series.points.is_empty())
            .collect(),
        marks: Vec::new(),
    };
    let panels = vec![percentile("p50", |e| e.p50), percentile("p99", |e| e.p99)];
    let any = panels.iter().any(|panel| !panel.series.is_empty());
    any.then(|| Figure::new("Delay error against connections", panels))
}

/// Requests and connections of a case: `50 / 50`.
fn size(result: &CaseResult) -> String {
    let load = &result.case.load;
    let requests = load.requests.map_or(NULL.to_owned(), format_count);
    format!("{requests} / {}", format_count(load.connections))
}

/// From the first request to the last reply where the number of requests is fixed: a row for each name, connections and
/// number, with the arithmetic floor. `None` where no result has a makespan.
pub(super) fn makespan(cases: &Cases) -> Option<Figure> {
    let timed = |case: &&Repeats| case.results.iter().any(|r| r.makespan_ns.is_some());
    let all: Vec<(&Named, &Repeats)> =
        cases.names.iter().flat_map(|n| n.cases.iter().filter(timed).map(move |case| (n, case))).collect();
    let first_size = size(all.first()?.1.first());
    let is_one_size = all.iter().all(|(_, case)| size(case.first()) == first_size);
    let mut rows: Vec<String> = Vec::new();
    let mut series: Vec<Series> = Vec::new();
    let mut floors: Vec<Point> = Vec::new();
    for (named, case) in all {
        let Some(value) = makespan_of(case) else { continue };
        let row = rows.len() as f64;
        rows.push(match is_one_size {
            true => named.name.clone(),
            false => format!("{}, {}", named.name, size(case.first())),
        });
        floors.extend(floor(case.first()).map(|floor| Point::new(floor.ns() as f64, row, true)));
        series.push(Series {
            label: named.name.clone(),
            colour: named.colour,
            line: Line::None,
            in_legend: false,
            points: vec![point(&value, row)],
        });
    }
    if !floors.is_empty() {
        let label = "least by arithmetic".to_owned();
        let floor = Series { label, colour: Colour::Ink, line: Line::None, in_legend: true, points: floors };
        series.insert(0, floor);
    }
    let what = match is_one_size {
        true => format!("requests / connections: {first_size}"),
        false => "target, requests / connections".to_owned(),
    };
    let panel = Panel {
        title: "Makespan".to_owned(),
        x: Axis::auto("from the first request to the last reply", Unit::Ns),
        y: Axis::categories(&what, &rows),
        series,
        marks: Vec::new(),
    };
    Some(Figure::new("Makespan of a fixed number of requests", vec![panel]))
}

fn makespan_of(case: &Repeats) -> Option<Value> {
    let measure = Measure::find("makespan_ns")?;
    value(case, measure.scale(), &measure.pick)
}

fn point(value: &Value, row: f64) -> Point {
    let ns = value.estimate.value;
    Point {
        interval_x: value.estimate.interval,
        singles: value.singles.iter().map(|single| [*single, row]).collect(),
        label: Some(format_ns(ns)),
        told: Some(told(value, &Axis::auto("", Unit::Ns))),
        ..Point::new(ns, row, value.valid)
    }
}

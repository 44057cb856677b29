//! Charts that only some runs have: how far waits were off, and how long a fixed number of requests took.
//!
//! Decides what is drawn, not how.

use brink_wire::value::{format_count, format_ns};

use crate::answer::naming::Names;
use crate::answer::ordered;
use crate::answer::table::NULL;
use crate::answer::workload::floor;
use crate::charts::axis::{Axis, Unit};
use crate::charts::panel::{Colour, Line, Panel, Point, Series};
use crate::charts::{Figure, by_name, is_valid, per_result};
use crate::schema::{CaseResult, DelayError};
use crate::store::RunData;

/// How far the targets' own waits were off the delay asked, at p50 and p99, against connections. `None` where no
/// result says so of a delay that was asked.
#[must_use]
pub fn delay_error(run: &RunData) -> Option<Figure> {
    let told = |r: &CaseResult| r.delay_error_ns.filter(|_| r.case.asked_delay_ns().is_some_and(|ns| ns > 0));
    if !run.results.iter().any(|r| told(r).is_some()) {
        return None;
    }
    let percentile = |title: &str, pick: fn(&DelayError) -> u64| Panel {
        title: format!("Own wait off by, {title}"),
        x: Axis::log("connections", Unit::Count),
        y: Axis::log("wait that happened against wait asked", Unit::Ns),
        // Many targets do not say; those that do keep their colours.
        series: per_result(run, &|r| Some(pick(&told(r)?) as f64))
            .into_iter()
            .filter(|series| !series.points.is_empty())
            .collect(),
    };
    Some(Figure {
        title: "Delay error against connections".to_owned(),
        panels: vec![percentile("p50", |e| e.p50), percentile("p99", |e| e.p99)],
    })
}

/// From the first request to the last reply where the number of requests is fixed: a row for each name, connections and
/// number, with the arithmetic floor. `None` where no result has a makespan.
#[must_use]
pub fn makespan(run: &RunData) -> Option<Figure> {
    let results: Vec<&CaseResult> =
        ordered(&run.results).into_iter().filter(|r| r.makespan_ns.is_some()).collect();
    let names = Names::new(&run.results);
    let groups = by_name(run);
    let size = |r: &CaseResult| {
        let load = &r.case.load;
        let requests = load.requests.map_or(NULL.to_owned(), format_count);
        format!("{requests} / {}", format_count(load.connections))
    };
    let is_one_size = results.windows(2).all(|pair| size(pair[0]) == size(pair[1]));
    let mut rows: Vec<String> = Vec::new();
    let mut all: Vec<Series> = Vec::new();
    let mut floors: Vec<Point> = Vec::new();
    for &result in &results {
        let Some(ns) = result.makespan_ns else {
            continue;
        };
        let name = names.of(result);
        let row = if is_one_size { name.clone() } else { format!("{name}, {}", size(result)) };
        let at = rows.iter().position(|known| *known == row).unwrap_or_else(|| {
            rows.push(row);
            rows.len() - 1
        });
        let (ns, at) = (ns as f64, at as f64);
        let point = Point { label: Some(format_ns(ns)), ..Point::new(ns, at, is_valid(result)) };
        floors.extend(floor(result).map(|floor| Point::new(floor.ns() as f64, at, true)));
        let colour = Colour::Series(groups.iter().position(|group| group.0 == name).unwrap_or(0));
        all.push(Series { label: name, colour, line: Line::None, in_legend: false, points: vec![point] });
    }
    if rows.is_empty() {
        return None;
    }
    if !floors.is_empty() {
        let label = "least by arithmetic".to_owned();
        let floor = Series { label, colour: Colour::Ink, line: Line::None, in_legend: true, points: floors };
        all.insert(0, floor);
    }
    let what = match results.first() {
        Some(first) if is_one_size => format!("requests / connections: {}", size(first)),
        _ => "target, requests / connections".to_owned(),
    };
    let panel = Panel {
        title: "Makespan".to_owned(),
        x: Axis::log("from the first request to the last reply", Unit::Ns),
        y: Axis::categories(&what, &rows),
        series: all,
    };
    Some(Figure { title: "Makespan of a fixed number of requests".to_owned(), panels: vec![panel] })
}

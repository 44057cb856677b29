//! The charts of a run: one function per chart, each a figure of one or more panels.
//!
//! Decides what is drawn, not how: `panel` draws. A result that is not valid is drawn hollow and off the line.

pub mod axis;
mod loads;
pub mod panel;
mod stroke;
pub mod theme;

pub use loads::{delay_error, makespan};

use crate::answer::naming::Names;
use crate::answer::ordered;
use crate::answer::table;
use crate::charts::axis::{Axis, Unit};
use crate::charts::panel::{Colour, Line, Panel, Point, Series};
use crate::schema::{CaseResult, EndMemory, Latency, Plateau, Slope, Verdict};
use crate::store::RunData;

/// Panels that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Above the panels.
    pub title: String,
    /// Side by side where there is room.
    pub panels: Vec<Panel>,
}

impl Figure {
    /// One SVG per panel, for a page that defines the colours of [`theme`] as CSS variables.
    #[must_use]
    pub fn inline(&self) -> Vec<String> {
        self.panels.iter().map(|panel| theme::inline(&panel.draw(), &panel.title, panel.height())).collect()
    }

    /// All panels in a row as one SVG file on white, with fixed colours.
    #[must_use]
    pub fn standalone(&self) -> String {
        let drawn: Vec<String> = self.panels.iter().map(Panel::draw).collect();
        let height = self.panels.iter().map(Panel::height).max().unwrap_or(0);
        theme::standalone(&drawn, &self.title, height)
    }
}

/// Every chart of a run, in the order in which a report shows them. What only some workloads and targets have is
/// left out where there is none.
#[must_use]
pub fn all(run: &RunData) -> Vec<Figure> {
    let mut all = vec![memory(run), memory_per_connection(run), latency(run), throughput(run)];
    all.extend(delay_error(run));
    all.extend(makespan(run));
    all
}

/// User memory of both ends against open connections: the plateaus of each label's largest case as a
/// line, the last plateaus of its other cases as points.
#[must_use]
pub fn memory(run: &RunData) -> Figure {
    let end = |title: &str, bytes: fn(&Plateau) -> Option<u64>| {
        let points = |results: &[&CaseResult]| {
            let largest = results.iter().max_by_key(|r| (is_valid(r), r.connections.opened));
            let line = largest.map_or(Vec::new(), |r| plateaus(r, &r.memory_per_connection.plateaus, bytes));
            let loose = results.iter().filter(|r| !largest.is_some_and(|l| std::ptr::eq(*l, **r)));
            let loose = loose.flat_map(|r| {
                let last = r.memory_per_connection.plateaus.last();
                plateaus(r, last.map_or(&[], std::slice::from_ref), bytes)
            });
            (line, loose.collect())
        };
        Panel {
            title: title.to_owned(),
            x: Axis::log("open connections", Unit::Count),
            y: Axis::log("anonymous resident memory, whole process", Unit::Bytes),
            series: series(run, points),
        }
    };
    Figure {
        title: "User memory against connections".to_owned(),
        panels: vec![
            end("Target: user memory", |p| p.target.as_ref()?.user_bytes),
            end("Client: user memory", |p| p.client.user_bytes),
        ],
    }
}

fn plateaus(result: &CaseResult, plateaus: &[Plateau], bytes: fn(&Plateau) -> Option<u64>) -> Vec<Point> {
    let point = |p: &Plateau| Some(Point::new(p.connections as f64, bytes(p)? as f64, is_valid(result)));
    plateaus.iter().filter_map(point).collect()
}

/// The slopes with their 95% intervals, of the largest case of each label, a valid one if it has any.
#[must_use]
pub fn memory_per_connection(run: &RunData) -> Figure {
    let groups = by_name(run);
    let labels: Vec<String> = groups.iter().map(|group| group.0.clone()).collect();
    let end = |title: &str, what: &str, slope: fn(&CaseResult) -> Option<Slope>| {
        let one = |(row, (_, results)): (usize, &(String, Vec<&CaseResult>))| {
            let largest = results.iter().map(|r| (is_valid(r), r.connections.opened)).max();
            let point = |r: &&CaseResult| {
                let slope = slope(r)?;
                let point = Point::new(slope.slope, row as f64, is_valid(r));
                Some(Point { interval_x: Some(slope.ci95), label: Some(table::slope(&slope)), ..point })
            };
            let points = results
                .iter()
                .filter(|r| Some((is_valid(r), r.connections.opened)) == largest)
                .filter_map(point);
            Series {
                label: labels[row].clone(),
                colour: Colour::Series(row),
                line: Line::None,
                in_legend: false,
                points: points.collect(),
            }
        };
        Panel {
            title: title.to_owned(),
            x: Axis::log("bytes per connection, slope with 95% interval", Unit::Bytes),
            y: Axis::categories(what, &labels),
            series: groups.iter().enumerate().map(one).collect(),
        }
    };
    let target = |r: &CaseResult| r.memory_per_connection.target.user_bytes;
    let client = |r: &CaseResult| r.memory_per_connection.client.user_bytes;
    let kernel = |r: &CaseResult| {
        let of = |end: &EndMemory| end.kernel_bytes;
        of(&r.memory_per_connection.target).or(of(&r.memory_per_connection.client))
    };
    Figure {
        title: "Memory per connection".to_owned(),
        panels: vec![
            end("Target: user memory per connection", "target", target),
            end("Client: user memory per connection", "client, by target", client),
            end("Kernel memory per connection", "machine-wide; on a shared machine both ends", kernel),
        ],
    }
}

/// p50, p99 and p99.9 of request latency against connections, with the asked delay dashed.
#[must_use]
pub fn latency(run: &RunData) -> Figure {
    let percentile = |title: &str, pick: fn(&Latency) -> u64| Panel {
        title: format!("Latency, {title}"),
        x: Axis::log("connections", Unit::Count),
        y: Axis::log("from request to reply, the asked delay included", Unit::Ns),
        series: with_reference(
            per_result(run, &|r| Some(pick(r.latency_ns.as_ref()?) as f64)),
            per_result(run, &|r| asked_delay_ns(r).filter(|_| r.latency_ns.is_some())),
            "asked delay",
        ),
    };
    Figure {
        title: "Latency against connections".to_owned(),
        panels: vec![
            percentile("p50", |l| l.p50),
            percentile("p99", |l| l.p99),
            percentile("p99.9", |l| l.p999),
        ],
    }
}

/// Replies per second against connections, with the arithmetic ceiling dashed.
#[must_use]
pub fn throughput(run: &RunData) -> Figure {
    let all = with_reference(
        per_result(run, &|r| r.requests.per_s),
        per_result(run, &|r| r.requests.per_s_ceiling),
        "ceiling",
    );
    Figure {
        title: "Throughput against its ceiling".to_owned(),
        panels: vec![Panel {
            title: "Throughput".to_owned(),
            x: Axis::log("connections", Unit::Count),
            y: Axis::log("replies per second", Unit::Count),
            series: all,
        }],
    }
}

/// Most references that the legend names one by one.
const NAMED_MAX: usize = 4;

/// Adds what the measured series are to be seen against, dashed: one line where all labels agree on it
/// to a thousandth, else one for each.
fn with_reference(mut all: Vec<Series>, references: Vec<Series>, name: &str) -> Vec<Series> {
    let mut shared: Vec<Point> = references.iter().flat_map(|s| s.points.iter().cloned()).collect();
    if shared.is_empty() {
        return all;
    }
    shared.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    if shared.windows(2).all(|w| w[0].x != w[1].x || w[1].y - w[0].y <= 1e-3 * w[1].y) {
        shared.dedup_by(|a, b| a.x == b.x);
        let label = name.to_owned();
        // Points of loads that have nothing to do with each other are not joined: some label must have them all.
        let is_one =
            references.iter().any(|s| shared.iter().all(|p| s.points.iter().any(|own| own.x == p.x)));
        let line = if is_one { Line::Dashed } else { Line::None };
        all.push(Series { label, colour: Colour::Ink, line, in_legend: true, points: shared });
    } else {
        let references: Vec<Series> = references.into_iter().filter(|s| !s.points.is_empty()).collect();
        let in_legend = references.len() <= NAMED_MAX;
        let dashed =
            |s: Series| Series { label: format!("{} {name}", s.label), line: Line::Dashed, in_legend, ..s };
        all.extend(references.into_iter().map(dashed));
        if !in_legend {
            let label = format!("{name}, each in its colour");
            let points = Vec::new();
            all.push(Series { label, colour: Colour::Ink, line: Line::Dashed, in_legend: true, points });
        }
    }
    all
}

/// The wait that each request asked for; `None` where it is drawn or zero.
fn asked_delay_ns(result: &CaseResult) -> Option<f64> {
    let ns = result.case.asked_delay_ns().filter(|ns| *ns > 0)?;
    result.requests.per_s_ceiling.map(|_| ns as f64)
}

fn is_valid(result: &CaseResult) -> bool {
    result.validity.verdict == Verdict::Valid
}

/// Results by name among the others of the run, each sorted by connections.
fn by_name(run: &RunData) -> Vec<(String, Vec<&CaseResult>)> {
    let results = ordered(&run.results);
    let names = Names::new(results.iter().copied());
    let mut groups: Vec<(String, Vec<&CaseResult>)> = Vec::new();
    for result in results {
        let name = names.of(result);
        match groups.last_mut() {
            Some(group) if group.0 == name => group.1.push(result),
            _ => groups.push((name, vec![result])),
        }
    }
    groups
}

/// A series for each name: the points on its line, and loose ones beside it.
fn series(run: &RunData, points: impl Fn(&[&CaseResult]) -> (Vec<Point>, Vec<Point>)) -> Vec<Series> {
    let mut all = Vec::new();
    for (i, (label, results)) in by_name(run).into_iter().enumerate() {
        let (on_line, loose) = points(&results);
        let colour = Colour::Series(i);
        all.push(Series {
            label: label.clone(),
            colour,
            line: Line::Solid,
            in_legend: true,
            points: on_line,
        });
        if !loose.is_empty() {
            all.push(Series { label, colour, line: Line::None, in_legend: false, points: loose });
        }
    }
    all
}

/// A series for each name with one point for each result.
fn per_result(run: &RunData, value: &dyn Fn(&CaseResult) -> Option<f64>) -> Vec<Series> {
    let point = |r: &&CaseResult| Some(Point::new(r.case.load.connections as f64, value(r)?, is_valid(r)));
    series(run, |results| (results.iter().filter_map(point).collect(), Vec::new()))
}

//! Memory against connections on both ends, the kernel's too, and what one more connection costs.
//!
//! Decides what is drawn, not how.

use brink_wire::value::format_bytes;

use crate::answer::table;
use crate::charts::Figure;
use crate::charts::axis::{Axis, Unit};
use crate::charts::cases::{Cases, Named, Value, shown, told, value};
use crate::charts::kinds::scope;
use crate::charts::panel::{Line, Panel, Point, Series};
use crate::schema::{CaseResult, EndMemory, MachineSample, Plateau, Slope, Verdict};
use crate::statistics::{Observation, Scale};

/// User memory of both ends against open connections: the plateaus of each name's largest case as a line, the last
/// plateaus of its other cases as points.
pub(super) fn user(cases: &Cases) -> Figure {
    Figure::new(
        "User memory against connections",
        vec![
            against("Target: user memory", ANONYMOUS, cases, &|_, p| {
                p.target.as_ref()?.user_bytes.map(bytes)
            }),
            against("Client: user memory", ANONYMOUS, cases, &|_, p| p.client.user_bytes.map(bytes)),
        ],
    )
}

const ANONYMOUS: &str = "anonymous resident memory, whole process";

/// What the kernel keeps for connections and threads, by kind, against open connections.
pub(super) fn kernel(cases: &Cases) -> Figure {
    let tables = "page tables of the process";
    let mut panels = vec![
        against("Target: page tables", tables, cases, &|_, p| p.target.as_ref()?.page_table_bytes.map(bytes)),
        against("Client: page tables", tables, cases, &|_, p| p.client.page_table_bytes.map(bytes)),
    ];
    let is_apart = cases
        .names
        .iter()
        .flat_map(|named| &named.cases)
        .any(|case| shown(case).facts.shared_machine == Some(false));
    let machines: &[Machine] = if is_apart { &[TARGETS, CLIENTS] } else { &[SHARED] };
    for (whose, first, at) in machines {
        for (kind, pick) in KINDS {
            let grown = |r: &CaseResult, p: &Plateau| {
                // Of a machine only the growth is the case's: what it had before is others'.
                Some(pick(at(p))? as f64 - pick(first(r)?)? as f64)
            };
            panels.push(against(&format!("{whose}: {kind}"), "growth since the case began", cases, &grown));
        }
    }
    let figure = Figure::new("Kernel memory against connections", panels);
    Figure { notes: scope(cases).into_iter().collect(), ..figure }
}

type Kind = (&'static str, fn(&MachineSample) -> Option<u64>);

const KINDS: [Kind; 2] =
    [("kernel stacks", |m| m.usage.kernel_stack_bytes), ("slab", |m| m.usage.slab_bytes)];

/// Whose it is, its first sample, and what a plateau says of it.
type Machine = (&'static str, fn(&CaseResult) -> Option<&MachineSample>, fn(&Plateau) -> &MachineSample);

const SHARED: Machine = ("Machine", |r| r.usage.machine.first(), |p| &p.machine);
const CLIENTS: Machine = ("Client's machine", |r| r.usage.machine.first(), |p| &p.machine);
const TARGETS: Machine = (
    "Target's machine",
    |r| r.usage.target_machine.first().or(r.usage.machine.first()),
    |p| p.target_machine.as_ref().unwrap_or(&p.machine),
);

fn bytes(bytes: u64) -> f64 {
    bytes as f64
}

/// A panel of the plateaus.
fn against(
    title: &str,
    what: &str,
    cases: &Cases,
    value: &dyn Fn(&CaseResult, &Plateau) -> Option<f64>,
) -> Panel {
    let mut series = Vec::new();
    for named in &cases.names {
        let largest = named.largest(true);
        let points_of = |result: &CaseResult, plateaus: &[Plateau]| -> Vec<Point> {
            let valid = result.validity.verdict == Verdict::Valid || result.ceiling.is_some();
            let point = |p: &Plateau| Some(Point::new(p.connections as f64, value(result, p)?, valid));
            plateaus.iter().filter_map(point).collect()
        };
        let line = largest.map_or(Vec::new(), |case| {
            let result = shown(case);
            points_of(result, &result.memory_per_connection.plateaus)
        });
        let others = named.cases.iter().filter(|case| largest.is_none_or(|l| l.name != case.name));
        let loose = others.flat_map(|case| {
            let result = shown(case);
            let last = result.memory_per_connection.plateaus.last();
            points_of(result, last.map_or(&[], std::slice::from_ref))
        });
        let loose: Vec<Point> = loose.collect();
        let (label, colour) = (named.name.clone(), named.colour);
        series.push(Series {
            label: label.clone(),
            colour,
            line: Line::Solid,
            in_legend: true,
            points: line,
        });
        if !loose.is_empty() {
            series.push(Series { label, colour, line: Line::None, in_legend: false, points: loose });
        }
    }
    Panel {
        title: title.to_owned(),
        x: Axis::auto("open connections", Unit::Count),
        y: Axis::auto(what, Unit::Bytes),
        series,
        marks: Vec::new(),
    }
}

/// The slopes with their 95% intervals, of the largest case of each name, a valid one if it has any.
pub(super) fn per_connection(cases: &Cases) -> Figure {
    let kernel = |r: &CaseResult| {
        let of = |end: &EndMemory| end.kernel_bytes;
        of(&r.memory_per_connection.target).or(of(&r.memory_per_connection.client))
    };
    Figure::new(
        "Memory per connection",
        vec![
            slopes("Target: user memory per connection", "target", cases, &|r| {
                r.memory_per_connection.target.user_bytes
            }),
            slopes("Client: user memory per connection", "client, by target", cases, &|r| {
                r.memory_per_connection.client.user_bytes
            }),
            slopes(
                "Kernel memory per connection",
                "machine-wide; on a shared machine both ends",
                cases,
                &kernel,
            ),
        ],
    )
}

fn slopes(title: &str, what: &str, cases: &Cases, slope: &dyn Fn(&CaseResult) -> Option<Slope>) -> Panel {
    let one = |(row, named): (usize, &Named)| {
        let point = named.largest(true).and_then(|case| {
            let value = value(case, Scale::Amount, &|r| slope(r).map(observation))?;
            let label = match (value.estimate.count, slope(shown(case))) {
                (1, Some(slope)) => table::slope(&slope),
                _ => told(&value, &Axis::auto("", Unit::Bytes)),
            };
            Some(point(&value, row, label))
        });
        Series {
            label: named.name.clone(),
            colour: named.colour,
            line: Line::None,
            in_legend: false,
            points: point.into_iter().collect(),
        }
    };
    Panel {
        title: title.to_owned(),
        x: Axis::auto("bytes per connection, slope with 95% interval", Unit::Bytes),
        y: Axis::categories(what, &cases.list()),
        series: cases.names.iter().enumerate().map(one).collect(),
        marks: Vec::new(),
    }
}

pub(super) fn observation(slope: Slope) -> Observation {
    Observation { value: slope.slope, half: (slope.ci95[1] - slope.ci95[0]) / 2.0 }
}

fn point(value: &Value, row: usize, told: String) -> Point {
    let words = Axis::auto("", Unit::Bytes);
    let label = match value.estimate.interval {
        Some([low, high]) => {
            format!(
                "{} ±{}",
                words.text(value.estimate.value).unwrap_or_default(),
                format_bytes((high - low) / 2.0)
            )
        }
        None => told.clone(),
    };
    Point {
        interval_x: value.estimate.interval,
        singles: value.singles.iter().map(|single| [*single, row as f64]).collect(),
        label: Some(label),
        told: Some(told),
        ..Point::new(value.estimate.value, row as f64, value.valid)
    }
}

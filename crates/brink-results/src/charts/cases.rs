//! The results of a run as plots group them: by name, then by case, its repeats together.
//!
//! Groups and picks. Must not draw.

use std::fmt::Write as _;

use crate::answer::naming::Names;
use crate::charts::axis::{Axis, Unit};
use crate::charts::panel::{Colour, Line, Point, Series};
use crate::measures::Measure;
use crate::repeats::{Repeats, repeats};
use crate::schema::CaseResult;
use crate::statistics::{Estimate, Observation, Scale, estimate};

/// Most names in a plot: beyond, neither colours nor markers tell them apart.
pub const NAMES_MAX: usize = 24;

/// All results that are drawn.
pub(super) struct Cases<'a> {
    /// At most [`NAMES_MAX`] of them, in the order of every table.
    pub names: Vec<Named<'a>>,
    /// How many there are beyond those.
    pub left_out: usize,
}

/// The cases of one name, in rising order of connections.
pub(super) struct Named<'a> {
    pub name: String,
    pub colour: Colour,
    pub cases: Vec<Repeats<'a>>,
}

/// What is measured of one result.
pub(super) type Pick<'p> = &'p dyn Fn(&CaseResult) -> Option<Observation>;

/// The median of a case with what it is the median of.
pub(super) struct Value {
    pub estimate: Estimate,
    /// Of every repeat, also of those that are not valid; empty where there is one only.
    pub singles: Vec<f64>,
    pub valid: bool,
}

impl<'a> Cases<'a> {
    pub(super) fn of(results: &'a [CaseResult]) -> Self {
        let groups = repeats(results);
        let names = Names::new(results);
        let mut named: Vec<Named> = Vec::new();
        for group in groups {
            let name = names.of(group.first());
            match named.iter_mut().find(|known| known.name == name) {
                Some(known) => known.cases.push(group),
                None => {
                    let colour = Colour::Series(named.len());
                    named.push(Named { name, colour, cases: vec![group] });
                }
            }
        }
        let left_out = named.len().saturating_sub(NAMES_MAX);
        named.truncate(NAMES_MAX);
        Self { names: named, left_out }
    }

    /// The names in order.
    pub(super) fn list(&self) -> Vec<String> {
        self.names.iter().map(|named| named.name.clone()).collect()
    }

    /// A series for each name with one point for each case, over the connections.
    pub(super) fn series(&self, unit: Unit, scale: Scale, pick: Pick) -> Vec<Series> {
        let one = |named: &Named| {
            let points = named.cases.iter().filter_map(|case| point(case, unit, scale, pick));
            Series {
                label: named.name.clone(),
                colour: named.colour,
                line: Line::Solid,
                in_legend: true,
                points: points.collect(),
            }
        };
        self.names.iter().map(one).collect()
    }

    /// [`Self::series`] of a measure by its name in the table of measures, as far as results have it.
    pub(super) fn measured(&self, unit: Unit, name: &str) -> Vec<Series> {
        match Measure::find(name) {
            Some(measure) => self.series(unit, measure.scale(), &measure.pick),
            None => Vec::new(),
        }
    }
}

impl Named<'_> {
    /// The case with most connections; of a valid one first, where asked.
    pub(super) fn largest(&self, valid_first: bool) -> Option<&Repeats<'_>> {
        let opened = |case: &Repeats| case.results.iter().map(|r| r.connections.opened).max();
        let key = |case: &&Repeats| (valid_first && is_valid(case), opened(case));
        // Of equals the first.
        self.cases.iter().rev().max_by_key(key)
    }
}

/// Whether any of the repeats is. A ceiling goes on until something gives way, which takes nothing from what it measured.
pub(super) fn is_valid(case: &Repeats) -> bool {
    case.valid().next().is_some() || case.results.iter().any(|r| r.ceiling.is_some())
}

/// Where on an axis of connections a case is: what it asked for, a ceiling what it held.
fn connections(result: &CaseResult) -> u64 {
    result.ceiling.as_ref().map_or(result.case.load.connections, |ceiling| ceiling.at_connections)
}

/// The repeat that stands for all where only one can be shown: a valid one if there is any.
pub(super) fn shown<'a>(case: &Repeats<'a>) -> &'a CaseResult {
    case.valid().next().unwrap_or(case.first())
}

/// The median of the valid repeats; of all, where none is valid. `None` where none measured it.
pub(super) fn value(case: &Repeats, scale: Scale, pick: Pick) -> Option<Value> {
    let believed: Vec<Observation> = case.told().filter_map(pick).collect();
    // A value of zero has no logarithm.
    let estimate = estimate(&believed, scale).or_else(|| estimate(&believed, Scale::Amount))?;
    let all: Vec<f64> = case.results.iter().filter_map(|r| Some(pick(r)?.value)).collect();
    let singles = if all.len() > 1 { all } else { Vec::new() };
    Some(Value { estimate, singles, valid: is_valid(case) })
}

/// A case at its connections.
pub(super) fn point(case: &Repeats, unit: Unit, scale: Scale, pick: Pick) -> Option<Point> {
    let value = value(case, scale, pick)?;
    let x = connections(case.first()) as f64;
    let words = Axis::auto("", unit);
    let told = format!(
        "{} connections, {}",
        Axis::auto("", Unit::Count).text(x).unwrap_or_default(),
        told(&value, &words)
    );
    Some(Point {
        interval_y: value.estimate.interval,
        singles: value.singles.iter().map(|single| [x, *single]).collect(),
        told: Some(told),
        ..Point::new(x, value.estimate.value, value.valid)
    })
}

/// `1.02 s (1.01 s to 1.03 s, median of 3)`.
pub(super) fn told(value: &Value, words: &Axis) -> String {
    let text = |v: f64| words.text(v).unwrap_or_default();
    let mut told = text(value.estimate.value);
    if value.estimate.count > 1 {
        let interval =
            value.estimate.interval.map(|[low, high]| format!("{} to {}, ", text(low), text(high)));
        let _ = write!(told, " ({}median of {})", interval.unwrap_or_default(), value.estimate.count);
    }
    if !value.valid {
        told.push_str(", not valid");
    }
    told
}

/// A figure that is exact.
pub(super) fn exact(value: Option<f64>) -> Option<Observation> {
    value.map(|value| Observation { value, half: 0.0 })
}

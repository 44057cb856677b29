//! Where the memory of a connection goes, by kind: stacked bars, and what is known of stacks.
//!
//! Decides what is drawn, not how.

use brink_wire::value::format_bytes;

use crate::answer::listed;
use crate::charts::Figure;
use crate::charts::axis::{Axis, Unit};
use crate::charts::cases::{Cases, is_valid, shown, value};
use crate::charts::memory::observation;
use crate::charts::panel::{Colour, Line, Panel, Point, Series};
use crate::repeats::Repeats;
use crate::schema::{CaseResult, EndMemory, KernelScope, Plateau, Slope};
use crate::statistics::Scale;

/// Where the memory of one more connection goes: the slopes of the largest case of each name, side by side.
pub(super) fn by_kind(cases: &Cases) -> Figure {
    let is_both = scope(cases).is_some();
    let kernel = if is_both { "the kernel's of both ends" } else { "and the kernel's" };
    let mut panels = vec![stacked(
        "Target and kernel, per connection",
        &format!("the target's own memory, {kernel}"),
        cases,
        &|case| split(case, |r| &r.memory_per_connection.target, has_stacks(shown(case)), true),
    )];
    panels.push(stacked("Client, per connection", "the client's own memory", cases, &|case| {
        let has_stacks = shown(case).case.load.engine == "threads";
        split(case, |r| &r.memory_per_connection.client, has_stacks, !is_both)
    }));
    let mut notes = stacks(cases);
    notes.extend(scope(cases));
    Figure { notes, ..Figure::new("Memory per connection by kind", panels) }
}

/// In the order in which they are stacked. The second is drawn instead of the first where a thread serves each connection.
const PARTS: [&str; 5] = ["user", "user, thread stacks in it", "page tables", "kernel stacks", "slab"];

type Split = [Option<f64>; PARTS.len()];

/// What an end's parts grow by with each connection: medians of the repeats.
fn split(case: &Repeats, end: EndOf, has_stacks: bool, with_kernel: bool) -> Split {
    let of = |slope: fn(&EndMemory) -> Option<Slope>| {
        let value = value(case, Scale::Amount, &|r| slope(end(r)).map(observation))?;
        Some(value.estimate.value)
    };
    let kernel = |slope| of(slope).filter(|_| with_kernel);
    let user = of(|end| end.user_bytes);
    [
        user.filter(|_| !has_stacks),
        user.filter(|_| has_stacks),
        of(|end| end.page_table_bytes),
        kernel(|end| end.kernel_stack_bytes),
        kernel(|end| end.slab_bytes),
    ]
}

type EndOf = fn(&CaseResult) -> &EndMemory;

fn stacked(title: &str, what: &str, cases: &Cases, split: &dyn Fn(&Repeats) -> Split) -> Panel {
    let mut series: Vec<Series> = PARTS
        .iter()
        .enumerate()
        .map(|(i, part)| Series {
            label: (*part).to_owned(),
            colour: Colour::Series(i),
            line: Line::Bars,
            in_legend: true,
            points: Vec::new(),
        })
        .collect();
    for (row, named) in cases.names.iter().enumerate() {
        let Some(case) = named.largest(true) else { continue };
        let parts = split(case);
        let last = parts.iter().rposition(|part| part.is_some_and(|bytes| bytes > 0.0));
        let mut from = 0.0;
        for (i, part) in parts.into_iter().enumerate() {
            let Some(bytes) = part else { continue };
            // A slope below zero is within its interval of nothing, and has no width.
            let to = from + bytes.max(0.0);
            series[i].points.push(Point {
                interval_x: Some([from, to]),
                told: Some(format!("{} of {}", format_bytes(bytes), named.name)),
                label: (Some(i) == last).then(|| format_bytes(to)),
                ..Point::new(to, row as f64, is_valid(case))
            });
            from = to;
        }
    }
    series.retain(|s| !s.points.is_empty());
    Panel {
        title: title.to_owned(),
        x: Axis::linear("bytes per connection, slopes added up", Unit::Bytes),
        y: Axis::categories(what, &cases.list()),
        series,
        marks: Vec::new(),
    }
}

/// The share of connections that threads must grow by for each to have one.
const THREAD_EACH: f64 = 0.9;

/// Whether the target has a thread for each connection: by what was asked of it, or by how its threads grow.
fn has_stacks(result: &CaseResult) -> bool {
    let plateaus = &result.memory_per_connection.plateaus;
    let threads = |p: &Plateau| Some((p.connections as f64, p.target.as_ref()?.threads? as f64));
    let (first, last) = (plateaus.first().and_then(threads), plateaus.last().and_then(threads));
    match (first, last) {
        (Some(first), Some(last)) if last.0 > first.0 => {
            (last.1 - first.1) / (last.0 - first.0) >= THREAD_EACH
        }
        _ => result.case.target.stack_bytes.is_some(),
    }
}

/// What is known of user stacks, of the names whose connections have a thread of their own.
fn stacks(cases: &Cases) -> Vec<String> {
    let mut known: Vec<(String, Vec<String>)> = Vec::new();
    let threaded = cases.names.iter().filter_map(|named| Some((named, shown(named.largest(true)?))));
    for (named, result) in threaded.filter(|(_, result)| has_stacks(result)) {
        let size = match result.case.target.stack_bytes {
            Some(bytes) => format!("with a stack of {}", format_bytes(bytes as f64)),
            None => "with a stack of unknown size".to_owned(),
        };
        let space = result.memory_per_connection.target.virtual_bytes;
        let space = space.map_or(String::new(), |s| {
            format!("; address space grows by {} with each", format_bytes(s.slope))
        });
        let words = format!("a thread for each connection, {size}{space}");
        match known.iter_mut().find(|k| k.0 == words) {
            Some(same) => same.1.push(named.name.clone()),
            None => known.push((words, vec![named.name.clone()])),
        }
    }
    let mut notes: Vec<String> =
        known.iter().map(|(words, names)| format!("{}: {words}.", listed(names))).collect();
    if !notes.is_empty() {
        let said =
            "What was touched of a stack is in the user memory, which does not tell stacks from the rest.";
        notes.push(said.to_owned());
    }
    notes
}

/// Whose the kernel's memory is, where that is not plain.
pub(super) fn scope(cases: &Cases) -> Option<String> {
    let is_both = cases.names.iter().flat_map(|named| &named.cases).any(|case| {
        shown(case).memory_per_connection.target.kernel_scope == Some(KernelScope::MachineBothEnds)
    });
    is_both.then(|| {
        "Kernel stacks and slab are those of the machine that both ends share: they count both, and what other \
         programs did meanwhile."
            .to_owned()
    })
}

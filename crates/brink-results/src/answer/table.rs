//! One row per case, as cells: the text answer and the report show the same figures.
//!
//! Must not judge or compare.

use brink_wire::value::{format_bytes, format_count, format_ns};

use crate::answer::grid::Grid;
use crate::answer::naming::Names;
use crate::answer::spread::figure;
use crate::measures::Measure;
use crate::repeats::{Repeats, repeats};
use crate::schema::{CaseResult, EndSample, Latency, Slope, Verdict};
use crate::window;

/// Heads of the columns. The first and the last are words, the rest figures.
pub const HEADS: [&str; 16] = [
    "target",
    "conns",
    "opened",
    "failed",
    "connect/s",
    "requests/s",
    "ceiling",
    "p50",
    "p99",
    "p99.9",
    "mem/conn",
    "memory",
    "threads",
    "CPU c/t",
    "runs",
    "verdict",
];
/// What the heads stand for, by line.
pub const LEGEND: [&str; 2] = [
    "mem/conn: user memory of the target per connection, slope with its 95% interval. ceiling: requests/s that the delay allows.",
    "memory, threads: user memory and threads of the target, most in the window. CPU c/t: CPU seconds per second, client and target.",
];
/// Columns of the first table of the text answer: what each target did, and what a connection costs it.
const SERVED: [usize; 9] = [0, 1, 5, 6, 7, 8, 10, RUNS, 15];
/// Columns of the second: how its connections were opened, and what both ends used.
const USED: [usize; 9] = [0, 1, 2, 3, 4, 9, 11, 12, 13];
/// The column that is there only where cases were repeated.
const RUNS: usize = 14;
/// What a row of repeats is.
const OF_RUNS: &str = "Figures of several runs are medians of the valid ones; ±: 95% interval.";
/// Stands for a measure that is null.
pub const NULL: &str = "-";

/// One case as cells, in the order of [`HEADS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// One for each of [`HEADS`].
    pub cells: [String; 16],
    /// Whether the result is valid; of several runs, whether any is.
    pub valid: bool,
}

/// A row for each case, its repeats as one, in the order of [`ordered`](super::ordered). The first cell is the name among
/// the others of the run; where that and the connections do not tell cases apart, it is the name of the case.
#[must_use]
pub fn rows(results: &[CaseResult]) -> Vec<Row> {
    let names = Names::new(results);
    let groups = repeats(results);
    let named: Vec<(String, u64)> =
        groups.iter().map(|g| (names.of(g.first()), g.first().case.load.connections)).collect();
    let is_twin = |name: &(String, u64)| named.iter().filter(|other| *other == name).count() > 1;
    let own_name = |group: &Repeats| match group.results.as_slice() {
        [one] => one.case.name.clone(),
        _ => group.name.clone(),
    };
    let pairs = groups.iter().zip(&named);
    pairs
        .map(|(group, name)| row(group, &if is_twin(name) { own_name(group) } else { name.0.clone() }))
        .collect()
}

/// What each target did, and what a connection costs it.
#[must_use]
pub fn served(results: &[CaseResult]) -> Grid {
    part(results, &SERVED, LEGEND[0])
}

/// How the connections were opened, and what both ends used.
#[must_use]
pub fn used(results: &[CaseResult]) -> Grid {
    part(results, &USED, LEGEND[1])
}

fn part(results: &[CaseResult], columns: &[usize], legend: &str) -> Grid {
    let rows = rows(results);
    let is_repeated = rows.iter().any(|row| !row.cells[RUNS].is_empty());
    let columns: Vec<usize> = columns.iter().copied().filter(|&i| i != RUNS || is_repeated).collect();
    let cells = |row: &Row| columns.iter().map(|&i| row.cells[i].clone()).collect();
    Grid {
        title: String::new(),
        heads: columns.iter().map(|&i| HEADS[i].to_owned()).collect(),
        rows: rows.iter().map(cells).collect(),
        last_is_words: columns.last() == Some(&(HEADS.len() - 1)),
        notes: [Some(legend), is_repeated.then_some(OF_RUNS)]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect(),
    }
    .without_empty_last()
}

fn row(group: &Repeats, name: &str) -> Row {
    let told = |pick: &dyn Fn(&CaseResult) -> Option<f64>, format: &dyn Fn(f64) -> String| {
        group.median(pick).map_or(NULL.to_owned(), format)
    };
    let count = |pick: &dyn Fn(&CaseResult) -> Option<f64>| told(pick, &|n| format_count(n.round() as u64));
    let latency =
        |pick: fn(&Latency) -> u64| told(&|r| r.latency_ns.as_ref().map(|l| pick(l) as f64), &format_ns);
    let in_window = |pick: fn(&[EndSample], (f64, f64)) -> Option<u64>| {
        move |r: &CaseResult| Some(pick(&r.usage.target, window::span(r)?)? as f64)
    };
    let used = |pick: fn(&CaseResult) -> Option<f64>| cpu_seconds(group.median(pick));
    let per_s = |pick: fn(&CaseResult) -> Option<f64>| rate(group.median(pick));
    let cells = [
        printable(name),
        format_count(group.first().case.load.connections),
        count(&|r| Some(r.connections.opened as f64)),
        count(&|r| Some(r.connections.failed as f64)),
        per_s(|r| r.connections.connect_per_s),
        with_interval(group, "requests.per_s", |v| rate(Some(v)))
            .unwrap_or_else(|| per_s(|r| r.requests.per_s)),
        per_s(|r| r.requests.per_s_ceiling),
        latency(|l| l.p50),
        with_interval(group, "latency_ns.p99", format_ns).unwrap_or_else(|| latency(|l| l.p99)),
        latency(|l| l.p999),
        memory(group),
        told(&in_window(window::user_bytes_max), &format_bytes),
        count(&in_window(window::threads_max)),
        format!("{}/{}", used(window::client_work_cpu_per_s), used(window::target_cpu_per_s)),
        runs(group),
        verdict_of(group),
    ];
    Row { cells, valid: group.valid().next().is_some() }
}

/// The median of several valid runs with its interval. `None` where there are no several.
fn with_interval(group: &Repeats, measure: &str, format: fn(f64) -> String) -> Option<String> {
    let estimate = group.estimate(Measure::find(measure)?).filter(|estimate| estimate.count > 1)?;
    Some(figure(&estimate, format))
}

/// The slope of the target's memory, of a single run with its own interval.
fn memory(group: &Repeats) -> String {
    with_interval(group, "memory_per_connection.target.user_bytes", format_bytes)
        .or_else(|| group.told().find_map(|r| r.memory_per_connection.target.user_bytes.as_ref().map(slope)))
        .unwrap_or(NULL.to_owned())
}

/// `3`, or `2 of 3 valid`; nothing for a case that ran once.
pub(crate) fn runs(group: &Repeats) -> String {
    match (group.valid().count(), group.results.len()) {
        (_, 1) => String::new(),
        (valid, all) if valid == all => format_count(all as u64),
        (valid, all) => format!("{valid} of {all} valid"),
    }
}

/// The gravest of its runs, where none is valid; else nothing: `runs` tells how many are not.
pub(crate) fn verdict_of(group: &Repeats) -> String {
    match group.told().max_by_key(|r| r.validity.verdict) {
        Some(worst) => verdict_cell(worst),
        None => String::new(),
    }
}

/// CPU seconds per second of client and target in the window.
#[must_use]
pub fn cpu(result: &CaseResult) -> (Option<f64>, Option<f64>) {
    (window::client_work_cpu_per_s(result), window::target_cpu_per_s(result))
}

/// `0.45`, or [`NULL`].
#[must_use]
pub fn cpu_seconds(cpu: Option<f64>) -> String {
    cpu.map_or(NULL.to_owned(), |s| format!("{s:.2}"))
}

/// A rate as a whole number, with a decimal below 10: `9,980`, `0.5`; or [`NULL`].
#[must_use]
pub fn rate(per_s: Option<f64>) -> String {
    match per_s {
        None => NULL.to_owned(),
        Some(v) if v > 0.0 && v < 9.95 => format!("{v:.1}"),
        Some(v) => format_count(v.round() as u64),
    }
}

/// `9.77 KiB ±12.0 B`: a slope and half its interval.
#[must_use]
pub fn slope(slope: &Slope) -> String {
    format!("{} ±{}", format_bytes(slope.slope), format_bytes((slope.ci95[1] - slope.ci95[0]) / 2.0))
}

/// Nothing for a valid result, so that the others stand out.
pub(crate) fn verdict_cell(result: &CaseResult) -> String {
    match result.validity.verdict {
        Verdict::Valid => String::new(),
        other => verdict_name(other).to_owned(),
    }
}

/// As in the result file.
#[must_use]
pub fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Unsteady => "unsteady",
        Verdict::ClientBound => "client_bound",
        Verdict::LimitBound => "limit_bound",
        Verdict::Failed => "failed",
    }
}

/// A name from a file must not move the cursor, colour the terminal, or turn round the figures beside it.
pub(crate) fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || turns_round(c) { '?' } else { c }).collect()
}

/// Whether it orders that what follows is written from right to left, or the other way: Unicode Standard Annex 9, 2.
fn turns_round(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(rate(Some(9_979.6)), "9,980");
        assert_eq!(rate(Some(0.5)), "0.5");
        assert_eq!(rate(Some(0.0)), "0");
        assert_eq!(rate(None), "-");
        let line = Slope { slope: 60.0, ci95: [58.0, 62.0], r2: 1.0, points: 5 };
        assert_eq!(slope(&line), "60.0 B ±2 B");
        assert_eq!(printable("a\u{1b}[31mb"), "a?[31mb");
        assert_eq!(printable("\u{202e}12 KiB \u{2067}é"), "?12 KiB ?é");
    }
}

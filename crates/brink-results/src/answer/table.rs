//! One row per result, as cells: the text answer and the report show the same figures.
//!
//! Must not judge or compare.

use brink_wire::value::{format_bytes, format_count, format_ns};

use crate::answer::grid::Grid;
use crate::answer::naming::Names;
use crate::answer::ordered;
use crate::schema::{CaseResult, Slope, Verdict};
use crate::window;

/// Heads of the columns. The first and the last are words, the rest figures.
pub const HEADS: [&str; 15] = [
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
    "verdict",
];
/// What the heads stand for, by line.
pub const LEGEND: [&str; 2] = [
    "mem/conn: user memory of the target per connection, slope with its 95% interval. ceiling: requests/s that the delay allows.",
    "memory, threads: user memory and threads of the target, most in the window. CPU c/t: CPU seconds per second, client and target.",
];
/// Columns of the first table of the text answer: what each target did, and what a connection costs it.
const SERVED: [usize; 8] = [0, 1, 5, 6, 7, 8, 10, 14];
/// Columns of the second: how its connections were opened, and what both ends used.
const USED: [usize; 9] = [0, 1, 2, 3, 4, 9, 11, 12, 13];
/// Stands for a measure that is null.
pub const NULL: &str = "-";

/// One result as cells, in the order of [`HEADS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// One for each of [`HEADS`].
    pub cells: [String; 15],
    /// Whether the result is valid.
    pub valid: bool,
}

/// A row for each result, in the order of [`ordered`]. The first cell is the name among the others of the run; where
/// that and the connections do not tell results apart (repeats), it is the name of the case.
#[must_use]
pub fn rows(results: &[CaseResult]) -> Vec<Row> {
    let sorted = ordered(results);
    let names = Names::new(sorted.iter().copied());
    let named: Vec<(String, u64)> = sorted.iter().map(|r| (names.of(r), r.case.load.connections)).collect();
    let is_twin = |name: &(String, u64)| named.iter().filter(|other| *other == name).count() > 1;
    let pairs = sorted.iter().zip(&named);
    pairs.map(|(result, name)| row(result, if is_twin(name) { &result.case.name } else { &name.0 })).collect()
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
    let row = |row: Row| columns.iter().map(|&i| row.cells[i].clone()).collect();
    Grid {
        title: String::new(),
        heads: columns.iter().map(|&i| HEADS[i].to_owned()).collect(),
        rows: rows(results).into_iter().map(row).collect(),
        last_is_words: columns.last() == Some(&(HEADS.len() - 1)),
        notes: vec![legend.to_owned()],
    }
    .without_empty_last()
}

fn row(result: &CaseResult, name: &str) -> Row {
    let latency = |pick: fn(&crate::schema::Latency) -> u64| {
        result.latency_ns.as_ref().map_or(NULL.to_owned(), |l| format_ns(pick(l) as f64))
    };
    let (client, target) = cpu(result);
    let span = window::span(result);
    let threads = span.and_then(|span| window::threads_max(&result.usage.target, span));
    let memory = span.and_then(|span| window::user_bytes_max(&result.usage.target, span));
    let cells = [
        printable(name),
        format_count(result.case.load.connections),
        format_count(result.connections.opened),
        format_count(result.connections.failed),
        rate(result.connections.connect_per_s),
        rate(result.requests.per_s),
        rate(result.requests.per_s_ceiling),
        latency(|l| l.p50),
        latency(|l| l.p99),
        latency(|l| l.p999),
        result.memory_per_connection.target.user_bytes.map_or(NULL.to_owned(), |s| slope(&s)),
        memory.map_or(NULL.to_owned(), |bytes| format_bytes(bytes as f64)),
        threads.map_or(NULL.to_owned(), format_count),
        format!("{}/{}", cpu_seconds(client), cpu_seconds(target)),
        verdict_cell(result),
    ];
    Row { cells, valid: result.validity.verdict == Verdict::Valid }
}

/// CPU seconds per second of client and target in the window.
#[must_use]
pub fn cpu(result: &CaseResult) -> (Option<f64>, Option<f64>) {
    (window::client_cpu_per_s(result), window::target_cpu_per_s(result))
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

/// A name from a file must not move the cursor or colour the terminal.
pub(crate) fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
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
    }
}

//! One row per result, as cells: the text answer and the report show the same figures.
//!
//! Must not judge or compare.

use brink_wire::value::{format_bytes, format_count, format_ns};

use crate::answer::{ordered, wrap};
use crate::schema::{CaseResult, Slope, Verdict};
use crate::window;

/// Heads of the columns. The first and the last are words, the rest figures.
pub const HEADS: [&str; 14] = [
    "model",
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
    "threads",
    "CPU c/t",
    "verdict",
];
/// What the heads stand for, by line.
pub const LEGEND: [&str; 2] = [
    "mem/conn: user memory of the target per connection, slope with its 95% interval. threads: of the target, most in the window.",
    "CPU c/t: CPU seconds per second, client and target. ceiling: requests/s that the delay allows.",
];
/// Stands for a measure that is null.
pub const NULL: &str = "-";
const GAP: &str = "  ";

/// One result as cells, in the order of [`HEADS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// One for each of [`HEADS`].
    pub cells: [String; 14],
    /// Whether the result is valid.
    pub valid: bool,
}

/// A row for each result, in the order of [`ordered`]. Where label and connections do not tell results
/// apart, the first cell is the name of the case.
#[must_use]
pub fn rows(results: &[CaseResult]) -> Vec<Row> {
    let sorted = ordered(results);
    let same = |a: &CaseResult, b: &CaseResult| {
        a.case.target.label == b.case.target.label && a.case.load.connections == b.case.load.connections
    };
    let twins = |result: &CaseResult| sorted.iter().filter(|other| same(result, other)).count() > 1;
    sorted
        .iter()
        .map(|result| row(result, if twins(result) { &result.case.name } else { &result.case.target.label }))
        .collect()
}

/// The table as aligned text, with its legend; empty without results.
#[must_use]
pub fn text(results: &[CaseResult]) -> String {
    if results.is_empty() {
        return String::new();
    }
    let mut lines = vec![HEADS.map(str::to_owned)];
    lines.extend(rows(results).into_iter().map(|row| row.cells));
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|i| lines.iter().map(|cells| cells[i].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for cells in &lines {
        let mut line = String::new();
        for (i, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            match i {
                0 => line.push_str(&format!("{cell:<width$}")),
                i if i == HEADS.len() - 1 => line.push_str(&format!("{GAP}{cell}")),
                _ => line.push_str(&format!("{GAP}{cell:>width$}")),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    for line in LEGEND.iter().flat_map(|line| wrap::lines(line, 0)) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn row(result: &CaseResult, name: &str) -> Row {
    let latency = |pick: fn(&crate::schema::Latency) -> u64| {
        result.latency_ns.as_ref().map_or(NULL.to_owned(), |l| format_ns(pick(l) as f64))
    };
    let (client, target) = cpu(result);
    let threads = window::span(result).and_then(|span| window::threads_max(&result.usage.target, span));
    let verdict = match result.validity.verdict {
        Verdict::Valid => "",
        other => verdict_name(other),
    };
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
        threads.map_or(NULL.to_owned(), format_count),
        format!("{}/{}", cpu_seconds(client), cpu_seconds(target)),
        verdict.to_owned(),
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

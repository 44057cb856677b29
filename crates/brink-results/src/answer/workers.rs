//! The serving processes of a target one by one: how many connections each took, and what it used.
//!
//! Totals of single cases. Must not compare targets.

use brink_wire::value::{format_bytes, format_count};

use crate::answer::grid::{Grid, cells};
use crate::answer::naming::Names;
use crate::answer::table::{NULL, cpu_seconds};
use crate::repeats::grouped;
use crate::schema::CaseResult;
use crate::window::{self, WorkerUsage};

/// How many processes a table shows of each case.
const SHOWN_MAX: usize = 16;

/// A row for each serving process of each case that has several; `None` where no case has.
#[must_use]
pub fn grid(results: &[&CaseResult], names: &Names) -> Option<Grid> {
    let mut rows = Vec::new();
    let groups = grouped(results);
    // Which process took what differs from run to run: one run is shown, not a mean of strangers.
    for result in groups.iter().filter_map(|group| group.told().next()) {
        let workers = window::workers(result);
        let name = names.of(result);
        let connections = format_count(result.case.load.connections);
        for worker in workers.iter().take(SHOWN_MAX) {
            let mut row = vec![name.clone(), connections.clone()];
            row.extend(figures(worker));
            rows.push(row);
        }
        if workers.len() > SHOWN_MAX {
            let mut row = vec![name, connections, format!("{} more", workers.len() - SHOWN_MAX)];
            row.resize(HEADS.len(), String::new());
            rows.push(row);
        }
    }
    (!rows.is_empty()).then(|| Grid {
        title: "Serving processes one by one:".to_owned(),
        heads: cells(HEADS),
        rows,
        last_is_words: false,
        notes: [Some(LEGEND), groups.iter().any(|g| g.results.len() > 1).then_some(OF_ONE)]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect(),
    })
}

const LEGEND: &str =
    "Most in the window; CPU: seconds per second. Connections are known only of brink's own targets.";
const OF_ONE: &str = "Of the first valid run of each case.";
const HEADS: [&str; 7] = ["target", "conns", "process", "its conns", "user memory", "threads", "CPU"];

fn figures(worker: &WorkerUsage) -> [String; 5] {
    let count = |value: Option<u64>| value.map_or(NULL.to_owned(), format_count);
    [
        worker.pid.to_string(),
        count(worker.live),
        worker.user_bytes.map_or(NULL.to_owned(), |bytes| format_bytes(bytes as f64)),
        count(worker.threads),
        cpu_seconds(worker.cpu_per_s),
    ]
}

/// The serving processes in a few words: `4 processes; connections 2,480 to 2,520 each, user memory ..`. `None`
/// where there is one.
#[must_use]
pub fn summary(result: &CaseResult) -> Option<String> {
    let workers = window::workers(result);
    if workers.is_empty() {
        return None;
    }
    let spread = |pick: fn(&WorkerUsage) -> Option<u64>, format: fn(u64) -> String, what: &str| {
        let known: Vec<u64> = workers.iter().filter_map(pick).collect();
        let (low, high) = (format(*known.iter().min()?), format(*known.iter().max()?));
        Some(if low == high { format!("{low}{what}") } else { format!("{low} to {high}{what}") })
    };
    let figures = [
        spread(|w| w.live, format_count, " connections"),
        spread(|w| w.user_bytes, |bytes| format_bytes(bytes as f64), " of user memory"),
    ];
    let each: Vec<String> = figures.into_iter().flatten().collect();
    let each = if each.is_empty() { String::new() } else { format!("; each {}", each.join(", ")) };
    Some(format!("{} serving processes{each}", workers.len()))
}

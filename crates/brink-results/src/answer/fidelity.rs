//! How far each target's own wait was off what was asked, side by side at equal connections.
//!
//! Valid results only. Must not explain a target by more than what its model is known to wait with.

use brink_wire::value::{format_count, format_ns};

use crate::answer::grid::Grid;
use crate::answer::naming::Names;
use crate::answer::table::NULL;
use crate::schema::{CaseResult, DelayError, Verdict};
use crate::statistics::median;

/// Columns of connection counts in one table, so that it keeps to the width of the answer.
const COUNTS_MAX: usize = 4;
/// Models that wait by tokio's timer.
const ON_TOKIO: [&str; 3] = ["tokio", "tokio-local", "hyper"];

/// The results that say how far a wait that was asked was off.
pub(crate) fn told<'a>(results: &[&'a CaseResult]) -> Vec<(&'a CaseResult, DelayError)> {
    let asked = |r: &CaseResult| r.case.asked_delay_ns().is_some_and(|ns| ns > 0);
    let valid = results.iter().copied().filter(|r| r.validity.verdict == Verdict::Valid && asked(r));
    valid.filter_map(|r| Some((r, r.delay_error_ns?))).collect()
}

/// Rows by target, columns by connections, `p50/p99` in the cells; none unless several targets say.
#[must_use]
pub fn grids(results: &[&CaseResult], names: &Names) -> Vec<Grid> {
    let told = told(results);
    let named: Vec<(String, u64, DelayError)> =
        told.iter().map(|(r, error)| (names.of(r), r.case.load.connections, *error)).collect();
    let mut rows: Vec<&str> = named.iter().map(|n| n.0.as_str()).collect();
    rows.dedup();
    if rows.len() < 2 {
        return Vec::new();
    }
    let mut counts: Vec<u64> = named.iter().map(|n| n.1).collect();
    counts.sort_unstable();
    counts.dedup();
    let on_tokio: Vec<&str> =
        ON_TOKIO.into_iter().filter(|model| told.iter().any(|t| t.0.case.target.model == *model)).collect();
    let is_repeated = told.iter().any(|t| t.0.case.repeat > 1);
    let grid = |part: &[u64]| {
        let heads = part.iter().map(|count| format!("{} conns", format_count(*count)));
        let row = |name: &&str| {
            let cell = |count: &u64| {
                let same: Vec<DelayError> =
                    named.iter().filter(|n| n.0 == *name && n.1 == *count).map(|n| n.2).collect();
                cell(&same)
            };
            std::iter::once((*name).to_owned()).chain(part.iter().map(cell)).collect()
        };
        Grid {
            title: "How far a target's own wait was off the delay asked, p50/p99:".to_owned(),
            heads: std::iter::once("target".to_owned()).chain(heads).collect(),
            rows: rows.iter().map(row).collect(),
            last_is_words: false,
            notes: Vec::new(),
        }
    };
    let mut grids: Vec<Grid> = counts.chunks(COUNTS_MAX).map(grid).collect();
    if let Some(last) = grids.last_mut() {
        if is_repeated {
            last.notes.push("Medians of the repeats.".to_owned());
        }
        if !on_tokio.is_empty() {
            let models = super::listed(&on_tokio.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>());
            last.notes.push(format!("tokio's timer counts whole milliseconds and rounds up: {models}."));
        }
    }
    grids
}

fn cell(same: &[DelayError]) -> String {
    let middle = |pick: fn(&DelayError) -> u64| {
        median(&same.iter().map(|e| pick(e) as f64).collect::<Vec<f64>>()).map(format_ns)
    };
    match (middle(|e| e.p50), middle(|e| e.p99)) {
        (Some(p50), Some(p99)) => format!("{p50}/{p99}"),
        _ => NULL.to_owned(),
    }
}

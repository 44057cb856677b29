//! Tables of what single workloads measure beside rate and latency: bursts, open loops, churn.
//!
//! One row per case, medians of its valid runs. Must not judge or compare.

use brink_wire::value::{format_count, format_ns};

use crate::answer::grid::{Grid, cells};
use crate::answer::naming::Names;
use crate::answer::table::{NULL, rate, verdict_of};
use crate::answer::workload::floor;
use crate::case::Workload;
use crate::repeats::{Repeats, grouped};
use crate::schema::CaseResult;

/// A table for each workload that has figures of its own, in a fixed order.
#[must_use]
pub fn grids(results: &[&CaseResult], names: &Names) -> Vec<Grid> {
    let of = |is: fn(&CaseResult) -> bool| -> Vec<Repeats<'_>> {
        grouped(&results.iter().copied().filter(|r| is(r)).collect::<Vec<_>>())
    };
    let open = of(|r| matches!(r.case.load.workload, Workload::Open { .. }));
    let counted = of(|r| r.makespan_ns.is_some() || r.case.load.workload == Workload::Burst);
    let churn = of(|r| matches!(r.case.load.workload, Workload::Churn { .. }));
    let background = super::background::grid(results, names);
    [bursts(&counted, names), opens(&open, names), churns(&churn, names), background]
        .into_iter()
        .filter(|grid| !grid.rows.is_empty())
        .collect()
}

fn grid(title: &str, heads: Vec<String>, rows: Vec<Vec<String>>, notes: Vec<String>) -> Grid {
    Grid { title: title.to_owned(), heads, rows, last_is_words: true, notes }.without_empty_last()
}

/// The median of a time in nanoseconds.
fn time(group: &Repeats, pick: impl Fn(&CaseResult) -> Option<u64>) -> String {
    group.median(|r| pick(r).map(|ns| ns as f64)).map_or(NULL.to_owned(), format_ns)
}

/// The median of a count.
fn count(group: &Repeats, pick: fn(&CaseResult) -> u64) -> String {
    group.median(|r| Some(pick(r) as f64)).map_or(NULL.to_owned(), |n| format_count(n.round() as u64))
}

fn bursts(groups: &[Repeats], names: &Names) -> Grid {
    let row = |group: &Repeats| {
        let r = group.first();
        let floor = floor(r);
        vec![
            names.of(r),
            format_count(r.case.load.connections),
            r.case.load.requests.map_or(NULL.to_owned(), format_count),
            time(group, |r| r.makespan_ns),
            floor.map_or(NULL.to_owned(), |floor| format_ns(floor.ns() as f64)),
            time(group, |r| Some(r.makespan_ns?.saturating_sub(floor?.ns()))),
            floor.map_or(NULL.to_owned(), super::workload::Floor::words),
            verdict_of(group),
        ]
    };
    grid(
        "A fixed number of requests, from the first request to the last reply:",
        cells(["target", "conns", "requests", "makespan", "floor", "above", "floor is", "verdict"]),
        groups.iter().map(row).collect(),
        cells([
            "floor: the requests over those that the client has under way at once, times the delay asked.",
        ]),
    )
}

fn opens(groups: &[Repeats], names: &Names) -> Grid {
    let row = |group: &Repeats| {
        let r = group.first();
        vec![
            names.of(r),
            format_count(r.case.load.connections),
            rate(r.requests.per_s_intended),
            rate(group.median(|r| r.requests.per_s)),
            count(group, |r| r.requests.backlog_peak),
            count(group, |r| r.requests.not_sent),
            time(group, |r| Some(r.schedule_lag_ns?.p99)),
            time(group, |r| Some(r.latency_ns.as_ref()?.max)),
            verdict_of(group),
        ]
    };
    grid(
        "Open loops, latency counted from when a request was due:",
        cells([
            "target",
            "conns",
            "intended/s",
            "done/s",
            "backlog",
            "not sent",
            "lag p99",
            "max",
            "verdict",
        ]),
        groups.iter().map(row).collect(),
        cells([
            "backlog: most requests that waited for an idle connection at one time. lag: how late requests went out \
             although a connection was idle, which is the client's own doing. max: of latency.",
        ]),
    )
}

fn churns(groups: &[Repeats], names: &Names) -> Grid {
    let row = |group: &Repeats| {
        let r = group.first();
        vec![
            names.of(r),
            format_count(r.case.load.connections),
            rate(group.median(|r| r.requests.per_s)),
            time(group, |r| Some(r.connections.connect_latency_ns?.p50)),
            time(group, |r| Some(r.connections.connect_latency_ns?.p99)),
            time(group, |r| Some(r.latency_ns.as_ref()?.p50)),
            time(group, |r| Some(r.latency_ns.as_ref()?.p99)),
            verdict_of(group),
        ]
    };
    grid(
        "Churn, each request on a connection of its own:",
        cells(["target", "at once", "conns/s", "connect p50", "p99", "whole p50", "p99", "verdict"]),
        groups.iter().map(row).collect(),
        cells([
            "connect: until the connection is established. whole: from the beginning of connecting to the reply.",
        ]),
    )
}

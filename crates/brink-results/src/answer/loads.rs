//! Tables of what single workloads measure beside rate and latency: bursts, open loops, churn.
//!
//! One row per result. Must not judge or compare.

use brink_wire::value::{format_count, format_ns};

use crate::answer::grid::{Grid, cells};
use crate::answer::naming::Names;
use crate::answer::table::{NULL, rate, verdict_cell};
use crate::answer::workload::floor;
use crate::case::Workload;
use crate::schema::CaseResult;

/// A table for each workload that has figures of its own, in a fixed order.
#[must_use]
pub fn grids(results: &[&CaseResult], names: &Names) -> Vec<Grid> {
    let of = |is: fn(&CaseResult) -> bool| -> Vec<&CaseResult> {
        results.iter().copied().filter(|r| is(r)).collect()
    };
    let open = of(|r| matches!(r.case.load.workload, Workload::Open { .. }));
    let counted = of(|r| r.makespan_ns.is_some() || r.case.load.workload == Workload::Burst);
    let churn = of(|r| matches!(r.case.load.workload, Workload::Churn { .. }));
    [bursts(&counted, names), opens(&open, names), churns(&churn, names)]
        .into_iter()
        .filter(|grid| !grid.rows.is_empty())
        .collect()
}

fn grid(title: &str, heads: Vec<String>, rows: Vec<Vec<String>>, notes: Vec<String>) -> Grid {
    Grid { title: title.to_owned(), heads, rows, last_is_words: true, notes }.without_empty_last()
}

fn time(ns: Option<u64>) -> String {
    ns.map_or(NULL.to_owned(), |ns| format_ns(ns as f64))
}

fn bursts(results: &[&CaseResult], names: &Names) -> Grid {
    let row = |r: &&CaseResult| {
        let floor = floor(r);
        let over = r.makespan_ns.zip(floor).map(|(ns, floor)| ns.saturating_sub(floor.ns()));
        vec![
            names.of(r),
            format_count(r.case.load.connections),
            r.case.load.requests.map_or(NULL.to_owned(), format_count),
            time(r.makespan_ns),
            time(floor.map(super::workload::Floor::ns)),
            time(over),
            floor.map_or(NULL.to_owned(), super::workload::Floor::words),
            verdict_cell(r),
        ]
    };
    grid(
        "A fixed number of requests, from the first request to the last reply:",
        cells(["target", "conns", "requests", "makespan", "floor", "above", "floor is", "verdict"]),
        results.iter().map(row).collect(),
        cells([
            "floor: the requests over those that the client has under way at once, times the delay asked.",
        ]),
    )
}

fn opens(results: &[&CaseResult], names: &Names) -> Grid {
    let row = |r: &&CaseResult| {
        let q = &r.requests;
        vec![
            names.of(r),
            format_count(r.case.load.connections),
            rate(q.per_s_intended),
            rate(q.per_s),
            format_count(q.backlog_peak),
            format_count(q.not_sent),
            time(r.schedule_lag_ns.map(|lag| lag.p99)),
            time(r.latency_ns.as_ref().map(|l| l.max)),
            verdict_cell(r),
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
        results.iter().map(row).collect(),
        cells([
            "backlog: most requests that waited for an idle connection at one time. lag: how late requests went out \
             although a connection was idle, which is the client's own doing. max: of latency.",
        ]),
    )
}

fn churns(results: &[&CaseResult], names: &Names) -> Grid {
    let row = |r: &&CaseResult| {
        let connect = r.connections.connect_latency_ns;
        vec![
            names.of(r),
            format_count(r.case.load.connections),
            rate(r.requests.per_s),
            time(connect.map(|l| l.p50)),
            time(connect.map(|l| l.p99)),
            time(r.latency_ns.as_ref().map(|l| l.p50)),
            time(r.latency_ns.as_ref().map(|l| l.p99)),
            verdict_cell(r),
        ]
    };
    grid(
        "Churn, each request on a connection of its own:",
        cells(["target", "at once", "conns/s", "connect p50", "p99", "whole p50", "p99", "verdict"]),
        results.iter().map(row).collect(),
        cells([
            "connect: until the connection is established. whole: from the beginning of connecting to the reply.",
        ]),
    )
}

//! The other load of a target while it was measured: in words, and what became of it.
//!
//! Repeats what the result says. Must not judge.

use std::time::Duration;

use brink_wire::value::{format_count, format_duration, format_ns};

use crate::answer::grid::{Grid, cells};
use crate::answer::naming::{Names, arrivals_name};
use crate::answer::table::{NULL, rate, verdict_of};
use crate::case::{BackgroundCase, Workload};
use crate::repeats::{Repeats, grouped};
use crate::schema::{Background, CaseResult, Latency};

/// `1 connection, open at 2/s (fixed), each asks work 200ms`
#[must_use]
pub fn in_short(own: &BackgroundCase) -> String {
    let time = |ns: u64| format_duration(Duration::from_nanos(ns));
    let connections = match own.connections {
        1 => "1 connection".to_owned(),
        many => format!("{} connections", format_count(many)),
    };
    let mut text = match own.workload {
        Workload::Open { rate_per_s, arrivals } => {
            format!("{connections}, open at {}/s ({})", rate(Some(rate_per_s)), arrivals_name(arrivals))
        }
        Workload::Closed { think_ns } | Workload::Churn { think_ns } if think_ns > 0 => {
            format!("{connections}, {}, think {}", own.workload.name(), time(think_ns))
        }
        other => format!("{connections}, {}", other.name()),
    };
    let work_ns = own.work_us.map(|us| u64::from(us) * 1_000);
    let asks: Vec<String> = [("delay", own.delay_ns), ("work", work_ns)]
        .into_iter()
        .filter_map(|(what, ns)| Some(format!("{what} {}", time(ns?))))
        .collect();
    if !asks.is_empty() {
        text.push_str(&format!(", each asks {}", asks.join(" and ")));
    }
    text
}

/// What became of it: `20 answered, 0 failed; p50 200 ms, p99 201 ms, max 201 ms`.
#[must_use]
pub(super) fn outcome(seen: &Background) -> String {
    let requests = &seen.requests;
    let mut text =
        format!("{} answered, {} failed", format_count(requests.completed), format_count(requests.failed));
    if requests.not_sent > 0 {
        text.push_str(&format!(", {} never sent", format_count(requests.not_sent)));
    }
    let connections = &seen.connections;
    if connections.opened < connections.requested {
        text.push_str(&format!(
            ", {} of {} connections opened",
            format_count(connections.opened),
            format_count(connections.requested)
        ));
    }
    if let Some(Latency { p50, p99, max, .. }) = &seen.latency_ns {
        let [p50, p99, max] = [p50, p99, max].map(|ns| format_ns(*ns as f64));
        text.push_str(&format!("; p50 {p50}, p99 {p99}, max {max}"));
    }
    text
}

/// One row for each case that had one: what it asked, what became of it, and how long the others took meanwhile.
pub(super) fn grid(results: &[&CaseResult], names: &Names) -> Grid {
    let beside: Vec<&CaseResult> = results.iter().copied().filter(|r| r.background.is_some()).collect();
    let row = |group: &Repeats| {
        let r = group.first();
        let time = |pick: fn(&CaseResult) -> Option<u64>| {
            group.median(|r| pick(r).map(|ns| ns as f64)).map_or(NULL.to_owned(), format_ns)
        };
        let count = |pick: fn(&Background) -> u64| {
            let found = group.median(|r| Some(pick(r.background.as_ref()?) as f64));
            found.map_or(NULL.to_owned(), |n| format_count(n.round() as u64))
        };
        vec![
            names.of(r),
            format_count(r.case.load.connections),
            r.case.load.background.as_ref().map_or(NULL.to_owned(), |own| format_count(own.connections)),
            count(|b| b.requests.completed),
            count(|b| b.requests.failed),
            time(|r| Some(r.background.as_ref()?.latency_ns.as_ref()?.p99)),
            time(|r| Some(r.latency_ns.as_ref()?.p50)),
            time(|r| Some(r.latency_ns.as_ref()?.p99)),
            verdict_of(group),
        ]
    };
    Grid {
        title: "Beside another load of the same target, the background (b.):".to_owned(),
        heads: cells([
            "target",
            "conns",
            "b. conns",
            "b. answered",
            "b. failed",
            "b. p99",
            "p50",
            "p99",
            "verdict",
        ]),
        rows: grouped(&beside).iter().map(row).collect(),
        last_is_words: true,
        notes: Vec::new(),
    }
    .without_empty_last()
}

//! Why a measure is null: a reason for each that the workload has and the result has not.
//!
//! Explains, accuses nothing.

use brink_wire::delay::Delay;

use super::cycle::is_counted;
use crate::case::{Origin, Workload};
use crate::schema::CaseResult;

/// Why a hold has no figures of requests.
pub(crate) const NO_REQUESTS: &str =
    "requests.per_s, latency_ns, delay_error_ns: hold without heartbeat makes no requests in its window";

/// A reason for each measure that is null although its workload has it.
pub(super) fn nulls(result: &CaseResult) -> Vec<String> {
    let asks = !matches!(result.case.load.workload, Workload::Hold { heartbeat_ns: None });
    let requests = &result.requests;
    let told = [
        (
            result.connections.connect_per_s.is_none(),
            "connections.connect_per_s: too few connections opened to tell a rate",
        ),
        (
            result.connections.connect_latency_ns.is_none(),
            "connections.connect_latency_ns: no connection was established",
        ),
        (!asks, NO_REQUESTS),
        (asks && requests.per_s.is_none(), "requests.per_s: there was no measuring window"),
        (asks && result.latency_ns.is_none(), "latency_ns: no request of the window was answered"),
        (
            asks && requests.per_s_ceiling.is_none(),
            "requests.per_s_ceiling: the target's delay is zero or unknown",
        ),
    ];
    let mut reasons: Vec<String> = told.iter().filter(|t| t.0).map(|t| t.1.to_owned()).collect();
    reasons.extend(of_workload(result).map(str::to_owned));
    reasons.extend(of_target(result, asks).map(str::to_owned));
    reasons
}

fn of_workload(result: &CaseResult) -> impl Iterator<Item = &'static str> {
    let load = &result.case.load;
    let is_open = matches!(load.workload, Workload::Open { .. });
    let answered = result.latency_ns.is_some();
    let told = [
        (
            is_open && answered && result.schedule_lag_ns.is_none(),
            "schedule_lag_ns: no request of the window found a connection idle when it was due, or the engine does \
             not say",
        ),
        // That all were answered and it is null is told as a fault.
        (
            is_counted(&result.case) && result.makespan_ns.is_none() && result.requests.failed > 0,
            "makespan_ns: not all requests were answered as they should be",
        ),
    ];
    told.into_iter().filter(|t| t.0).map(|t| t.1)
}

fn of_target(result: &CaseResult, asks: bool) -> impl Iterator<Item = &'static str> {
    let says = result.facts.target.is_some();
    let drawn = !matches!(result.case.target.delay, Delay::Fixed(_)) && result.case.load.delay_ns.is_none();
    let is_ours = result.case.target.origin == Origin::Started;
    let counts = result.target_counters.is_some();
    let told = [
        (
            asks && result.latency_ns.is_some() && result.delay_error_ns.is_none(),
            if drawn && says {
                "delay_error_ns: the target draws its waits, and the client does not know which one was drawn"
            } else {
                "delay_error_ns: the target does not say how long it waited"
            },
        ),
        (!says, "facts.target, target_counters: the target does not say"),
        (
            says && !counts,
            if is_ours {
                "target_counters: the target's last answer is missing"
            } else {
                "target_counters: the target has no control plane, or its last answer is missing"
            },
        ),
        (
            !counts
                && !result.usage.target.is_empty()
                && result.usage.target.iter().all(|s| s.requests.is_none()),
            "usage.target: sampled from /proc, where live connections and requests are not told",
        ),
    ];
    told.into_iter().filter(|t| t.0).map(|t| t.1)
}

//! A workload in words, and what it measured beside rate and latency.
//!
//! Arithmetic of the case only. Must not judge: `verdict` does.

use std::time::Duration;

use brink_wire::value::{format_count, format_duration, format_ns};

use crate::answer::naming::{arrivals_name, protocol};
use crate::answer::table::{NULL, rate};
use crate::case::{LoadCase, Protocol, Workload};
use crate::schema::CaseResult;

/// `open at 1,000/s (fixed)`, `burst of 50 requests`, `closed, think 10ms`; with the protocol where it is not brink's.
#[must_use]
pub fn words(load: &LoadCase) -> String {
    let time = |ns: u64| format_duration(Duration::from_nanos(ns));
    let count = load.requests.map(format_count);
    let mut text = match load.workload {
        Workload::Hold { heartbeat_ns: None } => "hold".to_owned(),
        Workload::Hold { heartbeat_ns: Some(ns) } => format!("hold, heartbeat {}", time(ns)),
        Workload::Closed { think_ns: 0 } => "closed".to_owned(),
        Workload::Closed { think_ns } => format!("closed, think {}", time(think_ns)),
        Workload::Open { rate_per_s, arrivals } => {
            format!("open at {}/s ({})", rate(Some(rate_per_s)), arrivals_name(arrivals))
        }
        Workload::Burst => format!("burst of {} requests", count.as_deref().unwrap_or(NULL)),
        Workload::Churn { think_ns: 0 } => "churn".to_owned(),
        Workload::Churn { think_ns } => format!("churn, think {}", time(think_ns)),
    };
    if let (Some(count), false) = (&count, load.workload == Workload::Burst) {
        text.push_str(&format!(", {count} requests"));
    }
    if load.protocol != Protocol::Frame {
        text.push_str(&format!(", {}", protocol(&load.protocol)));
    }
    if load.climb.is_some() {
        text.push_str(", climbing");
    }
    if let Some(own) = &load.background {
        text.push_str(&format!(", beside {}", super::background::in_short(own)));
    }
    text
}

/// The least time that a burst can take: as many waits one after the other as its requests need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// Requests that go one after the other.
    pub waves: u64,
    /// What each of them waits for, in nanoseconds.
    pub delay_ns: u64,
}

impl Floor {
    /// In nanoseconds.
    #[must_use]
    pub fn ns(self) -> u64 {
        self.waves.saturating_mul(self.delay_ns)
    }

    /// `1 wave of 100ms`.
    #[must_use]
    pub fn words(self) -> String {
        let waves = if self.waves == 1 { "wave" } else { "waves" };
        format!(
            "{} {waves} of {}",
            format_count(self.waves),
            format_duration(Duration::from_nanos(self.delay_ns))
        )
    }
}

/// The floor of a makespan: the requests over what the client's engine has under way at once (each connection;
/// for `pool` each of its threads; for `sequential` one), times the delay asked. `None` where the number of requests
/// or the wait is not known. What the target can wait out at once is not in it.
#[must_use]
pub fn floor(result: &CaseResult) -> Option<Floor> {
    let load = &result.case.load;
    let requests = load.requests?;
    let waits = result.delay_error_ns.is_some() || result.requests.per_s_ceiling.is_some();
    let delay_ns = result.case.asked_delay_ns().filter(|ns| *ns > 0 && waits)?;
    let at_once = match load.engine.as_str() {
        "sequential" => 1,
        "pool" => load.connections.min(u64::from(load.threads)),
        _ => load.connections,
    };
    (at_once > 0).then(|| Floor { waves: requests.div_ceil(at_once), delay_ns })
}

/// What took how long where the number of requests is fixed.
pub(super) fn makespan(result: &CaseResult) -> Option<String> {
    let ns = result.makespan_ns?;
    let mut text = format!("{} from the first request to the last reply", format_ns(ns as f64));
    if let Some(floor) = floor(result) {
        text.push_str(&format!(
            "; {} at least by arithmetic ({}), {} above it",
            format_ns(floor.ns() as f64),
            floor.words(),
            format_ns(ns.saturating_sub(floor.ns()) as f64)
        ));
    }
    Some(text)
}

/// How an open loop kept its rate.
pub(super) fn schedule(result: &CaseResult) -> String {
    let r = &result.requests;
    let lag = result.schedule_lag_ns.map_or(NULL.to_owned(), |lag| {
        let [p50, p99, max] = [lag.p50, lag.p99, lag.max].map(|ns| format_ns(ns as f64));
        format!("p50 {p50}, p99 {p99}, max {max}")
    });
    format!(
        "{}/s intended, {}/s completed; up to {} waited for an idle connection, {} never sent; late although a connection \
         was idle: {lag}",
        rate(r.per_s_intended),
        rate(r.per_s),
        format_count(r.backlog_peak),
        format_count(r.not_sent),
    )
}

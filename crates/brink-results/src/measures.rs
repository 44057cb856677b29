//! What a result is compared by: one row for each measure, with its name, its unit and what is better.
//!
//! One row drives the answer, comparisons and gates. Picks from a result and reckons nothing but units.

use brink_wire::value::{format_bytes, format_count, format_ns};

use crate::answer::table::rate;
use crate::schema::{CaseResult, Ceiling, Latency, Slope};
use crate::statistics::{Observation, Scale};
use crate::window;

/// Width of a histogram's bucket at three significant digits, as a share of its value, halved.
const HDR_HALF: f64 = 0.000_5;

/// A measure of a result.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Its place in the result, as a gate names it: `latency_ns.p99`.
    pub name: &'static str,
    /// How a gate may call it for short; empty: it has no short name.
    pub short: &'static str,
    /// In words, for tables.
    pub words: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// Which way is better.
    pub better: Better,
    /// Whether `compare` lists it unasked.
    pub is_compared: bool,
    /// The value of one result; `None` where it was not measured.
    pub pick: fn(&CaseResult) -> Option<Observation>,
}

/// What a measure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Per second.
    PerSecond,
    /// A plain number.
    Count,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less is.
    Lower,
    /// More is.
    Higher,
}

impl Unit {
    /// A value in words: `1.02 ms`, `9,980/s`.
    #[must_use]
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Ns => format_ns(value),
            Self::Seconds => format_ns(value * 1e9),
            Self::Bytes => format_bytes(value),
            Self::PerSecond => format!("{}/s", rate(Some(value))),
            Self::Count => format_count(value.round() as u64),
        }
    }
}

impl Measure {
    /// By factors where it cannot reach zero, else by amounts.
    #[must_use]
    pub fn scale(&self) -> Scale {
        match self.unit {
            Unit::Ns | Unit::Seconds | Unit::PerSecond => Scale::Ratio,
            Unit::Bytes | Unit::Count => Scale::Amount,
        }
    }

    /// The measures of a result by name or short name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        MEASURES.iter().find(|measure| measure.name == name || (!name.is_empty() && measure.short == name))
    }
}

/// All of them, in the order of tables.
pub const MEASURES: &[Measure] = &[
    compared("requests.per_s", "per_s", "requests/s", Unit::PerSecond, Better::Higher, |r| {
        plain(r.requests.per_s)
    }),
    compared("makespan_ns", "makespan", "makespan", Unit::Ns, Better::Lower, |r| {
        plain(r.makespan_ns.map(|ns| ns as f64))
    }),
    compared("latency_ns.p50", "p50", "latency p50", Unit::Ns, Better::Lower, |r| latency(r, |l| l.p50)),
    compared("latency_ns.p90", "p90", "latency p90", Unit::Ns, Better::Lower, |r| latency(r, |l| l.p90)),
    compared("latency_ns.p99", "p99", "latency p99", Unit::Ns, Better::Lower, |r| latency(r, |l| l.p99)),
    only("latency_ns.p999", "p999", "latency p99.9", Unit::Ns, Better::Lower, |r| latency(r, |l| l.p999)),
    only("latency_ns.p9999", "p9999", "latency p99.99", Unit::Ns, Better::Lower, |r| latency(r, |l| l.p9999)),
    only("latency_ns.max", "max", "latency max", Unit::Ns, Better::Lower, |r| latency(r, |l| l.max)),
    only("latency_ns.mean", "mean", "latency mean", Unit::Ns, Better::Lower, |r| {
        plain(r.latency_ns.as_ref().map(|l| l.mean))
    }),
    only("delay_error_ns.p50", "", "delay off by, p50", Unit::Ns, Better::Lower, |r| {
        plain(r.delay_error_ns.map(|e| e.p50 as f64))
    }),
    only("delay_error_ns.p99", "", "delay off by, p99", Unit::Ns, Better::Lower, |r| {
        plain(r.delay_error_ns.map(|e| e.p99 as f64))
    }),
    only("schedule_lag_ns.p99", "", "schedule lag p99", Unit::Ns, Better::Lower, |r| {
        plain(r.schedule_lag_ns.map(|e| e.p99 as f64))
    }),
    compared(
        "cpu_s_per_request.target",
        "target_cpu",
        "target CPU per request",
        Unit::Seconds,
        Better::Lower,
        |r| plain(window::target_cpu_s_per_request(r)),
    ),
    compared(
        "memory_per_connection.target.user_bytes",
        "target_memory",
        "target memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.target.user_bytes),
    ),
    compared(
        "memory_per_connection.client.user_bytes",
        "client_memory",
        "client memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.client.user_bytes),
    ),
    only(
        "memory_per_connection.target.virtual_bytes",
        "",
        "target virtual memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.target.virtual_bytes),
    ),
    only(
        "memory_per_connection.target.page_table_bytes",
        "",
        "target page table memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.target.page_table_bytes),
    ),
    only(
        "memory_per_connection.target.kernel_bytes",
        "",
        "target kernel memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.target.kernel_bytes),
    ),
    only(
        "memory_per_connection.target.kernel_stack_bytes",
        "",
        "target kernel stack memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.target.kernel_stack_bytes),
    ),
    only(
        "memory_per_connection.target.slab_bytes",
        "",
        "target slab memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.target.slab_bytes),
    ),
    only(
        "memory_per_connection.client.virtual_bytes",
        "",
        "client virtual memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.client.virtual_bytes),
    ),
    only(
        "memory_per_connection.client.page_table_bytes",
        "",
        "client page table memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.client.page_table_bytes),
    ),
    only(
        "memory_per_connection.client.kernel_bytes",
        "",
        "client kernel memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.client.kernel_bytes),
    ),
    only(
        "memory_per_connection.client.kernel_stack_bytes",
        "",
        "client kernel stack memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.client.kernel_stack_bytes),
    ),
    only(
        "memory_per_connection.client.slab_bytes",
        "",
        "client slab memory/connection",
        Unit::Bytes,
        Better::Lower,
        |r| slope(r.memory_per_connection.client.slab_bytes),
    ),
    only("connections.connect_per_s", "connect_per_s", "connects/s", Unit::PerSecond, Better::Higher, |r| {
        plain(r.connections.connect_per_s)
    }),
    only("connections.connect_latency_ns.p50", "", "connect p50", Unit::Ns, Better::Lower, |r| {
        plain(r.connections.connect_latency_ns.map(|l| l.p50 as f64))
    }),
    only("connections.connect_latency_ns.p99", "", "connect p99", Unit::Ns, Better::Lower, |r| {
        plain(r.connections.connect_latency_ns.map(|l| l.p99 as f64))
    }),
    only("connections.requested", "requested", "connections requested", Unit::Count, Better::Higher, |r| {
        whole(r.connections.requested)
    }),
    only("connections.opened", "opened", "connections opened", Unit::Count, Better::Higher, |r| {
        whole(r.connections.opened)
    }),
    only("connections.failed", "", "connections failed", Unit::Count, Better::Lower, |r| {
        whole(r.connections.failed)
    }),
    only(
        "connections.closed_early",
        "closed_early",
        "connections closed early",
        Unit::Count,
        Better::Lower,
        |r| whole(r.connections.closed_early),
    ),
    only("connections.peak_live", "peak_live", "connections peak live", Unit::Count, Better::Higher, |r| {
        whole(r.connections.peak_live)
    }),
    only("requests.intended", "intended", "requests intended", Unit::Count, Better::Higher, |r| {
        whole(r.requests.intended)
    }),
    only("requests.completed", "completed", "requests completed", Unit::Count, Better::Higher, |r| {
        whole(r.requests.completed)
    }),
    only("requests.failed", "failed", "requests failed", Unit::Count, Better::Lower, |r| {
        whole(r.requests.failed)
    }),
    only("requests.non_2xx", "non_2xx", "replies not 2xx", Unit::Count, Better::Lower, |r| {
        whole(r.requests.non_2xx)
    }),
    only("requests.not_sent", "not_sent", "requests not sent", Unit::Count, Better::Lower, |r| {
        whole(r.requests.not_sent)
    }),
    only(
        "requests.per_s_ceiling",
        "",
        "requests/s that the delay allows",
        Unit::PerSecond,
        Better::Higher,
        |r| plain(r.requests.per_s_ceiling),
    ),
    compared("ceiling.at_connections", "ceiling", "ceiling", Unit::Count, Better::Higher, |r| {
        ceiling(r.ceiling.as_ref()?)
    }),
    only("usage.client.user_bytes", "client_rss", "client memory, most", Unit::Bytes, Better::Lower, |r| {
        plain(window::user_bytes_max(&r.usage.client, window::span(r)?).map(|b| b as f64))
    }),
    only("usage.target.user_bytes", "target_rss", "target memory, most", Unit::Bytes, Better::Lower, |r| {
        plain(window::user_bytes_max(&r.usage.target, window::span(r)?).map(|b| b as f64))
    }),
    only("usage.target.threads", "target_threads", "target threads, most", Unit::Count, Better::Lower, |r| {
        plain(window::threads_max(&r.usage.target, window::span(r)?).map(|n| n as f64))
    }),
    only("background.latency_ns.p50", "", "background latency p50", Unit::Ns, Better::Lower, |r| {
        of_background(r, |l| l.p50)
    }),
    only("background.latency_ns.p99", "", "background latency p99", Unit::Ns, Better::Lower, |r| {
        of_background(r, |l| l.p99)
    }),
    only("background.latency_ns.max", "", "background latency max", Unit::Ns, Better::Lower, |r| {
        of_background(r, |l| l.max)
    }),
    only(
        "background.requests.completed",
        "",
        "background requests completed",
        Unit::Count,
        Better::Higher,
        |r| whole(r.background.as_ref()?.requests.completed),
    ),
    only("background.requests.failed", "", "background requests failed", Unit::Count, Better::Lower, |r| {
        whole(r.background.as_ref()?.requests.failed)
    }),
];

type Pick = fn(&CaseResult) -> Option<Observation>;

const fn compared(
    name: &'static str,
    short: &'static str,
    words: &'static str,
    unit: Unit,
    better: Better,
    pick: Pick,
) -> Measure {
    Measure { name, short, words, unit, better, is_compared: true, pick }
}

const fn only(
    name: &'static str,
    short: &'static str,
    words: &'static str,
    unit: Unit,
    better: Better,
    pick: Pick,
) -> Measure {
    Measure { name, short, words, unit, better, is_compared: false, pick }
}

fn plain(value: Option<f64>) -> Option<Observation> {
    value.map(|value| Observation { value, half: 0.0 })
}

fn whole(count: u64) -> Option<Observation> {
    plain(Some(count as f64))
}

/// Its interval is the range of the ways up, where there were several; at least one connection on either side.
fn ceiling(ceiling: &Ceiling) -> Option<Observation> {
    let (value, ways) = (ceiling.at_connections as f64, ceiling.climbs.iter().map(|c| c.connections as f64));
    let off = ways.map(|way| (way - value).abs()).fold(1.0, f64::max);
    Some(Observation { value, half: if ceiling.climbs.len() > 1 { off } else { 0.0 } })
}

fn latency(result: &CaseResult, pick: fn(&Latency) -> u64) -> Option<Observation> {
    result.latency_ns.as_ref().map(|latency| timed(pick(latency)))
}

fn of_background(result: &CaseResult, pick: fn(&Latency) -> u64) -> Option<Observation> {
    result.background.as_ref()?.latency_ns.as_ref().map(|latency| timed(pick(latency)))
}

/// What a histogram tells, as exactly as it can.
fn timed(ns: u64) -> Observation {
    let value = ns as f64;
    Observation { value, half: HDR_HALF * value }
}

fn slope(slope: Option<Slope>) -> Option<Observation> {
    slope.as_ref().map(of_slope)
}

/// A slope with half of its own interval.
pub(crate) fn of_slope(slope: &Slope) -> Observation {
    Observation { value: slope.slope, half: (slope.ci95[1] - slope.ci95[0]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_found() {
        let mut seen = BTreeSet::new();
        for measure in MEASURES {
            assert!(seen.insert(measure.name), "{} is there twice", measure.name);
            assert!(
                measure.short.is_empty() || seen.insert(measure.short),
                "{} is there twice",
                measure.short
            );
            assert_eq!(Measure::find(measure.name).unwrap().name, measure.name);
        }
        assert_eq!(Measure::find("p99").unwrap().name, "latency_ns.p99");
        assert!(Measure::find("").is_none());
    }
}

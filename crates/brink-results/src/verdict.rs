//! May the figures of a result be believed? Facts in, verdict and reasons out.
//!
//! Pure. Must not name limits: `failure_point` already has.

use std::time::Duration;

use brink_wire::delay::Delay;
use brink_wire::value::{format_count, format_duration, format_ns};

use crate::case::{Case, Workload};
use crate::schema::{CaseResult, Validity, Verdict};
use crate::window;

/// Share of the CPU it may use from which a client counts as the bottleneck.
pub const CLIENT_CPU_SHARE_MAX: f64 = 0.9;
/// Difference in completion rate between the two ends of the window from which a result is unsteady.
pub const DRIFT_MAX: f64 = 0.1;
/// Fewest replies that tell a rate where the cycle of a connection is not known.
pub const REPLIES_MIN: u64 = 20;
/// Shortest window that tells a rate, in nanoseconds. A thread may lose its CPU for some
/// milliseconds (a slice, rounded up to ticks: kernel/sched/fair.c), which must not be most of the window.
pub const WINDOW_NS_MIN: u64 = 10_000_000;
/// What `failure_point.limit` says where no limit can be named.
const LIMIT_UNKNOWN: &str = "unknown";

/// Why a hold has no figures of requests.
pub(crate) const NO_REQUESTS: &str =
    "requests.per_s, latency_ns, delay_error_ns: hold without heartbeat makes no requests in its window";

/// What a verdict is made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The result with everything but its `validity`, which is not looked at.
    pub result: &'a CaseResult,
    /// What cut the case short, if anything: `stopped by SIGINT`.
    pub interrupted: Option<&'a str>,
    /// Why measures are missing, from those who would have measured (`memory_per_connection`). Explains, accuses nothing.
    pub missing: &'a [String],
}

/// Judges a result: the gravest verdict that any fact supports, all reasons in order, and a reason for each null measure.
#[must_use]
pub fn judge(input: Input<'_>) -> Validity {
    let result = input.result;
    let mut found: Vec<(Verdict, String)> = Vec::new();
    if let Some(why) = input.interrupted {
        found.push((Verdict::Failed, format!("interrupted: {why}")));
    }
    let blame = match &result.failure_point {
        Some(point) if point.limit != LIMIT_UNKNOWN => Verdict::LimitBound,
        _ => Verdict::Failed,
    };
    found.extend(connections(result, blame));
    found.extend(requests(result, blame));
    found.extend(above_bound(result).map(|reason| (Verdict::Failed, reason)));
    found.extend(client_cpu(result).map(|reason| (Verdict::ClientBound, reason)));
    found.extend(too_short(result).map(|reason| (Verdict::Unsteady, reason)));
    found.extend(unsteady(result).map(|reason| (Verdict::Unsteady, reason)));
    let verdict = found.iter().map(|f| f.0).max().unwrap_or(Verdict::Valid);
    let mut reasons: Vec<String> = found.into_iter().map(|f| f.1).collect();
    reasons.extend(short_warmup(result));
    reasons.extend(nulls(result));
    reasons.extend(input.missing.iter().cloned());
    Validity { verdict, reasons }
}

fn connections(result: &CaseResult, blame: Verdict) -> Vec<(Verdict, String)> {
    let seen = &result.connections;
    let mut found = Vec::new();
    if seen.opened == 0 {
        // Also where a limit is known: nothing was measured.
        found.push((Verdict::Failed, format!("none of {} connections opened", format_count(seen.requested))));
    } else if seen.opened < seen.requested {
        let limit = result.failure_point.as_ref().map_or(String::new(), |p| format!(" (limit: {})", p.limit));
        found.push((
            blame,
            format!(
                "{} of {} connections opened{limit}",
                format_count(seen.opened),
                format_count(seen.requested)
            ),
        ));
    }
    if seen.closed_early > 0 {
        found.push((
            blame,
            format!("{} connections were lost before they were closed", format_count(seen.closed_early)),
        ));
    }
    found
}

fn requests(result: &CaseResult, blame: Verdict) -> Vec<(Verdict, String)> {
    let requests = &result.requests;
    let mut found = Vec::new();
    if requests.failed > 0 {
        found.push((
            blame,
            format!(
                "{} of {} requests in the window failed",
                format_count(requests.failed),
                format_count(requests.intended)
            ),
        ));
    }
    if requests.window_s <= 0.0 {
        found.push((Verdict::Failed, "it ended before its measuring window".to_owned()));
    }
    found
}

/// Time between replies of one connection that cannot be undercut, in nanoseconds: the shortest wait
/// that the target may draw, and the think time. `None` where the result knows no ceiling.
fn cycle_ns_min(result: &CaseResult) -> Option<u64> {
    result.requests.per_s_ceiling?;
    let case = &result.case;
    let own = match case.target.delay {
        Delay::Fixed(delay) | Delay::Uniform(delay, _) => u64::try_from(delay.as_nanos()).ok()?,
        Delay::Exponential(_) => 0,
    };
    let cycle_ns = case.load.delay_ns.unwrap_or(own) + think_ns(case)?;
    (cycle_ns > 0).then_some(cycle_ns)
}

fn think_ns(case: &Case) -> Option<u64> {
    match case.load.workload {
        Workload::Closed { think_ns } => Some(think_ns),
        Workload::Hold { .. } => None,
    }
}

/// A connection with one request outstanding can see `floor(window / cycle) + 1` replies in a window:
/// one that was under way when it began, then one each cycle. More is impossible, so a fault of the measuring.
fn above_bound(result: &CaseResult) -> Option<String> {
    let cycle_ns = cycle_ns_min(result)?;
    let window_s = result.requests.window_s;
    let replies = (result.requests.per_s? * window_s).round();
    let per_connection = (window_s * 1e9 / cycle_ns as f64).floor() + 1.0;
    let bound = result.connections.opened as f64 * per_connection;
    (replies > bound).then(|| {
        format!(
            "above its arithmetic ceiling: {} replies in the window, at most {} are possible with {} between \
             replies of a connection",
            format_count(replies as u64),
            format_count(bound as u64),
            format_ns(cycle_ns as f64)
        )
    })
}

fn client_cpu(result: &CaseResult) -> Option<String> {
    let used = window::client_cpu_per_s(result)?;
    let load = &result.case.load;
    let allowed = &result.facts.client.machine.cpus_allowed;
    let cpus = match (&load.cpus, allowed.len()) {
        (Some(cpus), _) => cpus.len(),
        (None, 0) => result.facts.client.machine.cpus as usize,
        (None, allowed) => allowed,
    };
    let may = cpus.min(load.threads as usize) as f64;
    if may <= 0.0 || used < CLIENT_CPU_SHARE_MAX * may {
        return None;
    }
    let threads = load.threads;
    Some(if used <= may {
        format!(
            "the client used {used:.2} CPU seconds per second of the {may:.0} it can use ({threads} threads, {cpus} CPUs)"
        )
    } else {
        // The sampled figure is the whole process's: how much of it the threads of load used is not known.
        format!(
            "the client used {used:.2} CPU seconds per second, other threads included; its {threads} threads of load \
             can use {may:.0} ({cpus} CPUs) and may have used it all"
        )
    })
}

/// Mean time between replies of one connection, in nanoseconds, as far as it is known beforehand: the
/// wait that requests ask for and the think time. `None` where neither is known or there is none, and for a hold.
fn cycle_ns(result: &CaseResult) -> Option<u64> {
    let case = &result.case;
    let delay_ns = match result.requests.per_s_ceiling {
        // A stranger's wait is not known, and the plan's figure is not it.
        None => 0,
        Some(_) => match case.load.delay_ns {
            Some(ns) => ns,
            None => u64::try_from(case.target.delay.mean().as_nanos()).ok()?,
        },
    };
    let cycle_ns = think_ns(case)?.saturating_add(delay_ns);
    (cycle_ns > 0).then_some(cycle_ns)
}

/// Why the window is too short to tell a rate, if it is. By the window that was asked for: one that ended
/// earlier was cut short, which `judge` and `requests` tell.
fn too_short(result: &CaseResult) -> Option<String> {
    think_ns(&result.case)?;
    let window_ns = result.case.load.duration_ns;
    let name = |ns| format_duration(Duration::from_nanos(ns));
    let window = name(window_ns);
    let cycle_ns = cycle_ns(result);
    if let Some(cycle_ns) = cycle_ns {
        let two_ns = cycle_ns.saturating_mul(2);
        if window_ns < two_ns {
            let cycle = name(cycle_ns);
            let enough = name(two_ns.max(WINDOW_NS_MIN));
            return Some(format!(
                "window of {window} is shorter than two cycles of {cycle}: make it at least {enough}"
            ));
        }
    }
    if window_ns < WINDOW_NS_MIN {
        let enough = name(WINDOW_NS_MIN);
        return Some(format!(
            "window of {window} is shorter than {enough}, so one pause of the scheduler decides its rate: make it at \
             least {enough}"
        ));
    }
    let requests = &result.requests;
    if result.connections.opened == 0 || requests.window_s <= 0.0 {
        return None;
    }
    match (requests.per_s? * requests.window_s).round() as u64 {
        0 => Some(format!(
            "no reply came in the window of {window}: make it longer than the target takes to answer"
        )),
        replies if replies < REPLIES_MIN && cycle_ns.is_none() => Some(format!(
            "only {replies} replies came in the window of {window}: make it long enough for at least {REPLIES_MIN}"
        )),
        _ => None,
    }
}

/// Says what a warm-up of less than one cycle does to the rate: connections that ask in step
/// leave the beginning of the window without replies. Not so with an exponential wait, which has no memory.
fn short_warmup(result: &CaseResult) -> Option<String> {
    let load = &result.case.load;
    let is_drawn_anew = load.delay_ns.is_none() && matches!(result.case.target.delay, Delay::Exponential(_));
    let cycle_ns = cycle_ns(result).filter(|&cycle_ns| load.warmup_ns < cycle_ns && !is_drawn_anew)?;
    if load.duration_ns == 0 {
        return None;
    }
    let share = (cycle_ns as f64 / load.duration_ns as f64).min(1.0);
    Some(format!(
        "warm-up of {} is shorter than one cycle of {}: the first replies of each connection fall into the window, so \
         requests.per_s is low by up to {:.0}%",
        format_duration(Duration::from_nanos(load.warmup_ns)),
        format_duration(Duration::from_nanos(cycle_ns)),
        (share * 100.0).ceil()
    ))
}

fn unsteady(result: &CaseResult) -> Option<String> {
    let drift = window::drift(result, think_ns(&result.case)?)?;
    (drift > DRIFT_MAX).then(|| {
        format!(
            "the completion rate of the two ends of the window differs by at least {:.0}%",
            (drift * 100.0).floor()
        )
    })
}

/// A reason for each measure that is null although its workload has it.
fn nulls(result: &CaseResult) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut say = |null: bool, reason: &str| {
        if null {
            reasons.push(reason.to_owned());
        }
    };
    let asks = !matches!(result.case.load.workload, Workload::Hold { heartbeat_ns: None });
    let connections = &result.connections;
    say(
        connections.connect_per_s.is_none(),
        "connections.connect_per_s: too few connections opened to tell a rate",
    );
    say(
        connections.connect_latency_ns.is_none(),
        "connections.connect_latency_ns: no connection was established",
    );
    say(!asks, NO_REQUESTS);
    say(asks && result.requests.per_s.is_none(), "requests.per_s: there was no measuring window");
    say(asks && result.latency_ns.is_none(), "latency_ns: no request of the window was answered");
    say(
        asks && result.requests.per_s_ceiling.is_none(),
        "requests.per_s_ceiling: the target's delay is zero or unknown",
    );
    let drawn = !matches!(result.case.target.delay, Delay::Fixed(_)) && result.case.load.delay_ns.is_none();
    say(
        asks && result.latency_ns.is_some() && result.delay_error_ns.is_none(),
        if drawn && result.facts.target.is_some() {
            "delay_error_ns: the target draws its waits, and the client does not know which one was drawn"
        } else {
            "delay_error_ns: the target does not say how long it waited"
        },
    );
    say(result.facts.target.is_none(), "facts.target, target_counters: the target does not say");
    say(
        result.facts.target.is_some() && result.target_counters.is_none(),
        "target_counters: the target's last answer is missing",
    );
    reasons
}

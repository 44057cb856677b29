//! What the time between two replies of a connection says of a rate: a bound, a window too short, a warm-up too short.
//!
//! Pure arithmetic over the case. Must not look at usage samples: `window` does.

use std::time::Duration;

use brink_wire::delay::Delay;
use brink_wire::value::{format_count, format_duration, format_ns};

use super::{REPLIES_MIN, WINDOW_NS_MIN};
use crate::case::{Case, Protocol, Workload};
use crate::schema::CaseResult;

/// What a connection does between a reply and its next request, in nanoseconds, at the least. `None` for a hold,
/// whose heartbeats are no cycle. A request of an open loop or a burst may follow at once.
fn pause_ns(case: &Case) -> Option<u64> {
    match case.load.workload {
        Workload::Closed { think_ns } | Workload::Churn { think_ns } => Some(think_ns),
        Workload::Open { .. } | Workload::Burst => Some(0),
        Workload::Hold { .. } => None,
    }
}

/// Whether the number of requests is fixed, so that the window is as long as they take.
pub(super) fn is_counted(case: &Case) -> bool {
    matches!(case.load.workload, Workload::Burst) || case.load.requests.is_some()
}

/// Whether the wait of a reply is what the case says. Not where the path of an HTTP request asks for another.
fn knows_wait(case: &Case) -> bool {
    !matches!(&case.load.protocol, Protocol::Http { path, .. } if path.starts_with("/delay/"))
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
    let delay_ns = if knows_wait(case) { case.load.delay_ns.unwrap_or(own) } else { 0 };
    let cycle_ns = delay_ns.saturating_add(pause_ns(case)?);
    (cycle_ns > 0).then_some(cycle_ns)
}

/// A connection has one request outstanding in every workload, so that it can see `floor(window / cycle) + 1`
/// replies in a window: one that was under way when it began, then one each cycle. More is impossible, so a
/// fault of the measuring. Not held against `per_s_ceiling`, which is a mean and, for an open loop, its rate.
pub(super) fn above_bound(result: &CaseResult) -> Option<String> {
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

/// Mean wait that requests ask for, in nanoseconds, as far as it is known beforehand; 0 where it is not.
pub(super) fn delay_ns_mean(result: &CaseResult) -> u64 {
    let case = &result.case;
    match result.requests.per_s_ceiling {
        // A stranger's wait is not known, and the plan's figure is not it.
        None => 0,
        Some(_) if !knows_wait(case) => 0,
        Some(_) => match case.load.delay_ns {
            Some(ns) => ns,
            None => u64::try_from(case.target.delay.mean().as_nanos()).unwrap_or(u64::MAX),
        },
    }
}

/// Mean time between replies of one connection, in nanoseconds: the wait that requests ask for and the think
/// time. `None` where neither is known or there is none, and where replies do not come by cycles: in a hold,
/// and in an open loop, whose requests come when they are due.
fn cycle_ns(result: &CaseResult) -> Option<u64> {
    let pause_ns = match result.case.load.workload {
        Workload::Open { .. } => return None,
        _ => pause_ns(&result.case)?,
    };
    let cycle_ns = pause_ns.saturating_add(delay_ns_mean(result));
    (cycle_ns > 0).then_some(cycle_ns)
}

/// Why the window is too short to tell a rate, if it is. By the window that was asked for: one that ended
/// earlier was cut short, which `judge` and `replies` tell. Not asked where the number of requests is fixed:
/// its window is what they took.
pub(super) fn too_short(result: &CaseResult) -> Option<String> {
    if pause_ns(&result.case).is_none() || is_counted(&result.case) {
        return None;
    }
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
pub(super) fn short_warmup(result: &CaseResult) -> Option<String> {
    let load = &result.case.load;
    if is_counted(&result.case) || load.duration_ns == 0 {
        return None;
    }
    let is_drawn_anew = load.delay_ns.is_none() && matches!(result.case.target.delay, Delay::Exponential(_));
    let cycle_ns = cycle_ns(result).filter(|&cycle_ns| load.warmup_ns < cycle_ns && !is_drawn_anew)?;
    let share = (cycle_ns as f64 / load.duration_ns as f64).min(1.0);
    Some(format!(
        "warm-up of {} is shorter than one cycle of {}: the first replies of each connection fall into the window, so \
         requests.per_s is low by up to {:.0}%",
        format_duration(Duration::from_nanos(load.warmup_ns)),
        format_duration(Duration::from_nanos(cycle_ns)),
        (share * 100.0).ceil()
    ))
}

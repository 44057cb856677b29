//! May the figures of a result be believed? Facts in, verdict and reasons out.
//!
//! Pure. Must not name limits: `failure_point` already has.

mod background;
mod cpu;
mod cycle;
mod missing;
mod rate;
mod replies;
mod steady;

use brink_wire::value::format_count;

use crate::schema::{CaseResult, End, Failure, FailurePoint, Validity, Verdict};

pub use cpu::{
    BUSY_SHARE_MAX, OTHERS_SHARE_MAX, OTHERS_SHARE_TOLD, QUOTA_SHARE_MAX, STEAL_SHARE_MAX,
    THROTTLED_SHARE_MAX,
};
pub(crate) use missing::NO_REQUESTS;
pub use steady::{STALL_SHARE_MAX, VARIATION_MAX, WARM_UP_MOVES_MAX, WARM_UP_SHARE_MAX};

/// Share of the CPU it may use from which a client counts as the bottleneck.
pub const CLIENT_CPU_SHARE_MAX: f64 = 0.9;
/// Difference in completion rate between the two ends of the window from which a result is unsteady.
pub const DRIFT_MAX: f64 = 0.1;
/// Fewest replies that tell a rate where the cycle of a connection is not known.
pub const REPLIES_MIN: u64 = 20;
/// Shortest window that tells a rate, in nanoseconds. A thread may lose its CPU for some
/// milliseconds (a slice, rounded up to ticks: kernel/sched/fair.c), which must not be most of the window.
pub const WINDOW_NS_MIN: u64 = 10_000_000;
/// What `failure_point.limit` says where no limit can be named, or where what ended it is none.
const NO_LIMITS: [&str; 3] = ["unknown", "target.not_scheduled", "firewall"];
/// Share of the intended rate below which an open loop fell behind it.
pub const RATE_SHARE_MIN: f64 = 0.98;
/// Fewest requests due in a window that tell whether an open loop kept its rate.
pub const DUE_MIN: f64 = 100.0;
/// A schedule that lags by less than this at p99, in nanoseconds, is on time.
pub const LAG_NS_MAX: u64 = 1_000_000;
/// A schedule that lags by less than this share of latency at p99 does not decide the latency.
pub const LAG_SHARE_MAX: f64 = 0.1;

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
        Some(point) if is_limit(point) => Verdict::LimitBound,
        _ => Verdict::Failed,
    };
    found.extend(connections(result, blame));
    found.extend(dead_workers(result).map(|reason| (Verdict::Failed, reason)));
    found.extend(replies::failed(result, blame));
    found.extend(background::failed(result, blame));
    found.extend(cycle::above_bound(result).map(|reason| (Verdict::Failed, reason)));
    let client_bound: Vec<String> =
        cpu::client_bound(result).into_iter().chain(rate::schedule_lag(result)).collect();
    let is_client_bound = !client_bound.is_empty();
    found.extend(client_bound.into_iter().map(|reason| (Verdict::ClientBound, reason)));
    let behind = rate::fell_behind(result, is_client_bound);
    let fell_behind = behind.is_some();
    found.extend(behind);
    found.extend(cycle::too_short(result).map(|reason| (Verdict::Unsteady, reason)));
    found.extend(steady::moved(result, fell_behind));
    found.extend(cpu::taken(result));
    found.extend(met_by_target(result, found.as_slice()).map(|reason| (Verdict::LimitBound, reason)));
    let verdict = found.iter().map(|f| f.0).max().unwrap_or(Verdict::Valid);
    // What condemns nothing comes after what does: the first reason is the one that is quoted.
    let (grave, notes): (Vec<_>, Vec<_>) = found.into_iter().partition(|f| f.0 > Verdict::Valid);
    let mut reasons: Vec<String> = grave.into_iter().chain(notes).map(|f| f.1).collect();
    reasons.extend(slow_connects(result));
    reasons.extend(cpu::target_at_quota(result));
    reasons.extend(cycle::short_warmup(result));
    reasons.extend(missing::nulls(result));
    reasons.extend(input.missing.iter().cloned());
    Validity { verdict, reasons }
}

fn is_limit(point: &FailurePoint) -> bool {
    !NO_LIMITS.contains(&point.limit.as_str())
}

/// A limit that the target met while it served, although no request failed of it: it served with less than it asked
/// for. Connections that it refused are another matter: where they were of this run, they are missing here.
fn met_by_target(result: &CaseResult, found: &[(Verdict, String)]) -> Option<String> {
    let point = result.failure_point.as_ref().filter(|point| is_limit(point))?;
    let silent = point.end == End::Target && point.phase != "accept" && point.errno != "slow";
    let blamed = found.iter().any(|(verdict, _)| *verdict >= Verdict::LimitBound);
    (silent && !blamed).then(|| {
        format!(
            "the target met a limit while it served ({}, {} in phase {})",
            point.limit, point.errno, point.phase
        )
    })
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

/// Connects that took a second or longer. They opened, so no figure is missing; but something dropped them first.
fn slow_connects(result: &CaseResult) -> Option<String> {
    let slow = result.failures.iter().filter(|failure| failure.errno == "slow").map(|failure| failure.count);
    let count = slow.sum::<u64>();
    (count > 0).then(|| {
        format!("{} connects took a second or longer: they were dropped and sent again", format_count(count))
    })
}

/// Processes of the target that ended although nobody asked them to. What they held is lost, and what is left
/// is not the target that was asked for.
fn dead_workers(result: &CaseResult) -> Option<String> {
    let is_death = |f: &&Failure| f.end == End::Target && f.phase == "worker" && f.errno == "died";
    let dead: u64 = result.failures.iter().filter(is_death).map(|f| f.count).sum();
    let of = match result.case.target.processes {
        processes if u64::from(processes) >= dead => format!("{dead} of {processes}"),
        _ => format_count(dead),
    };
    (dead > 0).then(|| format!("{of} serving processes of the target died"))
}

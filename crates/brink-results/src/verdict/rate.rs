//! Whether an open loop kept its rate, and whose fault it was if not.
//!
//! Pure. Must not judge other workloads: only an open loop has a rate that it intended.

use brink_wire::value::{format_count, format_ns};

use super::{DUE_MIN, LAG_NS_MAX, LAG_SHARE_MAX, RATE_SHARE_MIN, cycle};
use crate::answer::table::rate;
use crate::case::{Arrivals, Workload};
use crate::schema::{CaseResult, Verdict};

/// Requests that went out late although a connection was idle: the client's own fault. Where that is a small
/// part of the latency it changes nothing that is told.
pub(super) fn schedule_lag(result: &CaseResult) -> Option<String> {
    let lag = result.schedule_lag_ns?;
    // Where nothing was answered there is nothing that the lag could have bent.
    let latency_p99 = result.latency_ns.as_ref()?.p99;
    let decides = lag.p99 > LAG_NS_MAX && lag.p99 as f64 > LAG_SHARE_MAX * latency_p99 as f64;
    decides.then(|| {
        format!(
            "the client's schedule lagged: requests went out {} late at p99 and {} at most although a connection was \
             idle, against a latency of {} at p99",
            format_ns(lag.p99 as f64),
            format_ns(lag.max as f64),
            format_ns(latency_p99 as f64)
        )
    })
}

/// An open loop whose requests were not all sent, or whose replies came at clearly less than its rate. The
/// target is said to have fallen behind only where neither the client nor arithmetic explains it.
pub(super) fn fell_behind(result: &CaseResult, is_client_bound: bool) -> Option<(Verdict, String)> {
    let Workload::Open { rate_per_s, arrivals } = result.case.load.workload else {
        return None;
    };
    let requests = &result.requests;
    let intended = requests.per_s_intended.unwrap_or(rate_per_s);
    if requests.not_sent == 0 && !is_short(result, intended, arrivals) {
        return None;
    }
    let mut text = format!("{}/s intended, {}/s completed", rate(Some(intended)), rate(requests.per_s));
    if requests.backlog_peak > 0 {
        let peak = format_count(requests.backlog_peak);
        text.push_str(&format!(", up to {peak} requests waited for an idle connection"));
    }
    if requests.not_sent > 0 {
        let (not_sent, due) = (format_count(requests.not_sent), format_count(requests.intended));
        text.push_str(&format!(", {not_sent} of {due} due were never sent"));
    }
    let ceiling = requests.per_s_ceiling.filter(|ceiling| *ceiling < RATE_SHARE_MIN * intended);
    Some(if let Some(ceiling) = ceiling {
        let ceiling = rate(Some(ceiling));
        (Verdict::Unsteady, format!("the rate is above its arithmetic ceiling of {ceiling}/s: {text}"))
    } else if is_client_bound {
        (Verdict::ClientBound, format!("the client did not keep its rate: {text}"))
    } else {
        (Verdict::Unsteady, format!("the target fell behind the rate: {text}"))
    })
}

/// Whether replies came at clearly less than the rate. Held against the requests that were due in the window, less
/// those at its beginning that no request of the warm-up stands in for. Failed ones are another reason's.
fn is_short(result: &CaseResult, intended: f64, arrivals: Arrivals) -> bool {
    let requests = &result.requests;
    let Some(per_s) = requests.per_s else {
        return false;
    };
    let late_s = cycle::delay_ns_mean(result).saturating_sub(result.case.load.warmup_ns) as f64 / 1e9;
    let due = (intended * requests.window_s).min(requests.intended as f64) - intended * late_s;
    if due < DUE_MIN {
        return false;
    }
    let short = due - per_s * requests.window_s - requests.failed as f64;
    let scatter = match arrivals {
        Arrivals::Fixed => 0.0,
        // Those under way at the two ends of the window differ by chance: three standard deviations.
        Arrivals::Poisson => 3.0 * due.sqrt(),
    };
    short > (1.0 - RATE_SHARE_MIN) * due + scatter
}

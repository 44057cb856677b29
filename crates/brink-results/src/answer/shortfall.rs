//! Where a target stays behind what the delay allows, and how much of that its own timer explains.
//!
//! Valid results only, each against its own ceiling and its own delay. Must not rank one label against another.

use std::time::Duration;

use brink_wire::value::{format_count, format_duration, format_ns};

use crate::answer::compare::{NEAR_CEILING, PAIRS_MAX, labels};
use crate::answer::listed;
use crate::answer::table::{printable, rate};
use crate::case::Workload;
use crate::schema::{CaseResult, Verdict};

/// A p50 this far above the delay asked, in nanoseconds and as a share of the delay, is named.
const LATE_NS: u64 = 1_000_000;
const LATE_SHARE: f64 = 0.1;
/// The target's own wait explains a late p50 from this share of it.
const EXPLAINS_SHARE: f64 = 0.5;

/// Every connection count at which a label stays behind; that none does, where that can be told.
#[must_use]
pub fn shortfalls(results: &[&CaseResult]) -> Option<String> {
    let told: Vec<&CaseResult> = results
        .iter()
        .copied()
        .filter(|r| {
            r.validity.verdict == Verdict::Valid && r.requests.per_s_ceiling.is_some() && has_ceiling(r)
        })
        .collect();
    if told.is_empty() {
        return None;
    }
    let behind: Vec<&CaseResult> =
        told.iter().copied().filter(|r| is_slow(r) || late_ns(r).is_some()).collect();
    let labels = labels(&behind);
    let in_short = labels.len() > PAIRS_MAX;
    let parts: Vec<String> =
        labels.into_iter().filter_map(|label| of_label(&behind, label, in_short)).collect();
    if !parts.is_empty() {
        return Some(format!(
            "Behind what the delay allows (under 90% of the ceiling, or p50 more than 1 ms and 10% above the \
             delay asked): {}.",
            parts.join(if in_short { "; " } else { ". " })
        ));
    }
    let p50_known = told.iter().all(|r| r.latency_ns.is_some() && r.case.asked_delay_ns().is_some());
    let p50 = if p50_known { ", and p50 latency within 1 ms or 10% of the delay asked" } else { "" };
    Some(format!("At every connection count requests/s were at least 90% of the ceiling{p50}."))
}

/// Whether the workload goes as fast as the delay lets it: an open loop goes at its rate, a burst ends in waves, and a
/// connection of churn is first made.
fn has_ceiling(result: &CaseResult) -> bool {
    let load = &result.case.load;
    matches!(load.workload, Workload::Closed { .. } | Workload::Hold { .. }) && load.requests.is_none()
}

fn of_label(behind: &[&CaseResult], label: &str, in_short: bool) -> Option<String> {
    let own: Vec<&CaseResult> = behind.iter().copied().filter(|r| r.case.target.label == label).collect();
    let mut counts: Vec<u64> = own.iter().map(|r| r.case.load.connections).collect();
    counts.sort_unstable();
    counts.dedup();
    let at = |count: &u64| {
        let same: Vec<&CaseResult> =
            own.iter().copied().filter(|r| r.case.load.connections == *count).collect();
        // Repeats tell the same story: the slowest is shown, and how many there are.
        let worst = same.iter().copied().min_by(|a, b| share(a).total_cmp(&share(b)))?;
        Some(if in_short { short(worst) } else { one(worst, same.len()) })
    };
    let said: Vec<String> = counts.iter().filter_map(at).collect();
    let label = printable(label);
    (!said.is_empty()).then(|| {
        if in_short {
            format!("{label} at {}", listed(&said))
        } else {
            format!("{label} {}", said.join("; "))
        }
    })
}

/// `10 connections (45%)`: the share of the ceiling.
fn short(result: &CaseResult) -> String {
    format!("{} connections ({:.0}%)", format_count(result.case.load.connections), share(result) * 100.0)
}

fn one(result: &CaseResult, repeats: usize) -> String {
    let several = if repeats > 1 { format!(" (slowest of {repeats} such cases)") } else { String::new() };
    let mut text = format!(
        "at {} connections{several} {} requests/s ({:.0}% of its ceiling)",
        format_count(result.case.load.connections),
        rate(result.requests.per_s),
        share(result) * 100.0
    );
    if let (Some(latency), Some(asked)) = (&result.latency_ns, result.case.asked_delay_ns()) {
        let (p50, delay) = (format_ns(latency.p50 as f64), format_duration(Duration::from_nanos(asked)));
        text.push_str(&format!(", p50 {p50} for a delay of {delay}"));
        let over = latency.p50.saturating_sub(asked) as f64;
        let own = result.delay_error_ns.filter(|e| over > 0.0 && e.p50 as f64 >= EXPLAINS_SHARE * over);
        if let Some(own) = own {
            text.push_str(&format!(
                ", where the target's own wait was off by {} (p50)",
                format_ns(own.p50 as f64)
            ));
        }
    }
    text
}

/// Requests/s as a share of the ceiling; infinite where either is unknown, so that it is never the slowest.
fn share(result: &CaseResult) -> f64 {
    match (result.requests.per_s, result.requests.per_s_ceiling) {
        (Some(per_s), Some(ceiling)) if ceiling > 0.0 => per_s / ceiling,
        _ => f64::INFINITY,
    }
}

fn is_slow(result: &CaseResult) -> bool {
    share(result) < NEAR_CEILING
}

/// How far p50 is above the delay asked, where that is worth naming.
fn late_ns(result: &CaseResult) -> Option<u64> {
    let asked = result.case.asked_delay_ns().filter(|ns| *ns > 0)?;
    let over = result.latency_ns.as_ref()?.p50.saturating_sub(asked);
    (over > LATE_NS && over as f64 > LATE_SHARE * asked as f64).then_some(over)
}

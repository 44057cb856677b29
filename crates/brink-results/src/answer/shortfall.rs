//! Where a target stays behind what the delay allows, and how much of that its own timer explains.
//!
//! Valid results only, medians of their repeats, each against its own ceiling and its own delay. Must not rank one label against another.

use std::time::Duration;

use brink_wire::value::{format_count, format_duration, format_ns};

use crate::answer::compare::{NEAR_CEILING, PAIRS_MAX, labels};
use crate::answer::listed;
use crate::answer::table::{printable, rate};
use crate::case::Workload;
use crate::repeats::{Repeats, grouped};
use crate::schema::{CaseResult, Verdict};

/// A p50 this far above the delay asked, in nanoseconds and as a share of the delay, is named.
const LATE_NS: f64 = 1e6;
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
    let groups = grouped(&told);
    let behind: Vec<&Repeats> =
        groups.iter().filter(|group| is_slow(group) || late_ns(group).is_some()).collect();
    let labels = labels(&behind.iter().map(|group| group.first()).collect::<Vec<_>>());
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

fn of_label(behind: &[&Repeats], label: &str, in_short: bool) -> Option<String> {
    let mut own: Vec<&&Repeats> = behind.iter().filter(|g| g.first().case.target.label == label).collect();
    // Loads of one name may share a count: the slowest is shown.
    let count = |group: &Repeats| group.first().case.load.connections;
    own.sort_by(|a, b| count(a).cmp(&count(b)).then(share(a).total_cmp(&share(b))));
    own.dedup_by_key(|group| count(group));
    let said: Vec<String> =
        own.into_iter().map(|group| if in_short { short(group) } else { one(group) }).collect();
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
fn short(group: &Repeats) -> String {
    let connections = format_count(group.first().case.load.connections);
    format!("{connections} connections ({:.0}%)", share(group) * 100.0)
}

fn one(group: &Repeats) -> String {
    let several = match group.results.len() {
        1 => String::new(),
        runs => format!(" (median of {runs} runs)"),
    };
    let case = &group.first().case;
    let mut text = format!(
        "at {} connections{several} {} requests/s ({:.0}% of its ceiling)",
        format_count(case.load.connections),
        rate(group.median(|r| r.requests.per_s)),
        share(group) * 100.0
    );
    if let (Some(p50), Some(asked)) = (p50_ns(group), case.asked_delay_ns()) {
        let delay = format_duration(Duration::from_nanos(asked));
        text.push_str(&format!(", p50 {} for a delay of {delay}", format_ns(p50)));
        let over = p50 - asked as f64;
        let own = group.median(|r| r.delay_error_ns.map(|e| e.p50 as f64));
        if let Some(own) = own.filter(|own| over > 0.0 && *own >= EXPLAINS_SHARE * over) {
            text.push_str(&format!(", where the target's own wait was off by {} (p50)", format_ns(own)));
        }
    }
    text
}

fn p50_ns(group: &Repeats) -> Option<f64> {
    group.median(|r| r.latency_ns.as_ref().map(|l| l.p50 as f64))
}

/// Requests/s as a share of the ceiling; infinite where either is unknown, so that it is never the slowest.
fn share(group: &Repeats) -> f64 {
    let share = |r: &CaseResult| Some(r.requests.per_s? / r.requests.per_s_ceiling.filter(|c| *c > 0.0)?);
    group.median(share).unwrap_or(f64::INFINITY)
}

fn is_slow(group: &Repeats) -> bool {
    share(group) < NEAR_CEILING
}

/// How far p50 is above the delay asked, in nanoseconds, where that is worth naming.
fn late_ns(group: &Repeats) -> Option<f64> {
    let asked = group.first().case.asked_delay_ns().filter(|ns| *ns > 0)? as f64;
    let over = p50_ns(group)? - asked;
    (over > LATE_NS && over > LATE_SHARE * asked).then_some(over)
}

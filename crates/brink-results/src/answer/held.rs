//! The headline: who held how many connections, and what that took in all.
//!
//! Totals of single cases. Must not compare: what a further connection costs is in `cost`.

use brink_wire::value::{format_bytes, format_count};

use crate::answer::compare::{PAIRS_MAX, labels};
use crate::answer::listed;
use crate::answer::table::printable;
use crate::schema::{CaseResult, Verdict};
use crate::window;

/// The most connections each label held, what was asked of it beyond that, and its target's totals.
#[must_use]
pub fn held(results: &[&CaseResult]) -> Option<String> {
    let mut groups: Vec<(u64, Vec<Holder>)> = Vec::new();
    // What a climb is asked for is only where it stops.
    let results: Vec<&CaseResult> = results.iter().copied().filter(|r| r.ceiling.is_none()).collect();
    for label in labels(&results) {
        let (most, holder) = holder(&results, label);
        match groups.iter_mut().find(|group| group.0 == most) {
            Some(same) => same.1.push(holder),
            None => groups.push((most, vec![holder])),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.0));
    let said: Vec<String> = groups.iter().map(|(most, holders)| sentence(*most, holders)).collect();
    (!said.is_empty()).then(|| said.join(" "))
}

struct Holder {
    /// With what was asked beyond, in brackets.
    name: String,
    /// `threads 10,003 threads and 95.4 MiB of user memory`; `None` for a target that does not say.
    totals: Option<String>,
}

fn holder(results: &[&CaseResult], label: &str) -> (u64, Holder) {
    let of = || results.iter().copied().filter(|r| r.case.target.label == label);
    // Held is what every run of that many held.
    let at = |count: u64| of().filter(move |r| r.connections.requested == count);
    let held = |r: &&CaseResult| at(r.connections.requested).all(holds_all);
    let most = of().filter(held).map(|r| r.connections.requested).max().unwrap_or(0);
    let beyond = of().map(|r| r.connections.requested).filter(|count| *count > most).max();
    let mut name = printable(label);
    if let Some((count, worst)) = beyond.and_then(|count| {
        Some((count, at(count).filter(|r| !holds_all(r)).min_by_key(|r| r.connections.opened)?))
    }) {
        let (short, all) = (at(count).filter(|r| !holds_all(r)).count(), at(count).count());
        let runs = if all > 1 { format!(" in {short} of {all} runs") } else { String::new() };
        name.push_str(&format!(" ({}{runs})", shortage(worst)));
    }
    let largest: Vec<&CaseResult> =
        of().filter(|r| holds_all(r) && r.connections.requested == most).collect();
    let most_of = |pick: fn(&[crate::schema::EndSample], (f64, f64)) -> Option<u64>| {
        largest.iter().filter_map(|r| pick(&r.usage.target, window::span(r)?)).max()
    };
    let figures: Vec<String> = [
        most_of(window::threads_max).map(|count| format!("{} threads", format_count(count))),
        most_of(window::user_bytes_max).map(|bytes| format!("{} of user memory", format_bytes(bytes as f64))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let totals = (!figures.is_empty()).then(|| format!("{} {}", printable(label), figures.join(" and ")));
    (most, Holder { name, totals })
}

fn sentence(most: u64, holders: &[Holder]) -> String {
    let names: Vec<String> = holders.iter().map(|holder| holder.name.clone()).collect();
    if most == 0 {
        return format!("{} held none of the connection counts asked.", listed(&names));
    }
    let each = if names.len() > 1 { " each" } else { "" };
    let mut text = format!("{}{each} held {} connections, none failed.", listed(&names), format_count(most));
    if holders.len() > PAIRS_MAX {
        // So many are read in a table.
        return text;
    }
    let totals: Vec<&str> = holders.iter().filter_map(|holder| holder.totals.as_deref()).collect();
    if !totals.is_empty() {
        text.push_str(&format!(" There the target had in all: {}.", totals.join("; ")));
    }
    text
}

/// `40,000 asked: 32,446 opened, 7,554 failed`.
fn shortage(result: &CaseResult) -> String {
    let c = &result.connections;
    let mut text = format!("{} asked: {} opened", format_count(c.requested), format_count(c.opened));
    for (count, what) in [
        (c.failed, "failed"),
        (c.not_attempted, "not tried"),
        (c.closed_early, "lost early"),
        (result.requests.failed, "requests failed"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {} {what}", format_count(count)));
        }
    }
    text
}

/// All that was asked was opened, and none was lost or its request failed.
fn holds_all(result: &CaseResult) -> bool {
    let c = &result.connections;
    c.opened > 0
        && c.opened == c.requested
        && c.closed_early == 0
        && result.requests.failed == 0
        && result.validity.verdict < Verdict::LimitBound
}

//! What did not come to a valid result, in words: which limit, at which end, and the command that lifts it.
//!
//! Repeats what the results say. Must not infer a limit.

use brink_wire::value::format_count;

use crate::answer::naming::Names;
use crate::answer::table::{printable, verdict_name};
use crate::repeats::grouped;
use crate::schema::{CaseResult, Confidence, End, FailurePoint, Verdict};
use crate::store::RunData;

/// What a command that lifts a limit is said after.
pub const TO_LIFT: &str = "To lift it: ";

/// What a command that lifts it for good is said after.
pub const FOR_GOOD: &str = "For good: ";

/// One sentence for each case and verdict that is not valid.
#[must_use]
pub fn not_valid(results: &[&CaseResult]) -> Vec<String> {
    let names = Names::new(results.iter().copied());
    let mut said = Vec::new();
    for group in grouped(results) {
        let mut verdicts: Vec<Verdict> = group.results.iter().map(|r| r.validity.verdict).collect();
        verdicts.sort_unstable();
        verdicts.dedup();
        for verdict in verdicts.into_iter().filter(|verdict| *verdict != Verdict::Valid) {
            let bad: Vec<_> = group.results.iter().filter(|r| r.validity.verdict == verdict).collect();
            let all = group.results.len();
            let runs = if all > 1 { format!(" in {} of {all} runs", bad.len()) } else { String::new() };
            // Runs of one case that go wrong in one way go wrong for one cause: the first tells it.
            said.extend(bad.first().map(|r| one(r, &names.of(r), &runs)));
        }
    }
    said
}

/// Which planned cases have no result.
#[must_use]
pub fn missing(run: &RunData) -> Option<String> {
    let missing = run.missing();
    let planned = run.plan.as_ref()?.cases.len();
    (!missing.is_empty()).then(|| {
        let (shown, rest) = missing.split_at(missing.len().min(8));
        let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        let names = printable(&shown.join(", "));
        format!("{} of {planned} planned cases have no result: {names}{more}.", missing.len())
    })
}

/// Which files of the folder were left out, and why.
#[must_use]
pub fn unreadable(run: &RunData) -> Vec<String> {
    run.unreadable.iter().map(|line| format!("Left out: {}.", printable(line))).collect()
}

fn one(result: &CaseResult, name: &str, runs: &str) -> String {
    let verdict = verdict_name(result.validity.verdict);
    let asked = format_count(result.connections.requested);
    let mut text = format!("{name}, {asked} connections: {verdict}{runs}");
    if let Some(point) = &result.failure_point {
        let opened = format_count(result.connections.opened);
        text.push_str(&format!("; {opened} opened. {}", point_sentence(point)));
    } else {
        let reasons = &result.validity.reasons;
        let why = reasons.first().map_or("the result gives no reason", String::as_str);
        text.push_str(&format!(": {}.", printable(why)));
    }
    text
}

/// `Gave way at 9 connections: target, spawn EAGAIN; limit kernel.pid_max = 32,768 (confirmed). To lift it: sysctl ..`
#[must_use]
pub fn point_sentence(point: &FailurePoint) -> String {
    let (end, at) = (end_name(point.end), format_count(point.at_connections));
    let mut text = if is_slow(point) {
        format!(
            "Connects took a second or more, first at {at} connections, and came: a packet was sent again; "
        )
    } else {
        format!("Gave way at {at} connections: {end}, {} {}; ", point.phase, point.errno)
    };
    let value = point.limit_value.map_or(String::new(), |v| format!(" = {}", format_count(v)));
    text.push_str(&match point.confidence {
        Confidence::Unknown => "no limit can be named.".to_owned(),
        sure => format!("limit {}{value} ({}).", point.limit, confidence_name(sure)),
    });
    if let Some(fix) = &point.fix {
        text.push_str(&format!(" {TO_LIFT}{fix}"));
    }
    if let Some(lasting) = &point.lasting {
        text.push_str(&format!(" {FOR_GOOD}{lasting}"));
    }
    printable(&text)
}

/// Whether connects took long, which is not to say that any failed.
pub(super) fn is_slow(point: &FailurePoint) -> bool {
    point.errno == "slow"
}

/// As in the result file.
#[must_use]
pub fn end_name(end: End) -> &'static str {
    match end {
        End::Client => "client",
        End::Target => "target",
    }
}

/// As in the result file.
#[must_use]
pub fn confidence_name(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Confirmed => "confirmed",
        Confidence::Likely => "likely",
        Confidence::Unknown => "unknown",
    }
}

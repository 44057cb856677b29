//! The answer of one `brink ceiling`: how many, what gave way, what was predicted, what lifts it, and how the target
//! was afterwards.
//!
//! Repeats what the result says. Must not infer.

use brink_wire::value::{format_bytes, format_count};

use super::single::{end_memory, entry, predicted_memory};
use crate::answer::failures::{self, confidence_name, end_name};
use crate::answer::grid::Grid;
use crate::answer::naming::Names;
use crate::answer::spread::figure;
use crate::answer::table::{NULL, cpu_seconds, printable, runs};
use crate::measures::Measure;
use crate::repeats::{Repeats, grouped};
use crate::schema::{CaseResult, Ceiling, Climb, FailurePoint, Held, KernelScope, Predicted, StoppedBy};

/// One result of `brink ceiling` as plain text that ends with a newline. Of any other result it is the answer of a load.
#[must_use]
pub fn answer_ceiling(result: &CaseResult) -> String {
    let Some(ceiling) = &result.ceiling else { return super::answer_one(result) };
    let mut lines = vec![headline(result, ceiling)];
    for (name, text) in rows(result, ceiling) {
        match name {
            // Whole, on a line of its own: it is there to be copied.
            TO_LIFT | FOR_GOOD => lines.push(format!("  {name:<13} {text}")),
            _ => lines.extend(entry(name, &text)),
        }
    }
    let memory = &result.memory_per_connection;
    lines.extend(entry("target/conn", &end_memory(&memory.target, false)));
    let counted = memory.target.kernel_bytes.is_some()
        && memory.target.kernel_scope == Some(KernelScope::MachineBothEnds);
    lines.extend(entry("client/conn", &end_memory(&memory.client, counted)));
    lines.extend(predicted_memory(result).iter().flat_map(|text| entry("memory", text)));
    lines.join("\n") + "\n"
}

/// Names of rows that hold a command.
pub(crate) const TO_LIFT: &str = "to lift it";
pub(crate) const FOR_GOOD: &str = "for good";

/// What is said of a ceiling, by name. A row without a name goes on with the one before.
pub(crate) fn rows(result: &CaseResult, ceiling: &Ceiling) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let said = predicted(result.predicted.as_ref(), result.failure_point.as_ref());
    match &result.failure_point {
        Some(point) => {
            rows.extend([
                ("gave way", gave_way(point, ceiling)),
                ("limit", limit(point)),
                ("predicted", said),
            ]);
            let evidence = point.evidence.iter().enumerate();
            rows.extend(evidence.map(|(i, line)| (if i == 0 { "evidence" } else { "" }, printable(line))));
            let commands = [(TO_LIFT, &point.fix), (FOR_GOOD, &point.lasting)];
            rows.extend(
                commands.into_iter().filter_map(|(name, one)| Some((name, printable(one.as_ref()?)))),
            );
        }
        None => rows.extend([("gave way", "nothing".to_owned()), ("predicted", said)]),
    }
    let climbs = ceiling.climbs.iter().map(climb).collect::<Vec<_>>().join("; ");
    rows.push((
        "climbs",
        if all_agree(&ceiling.climbs) { climbs } else { format!("{climbs}: they disagree") },
    ));
    rows.extend(ceiling.held.as_ref().map(|held| ("held", in_words(held))));
    rows.push(("afterwards", after(ceiling)));
    rows
}

fn in_words(held: &Held) -> String {
    let cpu = held.target_cpu_per_s.map_or(String::new(), |per_s| {
        format!("; the target used {} CPU seconds per second", cpu_seconds(Some(per_s)))
    });
    format!(
        "{} connections for {:.1} s: {} echoes answered, {} not, {} connections lost{cpu}",
        format_count(held.connections),
        held.window_s,
        format_count(held.heartbeats),
        format_count(held.failed),
        format_count(held.closed_early),
    )
}

/// One row for each case that looked for its edge; the figures of several are medians.
pub(super) fn grid(results: &[&CaseResult], names: &Names) -> Grid {
    let found: Vec<&CaseResult> = results.iter().copied().filter(|r| r.ceiling.is_some()).collect();
    let row = |group: &Repeats| {
        let r = group.first();
        let estimate = Measure::find("ceiling.at_connections").and_then(|measure| group.estimate(measure));
        let seen = |r: &CaseResult| Some(r.ceiling.as_ref()?.at_connections as f64);
        let count = |n: f64| format_count(n.round() as u64);
        let at = match estimate.filter(|estimate| estimate.count > 1) {
            Some(estimate) => figure(&estimate, |n| format_count(n.round() as u64)),
            None => group.median(seen).map_or(NULL.to_owned(), count),
        };
        let predicted = group.median(|r| r.predicted.as_ref().map(|p| p.at_connections as f64));
        let limit = match (&r.failure_point, r.ceiling.as_ref().map(|c| c.stopped_by)) {
            (Some(point), _) => format!("{} on the {}", point.limit, end_name(point.end)),
            (None, Some(StoppedBy::StopAt)) => "nothing gave way".to_owned(),
            (None, Some(StoppedBy::Time)) => "its time was over".to_owned(),
            (None, _) => "it was stopped".to_owned(),
        };
        let stop_at = format_count(r.case.load.connections);
        let predicted = predicted.map_or(NULL.to_owned(), count);
        vec![names.of(r), stop_at, predicted, at, runs(group), limit]
    };
    Grid {
        title: "Ceilings, connections up to where something gave way:".to_owned(),
        heads: ["target", "stops at", "predicted", "ceiling", "runs", "ended by"].map(str::to_owned).to_vec(),
        rows: grouped(&found).iter().map(row).collect(),
        last_is_words: true,
        notes: Vec::new(),
    }
}

/// `threads: 16,301 connections, then rlimit.nofile on the target`
#[must_use]
pub fn headline(result: &CaseResult, ceiling: &Ceiling) -> String {
    let label = printable(&result.case.target.label);
    let at = format_count(ceiling.at_connections);
    let why = match (&result.failure_point, ceiling.stopped_by) {
        (_, StoppedBy::StopAt) => "and nothing gave way: that was where it was to stop".to_owned(),
        (_, StoppedBy::Time) => "and then the time for a way up was over".to_owned(),
        (_, StoppedBy::Interrupted) => "and then it was stopped".to_owned(),
        (Some(point), StoppedBy::TargetDied | StoppedBy::ClientDied) => {
            format!("then the {} died", end_name(point.end))
        }
        (Some(point), StoppedBy::MemoryFloor) => {
            format!("then {} left of {} on the {}", "too little was", point.limit, end_name(point.end))
        }
        (Some(point), _) if point.limit == "unknown" => {
            format!("then {} {}, as the {} saw it", point.phase, point.errno, end_name(point.end))
        }
        (Some(point), _) => format!("then {} on the {}", point.limit, end_name(point.end)),
        (None, _) => "then it ended".to_owned(),
    };
    format!("{label}: {at} connections, {why}")
}

/// The headline, and what lifts it; `None` of another result.
pub(crate) fn sentence(result: &CaseResult) -> Option<String> {
    let mut text = format!("{}.", headline(result, result.ceiling.as_ref()?));
    if let Some(fix) = result.failure_point.as_ref().and_then(|point| point.fix.as_ref()) {
        text.push_str(&format!(" {}{}", failures::TO_LIFT, printable(fix)));
    }
    Some(text)
}

fn gave_way(point: &FailurePoint, ceiling: &Ceiling) -> String {
    let floor = if point.errno == "floor" {
        format!(" ({} were to stay available)", format_bytes(ceiling.memory_floor_bytes as f64))
    } else {
        String::new()
    };
    format!(
        "at {} connections: {}, {} {}{floor}",
        format_count(point.at_connections),
        end_name(point.end),
        point.phase,
        point.errno
    )
}

/// Limits that count bytes.
const OF_BYTES: [&str; 6] =
    ["cgroup.memory.max", "memory.available", "rlimit.as", "rlimit.memlock", "rlimit.stack", "vm.overcommit"];

fn limit(point: &FailurePoint) -> String {
    let in_words = |value: u64| match OF_BYTES.contains(&point.limit.as_str()) {
        true => format!(" = {} ({})", format_count(value), format_bytes(value as f64)),
        false => format!(" = {}", format_count(value)),
    };
    let value = point.limit_value.map_or(String::new(), in_words);
    match point.limit.as_str() {
        "unknown" => "unknown: no limit can be named".to_owned(),
        limit => format!("{limit}{value} ({})", confidence_name(point.confidence)),
    }
}

/// What was said beforehand, beside what was seen.
fn predicted(predicted: Option<&Predicted>, point: Option<&FailurePoint>) -> String {
    let Some(predicted) = predicted else { return "nothing: no limit was known to be in the way".to_owned() };
    let from = predicted.estimated_from.as_ref().map_or(String::new(), |from| format!(", {from}"));
    let said = format!(
        "{} connections, by {} on the {}{from}",
        format_count(predicted.at_connections),
        predicted.limit,
        end_name(predicted.end)
    );
    let Some(point) = point else { return said };
    match point.at_connections.abs_diff(predicted.at_connections) {
        0 => format!("{said}: exactly that"),
        _ if point.limit != predicted.limit => format!("{said}: something else came first"),
        off => {
            let side = if point.at_connections > predicted.at_connections { "more" } else { "fewer" };
            format!("{said}: {} {side} were seen", format_count(off))
        }
    }
}

/// Two ways up agree within this many connections, or one in a hundred of the first.
const AGREE_WITHIN: u64 = 3;

/// Whether two ways up came about as high.
#[must_use]
pub fn agree(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= AGREE_WITHIN.max(one / 100)
}

/// Whether all did.
fn all_agree(climbs: &[Climb]) -> bool {
    let heights = || climbs.iter().map(|climb| climb.connections);
    agree(heights().max().unwrap_or(0), heights().min().unwrap_or(0))
}

fn climb(climb: &Climb) -> String {
    let fine = climb
        .fine_from
        .map_or(String::new(), |from| format!(", one at a time from {} on", format_count(from)));
    format!("{} in {:.1} s{fine}", format_count(climb.connections), climb.opening_s)
}

fn after(ceiling: &Ceiling) -> String {
    let after = &ceiling.after;
    let why = after.why.as_ref().map_or(String::new(), |why| format!(": {}", printable(why)));
    let state = match (after.alive, after.serving) {
        (Some(false), _) => "the target is gone",
        (_, Some(true)) if after.left == Some(0) => "the target lives, has let go of all, and serves",
        (_, Some(true)) => "the target lives and serves",
        (Some(true), Some(false)) => "the target lives and does not serve",
        (None, Some(false)) => "the target does not serve",
        (_, None) => "unknown",
    };
    format!("{state}{why}")
}

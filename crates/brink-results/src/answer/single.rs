//! The answer of one `brink load`: the figures of one result, by line.
//!
//! Must not compare: there is nothing to compare with.

use brink_wire::value::{format_bytes, format_count, format_ns};

use crate::answer::failures::{is_slow, point_sentence};
use crate::answer::table::{NULL, cpu, cpu_seconds, printable, rate, slope, verdict_name};
use crate::answer::{background, workers, workload, wrap};
use crate::case::Workload;
use crate::schema::{CaseResult, EndMemory, KernelScope, LatencyFrom, Verdict};
use crate::verdict::NO_REQUESTS;
use crate::window;

/// Columns before the figures.
const INDENT: usize = 16;

/// One result as plain text that ends with a newline, wrapped to [`wrap::COLUMNS`] columns.
#[must_use]
pub fn answer_one(result: &CaseResult) -> String {
    let load = &result.case.load;
    let verdict = result.validity.verdict;
    let mut lines = vec![format!(
        "{}: {} connections, {}, engine {}",
        printable(&result.case.target.label),
        format_count(load.connections),
        workload::words(load),
        load.engine
    )];
    let mut say = |name: &str, text: &str| lines.extend(entry(name, text));
    say("verdict", verdict_name(verdict));
    // That a valid hold made no requests is said below, where they would be.
    let told = |reason: &&String| verdict != Verdict::Valid || reason.as_str() != NO_REQUESTS;
    for reason in result.validity.reasons.iter().filter(told) {
        say("", &printable(reason));
    }
    say("connections", &connections(result));
    say("connect", &connect(result));
    if matches!(load.workload, Workload::Hold { heartbeat_ns: None }) {
        say("requests", "no requests: hold without heartbeat");
    } else {
        say("requests", &requests(result));
        if matches!(load.workload, Workload::Open { .. }) {
            say("schedule", &workload::schedule(result));
        }
        if let Some(makespan) = workload::makespan(result) {
            say("makespan", &makespan);
        }
        say("latency", &latency(result));
    }
    if let Some(error) = &result.delay_error_ns {
        let error = percentiles(&[("p50", error.p50), ("p99", error.p99), ("max", error.max)]);
        say("delay off by", &error);
    }
    if let Some(seen) = &result.background {
        say("background", &background::outcome(seen));
    }
    let memory = &result.memory_per_connection;
    say("target/conn", &end_memory(&memory.target, false));
    let counted = memory.target.kernel_bytes.is_some()
        && memory.target.kernel_scope == Some(KernelScope::MachineBothEnds);
    say("client/conn", &end_memory(&memory.client, counted));
    if let Some(text) = predicted_memory(result) {
        say("memory", &text);
    }
    if let Some(workers) = workers::summary(result) {
        say("workers", &workers);
    }
    let asks_for_work = result.case.load.work_us.unwrap_or(result.case.target.work_us) > 0;
    let ratio = result.facts.target.as_ref().and_then(|target| target.work_error_ratio);
    if let Some(ratio) = ratio.filter(|_| asks_for_work) {
        say("CPU work", &format!("off by {:+.1}% of what is asked, when it was tried out", ratio * 100.0));
    }
    let (client, target) = cpu(result);
    let mut used =
        format!("client {}, target {} CPU seconds per second", cpu_seconds(client), cpu_seconds(target));
    if let Some(in_vain) = window::polled_in_vain_per_s(result) {
        used.push_str(&format!("; the client stayed awake while it waited, which took {in_vain:.2} beside"));
    }
    if let Some(cost) = result.usage.sampling.filter(|cost| cost.span_s > 0.0) {
        used.push_str(&format!(
            "; {:.4} of the client's for {} samples of both ends",
            cost.cpu_s / cost.span_s,
            format_count(cost.samples)
        ));
    }
    say("CPU", &used);
    if let Some(point) = &result.failure_point {
        say(if is_slow(point) { "slow" } else { "failure" }, &point_sentence(point));
    }
    lines.join("\n") + "\n"
}

/// A name and what is said of it, on as many lines as it needs.
pub(super) fn entry(name: &str, text: &str) -> Vec<String> {
    let head = |i: usize| if i == 0 { name } else { "" };
    let line = |(i, text): (usize, String)| format!("  {:<13} {text}", head(i));
    wrap::lines(text, INDENT).into_iter().enumerate().map(line).collect()
}

fn connections(result: &CaseResult) -> String {
    let c = &result.connections;
    let mut text = format!("{} opened, {} failed", format_count(c.opened), format_count(c.failed));
    let counts =
        [(c.not_attempted, "not tried"), (c.closed_early, "lost early"), (c.reopened, "times reopened")];
    for (count, what) in counts {
        if count > 0 {
            text.push_str(&format!(", {} {what}", format_count(count)));
        }
    }
    text
}

fn connect(result: &CaseResult) -> String {
    let at = result.connections.connect_latency_ns.map_or(NULL.to_owned(), |l| {
        percentiles(&[("p50", l.p50), ("p90", l.p90), ("p99", l.p99), ("p99.9", l.p999), ("max", l.max)])
    });
    format!("{}/s while opening; {at}", rate(result.connections.connect_per_s))
}

fn requests(result: &CaseResult) -> String {
    let r = &result.requests;
    let mut text = format!("{}/s", rate(r.per_s));
    match result.case.load.workload {
        // The rate that was intended is in the schedule.
        Workload::Open { .. } => {}
        Workload::Churn { .. } => text.push_str(", each on a connection of its own"),
        Workload::Closed { .. } | Workload::Hold { .. } | Workload::Burst => {
            text.push_str(&format!(" of a ceiling of {}/s", rate(r.per_s_ceiling)));
        }
    }
    text.push_str(&format!(
        "; {} {}, {} answered, {} failed",
        format_count(r.intended),
        if matches!(result.case.load.workload, Workload::Open { .. }) { "due" } else { "sent" },
        format_count(r.completed),
        format_count(r.failed),
    ));
    if r.non_2xx > 0 {
        text.push_str(&format!(", of which {} by a status outside 200..299", format_count(r.non_2xx)));
    }
    // Shorter windows are those of a fixed number of requests, which may end within milliseconds.
    let window = if r.window_s >= 1.0 { format!("{:.1} s", r.window_s) } else { format_ns(r.window_s * 1e9) };
    text.push_str(&format!(" in {window}"));
    text
}

fn latency(result: &CaseResult) -> String {
    let Some(l) = &result.latency_ns else {
        return NULL.to_owned();
    };
    let from = match l.from {
        LatencyFrom::Due => "when it was due",
        LatencyFrom::Sent => match result.case.load.workload {
            Workload::Closed { .. } => "when it was sent (closed loop)",
            Workload::Hold { .. } | Workload::Open { .. } | Workload::Burst | Workload::Churn { .. } => {
                "when it was sent"
            }
        },
        LatencyFrom::Connect => "when its connection began to be made",
    };
    let all = [
        ("p50", l.p50),
        ("p90", l.p90),
        ("p99", l.p99),
        ("p99.9", l.p999),
        ("p99.99", l.p9999),
        ("max", l.max),
    ];
    format!("{}, from {from}", percentiles(&all))
}

fn percentiles(all: &[(&str, u64)]) -> String {
    all.iter().map(|(name, ns)| format!("{name} {}", format_ns(*ns as f64))).collect::<Vec<_>>().join(", ")
}

/// The slopes of one end. A kernel figure of both ends is said once, at the target.
pub(super) fn end_memory(memory: &EndMemory, kernel_counted: bool) -> String {
    let figures = [
        ("user", memory.user_bytes),
        ("virtual", memory.virtual_bytes),
        ("page tables", memory.page_table_bytes),
    ];
    let mut parts: Vec<String> = figures
        .iter()
        .filter_map(|(name, bytes)| bytes.as_ref().map(|bytes| format!("{name} {}", slope(bytes))))
        .collect();
    if kernel_counted {
        parts.push("kernel counted with the target's".to_owned());
    } else {
        parts.extend(kernel(memory));
    }
    if parts.is_empty() { NULL.to_owned() } else { parts.join(", ") }
}

/// `kernel 35.4 KiB ±71 B (stacks 16.0 KiB, slab 15.5 KiB; machine, both ends)`.
fn kernel(memory: &EndMemory) -> Option<String> {
    let bytes = memory.kernel_bytes?;
    let scope = match memory.kernel_scope {
        Some(KernelScope::Cgroup) => "its control group",
        Some(KernelScope::Machine) => "its machine",
        Some(KernelScope::MachineBothEnds) => "machine, both ends",
        None => "scope unknown",
    };
    let within: Vec<String> = [("stacks", memory.kernel_stack_bytes), ("slab", memory.slab_bytes)]
        .iter()
        .filter_map(|(name, bytes)| Some(format!("{name} {}", format_bytes(bytes.as_ref()?.slope))))
        .collect();
    let within = if within.is_empty() { String::new() } else { format!("{}; ", within.join(", ")) };
    Some(format!("kernel {} ({within}{scope})", slope(&bytes)))
}

/// What was expected of memory beside what was measured, where connections take enough of it to be told.
pub(super) fn predicted_memory(result: &CaseResult) -> Option<String> {
    /// Below this other programs move as much.
    const TOLD_BYTES: u64 = 64 << 20;
    let predicted = result.predicted_memory.as_ref()?;
    let user = predicted.client_user_bytes + predicted.target_user_bytes.unwrap_or(0);
    if predicted.kernel_bytes < TOLD_BYTES {
        return None;
    }
    let memory = &result.memory_per_connection;
    let open = result.connections.peak_live as f64;
    // What was measured is of as many as were open; what was expected, of as many as were asked for.
    let share = open / result.connections.requested.max(1) as f64;
    let bytes = |bytes: f64| format_bytes(bytes.max(0.0));
    let slope = |end: &EndMemory| end.user_bytes.as_ref().map(|slope| slope.slope * open);
    let kernel = memory.client.kernel_bytes.as_ref().map(|slope| slope.slope * open);
    let measured = |value: Option<f64>| value.map_or_else(|| "not known".to_owned(), bytes);
    Some(format!(
        "kernel {} predicted, {} measured; user {} predicted, {} measured{}",
        bytes(predicted.kernel_bytes as f64 * share),
        measured(kernel),
        bytes(user as f64 * share),
        measured(slope(&memory.client).zip(slope(&memory.target)).map(|(client, target)| client + target)),
        predicted
            .available_bytes
            .map_or_else(String::new, |free| format!("; {} were available", bytes(free as f64)))
    ))
}

//! The answer of one `brink load`: the figures of one result, by line.
//!
//! Must not compare: there is nothing to compare with.

use brink_wire::value::{format_count, format_ns};

use crate::answer::failures::point_sentence;
use crate::answer::table::{NULL, cpu, cpu_seconds, printable, rate, slope, verdict_name};
use crate::schema::{CaseResult, EndMemory, KernelScope, LatencyFrom};

/// One result as plain text that ends with a newline.
#[must_use]
pub fn answer_one(result: &CaseResult) -> String {
    let load = &result.case.load;
    let mut lines = vec![
        format!(
            "{}: {} connections, {}, engine {}",
            printable(&result.case.target.label),
            format_count(load.connections),
            load.workload.name(),
            load.engine
        ),
        line("verdict", verdict_name(result.validity.verdict)),
    ];
    lines.extend(result.validity.reasons.iter().map(|reason| line("", &printable(reason))));
    lines.push(line("connections", &connections(result)));
    lines.push(line("connect", &connect(result)));
    lines.push(line("requests", &requests(result)));
    lines.push(line("latency", &latency(result)));
    if let Some(error) = &result.delay_error_ns {
        lines.push(line(
            "delay off by",
            &percentiles(&[("p50", error.p50), ("p99", error.p99), ("max", error.max)]),
        ));
    }
    let memory = &result.memory_per_connection;
    lines.push(line("target/conn", &end_memory(&memory.target)));
    lines.push(line("client/conn", &end_memory(&memory.client)));
    let (client, target) = cpu(result);
    lines.push(line(
        "CPU",
        &format!("client {}, target {} CPU seconds per second", cpu_seconds(client), cpu_seconds(target)),
    ));
    if let Some(point) = &result.failure_point {
        lines.push(line("failure", &point_sentence(point)));
    }
    lines.join("\n") + "\n"
}

fn line(name: &str, text: &str) -> String {
    format!("  {name:<13} {text}")
}

fn connections(result: &CaseResult) -> String {
    let c = &result.connections;
    let mut text = format!("{} opened, {} failed", format_count(c.opened), format_count(c.failed));
    for (count, what) in [(c.not_attempted, "not tried"), (c.closed_early, "lost early")] {
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
    format!("{}/s; {at}", rate(result.connections.connect_per_s))
}

fn requests(result: &CaseResult) -> String {
    let r = &result.requests;
    format!(
        "{}/s of a ceiling of {}/s; {} sent, {} answered, {} failed in {:.1} s",
        rate(r.per_s),
        rate(r.per_s_ceiling),
        format_count(r.intended),
        format_count(r.completed),
        format_count(r.failed),
        r.window_s
    )
}

fn latency(result: &CaseResult) -> String {
    let Some(l) = &result.latency_ns else {
        return NULL.to_owned();
    };
    let from = match l.from {
        LatencyFrom::Due => "when it was due",
        LatencyFrom::Sent => "when it was sent (closed loop)",
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

fn end_memory(memory: &EndMemory) -> String {
    let scope = match memory.kernel_scope {
        Some(KernelScope::Cgroup) => "its control group",
        Some(KernelScope::Machine) => "its machine",
        Some(KernelScope::MachineBothEnds) => "machine, both ends",
        None => "scope unknown",
    };
    let figures = [
        ("user".to_owned(), memory.user_bytes),
        ("virtual".to_owned(), memory.virtual_bytes),
        ("page tables".to_owned(), memory.page_table_bytes),
        (format!("kernel ({scope})"), memory.kernel_bytes),
    ];
    let parts: Vec<String> = figures
        .iter()
        .filter_map(|(name, bytes)| bytes.as_ref().map(|bytes| format!("{name} {}", slope(bytes))))
        .collect();
    if parts.is_empty() { NULL.to_owned() } else { parts.join(", ") }
}

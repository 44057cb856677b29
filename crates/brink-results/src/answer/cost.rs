//! What a connection and a request cost the target: slopes of memory, and CPU time.
//!
//! Says more or less only where intervals are apart. Must not add a figure of the whole machine to one of an end.

use brink_wire::value::{format_bytes, format_ns};

use crate::answer::compare::{PAIRS_MAX, Peers, figures, repeats, told_apart};
use crate::answer::listed;
use crate::schema::{CaseResult, KernelScope, Slope};
use crate::window;

/// A slope with the range that it must be told apart by.
struct Spread {
    label: String,
    value: f64,
    low: f64,
    high: f64,
}

/// The slopes of all repeats: their mean, and the hull of their intervals. By rising slope.
fn slopes(peers: &Peers, pick: fn(&CaseResult) -> Option<Slope>) -> Vec<Spread> {
    let mut spreads: Vec<Spread> = Vec::new();
    for peer in &peers.peers {
        let slopes: Vec<Slope> = peer.repeats.iter().filter_map(|r| pick(r)).collect();
        if !slopes.is_empty() {
            spreads.push(Spread {
                label: peer.label.clone(),
                value: slopes.iter().map(|s| s.slope).sum::<f64>() / slopes.len() as f64,
                low: slopes.iter().map(|s| s.ci95[0]).fold(f64::INFINITY, f64::min),
                high: slopes.iter().map(|s| s.ci95[1]).fold(f64::NEG_INFINITY, f64::max),
            });
        }
    }
    spreads.sort_by(|a, b| a.value.total_cmp(&b.value));
    spreads
}

/// `mio 30.5 B ±12.6 B and tokio 1.39 KiB ±1.43 B`, the larger side of intervals that are not symmetrical.
fn with_intervals(spreads: &[Spread]) -> String {
    let figure = |s: &Spread| {
        let half = (s.high - s.value).max(s.value - s.low);
        format!("{} {} ±{}", s.label, format_bytes(s.value), format_bytes(half))
    };
    listed(&spreads.iter().map(figure).collect::<Vec<_>>())
}

/// User memory of the target per connection, with ratios.
pub(super) fn user_memory(peers: &Peers) -> Option<String> {
    let spreads = slopes(peers, |r| r.memory_per_connection.target.user_bytes);
    if spreads.is_empty() {
        return None;
    }
    let mut text = format!(
        "{} each further one costs the target this much user memory (95% intervals): {}.",
        peers.at(),
        with_intervals(&spreads)
    );
    if spreads.len() > PAIRS_MAX {
        text.push_str(&chain(&spreads));
        return Some(text);
    }
    for pair in spreads.windows(2) {
        let (less, more) = (&pair[0], &pair[1]);
        let (a, b) = (&less.label, &more.label);
        text.push_str(&if more.low <= less.high {
            overlap(less, more)
        } else if less.low <= 0.0 {
            format!(" {b} takes more than {a}; the interval of {a} reaches zero, so there is no ratio.")
        } else {
            format!(" {b} takes {} what {a} takes.", ratio(less, more))
        });
    }
    Some(text)
}

/// Many slopes in one line, where a sentence for each pair would be read by nobody.
fn chain(spreads: &[Spread]) -> String {
    let mut text = format!(" By intervals (`<`: apart, `~`: they overlap): {}", spreads[0].label);
    for pair in spreads.windows(2) {
        let sign = if pair[1].low > pair[0].high { '<' } else { '~' };
        text.push_str(&format!(" {sign} {}", pair[1].label));
    }
    text.push('.');
    let apart = spreads.iter().find(|s| s.low > 0.0).zip(spreads.last());
    if let Some((least, most)) = apart.filter(|(least, most)| most.low > least.high) {
        text.push_str(&format!(" {} takes {} what {} takes.", most.label, ratio(least, most), least.label));
    }
    text
}

fn overlap(less: &Spread, more: &Spread) -> String {
    format!(" No difference seen between {} and {}: their intervals overlap.", less.label, more.label)
}

/// `7.0 times`, or `47 times (33 to 80 by the ends of the intervals)`.
fn ratio(less: &Spread, more: &Spread) -> String {
    let times = |factor: f64| if factor < 19.95 { format!("{factor:.1}") } else { format!("{factor:.0}") };
    let (low, high) = (times(more.low / less.high), times(more.high / less.low));
    let value = times(more.value / less.value);
    if low == high {
        format!("{value} times")
    } else {
        format!("{value} times ({low} to {high} by the ends of the intervals)")
    }
}

/// Kernel memory per connection, and how much of it a thread for each connection explains.
pub(super) fn kernel_memory(peers: &Peers) -> Option<String> {
    let scope = |r: &CaseResult| r.memory_per_connection.target.kernel_scope;
    let first = scope(peers.peers.first()?.repeats.first()?);
    if peers.peers.iter().flat_map(|p| &p.repeats).any(|r| scope(r) != first) {
        return None;
    }
    let spreads = slopes(peers, |r| r.memory_per_connection.target.kernel_bytes);
    if spreads.is_empty() {
        return None;
    }
    let whose = match first {
        Some(KernelScope::MachineBothEnds) => "of the whole machine, both ends counted together",
        Some(KernelScope::Machine) => "of the target's whole machine",
        Some(KernelScope::Cgroup) => "of the target's control group",
        None => "of the whole machine, one end or both, which is unknown",
    };
    let mut text =
        format!("Kernel memory per connection, {whose} (95% intervals): {}.", with_intervals(&spreads));
    if first != Some(KernelScope::Cgroup) && spreads.len() > 1 {
        // The interval knows the scatter of the plateaus, not what else moved the machine's figures.
        text.push_str(
            " Other programs, and slabs that the kernel kept from earlier runs, move figures of a whole machine: \
             they are not compared.",
        );
    }
    let stacks = slopes(peers, |r| per_thread(r, r.memory_per_connection.target.kernel_stack_bytes));
    let tables = slopes(peers, |r| per_thread(r, r.memory_per_connection.target.page_table_bytes));
    for stack in &stacks {
        if let Some(table) = tables.iter().find(|table| table.label == stack.label) {
            text.push_str(&format!(
                " {} has a thread for each connection: {} of its figure are kernel stacks and {} page tables of the target.",
                stack.label,
                format_bytes(stack.value),
                format_bytes(table.value)
            ));
        }
    }
    Some(text)
}

/// The slope for a target that has a thread for each connection: only such a one has a stack to size.
fn per_thread(result: &CaseResult, slope: Option<Slope>) -> Option<Slope> {
    slope.filter(|_| result.case.target.stack_bytes.is_some())
}

/// CPU time of the target for 1,000 requests.
pub(super) fn cpu(peers: &Peers) -> Option<String> {
    let ns_per_1000 = |r: &CaseResult| {
        // Without requests in the window the few that verify connections would stand for them.
        r.requests.per_s?;
        Some(window::target_cpu_s_per_request(r)? * 1e12)
    };
    let all = repeats(peers, ns_per_1000);
    (!all.is_empty()).then(|| {
        format!(
            "{} the target used this much CPU time, user and system, per 1,000 requests: {}.{}",
            peers.at(),
            figures(&all, format_ns),
            told_apart(&all)
        )
    })
}

//! What a connection and a request cost the target: slopes of memory, and CPU time.
//!
//! Says more or less only where intervals are apart. Must not add a figure of the whole machine to one of an end.

use brink_wire::value::{format_bytes, format_ns};

use crate::answer::compare::{PAIRS_MAX, Peers};
use crate::answer::listed;
use crate::answer::spread::{Spread, chain, figures, spreads, told_apart};
use crate::measures;
use crate::schema::{CaseResult, KernelScope, Slope};
use crate::statistics::{Observation, Scale};
use crate::window;

/// The slopes of all repeats: their median, with its interval. By rising slope.
fn slopes(peers: &Peers, pick: fn(&CaseResult) -> Option<Slope>) -> Vec<Spread> {
    spreads(peers, Scale::Amount, |r| pick(r).map(|slope| measures::of_slope(&slope)))
}

/// Its interval: each slope knows one, also that of a single run.
fn ends(spread: &Spread) -> [f64; 2] {
    spread.estimate.interval.unwrap_or([spread.estimate.value; 2])
}

/// `mio 30.5 B ±12.6 B and tokio 1.39 KiB ±1.43 B`, the larger side of intervals that are not symmetrical.
fn with_intervals(spreads: &[Spread]) -> String {
    let figure = |s: &Spread| {
        let ([low, high], value) = (ends(s), s.estimate.value);
        let half = (high - value).max(value - low);
        format!("{} {} ±{}", s.label, format_bytes(value), format_bytes(half))
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
        text.push_str(&extremes(&spreads));
        return Some(text);
    }
    for pair in spreads.windows(2) {
        let (less, more) = (&pair[0], &pair[1]);
        let (a, b) = (&less.label, &more.label);
        text.push_str(&if !less.estimate.is_apart(&more.estimate) {
            format!(" No difference seen between {a} and {b}: their intervals overlap.")
        } else if ends(less)[0] <= 0.0 {
            format!(" {b} takes more than {a}; the interval of {a} reaches zero, so there is no ratio.")
        } else {
            format!(" {b} takes {} what {a} takes.", ratio(less, more))
        });
    }
    Some(text)
}

/// What the most takes over what the least takes that is above zero, where they are apart.
fn extremes(spreads: &[Spread]) -> String {
    let pair = spreads.iter().find(|s| ends(s)[0] > 0.0).zip(spreads.last());
    match pair.filter(|(least, most)| least.estimate.is_apart(&most.estimate)) {
        Some((least, most)) => {
            format!(" {} takes {} what {} takes.", most.label, ratio(least, most), least.label)
        }
        None => String::new(),
    }
}

/// `7.0 times`, or `47 times (33 to 80 by the ends of the intervals)`.
fn ratio(less: &Spread, more: &Spread) -> String {
    let times = |factor: f64| if factor < 19.95 { format!("{factor:.1}") } else { format!("{factor:.0}") };
    let (low, high) = (times(ends(more)[0] / ends(less)[1]), times(ends(more)[1] / ends(less)[0]));
    let value = times(more.estimate.value / less.estimate.value);
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
                format_bytes(stack.estimate.value),
                format_bytes(table.estimate.value)
            ));
        }
    }
    Some(text)
}

/// The slope for a target that has a thread for each connection: only such a one has a stack to size.
fn per_thread(result: &CaseResult, slope: Option<Slope>) -> Option<Slope> {
    slope.filter(|_| result.case.target.stack_bytes.is_some())
}

/// CPU seconds of the target for a request. `None` without requests in the window: the few that verify connections would
/// stand for them.
pub(crate) fn cpu_s_per_request(result: &CaseResult) -> Option<Observation> {
    result.requests.per_s?;
    let value = window::target_cpu_s_per_request(result)?;
    Some(Observation { value, half: 0.0 })
}

/// CPU time of the target for 1,000 requests.
pub(super) fn cpu(peers: &Peers) -> Option<String> {
    let all = spreads(peers, Scale::Ratio, cpu_s_per_request);
    let of_1000 = |seconds: f64| format_ns(seconds * 1e12);
    (!all.is_empty()).then(|| {
        format!(
            "{} the target used this much CPU time, user and system, per 1,000 requests: {}.{}",
            peers.at(),
            figures(&all, of_1000),
            told_apart(&all, of_1000)
        )
    })
}

//! Where the order of two targets turns as connections grow: the counts on either side, and what lies between.
//!
//! Said only where 95% intervals are apart on both sides. Must not rank by a throughput near its ceiling.

use std::cmp::Ordering;

use brink_wire::value::format_count;

use crate::answer::compare::{NEAR_CEILING, Peer, Peers, steps};
use crate::answer::{cost, listed};
use crate::measures::Measure;
use crate::schema::CaseResult;
use crate::statistics::{Estimate, Observation, estimate};

/// What is looked at, by the name of its measure, and how having less and more of it is put.
const LOOKED_AT: [(&str, &str, &str); 7] = [
    ("requests.per_s", "completes fewer requests/s than", "more"),
    ("makespan_ns", "takes less time for all its requests than", "more"),
    ("latency_ns.p50", "has a lower p50 than", "a higher one"),
    ("latency_ns.p99", "has a lower p99 than", "a higher one"),
    ("cpu_s_per_request.target", "needs less CPU per request than", "more"),
    ("memory_per_connection.target.user_bytes", "takes less user memory per connection than", "more"),
    ("connections.connect_per_s", "takes in fewer connections/s than", "more"),
];

/// Most turns that are said of one measure.
const TURNS_MAX: usize = 5;

/// A sentence for each measure in which the order of two labels turns.
pub(super) fn crossovers(results: &[&CaseResult]) -> Vec<String> {
    let steps = steps(results);
    if steps.len() < 2 {
        return Vec::new();
    }
    LOOKED_AT.iter().filter_map(|looked_at| of_measure(&steps, looked_at)).collect()
}

fn of_measure(steps: &[Peers], (name, less, more): &(&str, &str, &str)) -> Option<String> {
    let measure = Measure::find(name)?;
    let known: Vec<(u64, Vec<(&str, Estimate)>)> =
        steps.iter().map(|step| (step.connections, known(step, measure))).collect();
    let mut labels: Vec<&str> = known.iter().flat_map(|step| &step.1).map(|one| one.0).collect();
    labels.sort_unstable();
    labels.dedup();
    let pairs = labels.iter().enumerate().flat_map(|(i, a)| labels[i + 1..].iter().map(move |b| (*a, *b)));
    let turns: Vec<String> = pairs.flat_map(|(a, b)| turns(&known, a, b, less, more)).collect();
    let (shown, rest) = turns.split_at(turns.len().min(TURNS_MAX));
    let more = if rest.is_empty() { String::new() } else { format!(" {} more such turns.", rest.len()) };
    (!shown.is_empty()).then(|| format!("{}.{more}", shown.join(". ")))
}

/// What may be ranked at one step: repeated, and not a rate that the delay or the schedule sets.
fn known<'a>(step: &'a Peers, measure: &Measure) -> Vec<(&'a str, Estimate)> {
    let is_rate = measure.name == "requests.per_s";
    let paced = |r: &CaseResult| r.case.load.connect_rate_per_s.is_some();
    let of = |peer: &'a Peer| {
        let pick = |r: &&CaseResult| match measure.name {
            "cpu_s_per_request.target" => cost::cpu_s_per_request(r),
            "connections.connect_per_s" if paced(r) => None,
            _ => (measure.pick)(r),
        };
        let runs: Vec<Observation> = peer.repeats.iter().filter_map(pick).collect();
        let estimate = estimate(&runs, measure.scale())?;
        let ranked = !is_rate || (!step.is_open() && peer.share().is_none_or(|share| share < NEAR_CEILING));
        (estimate.count > 1 && ranked).then_some((peer.label.as_str(), estimate))
    };
    step.peers.iter().filter_map(of).collect()
}

/// Each turn of two labels, in order of the connections.
fn turns(known: &[(u64, Vec<(&str, Estimate)>)], a: &str, b: &str, less: &str, more: &str) -> Vec<String> {
    let of = |step: &[(&str, Estimate)], label: &str| step.iter().find(|one| one.0 == label).map(|one| one.1);
    let order = |step: &(u64, Vec<(&str, Estimate)>)| {
        let (one, other) = (of(&step.1, a)?, of(&step.1, b)?);
        let order = one.value.total_cmp(&other.value);
        // `None` in it: not told apart.
        Some((step.0, one.is_apart(&other).then_some(order).filter(|order| *order != Ordering::Equal)))
    };
    let orders: Vec<(u64, Option<Ordering>)> = known.iter().filter_map(order).collect();
    let apart: Vec<(u64, Ordering)> = orders.iter().filter_map(|one| Some((one.0, one.1?))).collect();
    let turn = |pair: &[(u64, Ordering)]| {
        let ((up_to, before), (from, after)) = (pair[0], pair[1]);
        (before != after).then(|| {
            let (who, whom) = if before == Ordering::Less { (a, b) } else { (b, a) };
            let between: Vec<String> =
                orders.iter().filter(|o| o.0 > up_to && o.0 < from).map(|o| format_count(o.0)).collect();
            let unsure = match between.as_slice() {
                [] => String::new(),
                counts => format!("; no difference seen at {}", listed(counts)),
            };
            format!(
                "Up to {} connections {who} {less} {whom}, from {} on {more}{unsure}",
                format_count(up_to),
                format_count(from)
            )
        })
    };
    apart.windows(2).filter_map(turn).collect()
}

//! Who holds what, at what cost, and where they differ: sentences from valid results only.
//!
//! Models are compared where they ran the same load with the same wait at the target. A difference is
//! claimed only where intervals are apart. Must not rank by a throughput that the delay dictates.

use std::time::Duration;

use brink_wire::delay::Delay;
use brink_wire::value::{format_bytes, format_count, format_duration, format_ns};

use crate::answer::listed;
use crate::answer::table::{printable, rate};
use crate::schema::{CaseResult, Verdict};

/// Share of its ceiling from which a throughput says more about the delay than about the model.
const NEAR_CEILING: f64 = 0.9;

/// The most connections each label held, and what was asked of it beyond that.
#[must_use]
pub fn held(results: &[&CaseResult]) -> Vec<String> {
    let mut held: Vec<(u64, Vec<String>)> = Vec::new();
    for label in labels(results) {
        let of = || results.iter().filter(|r| r.case.target.label == label);
        let asked = of().map(|r| r.connections.requested).max().unwrap_or(0);
        let most = of().filter(|r| holds_all(r)).map(|r| r.connections.requested).max().unwrap_or(0);
        let mut name = printable(label);
        if most < asked {
            name.push_str(&format!(" (of {} asked)", format_count(asked)));
        }
        match held.iter_mut().find(|h| h.0 == most) {
            Some(same) => same.1.push(name),
            None => held.push((most, vec![name])),
        }
    }
    held.sort_by_key(|h| std::cmp::Reverse(h.0));
    let say = |(most, names): &(u64, Vec<String>)| match most {
        0 => format!("{} held none of the connection counts asked", listed(names)),
        most => format!("{} held {} connections", listed(names), format_count(*most)),
    };
    let parts: Vec<String> = held.iter().map(say).collect();
    if parts.is_empty() { Vec::new() } else { vec![format!("{}.", parts.join("; "))] }
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

/// Memory, throughput and p99 of the labels at the largest connection count they share.
#[must_use]
pub fn compared(results: &[&CaseResult]) -> Vec<String> {
    let Some(peers) = largest_shared(results) else {
        return Vec::new();
    };
    let mut said = Vec::new();
    said.extend(memory(&peers));
    said.extend(throughput(&peers));
    said.extend(p99(&peers));
    said
}

/// One label's valid results under the same conditions.
struct Peer<'a> {
    label: String,
    repeats: Vec<&'a CaseResult>,
}

struct Peers<'a> {
    connections: u64,
    peers: Vec<Peer<'a>>,
}

impl Peers<'_> {
    fn at(&self) -> String {
        format!("At {} connections", format_count(self.connections))
    }
}

/// The largest connection count that the most labels have valid, comparable results at.
fn largest_shared<'a>(results: &[&'a CaseResult]) -> Option<Peers<'a>> {
    let valid: Vec<&CaseResult> =
        results.iter().copied().filter(|r| r.validity.verdict == Verdict::Valid).collect();
    let mut best: Option<Peers> = None;
    for pivot in &valid {
        let like: Vec<&CaseResult> = valid.iter().copied().filter(|r| comparable(pivot, r)).collect();
        let peers: Vec<Peer> = labels(&like)
            .into_iter()
            .map(|label| Peer {
                label: printable(label),
                repeats: like.iter().copied().filter(|r| r.case.target.label == label).collect(),
            })
            .collect();
        let connections = pivot.case.load.connections;
        let rank = |p: &Peers| (p.peers.len().min(2), p.connections, p.peers.len());
        let found = Peers { connections, peers };
        if best.as_ref().is_none_or(|best| rank(&found) > rank(best)) {
            best = Some(found);
        }
    }
    best
}

/// The same load, and the same wait and work at the target. What serves it may differ: that is the question.
fn comparable(a: &CaseResult, b: &CaseResult) -> bool {
    let (x, y) = (&a.case.target, &b.case.target);
    a.case.load == b.case.load
        && (x.delay, x.work_us, x.processes, &x.cpus) == (y.delay, y.work_us, y.processes, &y.cpus)
}

fn labels<'a>(results: &[&'a CaseResult]) -> Vec<&'a str> {
    let mut labels: Vec<&str> = results.iter().map(|r| r.case.target.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// A figure with the range that it must be told apart by.
struct Spread {
    label: String,
    value: f64,
    low: f64,
    high: f64,
}

/// The slopes of all repeats: their mean, and the hull of their intervals.
fn slopes(peers: &Peers) -> Vec<Spread> {
    let spread = |peer: &Peer| {
        let slopes: Vec<_> =
            peer.repeats.iter().filter_map(|r| r.memory_per_connection.target.user_bytes).collect();
        (!slopes.is_empty()).then(|| Spread {
            label: peer.label.clone(),
            value: slopes.iter().map(|s| s.slope).sum::<f64>() / slopes.len() as f64,
            low: slopes.iter().map(|s| s.ci95[0]).fold(f64::INFINITY, f64::min),
            high: slopes.iter().map(|s| s.ci95[1]).fold(f64::NEG_INFINITY, f64::max),
        })
    };
    let mut spreads: Vec<Spread> = peers.peers.iter().filter_map(spread).collect();
    spreads.sort_by(|a, b| a.value.total_cmp(&b.value));
    spreads
}

fn memory(peers: &Peers) -> Option<String> {
    let spreads = slopes(peers);
    let (least, others) = spreads.split_first()?;
    let figure = |s: &Spread| {
        format!(
            "{} {} (95%: {} to {})",
            s.label,
            format_bytes(s.value),
            format_bytes(s.low),
            format_bytes(s.high)
        )
    };
    let figures: Vec<String> = spreads.iter().map(figure).collect();
    let mut text = format!(
        "{} each further one costs the target this much user memory: {}.",
        peers.at(),
        listed(&figures)
    );
    let mut previous = least;
    for other in others {
        let (a, b) = (&previous.label, &other.label);
        text.push_str(&if other.low <= previous.high {
            format!(" No difference seen between {a} and {b}: their intervals overlap.")
        } else if previous.low <= 0.0 {
            format!(" {b} takes more than {a}; the interval of {a} reaches zero, so there is no ratio.")
        } else {
            format!(" {b} takes {:.1} times what {a} takes.", other.value / previous.value)
        });
        previous = other;
    }
    Some(text)
}

fn throughput(peers: &Peers) -> Option<String> {
    let mean = |peer: &Peer, pick: fn(&CaseResult) -> Option<f64>| {
        let known: Vec<f64> = peer.repeats.iter().filter_map(|r| pick(r)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    let known: Vec<(&str, f64, Option<f64>)> = peers
        .peers
        .iter()
        .filter_map(|p| {
            Some((p.label.as_str(), mean(p, |r| r.requests.per_s)?, mean(p, |r| r.requests.per_s_ceiling)))
        })
        .collect();
    if known.is_empty() {
        return None;
    }
    let figure = |(label, per_s, ceiling): &(&str, f64, Option<f64>)| match ceiling {
        Some(ceiling) => format!(
            "{label} {} requests/s ({:.0}% of its ceiling)",
            rate(Some(*per_s)),
            per_s / ceiling * 100.0
        ),
        None => format!("{label} {} requests/s", rate(Some(*per_s))),
    };
    let figures: Vec<String> = known.iter().map(figure).collect();
    let mut text = format!("{}: {}.", peers.at(), listed(&figures));
    let near = |k: &&(&str, f64, Option<f64>)| k.2.is_some_and(|ceiling| k.1 >= NEAR_CEILING * ceiling);
    let near_count = known.iter().filter(near).count();
    if near_count == known.len() {
        text.push_str(" Near the ceiling it is the delay that sets the rate: this is not a ranking.");
    } else if known.len() > 1 {
        text.push_str(if near_count > 0 {
            " Those near the ceiling are not ranked by it: the delay sets their rate."
        } else {
            " A mean has no interval here, so no difference in throughput is claimed."
        });
    }
    Some(text)
}

/// The part of the latency that was asked for, where it is the same for all requests.
fn asked(peers: &Peers) -> String {
    let case = peers.peers.first().and_then(|p| p.repeats.first()).map(|r| &r.case);
    let delay = case.and_then(|case| match (case.load.delay_ns, case.target.delay) {
        (Some(ns), _) => Some(Duration::from_nanos(ns)),
        (None, Delay::Fixed(delay)) => Some(delay),
        (None, _) => None,
    });
    match delay {
        Some(delay) if !delay.is_zero() => {
            format!(", the asked delay of {} included,", format_duration(delay))
        }
        _ => String::new(),
    }
}

fn p99(peers: &Peers) -> Option<String> {
    let spread = |peer: &Peer| {
        let mut p99: Vec<u64> =
            peer.repeats.iter().filter_map(|r| r.latency_ns.as_ref().map(|l| l.p99)).collect();
        p99.sort_unstable();
        let (low, high) = (*p99.first()?, *p99.last()?);
        let figure = if p99.len() == 1 {
            format!("{} {}", peer.label, format_ns(low as f64))
        } else {
            format!("{} {} to {}", peer.label, format_ns(low as f64), format_ns(high as f64))
        };
        Some((figure, p99.len(), peer.label.clone(), low, high))
    };
    let mut spreads: Vec<_> = peers.peers.iter().filter_map(spread).collect();
    spreads.sort_by(|a, b| (a.3, &a.2).cmp(&(b.3, &b.2)));
    let figures: Vec<String> = spreads.iter().map(|s| s.0.clone()).collect();
    let mut text = match figures.len() {
        0 => return None,
        _ => format!("{} p99 latency{} was {}.", peers.at(), asked(peers), listed(&figures)),
    };
    if spreads.len() < 2 {
        return Some(text);
    }
    if spreads.iter().any(|s| s.1 < 2) {
        text.push_str(" One run has no interval: repeat the cases before these are ranked.");
        return Some(text);
    }
    for pair in spreads.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        text.push_str(&if a.4 < b.3 {
            format!(" {} was below {} in every repeat.", a.2, b.2)
        } else {
            format!(" No difference seen between {} and {}: their repeats overlap.", a.2, b.2)
        });
    }
    Some(text)
}

//! Who is compared with whom, and where they differ: sentences from valid results only.
//!
//! Models are compared where they ran the same load with the same wait at the target. A difference is
//! claimed only where intervals are apart. Must not rank by a throughput that the delay dictates.

use std::time::Duration;

use brink_wire::value::{format_count, format_duration, format_ns};

use crate::answer::naming::Names;
use crate::answer::table::{printable, rate};
use crate::answer::{cost, listed, shortfall};
use crate::case::{LoadCase, Protocol, Workload};
use crate::schema::{CaseResult, Verdict};

/// Share of its ceiling from which a throughput says more about the delay than about the model.
pub(crate) const NEAR_CEILING: f64 = 0.9;

/// Most labels whose neighbours are compared in a sentence for each pair.
pub(super) const PAIRS_MAX: usize = 5;

/// Memory and CPU time, throughput and p99 of the labels that can be compared, and where any stays behind its delay;
/// for each load by itself, where the run has several that are not steps of one.
#[must_use]
pub fn compared(results: &[&CaseResult]) -> Vec<String> {
    let names = Names::new(results.iter().copied());
    let mut loads: Vec<(String, Vec<&CaseResult>)> = Vec::new();
    for result in results.iter().copied() {
        let load = names.load(result);
        match loads.iter_mut().find(|known| known.0 == load) {
            Some(known) => known.1.push(result),
            None => loads.push((load, vec![result])),
        }
    }
    let several = loads.len() > 1;
    let of_load = |(load, results): &(String, Vec<&CaseResult>)| -> Vec<String> {
        // Of one target under a load of its own there is nothing to compare, and its figures are in the tables.
        let said = match (several, labels(results).len()) {
            (true, 1) => shortfall::shortfalls(results).into_iter().collect(),
            _ => alike(results),
        };
        let head = (several && !said.is_empty()).then(|| format!("Under the load {load}:"));
        head.into_iter().chain(said).collect()
    };
    loads.iter().flat_map(of_load).collect()
}

fn alike(results: &[&CaseResult]) -> Vec<String> {
    let mut said = Vec::new();
    // The largest count that two labels share, whoever else fell out before it.
    let at_most = shared(results, |p| (p.peers.len().min(2), p.connections, p.peers.len()));
    if let Some(peers) = &at_most {
        said.extend(cost::user_memory(peers));
        said.extend(cost::kernel_memory(peers));
    }
    // CPU time per request changes with the count, so that as many as can be are shown at one count.
    let at_all = shared(results, |p| (p.peers.len(), p.connections, 0));
    said.extend(at_all.as_ref().and_then(cost::cpu));
    said.extend(at_most.as_ref().and_then(throughput));
    said.extend(shortfall::shortfalls(results));
    said.extend(at_most.as_ref().and_then(p99));
    said
}

/// One label's valid results under the same conditions.
pub(super) struct Peer<'a> {
    pub(super) label: String,
    pub(super) repeats: Vec<&'a CaseResult>,
}

pub(super) struct Peers<'a> {
    connections: u64,
    pub(super) peers: Vec<Peer<'a>>,
}

impl Peers<'_> {
    /// Whether their rate is that of a schedule.
    fn is_open(&self) -> bool {
        let first = self.peers.first().and_then(|peer| peer.repeats.first());
        first.is_some_and(|r| matches!(r.case.load.workload, Workload::Open { .. }))
    }

    pub(super) fn at(&self) -> String {
        format!("At {} connections", format_count(self.connections))
    }
}

/// Of the groups of valid results that can be compared, that of the highest rank.
fn shared<'a, R: PartialOrd>(
    results: &[&'a CaseResult],
    rank: impl Fn(&Peers<'a>) -> R,
) -> Option<Peers<'a>> {
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
        let found = Peers { connections: pivot.case.load.connections, peers };
        if best.as_ref().is_none_or(|best| rank(&found) > rank(best)) {
            best = Some(found);
        }
    }
    best
}

/// The same load, and the same wait and work at the target. What serves it, and in how many processes, may differ:
/// that is the question. A wait or work of the target's own counts only where requests do not ask for theirs.
fn comparable(a: &CaseResult, b: &CaseResult) -> bool {
    let (x, y, load) = (&a.case.target, &b.case.target, &a.case.load);
    same_load(load, &b.case.load)
        && (load.delay_ns.is_some() || x.delay == y.delay)
        && (load.work_us.is_some() || x.work_us == y.work_us)
        && x.cpus == y.cpus
}

/// The same but for the host that is spoken to and the random numbers that are drawn, which differ between targets
/// and repeats of one question.
fn same_load(a: &LoadCase, b: &LoadCase) -> bool {
    let plain = |load: &LoadCase| {
        let mut load = LoadCase { seed: 0, ..load.clone() };
        if let Protocol::Http { host, .. } = &mut load.protocol {
            host.clear();
        }
        load
    };
    plain(a) == plain(b)
}

/// The same load to the same target, but for the engine that asks and its threads.
pub(super) fn same_question(a: &CaseResult, b: &CaseResult) -> bool {
    let load = |r: &CaseResult| LoadCase { engine: String::new(), threads: 0, ..r.case.load.clone() };
    a.case.target == b.case.target && same_load(&load(a), &load(b))
}

pub(super) fn labels<'a>(results: &[&'a CaseResult]) -> Vec<&'a str> {
    let mut labels: Vec<&str> = results.iter().map(|r| r.case.target.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// A figure of one label over its repeats.
pub(super) struct Repeats {
    label: String,
    count: usize,
    low: f64,
    high: f64,
}

/// A figure of each label over its repeats, the lowest first.
pub(super) fn repeats(peers: &Peers, pick: impl Fn(&CaseResult) -> Option<f64>) -> Vec<Repeats> {
    let mut all: Vec<Repeats> = Vec::new();
    for peer in &peers.peers {
        let known: Vec<f64> = peer.repeats.iter().filter_map(|r| pick(r)).collect();
        if !known.is_empty() {
            all.push(Repeats {
                label: peer.label.clone(),
                count: known.len(),
                low: known.iter().copied().fold(f64::INFINITY, f64::min),
                high: known.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            });
        }
    }
    all.sort_by(|a, b| a.low.total_cmp(&b.low).then_with(|| a.label.cmp(&b.label)));
    all
}

/// `mio 1.00 s and tokio 1.00 s to 1.01 s`.
pub(super) fn figures(all: &[Repeats], format: fn(f64) -> String) -> String {
    let figure = |r: &Repeats| match r.count {
        1 => format!("{} {}", r.label, format(r.low)),
        _ => format!("{} {} to {}", r.label, format(r.low), format(r.high)),
    };
    listed(&all.iter().map(figure).collect::<Vec<_>>())
}

/// Whose repeats are all below whose; that nobody is ranked by a single run.
pub(super) fn told_apart(all: &[Repeats]) -> String {
    if all.len() < 2 {
        return String::new();
    }
    if all.iter().any(|r| r.count < 2) {
        return " Measured once, so without an interval: not a ranking until the cases are repeated."
            .to_owned();
    }
    if all.len() > PAIRS_MAX {
        let mut text = format!(" By repeats (`<`: below in every one, `~`: they overlap): {}", all[0].label);
        for pair in all.windows(2) {
            let sign = if pair[0].high < pair[1].low { '<' } else { '~' };
            text.push_str(&format!(" {sign} {}", pair[1].label));
        }
        return text + ".";
    }
    let pair = |pair: &[Repeats]| {
        let (a, b) = (&pair[0], &pair[1]);
        if a.high < b.low {
            format!(" {} was below {} in every repeat.", a.label, b.label)
        } else {
            format!(" No difference seen between {} and {}: their repeats overlap.", a.label, b.label)
        }
    };
    all.windows(2).map(pair).collect()
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
        Some(ceiling) if !peers.is_open() => format!(
            "{label} {} requests/s ({:.0}% of its ceiling)",
            rate(Some(*per_s)),
            per_s / ceiling * 100.0
        ),
        _ => format!("{label} {} requests/s", rate(Some(*per_s))),
    };
    let figures: Vec<String> = known.iter().map(figure).collect();
    let mut text = format!("{}: {}.", peers.at(), listed(&figures));
    if peers.is_open() {
        text.push_str(" It is the rate of the schedule, which ranks nobody.");
        return Some(text);
    }
    let near = |k: &&(&str, f64, Option<f64>)| k.2.is_some_and(|ceiling| k.1 >= NEAR_CEILING * ceiling);
    let near_count = known.iter().filter(near).count();
    if near_count == known.len() && known.len() > PAIRS_MAX {
        let shares = || known.iter().filter_map(|k| Some(k.1 / k.2? * 100.0));
        let low = shares().fold(f64::INFINITY, f64::min);
        let high = shares().fold(f64::NEG_INFINITY, f64::max);
        return Some(format!(
            "{} all {} completed {low:.0}% to {high:.0}% of their ceiling. Near it is the delay that sets the rate: this \
             is not a ranking.",
            peers.at(),
            known.len()
        ));
    }
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
    match case.and_then(|case| case.asked_delay_ns()).filter(|ns| *ns > 0) {
        Some(ns) => format!(", the asked delay of {} included,", format_duration(Duration::from_nanos(ns))),
        None => String::new(),
    }
}

fn p99(peers: &Peers) -> Option<String> {
    let all = repeats(peers, |r| r.latency_ns.as_ref().map(|l| l.p99 as f64));
    (!all.is_empty()).then(|| {
        format!(
            "{} p99 latency{} was {}.{}",
            peers.at(),
            asked(peers),
            figures(&all, format_ns),
            told_apart(&all)
        )
    })
}

//! Who is compared with whom, and where they differ: sentences from valid results only.
//!
//! Models are compared where they ran the same load with the same wait at the target: medians of their repeats. A
//! difference is claimed only where 95% intervals are apart. Must not rank by a throughput that the delay dictates.

use std::time::Duration;

use brink_wire::value::{format_count, format_duration, format_ns};

use crate::answer::naming::Names;
use crate::answer::spread::{Spread, figures, of_measure, told_apart};
use crate::answer::table::{printable, rate};
use crate::answer::{cost, crossover, listed, shortfall};
use crate::case::{LoadCase, Protocol, Workload};
use crate::measures::Measure;
use crate::schema::{CaseResult, Verdict};
use crate::statistics::median;

/// Share of its ceiling from which a throughput says more about the delay than about the model.
pub(crate) const NEAR_CEILING: f64 = 0.9;

/// Most labels whose neighbours are compared in a sentence for each pair.
pub(super) const PAIRS_MAX: usize = 5;

/// Memory and CPU time, throughput, latency and connect rate of the labels that can be compared, where their order
/// turns, and where any stays behind its delay;
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
    said.extend(at_most.as_ref().and_then(makespan));
    said.extend(shortfall::shortfalls(results));
    said.extend(at_most.as_ref().and_then(p50));
    said.extend(at_most.as_ref().and_then(p99));
    said.extend(at_most.as_ref().and_then(connect_rate));
    said.extend(crossover::crossovers(results));
    said
}

/// One label's valid results under the same conditions.
pub(super) struct Peer<'a> {
    pub(super) label: String,
    pub(super) repeats: Vec<&'a CaseResult>,
}

impl Peer<'_> {
    /// Requests/s, the median, as a share of the ceiling.
    pub(super) fn share(&self) -> Option<f64> {
        let of = |pick: fn(&CaseResult) -> Option<f64>| {
            median(&self.repeats.iter().filter_map(|r| pick(r)).collect::<Vec<f64>>())
        };
        let ceiling = of(|r| r.requests.per_s_ceiling).filter(|ceiling| *ceiling > 0.0)?;
        Some(of(|r| r.requests.per_s)? / ceiling)
    }
}

pub(super) struct Peers<'a> {
    pub(super) connections: u64,
    pub(super) peers: Vec<Peer<'a>>,
}

impl Peers<'_> {
    /// Whether their rate is that of a schedule.
    pub(super) fn is_open(&self) -> bool {
        let first = self.peers.first().and_then(|peer| peer.repeats.first());
        first.is_some_and(|r| matches!(r.case.load.workload, Workload::Open { .. }))
    }

    /// Whether all were repeated, and there are several: what single runs say is in the tables.
    fn is_repeated(&self) -> bool {
        self.peers.len() > 1 && self.peers.iter().all(|peer| peer.repeats.len() > 1)
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

/// What can be compared at each number of connections, by rising number; without those that nobody shares.
pub(super) fn steps<'a>(results: &[&'a CaseResult]) -> Vec<Peers<'a>> {
    let mut counts: Vec<u64> = results.iter().map(|r| r.case.load.connections).collect();
    counts.sort_unstable();
    counts.dedup();
    let at = |count: &u64| {
        let own: Vec<&CaseResult> =
            results.iter().copied().filter(|r| r.case.load.connections == *count).collect();
        shared(&own, |p| p.peers.len()).filter(|peers| peers.peers.len() > 1)
    };
    counts.iter().filter_map(at).collect()
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
pub(crate) fn same_load(a: &LoadCase, b: &LoadCase) -> bool {
    let plain = |load: &LoadCase| {
        let mut load = LoadCase { seed: 0, ..load.clone() };
        clear_host(&mut load.protocol);
        if let Some(background) = &mut load.background {
            background.seed = 0;
            clear_host(&mut background.protocol);
        }
        load
    };
    plain(a) == plain(b)
}

fn clear_host(protocol: &mut Protocol) {
    if let Protocol::Http { host, .. } = protocol {
        host.clear();
    }
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

fn throughput(peers: &Peers) -> Option<String> {
    let all = of_measure(peers, Measure::find("requests.per_s")?);
    if all.is_empty() {
        return None;
    }
    let share =
        |one: &Spread| peers.peers.iter().find(|peer| peer.label == one.label).and_then(|peer| peer.share());
    // Not by figure: it is no ranking yet.
    let mut by_label: Vec<&Spread> = all.iter().collect();
    by_label.sort_by(|a, b| a.label.cmp(&b.label));
    let figure = |one: &&Spread| {
        let per_s = one.text(|per_s| rate(Some(per_s)));
        match share(one) {
            Some(share) if !peers.is_open() => {
                format!("{per_s} requests/s ({:.0}% of its ceiling)", share * 100.0)
            }
            _ => format!("{per_s} requests/s"),
        }
    };
    let figures: Vec<String> = by_label.iter().map(figure).collect();
    let mut text = format!("{}: {}.", peers.at(), listed(&figures));
    if peers.is_open() {
        text.push_str(" It is the rate of the schedule, which ranks nobody.");
        return Some(text);
    }
    let is_near = |one: &Spread| share(one).is_some_and(|share| share >= NEAR_CEILING);
    let far: Vec<Spread> = all.iter().filter(|one| !is_near(one)).cloned().collect();
    if far.is_empty() && all.len() > PAIRS_MAX {
        let shares = || all.iter().filter_map(|one| Some(share(one)? * 100.0));
        let low = shares().fold(f64::INFINITY, f64::min);
        let high = shares().fold(f64::NEG_INFINITY, f64::max);
        return Some(format!(
            "{} all {} completed {low:.0}% to {high:.0}% of their ceiling. Near it is the delay that sets the rate: this \
             is not a ranking.",
            peers.at(),
            all.len()
        ));
    }
    if far.is_empty() {
        text.push_str(" Near the ceiling it is the delay that sets the rate: this is not a ranking.");
        return Some(text);
    }
    text.push_str(&told_apart(&far, |per_s| format!("{}/s", rate(Some(per_s)))));
    if far.len() < all.len() {
        text.push_str(" Those near the ceiling are not ranked by it: the delay sets their rate.");
    }
    Some(text)
}

/// How long a fixed number of requests took, where it was repeated.
fn makespan(peers: &Peers) -> Option<String> {
    let all = repeated(peers, "makespan_ns")?;
    Some(format!(
        "{} all requests together took {}.{}",
        peers.at(),
        figures(&all, format_ns),
        told_apart(&all, format_ns)
    ))
}

/// How fast connections opened, where it was repeated and no rate was asked for.
fn connect_rate(peers: &Peers) -> Option<String> {
    if peers.peers.iter().flat_map(|p| &p.repeats).any(|r| r.case.load.connect_rate_per_s.is_some()) {
        return None;
    }
    let all = repeated(peers, "connections.connect_per_s")?;
    let per_s = |per_s| format!("{}/s", rate(Some(per_s)));
    Some(format!("{} they opened at {}.{}", peers.at(), figures(&all, per_s), told_apart(&all, per_s)))
}

/// A measure of all, where all were repeated: with single runs it would only say that it says nothing.
fn repeated(peers: &Peers, measure: &str) -> Option<Vec<Spread>> {
    let all = of_measure(peers, Measure::find(measure).filter(|_| peers.is_repeated())?);
    (all.len() > 1).then_some(all)
}

/// The part of the latency that was asked for, where it is the same for all requests.
fn asked(peers: &Peers) -> String {
    let case = peers.peers.first().and_then(|p| p.repeats.first()).map(|r| &r.case);
    match case.and_then(|case| case.asked_delay_ns()).filter(|ns| *ns > 0) {
        Some(ns) => format!(", the asked delay of {} included,", format_duration(Duration::from_nanos(ns))),
        None => String::new(),
    }
}

fn p50(peers: &Peers) -> Option<String> {
    repeated(peers, "latency_ns.p50").map(|all| latency(peers, "p50", &all))
}

fn p99(peers: &Peers) -> Option<String> {
    let all = of_measure(peers, Measure::find("latency_ns.p99")?);
    (!all.is_empty()).then(|| latency(peers, "p99", &all))
}

fn latency(peers: &Peers, which: &str, all: &[Spread]) -> String {
    format!(
        "{} {which} latency{} was {}.{}",
        peers.at(),
        asked(peers),
        figures(all, format_ns),
        told_apart(all, format_ns)
    )
}

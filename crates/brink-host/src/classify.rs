//! From what was observed to which limit it was, with evidence or not at all. Pure: the
//! readings and counters are taken by the caller, at the moment of the failure.
//!
//! A wrong name is worse than none: an errno alone names a limit only where the kernel has
//! one cause for it, and figures that speak against a limit outweigh an errno.

mod evidence;

use brink_wire::control::{LimitReading, MachineUsage};

use crate::limits::{End, LIMITS, Limit, Weight};
use evidence::{at_limit, describe, needed_for_one, ports_in_use, scaled};

/// The target's own bound on connections.
pub const TARGET_MAX_CONNECTIONS: &str = "target.max_connections";
/// The backlog that the target asked of listen(2).
pub const TARGET_BACKLOG: &str = "target.backlog";

const SOMAXCONN: &str = "net.core.somaxconn";
pub(crate) const PORT_RANGE: &str = "net.ipv4.ip_local_port_range";

/// The first failure, as seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation<'a> {
    /// Where it was seen.
    pub end: End,
    /// What was being done: `socket`, `bind`, `connect`, `accept`, `spawn`, ..
    pub phase: &'a str,
    /// Errno by name, or a name of our own in lower case (`timeout`, `max_connections`).
    pub errno: &'a str,
    /// Connections open at that moment.
    pub at_connections: u64,
    /// Connections the run asked for, where known: the fix is made to carry them.
    pub connections_wanted: Option<u64>,
    /// Source addresses times destinations in use, where known. A range of ports serves each pair.
    pub address_pairs: Option<u64>,
    /// Backlog that the target asked of listen(2), where known.
    pub backlog: Option<u64>,
    /// Stack of a connection's thread on the target, in bytes, where there is one and it is known.
    pub stack_bytes: Option<u64>,
}

/// How sure an inference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// Errno, phase and use at the limit agree.
    Confirmed,
    /// They do not contradict, but one is missing.
    Likely,
    /// No limit can be named honestly.
    Unknown,
}

impl Confidence {
    /// As results write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Likely => "likely",
            Self::Unknown => "unknown",
        }
    }
}

/// Which limit it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inference {
    /// As in [`LIMITS`], or one of the target's own. `None`: unknown.
    pub limit: Option<&'static str>,
    /// Its value when it failed.
    pub limit_value: Option<u64>,
    /// `Unknown` exactly where `limit` is `None`.
    pub confidence: Confidence,
    /// What speaks for it, or what was looked at in vain. One sentence each.
    pub evidence: Vec<String>,
    /// The command that lifts it. `None`, too, where what was seen says nothing about the value it takes.
    pub fix: Option<String>,
}

impl Inference {
    /// The name of the limit, or `unknown`.
    #[must_use]
    pub fn limit_name(&self) -> &'static str {
        self.limit.unwrap_or("unknown")
    }
}

/// Names the limit behind a failure.
///
/// `readings` are those of the end that failed, read when it failed; for a connect that timed
/// out, those of the target where they can be had. `counters` are the machine of the target
/// before the run and now.
#[must_use]
pub fn classify(
    observation: &Observation<'_>,
    readings: &[LimitReading],
    counters: Option<(&MachineUsage, &MachineUsage)>,
) -> Inference {
    let mut evidence = vec![format!(
        "{} in phase {} with {} connections open",
        observation.errno, observation.phase, observation.at_connections
    )];
    if observation.errno == "max_connections" {
        return own_bound(observation, evidence);
    }
    if observation.phase == "connect" && matches!(observation.errno, "timeout" | "ETIMEDOUT") {
        return connect_timed_out(observation, readings, counters, evidence);
    }
    let candidates = candidates(observation, readings);
    evidence.extend(candidates.iter().map(Candidate::describe));
    match choose(&candidates) {
        Ok((chosen, confidence)) => {
            let needed = chosen.value.and_then(|value| scaled(chosen.limit.name, value, observation));
            let fix = needed.map(chosen.limit.fix);
            Inference { limit: Some(chosen.limit.name), limit_value: chosen.value, confidence, evidence, fix }
        }
        Err(why) => unknown(evidence, why),
    }
}

fn unknown(mut evidence: Vec<String>, why: &str) -> Inference {
    evidence.push(why.to_owned());
    Inference { limit: None, limit_value: None, confidence: Confidence::Unknown, evidence, fix: None }
}

/// A limit that has such a symptom, and how its use stands to its value.
struct Candidate {
    limit: &'static Limit,
    weight: Weight,
    value: Option<u64>,
    used: Option<u64>,
    /// Use at the limit is no proof: it counts what could be given back, or is an upper bound.
    is_soft: bool,
    /// What has to be free for one more of what failed.
    needed_for_one: u64,
}

impl Candidate {
    fn is_at_limit(&self) -> Option<bool> {
        Some(at_limit(self.used?.saturating_add(self.needed_for_one), self.value?))
    }

    fn headroom(&self) -> Option<u64> {
        Some(self.value?.saturating_sub(self.used?.saturating_add(self.needed_for_one)))
    }

    fn confidence_at_limit(&self) -> Confidence {
        if self.is_soft { Confidence::Likely } else { Confidence::Confirmed }
    }

    fn describe(&self) -> String {
        let figures = describe(self.limit.name, self.limit.unit, self.used, self.value);
        match (self.needed_for_one, self.used, self.value) {
            (1.., Some(_), Some(_)) => {
                format!("{figures}, and one more thread needs {} free", self.needed_for_one)
            }
            _ => figures,
        }
    }
}

/// Rows of that end with a matching symptom, as far as there is a reading of them.
fn candidates(observation: &Observation<'_>, readings: &[LimitReading]) -> Vec<Candidate> {
    LIMITS
        .iter()
        .filter(|limit| limit.binds.includes(observation.end))
        .filter_map(|limit| {
            let symptom = limit
                .symptoms
                .iter()
                .find(|symptom| symptom.matches(observation.phase, observation.errno))?;
            let reading = readings.iter().find(|reading| reading.name == limit.name);
            let used = if limit.name == PORT_RANGE {
                Some(ports_in_use(observation))
            } else {
                reading.and_then(|reading| reading.used)
            };
            let is_soft = match limit.name {
                // Page cache counts as use and is given back when it is needed.
                "cgroup.memory.max" | "memory.available" => true,
                PORT_RANGE => observation.address_pairs.is_none(),
                _ => false,
            };
            let value = reading.and_then(|reading| reading.value);
            let needed_for_one = needed_for_one(limit.name, observation);
            Some(Candidate { limit, weight: symptom.weight, value, used, is_soft, needed_for_one })
        })
        .collect()
}

/// Use at the limit decides. Where no use is at its limit, an errno with one cause does, unless
/// the figures rule that cause out.
fn choose(candidates: &[Candidate]) -> Result<(&Candidate, Confidence), &'static str> {
    let full: Vec<&Candidate> = candidates.iter().filter(|one| one.is_at_limit() == Some(true)).collect();
    match full[..] {
        [one] => return Ok((one, one.confidence_at_limit())),
        [] => {}
        _ => return choose_among_full(&full),
    }
    let Some(named) = candidates.iter().find(|one| one.weight != Weight::Allows) else {
        return Err(if candidates.is_empty() {
            "no limit in the table looks like this"
        } else {
            "several limits look like this, and none of those that could be read is at its limit"
        });
    };
    match (named.weight, named.is_at_limit()) {
        // The kernel has no other cause; what was in use may be closed again by now.
        (Weight::Proves, _) | (_, None) => Ok((named, Confidence::Likely)),
        // Some of what counts may not be ours, or not be counted yet.
        (_, Some(_)) if named.used.unwrap_or(0) >= named.value.unwrap_or(0) / 2 => {
            Ok((named, Confidence::Likely))
        }
        _ => Err("its use is far from that limit, so something else must be the cause"),
    }
}

/// More than one is near its limit: the one that has nothing left, if that is only one.
fn choose_among_full<'a>(full: &[&'a Candidate]) -> Result<(&'a Candidate, Confidence), &'static str> {
    if let Some(proof) = full.iter().find(|one| one.weight == Weight::Proves) {
        return Ok((proof, Confidence::Confirmed));
    }
    let mut spent = full.iter().filter(|one| one.headroom().is_some_and(|left| left <= evidence::SLACK));
    match (spent.next(), spent.next()) {
        (Some(one), None) => Ok((one, Confidence::Likely)),
        _ => Err("more than one of these is at its limit, and which came first cannot be told"),
    }
}

fn own_bound(observation: &Observation<'_>, evidence: Vec<String>) -> Inference {
    let wanted = observation.connections_wanted.map(|wanted| format!(" to {wanted} or more"));
    Inference {
        limit: Some(TARGET_MAX_CONNECTIONS),
        limit_value: None,
        confidence: Confidence::Confirmed,
        evidence,
        fix: Some(format!(
            "raise the target's own bound on connections{}, or leave it out",
            wanted.unwrap_or_default()
        )),
    }
}

/// A full accept queue makes the kernel drop the handshake, and the client sees silence
/// (net/ipv4/tcp_input.c, tcp_conn_request). Only the counter tells that from a lost network.
fn connect_timed_out(
    observation: &Observation<'_>,
    readings: &[LimitReading],
    counters: Option<(&MachineUsage, &MachineUsage)>,
    mut evidence: Vec<String>,
) -> Inference {
    let Some((before, after)) = counters else {
        return unknown(evidence, "the target machine's drop counters are not known");
    };
    let grown = |name: &str, read: fn(&MachineUsage) -> Option<u64>, evidence: &mut Vec<String>| {
        let grown = read(after)?.checked_sub(read(before)?)?;
        evidence.push(format!("{name} grew by {grown}"));
        Some(grown)
    };
    let overflows = grown("ListenOverflows", |usage| usage.listen_overflows, &mut evidence);
    grown("ListenDrops", |usage| usage.listen_drops, &mut evidence);
    grown("TCPAbortOnMemory", |usage| usage.tcp_abort_on_memory, &mut evidence);
    match overflows {
        None => return unknown(evidence, "ListenOverflows could not be read"),
        Some(0) => return unknown(evidence, "no accept queue overflowed, so the silence has another cause"),
        Some(_) => {}
    }
    let somaxconn =
        readings.iter().find(|reading| reading.name == SOMAXCONN).and_then(|reading| reading.value);
    if let (Some(backlog), Some(somaxconn)) = (observation.backlog, somaxconn)
        && backlog < somaxconn
    {
        evidence.push(format!("the backlog asked, {backlog}, is below net.core.somaxconn, {somaxconn}"));
        return Inference {
            limit: Some(TARGET_BACKLOG),
            limit_value: Some(backlog),
            confidence: Confidence::Likely,
            evidence,
            fix: Some(format!("start the target with `--backlog {somaxconn}`")),
        };
    }
    let fix = crate::limits::find(SOMAXCONN)
        .zip(somaxconn)
        .map(|(limit, value)| (limit.fix)(value.saturating_mul(4)));
    let (limit, confidence) = (Some(SOMAXCONN), Confidence::Likely);
    Inference { limit, limit_value: somaxconn, confidence, evidence, fix }
}

#[cfg(test)]
mod tests;

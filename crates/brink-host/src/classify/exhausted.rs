//! An errno that says that something is used up: which of the limits that look like this it was.
//! Use at the limit decides, or a counter of that very limit; an errno alone only where it has one cause.

use super::evidence::{SLACK, at_limit, describe, needed_for_one, ports_in_use};
use super::{Confidence, Inference, Observation, PORT_RANGE, Scene};
use crate::limits::{LIMITS, Limit, Symptom, Weight, is_no_limit};
use brink_wire::value::{format_bytes, format_count};

const PIDS: &str = "cgroup.pids.max";

pub(super) fn classify(scene: &mut Scene<'_>) -> Inference {
    let candidates = candidates(scene);
    for candidate in &candidates {
        scene.note(candidate.describe());
        if candidate.limit.name == PORT_RANGE {
            note_ports(scene, candidate);
        } else if let Some(note) = scene.reading(candidate.limit.name).and_then(|one| one.note.as_deref())
            && candidate.is_at_limit() == Some(true)
        {
            scene.note(format!("{}: {note}", candidate.limit.name));
        }
    }
    match choose(&candidates) {
        Ok((chosen, confidence)) => scene.named(chosen.limit.name, chosen.value, confidence),
        Err(why) => scene.unknown(why),
    }
}

/// Which pair of addresses it is about, and who holds its ports.
fn note_ports(scene: &mut Scene<'_>, candidate: &Candidate<'_>) {
    let observation = scene.observation;
    if let Some(range) = scene.reading(PORT_RANGE).and_then(|reading| reading.note.as_deref()) {
        scene.note(format!("{PORT_RANGE}: {range}"));
    }
    if candidate.is_at_limit() != Some(true) {
        scene.note("a source address that is not of this machine says the same");
    }
    if let Some(pair) = observation.pair {
        scene.note(format!("the fullest pair is {pair}"));
    }
    if let Some(taken) = observation.ports_taken {
        let waiting = observation.ports_time_wait.unwrap_or(0);
        // Where nobody says whether they are free, more than are held cannot be among these.
        let is_free = observation.time_wait_is_free.unwrap_or(waiting > taken);
        let among = match observation.ports_time_wait {
            Some(_) if !is_free => format!(", {waiting} of them in TIME_WAIT"),
            _ => String::new(),
        };
        scene.note(format!("{taken} of its ports are held by others{among}"));
        if is_free && waiting > 0 {
            scene.note(format!("{waiting} more are in TIME_WAIT and free to be used again"));
        }
    }
}

/// A limit that has such a symptom, and how its use stands to its value.
struct Candidate<'a> {
    limit: &'static Limit,
    weight: Weight,
    value: Option<u64>,
    used: Option<u64>,
    /// Use at the limit is no proof: it counts what could be given back, or is an upper bound.
    is_soft: bool,
    /// What has to be free for one more of what failed.
    needed_for_one: u64,
    /// How often the kernel counted a refusal by this very limit. `None`: it does not count, or not known.
    refusals: Option<u64>,
    /// Why it has no value, where that is known.
    why_unknown: Option<&'a str>,
}

impl Candidate<'_> {
    fn is_at_limit(&self) -> Option<bool> {
        if self.refusals == Some(0) {
            return Some(false); // whatever its use: the kernel would have counted it
        }
        self.is_at_limit_by_use()
    }

    fn is_at_limit_by_use(&self) -> Option<bool> {
        Some(at_limit(self.used?.saturating_add(self.needed_for_one), self.value?))
    }

    fn headroom(&self) -> Option<u64> {
        Some(self.value?.saturating_sub(self.used?.saturating_add(self.needed_for_one)))
    }

    fn confidence_at_limit(&self) -> Confidence {
        if self.is_soft { Confidence::Likely } else { Confidence::Confirmed }
    }

    fn describe(&self) -> String {
        let mut figures = describe(self.limit.name, self.limit.unit, self.used, self.value);
        if let Some(why) = self.why_unknown {
            figures = format!("{figures}: {why}");
        }
        match (self.needed_for_one, self.used, self.value) {
            (1.., Some(_), Some(_)) => {
                let needed = match self.limit.unit {
                    "bytes" => format_bytes(self.needed_for_one as f64),
                    _ => format_count(self.needed_for_one),
                };
                format!("{figures}, and one more thread needs {needed} free")
            }
            _ => match self.refusals {
                Some(count) => {
                    format!("{figures}, and the kernel counted {count} refusals by it (pids.events)")
                }
                None => figures,
            },
        }
    }
}

/// Rows of that end with a matching symptom, as far as there is a reading of them.
fn candidates<'a>(scene: &Scene<'a>) -> Vec<Candidate<'a>> {
    let observation = scene.observation;
    LIMITS
        .iter()
        .filter(|limit| limit.binds.includes(observation.end))
        .filter_map(|limit| {
            let matches = |symptom: &&Symptom| symptom.matches(observation.phase, observation.errno);
            let weight = limit.symptoms.iter().find(matches)?.weight;
            let reading = scene.reading(limit.name);
            let value = reading.and_then(|reading| reading.value);
            let used = match limit.name {
                PORT_RANGE => Some(ports_in_use(observation)),
                // A switch that is on is all there is to it.
                _ if limit.is_mode() => value.filter(|&mode| mode > 0),
                _ => reading.and_then(|reading| reading.used),
            };
            let is_soft = match limit.name {
                // Some of what counts as use can be given back when it is needed.
                "cgroup.memory.max" | "memory.available" => true,
                PORT_RANGE => observation.address_pairs.is_none(),
                // Mode 1 is for some; and a seccomp filter says the same.
                _ => limit.is_mode() && value == Some(1),
            };
            let refusals = (limit.name == PIDS).then(|| pids_refusals(observation)).flatten();
            let needed_for_one = needed_for_one(limit.name, observation);
            let why_unknown = reading.filter(|one| one.value.is_none()).and_then(|one| one.note.as_deref());
            Some(Candidate { limit, weight, value, used, is_soft, needed_for_one, refusals, why_unknown })
        })
        .filter(|candidate| !(candidate.limit.is_mode() && candidate.value == Some(0)))
        // What is known not to bind is no cause.
        .filter(|candidate| !scene.reading(candidate.limit.name).is_some_and(is_no_limit))
        .collect()
}

/// Growth of `max` in pids.events of the end that failed.
fn pids_refusals(observation: &Observation<'_>) -> Option<u64> {
    let (before, after) = observation.cgroup?;
    after.pids_refusals?.checked_sub(before.pids_refusals?)
}

/// The limit that it was, or why none can be named.
type Choice<'a, 'b> = Result<(&'a Candidate<'b>, Confidence), &'static str>;

/// Use at the limit decides. Where no use is at its limit, an errno with one cause does, unless
/// the figures rule that cause out.
fn choose<'a, 'b>(candidates: &'a [Candidate<'b>]) -> Choice<'a, 'b> {
    if let Some(counted) = candidates.iter().find(|one| one.refusals.is_some_and(|count| count > 0)) {
        return choose_beside_counted(counted, candidates);
    }
    let full: Vec<&Candidate<'_>> = candidates.iter().filter(|one| one.is_at_limit() == Some(true)).collect();
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

/// Since Linux 6.11 a group's count holds the refusals of all processes below it, so what was counted may be another's
/// (kernel/cgroup/pids.c, pids_event): where its use is far from it, one that is at its limit goes before. Where none
/// is, the threads that filled it may be gone by now.
fn choose_beside_counted<'a, 'b>(
    counted: &'a Candidate<'b>,
    candidates: &'a [Candidate<'b>],
) -> Choice<'a, 'b> {
    if counted.is_at_limit_by_use() != Some(false) {
        return Ok((counted, Confidence::Confirmed));
    }
    let full: Vec<&Candidate<'_>> =
        candidates.iter().filter(|one| one.is_at_limit_by_use() == Some(true)).collect();
    match full[..] {
        [] => Ok((counted, Confidence::Confirmed)),
        [one] => Ok((one, Confidence::Likely)),
        _ => choose_among_full(&full),
    }
}

/// More than one is near its limit: the one that has nothing left, if that is only one.
fn choose_among_full<'a, 'b>(full: &[&'a Candidate<'b>]) -> Choice<'a, 'b> {
    if let Some(proof) = full.iter().find(|one| one.weight == Weight::Proves) {
        return Ok((proof, Confidence::Confirmed));
    }
    let mut spent = full.iter().filter(|one| one.headroom().is_some_and(|left| left <= SLACK));
    match (spent.next(), spent.next()) {
        (Some(one), None) => Ok((one, Confidence::Likely)),
        _ => Err("more than one of these is at its limit, and which came first cannot be told"),
    }
}

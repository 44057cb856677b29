//! From what was observed to which limit it was, with evidence or not at all. Pure: the
//! readings and counters are taken by the caller, at the moment of the failure.
//!
//! A wrong name is worse than none: an errno alone names a limit only where the kernel has
//! one cause for it, and figures that speak against a limit outweigh an errno.

mod death;
mod evidence;
mod exhausted;
mod floor;
mod foreign;
mod silence;

use brink_wire::control::{CgroupUsage, LimitReading, MachineUsage};
use brink_wire::value::format_count;

use crate::limits::{self, End, Lift};
use crate::usage::ProcessState;
pub use death::Ended;

/// The target's own bound on connections.
pub const TARGET_MAX_CONNECTIONS: &str = "target.max_connections";
/// The backlog that the target asked of listen(2).
pub const TARGET_BACKLOG: &str = "target.backlog";

/// Connections that a pool serves at once.
pub const TARGET_POOL_WORKERS: &str = "target.pool_workers";
/// The target's process is stopped, or gets no CPU. Not a limit, but what ends a run all the same.
pub const TARGET_NOT_SCHEDULED: &str = "target.not_scheduled";
/// A rule of a packet filter, or of a program attached to a control group, refuses. Not a limit either.
pub const FIREWALL: &str = "firewall";

pub(crate) const PORT_RANGE: &str = "net.ipv4.ip_local_port_range";

/// The first failure, as seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation<'a> {
    /// Where it was seen.
    pub end: End,
    /// What was being done: `socket`, `bind`, `connect`, `accept`, `spawn`, ..
    pub phase: &'a str,
    /// Errno by name, or a name of our own in lower case: `timeout`; `slow` (a connect that succeeded after a second or
    /// more, so that a packet of it was sent again: RFC 6298, 2.1); `closed`; `max_connections`; `died`; `floor`
    /// (in phase `memory`: the run stopped itself where memory was about to run out).
    pub errno: &'a str,
    /// Connections open at that moment.
    pub at_connections: u64,
    /// Connections the run asked for, where known: the fix is made to carry them.
    pub connections_wanted: Option<u64>,
    /// Source addresses times destinations in use, where known. A range of ports serves each pair.
    pub address_pairs: Option<u64>,
    /// Backlog that the target asked of listen(2), where known.
    pub backlog: Option<u64>,
    /// Stack of a connection's thread on the end that failed, in bytes, where there is one and it is known.
    pub stack_bytes: Option<u64>,
    /// Ports of the fullest pair that sockets of others hold ([`crate::connections::PairUse`]), where known.
    pub ports_taken: Option<u64>,
    /// Ports of the fullest pair in TIME_WAIT, whether they count as taken or not.
    pub ports_time_wait: Option<u64>,
    /// Whether these may be used again, and so are not among [`Self::ports_taken`]: that of
    /// [`crate::connections::PairUse`], where known.
    pub time_wait_is_free: Option<bool>,
    /// The fullest pair in words, for evidence: `127.0.0.1 to 127.0.0.1:7000`.
    pub pair: Option<&'a str>,
    /// What the control groups of the end whose readings are passed counted, before the run and now.
    pub cgroup: Option<(&'a CgroupUsage, &'a CgroupUsage)>,
    /// How the process that `died` ended, of either end, where known.
    pub ended: Option<Ended>,
    /// What is known of the target's process.
    pub target: TargetState,
}

impl<'a> Observation<'a> {
    /// With nothing else known.
    #[must_use]
    pub fn new(end: End, phase: &'a str, errno: &'a str, at_connections: u64) -> Self {
        Self {
            end,
            phase,
            errno,
            at_connections,
            connections_wanted: None,
            address_pairs: None,
            backlog: None,
            stack_bytes: None,
            ports_taken: None,
            ports_time_wait: None,
            time_wait_is_free: None,
            pair: None,
            cgroup: None,
            ended: None,
            target: TargetState::default(),
        }
    }
}

/// The target's process when it failed. `None`: not known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TargetState {
    /// Its first process.
    pub pid: Option<u32>,
    /// Stopped, or not.
    pub state: Option<ProcessState>,
    /// One of its processes was seen stopped while the run went on, though none is now.
    pub was_stopped: bool,
    /// How it ended, if it has. [`Observation::ended`] goes before it.
    pub ended: Option<Ended>,
    /// Connections that it has accepted and holds.
    pub live: Option<u64>,
    /// Whether anything listens at its address.
    pub is_listening: Option<bool>,
    /// The longest accept queue seen since things went wrong, in connections.
    pub accept_queue: Option<u64>,
    /// Threads of its processes together, when things went wrong.
    pub threads: Option<u64>,
    /// Of the time that its threads could have run since things went wrong, the share in which they stood
    /// in line for a CPU ([`crate::usage::run_wait_s`], against that and CPU time): 0 to 1.
    pub run_wait_ratio: Option<f64>,
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
    /// The command that lifts it at once. `None`, too, where what was seen says nothing about the value it takes.
    /// Where no limit can be named, it may still be what to look at.
    pub fix: Option<String>,
    /// What lifts it so that it stays lifted.
    pub lasting: Option<String>,
}

impl Inference {
    /// The name of the limit, or `unknown`.
    #[must_use]
    pub fn limit_name(&self) -> &'static str {
        self.limit.unwrap_or("unknown")
    }
}

/// Whether a failure that the client saw is the target's doing, so that the target's readings tell.
#[must_use]
pub fn is_about_target(end: End, phase: &str, errno: &str) -> bool {
    end == End::Client
        && (silence::is_timeout(errno)
            || silence::is_reset(errno)
            || silence::is_closing(errno)
            || (phase == "connect" && silence::is_refusal(errno)))
}

/// Names the limit behind a failure.
///
/// `readings` are those of the end that failed, read when it failed; where [`is_about_target`],
/// those of the target. `counters` are the machine of the target before the run and now; where the
/// client died, those of the client.
#[must_use]
pub fn classify(
    observation: &Observation<'_>,
    readings: &[LimitReading],
    counters: Option<(&MachineUsage, &MachineUsage)>,
) -> Inference {
    let mut scene = Scene::new(observation, readings, counters);
    match observation.errno {
        "max_connections" => own_bound(&mut scene),
        "died" => death::classify(&mut scene),
        "floor" => floor::classify(&mut scene),
        errno if silence::is_timeout(errno) => silence::unanswered(&mut scene),
        errno if silence::is_reset(errno) => silence::reset(&mut scene),
        errno if silence::is_closing(errno) => silence::closed(&mut scene),
        errno if observation.phase == "connect" && silence::is_refusal(errno) => silence::refused(&mut scene),
        "EPERM" | "EACCES" if observation.phase == "connect" => silence::forbidden(&mut scene),
        _ => exhausted::classify(&mut scene),
    }
}

/// All that is known, and what has been found to speak for or against.
struct Scene<'a> {
    observation: &'a Observation<'a>,
    readings: &'a [LimitReading],
    counters: Option<(&'a MachineUsage, &'a MachineUsage)>,
    evidence: Vec<String>,
}

impl<'a> Scene<'a> {
    fn new(
        observation: &'a Observation<'a>,
        readings: &'a [LimitReading],
        counters: Option<(&'a MachineUsage, &'a MachineUsage)>,
    ) -> Self {
        let seen = format!(
            "{} in phase {} with {} connections open",
            observation.errno,
            observation.phase,
            format_count(observation.at_connections)
        );
        Self { observation, readings, counters, evidence: vec![seen] }
    }

    fn note(&mut self, sentence: impl Into<String>) {
        self.evidence.push(sentence.into());
    }

    fn reading(&self, name: &str) -> Option<&'a LimitReading> {
        self.readings.iter().find(|reading| reading.name == name)
    }

    fn value(&self, name: &str) -> Option<u64> {
        self.reading(name)?.value
    }

    /// How much a counter of the target's machine has grown; said in the evidence where it has.
    /// `None`: not known, or reset in between.
    fn grown(&mut self, name: &str, read: fn(&MachineUsage) -> Option<u64>) -> Option<u64> {
        let (before, after) = self.counters?;
        let grown = read(after)?.checked_sub(read(before)?)?;
        if grown > 0 {
            self.note(format!("{name} grew by {grown}"));
        }
        Some(grown)
    }

    /// A name, with the value that the evidence is about.
    fn named(&mut self, name: &'static str, value: Option<u64>, confidence: Confidence) -> Inference {
        let to = value.and_then(|value| evidence::scaled(name, value, self.observation));
        let row = limits::find(name);
        let lift = to.map(|to| Lift { to, reading: self.reading(name) });
        Inference {
            limit: Some(name),
            limit_value: value,
            confidence,
            evidence: std::mem::take(&mut self.evidence),
            fix: row.zip(lift.as_ref()).map(|(row, lift)| (row.fix)(lift)),
            lasting: row.zip(lift.as_ref()).map(|(row, lift)| (row.lasting)(lift)),
        }
    }

    fn unknown(&mut self, why: impl Into<String>) -> Inference {
        self.note(why);
        Inference {
            limit: None,
            limit_value: None,
            confidence: Confidence::Unknown,
            evidence: std::mem::take(&mut self.evidence),
            fix: None,
            lasting: None,
        }
    }
}

fn own_bound(scene: &mut Scene<'_>) -> Inference {
    let value = scene.value(TARGET_MAX_CONNECTIONS);
    let wanted = scene.observation.connections_wanted;
    let mut inference = scene.named(TARGET_MAX_CONNECTIONS, value, Confidence::Confirmed);
    if inference.fix.is_none() {
        let wanted = wanted.map_or(String::new(), |wanted| format!(" to {wanted} or more"));
        inference.fix = Some(format!("raise the target's own bound on connections{wanted}, or leave it out"));
    }
    inference
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_counters;
#[cfg(test)]
mod tests_of_death;

//! A target that does not say what it was refused: any server but brink's own. Its descriptors and threads are
//! read by its pid; when they are used up, that is what connections that nobody takes, or that are closed at
//! once, look like. Use at a limit alone is not enough for a name.

use super::evidence::{SLACK, at_limit, describe};
use super::{Confidence, Inference, Scene};
use crate::limits;

const NOFILE: &str = "rlimit.nofile";
const FILE_MAX: &str = "fs.file-max";
const PIDS: &str = "cgroup.pids.max";
const STACK: &str = "rlimit.stack";
/// What bounds threads.
const OF_THREADS: [&str; 6] =
    [PIDS, "rlimit.nproc", "kernel.pid_max", "kernel.threads-max", "vm.max_map_count", "rlimit.as"];

/// What became of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody took or answered it; whether the accept queue ran over meanwhile.
    Unanswered { has_overflowed: bool },
    /// It was closed before it was answered once.
    Closed,
}

/// The limit of the target that is used up, where it explains the fate.
pub(super) fn used_up(scene: &mut Scene<'_>, fate: Fate) -> Option<Inference> {
    let found: Vec<Found> = descriptors(scene, fate).into_iter().chain(threads(scene, fate)).collect();
    for one in &found {
        scene.note(format!("the target's {}", one.words));
    }
    let chosen = match found[..] {
        [] => return None,
        [ref one] => one,
        _ => {
            return Some(
                scene.unknown("more than one of these is at its limit, and which came first cannot be told"),
            );
        }
    };
    if let (Fate::Unanswered { .. }, Some(waiting @ 1..)) = (fate, scene.observation.target.accept_queue) {
        scene.note(format!("up to {waiting} connections waited to be accepted"));
    }
    Some(scene.named(chosen.name, Some(chosen.value), chosen.confidence))
}

struct Found {
    name: &'static str,
    value: u64,
    confidence: Confidence,
    is_full: bool,
    words: String,
}

impl Found {
    fn new(name: &'static str, used: u64, value: u64, confidence: Confidence) -> Self {
        let unit = limits::find(name).map_or("", |limit| limit.unit);
        let words = describe(name, unit, Some(used), Some(value));
        Self { name, value, confidence, is_full: at_limit(used, value), words }
    }
}

/// accept(2) fails and the connection stays in the queue; some servers (libuv) keep one descriptor back to close it.
fn descriptors(scene: &Scene<'_>, fate: Fate) -> Vec<Found> {
    let waiting = scene.observation.target.accept_queue;
    let waits = match fate {
        // What was accepted has its descriptor, and is silent for another reason.
        Fate::Unanswered { has_overflowed: false } if waiting == Some(0) => return Vec::new(),
        Fate::Unanswered { has_overflowed } => has_overflowed || waiting.is_some_and(|count| count > 0),
        Fate::Closed if scene.observation.phase == "verify" => false,
        Fate::Closed => return Vec::new(),
    };
    let full = |name| {
        let (used, value) = scene.reading(name).and_then(|one| one.used.zip(one.value))?;
        let confidence = match (used >= value, waits) {
            (true, true) => Confidence::Confirmed,
            // Nobody was seen to wait: then the connections that are open have to be what holds them.
            (true, false) if scene.observation.at_connections >= value / 2 => Confidence::Likely,
            // It may have closed a few since.
            (false, true) if used.saturating_add(SLACK.min(value / 10)) >= value => Confidence::Likely,
            _ => return None,
        };
        Some(Found::new(name, used, value, confidence))
    };
    [NOFILE, FILE_MAX].into_iter().filter_map(full).collect()
}

/// A server that cannot make a thread, or a process, for a connection drops it. That it makes one for each
/// is what its count of threads says.
fn threads(scene: &Scene<'_>, fate: Fate) -> Vec<Found> {
    let observation = scene.observation;
    let makes_them = observation
        .target
        .threads
        .is_some_and(|threads| observation.at_connections > 0 && threads >= observation.at_connections);
    if !makes_them
        || observation.phase == "connect"
        || (fate == Fate::Closed && observation.phase != "verify")
    {
        return Vec::new();
    }
    let refusals = observation
        .cgroup
        .and_then(|(before, after)| after.pids_refusals?.checked_sub(before.pids_refusals?));
    let full = |name| {
        let (used, value) = scene.reading(name).and_then(|one| one.used.zip(one.value))?;
        let confidence = match (name, refusals) {
            (PIDS, Some(1..)) => return Some(Found::new(name, used, value, Confidence::Confirmed)),
            (PIDS, Some(0)) => return None,
            _ => Confidence::Likely,
        };
        // pthread_create(3): a stack is as large as the soft limit on the first one.
        let needed = if name == "rlimit.as" { scene.value(STACK).unwrap_or(0) } else { 0 };
        at_limit(used.saturating_add(needed), value).then(|| Found::new(name, used, value, confidence))
    };
    let found: Vec<Found> = OF_THREADS.into_iter().filter_map(full).collect();
    // What the kernel has counted goes before what is merely full; but since Linux 6.11 it may be another's of the same
    // group, and then its use is far from the limit.
    let others_are_full = found.iter().any(|one| one.name != PIDS);
    match found.iter().position(|one| one.confidence == Confidence::Confirmed) {
        Some(index) if others_are_full && !found[index].is_full => {
            found.into_iter().filter(|one| one.name != PIDS).collect()
        }
        Some(index) => found.into_iter().skip(index).take(1).collect(),
        None => found,
    }
}

//! An end that ended although nobody asked it to: killed for want of memory, killed by somebody,
//! or crashed. Only the first is a limit; what the kernel counted tells it from the others.

use super::evidence::at_limit;
use super::{Confidence, Inference, Scene};
use crate::limits::{End, NO_CGROUP_LIMIT, NO_CGROUP_LIMIT_SEEN};
use brink_wire::control::CgroupUsage;
use brink_wire::value::format_bytes;

const CGROUP_MEMORY: &str = "cgroup.memory.max";
const MEMORY: &str = "memory.available";
/// The machine counts as low on memory with no more than one part in so many left: samples miss the last moment.
const LOW_SHARE: u64 = 5;
const SIGKILL: i32 = 9;
const SIGABRT: i32 = 6;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By a signal, by its number.
    Signal(i32),
    /// By itself, with this status.
    Exit(i32),
}

impl Ended {
    /// From the words of `std::process::ExitStatus`: `signal: 9 (SIGKILL)`, `exit status: 1`.
    #[must_use]
    pub fn parse(words: &str) -> Option<Self> {
        let number = |rest: &str| rest.split_whitespace().next()?.parse().ok();
        if let Some(rest) = words.strip_prefix("signal:") {
            return number(rest).map(Self::Signal);
        }
        words.strip_prefix("exit status:").and_then(number).map(Self::Exit)
    }
}

pub(super) fn classify(scene: &mut Scene<'_>) -> Inference {
    let observation = scene.observation;
    let of_target = (observation.end == End::Target).then_some(observation.target.ended).flatten();
    match observation.ended.or(of_target) {
        None => unwitnessed(scene),
        Some(Ended::Exit(status)) => scene.unknown(format!("it ended by itself, with status {status}")),
        Some(Ended::Signal(SIGKILL)) => killed(scene),
        Some(Ended::Signal(SIGABRT)) => aborted(scene),
        Some(Ended::Signal(signal)) => scene.unknown(format!("it crashed: signal {signal}")),
    }
}

/// SIGKILL is the kernel's for want of memory, or anybody's.
fn killed(scene: &mut Scene<'_>) -> Inference {
    scene.note("it was killed by SIGKILL");
    let of_group = group_growth(scene, |usage| usage.oom_kills);
    if let Some(count @ 1..) = of_group {
        scene.note(format!("oom_kill of its control groups grew by {count}"));
    }
    let of_machine = scene.grown("oom_kill of the machine", |usage| usage.oom_kills);
    match (of_group, of_machine) {
        (Some(1..), _) => killed_in_group(scene),
        (_, Some(0)) | (Some(0), None) => {
            scene.unknown("the kernel killed nothing for want of memory, so somebody else sent the signal")
        }
        (Some(0), Some(_)) => {
            scene.unknown("the kernel killed something for want of memory, but nothing in its control groups")
        }
        (None, counted) => killed_unseen(scene, counted.is_some()),
    }
}

/// Nobody could wait for it, as for a target that brink did not start: only what the kernel counted tells, and that
/// it was this process that was killed is not certain.
fn unwitnessed(scene: &mut Scene<'_>) -> Inference {
    let of_group = group_growth(scene, |usage| usage.oom_kills);
    let of_machine = scene.grown("oom_kill of the machine", |usage| usage.oom_kills);
    let inference = match (of_group, of_machine) {
        (Some(count @ 1..), _) => {
            scene.note(format!(
                "how it ended is not known, but oom_kill of its control groups grew by {count}"
            ));
            killed_in_group(scene)
        }
        (None, Some(1..)) => {
            scene.note("how it ended is not known, but the kernel killed something for want of memory");
            killed_unseen(scene, true)
        }
        _ => return scene.unknown("how it ended is not known"),
    };
    match inference.confidence {
        Confidence::Confirmed => Inference { confidence: Confidence::Likely, ..inference },
        _ => inference,
    }
}

/// The count of a group grows for a want of memory of the whole machine, too: what tells them apart is
/// whether the group came to its own limit.
fn killed_in_group(scene: &mut Scene<'_>) -> Inference {
    let bound = scene.value(CGROUP_MEMORY);
    let came_to_max = group_growth(scene, |usage| usage.memory_at_max).map(|count| count > 0);
    match (bound, came_to_max) {
        (Some(_), None | Some(true)) => scene.named(CGROUP_MEMORY, bound, Confidence::Confirmed),
        (Some(_), Some(false)) if is_full(scene) => scene.named(CGROUP_MEMORY, bound, Confidence::Confirmed),
        (None, Some(true)) => {
            scene.note("its control groups came to a limit on memory, which could not be read");
            scene.named(CGROUP_MEMORY, None, Confidence::Likely)
        }
        (Some(_), Some(false)) => {
            scene.note("its control groups never came to their limit on memory");
            machine_memory(scene)
        }
        (None, _) if shows_no_limit(scene) => machine_memory(scene),
        (None, _) => scene.unknown("by which bound on memory cannot be told"),
    }
}

/// Its groups tell nothing, as when they went with it.
fn killed_unseen(scene: &mut Scene<'_>, some_kill: bool) -> Inference {
    if is_full(scene) {
        let bound = scene.value(CGROUP_MEMORY);
        return scene.named(CGROUP_MEMORY, bound, Confidence::Likely);
    }
    match some_kill {
        true if shows_no_limit(scene) => machine_memory(scene),
        true => scene.unknown(
            "the kernel killed something for want of memory; whether this, and by which bound, cannot be told",
        ),
        false => scene.unknown("whether the kernel killed it for want of memory is not known"),
    }
}

/// No group that can be seen was the bound. One above the cgroup namespace may have been, and its kill is counted all
/// the same, so the machine is named only where it was low itself.
fn machine_memory(scene: &mut Scene<'_>) -> Inference {
    if shows_no_limit(scene) {
        scene.note("no control group that can be seen from here has a limit on memory");
    }
    let figures = scene.reading(MEMORY).and_then(|reading| reading.used.zip(reading.value));
    let Some((used, value)) = figures else {
        return scene.unknown("how much memory the machine had left is not known");
    };
    let left = format_bytes(value.saturating_sub(used) as f64);
    if used < value - value / LOW_SHARE {
        return scene.unknown(format!(
            "the machine had {left} left, so a control group that cannot be seen from here may have been the bound"
        ));
    }
    scene.note(format!("the machine had {left} of {} left", format_bytes(value as f64)));
    scene.named(MEMORY, Some(value), Confidence::Likely)
}

fn group_growth(scene: &Scene<'_>, read: fn(&CgroupUsage) -> Option<u64>) -> Option<u64> {
    let (before, after) = scene.observation.cgroup?;
    let grown = read(after)?.checked_sub(read(before)?)?;
    (before.pid == after.pid).then_some(grown)
}

/// When it was last read.
fn is_full(scene: &Scene<'_>) -> bool {
    let figures = scene.reading(CGROUP_MEMORY).and_then(|reading| reading.used.zip(reading.value));
    figures.is_some_and(|(used, value)| at_limit(used, value))
}

/// All groups that can be seen were read, and none has a limit: not the same as no reading.
fn shows_no_limit(scene: &Scene<'_>) -> bool {
    let says_so = |note: &String| note.starts_with(NO_CGROUP_LIMIT) || note.starts_with(NO_CGROUP_LIMIT_SEEN);
    scene
        .reading(CGROUP_MEMORY)
        .is_some_and(|reading| reading.value.is_none() && reading.note.as_ref().is_some_and(says_so))
}

/// A thread of Rust's standard library that gets its stack but not its signal stack ends the whole process
/// with SIGABRT; so does an allocation that fails.
fn aborted(scene: &mut Scene<'_>) -> Inference {
    scene.note("it ended itself by SIGABRT, as Rust's standard library does when memory is refused");
    let full: Vec<(&'static str, u64)> = ["vm.max_map_count", "rlimit.as"]
        .into_iter()
        .filter_map(|name| {
            let reading = scene.reading(name)?;
            let (used, value) = (reading.used?, reading.value?);
            at_limit(used, value).then_some((name, value))
        })
        .collect();
    match full[..] {
        [(name, value)] => {
            scene.note(format!("{name} was at its limit when it was last read"));
            scene.named(name, Some(value), Confidence::Likely)
        }
        _ => scene.unknown("it crashed: signal 6, and no limit on its memory is known to have been met"),
    }
}

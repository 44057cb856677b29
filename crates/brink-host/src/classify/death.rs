//! A target that ended although nobody asked it to: killed for want of memory, killed by somebody,
//! or crashed. Only the first is a limit; what the kernel counted tells it from the others.

use super::evidence::at_limit;
use super::{Confidence, Inference, Scene};

const CGROUP_MEMORY: &str = "cgroup.memory.max";
const MEMORY: &str = "memory.available";
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
    match scene.observation.target.ended {
        None => scene.unknown("how it ended is not known"),
        Some(Ended::Exit(status)) => scene.unknown(format!("it ended by itself, with status {status}")),
        Some(Ended::Signal(SIGKILL)) => killed(scene),
        Some(Ended::Signal(SIGABRT)) => aborted(scene),
        Some(Ended::Signal(signal)) => scene.unknown(format!("it crashed: signal {signal}")),
    }
}

/// SIGKILL is the kernel's for want of memory, or anybody's.
fn killed(scene: &mut Scene<'_>) -> Inference {
    scene.note("it was killed by SIGKILL");
    let of_group = scene.observation.cgroup.and_then(|(before, after)| {
        let grown = after.oom_kills?.checked_sub(before.oom_kills?)?;
        (after.pid == before.pid).then_some(grown)
    });
    if let Some(count @ 1..) = of_group {
        scene.note(format!("oom_kill of its control groups grew by {count}"));
    }
    let of_machine = scene.grown("oom_kill of the machine", |usage| usage.oom_kills);
    let bound = scene.value(CGROUP_MEMORY);
    let is_full =
        scene.reading(CGROUP_MEMORY).and_then(|reading| Some(at_limit(reading.used?, reading.value?)));
    match (of_group, of_machine) {
        // The group's count grows for an OOM of the whole machine, too.
        (Some(1..), _) if bound.is_some() && is_full != Some(true) && never_at_max(scene) => {
            scene.note("its control groups never came to their limit on memory");
            machine_memory(scene)
        }
        (Some(1..), _) if bound.is_some() => {
            let confidence = if of_machine == Some(0) { Confidence::Likely } else { Confidence::Confirmed };
            scene.named(CGROUP_MEMORY, bound, confidence)
        }
        (Some(1..), _) => machine_memory(scene),
        (_, Some(0)) | (Some(0), None) => {
            scene.unknown("the kernel killed nothing for want of memory, so somebody else sent the signal")
        }
        (Some(0), Some(_)) => scene.unknown("the kernel killed something for want of memory, but not in its control group"),
        (None, Some(_)) if is_full == Some(true) => scene.named(CGROUP_MEMORY, bound, Confidence::Likely),
        (None, Some(_)) if bound.is_none() && scene.reading(CGROUP_MEMORY).is_some() => machine_memory(scene),
        (None, Some(_)) => scene.unknown("the kernel killed something for want of memory; whether this, and by which bound, cannot be told"),
        (None, None) if is_full == Some(true) => scene.named(CGROUP_MEMORY, bound, Confidence::Likely),
        (None, None) => scene.unknown("whether the kernel killed it for want of memory is not known"),
    }
}

fn never_at_max(scene: &Scene<'_>) -> bool {
    scene.observation.cgroup.is_some_and(|(before, after)| {
        after.memory_at_max.is_some() && after.memory_at_max == before.memory_at_max
    })
}

fn machine_memory(scene: &mut Scene<'_>) -> Inference {
    let value = scene.value(MEMORY);
    if scene.value(CGROUP_MEMORY).is_none() {
        scene.note("its control groups have no limit on memory that can be seen");
    }
    scene.named(MEMORY, value, Confidence::Likely)
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

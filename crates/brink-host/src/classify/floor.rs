//! A run that stopped itself where memory was about to run out, before the kernel would kill somebody for it.
//! Which bound on memory was near is what the readings say.

use super::{Confidence, Inference, Scene};

const BOUNDS: [&str; 2] = ["cgroup.memory.max", "memory.available"];

/// The bound with the least left. That it was met is no inference: the run has measured it.
pub(super) fn classify(scene: &mut Scene<'_>) -> Inference {
    let mut least: Option<(&'static str, u64, u64)> = None;
    for name in BOUNDS {
        let Some((used, value)) = scene.reading(name).and_then(|one| one.used.zip(one.value)) else {
            continue;
        };
        let left = value.saturating_sub(used);
        scene.note(format!("{name}: {} MiB of {} MiB left", left >> 20, value >> 20));
        if least.is_none_or(|(_, known, _)| left < known) {
            least = Some((name, left, value));
        }
    }
    match least {
        Some((name, _, value)) => scene.named(name, Some(value), Confidence::Confirmed),
        None => scene.unknown("no bound on memory could be read"),
    }
}

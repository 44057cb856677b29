//! Whether CPU time was there when it was asked for: the client's allowance, the target's, what the hypervisor took,
//! what other programs used.
//!
//! Pure. Must not look at single samples: `window` does.

use super::CLIENT_CPU_SHARE_MAX;
use crate::case::Origin;
use crate::schema::{CaseResult, EndFacts, MachineSample, Verdict};
use crate::window;

/// Share of all CPU time that a hypervisor may have stolen.
pub const STEAL_SHARE_MAX: f64 = 0.02;
/// Share of all CPU time that other programs may use before it is told.
pub const OTHERS_SHARE_TOLD: f64 = 0.1;
/// Share of all CPU time from which other programs make a result unsteady, if the machine had none to spare: what
/// they took was then missing to both ends, and differs from run to run.
pub const OTHERS_SHARE_MAX: f64 = 0.25;
/// Share of all CPU time from which a machine has none to spare.
pub const BUSY_SHARE_MAX: f64 = 0.9;
/// Share of a quota from which who has it is at it. The kernel hands a quota out to each CPU in slices of 5 ms, and what is left
/// of them when a period of 100 ms ends is lost in part: Documentation/scheduler/sched-bwc.rst. Of a quota of 5 ms 90% to
/// 94% were seen to be used by programs that asked for all.
pub const QUOTA_SHARE_MAX: f64 = 0.8;

/// The client used what it may.
pub(super) fn client_bound(result: &CaseResult) -> Option<String> {
    let used = window::client_cpu_per_s(result)?;
    let load = &result.case.load;
    let machine = &result.facts.client.machine;
    let cpus = match (&load.cpus, machine.cpus_allowed.len()) {
        (Some(cpus), _) => cpus.len(),
        (None, 0) => machine.cpus as usize,
        (None, allowed) => allowed,
    };
    // The engine with a thread for each connection is bounded by the CPUs alone.
    let threads = u64::from(load.threads) * u64::from(load.processes);
    let may = if load.engine == "threads" { cpus } else { cpus.min(threads as usize) } as f64;
    let quota = machine.cpu_quota.filter(|quota| *quota > 0.0 && *quota < may);
    if let Some(quota) = quota.filter(|quota| used >= QUOTA_SHARE_MAX * quota) {
        return Some(format!(
            "the client used {used:.2} CPU seconds per second of the {quota:.2} that its control group may use \
             (cpu.max, cpu.cfs_quota_us)"
        ));
    }
    if let Some(reason) = both_at_quota(result, used) {
        return Some(reason);
    }
    if may <= 0.0 || used < CLIENT_CPU_SHARE_MAX * may {
        return None;
    }
    Some(if used <= may {
        format!(
            "the client used {used:.2} CPU seconds per second of the {may:.0} it can use ({threads} threads, {cpus} CPUs)"
        )
    } else {
        // The sampled figure is the whole process's: how much of it the threads of load used is not known.
        format!(
            "the client used {used:.2} CPU seconds per second, other threads included; its {threads} threads of load \
             can use {may:.0} ({cpus} CPUs) and may have used it all"
        )
    })
}

/// Both ends share a quota and used it up. A target that brink started begins in the client's control group
/// (fork(2)); with another quota it has moved.
fn both_at_quota(result: &CaseResult, client: f64) -> Option<String> {
    if !matches!(result.case.target.origin, Origin::Started | Origin::Command { .. }) {
        return None;
    }
    let quota = result.facts.client.machine.cpu_quota.filter(|quota| *quota > 0.0)?;
    let target = window::target_cpu_per_s(result)?;
    let is_shared = result.facts.target.as_ref()?.machine.cpu_quota == Some(quota);
    (is_shared && client + target >= QUOTA_SHARE_MAX * quota).then(|| {
        format!(
            "the client used {client:.2} and the target {target:.2} CPU seconds per second of the {quota:.2} that their \
             control group may use together (cpu.max, cpu.cfs_quota_us)"
        )
    })
}

/// The target used what its control group may. That is what was measured, and no fault of the measuring.
pub(super) fn target_at_quota(result: &CaseResult) -> Option<String> {
    let quota = result.facts.target.as_ref()?.machine.cpu_quota.filter(|quota| *quota > 0.0)?;
    let used = window::target_cpu_per_s(result)?;
    (used >= QUOTA_SHARE_MAX * quota).then(|| {
        format!(
            "the target was at its CPU quota: it used {used:.2} CPU seconds per second of the {quota:.2} that its control \
             group may use (cpu.max, cpu.cfs_quota_us)"
        )
    })
}

/// What was taken from either machine, each with how grave it is.
pub(super) fn taken(result: &CaseResult) -> Vec<(Verdict, String)> {
    let mut found: Vec<(Verdict, String)> = Vec::new();
    let client = &result.facts.client;
    let of_client = match result.facts.shared_machine {
        Some(true) => "",
        _ => " on the client's machine",
    };
    found.extend(stolen(result, client, &result.usage.machine, of_client));
    if let Some(target) = &result.facts.target {
        let samples = &result.usage.target_machine;
        found.extend(stolen(result, target, samples, " on the target's machine"));
    }
    found.extend(others(result));
    found
}

fn stolen(
    result: &CaseResult,
    end: &EndFacts,
    samples: &[MachineSample],
    of: &str,
) -> Option<(Verdict, String)> {
    let per_s = window::machine_per_s(samples, window::span(result)?, |s| s.usage.cpu_steal_s)?;
    let share = share_of(per_s, end)?;
    (share > STEAL_SHARE_MAX).then(|| {
        (
            Verdict::Unsteady,
            format!("{:.1}% of CPU time was stolen by the hypervisor{of}", (share * 1000.0).floor() / 10.0),
        )
    })
}

/// What is left of the CPU time of one machine that both ends share, less theirs, interrupts, and stolen time. Kernel
/// threads are in it; interrupts, which work for both ends on loopback and are in nobody's time, are not.
fn others(result: &CaseResult) -> Option<(Verdict, String)> {
    if result.facts.shared_machine != Some(true) {
        return None;
    }
    let span = window::span(result)?;
    let per_s = |counter| window::machine_per_s(&result.usage.machine, span, counter);
    let busy = per_s(|s| s.usage.cpu_busy_s)?;
    let idle_to_us = per_s(|s| Some(s.usage.cpu_irq_s? + s.usage.cpu_steal_s.unwrap_or(0.0)))?;
    let ends = window::client_cpu_per_s(result)? + window::target_cpu_per_s(result)?;
    let share = share_of(busy - idle_to_us - ends, &result.facts.client)?;
    let busy = share_of(busy, &result.facts.client)?;
    if share < OTHERS_SHARE_TOLD {
        return None;
    }
    let grave = share > OTHERS_SHARE_MAX && busy > BUSY_SHARE_MAX;
    let mut text = format!("other programs used {:.0}% of CPU time", (share * 100.0).floor());
    text.push_str(&if grave {
        format!(", and {:.0}% of it was in use: both ends had to wait for theirs", (busy * 100.0).floor())
    } else {
        "; there was some to spare".to_owned()
    });
    Some((if grave { Verdict::Unsteady } else { Verdict::Valid }, text))
}

/// CPU seconds per second as a share of what all CPUs of a machine give.
fn share_of(per_s: f64, end: &EndFacts) -> Option<f64> {
    let cpus = end.machine.cpus;
    (cpus > 0).then(|| per_s / f64::from(cpus))
}

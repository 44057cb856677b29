//! Whether CPU time was there when it was asked for: the client's allowance, the target's, what the hypervisor took,
//! what other programs used.
//!
//! Pure. Must not look at single samples: `window` does.

use super::CLIENT_CPU_SHARE_MAX;
use crate::case::Origin;
use crate::schema::{CaseResult, EndFacts, MachineSample, Verdict};
use crate::window::{self, Throttled};

/// Share of all CPU time that a hypervisor may have stolen.
pub const STEAL_SHARE_MAX: f64 = 0.02;
/// Share of all CPU time that other programs may use before it is told.
pub const OTHERS_SHARE_TOLD: f64 = 0.1;
/// Share of all CPU time from which other programs make a result unsteady, if the machine had none to spare: what
/// they took was then missing to both ends, and differs from run to run.
pub const OTHERS_SHARE_MAX: f64 = 0.25;
/// Share of all CPU time from which a machine has none to spare.
pub const BUSY_SHARE_MAX: f64 = 0.9;
/// Share of a quota from which who has it is at it, where the kernel does not tell how often it did not suffice. It hands
/// a quota out to each CPU in slices of 5 ms, and what is left of them when a period of 100 ms ends is lost in part:
/// Documentation/scheduler/sched-bwc.rst. Of a quota of 5 ms 90% to 94% were seen to be used by programs that asked for
/// all, and under 80% where other programs took CPU time as well.
pub const QUOTA_SHARE_MAX: f64 = 0.8;
/// Share of the time that a client may stand still for want of quota: more decides what is told of latency at p99.
pub const THROTTLED_SHARE_MAX: f64 = 0.01;

/// The client used what it may.
pub(super) fn client_bound(result: &CaseResult) -> Option<String> {
    let quota = result.facts.client.machine.cpu_quota.filter(|quota| *quota > 0.0);
    let throttled = window::throttled(&result.usage.machine, window::span(result)?);
    let at_quota = match (quota, throttled) {
        // The kernel counts it: what was used need not tell.
        (Some(quota), Some(throttled)) => stood_still(result, quota, throttled),
        (Some(quota), None) => used_quota(result, quota),
        (None, _) => None,
    };
    at_quota.or_else(|| used_cpus(result))
}

/// The client used the CPUs that its threads can. What it spent waiting awake it had to spare.
fn used_cpus(result: &CaseResult) -> Option<String> {
    let used = window::client_work_cpu_per_s(result)?;
    let (may, cpus) = cpus_of_client(result);
    let threads = result.case.load.threads_in_all();
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

/// How many CPUs the client's threads of load can use, of how many.
fn cpus_of_client(result: &CaseResult) -> (f64, usize) {
    let load = &result.case.load;
    let machine = &result.facts.client.machine;
    let cpus = match (&load.cpus, machine.cpus_allowed.len()) {
        (Some(cpus), _) => cpus.len(),
        (None, 0) => machine.cpus as usize,
        (None, allowed) => allowed,
    };
    // The engine with a thread for each connection is bounded by the CPUs alone.
    let may = if load.engine == "threads" { cpus } else { cpus.min(load.threads_in_all() as usize) };
    (may as f64, cpus)
}

/// Where a quota is set, in words.
const QUOTA_FILES: &str = "cpu.max, cpu.cfs_quota_us";

/// The client's control group had no CPU time left to give, so that what was due waited.
fn stood_still(result: &CaseResult, quota: f64, throttled: Throttled) -> Option<String> {
    let Throttled { periods, throttled, share } = throttled;
    if share <= THROTTLED_SHARE_MAX {
        return None;
    }
    let used =
        |per_s: Option<f64>| per_s.map_or_else(|| "an unknown share".to_owned(), |used| format!("{used:.2}"));
    let client = used(window::client_cpu_per_s(result));
    let (users, whose) = if is_of_same_group(result, quota) {
        (
            format!("the client used {client} and the target {}", used(window::target_cpu_per_s(result))),
            "their",
        )
    } else {
        (format!("the client used {client}"), "its")
    };
    Some(format!(
        "the client stood still for want of CPU quota in {throttled} of {periods} periods: {users} of the {quota:.2} \
         CPU seconds per second that {whose} control group may use ({QUOTA_FILES})"
    ))
}

/// What was used is nearly the quota, alone or together with the target.
fn used_quota(result: &CaseResult, quota: f64) -> Option<String> {
    let used = window::client_cpu_per_s(result)?;
    let (may, _) = cpus_of_client(result);
    if quota < may && used >= QUOTA_SHARE_MAX * quota {
        return Some(format!(
            "the client used {used:.2} CPU seconds per second of the {quota:.2} that its control group may use \
             ({QUOTA_FILES})"
        ));
    }
    both_at_quota(result, used, quota)
}

/// Both ends share a quota and used it up.
fn both_at_quota(result: &CaseResult, client: f64, quota: f64) -> Option<String> {
    let target = window::target_cpu_per_s(result).filter(|_| is_of_same_group(result, quota))?;
    (client + target >= QUOTA_SHARE_MAX * quota).then(|| {
        format!(
            "the client used {client:.2} and the target {target:.2} CPU seconds per second of the {quota:.2} that their \
             control group may use together ({QUOTA_FILES})"
        )
    })
}

/// A target that brink started begins in the client's control group (fork(2)); with another quota it has moved.
fn is_of_same_group(result: &CaseResult, quota: f64) -> bool {
    let is_started = matches!(result.case.target.origin, Origin::Started | Origin::Command { .. });
    is_started && result.facts.target.as_ref().is_some_and(|target| target.machine.cpu_quota == Some(quota))
}

/// The target used what its control group may. That is what was measured, and no fault of the measuring.
pub(super) fn target_at_quota(result: &CaseResult) -> Option<String> {
    let quota = result.facts.target.as_ref()?.machine.cpu_quota.filter(|quota| *quota > 0.0)?;
    let used = window::target_cpu_per_s(result)?;
    (used >= QUOTA_SHARE_MAX * quota).then(|| {
        format!(
            "the target was at its CPU quota: it used {used:.2} CPU seconds per second of the {quota:.2} that its control \
             group may use ({QUOTA_FILES})"
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
    // Who waits awake would give way.
    let busy = share_of(busy - window::polled_in_vain_per_s(result).unwrap_or(0.0), &result.facts.client)?;
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

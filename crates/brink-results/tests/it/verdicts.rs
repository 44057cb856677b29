//! Facts to verdicts.

use std::time::Duration;

use brink_results::case::Workload;
use brink_results::schema::{CaseResult, MachineSample, Validity, Verdict};
use brink_results::verdict::{Input, judge};
use brink_results::window;
use brink_wire::control::{CgroupUsage, MachineUsage};
use brink_wire::delay::Delay;

use crate::fixtures::{MODELS, at_limit, nothing_opened, result};

fn judged(result: &CaseResult) -> Validity {
    judge(Input { result, interrupted: None, missing: &[] })
}

/// A valid result after one change, with what the verdict must be and what a reason must say.
fn check(change: impl Fn(&mut CaseResult), verdict: Verdict, says: &str) {
    let mut made = result(MODELS[2], 1000);
    assert_eq!(judged(&made), Validity { verdict: Verdict::Valid, reasons: Vec::new() });
    change(&mut made);
    let validity = judged(&made);
    assert_eq!(validity.verdict, verdict, "{:?}", validity.reasons);
    assert!(validity.reasons.iter().any(|r| r.contains(says)), "`{says}` is not in {:?}", validity.reasons);
}

#[test]
fn connections_and_requests_that_failed() {
    check(|r| r.connections.opened = 999, Verdict::Failed, "999 of 1,000 connections opened");
    check(|r| r.connections.opened = 0, Verdict::Failed, "none of 1,000 connections opened");
    check(|r| r.connections.closed_early = 1, Verdict::Failed, "1 connections were lost");
    check(|r| r.requests.failed = 3, Verdict::Failed, "3 of 4,000 requests in the window failed");
    check(|r| r.requests.window_s = 0.0, Verdict::Failed, "before its measuring window");
}

#[test]
fn a_named_limit_is_to_blame_an_unknown_one_is_not() {
    let mut made = at_limit();
    assert_eq!(made.validity.verdict, Verdict::LimitBound);
    assert!(made.validity.reasons[0].contains("limit: kernel.pid_max"), "{:?}", made.validity.reasons);
    made.failure_point.as_mut().unwrap().limit = "unknown".to_owned();
    assert_eq!(judged(&made).verdict, Verdict::Failed);
}

#[test]
fn more_replies_than_arithmetic_allows() {
    // 100 ms delay, 4 s window: 41 replies a connection at most, 10,250/s for 1,000 of them.
    check(|r| r.requests.per_s = Some(10_251.0), Verdict::Failed, "above its arithmetic ceiling");
    let mut made = result(MODELS[2], 1000);
    made.requests.per_s = Some(10_250.0);
    assert_eq!(judged(&made).verdict, Verdict::Valid);
    made.case.load.workload = Workload::Closed { think_ns: 100_000_000 };
    assert_eq!(judged(&made).verdict, Verdict::Failed, "think time lowers the bound");
    made.requests.per_s_ceiling = None;
    assert_eq!(judged(&made).verdict, Verdict::Valid, "an unknown delay has no bound");
}

#[test]
fn a_client_at_its_cpu() {
    let busy = |share: f64| {
        move |r: &mut CaseResult| r.usage.client.iter_mut().for_each(|s| s.cpu_s = Some(share * s.t_s))
    };
    check(busy(0.95), Verdict::ClientBound, "0.95 CPU seconds per second of the 1 it can use");
    let mut made = result(MODELS[2], 1000);
    busy(0.95)(&mut made);
    made.case.load.threads = 2;
    assert_eq!(judged(&made).verdict, Verdict::Valid, "two threads on two CPUs may use twice that");
    made.case.load.cpus = Some(vec![0]);
    assert_eq!(judged(&made).verdict, Verdict::ClientBound, "pinned to one CPU they may not");
}

#[test]
fn a_client_that_waits_awake_is_at_its_cpu_only_where_it_had_no_time_to_wait() {
    let in_vain = |share: f64| {
        let mut made = result(MODELS[2], 1000);
        made.usage.client.iter_mut().for_each(|s| s.cpu_s = Some(s.t_s));
        made.usage.polled_in_vain_s = Some(share * made.requests.window_s);
        (judged(&made), window::client_work_cpu_per_s(&made), window::client_cpu_per_s(&made))
    };
    let (waited, used, in_all) = in_vain(0.75);
    assert_eq!((waited.verdict, used, in_all), (Verdict::Valid, Some(0.25), Some(1.0)));
    let (hurried, ..) = in_vain(0.05);
    assert_eq!(hurried.verdict, Verdict::ClientBound);
    assert!(hurried.reasons[0].contains("0.95 CPU seconds per second"), "{:?}", hurried.reasons);
    assert_eq!(in_vain(1.01).1, Some(0.0));
}

/// A case with these times asked, and no more replies than fit: what a very short run leaves behind.
fn timed(connections: u64, delay: Delay, warmup_ns: u64, window_ns: u64) -> CaseResult {
    let mut made = result(MODELS[2], connections);
    made.case.target.delay = delay;
    (made.case.load.warmup_ns, made.case.load.duration_ns) = (warmup_ns, window_ns);
    made.requests.window_s = window_ns as f64 / 1e9;
    made.requests.per_s_ceiling =
        (delay != Delay::ZERO).then(|| connections as f64 / delay.mean().as_secs_f64());
    let cycles = made.requests.window_s / delay.mean().as_secs_f64();
    let replies = made.requests.per_s_ceiling.map_or(1e4, |_| connections as f64 * cycles.floor());
    made.requests.per_s = Some(replies / made.requests.window_s);
    made.usage.phases[4].t_s = 4.0 + made.requests.window_s;
    made.usage.phases[3].t_s = 4.0 + made.requests.window_s;
    made
}

fn fixed(ms: u64) -> Delay {
    Delay::Fixed(Duration::from_millis(ms))
}

const MS: u64 = 1_000_000;

#[test]
fn a_window_without_two_cycles_is_not_valid() {
    let says = |made: &CaseResult, says: &str| {
        let validity = judged(made);
        assert_eq!(validity.verdict, Verdict::Unsteady, "{:?}", validity.reasons);
        assert!(validity.reasons.iter().any(|r| r == says), "`{says}` is not in {:?}", validity.reasons);
    };
    let short = timed(10, fixed(1000), 0, 300 * MS);
    assert_eq!(short.requests.per_s, Some(0.0));
    says(&short, "window of 300ms is shorter than two cycles of 1s: make it at least 2s");
    let mut thinks = timed(10, fixed(1000), 4000 * MS, 2500 * MS);
    thinks.case.load.workload = Workload::Closed { think_ns: 500 * MS };
    says(&thinks, "window of 2500ms is shorter than two cycles of 1500ms: make it at least 3s");
    let asked = &mut timed(10, fixed(1), 4000 * MS, 300 * MS);
    asked.case.load.delay_ns = Some(1000 * MS);
    asked.requests.per_s = Some(0.0);
    says(asked, "window of 300ms is shorter than two cycles of 1s: make it at least 2s");
    let drawn = Delay::Exponential(Duration::from_secs(1));
    says(
        &timed(10, drawn, 0, 300 * MS),
        "window of 300ms is shorter than two cycles of 1s: make it at least 2s",
    );
    // A stranger's delay is unknown, its think time is not.
    let mut foreign = timed(10, Delay::ZERO, 1000 * MS, 300 * MS);
    foreign.case.load.workload = Workload::Closed { think_ns: 200 * MS };
    says(&foreign, "window of 300ms is shorter than two cycles of 200ms: make it at least 400ms");
    for enough in [2000, 3000] {
        let made = timed(10, fixed(1000), 1000 * MS, enough * MS);
        assert_eq!(judged(&made), Validity { verdict: Verdict::Valid, reasons: Vec::new() });
    }
}

#[test]
fn a_window_with_hardly_a_reply_is_not_valid() {
    let replies = |count: f64, window_ns: u64| {
        let mut made = timed(10, Delay::ZERO, 1000 * MS, window_ns);
        made.requests.per_s = Some(count / made.requests.window_s);
        let validity = judged(&made);
        (validity.verdict, validity.reasons.join("\n"))
    };
    assert_eq!(replies(20.0, 1000 * MS).0, Verdict::Valid);
    let few = replies(19.0, 1000 * MS);
    assert!(few.0 == Verdict::Unsteady && few.1.contains("19 replies came in the window of 1s"), "{few:?}");
    let few = replies(0.0, 1000 * MS);
    assert!(few.0 == Verdict::Unsteady && few.1.contains("no reply came in the window of 1s"), "{few:?}");
    // However many they are: one pause of the scheduler is longer than that.
    for (count, window_ns, name) in [(26.0, MS, "1ms"), (0.0, 1_000, "1us")] {
        let few = replies(count, window_ns);
        let says = format!("window of {name} is shorter than 10ms");
        assert!(few.0 == Verdict::Unsteady && few.1.contains(&says), "{few:?}");
    }
    assert_eq!(replies(26.0, 10 * MS).0, Verdict::Valid);
    let mut silent = timed(10, fixed(100), 1000 * MS, 1000 * MS);
    silent.requests.per_s = Some(0.0);
    assert_eq!(judged(&silent).verdict, Verdict::Unsteady, "known delay, and nothing came");
    // A hold makes no requests, so its window needs none.
    silent.case.load.workload = Workload::Hold { heartbeat_ns: None };
    (silent.requests.per_s, silent.case.load.duration_ns) = (None, 1_000);
    assert_eq!(judged(&silent).verdict, Verdict::Valid);
}

#[test]
fn a_warmup_without_a_cycle_is_told_and_accuses_nothing() {
    let reasons = |delay, warmup_ns| {
        let validity = judged(&timed(10, delay, warmup_ns, 4000 * MS));
        assert_eq!(validity.verdict, Verdict::Valid, "{:?}", validity.reasons);
        validity.reasons
    };
    assert_eq!(
        reasons(fixed(1000), 999 * MS),
        [
            "warm-up of 999ms is shorter than one cycle of 1s: the first replies of each connection fall into the \
          window, so requests.per_s is low by up to 25%"
        ]
    );
    assert_eq!(reasons(fixed(1000), 1000 * MS), [""; 0]);
    assert_eq!(reasons(Delay::ZERO, 0), ["requests.per_s_ceiling: the target's delay is zero or unknown"]);
    // An exponential wait has no memory: its replies come at the same rate from the first moment.
    assert_eq!(reasons(Delay::Exponential(Duration::from_secs(1)), 0), [""; 0]);
}

#[test]
fn configs_that_ship_stay_valid() {
    for (connections, delay_ms, warmup_ms, window_ms) in [
        (10, 1, 500, 3000),
        (100, 10, 500, 3000),
        (1_000, 100, 500, 3000),
        (10_000, 1000, 1000, 3000),
        (8, 2, 100, 400),
        (64, 20, 100, 400),
    ] {
        let made = timed(connections, fixed(delay_ms), warmup_ms * MS, window_ms * MS);
        assert_eq!(judged(&made), Validity { verdict: Verdict::Valid, reasons: Vec::new() });
    }
}

#[test]
fn cpu_figures_that_cannot_be_are_not_told() {
    // Two samples too close: the milliseconds between the reading of a clock and of the CPU time count.
    let mut close = result(MODELS[2], 1000);
    close.usage.client.retain(|s| s.t_s == 5.0 || s.t_s == 5.25);
    let span = window::span(&close).unwrap();
    let set = |made: &mut CaseResult, apart_s: f64, cpu_s: f64| {
        made.usage.client[1].t_s = 5.0 + apart_s;
        made.usage.client[1].cpu_s = Some(made.usage.client[0].cpu_s.unwrap() + cpu_s);
    };
    set(&mut close, 0.1, 0.18);
    assert_eq!(window::cpu_per_s(&close.usage.client, span), None);
    assert_eq!(window::client_cpu_per_s(&close), None);
    assert_eq!(judged(&close).verdict, Verdict::Valid);
    set(&mut close, 0.25, 0.25 * 0.5);
    assert_eq!(window::client_cpu_per_s(&close), Some(0.5));

    // More than one thread of load can use: others of the process ran, and it is said.
    set(&mut close, 0.25, 0.25 * 1.8);
    let validity = judged(&close);
    assert_eq!(validity.verdict, Verdict::ClientBound);
    assert!(!validity.reasons[0].contains("1.80 CPU seconds per second of the 1"), "{:?}", validity.reasons);
    assert!(validity.reasons[0].contains("other threads included"), "{:?}", validity.reasons);

    // More than its two CPUs can give: nothing is known.
    set(&mut close, 0.25, 0.25 * 2.5);
    assert_eq!(window::client_cpu_per_s(&close), None);
    let validity = judged(&close);
    assert_eq!(validity.verdict, Verdict::Valid);
    assert!(validity.reasons.iter().all(|r| !r.contains("2.5")), "{:?}", validity.reasons);

    let mut target = result(MODELS[2], 1000);
    target.usage.target.iter_mut().for_each(|s| s.cpu_s = Some(2.5 * s.t_s));
    assert_eq!(window::target_cpu_per_s(&target), None);
    target.facts.target.as_mut().unwrap().machine.cpus = 4;
    target.facts.target.as_mut().unwrap().machine.cpus_allowed = vec![0, 1, 2, 3];
    assert_eq!(window::target_cpu_per_s(&target), Some(2.5));
}

#[test]
fn a_null_delay_error_says_who_does_not_know() {
    let reason = |delay, knows_target: bool| {
        let mut made = timed(10, delay, 4000 * MS, 4000 * MS);
        made.delay_error_ns = None;
        if !knows_target {
            made.facts.target = None;
        }
        judged(&made).reasons.into_iter().find(|r| r.starts_with("delay_error_ns")).unwrap()
    };
    let spread = Delay::Uniform(Duration::from_millis(10), Duration::from_millis(30));
    for drawn in [spread, Delay::Exponential(Duration::from_millis(20))] {
        assert!(reason(drawn, true).contains("the client does not know which one was drawn"));
        assert!(reason(drawn, false).contains("the target does not say how long it waited"));
    }
    assert!(reason(fixed(20), true).contains("the target does not say how long it waited"));
}

/// Replies that come at 10,000/s until 6 s, then at another rate. The window is from 4 s to 8 s.
fn two_rates(result: &mut CaseResult, after: f64) {
    for s in &mut result.usage.client {
        s.requests = Some((10_000.0 * s.t_s.min(6.0) + after * (s.t_s - 6.0).max(0.0)) as u64);
    }
}

#[test]
fn a_rate_that_drifts() {
    check(|r| two_rates(r, 8_000.0), Verdict::Unsteady, "differs by at least 2");
    let mut made = result(MODELS[2], 1000);
    two_rates(&mut made, 9_500.0);
    assert_eq!(judged(&made).verdict, Verdict::Valid);
    made.usage.client.truncate(20);
    assert_eq!(window::drift(&made, 0), None, "no sample after the window's end");
}

#[test]
fn bursts_in_step_are_not_drift() {
    // 10,000 connections that all answer once a second within a tenth of one, in a window of 2.9 s: its halves
    // hold two bursts and one.
    let mut made = result(MODELS[2], 10_000);
    made.usage.phases[3].t_s = 6.9;
    made.requests.window_s = 2.9;
    for s in &mut made.usage.client {
        let into = (s.t_s.fract() * 10.0).min(1.0);
        s.requests = Some((10_000.0 * (s.t_s.floor() + into)) as u64);
    }
    assert_eq!(window::drift(&made, 0), Some(0.0));
}

#[test]
fn missing_measures_are_explained_and_accuse_nothing() {
    let mut made = result(MODELS[2], 1000);
    made.delay_error_ns = None;
    made.case.load.workload = Workload::Hold { heartbeat_ns: None };
    (made.latency_ns, made.requests.per_s, made.requests.per_s_ceiling) = (None, None, None);
    let missing = ["memory_per_connection: no plateau".to_owned()];
    let validity = judge(Input { result: &made, interrupted: None, missing: &missing });
    assert_eq!(validity.verdict, Verdict::Valid);
    assert!(validity.reasons[0].contains("hold without heartbeat"), "{:?}", validity.reasons);
    assert_eq!(validity.reasons[1], missing[0]);
}

#[test]
fn the_gravest_fact_decides_and_all_are_told() {
    let validity = nothing_opened().validity;
    assert_eq!(validity.verdict, Verdict::Failed);
    let text = validity.reasons.join("\n");
    for says in [
        "interrupted: stopped by SIGINT",
        "none of 10",
        "latency_ns:",
        "connect_latency_ns:",
        "target_counters",
    ] {
        assert!(text.contains(says), "`{says}` is not in {text}");
    }
}

#[test]
fn what_is_no_limit_fails_a_run_and_does_not_bound_it() {
    use brink_results::schema::Verdict;
    for (limit, verdict) in [
        ("rlimit.nofile", Verdict::LimitBound),
        ("target.not_scheduled", Verdict::Failed),
        ("firewall", Verdict::Failed),
        ("unknown", Verdict::Failed),
    ] {
        let mut made = crate::fixtures::at_limit();
        made.failure_point.as_mut().unwrap().limit = limit.to_owned();
        let input = brink_results::verdict::Input { result: &made, interrupted: None, missing: &[] };
        assert_eq!(brink_results::verdict::judge(input).verdict, verdict, "{limit}");
    }
}

/// Samples of the machine through the window: seconds per second that are busy, stolen, and spent in interrupts.
fn machine(result: &mut CaseResult, busy: f64, steal: f64, irq: Option<f64>) {
    let at = |t_s: f64| MachineSample {
        t_s,
        usage: MachineUsage {
            cpu_busy_s: Some(busy * t_s),
            cpu_steal_s: Some(steal * t_s),
            cpu_irq_s: irq.map(|irq| irq * t_s),
            ..MachineUsage::default()
        },
        ..MachineSample::default()
    };
    result.usage.machine = (0..40).map(|i| at(f64::from(i) / 4.0)).collect();
}

#[test]
fn cpu_time_that_a_hypervisor_took() {
    // Two CPUs.
    check(|r| machine(r, 0.8, 0.1, None), Verdict::Unsteady, "5.0% of CPU time was stolen by the hypervisor");
    let mut made = result(MODELS[2], 1000);
    machine(&mut made, 0.8, 0.03, None);
    assert_eq!(judged(&made).verdict, Verdict::Valid, "{:?}", judged(&made).reasons);
    made.usage.target_machine = made.usage.machine.clone();
    made.usage.target_machine.iter_mut().for_each(|s| s.usage.cpu_steal_s = Some(0.2 * s.t_s));
    made.facts.shared_machine = Some(false);
    let reasons = judged(&made).reasons;
    assert!(
        reasons[0].contains("10.0% of CPU time was stolen by the hypervisor on the target's"),
        "{reasons:?}"
    );
}

#[test]
fn cpu_time_that_other_programs_used() {
    // The client uses 0.25, the target 0.375 of two CPUs.
    check(
        |r| machine(r, 1.9, 0.0, Some(0.1)),
        Verdict::Unsteady,
        "other programs used 58% of CPU time, and 95% of it was in use: both ends had to wait",
    );
    let reasons = |busy: f64, irq: Option<f64>, shared: Option<bool>| {
        let mut made = result(MODELS[2], 1000);
        machine(&mut made, busy, 0.0, irq);
        made.facts.shared_machine = shared;
        let validity = judged(&made);
        assert_eq!(validity.verdict, Verdict::Valid, "{:?}", validity.reasons);
        validity.reasons
    };
    let spare = reasons(1.2, Some(0.0), Some(true));
    assert!(spare[0].contains("other programs used 28% of CPU time; there was some to spare"), "{spare:?}");
    assert!(reasons(0.8, Some(0.0), Some(true)).is_empty(), "under a tenth");
    let mut polls = result(MODELS[2], 1000);
    polls.usage.polled_in_vain_s = Some(0.2 * polls.requests.window_s);
    machine(&mut polls, 0.8, 0.0, Some(0.0));
    assert!(judged(&polls).reasons.is_empty(), "what was polled in vain is the client's own");
    assert!(reasons(1.9, None, Some(true)).is_empty(), "interrupts are not known, and work for both ends");
    assert!(reasons(1.9, Some(0.0), Some(false)).is_empty(), "the target is elsewhere");
}

#[test]
fn a_quota_is_an_allowance() {
    check(
        |r| r.facts.client.machine.cpu_quota = Some(0.25),
        Verdict::ClientBound,
        "the client used 0.25 CPU seconds per second of the 0.25 that its control group may use",
    );
    let quota = |client: f64, target: f64| {
        let mut made = result(MODELS[2], 1000);
        made.facts.client.machine.cpu_quota = Some(client);
        made.facts.target.as_mut().unwrap().machine.cpu_quota = Some(target);
        judged(&made)
    };
    assert_eq!(quota(1.5, 1.5), Validity { verdict: Verdict::Valid, reasons: Vec::new() });
    // Started by brink, so in the same group: 0.25 and 0.375 of 0.65.
    let shared = quota(0.65, 0.65);
    assert_eq!(shared.verdict, Verdict::ClientBound, "{shared:?}");
    assert!(
        shared.reasons[0].contains("of the 0.65 that their control group may use together"),
        "{shared:?}"
    );
    assert_eq!(quota(0.65, 0.64).verdict, Verdict::Valid, "another group");
    let throttled = |share: f64| {
        let mut made = result(MODELS[2], 1000);
        made.facts.client.machine.cpu_quota = Some(2.0);
        made.facts.target.as_mut().unwrap().machine.cpu_quota = Some(2.0);
        machine(&mut made, 0.6, 0.0, Some(0.0));
        for sample in &mut made.usage.machine {
            let periods = (10.0 * sample.t_s) as u64;
            sample.usage.cgroup = Some(CgroupUsage {
                cpu_periods: Some(periods),
                cpu_throttled_periods: Some(periods / 2),
                cpu_throttled_s: Some(share * sample.t_s),
                ..CgroupUsage::default()
            });
        }
        judged(&made)
    };
    let stood_still = throttled(0.02);
    assert_eq!(stood_still.verdict, Verdict::ClientBound, "although far from the quota: {stood_still:?}");
    assert!(
        stood_still.reasons[0].starts_with("the client stood still for want of CPU quota in ")
            && stood_still.reasons[0]
                .contains("of the 2.00 CPU seconds per second that their control group may use"),
        "{stood_still:?}"
    );
    assert_eq!(throttled(0.005).verdict, Verdict::Valid);
    let finding = quota(1.5, 0.4);
    assert_eq!(finding.verdict, Verdict::Valid, "it is what was measured");
    assert!(finding.reasons[0].contains("the target was at its CPU quota: it used 0.38"), "{finding:?}");
}

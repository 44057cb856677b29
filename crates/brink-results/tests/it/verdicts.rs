//! Facts to verdicts.

use brink_results::case::Workload;
use brink_results::schema::{CaseResult, Validity, Verdict};
use brink_results::verdict::{Input, judge};
use brink_results::window;

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

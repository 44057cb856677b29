//! Facts to verdicts for open loops, bursts, churn, foreign targets and targets of several processes.

use brink_results::case::{Arrivals, Protocol, Workload};
use brink_results::schema::{CaseResult, DelayError, End, Failure, Verdict};
use brink_results::window;
use brink_wire::delay::Delay;

use crate::fixtures::{MODELS, burst, churn, foreign, judged, open, result, several_processes};

const MS: u64 = 1_000_000;

/// After a change, the verdict must be this and a reason must begin so.
fn check(made: CaseResult, change: impl Fn(&mut CaseResult), verdict: Verdict, begins: &str) {
    let mut made = made;
    assert_eq!((made.validity.verdict, &made.validity.reasons[..]), (Verdict::Valid, &[][..]));
    change(&mut made);
    let validity = judged(made).validity;
    assert_eq!(validity.verdict, verdict, "{:?}", validity.reasons);
    assert!(
        validity.reasons.iter().any(|r| r.starts_with(begins)),
        "`{begins}` is not in {:?}",
        validity.reasons
    );
}

fn loop_at(rate_per_s: f64) -> CaseResult {
    open(MODELS[2], rate_per_s)
}

#[test]
fn an_open_loop_that_fell_behind() {
    check(
        loop_at(5_000.0),
        |r| (r.requests.per_s, r.requests.backlog_peak) = (Some(2_300.0), 9_000),
        Verdict::Unsteady,
        "the target fell behind the rate: 5,000/s intended, 2,300/s completed, up to 9,000 requests waited for an \
         idle connection",
    );
    check(
        loop_at(5_000.0),
        |r| (r.requests.completed, r.requests.not_sent) = (19_995, 5),
        Verdict::Unsteady,
        "the target fell behind the rate: 5,000/s intended, 5,000/s completed, up to 3 requests waited for an idle \
         connection, 5 of 20,000 due were never sent",
    );
    let at = |per_s: f64| {
        let mut made = loop_at(5_000.0);
        made.requests.per_s = Some(per_s);
        judged(made).validity.verdict
    };
    assert_eq!((at(4_901.0), at(4_899.0)), (Verdict::Valid, Verdict::Unsteady), "98% of 5,000");
}

#[test]
fn a_lag_is_held_against_latencies_only() {
    let mut unanswered = loop_at(5_000.0);
    unanswered.latency_ns = None;
    unanswered.schedule_lag_ns = Some(DelayError { p50: MS, p99: 4 * MS, max: 9 * MS });
    unanswered.requests.not_sent = 10_000;
    unanswered.requests.completed = 10_000;
    assert_eq!(
        judged(unanswered).validity.verdict,
        Verdict::Unsteady,
        "the target fell behind, not the client"
    );
}

#[test]
fn a_limit_that_the_target_met_while_it_served_counts_though_nothing_failed() {
    use brink_results::schema::{Confidence, FailurePoint};
    let point = |phase: &str, limit: &str| FailurePoint {
        at_connections: 1_000,
        predicted_at: None,
        end: End::Target,
        phase: phase.to_owned(),
        errno: "EAGAIN".to_owned(),
        limit: limit.to_owned(),
        limit_value: Some(40),
        confidence: Confidence::Confirmed,
        evidence: Vec::new(),
        fix: None,
        lasting: None,
    };
    let met = |phase: &'static str, limit: &'static str| {
        let mut made = loop_at(5_000.0);
        made.failure_point = Some(point(phase, limit));
        judged(made).validity.verdict
    };
    assert_eq!(met("spawn", "rlimit.nproc"), Verdict::LimitBound);
    assert_eq!(met("accept", "rlimit.nofile"), Verdict::Valid, "somebody else was refused");
    assert_eq!(met("spawn", "unknown"), Verdict::Valid);
    assert_eq!(met("request", "target.not_scheduled"), Verdict::Valid, "no limit");
}

#[test]
fn few_requests_and_chance_prove_nothing() {
    let mut few = loop_at(20.0);
    few.requests.per_s = Some(15.0);
    assert_eq!(judged(few).validity.verdict, Verdict::Valid, "80 requests due");
    let mut random = loop_at(1_000.0);
    random.requests.per_s = Some(945.0);
    assert_eq!(judged(random.clone()).validity.verdict, Verdict::Unsteady);
    random.case.load.workload = Workload::Open { rate_per_s: 1_000.0, arrivals: Arrivals::Poisson };
    assert_eq!(judged(random).validity.verdict, Verdict::Valid, "three deviations of 4,000 are 190");
    // Without a warm-up the replies of the first 100 ms are missing: 400 of 4,000.
    let mut cold = loop_at(1_000.0);
    (cold.case.load.warmup_ns, cold.requests.per_s) = (0, Some(975.0));
    let validity = judged(cold.clone()).validity;
    assert_eq!(validity.verdict, Verdict::Valid, "{:?}", validity.reasons);
    cold.requests.per_s = Some(950.0);
    assert_eq!(judged(cold).validity.verdict, Verdict::Unsteady);
}

#[test]
fn a_rate_that_arithmetic_forbids_is_not_the_targets_fault() {
    check(
        loop_at(5_000.0),
        |r| {
            r.case.load.workload = Workload::Open { rate_per_s: 20_000.0, arrivals: Arrivals::Fixed };
            r.requests.per_s_intended = Some(20_000.0);
            (r.requests.intended, r.requests.not_sent) = (80_000, 40_000);
            (r.requests.per_s, r.requests.per_s_ceiling) = (Some(9_990.0), Some(10_000.0));
        },
        Verdict::Unsteady,
        "the rate is above its arithmetic ceiling of 10,000/s: 20,000/s intended, 9,990/s completed",
    );
}

#[test]
fn a_client_that_lags_is_to_blame_itself() {
    let lag = |p99: u64| Some(DelayError { p50: 10, p99, max: 2 * p99 });
    check(
        loop_at(1_000.0),
        |r| r.schedule_lag_ns = lag(12 * MS),
        Verdict::ClientBound,
        "the client's schedule lagged: requests went out 12.0 ms late at p99 and 24.0 ms at most",
    );
    for (p99, why) in [(9 * MS, "under a tenth of a latency of 100 ms"), (MS, "a millisecond")] {
        let mut made = loop_at(1_000.0);
        made.schedule_lag_ns = lag(p99);
        assert_eq!(judged(made).validity.verdict, Verdict::Valid, "{why}");
    }
    check(
        loop_at(5_000.0),
        |r| (r.schedule_lag_ns, r.requests.per_s) = (lag(500 * MS), Some(2_000.0)),
        Verdict::ClientBound,
        "the client did not keep its rate: 5,000/s intended",
    );
}

#[test]
fn no_bound_misfires() {
    // An open loop that works off a backlog completes more than its rate.
    let mut late = loop_at(1_000.0);
    late.requests.per_s = Some(1_200.0);
    assert_eq!(judged(late.clone()).validity.verdict, Verdict::Valid);
    // More replies than connections and their waits allow is impossible all the same.
    late.requests.per_s = Some(10_300.0);
    assert_eq!(judged(late).validity.verdict, Verdict::Failed);
    // A path that asks for its own wait: the delay of the case says nothing.
    let mut path = result(MODELS[2], 1_000);
    path.requests.per_s = Some(50_000.0);
    assert_eq!(judged(path.clone()).validity.verdict, Verdict::Failed);
    path.case.load.protocol = http("/delay/0.001");
    assert_eq!(judged(path).validity.verdict, Verdict::Valid);
}

fn http(path: &str) -> Protocol {
    Protocol::Http {
        method: "GET".to_owned(),
        path: path.to_owned(),
        host: "localhost".to_owned(),
        headers: Vec::new(),
        body: false,
        echoes: false,
    }
}

#[test]
fn bad_replies_by_kind() {
    let fails = |r: &mut CaseResult, failed: u64, non_2xx: u64| {
        (r.requests.completed, r.requests.failed, r.requests.non_2xx) = (4_000 - failed, failed, non_2xx);
    };
    let made = || result(MODELS[2], 1_000);
    check(made(), |r| fails(r, 12, 12), Verdict::Failed, "12 of 4,000 replies had a status outside 200..299");
    let mut both = made();
    fails(&mut both, 15, 12);
    let reasons = judged(both).validity.reasons;
    assert!(reasons.iter().any(|r| r == "12 of 3,997 replies had a status outside 200..299"), "{reasons:?}");
    assert!(reasons.iter().any(|r| r == "3 of 4,000 requests in the window failed"), "{reasons:?}");
    check(
        made(),
        |r| {
            fails(r, 2, 0);
            r.failures.push(failure(End::Client, "request", "mismatch", 2));
        },
        Verdict::Failed,
        "2 replies echoed other bytes than were sent (mismatch)",
    );
}

fn failure(end: End, phase: &str, errno: &str, count: u64) -> Failure {
    Failure { end, phase: phase.to_owned(), errno: errno.to_owned(), count, first_at_connections: 1_000 }
}

#[test]
fn a_worker_that_died_fails_the_case() {
    check(
        several_processes(MODELS[2], 1_000, 4),
        |r| r.failures.push(failure(End::Target, "worker", "died", 1)),
        Verdict::Failed,
        "1 of 4 serving processes of the target died",
    );
    let mut refused = result(MODELS[2], 1_000);
    refused.failures.push(failure(End::Target, "accept", "EMFILE", 1));
    assert_eq!(judged(refused).validity.verdict, Verdict::Valid, "a refusal that cost nothing is no death");
}

#[test]
fn a_burst_is_valid_when_all_was_answered() {
    let made = || burst(MODELS[2], "tokio", 101_500_000);
    // A tenth of a second of a bound of a minute, in fewer replies than tell a rate.
    assert_eq!((made().validity.verdict, made().validity.reasons), (Verdict::Valid, Vec::new()));
    check(
        made(),
        |r| (r.requests.completed, r.makespan_ns) = (41, None),
        Verdict::Failed,
        "9 of 50 requests were not answered; they had 1m",
    );
    check(
        made(),
        |r| r.makespan_ns = None,
        Verdict::Failed,
        "makespan_ns: all requests were answered, and how long that took is missing",
    );
    let mut closed = made();
    closed.case.load.workload = Workload::Closed { think_ns: 0 };
    assert_eq!(judged(closed).validity.verdict, Verdict::Valid, "a closed loop of 50 requests");
}

#[test]
fn churn_thinks_as_a_closed_loop_does() {
    assert_eq!(
        (churn(MODELS[2]).validity.verdict, churn(MODELS[2]).validity.reasons),
        (Verdict::Valid, Vec::new())
    );
    check(
        churn(MODELS[2]),
        |r| r.case.load.workload = Workload::Churn { think_ns: 3_000 * MS },
        Verdict::Failed,
        "above its arithmetic ceiling",
    );
    check(
        churn(MODELS[2]),
        |r| r.case.load.duration_ns = 15 * MS,
        Verdict::Unsteady,
        "window of 15ms is shorter than two cycles of 10ms",
    );
}

#[test]
fn a_foreign_target_is_sampled_and_nothing_reads_as_zero() {
    let made = foreign("nginx", 100);
    assert_eq!(made.validity.verdict, Verdict::Valid, "{:?}", made.validity.reasons);
    let reasons = made.validity.reasons.join("\n");
    assert!(reasons.contains("where live connections and requests are not told"), "{reasons}");
    // Its CPU time is of the samples, and the requests are those that the client counted.
    assert_eq!(window::target_cpu_per_s(&made), Some(0.375));
    let per_request = window::target_cpu_s_per_request(&made).unwrap();
    assert!((per_request - 0.375 / made.requests.per_s.unwrap()).abs() < 1e-6, "{per_request}");
    let mut unknown = made.clone();
    unknown.usage.client.iter_mut().for_each(|s| s.requests = None);
    assert_eq!(window::target_cpu_s_per_request(&unknown), None);
    let mut gone = made;
    gone.case.target.delay = Delay::ZERO;
    gone.usage.target.clear();
    assert_eq!(window::target_cpu_per_s(&gone), None);
    assert!(!judged(gone).validity.reasons.join("").contains("usage.target"));
}

#[test]
fn workers_are_told_one_by_one() {
    let workers = window::workers(&several_processes(MODELS[2], 1_000, 4));
    assert_eq!(workers.iter().map(|w| w.live).collect::<Vec<_>>(), [250, 251, 252, 253].map(Some));
    assert_eq!(workers[0].cpu_per_s, Some(0.375 / 4.0));
    assert!(window::workers(&result(MODELS[2], 1_000)).is_empty(), "one process");
}

#[test]
fn a_thread_for_each_connection_may_use_every_cpu() {
    let mut made = result(MODELS[2], 1_000);
    made.usage.client.iter_mut().for_each(|s| s.cpu_s = Some(1.2 * s.t_s));
    assert_eq!(judged(made.clone()).validity.verdict, Verdict::ClientBound, "one thread of load");
    made.case.load.engine = "threads".to_owned();
    assert_eq!(judged(made.clone()).validity.verdict, Verdict::Valid);
    made.usage.client.iter_mut().for_each(|s| s.cpu_s = Some(1.9 * s.t_s));
    assert_eq!(judged(made).validity.verdict, Verdict::ClientBound, "two CPUs");
}

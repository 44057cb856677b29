//! What another load of the target makes of a result: its verdict, its figures, and what it may be compared with.

use brink_results::comparison::{Options, Side, compare};
use brink_results::measures::Measure;
use brink_results::repeats::repeats;
use brink_results::schema::{Background, CaseResult, End, Failure, Verdict};
use brink_results::{answer, report};

use crate::fixtures::{MODELS, at_limit, beside, judged, open, result, run};

fn made() -> CaseResult {
    judged(beside(result(MODELS[2], 100)))
}

/// After a change of the background, the verdict must be this, and the reason that.
#[track_caller]
fn check(change: impl Fn(&mut Background), verdict: Verdict, reason: &str) {
    let mut changed = made();
    assert_eq!((changed.validity.verdict, &changed.validity.reasons[..]), (Verdict::Valid, &[][..]));
    change(changed.background.as_mut().unwrap());
    let validity = judged(changed).validity;
    assert_eq!((validity.verdict, validity.reasons.first().map(String::as_str)), (verdict, Some(reason)));
}

#[test]
fn one_that_was_not_as_asked_condemns_the_case() {
    let refused = Failure {
        end: End::Client,
        phase: "connect".to_owned(),
        errno: "ECONNREFUSED".to_owned(),
        count: 2,
        first_at_connections: 0,
    };
    check(
        |b| (b.connections.opened, b.connections.live_at_end, b.failures) = (0, 0, vec![refused.clone()]),
        Verdict::Failed,
        "background: 0 of 2 connections opened (connect ECONNREFUSED)",
    );
    check(
        |b| (b.connections.closed_early, b.connections.live_at_end) = (1, 1),
        Verdict::Failed,
        "background: 1 connections were lost before they were closed",
    );
    check(
        |b| (b.requests.failed, b.requests.completed) = (3, 17),
        Verdict::Failed,
        "background: 3 of 20 requests failed",
    );
    check(
        |b| (b.requests.not_sent, b.requests.completed) = (5, 15),
        Verdict::Unsteady,
        "background: it did not keep its rate: 5 of 20 requests were never sent",
    );
    check(
        |b| b.faults = vec!["it could not run".to_owned()],
        Verdict::Failed,
        "background: it could not run",
    );
    check(
        |b| (b.requests.intended, b.requests.completed) = (0, 0),
        Verdict::Valid,
        "background: none of its requests was sent within the window",
    );
    let mut missing = made();
    missing.background = None;
    assert_eq!(judged(missing).validity.reasons, ["background: it did not run"]);
}

#[test]
fn a_limit_explains_one_that_was_refused() {
    let mut limited = beside(result(MODELS[1], 100));
    limited.failure_point = at_limit().failure_point;
    limited.background.as_mut().unwrap().connections.opened = 0;
    let validity = judged(limited).validity;
    assert_eq!(validity.verdict, Verdict::LimitBound, "{:?}", validity.reasons);
}

#[test]
fn its_figures_are_measures_of_their_own() {
    let value = |made: &CaseResult, name: &str| (Measure::find(name).unwrap().pick)(made).map(|o| o.value);
    let with = made();
    let latency = with.background.as_ref().unwrap().latency_ns.as_ref().unwrap();
    assert_eq!(value(&with, "background.latency_ns.p50"), Some(latency.p50 as f64));
    assert_eq!(value(&with, "background.latency_ns.p99"), Some(latency.p99 as f64));
    assert_eq!(value(&with, "background.requests.completed"), Some(20.0));
    for name in ["background.latency_ns.p99", "background.requests.completed"] {
        assert_eq!(value(&result(MODELS[2], 100), name), None, "{name}");
    }
}

#[test]
fn with_and_without_are_two_questions() {
    let without = judged(result(MODELS[2], 100));
    let (a, b) = (
        Side::new("a", vec![without.clone()], None, Vec::new()),
        Side::new("b", vec![made()], None, Vec::new()),
    );
    let compared = compare(&a, &b, Options::default());
    assert_eq!(compared.contrasts().count(), 0, "they have one name and do not ask the same");
    let mut second = made();
    second.case.name = "tokio-c100-r2".to_owned();
    second.case.repeat = 2;
    assert_eq!(repeats(&[without.clone(), second.clone()]).len(), 2);
    assert_eq!(repeats(&[made(), second]).len(), 1, "repeats of one load");
    let mut harder = made();
    harder.case.load.background.as_mut().unwrap().work_us = Some(1);
    assert_eq!(repeats(&[made(), harder]).len(), 2);
}

#[test]
fn it_is_told_in_a_line_and_a_table() {
    let one = answer::answer_one(&made());
    let at = "beside 2 connections, open at 5.0/s (fixed), each asks work 200ms";
    let flat = one.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(at), "{one}");
    assert!(flat.contains("background 20 answered, 0 failed; p50"), "{one}");
    assert!(!answer::answer_one(&result(MODELS[2], 100)).contains("background"));
    let mut both = run();
    both.results = vec![made(), judged(open(MODELS[0], 1_000.0))];
    let (text, page) = (answer::answer(&both), report::render(&both));
    for told in [&text, &page] {
        assert!(told.contains("Beside another load of the same target"), "{told}");
    }
    assert!(!answer::answer(&run()).contains("Beside another load"));
}

//! Comparisons and gates over made-up runs whose differences are known.

use brink_results::case::{Arrivals, Workload};
use brink_results::comparison::contrast::Outcome;
use brink_results::comparison::{Comparison, Options, Side, compare, json, markdown, text};
use brink_results::gate::{Gate, Judgement, judge};
use brink_results::schema::{CaseResult, Validity, Verdict};
use brink_wire::delay::Delay;

use crate::fixtures::{MODELS, mixed, result, run};
use crate::schemas::{broken, validator};

const JITTER: [f64; 3] = [0.995, 1.0, 1.005];

/// Three repeats of tokio at some connections, each as fast as `speed` says, within half a percent.
fn runs(connections: u64, speed: f64) -> Vec<CaseResult> {
    let one = |(repeat, jitter): (u32, f64)| {
        let mut made = result(MODELS[2], connections);
        made.case.name = format!("tokio-c{connections}-r{repeat}");
        made.case.repeat = repeat;
        made.requests.per_s_ceiling = None;
        made.requests.per_s = Some(5000.0 * speed * jitter);
        let latency = made.latency_ns.as_mut().unwrap();
        let slower = |ns: u64| (ns as f64 / speed * jitter) as u64;
        (latency.p50, latency.p90, latency.p99) =
            (slower(latency.p50), slower(latency.p90), slower(latency.p99));
        made
    };
    (1..).zip(JITTER).map(one).collect()
}

fn side(results: Vec<CaseResult>) -> Side {
    Side::new("some/folder", results, None, Vec::new())
}

fn compared<'a>(a: &'a Side, b: &'a Side) -> Comparison<'a> {
    compare(a, b, Options::default())
}

fn outcome(made: &Comparison, measure: &str) -> Outcome {
    made.contrasts().find(|(_, contrast)| contrast.measure.name == measure).unwrap().1.outcome
}

fn edited(mut results: Vec<CaseResult>, edit: impl Fn(&mut CaseResult)) -> Vec<CaseResult> {
    results.iter_mut().for_each(edit);
    results
}

fn unsteady(result: &mut CaseResult) {
    result.validity = Validity { verdict: Verdict::Unsteady, reasons: vec!["it drifted".to_owned()] };
}

#[test]
fn the_same_run_has_no_difference() {
    let (a, b) = (side(runs(100, 1.0)), side(runs(100, 1.01)));
    let made = compared(&a, &b);
    let counts = made.counts();
    assert!(counts.no_difference >= 6 && counts.decided() == counts.no_difference, "{counts:?}");
    assert!(made.machines.is_empty() && made.not_alike.is_empty() && made.invalid.is_empty());
    let said = text(Some(&made), &[]);
    assert!(said.contains("machine    the same on both sides"), "{said}");
    assert!(
        said.contains(&format!("{} comparisons: {} no difference.", counts.decided(), counts.decided())),
        "{said}"
    );
}

#[test]
fn a_tenth_slower_is_worse() {
    let (a, b) = (side(runs(100, 1.0)), side(runs(100, 0.9)));
    let made = compared(&a, &b);
    for measure in ["requests.per_s", "latency_ns.p50", "latency_ns.p99"] {
        assert_eq!(outcome(&made, measure), Outcome::Worse, "{measure}");
    }
    let back = compared(&b, &a);
    assert_eq!(outcome(&back, "requests.per_s"), Outcome::Better);
    let said = text(Some(&made), &[]);
    assert!(said.contains("Worse: tokio-c100 ") && said.contains("-10.0% (5,000/s to 4,500/s)"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 110), "{said}");
}

#[test]
fn another_question_is_not_compared_unless_told_to() {
    let a = side(runs(100, 1.0));
    let twenty = Delay::Fixed(std::time::Duration::from_millis(20));
    let b = side(edited(runs(100, 1.0), |r| r.case.target.delay = twenty));
    let made = compared(&a, &b);
    assert!(made.cases.is_empty());
    assert_eq!(made.not_alike[0].why, "delay 10ms against 20ms");
    let made = compare(&a, &b, Options { as_is: true, ..Options::default() });
    assert_eq!(made.cases.len(), 1);
    assert!(text(Some(&made), &[]).contains("case       delay 10ms against 20ms"));
}

#[test]
fn what_is_compared_on_purpose_is_said() {
    let a = side(runs(100, 1.0));
    let b = side(edited(runs(100, 1.0), |r| {
        (r.case.target.work_us, r.case.target.threads, r.case.load.duration_ns) = (110, 4, 8_000_000_000);
        r.facts.brink_version = "0.2.0".to_owned();
        r.facts.client.machine.kernel = Some("7.0".to_owned());
        r.facts.client.limits[0].value = Some(1024);
    }));
    let made = compared(&a, &b);
    assert_eq!(made.cases.len(), 1);
    let said = text(Some(&made), &[]);
    for part in [
        "brink 0.1.0 against 0.2.0",
        "kernel 6.18.0 against 7.0",
        "client's rlimit.nofile 20,000 against 1,024",
        "target work 0s against 110us",
        "target threads 2 against 4",
        "duration 4s against 8s",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(said.find("kernel 6.18.0") < said.find("latency p50"), "machines are said first");
}

#[test]
fn the_targets_own_wait_does_not_matter_where_requests_ask_for_theirs() {
    let ask = |r: &mut CaseResult| r.case.load.delay_ns = Some(5_000_000);
    let a = side(edited(runs(100, 1.0), ask));
    let b = side(edited(edited(runs(100, 1.0), ask), |r| {
        r.case.target.delay = Delay::Fixed(std::time::Duration::ZERO)
    }));
    assert_eq!(compared(&a, &b).cases.len(), 1);
}

#[test]
fn invalid_results_are_refused_and_named() {
    let a = side(runs(100, 1.0));
    let none = side(edited(runs(100, 0.5), unsteady));
    let made = compared(&a, &none);
    assert!(made.cases.is_empty());
    assert_eq!(made.invalid[0].why, "candidate unsteady: it drifted");
    let made = compare(&a, &none, Options { allow_invalid: true, ..Options::default() });
    assert_eq!((made.cases[0].candidate.len(), outcome(&made, "requests.per_s")), (3, Outcome::Worse));
    assert!(made.notes.iter().any(|note| note.contains("no valid run")), "{:?}", made.notes);

    let mut some = runs(100, 1.0);
    unsteady(&mut some[1]);
    let some = side(some);
    let made = compared(&a, &some);
    assert_eq!(made.cases[0].candidate.len(), 2);
    assert!(made.notes.iter().any(|note| note.contains("2 of 3 runs are valid")), "{:?}", made.notes);
}

#[test]
fn a_rate_that_something_else_sets_is_not_judged() {
    let near = |r: &mut CaseResult| r.requests.per_s_ceiling = Some(5_100.0);
    let (a, b) = (side(edited(runs(100, 1.0), near)), side(edited(runs(100, 0.95), near)));
    let made = compared(&a, &b);
    assert_eq!(outcome(&made, "requests.per_s"), Outcome::NotJudged);
    assert!(text(Some(&made), &[]).contains("set by the delay"));
    let open = |r: &mut CaseResult| {
        r.case.load.workload = Workload::Open { rate_per_s: 5000.0, arrivals: Arrivals::Fixed }
    };
    let (a, b) = (side(edited(runs(100, 1.0), open)), side(edited(runs(100, 0.9), open)));
    let made = compared(&a, &b);
    assert_eq!(outcome(&made, "requests.per_s"), Outcome::NotJudged);
    assert_eq!(outcome(&made, "latency_ns.p99"), Outcome::Worse, "its latency is");
}

#[test]
fn a_single_run_decides_nothing() {
    let (a, b) = (side(runs(100, 1.0)), side(runs(100, 0.5)[..1].to_vec()));
    let made = compared(&a, &b);
    assert_eq!(outcome(&made, "requests.per_s"), Outcome::Undecided);
    assert!(made.notes.iter().any(|note| note.contains("repeats = 3")), "{:?}", made.notes);
}

#[test]
fn cases_of_other_names_are_matched_only_where_it_is_plain() {
    let renamed = |results: Vec<CaseResult>| {
        edited(results, |r| {
            r.case.name = r.case.name.replace("tokio", "mio");
            (r.case.target.label, r.case.target.model) = ("mio".to_owned(), "mio".to_owned());
        })
    };
    let (a, b) = (side(runs(100, 1.0)), side(renamed(runs(100, 1.0))));
    let made = compared(&a, &b);
    assert_eq!(made.cases[0].name, "mio-c100 against tokio-c100");
    assert!(made.notes[0].contains("one case"), "{:?}", made.notes);

    let both = || [runs(100, 1.0), runs(1000, 1.0)].concat();
    let (a, b) = (side(both()), side(renamed(both())));
    assert_eq!(compared(&a, &b).cases.len(), 2, "by what is asked");

    let (a, b) = (side(both()), side([renamed(runs(100, 1.0)), runs(1000, 1.0)].concat()));
    let made = compared(&a, &b);
    assert_eq!(made.cases.len(), 1, "a name that is on both sides leaves the others alone");
    assert_eq!((made.only_baseline[0].as_str(), made.only_candidate[0].as_str()), ("tokio-c100", "mio-c100"));
}

fn gates(rules: &[&str]) -> Vec<Gate> {
    rules.iter().map(|rule| Gate { case: None, rule: rule.parse().unwrap() }).collect()
}

fn judged(rule: &str, made: &Comparison) -> Judgement {
    judge(&gates(&[rule]), &made.subjects(), false).remove(0)
}

#[test]
fn gates_are_kept_or_breached_by_the_median() {
    let (a, b) = (side(runs(100, 1.0)), side(runs(100, 0.9)));
    let made = compared(&a, &b);
    for (rule, kept) in [
        ("p99 < 1s", true),
        ("p99 < 1us", false),
        ("opened == requested", true),
        ("target_memory < 2KiB", true),
        ("target_memory < 512B", false),
        ("p99 < 2 * p50", true),
        ("per_s > 0.85 * baseline", true),
        ("per_s > 0.95 * baseline", false),
        ("p50 <= baseline", false),
        ("per_s >= 1.1 * baseline", false),
    ] {
        assert_eq!(judged(rule, &made).is_kept, kept, "{rule}: {}", judged(rule, &made).words());
    }
    assert_eq!(judged("opened == requested", &made).words(), "100, against 100, kept");
    assert!(judged("per_s > 4500", &made).is_close, "the median is on the bound");
}

#[test]
fn noise_breaches_no_gate_on_a_baseline() {
    let (a, b) = (side(runs(100, 1.0)), side(runs(100, 0.998)));
    let made = compared(&a, &b);
    let excused = judged("per_s >= baseline", &made);
    assert!(
        excused.is_kept && excused.is_close && excused.words().contains("no difference"),
        "{}",
        excused.words()
    );
    assert!(!judged("per_s > 1.05 * baseline", &made).is_kept, "better was asked, and is not seen");
}

#[test]
fn nothing_passes_a_gate_in_silence() {
    let (a, b) = (side(runs(100, 1.0)), side(runs(100, 1.0)));
    let made = compared(&a, &b);
    assert!(judged("makespan < 1h", &made).words().contains("`makespan_ns` was not measured"));
    let nobody = Gate { case: Some("mio-*".to_owned()), rule: "p99 < 1h".parse().unwrap() };
    let judgement = judge(&[nobody], &made.subjects(), false).remove(0);
    assert!(!judgement.is_kept && judgement.why == "no case is named `mio-*`");

    let other = side(runs(1000, 1.0));
    let both = side([runs(100, 1.0), runs(1000, 1.0)].concat());
    let made = compared(&other, &both);
    let judgements = judge(&gates(&["per_s > 0.5 * baseline"]), &made.subjects(), false);
    assert_eq!(judgements.iter().map(|j| j.is_kept).collect::<Vec<_>>(), [false, true]);
    assert_eq!(judgements[0].why, "the baseline has no such case");

    let invalid = side(edited(runs(100, 1.0), unsteady));
    let judgement = |allow| judge(&gates(&["p99 < 1h"]), &invalid.subjects(), allow).remove(0);
    assert_eq!(judgement(false).words(), "breached: unsteady: it drifted");
    assert!(judgement(true).is_kept);

    let missing = Side { missing: vec!["mio-c5".to_owned()], ..side(runs(100, 1.0)) };
    let judgements = judge(&gates(&["p99 < 1h"]), &missing.subjects(), false);
    assert_eq!(judgements[1].words(), "breached: planned, but it has no result");
}

#[test]
fn a_count_is_judged_by_its_worst_run() {
    let mut results = runs(100, 1.0);
    results[2].connections.opened = 99;
    unsteady(&mut results[2]);
    let side = side(results);
    let judgement = judge(&gates(&["opened == requested"]), &side.subjects(), false).remove(0);
    assert_eq!(judgement.words(), "99, against 100, breached: the worst of 3 runs");
}

#[test]
fn markdown_leads_with_what_differs() {
    let hostile = |r: &mut CaseResult| r.case.name = r.case.name.replace("tokio", "a|b<img src=x>@me");
    let (a, b) = (side(edited(runs(100, 1.0), hostile)), side(edited(runs(100, 0.9), hostile)));
    let made = compared(&a, &b);
    let judgements = judge(&gates(&["p99 < 1us", "opened == requested"]), &made.subjects(), false);
    let said = markdown(Some(&made), &judgements);
    assert!(said.starts_with("### brink: ") && said.contains(" worse, "), "{said}");
    assert!(
        said.contains("| **worse** |") && said.find("**worse**") < said.find("no difference |"),
        "{said}"
    );
    assert!(said.contains("| p99 &#60; 1us |") && said.contains("<details><summary>gates kept: 1"), "{said}");
    assert!(!said.contains("<img") && !said.contains("@me") && !said.contains("a|b"), "{said}");
    for row in said.lines().filter(|line| line.starts_with("| a")) {
        assert_eq!(row.matches('|').count(), 7, "{row}");
    }
    assert_eq!(said.matches("<details>").count(), said.matches("</details>").count());
}

#[test]
fn json_has_every_figure_as_a_number() {
    let (a, b) = (side(runs(100, 1.0)), side(runs(100, 0.9)));
    let made = compared(&a, &b);
    let judgements = judge(&gates(&["p99 < 1us"]), &made.subjects(), false);
    let value = json(Some(&made), &b, &judgements);
    assert_eq!(
        (value["schema"].as_str(), value["threshold_ratio"].as_f64()),
        (Some("brink.comparison/1"), Some(0.03))
    );
    let first = &value["cases"][0]["comparisons"][0];
    assert_eq!(
        (first["measure"].as_str(), first["verdict"].as_str()),
        (Some("requests.per_s"), Some("worse"))
    );
    assert!((first["ratio"]["value"].as_f64().unwrap() - 0.9).abs() < 1e-9);
    assert!(first["ratio"]["ci95"][1].as_f64().unwrap() < 1.0);
    assert_eq!(value["gates"][0]["kept"], false);
    assert_eq!(value["counts"]["worse"].as_u64().unwrap() as usize, made.counts().worse);
    let alone = json(None, &b, &judgements);
    assert!(alone["baseline"].is_null() && alone["cases"].as_array().unwrap().is_empty());
}

#[test]
fn a_gate_judges_the_figure_that_the_table_shows() {
    let (a, b) = (side(runs(100, 1.0)), side(runs(100, 0.8)[..2].to_vec()));
    let made = compared(&a, &b);
    let shown = made.contrasts().next().unwrap().1.candidate.unwrap().value;
    assert_eq!(judged("per_s > 1", &made).value, Some(shown));
}

#[test]
fn every_kind_of_comparison_keeps_to_its_schema() {
    let schema = validator("comparison");
    let keeps = |document: serde_json::Value| assert_eq!(broken(&schema, &document), [""; 0], "{document}");
    let gates: Vec<Gate> = ["p99 < 5ms", "opened == requested", "makespan < 1s", "p99 < 1.5 * baseline"]
        .map(|rule| Gate { case: None, rule: rule.parse().unwrap() })
        .into_iter()
        .chain([Gate { case: Some("none-*".to_owned()), rule: "p50 > 1us".parse().unwrap() }])
        .collect();
    let plan = run().plan;
    let other = Side::new("b", runs(100, 0.5), plan.as_ref(), vec!["x.json: not JSON".to_owned()]);
    let sides = [side(runs(100, 1.0)), side(edited(runs(100, 1.0), unsteady)), side(mixed().results), other];
    for (a, b) in sides.iter().flat_map(|a| sides.iter().map(move |b| (a, b))) {
        for options in [
            Options::default(),
            Options { allow_invalid: true, as_is: true, every_measure: true, threshold: 0.0 },
        ] {
            let made = compare(a, b, options);
            keeps(json(Some(&made), b, &judge(&gates, &made.subjects(), options.allow_invalid)));
        }
        keeps(json(None, a, &judge(&gates[..2], &a.subjects(), false)));
    }
    let mut wrong = json(None, &sides[0], &[]);
    wrong["gates"] = serde_json::json!([{ "rule": 1 }]);
    assert!(!broken(&schema, &wrong).is_empty());
}

/// What a file may hold and no run measures: figures that no interval can be reckoned of.
#[test]
fn figures_out_of_this_world_stay_numbers_or_null() {
    let huge = |r: &mut CaseResult| {
        r.requests.per_s = Some(if r.case.repeat == 1 { 1e308 } else { 1e-308 });
        let slope = r.memory_per_connection.target.user_bytes.as_mut().unwrap();
        (slope.slope, slope.ci95) = (1e308, [-1.7e308, 1.7e308]);
    };
    let (a, b) = (side(runs(100, 1.0)), side(edited(runs(100, 1.0), huge)));
    let schema = validator("comparison");
    for (a, b) in [(&a, &b), (&b, &a), (&b, &b)] {
        let made = compare(a, b, Options { every_measure: true, ..Options::default() });
        let document = json(Some(&made), b, &[]);
        assert_eq!(broken(&schema, &document), [""; 0]);
    }
}

#[test]
fn planned_repeats_without_a_result_are_said() {
    let mut plan = run().plan.unwrap();
    plan.cases = runs(100, 1.0).into_iter().chain(runs(200, 1.0)).map(|result| result.case).collect();
    let left = Side::new("b", runs(100, 1.0)[..1].to_vec(), Some(&plan), Vec::new());
    assert_eq!((left.missing.as_slice(), left.missing_runs), (["tokio-c200".to_owned()].as_slice(), 2));
    let said = left.lacks("candidate");
    assert_eq!(said.len(), 2);
    assert!(said[1].contains("2 repeats of cases that have others"), "{said:?}");
    let whole = side(runs(100, 1.0));
    let made = compared(&whole, &left);
    assert!(made.notes.contains(&said[1]), "{:?}", made.notes);
    assert!(whole.lacks("candidate").is_empty());
}

#[test]
fn of_a_name_that_is_there_twice_the_one_that_asks_the_same_is_compared() {
    let slow = Delay::Fixed(std::time::Duration::from_millis(20));
    let twice = |speed: f64| {
        let other = edited(runs(100, 0.1), |r| {
            r.case.target.delay = slow;
            r.case.load.payload_bytes += 1;
        });
        [other, runs(100, speed)].concat()
    };
    let (a, b) = (side(runs(100, 1.0)), side(twice(1.0)));
    let made = compared(&a, &b);
    assert_eq!((made.cases.len(), made.not_alike.len(), made.only_candidate.len()), (1, 0, 1));
    let gate = [Gate { case: None, rule: "p99 < 1.5 * baseline".parse().unwrap() }];
    let said: Vec<bool> = judge(&gate, &made.subjects(), false).iter().map(|j| j.is_kept).collect();
    assert_eq!(said.iter().filter(|kept| **kept).count(), 1, "the other one has no partner: {said:?}");
}

//! The text on stdout.

use brink_results::answer::{answer, answer_one, sentences};
use brink_results::schema::{CaseResult, Slope, Verdict};
use brink_results::store::RunData;

use crate::fixtures::{MODELS, at_limit, nothing_opened, result, run};

fn of(results: Vec<CaseResult>) -> RunData {
    RunData { dir: "x".into(), plan: None, results, unreadable: Vec::new() }
}

fn said(results: Vec<CaseResult>) -> String {
    sentences(&of(results)).join("\n")
}

fn with_slope(model: usize, slope: f64, ci95: [f64; 2]) -> CaseResult {
    let mut made = result(MODELS[model], 10_000);
    made.memory_per_connection.target.user_bytes = Some(Slope { slope, ci95, r2: 1.0, points: 5 });
    made
}

#[test]
fn the_whole_answer() {
    let mut run = run();
    run.results.push(at_limit());
    run.results.push(nothing_opened());
    run.results.remove(5);
    let text = answer(&run);
    let golden = include_str!("fixtures/answer.txt");
    assert!(text == golden, "the answer changed. It is now:\n{text}");
    let table = text.lines().take_while(|line| !line.starts_with("mem/conn"));
    assert!(table.map(|line| line.chars().count()).max() <= Some(155));
}

#[test]
fn nothing_and_little() {
    assert_eq!(answer(&of(Vec::new())), "Nothing was measured.\n");
    let mut none_yet = run();
    none_yet.results.clear();
    assert!(answer(&none_yet).contains("12 of 12 planned cases have no result"), "{}", answer(&none_yet));
    let one = said(vec![result(MODELS[0], 100)]);
    assert!(one.contains("mio held 100 connections."), "{one}");
    assert!(!one.contains("times") && !one.contains("ranked"), "nothing to compare with: {one}");
}

#[test]
fn memory_is_compared_only_where_intervals_are_apart() {
    let apart = said(vec![with_slope(0, 100.0, [90.0, 110.0]), with_slope(1, 500.0, [480.0, 520.0])]);
    assert!(apart.contains("threads takes 5.0 times what mio takes."), "{apart}");
    let overlapping = said(vec![with_slope(0, 100.0, [90.0, 130.0]), with_slope(1, 140.0, [120.0, 160.0])]);
    assert!(overlapping.contains("No difference seen between mio and threads"), "{overlapping}");
    let zero = said(vec![with_slope(0, 10.0, [-5.0, 25.0]), with_slope(1, 500.0, [480.0, 520.0])]);
    assert!(zero.contains("threads takes more than mio") && !zero.contains("times"), "{zero}");
}

#[test]
fn results_that_are_not_valid_are_never_compared() {
    let mut bad = with_slope(0, 100.0, [90.0, 110.0]);
    bad.validity.verdict = Verdict::ClientBound;
    bad.validity.reasons = vec!["its CPU".to_owned()];
    let text = said(vec![bad, with_slope(1, 500.0, [480.0, 520.0])]);
    assert!(!text.contains("times") && !text.contains("mio 100 B"), "{text}");
    assert!(text.contains("mio, 10,000 connections: client_bound: its CPU."), "{text}");
}

#[test]
fn unlike_loads_are_not_compared() {
    let mut other = with_slope(1, 500.0, [480.0, 520.0]);
    other.case.load.payload_bytes = 4096;
    let text = said(vec![with_slope(0, 100.0, [90.0, 110.0]), other]);
    assert!(!text.contains("times"), "{text}");
}

#[test]
fn repeats_are_told_apart_in_every_one_or_not_at_all() {
    let repeats = |model: usize, p99: [u64; 2]| {
        p99.into_iter().zip(1..).map(move |(p99, repeat)| {
            let mut made = result(MODELS[model], 100);
            made.case.repeat = repeat;
            made.case.name = format!("{}-r{repeat}", made.case.name);
            made.latency_ns.as_mut().unwrap().p99 = p99;
            made
        })
    };
    let apart = of(repeats(0, [10, 20]).chain(repeats(1, [30, 40])).collect());
    let text = sentences(&apart).join("\n");
    assert!(text.contains("mio was below threads in every repeat."), "{text}");
    assert!(answer(&apart).contains("mio-c100-r1-r2"), "rows of repeats carry the name of the case");
    let overlapping = said(repeats(0, [10, 35]).chain(repeats(1, [30, 40])).collect());
    assert!(
        overlapping.contains("No difference seen between mio and threads: their repeats"),
        "{overlapping}"
    );
}

#[test]
fn throughput_near_its_ceiling_ranks_nobody() {
    let text = said(run().results);
    assert!(text.contains("this is not a ranking"), "{text}");
    let far = |model: usize| {
        let mut made = result(MODELS[model], 100);
        made.requests.per_s = Some(5_000.0);
        made
    };
    let text = said(vec![far(0), far(1)]);
    assert!(
        text.contains("(50% of its ceiling)") && text.contains("no difference in throughput is claimed"),
        "{text}"
    );
}

#[test]
fn a_limit_is_named_with_its_end_value_and_fix() {
    let text = said(vec![at_limit()]);
    for part in [
        "limit_bound; 32,446 opened",
        "target, spawn EAGAIN",
        "kernel.pid_max = 32,768 (confirmed)",
        "sysctl -w kernel.pid_max=4194304",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
}

#[test]
fn one_result_with_all_measures_and_with_none() {
    let full = answer_one(&result(MODELS[1], 10_000));
    for part in [
        "threads: 10,000 connections, closed, engine mio",
        "verdict       valid",
        "kernel (machine, both ends)",
        "client 0.25, target 0.70",
    ] {
        assert!(full.contains(part), "`{part}` is not in {full}");
    }
    let empty = answer_one(&nothing_opened());
    assert!(empty.contains("interrupted: stopped by SIGINT") && empty.contains("latency       -"), "{empty}");
    assert!(!empty.contains("NaN"), "{empty}");
}

#[test]
fn a_label_cannot_steer_the_terminal() {
    let mut made = result(MODELS[0], 10);
    made.case.target.label = "\u{1b}[2Jx".to_owned();
    assert!(!answer(&of(vec![made.clone()])).contains('\u{1b}'));
    assert!(!answer_one(&made).contains('\u{1b}'));
}

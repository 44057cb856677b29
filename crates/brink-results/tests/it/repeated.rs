//! The answer over repeats: one row per case, medians with intervals, and nothing claimed where they touch.

use brink_results::answer::{answer, sentences, table};
use brink_results::case::Workload;
use brink_results::schema::{CaseResult, Verdict};
use brink_results::store::RunData;

use crate::fixtures::{MODELS, burst, open, result};

fn of(results: Vec<CaseResult>) -> RunData {
    RunData { dir: "x".into(), plan: None, results, unreadable: Vec::new() }
}

/// Three runs of a case, each changed by its number, from 0.
fn runs(of: impl Fn() -> CaseResult, change: impl Fn(&mut CaseResult, usize)) -> Vec<CaseResult> {
    (0..3)
        .map(|i| {
            let mut made = of();
            let base = made.case.name.trim_end_matches("-r1").to_owned();
            (made.case.repeat, made.case.name) = (i as u32 + 1, format!("{base}-r{}", i + 1));
            change(&mut made, i);
            made
        })
        .collect()
}

/// Three runs of a model at a number of connections with these p99, in microseconds.
fn with_p99(model: usize, connections: u64, p99_us: [u64; 3]) -> Vec<CaseResult> {
    runs(
        || result(MODELS[model], connections),
        |made, i| made.latency_ns.as_mut().unwrap().p99 = p99_us[i] * 1_000,
    )
}

fn with_per_s(model: usize, per_s: [f64; 3]) -> Vec<CaseResult> {
    runs(|| result(MODELS[model], 100), |made, i| made.requests.per_s = Some(per_s[i]))
}

fn about(run: Vec<CaseResult>, what: &str) -> String {
    let said = sentences(&of(run));
    said.into_iter().find(|text| text.contains(what)).unwrap_or_default()
}

#[test]
fn a_row_is_a_case_and_not_a_repeat() {
    let run = of([with_per_s(0, [9_800.0, 9_812.0, 9_830.0]), vec![result(MODELS[1], 100)]].concat());
    let rows = table::rows(&run.results);
    assert_eq!(rows.len(), 2, "{rows:?}");
    let cell = |row: usize, head: &str| {
        let at = table::HEADS.iter().position(|known| *known == head).unwrap();
        rows[row].cells[at].clone()
    };
    assert_eq!((cell(0, "target"), cell(1, "target")), ("mio".to_owned(), "threads".to_owned()));
    // Half the range of the runs stretched by 2.689 about the median: 30 / 2 * 2.689 on a scale of factors.
    assert_eq!(cell(0, "requests/s"), "9,812 ±40");
    assert_eq!((cell(0, "runs"), cell(1, "runs")), ("3".to_owned(), String::new()));
    assert!(!cell(1, "requests/s").contains('±') && cell(1, "mem/conn").contains('±'), "{:?}", rows[1]);
    let text = answer(&run);
    assert!(text.lines().next().unwrap().contains("mem/conn  runs"), "{text}");
    assert!(text.contains("medians of the valid ones"), "{text}");
    let once = answer(&of(vec![result(MODELS[0], 100), result(MODELS[1], 100)]));
    assert!(!once.lines().next().unwrap().contains("runs") && !once.contains("medians"), "{once}");
}

#[test]
fn what_is_not_valid_is_in_no_figure_and_is_told() {
    let mut three = with_per_s(0, [9_000.0, 5.0, 9_000.0]);
    three[1].validity.verdict = Verdict::Unsteady;
    three[1].validity.reasons = vec!["it moved".to_owned()];
    let text = answer(&of(three.clone()));
    assert!(text.contains("9,000 ±0") && text.contains("2 of 3 valid"), "{text}");
    assert!(text.contains("mio, 100 connections: unsteady in 1 of 3 runs: it moved."), "{text}");
    for made in &mut three {
        made.validity.verdict = Verdict::Unsteady;
    }
    let text = answer(&of(three));
    let row = text.lines().nth(1).unwrap();
    assert!(row.contains("0 of 3 valid  unsteady") && !row.contains("9,000 ±"), "{row}");
}

#[test]
fn a_count_is_held_where_every_run_held_it() {
    let mut six = runs(|| result(MODELS[0], 10_000), |_, _| ());
    six.extend(runs(|| result(MODELS[0], 1_000), |_, _| ()));
    (six[1].connections.opened, six[1].connections.failed) = (9_990, 10);
    let text = about(six, "held 1,000 connections");
    assert!(text.starts_with("mio (10,000 asked: 9,990 opened, 10 failed in 1 of 3 runs) held"), "{text}");
}

#[test]
fn differences_are_said_where_intervals_are_apart() {
    let p99 = |one: [u64; 3], other: [u64; 3]| {
        about([with_p99(0, 100, one), with_p99(1, 100, other)].concat(), "p99 latency")
    };
    let apart = p99([10_000, 10_010, 10_020], [10_200, 10_210, 10_220]);
    assert!(apart.contains("was mio 10.0 ms ±") && apart.contains("mio is below threads."), "{apart}");
    // Below in every run, and three runs are too few to say so.
    let touching = p99([10_000, 10_100, 10_200], [10_300, 10_400, 10_500]);
    let says = "No difference seen between mio 10.1 ms ±";
    assert!(touching.contains(says) && touching.contains("their intervals overlap"), "{touching}");
    let once = p99([10_000; 3], [10_200; 3]);
    assert!(once.contains("mio is below threads"), "the width of a bucket is all that is not known: {once}");
    let single = vec![result(MODELS[0], 100), result(MODELS[1], 100)];
    assert!(about(single.clone(), "p99 latency").contains("Measured once"));
    assert!(about(single, "p50 latency,").is_empty(), "single runs say no more than they did");
}

#[test]
fn rates_are_ranked_far_from_their_ceiling_alone() {
    let rate = |one: [f64; 3], other: [f64; 3]| {
        about([with_per_s(0, one), with_per_s(1, other)].concat(), "requests/s (")
    };
    let far = rate([5_000.0, 5_010.0, 5_020.0], [6_000.0, 6_010.0, 6_020.0]);
    assert!(far.contains("mio 5,010 ±27 requests/s (50% of its ceiling)"), "{far}");
    assert!(far.contains("mio is below threads."), "{far}");
    let near = rate([9_500.0, 9_501.0, 9_502.0], [9_900.0, 9_901.0, 9_902.0]);
    assert!(near.contains("this is not a ranking") && !near.contains("below"), "{near}");
    let mixed = rate([5_000.0, 5_010.0, 5_020.0], [9_900.0, 9_901.0, 9_902.0]);
    assert!(mixed.contains("Those near the ceiling are not ranked") && !mixed.contains("below"), "{mixed}");
}

#[test]
fn repeats_that_stay_behind_are_one_entry() {
    let text = about(with_per_s(2, [8_000.0, 8_500.0, 8_600.0]), "Behind what the delay allows");
    assert!(text.contains("at 100 connections (median of 3 runs) 8,500 requests/s (85%"), "{text}");
}

#[test]
fn makespans_and_connect_rates_are_compared_where_they_were_repeated() {
    let bursts = |model: usize, ms: u64| runs(|| burst(MODELS[model], "threads", ms * 1_000_000), |_, _| ());
    let text = about([bursts(0, 104), bursts(1, 140)].concat(), "all requests together took");
    assert!(text.contains("mio 104 ms ±0 ns and threads 140 ms ±0 ns. mio is below threads."), "{text}");
    let paced = |rate: Option<f64>| {
        let both = [0, 1].map(|model| {
            runs(
                || result(MODELS[model], 100),
                |made, i| {
                    made.connections.connect_per_s = Some(20_000.0 + 5_000.0 * model as f64 + i as f64);
                    made.case.load.connect_rate_per_s = rate;
                },
            )
        });
        about(both.concat(), "they opened at")
    };
    assert!(paced(None).contains("mio is below threads."), "{}", paced(None));
    assert_eq!(paced(Some(20_000.0)), "", "the rate that was asked for ranks nobody");
}

/// Models 0 and 1 at four numbers of connections, with these median p99 in tenths of a millisecond.
fn steps(p99: [[u64; 2]; 4]) -> Vec<CaseResult> {
    let counts = [10, 100, 1_000, 10_000];
    let of = |(count, both): (u64, [u64; 2])| {
        both.into_iter()
            .enumerate()
            .flat_map(move |(model, p99)| with_p99(model, count, [p99 * 100 - 1, p99 * 100, p99 * 100 + 1]))
    };
    counts.into_iter().zip(p99).flat_map(of).collect()
}

#[test]
fn a_crossover_is_said_with_the_counts_on_either_side() {
    let text = about(steps([[10, 20], [10, 20], [20, 10], [20, 10]]), "Up to");
    assert_eq!(text, "Up to 100 connections mio has a lower p99 than threads, from 1,000 on a higher one.");
    let unsure = about(steps([[20, 10], [10, 10], [10, 10], [10, 20]]), "Up to");
    let says = "Up to 10 connections threads has a lower p99 than mio, from 10,000 on a higher one; no difference seen \
                at 100 and 1,000.";
    assert_eq!(unsure, says);
    let twice = about(steps([[10, 20], [20, 10], [10, 10], [10, 20]]), "Up to");
    assert_eq!(twice.matches("Up to").count(), 2, "{twice}");
    assert_eq!(about(steps([[10, 20], [10, 10], [10, 20], [10, 10]]), "Up to"), "", "no turn");
    let mut once = steps([[10, 20], [10, 20], [20, 10], [20, 10]]);
    once.retain(|made| made.case.repeat == 1);
    assert_eq!(about(once, "Up to"), "", "single runs do not tell");
}

#[test]
fn workloads_of_their_own_have_one_row_too() {
    let three = runs(|| open(MODELS[0], 1_000.0), |made, i| made.requests.backlog_peak = [3, 7, 5][i]);
    assert!(matches!(three[0].case.load.workload, Workload::Open { .. }));
    let text = answer(&of(three));
    let at = text.find("Open loops").unwrap();
    let rows: Vec<&str> = text[at..].lines().skip(2).take_while(|line| line.starts_with("mio")).collect();
    assert!(rows.len() == 1 && rows[0].contains("  5  "), "{rows:?}");
}

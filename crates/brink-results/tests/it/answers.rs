//! The text on stdout.

use std::path::Path;

use brink_results::answer::{answer, answer_one, sentences};
use brink_results::case::Workload;
use brink_results::report;
use brink_results::schema::{CaseResult, KernelScope, Slope, Verdict};
use brink_results::store::{self, RunData};
use brink_results::verdict::{Input, judge};

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
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn nothing_and_little() {
    assert_eq!(answer(&of(Vec::new())), "Nothing was measured.\n");
    let mut none_yet = run();
    none_yet.results.clear();
    assert!(answer(&none_yet).contains("12 of 12 planned cases have no result"), "{}", answer(&none_yet));
    let one = said(vec![result(MODELS[0], 100)]);
    assert!(one.contains("mio held 100 connections, none failed. There the target had in all: mio 3 threads and 1.44 MiB of user memory."), "{one}");
    assert!(!one.contains("times") && !one.contains("ranked"), "nothing to compare with: {one}");
}

#[test]
fn memory_is_compared_only_where_intervals_are_apart() {
    let apart = said(vec![with_slope(0, 100.0, [90.0, 110.0]), with_slope(1, 500.0, [480.0, 520.0])]);
    assert!(
        apart.contains("threads takes 5.0 times (4.4 to 5.8 by the ends of the intervals) what mio takes."),
        "{apart}"
    );
    let overlapping = said(vec![with_slope(0, 100.0, [90.0, 130.0]), with_slope(1, 140.0, [120.0, 160.0])]);
    assert!(overlapping.contains("No difference seen between mio and threads"), "{overlapping}");
    assert!(!overlapping.contains("times"), "{overlapping}");
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
        text.contains("(50% of its ceiling) and threads") && text.contains("of its ceiling). Measured once"),
        "{text}"
    );
}

/// A model at 100 connections with a delay of 10 ms, with this throughput, p50 and error of its own wait.
fn behind(per_s: f64, p50: u64, own_wait: u64) -> CaseResult {
    let mut made = result(MODELS[2], 100);
    made.requests.per_s = Some(per_s);
    made.latency_ns.as_mut().unwrap().p50 = p50;
    made.delay_error_ns.as_mut().unwrap().p50 = own_wait;
    made
}

#[test]
fn who_stays_behind_the_delay_is_named_with_its_own_timer_where_that_explains_it() {
    let late = said(vec![behind(9_100.0, 11_300_000, 1_160_000)]);
    let says = "tokio at 100 connections 9,100 requests/s (91% of its ceiling), p50 11.3 ms for a delay of 10ms, \
                where the target's own wait was off by 1.16 ms (p50).";
    assert!(late.contains(says), "{late}");
    let slow = said(vec![behind(8_900.0, 10_900_000, 100_000)]);
    assert!(slow.contains("(89% of its ceiling), p50 10.9 ms for a delay of 10ms."), "{slow}");
    let kept = said(vec![behind(9_000.0, 11_000_000, 1_000_000)]);
    assert!(kept.contains("At every connection count requests/s were at least 90%"), "{kept}");
    assert!(!kept.contains("Behind what"), "{kept}");
    let mut bad = behind(4_000.0, 20_000_000, 0);
    bad.validity.verdict = Verdict::Unsteady;
    assert!(!said(vec![bad]).contains("Behind what"), "only valid results are judged by their delay");
    let mut none = behind(4_000.0, 20_000_000, 0);
    none.requests.per_s_ceiling = None;
    assert!(!said(vec![none]).contains("ceiling"), "no delay, no ceiling");
}

#[test]
fn kernel_memory_says_whose_it_is_and_what_the_threads_are_of_it() {
    let text = said(run().results);
    assert!(text.contains("of the whole machine, both ends counted together"), "{text}");
    assert!(text.contains("16.0 KiB of its figure are kernel stacks and 2.10 KiB page tables"), "{text}");
    assert_eq!(text.matches("has a thread for each connection").count(), 1, "{text}");
    let mut apart = run().results;
    for result in &mut apart {
        result.memory_per_connection.target.kernel_scope = Some(KernelScope::Machine);
    }
    assert!(said(apart).contains("of the target's whole machine (95%"));
}

#[test]
fn cpu_is_of_the_window_and_of_all_who_share_a_count() {
    let cpu =
        |results: Vec<CaseResult>| sentences(&of(results)).into_iter().find(|text| text.contains("CPU time"));
    // threads has no result at 10,000: the CPU time is that at 1,000. 0.7 CPU for 9,935 requests a second.
    let results: Vec<CaseResult> =
        run().results.into_iter().filter(|r| r.case.name != "threads-c10000-r1").collect();
    let text = cpu(results).unwrap();
    assert!(text.starts_with("At 1,000 connections") && text.contains("threads 70.5 ms"), "{text}");
    assert!(text.contains("Measured once"), "{text}");
    let mut hold = result(MODELS[0], 10);
    hold.requests.per_s = None;
    assert_eq!(cpu(vec![hold]), None, "no request in the window");
}

#[test]
fn files_that_were_left_out_are_named() {
    let mut run = run();
    run.unreadable = vec!["003-x.json: missing field `opened`".to_owned()];
    let text = answer(&run);
    assert!(text.contains("Left out: 003-x.json: missing field `opened`."), "{text}");
}

#[test]
fn a_hold_says_that_it_made_no_requests_once() {
    let mut hold = result(MODELS[0], 10);
    hold.case.load.workload = Workload::Hold { heartbeat_ns: None };
    (hold.latency_ns, hold.delay_error_ns) = (None, None);
    (hold.requests.per_s, hold.requests.per_s_ceiling) = (None, None);
    hold.validity = judge(Input { result: &hold, interrupted: None, missing: &[] });
    let text = answer_one(&hold);
    assert_eq!(text.matches("hold without heartbeat").count(), 1, "{text}");
    assert!(!text.contains("latency") && !text.contains("-/s"), "{text}");
    assert_eq!(hold.validity.reasons.len(), 1, "the result keeps its reason");
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
    let printed = answer_one(&result(MODELS[1], 10_000));
    // Where a line breaks depends on the length of figures; `verdict` and its like are columns.
    let joined = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "threads: 10,000 connections, closed, engine mio",
        "verdict valid",
        "stacks 16.0 KiB, slab 27.6 KiB; machine, both ends)",
        "kernel counted with the target's",
        "client 0.25, target 0.70",
    ] {
        assert!(joined.contains(part), "`{part}` is not in {printed}");
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

/// It asks for more than there can be: that it does not hold them is what it found, not a failure of the target.
#[test]
fn a_ceiling_is_answered_by_what_it_found() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/2026-11-21-ceilings/threads");
    let run = store::read_run(&dir).unwrap();
    let said = sentences(&run);
    assert_eq!(
        said,
        [
            "threads: 16,306 connections, then vm.max_map_count on the target. To lift it: as root: `sysctl -w \
             vm.max_map_count=88238`"
        ]
    );
    let html = report::render(&run);
    assert!(html.contains("1 result; 1 case planned") && !html.contains("0 of them valid"));
    assert!(!html.contains("hollow: not valid"), "it measured up to there");
    assert!(
        html.contains("threads: 16,306 connections, ") && !html.contains("threads: 21,977 connections, ")
    );
}

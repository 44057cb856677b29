//! What is said and drawn of open loops, bursts, churn, HTTP, foreign targets, several processes, and many targets.

use brink_results::answer::{answer, answer_one, sentences};
use brink_results::case::{Protocol, Workload};
use brink_results::schema::CaseResult;
use brink_results::store::RunData;
use brink_results::{charts, report};

use crate::drawn::{check_offline, check_well_formed, figure, names, without_script};
use crate::fixtures::{MODELS, burst, churn, foreign, many, mixed, open, result, run, several_processes};

const THROUGHPUT: &str = "Throughput against its ceiling";
const DELAY_ERROR: &str = "Delay error against connections";
const MAKESPAN: &str = "Makespan of a fixed number of requests";

fn of(results: Vec<CaseResult>) -> RunData {
    RunData { dir: "x".into(), plan: None, results, unreadable: Vec::new() }
}

/// Without line breaks, whose place depends on the length of figures.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn check_says(text: &str, parts: &[&str]) {
    let flat = flat(text);
    for part in parts {
        assert!(flat.contains(part), "`{part}` is not in {text}");
    }
}

#[test]
fn one_result_of_each_workload() {
    check_says(
        &answer_one(&open(MODELS[2], 1_000.0)),
        &[
            "tokio: 1,000 connections, open at 1,000/s (fixed), engine mio",
            "1,000/s; 4,000 due, 4,000 answered, 0 failed in 4.0 s",
            "1,000/s intended, 1,000/s completed; up to 3 waited for an idle connection, 0 never sent; late although a \
             connection was idle: p50 20.0 us, p99 60.0 us, max 400 us",
            "from when it was due",
        ],
    );
    check_says(
        &answer_one(&burst(MODELS[2], "sequential", 5_012_000_000)),
        &[
            "burst of 50 requests, engine sequential",
            "makespan 5.01 s from the first",
            "(50 waves of 100ms), 12.0 ms above it",
        ],
    );
    check_says(&answer_one(&burst(MODELS[2], "threads", 104_000_000)), &["(1 wave of 100ms)", "in 104 ms"]);
    check_says(
        &answer_one(&churn(MODELS[2])),
        &[
            "churn, engine mio",
            "38,000 times reopened",
            "each on a connection of its own",
            "from when its connection began",
        ],
    );
}

#[test]
fn one_result_of_each_kind_of_target() {
    let mut bad = foreign("nginx", 100);
    (bad.requests.failed, bad.requests.non_2xx) = (12, 12);
    let text = answer_one(&bad);
    check_says(&text, &["closed, GET /, engine mio", "12 failed, of which 12 by a status outside 200..299"]);
    assert!(!text.contains("delay off by"), "{text}");
    check_says(
        &answer_one(&several_processes(MODELS[2], 1_000, 4)),
        &["workers 4 serving processes; each 250 to 253 connections, 616 KiB of user memory"],
    );
    let mut silent = several_processes(MODELS[2], 1_000, 4);
    silent.usage.target.iter_mut().flat_map(|s| &mut s.workers).for_each(|w| w.live = None);
    check_says(&answer_one(&silent), &["workers 4 serving processes; each 616 KiB of user memory"]);
    let mut tried = result(MODELS[2], 10);
    tried.facts.target.as_mut().unwrap().work_error_ratio = Some(-0.031);
    assert!(!answer_one(&tried).contains("CPU work"), "nobody asked for any");
    tried.case.load.work_us = Some(50);
    check_says(&answer_one(&tried), &["CPU work off by -3.1% of what is asked"]);
}

#[test]
fn a_pool_of_threads_has_more_waves_than_connections_need() {
    let mut pool = burst(MODELS[2], "pool", 501_000_000);
    pool.case.load.threads = 10;
    check_says(&answer_one(&pool), &["(5 waves of 100ms)"]);
    pool.case.load.requests = None;
    assert!(!answer_one(&pool).contains("waves"), "an unknown number has no floor");
}

#[test]
fn cases_that_differ_are_never_merged() {
    let text = answer(&mixed());
    for name in [
        "mio, open, 1,000/s fixed  ",
        "mio, open, 5,000/s fixed  ",
        "tokio, burst, engine sequential  ",
        "tokio, burst, engine threads  ",
        "tokio, churn, engine mio  ",
        "nginx  ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "`{name}` begins no line of {text}");
    }
    let drawn = figure(&mixed(), THROUGHPUT).standalone();
    assert!(
        drawn.contains("mio, open, 1,000/s fixed") && drawn.contains("mio, open, 5,000/s fixed"),
        "{drawn}"
    );
    // A delay that grows with the connections is a step of one question, and no name.
    assert!(!answer(&run()).contains("delay 1ms"));
    let mut slower = result(MODELS[0], 100);
    slower.case.name = "slower".to_owned();
    slower.case.target.delay = "20ms".parse().unwrap();
    check_says(&answer(&of(vec![result(MODELS[0], 100), slower])), &["mio, delay 10ms", "mio, delay 20ms"]);
}

#[test]
fn loads_are_compared_each_by_itself() {
    let said = sentences(&mixed());
    let head =
        said.iter().position(|s| s == "Under the load open, frame, engine mio, 1,000/s fixed:").unwrap();
    assert!(said[head + 1].contains("tokio takes") && !said[head + 1].contains("nginx"), "{said:?}");
    let alone = "Under the load open, frame, engine mio, 5,000/s fixed:";
    assert!(!said.iter().any(|s| s == alone), "one target has nothing to be compared with: {said:?}");
    assert!(said.iter().any(|s| s.contains("which ranks nobody")), "{said:?}");
}

/// Servers on hosts of their own are asked the same.
#[test]
fn the_host_does_not_keep_targets_apart() {
    let mut other = foreign("caddy", 100);
    let Protocol::Http { host, .. } = &mut other.case.load.protocol else { panic!("not HTTP") };
    *host = "127.0.0.1:9090".to_owned();
    let said = sentences(&of(vec![foreign("nginx", 100), other])).join("\n");
    assert!(said.contains("No difference seen between caddy and nginx"), "{said}");
}

#[test]
fn engines_that_ask_the_same_stand_side_by_side() {
    let asked_by = |engine: &str, repeat: u32, p50: u64| {
        let mut made = result(MODELS[2], 100);
        made.case.name = format!("tokio-{engine}-r{repeat}");
        made.case.repeat = repeat;
        made.case.load.engine = engine.to_owned();
        made.latency_ns.as_mut().unwrap().p50 = p50;
        made
    };
    let both = vec![
        asked_by("mio", 1, 10_100_000),
        asked_by("mio", 2, 10_400_000),
        asked_by("tokio", 1, 10_200_000),
    ];
    let text = answer(&of(both.clone()));
    check_says(&text, &["target and load conns mio tokio", "tokio, closed 100 10.2 ms ±"]);
    assert!(report::render(&of(both.clone())).contains("By engine"));
    let mut unlike = both;
    unlike[2].case.load.payload_bytes = 1;
    assert!(!answer(&of(unlike)).contains("different engines"), "another load");
}

#[test]
fn delay_error_is_compared_where_several_say() {
    let text = answer(&many());
    let at = text.find("How far a target's own wait was off").unwrap();
    let table: Vec<&str> = text[at..].lines().take(16).collect();
    check_says(table[1], &["target 10 conns 100 conns 1,000 conns 10,000 conns"]);
    check_says(table[2], &["hyper 20.0 us/60.0 us 20.1 us/60.3 us"]);
    assert!(
        text[at..].contains("counts whole milliseconds and rounds up: tokio, tokio-local and hyper."),
        "{text}"
    );
    assert!(!text[at..].lines().take(16).any(|line| line.starts_with("tokio-blocking")), "it is not valid");
    assert!(
        !answer(&of(vec![result(MODELS[0], 10)])).contains("How far a target's own"),
        "one is no comparison"
    );
    let error = figure(&many(), DELAY_ERROR);
    let panels = error.inline();
    assert_eq!(panels.len(), 2);
    assert!(panels[0].contains("p50") && panels[1].contains("p99") && names(&error).contains("py-threading"));
    assert!(charts::all(&of(vec![foreign("nginx", 10)])).figure(DELAY_ERROR).is_none(), "nobody says");
}

#[test]
fn what_many_loads_are_seen_against_is_neither_joined_nor_listed() {
    let asked = |run: &RunData| figure(run, "Latency against connections");
    let dashes = |panel: &str| panel.matches("stroke-dasharray=\"6 4\"").count();
    assert!(names(&asked(&mixed())).contains("asked delay"), "{}", names(&asked(&mixed())));
    assert_eq!(dashes(&asked(&mixed()).inline()[0]), 0);
    assert_eq!(dashes(&asked(&run()).inline()[0]), 1, "the delay of the steps of one load is a line");
    let throughput = names(&figure(&mixed(), THROUGHPUT));
    assert!(throughput.contains("ceiling, each in its colour"), "{throughput}");
    assert!(!throughput.contains("churn ceiling"), "{throughput}");
    let error = figure(&mixed(), DELAY_ERROR);
    assert!(!names(&error).contains("nginx"), "it does not say");
}

#[test]
fn makespans_are_drawn_with_their_floor() {
    let drawn = figure(&mixed(), MAKESPAN);
    assert!(names(&drawn).contains("least by arithmetic"), "{}", names(&drawn));
    for part in ["5.01 s", ">tokio, burst, engine threads</text>", "requests / connections: 50 / 50"] {
        assert!(drawn.inline()[0].contains(part), "`{part}` is not in {}", drawn.inline()[0]);
    }
    assert!(charts::all(&run()).figure(MAKESPAN).is_none());
}

#[test]
fn many_targets_stay_readable() {
    let text = answer(&many());
    let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 100).collect();
    assert!(wide.is_empty(), "{wide:?}");
    assert!(text.contains("hyper < threads < tokio-local"), "{text}");
    assert!(text.contains("all 13 completed 98% to 100% of their ceiling"), "{text}");
    assert!(text.contains("tokio-local at 10 connections (59%)"), "{text}");
    let paragraphs = sentences(&many());
    assert!(paragraphs.iter().all(|p| p.chars().count() < 1_200), "{paragraphs:#?}");
}

#[test]
fn reports_of_everything_are_whole() {
    let mut silent = mixed();
    for made in &mut silent.results {
        (made.latency_ns, made.delay_error_ns, made.makespan_ns, made.schedule_lag_ns) =
            (None, None, None, None);
        (made.requests.per_s, made.requests.per_s_ceiling) = (None, None);
        made.usage.target.clear();
    }
    for run in [many(), mixed(), silent, of(vec![burst(MODELS[2], "tokio", 101_500_000)])] {
        let html = report::render(&run);
        check_well_formed(&without_script(&html), &["meta"]);
        check_offline(&html);
        let page = without_script(&html);
        assert!(!page.contains("NaN") && !page.contains("could not be drawn"));
        charts::all(&run).each().for_each(|figure| check_well_formed(&figure.standalone(), &[]));
        assert!(!answer_one(&run.results[0]).contains("NaN"));
    }
    let html = report::render(&mixed());
    for part in
        ["By workload", "Delay fidelity", "Per worker", "Makespan of a fixed number", "Delay error against"]
    {
        assert!(html.contains(part), "{part}");
    }
    assert!(!report::render(&run()).contains("Per worker"), "no target has several processes");
}

#[test]
fn a_hold_beside_a_closed_loop_keeps_its_name() {
    let mut hold = result(MODELS[0], 100);
    hold.case.load.workload = Workload::Hold { heartbeat_ns: None };
    let text = answer(&of(vec![hold, result(MODELS[0], 100)]));
    check_says(&text, &["mio, hold", "mio, closed"]);
}

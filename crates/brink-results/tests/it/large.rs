//! A run of 500 cases, each with the samples of a real one: what its report weighs. Shared with `examples/`.

use std::path::{Path, PathBuf};

use brink_results::schema::{CaseResult, Confidence, End, FailurePoint, Slope, Verdict};
use brink_results::store::RunData;

/// Cases in all.
pub const CASES: usize = 500;
const COUNTS: [u64; 8] = [10, 30, 100, 300, 1_000, 3_000, 10_000, 20_000];

/// A committed result of 10,000 connections, with all its samples.
fn real() -> CaseResult {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/2026-11-21-quick/007-tokio-c10000-r1.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// 500 results of so many repeats of each case, all of them different.
pub fn run(repeats: usize) -> RunData {
    let real = real();
    let results = (0..CASES).map(|i| varied(&real, i / repeats, (i % repeats) as u32 + 1)).collect();
    RunData { dir: PathBuf::from("results"), plan: None, results, unreadable: Vec::new() }
}

/// A factor about 1 that looks like chance and is the same every time.
fn about(seed: u64) -> f64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    0.95 + 0.1 * (mixed >> 11) as f64 / (1u64 << 53) as f64
}

fn varied(real: &CaseResult, case: usize, repeat: u32) -> CaseResult {
    let mut made = real.clone();
    let (target, connections) = (case / COUNTS.len(), COUNTS[case % COUNTS.len()]);
    let seed = case as u64 * 97 + u64::from(repeat);
    let by = |value: f64, salt: u64| value * about(seed * 31 + salt) * (1.0 + target as f64 / 9.0);
    let whole = |value: u64, salt: u64| by(value as f64, salt) as u64;
    let share = connections as f64 / 10_000.0;
    made.case.target.label = format!("server-{target:02}");
    made.case.name = format!("server-{target:02}-c{connections}-r{repeat}");
    (made.case.repeat, made.case.load.connections) = (repeat, connections);
    (made.connections.requested, made.connections.opened) = (connections, connections);
    made.connections.connect_per_s = made.connections.connect_per_s.map(|v| by(v, 1));
    made.requests.per_s = made.requests.per_s.map(|v| by(v, 2) * share);
    made.requests.per_s_ceiling = Some(10_000.0);
    let latency = made.latency_ns.as_mut().unwrap();
    for (salt, value) in
        [&mut latency.p50, &mut latency.p90, &mut latency.p99, &mut latency.p999, &mut latency.max]
            .into_iter()
            .enumerate()
    {
        *value = whole(*value, 3 + salt as u64);
    }
    for (place, plateau) in made.memory_per_connection.plateaus.iter_mut().enumerate() {
        plateau.connections = (connections * (place as u64 + 1) / 8).max(place as u64 + 1);
        plateau.client.user_bytes = plateau.client.user_bytes.map(|v| whole(v, 20 + place as u64));
        if let Some(end) = &mut plateau.target {
            end.user_bytes = end.user_bytes.map(|v| whole(v, 40 + place as u64));
        }
    }
    let slope = |s: &mut Option<Slope>, salt| {
        if let Some(s) = s {
            s.slope = by(s.slope, salt);
            s.ci95 = [0.9 * s.slope, 1.1 * s.slope];
        }
    };
    slope(&mut made.memory_per_connection.target.user_bytes, 60);
    slope(&mut made.memory_per_connection.client.user_bytes, 61);
    for (place, sample) in made.usage.client.iter_mut().enumerate() {
        sample.user_bytes = sample.user_bytes.map(|v| whole(v, 100 + place as u64));
        sample.live = sample.live.map(|v| (v as f64 * share) as u64);
        sample.latency_p99_ns = sample.requests.map(|_| whole(1_002_000_000, 200 + place as u64));
    }
    for (place, sample) in made.usage.target.iter_mut().enumerate() {
        sample.user_bytes = sample.user_bytes.map(|v| whole(v, 300 + place as u64));
    }
    for limit in
        made.facts.client.limits.iter_mut().chain(made.facts.target.iter_mut().flat_map(|t| &mut t.limits))
    {
        limit.used = limit.used.map(|used| used + seed);
    }
    made.validity.reasons.push(format!("memory_per_connection: seen at rest after {seed} ms"));
    if case.is_multiple_of(7) {
        gives_way(&mut made, seed);
    }
    made
}

fn gives_way(made: &mut CaseResult, seed: u64) {
    made.validity.verdict = Verdict::LimitBound;
    made.validity.reasons.push(format!("{seed} connections failed: accept EMFILE"));
    made.failure_point = Some(FailurePoint {
        at_connections: made.connections.opened - made.connections.opened / 10,
        predicted_at: Some(made.connections.opened),
        end: End::Target,
        phase: "accept".to_owned(),
        errno: "EMFILE".to_owned(),
        limit: "rlimit.nofile".to_owned(),
        limit_value: Some(20_000),
        confidence: Confidence::Confirmed,
        evidence: vec![
            format!("{seed} of 20,000 descriptors in use"),
            "accept4 failed with EMFILE".to_owned(),
        ],
        fix: Some("ulimit -n 40000".to_owned()),
        lasting: Some("echo '* - nofile 40000' >> /etc/security/limits.conf".to_owned()),
    });
}

#[test]
fn five_hundred_cases_weigh_less_than_three_megabytes() {
    for each in [1, 3] {
        let run = run(each);
        let html = brink_results::report::render(&run);
        let megabytes = html.len() as f64 / 1e6;
        assert!(megabytes < 3.0, "{megabytes} MB with {each} repeats");
        assert!(html.contains("server-00") && html.matches("<svg").count() > 50, "it is a whole report");
        let cases = brink_results::repeats::repeats(&run.results).len();
        assert_eq!(cases, CASES.div_ceil(each));
    }
}

/// Many more targets than plots can tell apart: they show the first ones and say so, and the table has all.
#[test]
fn what_no_plot_can_keep_apart_is_said() {
    let html = brink_results::report::render(&run(1));
    let left_out = CASES.div_ceil(COUNTS.len()) - brink_results::charts::NAMES_MAX;
    assert!(html.contains(&format!("{left_out} more are in the table only")), "of {} targets", CASES / 8);
    assert!(html.contains("server-62") && !html.contains("<title>server-62"));
}

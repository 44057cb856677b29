//! A second load of the target while the first is measured: what it does to the others, and what becomes of it where it
//! cannot be as asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;

use serde_json::Value;

use crate::program::{brink, run, stdout};

/// One `brink load` with these flags: its exit code and its result.
fn load(flags: &str, background: &str) -> (Option<i32>, Value) {
    let mut args = vec!["load", "--warmup", "0s", "--format", "json", "--background", background];
    args.extend(flags.split_whitespace());
    let output = run(&args);
    let said = String::from_utf8_lossy(&output.stderr);
    let result = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    (output.status.code(), result)
}

fn reasons(result: &Value) -> String {
    result["validity"]["reasons"].to_string()
}

/// Runs for a second; longer where a busy machine left the background less than two requests. Tells how long, too.
fn load_beside(model: &str, background: &str) -> (u64, Value) {
    let mut seconds = 1;
    loop {
        let (_, result) = load(&format!("-c 4 --rate 100 -d {seconds}s --model {model}"), background);
        let completed = result["background"]["requests"]["completed"].as_u64().unwrap();
        if completed >= 2 || seconds > 10 {
            return (seconds, result);
        }
        seconds *= 4;
    }
}

/// What the others waited: at most, in the end and as it was seen live, and half of them.
fn waited(model: &str, background: &str) -> (u64, u64, u64) {
    let (seconds, result) = load_beside(model, background);
    let seen = &result["background"];
    assert_eq!(seen["connections"]["opened"], 1, "{model}: {seen}");
    assert!(seen["requests"]["completed"].as_u64().unwrap() >= 2, "{model}: {seen}");
    assert!(seen["latency_ns"]["p50"].as_u64().unwrap() >= 250_000_000, "{model}: {seen}");
    // Neither its connections nor its requests are the load's.
    assert_eq!(result["connections"]["opened"], 4);
    assert!(result["requests"]["intended"].as_u64().unwrap() <= 100 * seconds);
    let samples = result["usage"]["client"].as_array().unwrap();
    let live = samples.iter().filter_map(|s| s["latency_p99_ns"].as_u64()).max().unwrap();
    let [max, p50] = ["max", "p50"].map(|name| result["latency_ns"][name].as_u64().unwrap());
    (max, live, p50)
}

#[test]
fn the_others_wait_where_one_thread_serves_all_and_not_where_each_has_its_own() {
    for (model, background) in
        [("tokio-blocking", "rate=2,delay=300ms"), ("tokio-local", "rate=2,work=300ms")]
    {
        // Most of one block, however busy the machine is.
        let (max, live, _) = waited(model, background);
        assert!(max > 200_000_000 && live > 100_000_000, "{model}: {max} {live}");
    }
    for model in ["threads", "tokio-offload"] {
        let (_, _, p50) = waited(model, "rate=2,delay=300ms");
        assert!(p50 < 100_000_000, "{model}: {p50}");
    }
}

#[test]
fn it_is_there_during_a_burst_and_ends_with_it() {
    let (code, result) =
        load("--workload burst -n 30 -c 10 --model tokio --delay 50ms", "connections=3,think=5ms");
    // 5: measured, on a machine that others disturbed.
    assert!([Some(0), Some(5)].contains(&code), "{code:?}: {}", reasons(&result));
    assert!(result["makespan_ns"].as_u64().unwrap() >= 150_000_000);
    let seen = &result["background"]["requests"];
    assert!(seen["completed"].as_u64().unwrap() > 10 && seen["failed"] == 0, "{seen}");
    assert!(seen["window_s"].as_f64().unwrap() < 5.0, "{seen}");
}

#[test]
fn it_does_not_count_in_the_plateaus() {
    let (_, result) =
        load("-c 20 -d 300ms --model tokio --rate 50", "connections=30,engine=threads,think=10ms");
    let plateaus = result["memory_per_connection"]["plateaus"].as_array().unwrap();
    let live = plateaus.last().unwrap()["target"]["live"].as_u64();
    assert_eq!(live, Some(20));
    let most = result["usage"]["target"].as_array().unwrap().iter().filter_map(|s| s["live"].as_u64()).max();
    assert_eq!(most, Some(50), "both, while it is measured");
}

#[test]
fn one_that_is_refused_is_a_reason_with_its_limit() {
    let flags = "-c 10 -d 200ms --model mio --max-connections 12";
    let refused = run(&[
        "load",
        "-c",
        "10",
        "--model",
        "mio",
        "--max-connections",
        "12",
        "--background",
        "connections=5",
    ]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("carries 12 of 15 connections"), "{said}");
    let (code, result) = load(&format!("{flags} --no-preflight"), "connections=5,timeout=1s");
    assert_eq!((code, &result["validity"]["verdict"]), (Some(1), &"limit_bound".into()), "{result:#}");
    assert!(reasons(&result).contains("background: 2 of 5 connections opened"), "{}", reasons(&result));
    assert_eq!(result["failure_point"]["limit"], "target.max_connections");
    assert_eq!((&result["connections"]["opened"], &result["connections"]["failed"]), (&10.into(), &0.into()));
}

#[test]
fn a_rate_that_nobody_can_serve_ends_in_time_and_is_said() {
    let (code, result) = load("-c 2 -d 300ms --model tokio --rate 50", "connections=1,rate=100k,delay=10ms");
    assert_eq!(code, Some(5), "{}", reasons(&result));
    assert!(reasons(&result).contains("background: it did not keep its rate"), "{}", reasons(&result));
    let seen = &result["background"]["requests"];
    let [intended, completed, failed, not_sent] =
        ["intended", "completed", "failed", "not_sent"].map(|name| seen[name].as_u64().unwrap());
    assert_eq!(intended, completed + failed + not_sent, "{seen}");
    assert!(not_sent > 1_000, "{seen}");
}

/// Anybody's echo server that closes its port, and every connection, when it gets its third.
fn three_and_out() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut held: Vec<TcpStream> = Vec::new();
        // The probe is the first.
        for stream in listener.incoming().take(4) {
            let mut stream = stream.unwrap();
            held.push(stream.try_clone().unwrap());
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..len]).is_err() {
                        return;
                    }
                }
            });
        }
        drop(listener);
        held.iter().for_each(|stream| drop(stream.shutdown(std::net::Shutdown::Both)));
    });
    address
}

#[test]
fn a_target_that_goes_away_under_it_fails_both() {
    let flags = format!("--target {} -c 2 -d 300ms --timeout 1s", three_and_out());
    let (code, result) = load(&flags, "connections=3");
    assert_eq!((code, &result["validity"]["verdict"]), (Some(1), &"failed".into()));
    assert!(reasons(&result).contains("background: "), "{}", reasons(&result));
    let counts = &result["background"]["connections"];
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert_eq!(count("requested"), count("opened") + count("failed") + count("not_attempted"), "{counts}");
    assert_eq!(count("opened"), count("closed_early") + count("live_at_end"), "{counts}");
}

#[test]
fn a_signal_ends_both_and_what_there_is_is_written() {
    let mut child = brink()
        .args(["load", "-c", "5", "-d", "60s", "--warmup", "0s", "--model", "tokio", "--format", "json"])
        .args(["--background", "connections=2,delay=30s,timeout=60s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("window")), "it came as far as its window");
    thread::spawn(move || lines.for_each(drop));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["interrupted"], true);
    assert_eq!(result["background"]["connections"]["opened"], 2);
    assert_eq!(
        result["background"]["requests"]["failed"], 0,
        "what was under way is given up, and no failure"
    );
}

#[test]
fn it_is_told_and_a_sweep_file_has_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("s.toml"), dir.path().join("run"));
    let text = "name = \"s\"\nrepeats = 1\n[[target]]\nmodel = \"tokio\"\n[load]\nconnections = 5\nrate = 100\n\
                warmup = \"0s\"\nduration = \"300ms\"\n[load.background]\nthink = \"10ms\"\nconnections = 2\n";
    std::fs::write(&file, text).unwrap();
    let plan: Value = serde_json::from_str(&stdout(&["plan", file.to_str().unwrap()], 0)).unwrap();
    assert_eq!(plan["cases"][0]["load"]["background"]["connections"], 2);
    let output = run(&["sweep", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("Beside another load of the same target"), "{said}");
    let wrong = run(&["load", "--background", "rat=2"]);
    assert_eq!(wrong.status.code(), Some(2));
    let line = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        line.contains("--background") && line.contains("did you mean `rate`?") && line.lines().count() == 1,
        "{line}"
    );
}

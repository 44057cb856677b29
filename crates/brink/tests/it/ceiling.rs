//! `brink ceiling`: what it finds, how it ends, and that the target lives on. What needs root is in the drills.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::program::{Target, run, stdout};

const QUICK: [&str; 8] = ["--hold", "200ms", "--heartbeat", "50ms", "--timeout", "500ms", "--format", "json"];

fn ceiling(args: &[&str]) -> Value {
    let args: Vec<&str> = ["ceiling"].iter().chain(args).chain(&QUICK).copied().collect();
    serde_json::from_str(&stdout(&args, 0)).unwrap()
}

#[track_caller]
fn gave_way(result: &Value, limit: &str, end: &str, at: u64) {
    let point = &result["failure_point"];
    let seen = (point["limit"].as_str().unwrap(), point["end"].as_str().unwrap());
    assert_eq!((seen, point["at_connections"].as_u64()), ((limit, end), Some(at)), "{point:#}");
    assert_eq!(result["ceiling"]["at_connections"], at);
    assert!(point["evidence"].as_array().unwrap().iter().all(Value::is_string));
    let c = &result["connections"];
    let sum = |names: &[&str]| names.iter().map(|name| c[*name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(c["requested"], sum(&["opened", "failed", "not_attempted"]), "{c}");
    assert_eq!(c["opened"], sum(&["closed_early", "live_at_end"]), "{c}");
}

fn lives_on(result: &Value) {
    let (held, after) = (&result["ceiling"]["held"], &result["ceiling"]["after"]);
    assert_eq!((&held["failed"], &held["closed_early"]), (&0.into(), &0.into()), "{held}");
    assert!(held["heartbeats"].as_u64().unwrap() > 0, "{held}");
    assert_eq!((&after["alive"], &after["serving"]), (&true.into(), &true.into()), "{after}");
    assert_eq!(after["left"].as_u64().unwrap_or(0), 0, "{after}");
}

#[test]
fn a_bound_of_the_targets_own_is_met_exactly_where_it_was_predicted() {
    let result = ceiling(&["--model", "mio", "--max-connections", "70", "--stop-at", "300"]);
    gave_way(&result, "target.max_connections", "target", 70);
    assert_eq!(result["predicted"]["at_connections"], 70);
    assert_eq!(result["failure_point"]["predicted_at"], 70);
    assert!(result["failure_point"]["fix"].as_str().unwrap().contains("--max-connections"));
    assert!(result["failure_point"]["lasting"].is_string());
    let climbs = result["ceiling"]["climbs"].as_array().unwrap();
    assert_eq!(climbs.len(), 2, "{climbs:?}");
    assert!(climbs.iter().all(|climb| climb["connections"] == 70) && climbs[1]["fine_from"] == 6);
    lives_on(&result);
}

#[test]
fn a_pool_starves_who_comes_late() {
    let result = ceiling(&["--model", "pool", "--target-threads", "9", "--stop-at", "40"]);
    gave_way(&result, "target.pool_workers", "target", 9);
    assert_eq!(
        (&result["failure_point"]["errno"], &result["predicted"]["at_connections"]),
        (&"timeout".into(), &9.into())
    );
    lives_on(&result);
}

#[test]
fn where_nothing_gives_way_it_stops_and_blames_nothing() {
    for engine in ["mio", "tokio", "threads", "pool", "sequential"] {
        let result = ceiling(&["--model", "tokio", "--engine", engine, "--stop-at", "60"]);
        assert_eq!(result["failure_point"], Value::Null, "{engine}");
        assert_eq!(result["ceiling"]["stopped_by"], "stop_at");
        assert_eq!(
            (&result["ceiling"]["at_connections"], &result["connections"]["opened"]),
            (&60.into(), &60.into())
        );
        lives_on(&result);
    }
}

#[test]
fn descriptors_of_both_ends_are_counted_to_the_last() {
    for engine in ["mio", "threads"] {
        // Lowering its own limit is anybody's right.
        let program = env!("CARGO_BIN_EXE_brink");
        let script = format!(
            "ulimit -n 150; exec {program} ceiling --model threads --engine {engine} {}",
            QUICK.join(" ")
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let point = &result["failure_point"];
        assert_eq!((&point["limit"], &point["confidence"]), (&"rlimit.nofile".into(), &"confirmed".into()));
        let (seen, said) = (&point["at_connections"], &result["predicted"]["at_connections"]);
        assert!(seen.as_u64().unwrap().abs_diff(said.as_u64().unwrap()) <= 3, "{said} said, {seen} seen");
        lives_on(&result);
    }
}

#[test]
fn a_running_target_keeps_what_others_hold() {
    let target = Target::start(&["--model", "mio", "--max-connections", "50"]);
    let mut others: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(target.address()).unwrap()).collect();
    let result = ceiling(&["--target", target.address(), "--control", target.control(), "--stop-at", "200"]);
    gave_way(&result, "target.max_connections", "target", 40);
    assert_eq!(result["predicted"]["at_connections"], 40, "ten are there already");
    lives_on(&result);
    for other in &mut others {
        other.set_nonblocking(true).unwrap();
        assert!(other.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    }
}

#[test]
fn a_target_that_crashes_is_the_finding() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Anybody's echo server, in this process, which is therefore the target's: it stops after 25 connections.
    let served = thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().take(26) {
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
        held
    });
    let result = ceiling(&["--target", &address, "--stop-at", "200"]);
    drop(served.join().unwrap());
    let point = &result["failure_point"];
    assert_eq!((&point["limit"], &point["errno"]), (&"unknown".into(), &"ECONNREFUSED".into()), "{point:#}");
    // The probe took one.
    assert_eq!(result["ceiling"]["at_connections"], 25);
    assert_eq!(result["ceiling"]["after"]["serving"], false);
}

#[test]
fn a_way_up_that_takes_too_long_is_given_up() {
    let slow = ["--connect-rate", "20", "--climb-within", "300ms", "--stop-at", "10000"];
    let result = ceiling(&slow);
    assert_eq!((&result["ceiling"]["stopped_by"], &result["failure_point"]), (&"time".into(), &Value::Null));
    assert!(result["ceiling"]["at_connections"].as_u64().unwrap() < 10_000);
}

#[test]
fn it_says_it_in_words() {
    let words = ["--model", "mio", "--max-connections", "30", "--stop-at", "90", "--hold", "100ms"];
    let args: Vec<&str> = ["ceiling"].iter().chain(&words).copied().collect();
    let text = stdout(&args, 0);
    for part in [
        "mio: 30 connections, then target.max_connections on the target",
        "gave way      at 30 connections: target, accept max_connections",
        "limit         target.max_connections = 30 (confirmed)",
        "exactly that",
        "to lift it    start the target with `--max-connections",
        "for good",
        "the target lives, has let go of all, and serves",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    let is_command = |line: &&str| line.starts_with("  to lift it") || line.starts_with("  for good");
    assert!(text.lines().filter(|line| !is_command(line)).all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_result_is_written_and_can_be_reported() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let result = ceiling(&["--model", "mio", "--max-connections", "20", "--stop-at", "60", "-o", out]);
    gave_way(&result, "target.max_connections", "target", 20);
    let page = std::fs::read_to_string(format!("{out}/report.html")).unwrap();
    assert!(page.contains("<h2>Ceiling</h2>") && page.contains("lives, has let go of all"), "{page}");
    assert!(page.contains("target.max_connections"));
    assert_eq!(run(&["report", out]).status.code(), Some(0));
    let again = run(&["ceiling", "--model", "mio", "-o", out]);
    assert_eq!(again.status.code(), Some(2), "the folder is taken");
}

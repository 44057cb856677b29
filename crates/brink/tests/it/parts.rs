//! `--processes` of the client: several processes that are one load.

use std::process::Stdio;

use brink_results::schema::{CaseResult, Verdict};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::{brink, is_running, run, within_ten_seconds};

/// Processes that a process has started which are parts of a load.
fn parts_of(pid: u32) -> Vec<u32> {
    let of = |entry: std::fs::DirEntry| {
        let child: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok()?;
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        (parent == pid && line.contains("run-part")).then_some(child)
    };
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| of(entry.ok()?)).collect()
}

#[test]
fn several_processes_are_one_load() {
    for workload in [&["--workload", "hold", "--heartbeat", "100ms"][..], &["-r", "500"], &["-n", "200"]] {
        let flags = ["load", "--model", "mio", "-c", "40", "--processes", "3", "--format", "json"];
        let window: &[&str] = if workload[0] == "-n" { &[] } else { &["-d", "400ms", "--warmup", "0s"] };
        let output = run(&[&flags[..], workload, window].concat());
        let result: CaseResult = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result.case.load.processes, 3);
        assert_eq!((result.connections.opened, result.connections.live_at_end), (40, 40), "{workload:?}");
        assert_eq!((result.requests.failed, result.failures.len()), (0, 0), "{workload:?}");
        assert!(result.requests.completed >= 100, "{workload:?} {:?}", result.requests);
        assert_eq!(result.latency_ns.unwrap().count, result.requests.completed);
        let client = result.usage.client.iter().find(|sample| sample.live == Some(40)).unwrap();
        // The conducting one has its own, and one for each part.
        assert!(client.threads.unwrap() >= 3 * 3 && client.cpu_s.is_some());
    }
}

#[test]
fn a_process_of_the_client_that_is_killed_is_told_and_leaves_nobody() {
    let load = brink()
        .args(["load", "--model", "mio", "-c", "30", "--processes", "3", "--workload", "hold"])
        .args(["--heartbeat", "100ms", "-d", "30s", "--warmup", "0s", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut parts = Vec::new();
    within_ten_seconds("three parts run", || {
        parts = parts_of(load.id());
        parts.len() == 3
    });
    kill_process(Pid::from_raw(parts[1] as i32).unwrap(), Signal::KILL).unwrap();
    let output = load.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let result: CaseResult = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result.validity.verdict, Verdict::Failed);
    let reasons = result.validity.reasons.join("; ");
    assert!(reasons.contains("a process of the client died: signal: 9 (SIGKILL)"), "{reasons}");
    let connections = &result.connections;
    assert_eq!(connections.requested, connections.opened + connections.failed + connections.not_attempted);
    assert_eq!(connections.opened, connections.closed_early + connections.live_at_end);
    within_ten_seconds("nobody is left", || parts.iter().all(|&pid| !is_running(pid.into())));
}

#[test]
fn they_end_with_the_process_that_conducts() {
    let mut load = brink()
        .args(["load", "--model", "mio", "-c", "30", "--processes", "2", "--workload", "hold", "-d", "30s"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut parts = Vec::new();
    within_ten_seconds("two parts run", || {
        parts = parts_of(load.id());
        parts.len() == 2
    });
    load.kill().unwrap();
    load.wait().unwrap();
    within_ten_seconds("the parts have ended", || parts.iter().all(|&pid| !is_running(pid.into())));
}

#[test]
fn auto_makes_as_many_as_the_limit_of_descriptors_needs() {
    let line = "ulimit -n 300 && exec \"$0\" load --model mio -c 1000 --processes auto --target-processes auto \
        --workload hold -d 100ms --warmup 0s --format json";
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", line, env!("CARGO_BIN_EXE_brink")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let result: CaseResult = serde_json::from_slice(&output.stdout).unwrap();
    let (client, target) = (result.case.load.processes, result.case.target.processes);
    assert!((4..=5).contains(&client) && (5..=7).contains(&target), "{client} {target}: {said}");
    assert_eq!((result.connections.opened, result.failures.len()), (1000, 0), "{said}");
    let one =
        run(&["load", "--model", "mio", "-c", "50", "--processes", "auto", "-d", "50ms", "--format", "json"]);
    let one: CaseResult = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!((one.case.load.processes, one.case.target.processes), (1, 1), "no more than are needed");
}

#[test]
fn what_cannot_be_split_is_a_usage_error_with_its_flag() {
    for (flags, why) in [
        (
            &["load", "--engine", "threads", "--processes", "2"][..],
            "--processes: the engine `threads` runs in one process",
        ),
        (&["load", "--processes", "0"], "--processes"),
        (&["load", "--processes", "many"], "or auto"),
        (&["load", "--target-processes", "2000"], "1 to 1024"),
        (&["ceiling", "--engine", "tokio", "--processes", "2"], "--processes: the engine `tokio`"),
    ] {
        let output = run(flags);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
        assert!(said.contains(why) && said.trim_end().lines().count() == 1, "{flags:?}: {said}");
    }
}

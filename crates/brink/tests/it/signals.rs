//! What becomes of a run that is stopped, and of its target.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::program::{brink, is_running, within_ten_seconds};

/// A long `brink load` with a target of its own, once its connections are open; and the target's pid.
fn running(out: &str) -> (Child, u64) {
    let mut child = brink()
        .args([
            "load", "-c", "50", "-d", "60s", "--warmup", "0s", "--delay", "10ms", "--model", "threads",
            "--out", out,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("window")), "it came as far as its window");
    std::thread::spawn(move || lines.for_each(drop));
    let pid = child.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let target = match children.split_whitespace().next() {
        Some(target) => target.parse().unwrap(),
        // CONFIG_PROC_CHILDREN is not everywhere, proc_pid_task(5).
        None => child_of(u64::from(pid)).expect("it has a target"),
    };
    (child, target)
}

fn child_of(parent: u64) -> Option<u64> {
    std::fs::read_dir("/proc").unwrap().find_map(|entry| {
        let pid: u64 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let of: u64 = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
        (of == parent).then_some(pid)
    })
}

fn send(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

#[test]
fn an_interrupted_run_writes_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, code) in [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 143)] {
        let out = dir.path().join(code.to_string());
        let (mut child, target) = running(out.to_str().unwrap());
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let run = brink_results::store::read_run(&out).unwrap();
        let result = &run.results[0];
        assert_eq!(result.connections.opened, 50);
        assert!(
            result.validity.reasons.iter().any(|reason| reason.contains("stopped")),
            "{:?}",
            result.validity
        );
        assert!(result.memory_per_connection.target.user_bytes.is_some(), "what was measured is there");
        within_ten_seconds("the target is gone", || !is_running(target));
    }
}

#[test]
fn a_target_ends_with_its_parent_even_if_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, target) = running(dir.path().join("run").to_str().unwrap());
    assert!(is_running(target));
    send(&child, rustix::process::Signal::KILL);
    child.wait().unwrap();
    within_ten_seconds("the target is gone", || !is_running(target));
}

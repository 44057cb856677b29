//! `brink target --processes`: several processes on one port, told of as one target.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use brink_client::control::ControlClient;
use brink_wire::control::{Ready, Refusal, TargetUsage};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Target, brink, is_running, run, within_ten_seconds};

fn start(flags: &[&str]) -> (Target, Ready, ControlClient) {
    let target = Target::start(flags);
    let ready: Ready = serde_json::from_value(target.ready.clone()).unwrap();
    let control = ControlClient::connect(ready.control.unwrap(), None, Duration::from_secs(10)).unwrap();
    (target, ready, control)
}

fn connect(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).unwrap()).collect()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

/// Asks until the target holds that many connections.
fn holding(control: &mut ControlClient, live: u64) -> TargetUsage {
    let mut last = TargetUsage::default();
    within_ten_seconds("the target holds what was connected", || {
        last = control.usage().unwrap();
        last.counters.live == live
    });
    last
}

#[test]
fn workers_share_a_port_and_one_that_dies_is_reported() {
    let (target, ready, mut control) = start(&["--processes", "3", "--model", "mio"]);
    assert_eq!(ready.workers.len(), 3);
    assert!(!ready.workers.contains(&ready.pid), "the supervisor serves nobody");
    let info = control.info().unwrap();
    assert_eq!((info.processes, info.ready), (3, ready.clone()));

    let clients = connect(ready.address, 60);
    let usage = holding(&mut control, 60);
    let mut pids: Vec<_> = usage.processes.iter().map(|process| process.pid).collect();
    pids.sort_unstable();
    let mut expected = ready.workers.clone();
    expected.sort_unstable();
    assert_eq!(pids, expected);
    for process in &usage.processes {
        // 60 hashed over 3: none on one of them has a chance below 1e-10.
        assert!(process.live.unwrap() > 0 && process.user_bytes.is_some() && process.cpu_s.is_some());
    }
    assert_eq!(usage.counters.accepted, 60);
    assert!(usage.dead_workers.is_empty() && usage.counters.refusals.is_empty());

    let victim = &usage.processes[1];
    signal(victim.pid, Signal::KILL);
    within_ten_seconds("the death is told", || control.usage().unwrap().dead_workers.len() == 1);
    let usage = holding(&mut control, 60 - victim.live.unwrap());
    assert_eq!(usage.dead_workers[0].pid, victim.pid);
    assert!(usage.dead_workers[0].how.contains("signal: 9"), "{:?}", usage.dead_workers);
    let died = Refusal { phase: "worker".into(), error: "died".into(), count: 1 };
    assert_eq!(usage.counters.refusals, [died]);
    assert_eq!(usage.counters.accepted, 60, "what it had counted stays in");
    assert_eq!(usage.processes.len(), 2);
    let limits = control.limits().unwrap();
    let nofile = limits.iter().find(|limit| limit.name == "rlimit.nofile").unwrap();
    assert!(nofile.note.as_ref().unwrap().contains("the fullest of 2"), "{nofile:?}");

    let output = run(&[
        "load",
        "--target",
        target.address(),
        "--control",
        target.control(),
        "-c",
        "20",
        "-d",
        "300ms",
        "--warmup",
        "0s",
        "--format",
        "json",
    ]);
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["connections"]["opened"], 20, "the others serve on");
    assert_eq!(result["requests"]["failed"], 0);
    assert_eq!(result["usage"]["target"][0]["workers"].as_array().unwrap().len(), 2);

    drop(clients);
    control.stop().unwrap();
    let all = [ready.workers, vec![ready.pid]].concat();
    within_ten_seconds("all have stopped", || all.iter().all(|&pid| !is_running(pid.into())));
}

#[test]
fn a_worker_that_stands_still_is_told_of_all_the_same() {
    let (_target, ready, mut control) = start(&["--processes", "2", "--model", "tokio"]);
    let _clients = connect(ready.address, 40);
    holding(&mut control, 40);
    signal(ready.workers[0], Signal::STOP);
    let usage = control.usage().unwrap();
    assert_eq!(usage.counters.live, 40, "as it said last");
    let still = usage.processes.iter().find(|process| process.pid == ready.workers[0]).unwrap();
    assert!(still.user_bytes.is_some() && still.live.unwrap() > 0, "{still:?}");
    signal(ready.workers[0], Signal::CONT);
}

#[test]
fn a_target_whose_workers_have_all_died_fails() {
    let mut child = brink()
        .args(["target", "--listen", "127.0.0.1:0", "--processes", "2", "--model", "mio"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    let ready: Ready = serde_json::from_str(&line).unwrap();
    ready.workers.iter().for_each(|&pid| signal(pid, Signal::KILL));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("signal: 9 (SIGKILL); 1 of 2 serve on"), "{said}");
    assert!(said.trim_end().ends_with("all 2 workers have died"), "{said}");
}

#[test]
fn workers_end_with_their_supervisor_however_it_ends() {
    for how in [Signal::KILL, Signal::TERM] {
        let (mut target, ready, _control) = start(&["--processes", "2", "--model", "threads"]);
        signal(ready.pid, how);
        within_ten_seconds("workers have ended", || ready.workers.iter().all(|&pid| !is_running(pid.into())));
        let code = target.wait().code();
        assert_eq!(code, (how == Signal::TERM).then_some(0), "stopping is what a signal is for");
        within_ten_seconds("nobody is left on the port", || TcpStream::connect(ready.address).is_err());
    }
}

#[test]
fn a_port_in_use_is_a_usage_error_though_it_would_be_shared() {
    let (target, ..) = start(&["--processes", "2", "--model", "mio"]);
    let output = run(&["target", "--listen", target.address(), "--processes", "2", "--no-control"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("in use"), "{said}");
}

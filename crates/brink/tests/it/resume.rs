//! A sweep that is stopped goes on where it stopped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use brink_results::store::{RunData, read_run};

use crate::program::{brink, run};

const SWEEP: &str = r#"
    name = "stopped"
    seed = 4
    [[target]]
    model = "mio"
    [[target]]
    model = "threads"
    stack_size = "64KiB"
    [load]
    workload = "hold"
    heartbeat = "20ms"
    warmup = "0s"
    duration = "300ms"
    connections = [4, 8]
"#;

/// The sweep, begun in `out`.
fn begin(dir: &Path, out: &Path) -> Child {
    let file = dir.join("sweep.toml");
    std::fs::write(&file, SWEEP).unwrap();
    brink()
        .arg("sweep")
        .arg(file)
        .arg("--out")
        .arg(out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until stderr says that this case, or a later one, runs: `[3/12]`. What follows is read and dropped.
fn wait_for_case(child: &mut Child, number: u32) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = |line: &str| -> Option<u32> {
        let (before, _) = line.split_once("/12]")?;
        before.rsplit_once('[')?.1.parse().ok()
    };
    assert!(lines.any(|line| said(&line.unwrap()) >= Some(number)), "case {number} was never said to run");
    std::thread::spawn(move || lines.for_each(drop));
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

fn resume(out: &Path) -> (Option<i32>, String) {
    let output = run(&["sweep", "--resume", out.to_str().unwrap()]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn check_whole(run: &RunData) {
    assert_eq!((run.results.len(), run.missing().len()), (12, 0), "four cases, three times");
    let plan = run.plan.as_ref().unwrap();
    for (planned, result) in plan.cases.iter().zip(&run.results) {
        assert_eq!(planned.name, result.case.name, "in the order of the plan");
        assert!(
            !result.interrupted && result.connections.opened > 0,
            "{}: {:?}",
            planned.name,
            result.validity
        );
    }
}

#[test]
fn a_sweep_that_was_interrupted_goes_on_with_the_case_that_was_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut sweep = begin(dir.path(), &out);
    wait_for_case(&mut sweep, 2);
    // While it runs nobody else may write there.
    let (code, said) = resume(&out);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("a sweep is running in it"), "{said}");
    signal(&sweep, rustix::process::Signal::INT);
    assert_eq!(sweep.wait().unwrap().code(), Some(130));
    let before = read_run(&out).unwrap();
    let cut: Vec<_> = before.results.iter().filter(|result| result.interrupted).collect();
    assert!(cut.len() <= 1 && before.results.len() < 12, "{} results", before.results.len());
    let (code, said) = resume(&out);
    // Whether each case is valid is the machine's affair; none may be missing.
    assert!(matches!(code, Some(0 | 5)), "{code:?} {said}");
    assert!(said.contains("of 12 cases have their result already"), "{said}");
    let after = read_run(&out).unwrap();
    check_whole(&after);
    for kept in before.results.iter().filter(|result| !result.interrupted) {
        assert!(after.results.contains(kept), "{} was measured again", kept.case.name);
    }
    let names =
        || std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names().filter(|name| name.ends_with(".set-aside-1")).count(), cut.len());
    assert_eq!(after.plan.unwrap().resumed.len(), 1);
    let (code, said) = resume(&out);
    assert!(matches!(code, Some(0 | 5)) && said.contains("12 of 12"), "nothing was left: {said}");
    assert_eq!(read_run(&out).unwrap().results, after.results);
}

#[test]
fn a_sweep_that_was_killed_goes_on_too() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut sweep = begin(dir.path(), &out);
    wait_for_case(&mut sweep, 3);
    signal(&sweep, rustix::process::Signal::KILL);
    sweep.wait().unwrap();
    let (code, said) = resume(&out);
    assert!(matches!(code, Some(0 | 5)), "{code:?} {said}");
    check_whole(&read_run(&out).unwrap());
}

#[test]
fn what_is_no_folder_of_a_sweep_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let said = |path: &Path| {
        let (code, said) = resume(path);
        assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
        said
    };
    assert!(said(&dir.path().join("none")).contains("none"));
    assert!(said(dir.path()).contains("--resume"));
    std::fs::write(dir.path().join("plan.json"), "{").unwrap();
    assert!(said(dir.path()).contains("plan.json"));
    let output = run(&["sweep", "--resume", "x", "--out", "y"]);
    assert_eq!(output.status.code(), Some(2));
    let output = run(&["sweep"]);
    assert_eq!(output.status.code(), Some(2));
}

/// Results that were measured before, as if the sweep that made them had been stopped.
fn committed(dir: &Path, without: &str) {
    let run = crate::program::root().join("results/2026-11-21-quick");
    for entry in std::fs::read_dir(run).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.extension().is_some_and(|end| end == "json") && name != without {
            std::fs::copy(path, dir.join(name)).unwrap();
        }
    }
}

#[test]
fn a_plan_that_was_changed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    committed(dir.path(), "008-mio-c10000-r1.json");
    let path = dir.path().join("plan.json");
    let plan = std::fs::read_to_string(&path).unwrap();
    let mut changed: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let case = &mut changed["cases"][0];
    let name = case["name"].as_str().unwrap().to_owned();
    case["load"]["duration_ns"] = 1_000_000.into();
    std::fs::write(&path, changed.to_string()).unwrap();
    let (code, said) = resume(dir.path());
    assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("plan.json was changed") && said.contains(&name), "{said}");
}

#[test]
fn the_log_of_latencies_is_that_of_the_whole_sweep() {
    let dir = tempfile::tempdir().unwrap();
    committed(dir.path(), "");
    let log = dir.path().join("a.hlog");
    let output =
        run(&["sweep", "--resume", dir.path().to_str().unwrap(), "--hdr-log", log.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().filter(|line| line.starts_with("Tag=")).count(), 12);
}

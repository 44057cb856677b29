//! Ceilings as cases of a sweep.

use std::path::Path;
use std::process::Output;

use brink_results::schema::{StoppedBy, Verdict};
use brink_results::store::{RunData, read_run};
use serde_json::Value;

use crate::program::{run, stdout};

const HEAD: &str = "name = \"s\"\nrepeats = 2\n[[target]]\nmodel = \"mio\"\n";
const CLIMB: &str = "climb = true\nconnections = [40, 300]\nduration = \"200ms\"\nheartbeat = \"50ms\"\ntimeout = \"500ms\"\n";

fn sweep(dir: &Path, more: &str) -> (Output, RunData) {
    let (file, out) = (dir.join("s.toml"), dir.join("run"));
    std::fs::write(&file, format!("{HEAD}max_connections = 70\n[load]\n{CLIMB}{more}")).unwrap();
    let output = run(&["sweep", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    (output, read_run(&out).unwrap())
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_ceiling_that_is_found_is_measured_and_fails_no_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let (output, data) = sweep(dir.path(), "");
    let (text, errors) = (said(&output.stdout), said(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(!errors.contains("will not run"), "a limit in the way is what is asked: {errors}");
    assert!(errors.contains("mio: 70 connections, then target.max_connections on the target"), "{errors}");
    assert_eq!(data.results.len(), 4);
    for result in &data.results {
        let ceiling = result.ceiling.as_ref().unwrap();
        let climb = result.case.load.climb.unwrap();
        assert_eq!((climb.within_ns, climb.memory_floor_bytes), (600_000_000_000, None));
        let (at, by, verdict) = (ceiling.at_connections, ceiling.stopped_by, result.validity.verdict);
        if result.case.load.connections == 300 {
            assert_eq!((at, by, verdict), (70, StoppedBy::Limit, Verdict::LimitBound));
            assert_eq!(result.failure_point.as_ref().unwrap().limit, "target.max_connections");
            assert_eq!(ceiling.climbs.len(), 2);
        } else {
            assert_eq!((at, by, verdict == Verdict::LimitBound), (40, StoppedBy::StopAt, false));
        }
    }
    assert!(text.contains("Ceilings, connections up to where something gave way:"), "{text}");
    assert!(
        text.contains("target.max_connections on the target") && text.contains("nothing gave way"),
        "{text}"
    );
    let page = std::fs::read_to_string(data.dir.join("report.html")).unwrap();
    assert!(page.contains("<h2>Ceiling</h2>"), "{page}");
    let again = run(&["sweep", "--resume", data.dir.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(0));
    assert!(said(&again.stderr).contains("4 of 4 cases have their result already"));
}

#[test]
fn one_that_has_no_result_is_climbed_when_it_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let (_, data) = sweep(dir.path(), "");
    let files = std::fs::read_dir(&data.dir).unwrap().map(|entry| entry.unwrap().path());
    let gone = files.filter(|path| path.to_str().unwrap().contains("mio-c300-r2")).collect::<Vec<_>>();
    assert_eq!(gone.len(), 1);
    std::fs::remove_file(&gone[0]).unwrap();
    let again = run(&["sweep", "--resume", data.dir.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again.stderr));
    let whole = read_run(&data.dir).unwrap();
    assert_eq!((whole.results.len(), whole.missing().len()), (4, 0));
    assert!(whole.results.iter().all(|result| result.ceiling.is_some()));
}

#[test]
fn a_way_up_has_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let (output, data) = sweep(dir.path(), "connect_rate = 20\nclimb_within = \"300ms\"\n");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output.stderr));
    let stopped = data.results.iter().map(|result| result.ceiling.as_ref().unwrap().stopped_by);
    assert!(stopped.clone().all(|by| by == StoppedBy::Time), "{:?}", stopped.collect::<Vec<_>>());
}

#[test]
fn what_does_not_go_with_a_climb_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.toml");
    for (load, part) in [
        ("climb = true\nrate = 5\n", "rate: not with climb = true"),
        ("climb = true\nworkload = \"closed\"\n", "workload: not with climb = true"),
        ("climb = true\nrequests = 5\n", "requests: not with climb = true"),
        ("climb = true\n[load.background]\nrate = 5\n", "background: not with climb = true"),
        ("climb_within = \"5s\"\n", "climb_within: only with climb = true"),
        ("memory_floor = \"1GiB\"\n", "memory_floor: only with climb = true"),
    ] {
        std::fs::write(&file, format!("{HEAD}[load]\nconnections = 5\n{load}")).unwrap();
        let output = run(&["plan", file.to_str().unwrap()]);
        let line = said(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.contains(part), "{line}");
    }
    std::fs::write(&file, format!("{HEAD}[load]\n{CLIMB}memory_floor = \"1GiB\"\n")).unwrap();
    let plan: Value = serde_json::from_str(&stdout(&["plan", file.to_str().unwrap()], 0)).unwrap();
    let load = &plan["cases"][0]["load"];
    assert_eq!(load["climb"]["memory_floor_bytes"], 1 << 30);
    assert_eq!((&load["workload"]["kind"], &load["warmup_ns"]), (&"hold".into(), &0.into()));
}

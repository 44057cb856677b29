//! The folder of a run: what is refused, what is written, what is read back.

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use brink_results::case::{Arrivals, Protocol, Workload};
use brink_results::hdr;
use brink_results::schema::{CaseResult, Plan, Verdict};
use brink_results::store::{
    ReadError, RunDirError, create_run_dir, parse_printed, read_result, read_run, result_file_name,
    write_plan, write_result,
};

use crate::fixtures::{MODELS, everything, mixed, nothing_opened, result, run};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn read_error(dir: &Path) -> String {
    read_run(dir).unwrap_err().to_string()
}

#[test]
fn makes_a_folder_with_those_above_it_and_leaves_it_empty() {
    let root = folder();
    let dir = root.path().join("a/b");
    create_run_dir(&dir).unwrap();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    fs::write(dir.join("notes.txt"), "kept").unwrap();
    create_run_dir(&dir).unwrap();
}

#[test]
fn refuses_a_file_a_run_and_what_cannot_be_made() {
    let root = folder();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(create_run_dir(&file), Err(RunDirError::IsFile(_))));
    assert!(matches!(create_run_dir(&file.join("below")), Err(RunDirError::Create { .. })));
    for name in ["plan.json", "001-mio-c10-r1.json", "report.html"] {
        let dir = folder();
        fs::write(dir.path().join(name), "x").unwrap();
        let refused = create_run_dir(dir.path()).unwrap_err();
        assert!(matches!(refused, RunDirError::HoldsRun { .. }), "{refused}");
        assert!(refused.to_string().contains(name), "{refused}");
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), "x");
    }
}

#[test]
fn refuses_a_folder_that_takes_no_file() {
    // A folder of procfs lists and takes no file, whoever asks.
    let dir = Path::new("/proc/self/fdinfo");
    if !dir.is_dir() {
        println!("skipped: no {}", dir.display());
        return;
    }
    let refused = create_run_dir(dir).unwrap_err();
    assert!(matches!(refused, RunDirError::Write { .. }), "{refused}");
    assert!(refused.to_string().contains("cannot write to the folder /proc/self/fdinfo"), "{refused}");
}

#[test]
fn reads_back_what_it_wrote_in_the_order_it_ran() {
    let dir = folder();
    let run = run();
    write_plan(dir.path(), run.plan.as_ref().unwrap()).unwrap();
    let order: Vec<&CaseResult> = vec![&run.results[3], &run.results[0], &run.results[7]];
    for (number, result) in [1000, 2, 101].into_iter().zip(&order) {
        write_result(dir.path(), number, result).unwrap();
    }
    fs::write(dir.path().join(".004-x.json.part-1"), "{").unwrap();
    fs::write(dir.path().join("report.html"), "").unwrap();
    let back = read_run(dir.path()).unwrap();
    assert_eq!(back.plan, run.plan);
    let names: Vec<&str> = back.results.iter().map(|r| r.case.name.as_str()).collect();
    assert_eq!(names, [1, 2, 0].map(|i: usize| order[i].case.name.as_str()));
    assert_eq!(serde_json::to_string(&back.results[0]).unwrap(), serde_json::to_string(order[1]).unwrap());
    assert_eq!(back.missing().len(), 12 - 3);
}

#[test]
fn writes_no_other_file() {
    let dir = folder();
    let path = write_result(dir.path(), 7, &nothing_opened()).unwrap();
    assert_eq!(path.file_name().unwrap(), "007-stranger-c10-r1.json");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(
        write_result(&dir.path().join("gone"), 1, &nothing_opened())
            .unwrap_err()
            .to_string()
            .contains("gone")
    );
}

#[test]
fn file_names_stay_in_their_folder() {
    assert_eq!(result_file_name(1, "../../etc/passwd"), "001-.._.._etc_passwd.json");
    assert_eq!(result_file_name(12, "a b\0é"), "012-a_b__.json");
    assert!(result_file_name(1, &"x".repeat(999)).len() < 255);
}

#[test]
fn says_which_file_and_field_is_wrong() {
    let dir = folder();
    let missing = read_error(dir.path());
    assert!(missing.contains("holds no run"), "{missing}");
    let wrong = |text: &str, says: &[&str]| {
        fs::write(dir.path().join("003-x.json"), text).unwrap();
        let error = read_error(dir.path());
        assert!(!error.contains('\n') && error.contains("003-x.json"), "{error}");
        for part in says {
            assert!(error.contains(part), "`{part}` is not in {error}");
        }
    };
    let good = serde_json::to_string_pretty(&result(MODELS[0], 10)).unwrap();
    wrong("{", &["not JSON", "line 1"]);
    wrong("[]", &["`schema` is missing"]);
    wrong("{\"schema\": 1}", &["`schema` is not text"]);
    wrong(
        &good.replace("brink.result/1", "brink.result/9"),
        &["`schema` is `brink.result/9`", "brink.result/1"],
    );
    wrong(&good.replace("\"opened\"", "\"opend\""), &["missing field `opened`"]);
    wrong(&good.replace("\"opened\": 10", "\"opened\": \"ten\""), &["\"opened\": \"ten\"", "line "]);
    let gone = read_run(&dir.path().join("gone"));
    assert!(matches!(gone, Err(ReadError::Io { .. })), "{gone:?}");
}

#[test]
fn one_bad_file_does_not_hide_the_others() {
    let dir = folder();
    let run = run();
    write_plan(dir.path(), run.plan.as_ref().unwrap()).unwrap();
    write_result(dir.path(), 1, &run.results[0]).unwrap();
    fs::write(dir.path().join("002-x.json"), "{\"schema\": \"brink.result/1\"}").unwrap();
    fs::write(dir.path().join("package.json"), "{\"name\": \"x\"}").unwrap();
    fs::create_dir(dir.path().join("003-y.json")).unwrap();
    let back = read_run(dir.path()).unwrap();
    assert_eq!((back.results.len(), back.plan.is_some()), (1, true));
    let [missing, folder, foreign] = &back.unreadable[..] else { panic!("{:?}", back.unreadable) };
    assert!(missing.starts_with("002-x.json: ") && missing.contains("`case`"), "{missing}");
    assert!(folder.starts_with("003-y.json: cannot be read: "), "{folder}");
    assert!(foreign.starts_with("package.json: ") && foreign.contains("`schema` is missing"), "{foreign}");
    let html = brink_results::report::render(&back);
    assert!(html.contains("Left out: 002-x.json"), "{html}");
    fs::write(dir.path().join("plan.json"), "{").unwrap();
    let back = read_run(dir.path()).unwrap();
    assert!(
        back.plan.is_none() && back.unreadable.iter().any(|line| line.starts_with("plan.json: not JSON"))
    );
}

#[test]
fn one_folder_is_claimed_by_one_run() {
    let dir = folder();
    let plan = |seed| Plan { seed, ..run().plan.unwrap() };
    let start = Barrier::new(2);
    let claim = |seed| {
        let (start, dir) = (&start, dir.path());
        move || {
            let plan = plan(seed);
            start.wait();
            write_plan(dir, &plan)
        }
    };
    let claims = std::thread::scope(|scope| {
        let both = [1, 2].map(|seed| scope.spawn(claim(seed)));
        both.map(|thread| thread.join().unwrap())
    });
    let won: Vec<u64> = (1..).zip(&claims).filter(|(_, claim)| claim.is_ok()).map(|(seed, _)| seed).collect();
    assert_eq!(won.len(), 1, "{claims:?}");
    let lost = claims.iter().find_map(|claim| claim.as_ref().err()).unwrap();
    assert!(matches!(lost, RunDirError::HoldsRun { .. }) && lost.to_string().contains("plan.json"), "{lost}");
    assert_eq!(read_run(dir.path()).unwrap().plan, Some(plan(won[0])), "the loser left the plan alone");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no part file is left");
    let gone = write_plan(&dir.path().join("gone"), &plan(1)).unwrap_err();
    assert!(matches!(gone, RunDirError::Write { .. }), "{gone}");
}

/// Fails when a field of the schema changes its name or type: old results must stay readable.
#[test]
fn the_result_that_was_checked_in_is_still_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/result.json");
    let old = read_result(&path).unwrap();
    assert_eq!(old.case.name, "tokio-c1000-r1");
    assert_eq!(old.validity.verdict, Verdict::Valid);
    assert_eq!(old.memory_per_connection.target.user_bytes.unwrap().points, 5);
    let histogram = hdr::decode(&old.latency_ns.as_ref().unwrap().hdr).unwrap();
    assert_eq!(histogram.value_at_quantile(0.99), old.latency_ns.as_ref().unwrap().p99);
    let written: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    // The file is from before open loops, bursts and churn: what it holds must come back, beside fields added since.
    assert_eq!(lost(&written, &serde_json::to_value(&old).unwrap()), [""; 0]);
    assert_eq!(
        (old.case.load.protocol, old.case.load.requests, old.requests.not_sent),
        (Protocol::Frame, None, 0)
    );
    assert_eq!((old.schedule_lag_ns, old.requests.per_s_intended), (None, None));
}

/// The same for a result with all that open loops, bursts and churn added.
#[test]
fn the_later_result_that_was_checked_in_is_still_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/result-open.json");
    let old = read_result(&path).unwrap();
    assert!(matches!(
        old.case.load.workload,
        Workload::Open { rate_per_s: 1000.0, arrivals: Arrivals::Fixed }
    ));
    assert!(old.schedule_lag_ns.is_some() && old.usage.target[0].workers.len() == 2);
    let written: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(
        lost(&written, &serde_json::to_value(&old).unwrap()),
        [""; 0],
        "a field was dropped or renamed"
    );
}

/// Fields of `written` that `back` has not, or has otherwise, by path.
pub fn lost(written: &serde_json::Value, back: &serde_json::Value) -> Vec<String> {
    use serde_json::Value::{Array, Object};
    match (written, back) {
        (Object(written), Object(back)) => {
            let below = |(name, value): (&String, &serde_json::Value)| match back.get(name) {
                None => vec![name.clone()],
                Some(other) => lost(value, other).into_iter().map(|path| format!("{name}.{path}")).collect(),
            };
            written.iter().flat_map(below).collect()
        }
        (Array(written), Array(back)) if written.len() == back.len() => {
            written.iter().zip(back).flat_map(|(value, other)| lost(value, other)).collect()
        }
        (written, back) if written == back => Vec::new(),
        (written, back) => vec![format!("{written} became {back}")],
    }
}

#[test]
fn every_kind_of_result_survives_writing_and_reading() {
    let dir = folder();
    for (number, result) in (1..).zip(&[mixed().results, vec![everything()]].concat()) {
        let path = write_result(dir.path(), number, result).unwrap();
        assert_eq!(&read_result(&path).unwrap(), result, "{}", result.case.name);
    }
}

/// A run measured before the schema had workloads, protocols and workers.
#[test]
fn the_run_that_the_readme_quotes_is_still_read() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/2026-11-21-quick");
    if !dir.is_dir() {
        println!("skipped: no {}", dir.display());
        return;
    }
    let run = read_run(&dir).unwrap();
    assert_eq!((run.unreadable, run.results.len()), (Vec::new(), 12));
    assert!(run.results.iter().all(|r| r.case.load.protocol == Protocol::Frame));
}

#[test]
fn a_copy_of_a_result_is_no_repeat() {
    let root = folder();
    let first = result(MODELS[0], 10);
    let mut second = first.clone();
    second.started = "2026-11-21T10:00:01Z".to_owned();
    write_result(root.path(), 1, &first).unwrap();
    write_result(root.path(), 2, &second).unwrap();
    let name = result_file_name(1, &first.case.name);
    fs::copy(root.path().join(&name), root.path().join("001 (copy).json")).unwrap();
    let run = read_run(root.path()).unwrap();
    assert_eq!(run.results.len(), 2, "another run of the same case is a repeat");
    assert_eq!(run.unreadable.len(), 1);
    assert!(run.unreadable[0].contains("the same result again"), "{:?}", run.unreadable);
}

#[test]
fn what_is_wrong_with_a_file_is_a_line_that_a_terminal_can_show() {
    let root = folder();
    let mut document = serde_json::to_value(result(MODELS[0], 10)).unwrap();
    let path = root.path().join("001-x.json");
    let mut problem = |field: &str, value: serde_json::Value| {
        document[field] = value;
        fs::write(&path, document.to_string()).unwrap();
        let problems = [read_error(root.path()), parse_printed(&document.to_string()).unwrap_err()];
        for said in problems {
            assert!(said.chars().count() < 700 && !said.chars().any(char::is_control), "{said}");
        }
    };
    problem("connections", "x".repeat(100_000).into());
    problem("schema", "\u{1b}[31m\nx".into());
}

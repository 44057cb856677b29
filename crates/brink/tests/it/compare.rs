//! `brink compare` and `load --slo`: committed results, and tiny real runs.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::program::{brink, root, run, stdout};

fn results(name: &str) -> String {
    root().join("results").join(name).to_str().unwrap().to_owned()
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Its one line on stderr; it must have ended with 2.
fn refused(args: &[&str]) -> String {
    let output = run(args);
    let said = stderr_of(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{args:?}: {said}");
    said
}

fn gate_file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn a_run_against_itself_has_no_difference() {
    let quick = results("2026-11-21-quick");
    let said = stdout(&["compare", &quick, &quick], 0);
    assert!(said.contains("machine    the same on both sides") && !said.contains("worse"), "{said}");
    assert!(said.contains("a single run"), "{said}");
    let json: Value =
        serde_json::from_str(&stdout(&["compare", &quick, &quick, "--format", "json"], 0)).unwrap();
    assert_eq!(json["schema"], "brink.comparison/1");
    assert_eq!(json["cases"].as_array().unwrap().len(), 12);
    let markdown = stdout(&["compare", &quick, &quick, "--format", "markdown", "--all"], 0);
    assert!(markdown.starts_with("### brink: "), "{markdown}");
}

#[test]
fn every_committed_run_can_be_compared_with_itself() {
    for run in ["2026-11-21-models", "2026-11-21-ceilings/mio", "2026-11-21-ceilings/py-asyncio-1024"] {
        let folder = results(run);
        // One case of the models is not valid.
        let code = if run.ends_with("models") { 5 } else { 0 };
        let json = stdout(&["compare", &folder, &folder, "--format", "json", "--all"], code);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (json["counts"]["worse"].as_u64(), json["counts"]["better"].as_u64()),
            (Some(0), Some(0)),
            "{run}"
        );
        assert!(!json["cases"].as_array().unwrap().is_empty(), "{run}");
    }
}

#[test]
fn ceilings_are_compared_by_their_own_ways_up() {
    let (mio, threads) = (results("2026-11-21-ceilings/mio"), results("2026-11-21-ceilings/threads"));
    let said = stdout(&["compare", &mio, &threads], 0);
    assert!(said.contains("ceiling-threads against ceiling-mio"), "{said}");
    assert!(
        said.lines().any(|line| line.trim_start().starts_with("ceiling ") && line.ends_with("worse")),
        "{said}"
    );
    assert!(run(&["compare", &mio, &threads, "--fail-on-worse"]).status.code() == Some(3));
}

#[test]
fn what_cannot_be_compared_is_one_line() {
    let quick = results("2026-11-21-quick");
    let other = refused(&["compare", &quick, &results("2026-11-21-models")]);
    assert!(other.contains("ask different questions") && other.contains("--as-is"), "{other}");
    let said = refused(&["compare", &quick, &results("2026-11-21-ceilings/mio")]);
    assert!(said.contains("no case in common"), "{said}");
    assert!(refused(&["compare", &quick]).contains("--gate FILE"));
    assert!(refused(&["compare", "/nowhere", &quick]).contains("/nowhere"));
    assert!(refused(&["compare", "-", "-"]).contains("stdin"));
    assert!(refused(&["compare", &quick, &quick, "--threshold", "x"]).contains("percentage"));
    let plan = format!("{quick}/plan.json");
    assert!(refused(&["compare", &plan, &quick]).contains("brink.plan/1"));
}

#[test]
fn gates_on_one_run_and_on_two() {
    let quick = results("2026-11-21-quick");
    let kept = gate_file(
        "gates = [\"opened == requested\", \"p99 < 2s\"]\n[[gate]]\ncase = \"mio-*\"\nrule = \"target_memory < 2KiB\"\n",
    );
    let kept = kept.path().to_str().unwrap();
    let said = stdout(&["compare", &quick, "--gate", kept], 0);
    assert!(said.ends_with("28 gates: 28 kept, 0 breached.\n"), "{said}");
    let breached = gate_file("[[gate]]\ncase = \"tokio-c10\"\nrule = \"p99 < 2ms\"\n");
    let said = stdout(&["compare", &quick, "--gate", breached.path().to_str().unwrap()], 3);
    assert!(said.starts_with("gate p99 < 2ms: tokio-c10: 2.51 ms, breached\n"), "{said}");
    let ours = root().join("configs/gate.toml");
    let ours = ours.to_str().unwrap();
    let json = stdout(&["compare", &quick, &quick, "--gate", ours, "--format", "json"], 3);
    let json: Value = serde_json::from_str(&json).unwrap();
    let breached: Vec<_> =
        json["gates"].as_array().unwrap().iter().filter(|gate| gate["kept"] == false).collect();
    assert_eq!(breached.len(), 1, "quick has no case of 64 connections: {breached:?}");
    assert!(breached[0]["why"].as_str().unwrap().contains("*-c64"));
    assert!(refused(&["compare", &quick, "--gate", ours]).contains("there is no baseline"));
}

#[test]
fn bad_gates_are_one_line_with_place_and_word() {
    let quick = results("2026-11-21-quick");
    for (text, words) in [
        ("gates = [\"p9 < 5ms\"]", [":1: ", "did you mean `p9"]),
        ("gates = [\n\"p99 < 5KiB\"]", [":2: ", "`KiB`"]),
        ("[[gate]]\ncase = \"x\"\nrule = \"p99 = 1s\"", [":3: ", "`=` is no comparison"]),
        ("gats = []", [":1: ", "did you mean `gate"]),
    ] {
        let file = gate_file(text);
        let said = refused(&["compare", &quick, "--gate", file.path().to_str().unwrap()]);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert!(refused(&["compare", &quick, "--gate", "/nowhere.toml"]).contains("--gate /nowhere.toml"));
    assert!(refused(&["sweep", "configs/smoke.toml", "--gate", "/nowhere.toml"]).contains("--gate"));
}

#[test]
fn a_result_on_stdin_is_a_side() {
    let file = format!("{}/002-tokio-c100-r1.json", results("2026-11-21-quick"));
    let mut child = brink()
        .args(["compare", &file, "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(&file).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["cases"][0]["name"], "tokio-c100");
}

/// A run that is short and sure to be over soon; whether this busy machine calls it valid does not matter.
const TINY: [&str; 11] =
    ["load", "--model", "mio", "-c", "8", "-d", "300ms", "--warmup", "100ms", "--delay", "5ms"];

#[test]
fn a_run_keeps_to_its_slo_or_ends_with_3() {
    let kept =
        run(&[TINY.as_slice(), &["--slo", "p99<1h", "--slo", "opened == requested", "--format", "json"]]
            .concat());
    assert!(matches!(kept.status.code(), Some(0 | 5)), "{}", stderr_of(&kept));
    let result: Value = serde_json::from_slice(&kept.stdout).unwrap();
    assert_eq!(result["slo"][0]["rule"], "p99 < 1h");
    assert_eq!(
        (&result["slo"][0]["kept"], &result["slo"][1]["value"]),
        (&Value::Bool(true), &Value::from(8.0))
    );
    assert!(result["slo"][0]["value"].as_f64().unwrap() >= 5e6);
    assert!(stderr_of(&kept).contains("slo p99 < 1h: "));

    let breached = run(&[TINY.as_slice(), &["--slo", "p50 < 1ms", "--slo", "makespan < 1h"]].concat());
    assert_eq!(breached.status.code(), Some(3), "{}", stderr_of(&breached));
    let said = String::from_utf8_lossy(&breached.stdout).into_owned();
    assert!(
        said.contains("\nslo p50 < 1ms: ") && said.contains("breached: `makespan_ns` was not measured"),
        "{said}"
    );
}

#[test]
fn a_bad_slo_is_refused_before_anything_runs() {
    for (rule, word) in [
        ("p98 < 5ms", "did you mean `p9"),
        ("p99 < 5KiB", "`KiB`"),
        ("p99", "compares nothing"),
        ("p99 < baseline", "there is no baseline"),
    ] {
        let said = refused(&["load", "--target", "127.0.0.1:1", "--slo", rule]);
        assert!(said.contains("--slo") && said.contains(word), "{said}");
    }
}

#[test]
fn a_sweep_is_held_against_gates() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = folder.path().join("s.toml");
    let text = "name = \"g\"\n[[target]]\nmodel = \"mio\"\n[load]\nconnections = 4\nduration = \"300ms\"\nwarmup = \"100ms\"\ndelay = \"5ms\"\n";
    std::fs::write(&sweep, text).unwrap();
    let gates = gate_file("gates = [\"p50 < 1ms\"]");
    let out = folder.path().join("out");
    let args = [
        "sweep",
        sweep.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--gate",
        gates.path().to_str().unwrap(),
    ];
    let said = stdout(&args, 3);
    assert!(
        said.contains("\ngate p50 < 1ms: mio-c4: ") && said.ends_with("1 gate: 0 kept, 1 breached.\n"),
        "{said}"
    );
    let baseline = gate_file("gates = [\"p50 < baseline\"]");
    assert!(
        refused(&["sweep", sweep.to_str().unwrap(), "--gate", baseline.path().to_str().unwrap()])
            .contains("no baseline")
    );
}

#[test]
fn what_gates_alone_do_not_see_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let quick = results("2026-11-21-quick");
    for name in ["plan.json", "001-tokio-c10-r1.json"] {
        let from = std::path::Path::new(&quick).join(name);
        if from.exists() {
            std::fs::copy(from, dir.path().join(name)).unwrap();
        }
    }
    std::fs::copy(format!("{quick}/002-tokio-c100-r1.json"), dir.path().join("002-x.json")).unwrap();
    std::fs::write(dir.path().join("003-torn.json"), "{").unwrap();
    let gates = gate_file("[[gate]]\ncase = \"tokio-c100\"\nrule = \"opened == requested\"\n");
    let output = run(&["compare", dir.path().to_str().unwrap(), "--gate", gates.path().to_str().unwrap()]);
    let said = stderr_of(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("003-torn.json: not JSON") && said.contains("without a result"), "{said}");
}

#[test]
fn a_candidate_that_was_cut_short_does_not_pass() {
    let dir = tempfile::tempdir().unwrap();
    let quick = results("2026-11-21-quick");
    for name in ["plan.json", "002-tokio-c100-r1.json"] {
        std::fs::copy(format!("{quick}/{name}"), dir.path().join(name)).unwrap();
    }
    let said = stdout(&["compare", &quick, dir.path().to_str().unwrap(), "--fail-on-worse"], 5);
    assert!(said.contains("Planned in the candidate, without a result"), "{said}");
}

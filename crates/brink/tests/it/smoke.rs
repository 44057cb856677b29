//! A tiny sweep through the real binary: what it prints, what it writes, what it leaves behind.

use serde_json::Value;

use crate::program::{root, run, stdout};

/// Top-level names of a result: a contract with whoever reads the files.
const NAMES: [&str; 13] = [
    "schema",
    "case",
    "facts",
    "validity",
    "connections",
    "requests",
    "latency_ns",
    "delay_error_ns",
    "makespan_ns",
    "usage",
    "memory_per_connection",
    "failure_point",
    "predicted",
];

#[test]
fn a_sweep_from_file_to_report() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let smoke = root().join("configs/smoke.toml");
    let output = run(&["sweep", smoke.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let (text, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    // A busy machine can make a case unsteady (5); it cannot make one fail.
    assert!(matches!(output.status.code(), Some(0 | 5)), "{:?} {text} {stderr}", output.status);
    for model in ["threads", "tokio", "mio"] {
        assert!(text.contains(model), "{text}");
    }
    assert!(stderr.contains("[6/6]"), "progress: {stderr}");
    let results: Vec<Value> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(|c: char| c.is_ascii_digit()))
        .map(|path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    assert_eq!(results.len(), 6, "one file per case");
    for result in &results {
        for name in NAMES {
            assert!(result.get(name).is_some(), "`{name}` is missing");
        }
        assert_eq!(result["schema"], "brink.result/1");
        assert_eq!(result["connections"]["opened"], result["case"]["load"]["connections"]);
        assert_eq!(result["connections"]["failed"], 0);
        let [window, drain] = ["window", "drain"].map(|name| phase(result, name));
        for end in ["client", "target"] {
            let within = result["usage"][end].as_array().unwrap().iter();
            let within = within.filter(|s| (window..=drain).contains(&s["t_s"].as_f64().unwrap())).count();
            assert!(within >= 2, "{end} was sampled {within} times in the window");
        }
    }
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("<svg"));
    let again = stdout(&["report", out.to_str().unwrap()], 0);
    assert!(again.trim().ends_with("report.html"));
    assert_eq!(
        report,
        std::fs::read_to_string(out.join("report.html")).unwrap(),
        "the same files, the same page"
    );
}

fn phase(result: &Value, name: &str) -> f64 {
    let phases = result["usage"]["phases"].as_array().unwrap();
    phases.iter().find(|phase| phase["name"] == name).unwrap()["t_s"].as_f64().unwrap()
}

#[test]
fn a_case_that_a_limit_forbids_is_said_and_the_rest_runs() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.toml");
    let text = "name = \"s\"\n[[target]]\nmodel = \"mio\"\n[load]\nconnections = [5, \"50m\"]\nduration = \"300ms\"\nwarmup = \"0s\"\n";
    std::fs::write(&file, text).unwrap();
    let out = dir.path().join("run");
    let output = run(&["sweep", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("mio-c50000000-r1 will not run: "), "{stderr}");
    let run = brink_results::store::read_run(&out).unwrap();
    let opened: Vec<_> = run.results.iter().map(|result| result.connections.opened).collect();
    assert!(opened.contains(&5) && opened.contains(&0), "{opened:?}");
}

//! `brink target` in one terminal, `brink load` in another.

use brink_target::Model;
use serde_json::Value;

use crate::program::{Target, run};

fn load(target: &Target, flags: &[&str]) -> Value {
    let mut args = vec!["load", "--target", target.address(), "--control", target.control()];
    args.extend(["--format", "json"]);
    if !flags.contains(&"-n") {
        args.extend(["--warmup", "100ms", "-d", "500ms"]);
    }
    args.extend(flags);
    let output = run(&args);
    // Without a delay the client itself may be the bottleneck, and says so (5).
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 5)), "{args:?}: {:?} {stderr}", output.status);
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

/// Threads of a pool: enough for the connections of these tests.
const WORKERS: u32 = 500;

fn start(model: &Model, flags: &[&str]) -> Target {
    let workers = WORKERS.to_string();
    let mut args = vec!["--model", model.name];
    if model.connections_at_once(WORKERS).is_some() {
        args.extend(["--threads", &workers]);
    }
    args.extend(flags);
    Target::start(&args)
}

#[test]
fn every_model_with_its_delay_and_with_the_requests_own() {
    for model in brink_target::MODELS {
        let at_once = model.waits_at_once(WORKERS).unwrap_or(20).min(20) as f64;
        let target = start(model, &["--delay", "20ms"]);
        let result = load(&target, &["-c", "20"]);
        assert_eq!(result["case"]["target"]["model"], model.name, "it says what it is");
        assert_eq!(result["requests"]["per_s_ceiling"], at_once * 50.0, "{}", model.name);
        assert_eq!(result["connections"]["opened"], 20);
        assert_eq!(result["requests"]["failed"], 0);
        assert!(
            result["latency_ns"]["p50"].as_u64().unwrap() >= 19_900_000,
            "{}: the target waits",
            model.name
        );
        let result = load(&target, &["-c", "20", "--delay", "5ms"]);
        let p50 = result["latency_ns"]["p50"].as_u64().unwrap();
        let most = if at_once < 20.0 { 20 * 20_000_000 } else { 20_000_000 };
        assert!((4_900_000..most).contains(&p50), "{}: the request's own wait: {p50}", model.name);
        assert_eq!(result["requests"]["per_s_ceiling"], at_once * 200.0);
    }
}

#[test]
fn payloads_from_one_byte_to_one_mebibyte() {
    let target = Target::start(&["--model", "mio"]);
    for payload in ["1B", "65536", "1MiB"] {
        let result = load(&target, &["-c", "3", "-n", "10", "--payload", payload]);
        assert_eq!(result["requests"]["completed"], 10, "{payload}");
        assert_eq!(result["requests"]["failed"], 0, "{payload}");
    }
}

#[test]
fn idle_connections_are_held_and_their_memory_is_a_slope() {
    for model in brink_target::MODELS {
        let target = start(model, &[]);
        let result = load(&target, &["-c", "400", "--workload", "hold"]);
        assert_eq!(result["connections"]["live_at_end"], 400, "{}", model.name);
        assert_eq!(result["latency_ns"], Value::Null, "no request was made");
        let memory = &result["memory_per_connection"];
        assert_eq!(memory["plateaus"].as_array().unwrap().len(), 8);
        for end in ["client", "target"] {
            let slope = &memory[end]["user_bytes"];
            let (low, high) = (slope["ci95"][0].as_f64().unwrap(), slope["ci95"][1].as_f64().unwrap());
            assert!(low <= slope["slope"].as_f64().unwrap() && slope["slope"].as_f64().unwrap() <= high);
            assert_eq!(memory[end]["kernel_scope"], "machine_both_ends");
        }
    }
}

#[test]
fn a_token_keeps_strangers_from_the_control_plane() {
    let target = Target::start(&["--token", "open-sesame"]);
    let args =
        ["load", "--target", target.address(), "--control", target.control(), "-c", "1", "-d", "100ms"];
    let stderr = String::from_utf8(crate::program::run(&args).stderr).unwrap();
    assert!(stderr.contains("token"), "{stderr}");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let result = load(&target, &["-c", "2", "--token", "open-sesame", "--out", out.to_str().unwrap()]);
    assert_eq!(result["connections"]["opened"], 2);
    let plan = std::fs::read_to_string(out.join("plan.json")).unwrap();
    assert!(!plan.contains("open-sesame"), "a secret is not written down");
}

#[test]
fn a_connect_rate_is_kept() {
    let target = Target::start(&["--model", "mio"]);
    let result = load(&target, &["-c", "100", "--connect-rate", "200", "--workload", "hold"]);
    let per_s = result["connections"]["connect_per_s"].as_f64().unwrap();
    assert!(per_s <= 220.0, "{per_s} connections per second, 200 asked");
}

#[test]
fn pinning_the_client_does_not_pin_the_target() {
    let allowed = brink_host::cpus::allowed().unwrap();
    let (first, last) = (allowed[0], allowed[allowed.len() - 1]);
    let (cpus, target_cpus) = (first.to_string(), last.to_string());
    let base = [
        "load", "--model", "mio", "-c", "4", "-d", "300ms", "--warmup", "0s", "--format", "json", "--cpus",
        &cpus,
    ];
    for (extra, expected) in [(vec![], allowed.clone()), (vec!["--target-cpus", &target_cpus], vec![last])] {
        let output = run(&[base.as_slice(), &extra].concat());
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["case"]["load"]["cpus"], serde_json::json!([first]));
        assert_eq!(result["facts"]["target"]["cpus_allowed"], serde_json::json!(expected), "{extra:?}");
    }
}

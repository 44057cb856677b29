//! `brink limits`: what it prints, and how it ends.

use serde_json::Value;

use crate::program::{Target, run, stdout};

fn json(args: &[&str], code: i32) -> Value {
    let args: Vec<&str> = ["limits", "--format", "json"].iter().chain(args).copied().collect();
    serde_json::from_str(&stdout(&args, code)).unwrap()
}

fn row<'a>(rows: &'a Value, name: &str) -> &'a Value {
    rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

#[test]
fn limits_of_this_machine_fit_a_screen() {
    let text = stdout(&["limits"], 0);
    assert!(text.lines().count() <= 50 && text.lines().all(|line| line.chars().count() <= 120), "{text}");
    let nofile = text.lines().find(|line| line.contains("rlimit.nofile")).unwrap();
    assert!(nofile.starts_with("process") && nofile.contains("getrlimit"), "{nofile}");
    let all = json(&[], 0);
    assert_eq!((&all["schema"], &all["target"]), (&Value::from("brink.limits/1"), &Value::Null));
    assert!(all.get("plan").is_none());
    for row in all["client"].as_array().unwrap() {
        let is_known = row["state"] == "value" && !row["value"].is_null();
        assert!(is_known || !row["why"].is_null(), "{row}");
        assert!(row["source"].is_string() && row["group"].is_string() && row["summary"].is_string());
    }
    let nofile = row(&all["client"], "rlimit.nofile");
    assert_eq!(nofile["value"], nofile["hard"], "as brink meets it: raised");
}

#[test]
fn a_target_tells_its_own() {
    let target = Target::start(&["--model", "pool", "--threads", "7", "--max-connections", "50"]);
    let all = json(&["--control", target.control()], 0);
    let of_target = &all["target"];
    assert_eq!(row(of_target, "target.pool_workers")["value"], 7);
    assert_eq!(row(of_target, "target.max_connections")["value"], 50);
    assert!(row(of_target, "rlimit.nofile")["used"].as_u64().unwrap() > 5);
    let text = stdout(&["limits", "--control", target.control()], 0);
    assert!(text.contains("model pool") && text.lines().count() <= 52, "{text}");
    let plan = json(&["--control", target.control(), "--connections", "9"], 4);
    let first = &plan["plan"]["ends"][0]["first"];
    assert_eq!((&first["name"], &first["carries_connections"]), (&"target.pool_workers".into(), &7.into()));
    // What is to take its place is another matter.
    let other = json(&["--control", target.control(), "-c", "9", "--model", "mio"], 0);
    assert_eq!(other["plan"]["model"], "mio");
}

#[test]
fn a_target_of_several_processes_tells_of_all() {
    let target = Target::start(&["--model", "pool", "--threads", "7", "--processes", "2"]);
    let all = json(&["--control", target.control()], 0);
    assert_eq!(row(&all["target"], "target.pool_workers")["value"], 14);
    let note = row(&all["target"], "rlimit.nofile")["note"].as_str().unwrap().to_owned();
    assert!(note.contains("of worker"), "{note}");
}

#[test]
fn a_process_is_looked_at_by_its_number() {
    let target = Target::start(&["--model", "mio", "--no-control"]);
    let pid = target.ready["pid"].to_string();
    let all = json(&["--pid", &pid, "-c", "50"], 0);
    assert!(row(&all["target"], "vm.max_map_count")["used"].as_u64().unwrap() > 10);
    assert_eq!(all["plan"]["model"], "foreign");
}

#[test]
fn a_plan_that_fits_and_one_that_does_not() {
    let fits = json(&["--model", "mio", "--connections", "10"], 0);
    assert_eq!(fits["plan"]["fits"], true);
    let text = stdout(&["limits", "--model", "mio", "-c", "10"], 0);
    assert!(text.contains("needed") && text.contains("not measured here"), "{text}");
    let short = json(&["--model", "pool", "--target-threads", "5", "--processes", "2", "-c", "100"], 4);
    let target = &short["plan"]["ends"][0];
    assert_eq!((&target["end"], short["plan"]["fits"].as_bool()), (&"target".into(), Some(false)));
    let pool = row(&target["limits"], "target.pool_workers");
    assert_eq!((&pool["carries_connections"], &pool["short"]), (&10.into(), &true.into()));
    assert!(pool["fix"].as_str().unwrap().contains("--target-threads"));
    let text = stdout(&["limits", "--model", "threads", "-c", "100m"], 4);
    for part in ["First on the target: ", ", now: ", ", to stay: ", "SHORT", "It does not fit."] {
        assert!(text.contains(part), "`{part}` is missing in {text}");
    }
}

#[test]
fn more_sources_carry_more() {
    let carried = |flags: &[&str]| {
        let args: Vec<&str> = ["--model", "mio", "-c", "100"].iter().chain(flags).copied().collect();
        let all = json(&args, 0);
        let limits = &all["plan"]["ends"][1]["limits"];
        row(limits, "net.ipv4.ip_local_port_range")["carries_connections"].as_u64().unwrap()
    };
    let one = carried(&["--source-ip", "127.0.0.1"]);
    let two = carried(&["--source-ip", "127.0.0.1", "--source-ip", "127.0.0.2"]);
    // Who listens on a port of the range comes and goes.
    assert!(two.abs_diff(2 * one) <= 50, "{one} by one, {two} by two");
}

#[test]
fn memory_comes_from_a_results_folder_where_one_is_named() {
    let root = crate::program::root();
    let folder = root.join("results/2026-11-21-models");
    let folder = folder.to_str().unwrap();
    let plan = json(&["--model", "threads", "-c", "10", "--measured", folder], 0);
    let memory = row(&plan["plan"]["ends"][0]["limits"], "memory.available");
    assert_eq!(memory["basis"], "measured");
    let output = run(&["limits", "--model", "mio", "-c", "10", "--measured", "/proc"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--measured: "));
}

//! What scripts read: every JSON keeps to its schema, and the table holds what the JSON holds.

use std::collections::HashMap;

use brink_results::schemas;
use serde_json::Value;

use crate::program::{Target, root, run, stdout};

/// What a document breaks of the schema that `brink schema` prints.
fn broken(name: &str, document: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(&stdout(&["schema", name], 0)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn json(args: &[&str], code: i32) -> Value {
    serde_json::from_str(&stdout(args, code)).unwrap()
}

/// A run that is short, whatever the machine thinks of its figures.
fn measured(args: &[&str]) -> String {
    let output = run(args);
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const SHORT: [&str; 6] = ["load", "--model", "mio", "-c", "20", "-n"];

#[test]
fn schemas_are_listed_printed_and_refused_by_name() {
    let list = stdout(&["schema"], 0);
    assert_eq!(list.lines().count(), schemas::SCHEMAS.len());
    for schema in schemas::SCHEMAS {
        assert!(list.contains(schema.name) && list.contains(schema.about), "{}", schema.name);
        assert_eq!(stdout(&["schema", schema.name], 0), schema.text);
    }
    let refused = run(&["schema", "reslt"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("reslt") && said.contains("did you mean `result`?") && said.lines().count() == 1);
}

#[test]
fn what_is_printed_keeps_to_its_schema() {
    let result: Value =
        serde_json::from_str(&measured(&[&SHORT[..], &["200", "--format", "json"]].concat())).unwrap();
    assert_eq!(broken("result", &result), [""; 0]);
    for sample in result["usage"]["client"].as_array().unwrap() {
        assert_eq!(broken("sample", sample), [""; 0]);
    }
    for sample in result["usage"]["machine"].as_array().unwrap() {
        assert_eq!(broken("machine-sample", sample), [""; 0]);
    }
    let ceiling = ["ceiling", "--model", "mio", "--stop-at", "20", "--hold", "50ms", "--format", "json"];
    assert_eq!(broken("result", &json(&ceiling, 0)), [""; 0]);
    assert_eq!(broken("limits", &json(&["limits", "--format", "json"], 0)), [""; 0]);
    let plan = ["limits", "--model", "pool", "--target-threads", "5", "-c", "100", "--format", "json"];
    assert_eq!(broken("limits", &json(&plan, 4)), [""; 0]);
    let run = root().join("results/2026-11-21-quick");
    let run = run.to_str().unwrap();
    assert_eq!(broken("comparison", &json(&["compare", run, run, "--all", "--format", "json"], 0)), [""; 0]);
    let gates = root().join("configs/gate.toml");
    let gated = ["compare", run, run, "--gate", gates.to_str().unwrap(), "--format", "json"];
    assert_eq!(broken("comparison", &json(&gated, 3)), [""; 0]);
    let quick = root().join("configs/quick.toml");
    assert_eq!(broken("plan", &json(&["plan", quick.to_str().unwrap()], 0)), [""; 0]);
}

#[test]
fn what_a_target_says_keeps_to_its_schema() {
    let target = Target::start(&["--model", "tokio", "--processes", "2", "--delay", "exp:1ms"]);
    assert_eq!(broken("ready", &target.ready), [""; 0]);
    for what in ["info", "usage", "limits"] {
        let body: Value = serde_json::from_str(&get(target.control(), &format!("/v1/{what}"))).unwrap();
        assert_eq!(broken(&format!("control-{what}"), &body), [""; 0]);
    }
}

/// The body of a reply of HTTP.
fn get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// The rows of a table without a line end in a cell, by column.
fn rows(table: &str) -> Vec<HashMap<String, String>> {
    let mut lines = table.lines().map(cells);
    let columns = lines.next().unwrap();
    let rows = lines.map(|cells| {
        assert_eq!(cells.len(), columns.len(), "{cells:?}");
        columns.iter().cloned().zip(cells).collect()
    });
    rows.collect()
}

/// The cells of a line, by RFC 4180.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let cell = cells.last_mut().unwrap();
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.push(letters.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cell.push(other),
        }
    }
    cells
}

#[test]
fn a_load_is_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let out = out.to_str().unwrap();
    let table = measured(&[&SHORT[..], &["200", "--format", "csv", "-o", out]].concat());
    let [row] = &rows(&table)[..] else { panic!("{table}") };
    let run = brink_results::store::read_run(out.as_ref()).unwrap();
    let result = &run.results[0];
    assert_eq!(row["case.name"], result.case.name);
    assert_eq!((row["connections.opened"].as_str(), row["case.repeat"].as_str()), ("20", "1"));
    assert_eq!(row["latency_ns.p99"], result.latency_ns.as_ref().unwrap().p99.to_string());
    assert_eq!(row["validity.reasons"], result.validity.reasons.join(" | "));
    assert_eq!((row["failure_point.limit"].as_str(), row["makespan_ns"].is_empty()), ("", false));
    assert_eq!(row["facts.brink_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout(&["report", out, "--format", "csv"], 0), table, "the same of the folder");
    let file = dir.path().join("table.csv");
    let said = stdout(&["report", out, "--format", "csv", "-o", file.to_str().unwrap()], 0);
    assert_eq!((said.trim(), std::fs::read_to_string(&file).unwrap()), (file.to_str().unwrap(), table));
    let refused = crate::program::run(&["report", out, "--format", "csv", "--svg", out]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_load_that_is_refused_is_a_row_too() {
    let table =
        stdout(&["load", "--model", "pool", "--target-threads", "2", "-c", "50", "--format", "csv"], 4);
    let [row] = &rows(&table)[..] else { panic!("{table}") };
    assert_eq!((row["refused"].as_str(), row["predicted.limit"].as_str()), ("true", "target.pool_workers"));
}

#[test]
fn old_results_are_a_row_each() {
    let samples = root().join("crates/brink-results/tests/samples");
    for folder in std::fs::read_dir(samples).unwrap() {
        let folder = folder.unwrap().path();
        let run = brink_results::store::read_run(&folder).unwrap();
        let table = stdout(&["report", folder.to_str().unwrap(), "--format", "csv"], 0);
        let rows = rows(&table);
        assert_eq!(rows.len(), run.results.len(), "{}", folder.display());
        for (row, result) in rows.iter().zip(&run.results) {
            let verdict = serde_json::to_value(result.validity.verdict).unwrap();
            assert_eq!(
                (&row["case.name"], &row["validity.verdict"]),
                (&result.case.name, &verdict.as_str().unwrap().to_owned())
            );
            let slope = result.memory_per_connection.target.user_bytes;
            let low = slope.map_or(String::new(), |slope| serde_json::to_string(&slope.ci95[0]).unwrap());
            assert_eq!(row["memory_per_connection.target.user_bytes.ci95.low"], low);
        }
    }
}

/// The README's list of columns is the program's.
#[test]
fn the_readme_lists_the_columns() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = text.split_once("<!-- columns of --format csv -->\n```\n").unwrap();
    let listed: Vec<&str> = rest.split("```").next().unwrap().lines().collect();
    assert_eq!(listed, brink_results::csv::COLUMNS);
}

#[test]
fn a_table_of_old_results_drops_no_flag() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a.hlog");
    let run_dir = root().join("results/2026-11-21-quick");
    let csv = ["report", run_dir.to_str().unwrap(), "--format", "csv"];
    stdout(&[&csv[..], &["--hdr-log", log.to_str().unwrap()]].concat(), 0);
    assert!(std::fs::read_to_string(&log).unwrap().contains("Tag="));
    for flag in ["--svg", "--png"] {
        let output = run(&[&csv[..], &[flag, dir.path().to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(2), "{flag}");
    }
}

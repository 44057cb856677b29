//! What two cases differ in, and whether they still ask the same question.
//!
//! The question is what is asked of a target: connections, workload, payload, delay, work. What answers it (the target,
//! the client's way of asking) and how long it is watched may differ: that is what is compared. Must not look at figures.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use brink_wire::value::{format_bytes, format_count, format_duration};

use crate::case::Case;
use crate::schema::CaseResult;

/// Fields of `load` that do not belong to the question: who asks, from where, for how long, and what follows from
/// the number of connections.
const NOT_ASKED: [&str; 18] = [
    "engine",
    "threads",
    "cpus",
    "busy_poll_ns",
    "source_ips",
    "seed",
    "connect_window",
    "warmup_ns",
    "duration_ns",
    "timeout_ns",
    "samples_per_s",
    "plateaus",
    "protocol.host",
    // Of a background likewise; where one is asked and the other not, its connections differ.
    "background.seed",
    "background.timeout_ns",
    "background.protocol.host",
    // How long an edge may be looked for. That it was looked for shows in what is asked instead of connections.
    "climb.within_ns",
    "climb.memory_floor_bytes",
];
/// Fields that say nothing: they follow from others, or are drawn.
const NOT_SAID: [&str; 5] = ["load.seed", "load.background.seed", "load.plateaus", "name", "repeat"];

/// A field that two cases differ in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In words: `delay`, `target work`.
    pub what: String,
    /// In the baseline.
    pub baseline: String,
    /// In the candidate.
    pub candidate: String,
    /// Whether it makes another question of it.
    pub is_question: bool,
}

impl Difference {
    /// `delay 10ms against 20ms`
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} {} against {}", self.what, self.baseline, self.candidate)
    }
}

/// All that two cases differ in, those that make another question first.
#[must_use]
pub fn differences(baseline: &CaseResult, candidate: &CaseResult) -> Vec<Difference> {
    let (a, b) = (fields(baseline), fields(candidate));
    let paths: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let none = Value::Null;
    let mut found: Vec<Difference> = paths
        .into_iter()
        .filter(|path| !NOT_SAID.contains(&path.as_str()))
        .filter_map(|path| {
            let (a, b) = (a.get(path).unwrap_or(&none), b.get(path).unwrap_or(&none));
            (a != b).then(|| Difference {
                what: words(path),
                baseline: figure(path, a),
                candidate: figure(path, b),
                is_question: is_question(path),
            })
        })
        .collect();
    found.sort_by_key(|difference| !difference.is_question);
    found
}

/// The question as text that is the same for cases that ask the same: to find the partner of a case of another name.
#[must_use]
pub fn question(result: &CaseResult) -> String {
    let asked = fields(result).into_iter().filter(|(path, _)| is_question(path));
    asked.map(|(path, value)| format!("{path}={value}\n")).collect()
}

fn is_question(path: &str) -> bool {
    match path.strip_prefix("load.") {
        Some(field) => !NOT_ASKED.contains(&field),
        None => path == "target.delay",
    }
}

/// The resolved case by path, without what does not apply.
fn fields(result: &CaseResult) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    // A case is plain data: it always has a JSON form.
    flatten("", &serde_json::to_value(&result.case).unwrap_or_default(), &mut found);
    let load = &result.case.load;
    // The target's own delay and work wait for requests that ask for none.
    if load.delay_ns.is_some() {
        found.remove("target.delay");
    }
    if load.work_us.is_some() {
        found.remove("target.work_us");
    }
    if result.ceiling.is_some() {
        // There it is where to stop, which follows from the machine.
        found.remove("load.connections");
    }
    found.insert("target.origin".to_owned(), origin(&result.case));
    found
}

fn origin(case: &Case) -> Value {
    use crate::case::Origin;
    Value::from(match &case.target.origin {
        Origin::Started => "started by brink".to_owned(),
        Origin::Address { address, .. } => format!("at {address}"),
        Origin::Command { command, .. } => format!("`{command}`"),
    })
}

/// Objects by path; lists and plain values as they are.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if path != "target.origin" => {
            for (name, field) in fields {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&below, field, into);
            }
        }
        Value::Object(_) => {}
        Value::Null => {}
        _ => {
            into.insert(path.to_owned(), value.clone());
        }
    }
}

/// `load.delay_ns` is the `delay`, `target.work_us` the `target work`.
fn words(path: &str) -> String {
    let words = match path {
        "load.workload.kind" => "workload".to_owned(),
        "load.protocol.kind" => "protocol".to_owned(),
        "load.threads" | "load.cpus" => format!("client {}", &path[5..]),
        "target.delay" => "delay".to_owned(),
        _ => path.replacen("load.", "", 1).replacen("workload.", "", 1).replacen("protocol.", "", 1),
    };
    let mut words = words.replace('.', " ");
    for unit in ["_ns", "_us", "_bytes", "_per_s"] {
        if let Some(head) = words.strip_suffix(unit) {
            words = head.to_owned();
            break;
        }
    }
    words.replace('_', " ")
}

fn figure(path: &str, value: &Value) -> String {
    let number = value.as_u64();
    match (value, number) {
        (Value::Null, _) => "none".to_owned(),
        (_, Some(ns)) if path.ends_with("_ns") => format_duration(Duration::from_nanos(ns)),
        (_, Some(us)) if path.ends_with("_us") => format_duration(Duration::from_micros(us)),
        (_, Some(bytes)) if path.ends_with("_bytes") => format_bytes(bytes as f64),
        (_, Some(count)) => format_count(count),
        (Value::String(text), _) => text.clone(),
        (Value::Array(list), _) if list.is_empty() => "none".to_owned(),
        (Value::Array(list), _) => {
            let shown =
                list.iter().take(4).map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            let more = if list.len() > 4 { ",.." } else { "" };
            format!("{}{more}", shown.collect::<Vec<_>>().join(","))
        }
        _ => value.to_string(),
    }
}

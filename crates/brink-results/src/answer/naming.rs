//! What a case is called beside the others of its run: its label, and what else tells it apart.
//!
//! Tables, charts and comparisons group by these names, so that cases that differ in engine, workload, protocol
//! or rate are never merged. Must not look at figures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brink_wire::value::{format_bytes, format_count, format_duration};

use crate::answer::table::{printable, rate};
use crate::case::{Arrivals, Protocol, Workload};
use crate::schema::CaseResult;

/// Something that cases of one label may differ in.
struct Trait {
    /// In words; empty where the case has no such thing.
    words: fn(&CaseResult) -> String,
    /// Whether it tells cases apart only at the same number of connections, workload and engine. Otherwise it grows with the connections
    /// (a delay that keeps the ceiling constant) and belongs to the step, not to the name.
    at_same_connections: bool,
    /// Whether it is the load's and not the target's.
    of_load: bool,
}

/// In the order in which a name gives them.
const TRAITS: [Trait; 15] = [
    of_load(|r| r.case.load.workload.name().to_owned(), false),
    of_load(|r| protocol(&r.case.load.protocol), false),
    of_load(|r| format!("engine {}", r.case.load.engine), false),
    of_load(rate_words, true),
    of_load(pause_words, true),
    of_load(
        |r| r.case.load.requests.map_or(String::new(), |n| format!("{} requests", format_count(n))),
        true,
    ),
    of_load(|r| format!("payload {}", format_bytes(f64::from(r.case.load.payload_bytes))), true),
    of_load(|r| format!("{} client threads", r.case.load.threads), true),
    of_load(|r| ns_words("asks delay", r.case.load.delay_ns), true),
    of_load(|r| r.case.load.work_us.map_or(String::new(), |us| format!("asks work {us} us")), true),
    of_load(
        |r| r.case.load.background.as_ref().map_or("no background".to_owned(), super::background::in_short),
        true,
    ),
    of_load(|r| if r.case.load.climb.is_some() { "climb".to_owned() } else { String::new() }, true),
    of_target(|r| format!("delay {}", String::from(r.case.target.delay))),
    of_target(|r| format!("work {} us", r.case.target.work_us)),
    of_target(|r| format!("{} processes", r.case.target.processes)),
];

const fn of_load(words: fn(&CaseResult) -> String, at_same_connections: bool) -> Trait {
    Trait { words, at_same_connections, of_load: true }
}

const fn of_target(words: fn(&CaseResult) -> String) -> Trait {
    Trait { words, at_same_connections: true, of_load: false }
}

fn ns_words(what: &str, ns: Option<u64>) -> String {
    ns.map_or(String::new(), |ns| format!("{what} {}", format_duration(Duration::from_nanos(ns))))
}

fn rate_words(result: &CaseResult) -> String {
    match result.case.load.workload {
        Workload::Open { rate_per_s, arrivals } => {
            format!("{}/s {}", rate(Some(rate_per_s)), arrivals_name(arrivals))
        }
        _ => String::new(),
    }
}

fn pause_words(result: &CaseResult) -> String {
    match result.case.load.workload {
        Workload::Closed { think_ns } | Workload::Churn { think_ns } => ns_words("think", Some(think_ns)),
        Workload::Hold { heartbeat_ns } => ns_words("heartbeat", heartbeat_ns),
        Workload::Open { .. } | Workload::Burst => String::new(),
    }
}

/// As in the result file.
pub(crate) fn arrivals_name(arrivals: Arrivals) -> &'static str {
    match arrivals {
        Arrivals::Fixed => "fixed",
        Arrivals::Poisson => "poisson",
    }
}

/// `frame`, `GET /delay/0.1`, `bytes PING\r\n`: without the host, which differs between targets that are compared.
pub(crate) fn protocol(protocol: &Protocol) -> String {
    match protocol {
        Protocol::Frame => "frame".to_owned(),
        Protocol::Http { method, path, .. } => printable(&format!("{method} {path}")),
        Protocol::Bytes { send, .. } => printable(&format!("bytes {send}")),
    }
}

/// The names of the cases of a run.
#[derive(Debug, Clone)]
pub struct Names {
    /// By label, which of [`TRAITS`] tell its cases apart.
    of_labels: BTreeMap<String, BTreeSet<usize>>,
    /// Which of [`TRAITS`] tell loads apart, whatever the label.
    of_loads: BTreeSet<usize>,
}

impl Names {
    /// Of all cases that are shown together.
    pub fn new<'a>(results: impl IntoIterator<Item = &'a CaseResult>) -> Self {
        let described: Vec<(&CaseResult, Vec<String>)> =
            results.into_iter().map(|r| (r, TRAITS.iter().map(|t| (t.words)(r)).collect())).collect();
        let labels: BTreeSet<&str> = described.iter().map(|d| d.0.case.target.label.as_str()).collect();
        let of_label = |label: &str| {
            let own: Vec<_> = described.iter().filter(|d| d.0.case.target.label == label).collect();
            (label.to_owned(), varying(&own))
        };
        Self {
            of_labels: labels.into_iter().map(of_label).collect(),
            of_loads: varying(&described.iter().collect::<Vec<_>>()),
        }
    }

    /// The label and what tells the case apart from others of that label: `tokio, open, engine threads`.
    #[must_use]
    pub fn of(&self, result: &CaseResult) -> String {
        let mut name = printable(&result.case.target.label);
        if let Some(varying) = self.of_labels.get(&result.case.target.label) {
            for words in words(result, varying, |_| true) {
                name.push_str(&format!(", {words}"));
            }
        }
        name
    }

    /// What tells the load of the case apart from others of the run, whatever the label; empty where all are alike.
    #[must_use]
    pub fn load(&self, result: &CaseResult) -> String {
        words(result, &self.of_loads, |t| t.of_load).join(", ")
    }
}

fn words(result: &CaseResult, varying: &BTreeSet<usize>, wanted: fn(&Trait) -> bool) -> Vec<String> {
    let chosen = varying.iter().map(|&i| &TRAITS[i]).filter(|t| wanted(t));
    chosen.map(|t| (t.words)(result)).filter(|words| !words.is_empty()).collect()
}

fn varying(described: &[&(&CaseResult, Vec<String>)]) -> BTreeSet<usize> {
    let differs = |i: usize| {
        let is_step = TRAITS[i].at_same_connections;
        // What is seen first at a place; another one there tells cases apart.
        let mut seen: BTreeMap<(u64, &str, &str), &str> = BTreeMap::new();
        described.iter().any(|(result, words)| {
            let load = &result.case.load;
            let step = (load.connections, load.workload.name(), load.engine.as_str());
            let place = if is_step { step } else { (0, "", "") };
            *seen.entry(place).or_insert(&words[i]) != words[i]
        })
    };
    (0..TRAITS.len()).filter(|&i| differs(i)).collect()
}

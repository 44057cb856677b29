//! What the client's engines saw of the same target under the same load, side by side.
//!
//! Valid results only. Must not say why they differ.

use brink_wire::value::{format_count, format_ns};

use crate::answer::compare::same_question;
use crate::answer::grid::Grid;
use crate::answer::table::{NULL, printable};
use crate::answer::workload;
use crate::schema::{CaseResult, Verdict};

/// Rows by target, load and connections, columns by engine, p50 of latency in the cells; `None` where no case was
/// asked by several engines.
#[must_use]
pub fn grid(results: &[&CaseResult]) -> Option<Grid> {
    let valid =
        results.iter().copied().filter(|r| r.validity.verdict == Verdict::Valid && r.latency_ns.is_some());
    let mut questions: Vec<Vec<&CaseResult>> = Vec::new();
    for result in valid {
        match questions.iter_mut().find(|same| same_question(same[0], result)) {
            Some(same) => same.push(result),
            None => questions.push(vec![result]),
        }
    }
    questions.retain(|same| same.iter().any(|r| r.case.load.engine != same[0].case.load.engine));
    let mut engines: Vec<&str> = questions.iter().flatten().map(|r| r.case.load.engine.as_str()).collect();
    engines.sort_unstable();
    engines.dedup();
    let row = |same: &Vec<&CaseResult>| {
        let case = &same[0].case;
        let name = format!("{}, {}", printable(&case.target.label), workload::words(&case.load));
        let cells = engines.iter().map(|engine| p50(same, engine));
        [name, format_count(case.load.connections)].into_iter().chain(cells).collect()
    };
    let heads = ["target and load", "conns"].into_iter().chain(engines.iter().copied());
    (!questions.is_empty()).then(|| Grid {
        title: "The same load by different engines of the client, p50 of latency:".to_owned(),
        heads: heads.map(printable).collect(),
        rows: questions.iter().map(row).collect(),
        last_is_words: false,
        notes: Vec::new(),
    })
}

/// Of all repeats: `1.02 ms`, or `1.02 ms to 1.10 ms`.
fn p50(same: &[&CaseResult], engine: &str) -> String {
    let own = same.iter().filter(|r| r.case.load.engine == engine);
    let known: Vec<u64> = own.filter_map(|r| r.latency_ns.as_ref()).map(|latency| latency.p50).collect();
    match (known.iter().min(), known.iter().max()) {
        (Some(low), Some(high)) if low == high => format_ns(*low as f64),
        (Some(low), Some(high)) => format!("{} to {}", format_ns(*low as f64), format_ns(*high as f64)),
        _ => NULL.to_owned(),
    }
}

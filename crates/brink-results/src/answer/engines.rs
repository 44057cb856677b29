//! What the client's engines saw of the same target under the same load, side by side.
//!
//! Valid results only. Must not say why they differ.

use brink_wire::value::{format_count, format_ns};

use crate::answer::compare::same_question;
use crate::answer::grid::Grid;
use crate::answer::spread::figure;
use crate::answer::table::{NULL, printable};
use crate::answer::workload;
use crate::measures::Measure;
use crate::schema::{CaseResult, Verdict};
use crate::statistics::{Observation, Scale, estimate};

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

/// The median of all repeats: `1.02 ms`, or `1.02 ms ±0.10 ms`.
fn p50(same: &[&CaseResult], engine: &str) -> String {
    let measure = Measure::find("latency_ns.p50");
    let own = same.iter().filter(|r| r.case.load.engine == engine);
    let runs: Vec<Observation> = measure.map_or(Vec::new(), |m| own.filter_map(|r| (m.pick)(r)).collect());
    estimate(&runs, Scale::Ratio).map_or(NULL.to_owned(), |estimate| figure(&estimate, format_ns))
}

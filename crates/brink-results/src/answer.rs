//! The answer on stdout: a table, then what it says in plain words, then tables of the details.
//!
//! Derived only from results, so that an old run answers the same way. Must not compare results
//! that are not valid, and must not call a difference what the intervals do not keep apart.

pub mod background;
pub mod ceiling;
pub mod compare;
pub(crate) mod cost;
mod crossover;
pub mod engines;
pub mod failures;
pub mod fidelity;
pub mod grid;
pub mod held;
pub mod loads;
pub mod naming;
pub mod shortfall;
pub mod single;
pub(crate) mod spread;
pub mod table;
pub mod workers;
pub mod workload;
pub mod wrap;

use crate::answer::grid::Grid;
use crate::answer::naming::Names;
use crate::schema::CaseResult;
use crate::store::RunData;

pub use ceiling::answer_ceiling;
pub use single::answer_one;

/// Tables and sentences for a run, as plain text that ends with a newline, in paragraphs. All of it keeps to
/// [`wrap::COLUMNS`] columns, as far as figures and commands allow.
#[must_use]
pub fn answer(run: &RunData) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    if !run.results.is_empty() {
        paragraphs.push(table::served(&run.results).text());
    }
    let (headline, details) = grids(run);
    paragraphs.extend(headline.iter().map(Grid::text));
    for sentence in sentences(run) {
        paragraphs.push(wrap::lines(&sentence, 0).join("\n") + "\n");
    }
    paragraphs.extend(details.iter().map(Grid::text));
    paragraphs.join("\n")
}

/// The tables beside that of all results: what single workloads measure, which belongs above the sentences, and the
/// details, which belong below.
fn grids(run: &RunData) -> (Vec<Grid>, Vec<Grid>) {
    let results = ordered(&run.results);
    let names = Names::new(results.iter().copied());
    let mut details: Vec<Grid> = engines::grid(&results).into_iter().collect();
    details.extend(fidelity::grids(&results, &names));
    details.extend(workers::grid(&results, &names));
    if !results.is_empty() {
        details.push(table::used(&run.results));
    }
    let ceilings = Some(ceiling::grid(&results, &names)).filter(|grid| !grid.rows.is_empty());
    (loads::grids(&results, &names).into_iter().chain(ceilings).collect(), details)
}

/// What the results say, one paragraph each: who holds what, at what cost, where they differ, what failed.
#[must_use]
pub fn sentences(run: &RunData) -> Vec<String> {
    if run.results.is_empty() {
        let mut said = vec!["Nothing was measured.".to_owned()];
        said.extend(failures::missing(run));
        said.extend(failures::unreadable(run));
        return said;
    }
    // How many connections a ceiling asks for is where it would stop at the latest: not to hold them is what it is for.
    let (ceilings, results): (Vec<_>, Vec<_>) =
        ordered(&run.results).into_iter().partition(|result| result.ceiling.is_some());
    let mut said: Vec<String> = ceilings.into_iter().filter_map(ceiling::sentence).collect();
    said.extend(held::held(&results));
    said.extend(compare::compared(&results));
    said.extend(failures::not_valid(&results));
    said.extend(failures::missing(run));
    said.extend(failures::unreadable(run));
    said
}

/// By name among the others, connections, repeat and name of the case: the order of every table and legend, whatever
/// order the cases ran in.
#[must_use]
pub fn ordered(results: &[CaseResult]) -> Vec<&CaseResult> {
    let names = Names::new(results);
    let mut sorted: Vec<(String, &CaseResult)> = results.iter().map(|r| (names.of(r), r)).collect();
    sorted.sort_by(|(a_name, a), (b_name, b)| {
        let key = |r: &CaseResult| (r.case.load.connections, r.case.repeat);
        let label = a.case.target.label.cmp(&b.case.target.label);
        label.then(a_name.cmp(b_name)).then(key(a).cmp(&key(b))).then(a.case.name.cmp(&b.case.name))
    });
    sorted.into_iter().map(|named| named.1).collect()
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

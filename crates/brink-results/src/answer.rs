//! The answer on stdout: a table, then what it says in plain words.
//!
//! Derived only from results, so that an old run answers the same way. Must not compare results
//! that are not valid, and must not call a difference what the intervals do not keep apart.

pub mod compare;
mod cost;
pub mod failures;
pub mod held;
pub mod shortfall;
pub mod single;
pub mod table;
pub mod wrap;

use crate::schema::CaseResult;
use crate::store::RunData;

pub use single::answer_one;

/// Table and sentences for a run, as plain text that ends with a newline. Sentences are wrapped to
/// [`wrap::COLUMNS`] columns; the table is as wide as its figures.
#[must_use]
pub fn answer(run: &RunData) -> String {
    let mut text = table::text(&run.results);
    for sentence in sentences(run) {
        if !text.is_empty() {
            text.push('\n');
        }
        for line in wrap::lines(&sentence, 0) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
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
    let results = ordered(&run.results);
    let mut said = Vec::new();
    said.extend(held::held(&results));
    said.extend(compare::compared(&results));
    said.extend(failures::not_valid(&results));
    said.extend(failures::missing(run));
    said.extend(failures::unreadable(run));
    said
}

/// By label, connections, repeat and name: the order of every table and legend, whatever order the cases ran in.
#[must_use]
pub fn ordered(results: &[CaseResult]) -> Vec<&CaseResult> {
    let mut sorted: Vec<&CaseResult> = results.iter().collect();
    sorted.sort_by_key(|r| (&r.case.target.label, r.case.load.connections, r.case.repeat, &r.case.name));
    sorted
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

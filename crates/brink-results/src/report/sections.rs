//! The parts of the report that are not about failures or machines: head, tables, ceilings, command, versions.
//!
//! Lays out what the results hold. Must not judge.

use brink_wire::value::format_count;
use maud::{Markup, html};

use crate::answer::grid::Grid;
use crate::answer::naming::Names;
use crate::answer::table::{self, HEADS, LEGEND};
use crate::answer::{ceiling, engines, fidelity, loads, ordered, workers};
use crate::schema::{RESULT_SCHEMA, Verdict};
use crate::store::RunData;

pub(super) fn title(run: &RunData) -> String {
    match &run.plan {
        Some(plan) => format!("brink: {}", plan.name),
        None => "brink: results without a plan".to_owned(),
    }
}

pub(super) fn head(run: &RunData, title: &str) -> Markup {
    let valid = run.results.iter().filter(|r| r.validity.verdict == Verdict::Valid).count();
    html! {
        header {
            h1 { (title) }
            p.sub {
                (counted(run.results.len(), "result"))
                // A ceiling goes on until something gives way: there its validity says nothing.
                @if run.results.iter().any(|r| r.ceiling.is_none()) { ", " (valid) " of them valid" }
                @if let Some(plan) = &run.plan { "; " (counted(plan.cases.len(), "case")) " planned " (plan.created) }
            }
        }
    }
}

/// `1 case`, `2 cases`
fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {what}{s}", format_count(count as u64))
}

pub(super) fn table(run: &RunData) -> Markup {
    let rows = table::rows(&run.results);
    let class = |i: usize| if i == 0 || i + 1 == HEADS.len() { "k" } else { "n" };
    // A column that says nothing of any case is not there: verdicts where all are valid, runs where none was repeated.
    let columns: Vec<usize> =
        (0..HEADS.len()).filter(|&i| rows.iter().any(|row| !row.cells[i].is_empty())).collect();
    html! {
        section #results {
            h2 { "Results" }
            div.box {
                table {
                    thead { tr { @for &i in &columns { th class=(class(i)) { (HEADS[i]) } } } }
                    tbody {
                        @for row in &rows {
                            tr.bad[!row.valid] {
                                @for &i in &columns { td class=(class(i)) { (row.cells[i]) } }
                            }
                        }
                    }
                }
            }
            p.sub { (LEGEND.join(" ")) }
        }
    }
}

/// What only some workloads and targets have: bursts, open loops, churn, waits that were off, processes one by one.
pub(super) fn details(run: &RunData) -> Markup {
    let results = ordered(&run.results);
    let names = Names::new(results.iter().copied());
    let section = |title: &str, grids: &[Grid]| {
        html! {
            @if !grids.is_empty() {
                section {
                    h2 { (title) }
                    @for grid in grids { h3 { (grid.title.trim_end_matches(':')) } (grid.html()) }
                }
            }
        }
    };
    let per_worker: Vec<Grid> = workers::grid(&results, &names).into_iter().collect();
    let by_engine: Vec<Grid> = engines::grid(&results).into_iter().collect();
    html! {
        (section("By workload", &loads::grids(&results, &names)))
        (section("By engine", &by_engine))
        (section("Delay fidelity", &fidelity::grids(&results, &names)))
        (section("Per worker", &per_worker))
    }
}

/// Of each `brink ceiling` what it found; nothing where there is none.
pub(super) fn ceilings(run: &RunData) -> Markup {
    let found: Vec<_> = run.results.iter().filter_map(|r| Some((r, r.ceiling.as_ref()?))).collect();
    html! {
        @if !found.is_empty() {
            section {
                h2 { "Ceiling" }
                @for (result, ceiling) in found {
                    h3 { (ceiling::headline(result, ceiling)) }
                    div.box { table { tbody {
                        @for (name, text) in ceiling::rows(result, ceiling) {
                            tr { th { (name) } td.t {
                                @if matches!(name, ceiling::TO_LIFT | ceiling::FOR_GOOD) { code { (text) } } @else { (text) }
                            } }
                        }
                    } } }
                }
            }
        }
    }
}

pub(super) fn reproduce(run: &RunData) -> Markup {
    html! {
        section {
            h2 { "To run it again" }
            @match &run.plan {
                Some(plan) => {
                    pre { (plan.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")) }
                    p.sub { "Seed " (plan.seed) ". The resolved cases are in plan.json beside this file." }
                }
                None => p { "No plan was saved with these results; each result file holds its resolved case." },
            }
        }
    }
}

pub(super) fn footer(run: &RunData) -> Markup {
    let mut versions: Vec<&str> = run.results.iter().map(|r| r.facts.brink_version.as_str()).collect();
    versions.extend(run.plan.as_ref().map(|plan| plan.brink_version.as_str()));
    versions.sort_unstable();
    versions.dedup();
    html! {
        footer { "Measured by brink " (versions.join(", ")) "; results in the schema " (RESULT_SCHEMA) "." }
    }
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("--out=results/a"), "--out=results/a");
        assert_eq!(quoted("two words"), "'two words'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}

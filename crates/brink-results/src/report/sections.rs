//! The parts of the report below the charts: table, failures, machines, method, validity, command, versions.
//!
//! Lays out what the results hold. Must not judge.

use brink_wire::control::LimitReading;
use brink_wire::value::{format_bytes, format_count, format_cpus};
use maud::{Markup, html};

use crate::answer::failures::{confidence_name, end_name};
use crate::answer::grid::Grid;
use crate::answer::naming::Names;
use crate::answer::table::{self, HEADS, LEGEND, NULL, verdict_name};
use crate::answer::{ceiling, engines, fidelity, loads, ordered, workers};
use crate::memory::range;
use crate::schema::{CaseResult, EndFacts, RESULT_SCHEMA, Verdict};
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
                (run.results.len()) " results, " (valid) " of them valid"
                @if let Some(plan) = &run.plan { "; " (plan.cases.len()) " cases planned " (plan.created) }
            }
        }
    }
}

pub(super) fn table(run: &RunData) -> Markup {
    let rows = table::rows(&run.results);
    let class = |i: usize| if i == 0 || i + 1 == HEADS.len() { "k" } else { "n" };
    html! {
        section {
            h2 { "Results" }
            div.box {
                table {
                    thead { tr { @for (i, head) in HEADS.iter().enumerate() { th class=(class(i)) { (head) } } } }
                    tbody {
                        @for row in &rows {
                            tr.bad[!row.valid] {
                                @for (i, cell) in row.cells.iter().enumerate() { td class=(class(i)) { (cell) } }
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

pub(super) fn failure_points(run: &RunData) -> Markup {
    let gave_way: Vec<_> =
        ordered(&run.results).into_iter().filter_map(|r| Some((r, r.failure_point.as_ref()?))).collect();
    let short: Vec<_> = ordered(&run.results)
        .into_iter()
        .filter_map(|r| Some((r, r.predicted.as_ref().filter(|p| p.short)?)))
        .collect();
    html! {
        section {
            h2 { "Where it gave way" }
            @if gave_way.is_empty() { p { "No case met a failure point." } }
            @for (result, point) in &gave_way {
                h3 { (result.case.name) }
                div.box { table { tbody {
                    tr { th { "at" } td { (format_count(point.at_connections)) " connections"
                        @if let Some(predicted) = point.predicted_at { " (predicted: " (format_count(predicted)) ")" } } }
                    tr { th { "seen" } td { (end_name(point.end)) ", " (point.phase) " " (point.errno) } }
                    tr { th { "limit" } td { (point.limit)
                        @if let Some(value) = point.limit_value { " = " (format_count(value)) }
                        " (" (confidence_name(point.confidence)) ")" } }
                    @if let Some(fix) = &point.fix { tr { th { "to lift it" } td { code { (fix) } } } }
                    @if let Some(lasting) = &point.lasting { tr { th { "for good" } td { code { (lasting) } } } }
                    @if !point.evidence.is_empty() {
                        tr { th { "evidence" } td.t { ul { @for line in &point.evidence { li { (line) } } } } }
                    }
                } } }
            }
            @for (result, predicted) in &short {
                p {
                    "Predicted before it began: " (result.case.name) " ends at "
                    (format_count(predicted.at_connections)) " connections by " (predicted.limit)
                    @if let Some(value) = predicted.limit_value { " = " (format_count(value)) }
                    " (" (end_name(predicted.end)) ")."
                    @if let Some(fix) = &predicted.fix { " To lift it: " code { (fix) } }
                }
            }
        }
    }
}

pub(super) fn machines(run: &RunData) -> Markup {
    let results = ordered(&run.results);
    let Some(first) = results.first() else {
        return html! {};
    };
    let differing: Vec<&str> = results
        .iter()
        .filter(|r| {
            let target = |r: &CaseResult| r.facts.target.as_ref().map(|t| t.machine.clone());
            r.facts.client.machine != first.facts.client.machine || target(r) != target(first)
        })
        .map(|r| r.case.name.as_str())
        .collect();
    let shared = match first.facts.shared_machine {
        Some(true) => "Both ends ran on one machine.",
        Some(false) => "Each end had its own machine.",
        None => "Whether both ends shared a machine is unknown.",
    };
    html! {
        section {
            h2 { "Machines" }
            p {
                (shared)
                @if !first.facts.shared_cpus.is_empty() {
                    " Both could run on CPUs " (format_cpus(&first.facts.shared_cpus)) "."
                }
            }
            (machine("Client", Some(&first.facts.client)))
            (machine("Target", first.facts.target.as_ref()))
            @if !differing.is_empty() {
                p { "As in the case " (first.case.name) "; other facts in: " (differing.join(", ")) "." }
            }
        }
    }
}

fn machine(end: &str, facts: Option<&EndFacts>) -> Markup {
    let Some(facts) = facts else {
        return html! { h3 { (end) } p { "It does not say what it runs on." } };
    };
    let m = &facts.machine;
    let text = |value: &Option<String>| value.clone().unwrap_or(NULL.to_owned());
    let memory = m.memory_bytes.map_or(NULL.to_owned(), |b| format_bytes(b as f64));
    html! {
        h3 { (end) }
        div.box { table { tbody {
            tr { th { "kernel" } td { (text(&m.kernel)) " " (text(&m.architecture)) } }
            tr { th { "processor" } td { (text(&m.cpu_model)) } }
            tr { th { "CPUs" } td { (m.cpus) " online, may run on " (format_cpus(&m.cpus_allowed)) } }
            tr { th { "memory" } td { (memory) ", pages of " (format_bytes(m.page_bytes as f64)) } }
        } } }
        @if !facts.limits.is_empty() {
            details {
                summary { "Limits of the " (end.to_lowercase()) " (" (facts.limits.len()) ")" }
                (limits(&facts.limits))
            }
        }
    }
}

fn limits(limits: &[LimitReading]) -> Markup {
    let count = |value: Option<u64>| value.map_or(NULL.to_owned(), format_count);
    html! {
        div.box { table {
            thead { tr { th { "limit" } th.n { "value" } th.n { "can be raised to" } th.n { "in use" } th { "read from" } th { "note" } } }
            tbody { @for limit in limits { tr {
                td.k { (limit.name) } td.n { (count(limit.value)) } td.n { (count(limit.hard)) } td.n { (count(limit.used)) }
                td.k { (limit.source) } td.t { (limit.note.as_deref().unwrap_or("")) }
            } } }
        } }
    }
}

pub(super) fn method(run: &RunData) -> Markup {
    // Cases differ in their plateaus, hardly in what follows: each distinct procedure is shown once.
    let mut memory: Vec<(&str, Vec<String>)> = Vec::new();
    for result in ordered(&run.results) {
        let per = &result.memory_per_connection;
        let range = range(&per.plateaus).unwrap_or_default();
        let procedure =
            per.method.strip_prefix(range.as_str()).unwrap_or(&per.method).trim_start_matches(", ");
        let case = format!("{}: {range}", result.case.name).trim_end_matches(": ").to_owned();
        match memory.iter_mut().find(|m| m.0 == procedure) {
            Some(same) => same.1.push(case),
            None => memory.push((procedure, vec![case])),
        }
    }
    html! {
        section {
            h2 { "Method" }
            ul {
                li { "Memory per connection is a slope, never a total divided by a count." }
                @for (procedure, cases) in &memory {
                    li { (procedure) "." ul { @for case in cases { li { (case) } } } }
                }
                li { "Latency is of the requests sent (or due) in the measuring window, from HDR histograms with three digits. \
                      In a closed loop it counts from sending, so that a stalled target also stalls the asking; in an open loop from when \
                      the request was due; in churn from the beginning of its connection." }
                li { "The ceiling is connections / (delay + think time), of an open loop no more than its rate. Near it the delay or the \
                      schedule sets the rate, and the figure does not rank models." }
                li { "CPU and threads are those of the measuring window." }
                li { "Only valid results are compared. Figures of repeated cases are medians; a difference is claimed only where their 95% intervals are apart." }
            }
        }
    }
}

pub(super) fn validity(run: &RunData) -> Markup {
    html! {
        section {
            h2 { "Validity" }
            div.box { table {
                thead { tr { th { "case" } th { "verdict" } th { "reasons, and why a measure is missing" } } }
                tbody { @for result in ordered(&run.results) { tr {
                    td.k { (result.case.name) }
                    td.k { (verdict_name(result.validity.verdict)) }
                    td.t { @if !result.validity.reasons.is_empty() {
                        ul { @for reason in &result.validity.reasons { li { (reason) } } }
                    } }
                } } }
            } }
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

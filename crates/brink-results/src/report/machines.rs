//! What the ends ran on, each distinct machine once, and how it was measured.
//!
//! Lays out what the results hold. Must not judge.

use brink_wire::control::LimitReading;
use brink_wire::value::{format_bytes, format_count, format_cpus};
use maud::{Markup, html};

use crate::answer::ordered;
use crate::answer::table::NULL;
use crate::memory::range;
use crate::report::failures::listed;
use crate::schema::{CaseResult, EndFacts};
use crate::store::RunData;

/// An end as cases had it that ran on the same.
struct Group<'a> {
    end: &'static str,
    facts: Option<&'a EndFacts>,
    cases: Vec<String>,
}

pub(super) fn machines(run: &RunData) -> Markup {
    let results = ordered(&run.results);
    let Some(first) = results.first() else {
        return html! {};
    };
    let mut groups: Vec<Group> = Vec::new();
    for end in ["Client", "Target"] {
        for result in &results {
            let facts =
                if end == "Client" { Some(&result.facts.client) } else { result.facts.target.as_ref() };
            match groups.iter_mut().find(|group| group.end == end && is_same(group.facts, facts)) {
                Some(group) => group.cases.push(result.case.name.clone()),
                None => groups.push(Group { end, facts, cases: vec![result.case.name.clone()] }),
            }
        }
    }
    let is_alike = |r: &&&CaseResult| {
        r.facts.shared_machine == first.facts.shared_machine && r.facts.shared_cpus == first.facts.shared_cpus
    };
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
                @if results.iter().filter(is_alike).count() < results.len() {
                    " That is of " (first.case.name) "; other cases differ."
                }
            }
            @for group in &groups { (machine(group, results.len())) }
        }
    }
}

/// Whether an end ran on the same, under the same limits; what of them was in use may differ.
fn is_same(a: Option<&EndFacts>, b: Option<&EndFacts>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    let limits = |facts: &EndFacts| -> Vec<_> {
        facts.limits.iter().map(|l| (l.name.clone(), l.value, l.hard)).collect()
    };
    a.machine == b.machine && limits(a) == limits(b)
}

fn machine(group: &Group, all: usize) -> Markup {
    let heading = html! {
        h3 { (group.end) }
        @if group.cases.len() < all { p.sub { (group.cases.len()) " of " (all) " results: " (listed(&group.cases)) } }
    };
    let Some(facts) = group.facts else {
        return html! { (heading) p { "It does not say what it runs on." } };
    };
    let m = &facts.machine;
    let text = |value: &Option<String>| value.clone().unwrap_or(NULL.to_owned());
    let memory = m.memory_bytes.map_or(NULL.to_owned(), |b| format_bytes(b as f64));
    html! {
        (heading)
        div.box { table { tbody {
            tr { th { "kernel" } td { (text(&m.kernel)) " " (text(&m.architecture)) } }
            tr { th { "processor" } td { (text(&m.cpu_model)) } }
            tr { th { "CPUs" } td { (m.cpus) " online, may run on " (format_cpus(&m.cpus_allowed)) } }
            tr { th { "memory" } td { (memory) ", pages of " (format_bytes(m.page_bytes as f64)) } }
        } } }
        @if !facts.limits.is_empty() {
            details {
                summary { "Limits of the " (group.end.to_lowercase()) " (" (facts.limits.len()) ")" }
                (limits(&facts.limits))
                @if group.cases.len() > 1 { p.sub { "What is in use is that of " (group.cases[0]) "." } }
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
    // Cases differ in their plateaus, hardly in what follows: each distinct procedure is shown once, with its ranges.
    let mut memory: Vec<(&str, Vec<(String, usize)>)> = Vec::new();
    for result in ordered(&run.results) {
        let per = &result.memory_per_connection;
        let range = range(&per.plateaus).unwrap_or_default();
        let procedure =
            per.method.strip_prefix(range.as_str()).unwrap_or(&per.method).trim_start_matches(", ");
        let at = memory.iter().position(|m| m.0 == procedure).unwrap_or_else(|| {
            memory.push((procedure, Vec::new()));
            memory.len() - 1
        });
        let ranges = &mut memory[at].1;
        match ranges.iter_mut().find(|known| known.0 == range) {
            Some(known) => known.1 += 1,
            None => ranges.push((range, 1)),
        }
    }
    let counted = |ranges: &[(String, usize)]| -> Vec<String> {
        let known = ranges.iter().filter(|(range, _)| !range.is_empty());
        known.map(|(range, count)| format!("{range} ({count})")).collect()
    };
    html! {
        section {
            h2 { "Method" }
            ul {
                li { "Memory per connection is a slope, never a total divided by a count." }
                @for (procedure, ranges) in &memory {
                    li { @if counted(ranges).is_empty() { (procedure) } @else { "Of the plateaus: " (procedure) } "." @if !counted(ranges).is_empty() {
                        " In so many results: " (listed(&counted(ranges))) "."
                    } }
                }
                li { "Where a case was repeated, plots show the median of its valid runs; its 95% interval is a bootstrap over the runs, \
                      stretched for their small number." }
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

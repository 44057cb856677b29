//! Where cases gave way, with limit, evidence and fix, and what speaks against results: what is the same is told once.
//!
//! Lays out what the results hold. Must not judge.

use brink_wire::value::format_count;
use maud::{Markup, html};

use crate::answer::failures::{confidence_name, end_name};
use crate::answer::ordered;
use crate::answer::table::verdict_name;
use crate::schema::{CaseResult, FailurePoint, Predicted};
use crate::store::RunData;

/// Cases that are named one by one before the rest is only counted, to be unfolded.
const NAMED_MAX: usize = 6;

/// Failure points: each kind once, with the cases that met it.
pub(super) fn failure_points(run: &RunData) -> Markup {
    let results = ordered(&run.results);
    let gave_way = grouped(results.iter().filter_map(|r| Some((*r, r.failure_point.as_ref()?))), |a, b| {
        let key = |p: &FailurePoint| (p.end, p.limit_value, p.confidence);
        key(a) == key(b)
            && (&a.phase, &a.errno, &a.limit) == (&b.phase, &b.errno, &b.limit)
            && (&a.fix, &a.lasting) == (&b.fix, &b.lasting)
    });
    let short = results.iter().filter_map(|r| Some((*r, r.predicted.as_ref().filter(|p| p.short)?)));
    let short = grouped(short, |a, b| (&a.limit, a.end, &a.fix) == (&b.limit, b.end, &b.fix));
    html! {
        section {
            h2 { "Where it gave way" }
            @if gave_way.is_empty() { p { "No case met a failure point." } }
            @for (point, cases) in &gave_way { (failure_point(point, cases)) }
            @for (predicted, cases) in &short { (prediction(predicted, cases)) }
        }
    }
}

/// What is alike under one of them, with the cases; in the order in which each is first seen.
fn grouped<'a, T>(
    all: impl Iterator<Item = (&'a CaseResult, &'a T)>,
    is_alike: impl Fn(&T, &T) -> bool,
) -> Vec<(&'a T, Vec<(&'a CaseResult, &'a T)>)> {
    let mut groups: Vec<(&T, Vec<(&CaseResult, &T)>)> = Vec::new();
    for (result, it) in all {
        match groups.iter_mut().find(|group| is_alike(group.0, it)) {
            Some(group) => group.1.push((result, it)),
            None => groups.push((it, vec![(result, it)])),
        }
    }
    groups
}

fn failure_point(point: &FailurePoint, cases: &[(&CaseResult, &FailurePoint)]) -> Markup {
    let places: Vec<String> = cases
        .iter()
        .map(|(result, point)| {
            let predicted = point.predicted_at.map(|n| format!(" (predicted: {})", format_count(n)));
            let at = format_count(point.at_connections);
            format!("{}: {at} connections{}", result.case.name, predicted.unwrap_or_default())
        })
        .collect();
    let heading = match cases {
        [(only, _)] => only.case.name.clone(),
        several => format!("{}, {} cases", point.limit, several.len()),
    };
    html! {
        h3 { (heading) }
        div.box { table { tbody {
            tr { th { "at" } td.t { (listed(&places)) } }
            tr { th { "seen" } td { (end_name(point.end)) ", " (point.phase) " " (point.errno) } }
            tr { th { "limit" } td { (point.limit)
                @if let Some(value) = point.limit_value { " = " (format_count(value)) }
                " (" (confidence_name(point.confidence)) ")" } }
            @if let Some(fix) = &point.fix { tr { th { "to lift it" } td.t { code { (fix) } } } }
            @if let Some(lasting) = &point.lasting { tr { th { "for good" } td.t { code { (lasting) } } } }
            @if !point.evidence.is_empty() {
                tr { th { "evidence" @if cases.len() > 1 { ", of the first" } }
                    td.t { ul { @for line in &point.evidence { li { (line) } } } } }
            }
        } } }
    }
}

fn prediction(predicted: &Predicted, cases: &[(&CaseResult, &Predicted)]) -> Markup {
    let places: Vec<String> = cases
        .iter()
        .map(|(result, p)| {
            format!("{} ends at {} connections", result.case.name, format_count(p.at_connections))
        })
        .collect();
    html! {
        p {
            "Predicted before it began: " (listed(&places)) " by " (predicted.limit)
            @if let Some(value) = predicted.limit_value { " = " (format_count(value)) }
            " (" (end_name(predicted.end)) ")."
            @if let Some(fix) = &predicted.fix { " To lift it: " code { (fix) } }
        }
    }
}

/// The first few, the rest to be unfolded.
pub(super) fn listed(items: &[String]) -> Markup {
    let (first, rest) = items.split_at(items.len().min(NAMED_MAX));
    html! {
        (first.join(", "))
        @if !rest.is_empty() {
            " " details.more { summary { "and " (rest.len()) " more" } (rest.join(", ")) }
        }
    }
}

/// Reasons against results, and why measures are missing: what differs by figures only is one row.
pub(super) fn validity(run: &RunData) -> Markup {
    let results = ordered(&run.results);
    let reasons = results.iter().flat_map(|r| {
        let own = r.validity.reasons.iter().map(String::as_str);
        own.map(move |reason| (r.validity.verdict, reason, r.case.name.as_str()))
    });
    let mut rows: Vec<Row> = Vec::new();
    for (verdict, reason, case) in reasons {
        let skeleton = skeleton(reason);
        match rows.iter_mut().find(|row| row.verdict == verdict && row.skeleton == skeleton) {
            Some(row) => row.cases.push(case.to_owned()),
            None => rows.push(Row { verdict, skeleton, reason, cases: vec![case.to_owned()] }),
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.verdict));
    let silent = results.iter().filter(|r| r.validity.reasons.is_empty()).count();
    html! {
        section {
            h2 { "Validity" }
            @if silent > 0 { p { "Nothing speaks against " (silent) " of " (results.len()) " results." } }
            @if !rows.is_empty() {
                div.box { table {
                    thead { tr { th { "verdict" } th { "reason, or why a measure is missing" } th.n { "results" } th { "cases" } } }
                    tbody { @for row in &rows { tr {
                        td.k { (verdict_name(row.verdict)) }
                        td.t { @if row.cases.len() > 1 { "first: " } (row.reason) }
                        td.n { (row.cases.len()) }
                        td.t { (listed(&row.cases)) }
                    } } }
                } }
            }
        }
    }
}

struct Row<'a> {
    verdict: crate::schema::Verdict,
    skeleton: String,
    reason: &'a str,
    cases: Vec<String>,
}

/// A reason without its figures.
fn skeleton(reason: &str) -> String {
    let mut out = String::with_capacity(reason.len());
    for c in reason.chars() {
        let is_figure = c.is_ascii_digit() || (",.;".contains(c) && out.ends_with('#'));
        match is_figure {
            true if out.ends_with('#') => {}
            true => out.push('#'),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_by_figures_are_one() {
        assert_eq!(skeleton("opened 19,968 of 20,000, in 1.5 s"), "opened # of # in # s");
        assert_eq!(skeleton("opened 7 of 8 in 2 s"), "opened # of # in # s");
        assert_ne!(skeleton("its CPU"), skeleton("its schedule"));
    }

    #[test]
    fn the_rest_is_counted_and_kept() {
        let names: Vec<String> = (0..8).map(|i| format!("c{i}")).collect();
        let text = listed(&names).into_string();
        assert!(
            text.starts_with("c0, c1") && text.contains("and 2 more") && text.contains("c6, c7"),
            "{text}"
        );
        assert!(!listed(&names[..6]).into_string().contains("details"));
    }
}

//! What a comparison says in words and cells: shared by text and markdown.
//!
//! Must not lay out, and must not judge anew.

use brink_wire::value::format_cpus;

use super::contrast::{Contrast, Outcome, signed};
use super::{CaseComparison, Comparison, Side};
use crate::answer::listed;
use crate::answer::table::{NULL, printable};
use crate::measures::Unit;
use crate::schema::CaseResult;
use crate::statistics::Estimate;

/// Differences named in the conclusion, of each kind.
const NAMED_MAX: usize = 3;
/// Names listed before the rest is counted.
const LISTED_MAX: usize = 6;
/// An interval of a ratio that reaches further than this hides what people look for.
const WIDE: f64 = 0.1;

/// `28 comparisons: 27 no difference, 1 worse`
pub(super) fn headline(comparison: &Comparison) -> String {
    let counts = comparison.counts();
    let all = counts.decided() + counts.undecided;
    let parts: Vec<String> = [
        (counts.worse, Outcome::Worse),
        (counts.better, Outcome::Better),
        (counts.no_difference, Outcome::NoDifference),
        (counts.undecided, Outcome::Undecided),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, outcome)| format!("{count} {}", outcome.name()))
    .collect();
    let noun = if all == 1 { "comparison" } else { "comparisons" };
    let aside = if counts.not_judged > 0 {
        format!(" ({} more not judged)", counts.not_judged)
    } else {
        String::new()
    };
    if parts.is_empty() {
        format!("No comparison{aside}")
    } else {
        format!("{all} {noun}: {}{aside}", parts.join(", "))
    }
}

/// The largest differences, worse ones first, a sentence for each kind.
pub(super) fn largest(comparison: &Comparison) -> Vec<String> {
    let of = |outcome: Outcome| {
        let mut found: Vec<(&CaseComparison, &Contrast)> =
            comparison.contrasts().filter(|(_, contrast)| contrast.outcome == outcome).collect();
        found.sort_by(|a, b| size(b.1).total_cmp(&size(a.1)));
        let named: Vec<String> =
            found.iter().take(NAMED_MAX).map(|(case, contrast)| one(case, contrast)).collect();
        let more = found.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let head = if outcome == Outcome::Worse { "Worse" } else { "Better" };
        (!named.is_empty()).then(|| format!("{head}: {}{more}.", named.join("; ")))
    };
    [Outcome::Worse, Outcome::Better].into_iter().filter_map(of).collect()
}

/// How far a difference is from none, by factors.
fn size(contrast: &Contrast) -> f64 {
    match (&contrast.ratio, &contrast.difference, &contrast.baseline) {
        (Some(ratio), ..) => ratio.value.ln().abs(),
        (None, Some(difference), Some(baseline)) if baseline.value > 0.0 => {
            (difference.value / baseline.value).abs().ln_1p()
        }
        _ => 0.0,
    }
}

/// `tokio-c100 latency p99 +12.3% (1.02 ms to 1.15 ms)`
fn one(case: &CaseComparison, contrast: &Contrast) -> String {
    let figures = format!(
        "{} to {}",
        figure_cell(contrast, &contrast.baseline),
        figure_cell(contrast, &contrast.candidate)
    );
    let change = match (&contrast.ratio, &contrast.difference) {
        (Some(ratio), _) => format!("{:+.1}%", (ratio.value - 1.0) * 100.0),
        (None, Some(difference)) => plus(contrast.measure.unit, difference.value),
        (None, None) => String::new(),
    };
    format!("{} {} {change} ({figures})", printable(&case.name), contrast.measure.words)
}

/// A figure of a side.
pub(super) fn figure_cell(contrast: &Contrast, estimate: &Option<Estimate>) -> String {
    estimate.map_or(NULL.to_owned(), |estimate| signed(contrast.measure.unit, estimate.value))
}

/// `0.890 (0.872 to 0.908)`, or `+1.20 KiB ±12.0 B`.
pub(super) fn change_cell(contrast: &Contrast) -> String {
    let unit = contrast.measure.unit;
    match (&contrast.ratio, &contrast.difference) {
        (Some(ratio), _) => match ratio.interval {
            Some([low, high]) => format!("{:.3} ({low:.3} to {high:.3})", ratio.value),
            None => format!("{:.3}", ratio.value),
        },
        (None, Some(difference)) => match difference.interval {
            Some([low, high]) => {
                format!("{} ±{}", plus(unit, difference.value), signed(unit, (high - low) / 2.0))
            }
            None => plus(unit, difference.value),
        },
        (None, None) => NULL.to_owned(),
    }
}

/// `worse`; why, where it is not judged, or undecided for want of a figure. A single run is explained in a note.
pub(super) fn verdict_cell(contrast: &Contrast) -> String {
    match contrast.outcome {
        Outcome::NotJudged => contrast.why.clone(),
        Outcome::Undecided if contrast.baseline.is_none() || contrast.candidate.is_none() => {
            contrast.why.clone()
        }
        outcome => outcome.name().to_owned(),
    }
}

fn plus(unit: Unit, value: f64) -> String {
    let sign = if value < 0.0 { "" } else { "+" };
    format!("{sign}{}", signed(unit, value))
}

/// `3 runs`, `3 against 5 runs`.
pub(super) fn runs(case: &CaseComparison) -> String {
    match (case.baseline.len(), case.candidate.len()) {
        (1, 1) => "1 run each".to_owned(),
        (a, b) if a == b => format!("{a} runs each"),
        (a, b) => format!("{a} against {b} runs"),
    }
}

/// What a side is, in a line.
pub(super) fn side(side: &Side) -> String {
    let results = if side.results.len() == 1 {
        "1 result".to_owned()
    } else {
        format!("{} results", side.results.len())
    };
    let first = side.results.iter().map(|result| result.started.as_str()).min().unwrap_or_default();
    format!("{}: {results}, from {}", printable(&side.from), printable(first))
}

/// What machines and versions differ in.
pub(super) fn machines(comparison: &Comparison) -> Vec<String> {
    comparison.machines.iter().map(|difference| printable(&difference.words())).collect()
}

/// What the compared cases differ in, each said once with where it holds.
pub(super) fn cases(comparison: &Comparison) -> Vec<String> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for case in &comparison.cases {
        for difference in &case.differences {
            let words = printable(&difference.words());
            match found.iter_mut().find(|known| known.0 == words) {
                Some(known) => known.1.push(printable(&case.name)),
                None => found.push((words, vec![printable(&case.name)])),
            }
        }
    }
    let all = comparison.cases.len();
    let line = |(words, names): (String, Vec<String>)| match names.len() {
        count if count == all => words,
        _ => format!("{words} ({})", some(&names)),
    };
    found.into_iter().map(line).collect()
}

/// Cases that were not compared, a line for each, and those of one side only.
pub(super) fn left_out(comparison: &Comparison) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let other = |list: &[super::NotCompared], head: &str| -> Vec<String> {
        list.iter().map(|skipped| format!("{head} {}: {}", printable(&skipped.name), skipped.why)).collect()
    };
    lines.extend(other(&comparison.invalid, "Not compared, not valid:"));
    lines.extend(other(&comparison.not_alike, "Not compared, another question:"));
    let only = |names: &[String], whose: &str| {
        let names: Vec<String> = names.iter().map(|name| printable(name)).collect();
        (!names.is_empty()).then(|| format!("Only in the {whose}: {}", some(&names)))
    };
    lines.extend(only(&comparison.only_baseline, "baseline"));
    lines.extend(only(&comparison.only_candidate, "candidate"));
    lines
}

/// Some of many names.
fn some(names: &[String]) -> String {
    match names.len() {
        count if count <= LISTED_MAX => listed(names),
        count => format!("{} and {} more", names[..LISTED_MAX].join(", "), count - LISTED_MAX),
    }
}

/// What must be known of the figures.
pub(super) fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    for (side, whose) in [(comparison.baseline, "baseline"), (comparison.candidate, "candidate")] {
        notes.extend(lacks(side, whose));
    }
    notes.extend(single_runs(comparison));
    notes.extend(shared_cpus(comparison));
    notes.extend(wide(comparison));
    notes.extend(chance(comparison));
    notes
}

/// What was planned and is not there, and what is there and cannot be read.
pub(super) fn lacks(side: &Side, whose: &str) -> Vec<String> {
    let mut lacks = Vec::new();
    if !side.missing.is_empty() {
        let names: Vec<String> = side.missing.iter().map(|name| printable(name)).collect();
        lacks.push(format!("Planned in the {whose}, without a result: {}.", some(&names)));
    }
    if side.missing_runs > 0 {
        let repeats = if side.missing_runs == 1 { "repeat" } else { "repeats" };
        let missing = side.missing_runs;
        lacks.push(format!(
            "Planned in the {whose}, without a result: {missing} {repeats} of cases that have others."
        ));
    }
    lacks.extend(side.unreadable.iter().map(|line| format!("In the {whose}: {}.", printable(line))));
    lacks
}

fn single_runs(comparison: &Comparison) -> Option<String> {
    let is_single = |case: &&CaseComparison| case.baseline.len() == 1 || case.candidate.len() == 1;
    let single = comparison.cases.iter().filter(is_single).count();
    let of = match (single, comparison.cases.len()) {
        (0, _) => return None,
        (1, 1) => "A side has a single run".to_owned(),
        (some, all) => format!("In {some} of {all} cases a side has a single run"),
    };
    Some(format!(
        "{of}, which has no interval: no verdict but on slopes of memory and ceilings, which have one of their own. Repeat the cases \
         (`repeats = 3` in the sweep file) on both sides."
    ))
}

fn shared_cpus(comparison: &Comparison) -> Option<String> {
    let all: Vec<&CaseResult> = comparison
        .cases
        .iter()
        .flat_map(|case| case.baseline.iter().chain(&case.candidate).copied())
        .collect();
    let shared: Vec<String> = {
        let mut lists: Vec<String> = all
            .iter()
            .map(|run| &run.facts.shared_cpus)
            .filter(|cpus| !cpus.is_empty())
            .map(|c| format_cpus(c))
            .collect();
        lists.sort_unstable();
        lists.dedup();
        lists
    };
    (!shared.is_empty()).then(|| {
        format!("Client and target shared the CPUs {}: each is slower for the other.", listed(&shared))
    })
}

fn wide(comparison: &Comparison) -> Option<String> {
    let is_wide = |contrast: &Contrast| {
        let interval = contrast.ratio.and_then(|ratio| ratio.interval);
        contrast.outcome == Outcome::NoDifference
            && interval.is_some_and(|[low, high]| low < 1.0 / (1.0 + WIDE) || high > 1.0 + WIDE)
    };
    let wide = comparison.contrasts().filter(|(_, contrast)| is_wide(contrast)).count();
    (wide > 0).then(|| {
        format!(
            "{wide} of those without a difference could hide one of {:.0}% or more: their intervals reach that far. More \
             repeats narrow them.",
            WIDE * 100.0
        )
    })
}

/// Of many comparisons some differ by chance: one in twenty at most.
fn chance(comparison: &Comparison) -> Option<String> {
    let decided = comparison.counts().decided();
    (decided > 0).then(|| {
        let threshold = comparison.options.threshold;
        let also = if threshold > 0.0 {
            format!(", and it is at least {}%", trimmed(threshold * 100.0))
        } else {
            String::new()
        };
        let by_chance = match decided {
            0..20 => String::new(),
            _ => format!(
                " Of {decided}, the intervals alone may call up to {} by chance.",
                (decided + 10) / 20
            ),
        };
        format!("A difference is called where the 95% interval of the ratio leaves out 1{also}.{by_chance}")
    })
}

/// `3`, `2.5`
fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

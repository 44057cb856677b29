//! Judged claims for a terminal: a table of verdicts, then each claim with its figures and checks.

use super::check::CheckOutcome;
use super::guide::Advice;
use super::{ClaimSpec, JudgedClaim, Spec};
use crate::answer::wrap;

/// Each claim with what was measured of it, the guide, and last of all, where a terminal stands, the verdicts.
#[must_use]
pub fn text(spec: &Spec) -> String {
    let pairs = spec.pairs();
    let width = pairs.iter().map(|(claim, _)| claim.id.len()).max().unwrap_or_default();
    let head = |judged: &JudgedClaim| format!("{:<width$}  {:<9}  ", judged.id, judged.verdict.word());
    let mut lines: Vec<String> = Vec::new();
    for (claim, judged) in &pairs {
        lines.extend(details(&head(judged), claim, judged));
        lines.push(String::new());
    }
    if !spec.advice.is_empty() {
        lines
            .extend(["Which model for which workload, by what was measured here:".to_owned(), String::new()]);
        for advice in &spec.advice {
            lines.extend(hanging("  ", &format!("{}: {}", advice.question.words(), taken(advice))));
            lines.push(String::new());
        }
    }
    lines.extend(pairs.iter().flat_map(|(claim, judged)| hanging(&head(judged), &claim.says)));
    lines.extend([String::new(), summary(&spec.judged)]);
    lines.extend(spec.stopped_words());
    lines.extend(facts(spec));
    lines.join("\n") + "\n"
}

/// What was measured of a claim, and what its checks say.
fn details(head: &str, claim: &ClaimSpec, judged: &JudgedClaim) -> Vec<String> {
    let indent = " ".repeat(head.len());
    let mut lines = hanging(head, &claim.says);
    lines.extend(hanging(&indent, &judged.sentence));
    if !judged.on.is_empty() {
        lines.extend(hanging(&indent, &judged.on));
    }
    // Each reason once: many checks may want for the same.
    let mut told: Vec<&str> = Vec::new();
    for check in judged.checks.iter().filter(|check| check.outcome == CheckOutcome::Unmeasured) {
        if !told.contains(&check.words.as_str()) {
            lines.extend(hanging(&indent, &format!("not measured: {}", check.words)));
            told.push(&check.words);
        }
    }
    if let Some(table) = &judged.table {
        lines.push(String::new());
        lines.extend(table.grid().text().lines().map(str::to_owned));
    }
    lines
}

/// What programs told of themselves: `gil on, implementation CPython, python 3.12.3`.
#[must_use]
pub fn facts(spec: &Spec) -> Option<String> {
    let of = |(name, said): (&String, &std::collections::BTreeSet<String>)| {
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        format!("{name} {}", said.join(" and "))
    };
    let all: Vec<String> = spec.facts.iter().map(of).collect();
    (!all.is_empty()).then(|| format!("Programs: {}.", all.join(", ")))
}

/// `5 hold, 6 fail, 6 depend, 1 undecided`
#[must_use]
pub fn summary(judged: &[JudgedClaim]) -> String {
    use super::ClaimVerdict::{Depends, Fails, Holds, Undecided};
    let count = |verdict| judged.iter().filter(|claim| claim.verdict == verdict).count();
    let said = [(Holds, "hold"), (Fails, "fail"), (Depends, "depend"), (Undecided, "undecided")];
    let parts: Vec<String> = said
        .into_iter()
        .map(|(verdict, word)| (count(verdict), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    format!("{} claims: {}", judged.len(), parts.join(", "))
}

/// What to take, with its figures, and why.
#[must_use]
pub fn taken(advice: &Advice) -> String {
    let Some(take) = &advice.take else { return advice.why.clone() };
    let Some(candidate) = advice.candidates.iter().find(|candidate| candidate.label == *take) else {
        return take.clone();
    };
    let [p99, memory, _, ceiling] = candidate.cells();
    format!("{take}. {}. p99 {p99}; memory {memory}; ceiling {ceiling}", advice.why)
}

/// The answer of `brink advise`.
#[must_use]
pub fn advice(advice: &Advice, from: &str) -> String {
    let mut lines = hanging("", &format!("{}:", advice.question.words()));
    let take = advice.take.as_deref().unwrap_or("none");
    lines.extend(hanging("take      ", &format!("{take}: {}", advice.why)));
    for candidate in &advice.candidates {
        let [p99, memory, per_s, ceiling] = candidate.cells();
        lines.push(String::new());
        let head = match &candidate.excluded {
            Some(why) => format!("{}: out of the question: {why}", candidate.label),
            None => candidate.label.clone(),
        };
        lines.extend(hanging("", &head));
        for (name, words) in [
            ("p99", p99),
            ("memory", memory),
            ("requests/s", format!("at most {per_s}")),
            ("ceiling", ceiling),
        ] {
            lines.extend(hanging(&format!("  {name:<12}"), &words));
        }
        lines.extend(hanging(&format!("  {:<12}", "stands on"), &candidate.cases().join(", ")));
    }
    lines.push(String::new());
    lines.extend(hanging(
        "",
        &format!(
            "From {from}. Each connection asks again as soon as it has its reply; requests/s is what the CPU time of the \
             target allows, as reckoned from the case nearest to the question; ceiling: connections that were held, and \
             the limit that ended it."
        ),
    ));
    lines.join("\n") + "\n"
}

/// Text broken into lines, the first behind `head` and the others below it.
fn hanging(head: &str, text: &str) -> Vec<String> {
    let indent = " ".repeat(head.len());
    let lines = wrap::lines(text, head.len()).into_iter().enumerate();
    lines.map(|(i, line)| format!("{}{line}", if i == 0 { head } else { &indent })).collect()
}

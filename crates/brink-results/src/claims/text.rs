//! Judged claims for a terminal: a table of verdicts, then each claim with its figures and checks.

use super::check::CheckOutcome;
use super::guide::Advice;
use super::{ClaimSpec, JudgedClaim, Spec};

/// Width of a line.
const COLUMNS: usize = 100;

/// All of it.
#[must_use]
pub fn text(spec: &Spec) -> String {
    let judged = &spec.judged;
    let mut lines = Vec::new();
    let pairs: Vec<(&ClaimSpec, &JudgedClaim)> = spec
        .claims
        .iter()
        .filter_map(|claim| Some((claim, judged.iter().find(|j| j.id == claim.id)?)))
        .collect();
    let width = pairs.iter().map(|(claim, _)| claim.id.len()).max().unwrap_or_default();
    for (claim, judged) in &pairs {
        let head = format!("{:<width$}  {:<9}  ", claim.id, judged.verdict.word());
        lines.extend(hanging(&head, &claim.says));
        let indent = " ".repeat(head.len());
        lines.extend(hanging(&indent, &judged.sentence));
        if !judged.on.is_empty() {
            lines.extend(hanging(&indent, &judged.on));
        }
        for check in judged.checks.iter().filter(|check| check.outcome == CheckOutcome::Unmeasured) {
            lines.extend(hanging(&indent, &format!("{}: {}", check.of, check.words)));
        }
        lines.push(String::new());
    }
    lines.push(summary(judged));
    lines.extend(spec.stopped_words());
    if !spec.advice.is_empty() {
        lines
            .extend([String::new(), "Which model for which workload, by what was measured here:".to_owned()]);
        for advice in &spec.advice {
            lines.push(String::new());
            lines.extend(hanging("  ", &format!("{}: {}", advice.question.words(), taken(advice))));
        }
    }
    lines.join("\n") + "\n"
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
    let room = COLUMNS.saturating_sub(head.len()).max(20);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    let indent = " ".repeat(head.len());
    lines
        .iter()
        .enumerate()
        .map(|(i, line)| format!("{}{line}", if i == 0 { head } else { &indent }))
        .collect()
}

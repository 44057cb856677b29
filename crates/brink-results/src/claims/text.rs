//! Judged claims for a terminal: a table of verdicts, then each claim with its figures and checks.

use super::check::CheckOutcome;
use super::{ClaimSpec, JudgedClaim, Spec};

/// Width of a line.
const COLUMNS: usize = 100;

/// All of it.
#[must_use]
pub fn text(spec: &Spec, judged: &[JudgedClaim]) -> String {
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

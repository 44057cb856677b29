//! A comparison for a pull request: headline, gates, the rows that differ; the rest folded away.
//!
//! Labels come from files of others: nothing in them may become markup, a link or a mention. Must not judge.

use super::contrast::{Contrast, Outcome};
use super::{CaseComparison, Comparison, gates_in_words, said};
use crate::gate::Judgement;

/// The comparison, if there is one, and the gates, if there are any, as GitHub's markdown. Ends with a newline.
#[must_use]
pub fn markdown(comparison: Option<&Comparison>, judgements: &[Judgement]) -> String {
    let mut out = String::new();
    let mut heads: Vec<String> = comparison.map(said::headline).into_iter().collect();
    if !judgements.is_empty() {
        heads.push(gates_in_words(judgements));
    }
    out.push_str(&format!("### brink: {}\n\n", escaped(&heads.join("; "))));
    if let Some(comparison) = comparison {
        for sentence in said::largest(comparison) {
            out.push_str(&format!("{}\n\n", escaped(&sentence)));
        }
        let differs = said::machines(comparison);
        out.push_str(&list("Machines and versions differ:", &differs));
        out.push_str(&list("Cases differ:", &said::cases(comparison)));
        out.push_str(&list("Left out:", &said::left_out(comparison)));
    }
    out.push_str(&gates(judgements));
    if let Some(comparison) = comparison {
        out.push_str(&tables(comparison));
        out.push_str(&details(comparison));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn list(head: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!("- {}\n", escaped(item))).collect();
    format!("{head}\n\n{items}\n")
}

/// Breached and close ones in a table; the rest folded away.
fn gates(judgements: &[Judgement]) -> String {
    let row = |judgement: &Judgement| {
        format!(
            "| {} | {} | {} |\n",
            escaped(&judgement.rule),
            escaped(&judgement.case),
            escaped(&judgement.words())
        )
    };
    let (open, folded): (Vec<&Judgement>, Vec<&Judgement>) =
        judgements.iter().partition(|judgement| !judgement.is_kept || judgement.is_close);
    let table = |judgements: &[&Judgement]| {
        let rows: String = judgements.iter().map(|judgement| row(judgement)).collect();
        if rows.is_empty() { rows } else { format!("| gate | case | outcome |\n|---|---|---|\n{rows}\n") }
    };
    table(&open) + &fold(&format!("gates kept: {}", folded.len()), &table(&folded))
}

fn tables(comparison: &Comparison) -> String {
    let of = |is_open: bool| -> String {
        let is_told = |contrast: &Contrast| {
            matches!(contrast.outcome, Outcome::Better | Outcome::Worse | Outcome::Undecided)
        };
        let mut rows: Vec<(&CaseComparison, &Contrast)> =
            comparison.contrasts().filter(|(_, contrast)| is_told(contrast) == is_open).collect();
        rows.sort_by_key(|(_, contrast)| match contrast.outcome {
            Outcome::Worse => 0,
            Outcome::Better => 1,
            Outcome::Undecided => 2,
            Outcome::NoDifference | Outcome::NotJudged => 3,
        });
        let rows: String = rows.into_iter().map(|(case, contrast)| row(case, contrast)).collect();
        let head =
            "| case | measure | baseline | candidate | ratio (95%) | verdict |\n|---|---|--:|--:|--:|---|\n";
        if rows.is_empty() { rows } else { format!("{head}{rows}\n") }
    };
    let counts = comparison.counts();
    let summary = format!("{} without a difference, {} not judged", counts.no_difference, counts.not_judged);
    of(true) + &fold(&summary, &of(false))
}

fn row(case: &CaseComparison, contrast: &Contrast) -> String {
    let verdict = escaped(&said::verdict_cell(contrast));
    let verdict = if contrast.outcome == Outcome::Worse { format!("**{verdict}**") } else { verdict };
    let cells = [
        escaped(&case.name),
        escaped(contrast.measure.words),
        escaped(&said::figure_cell(contrast, &contrast.baseline)),
        escaped(&said::figure_cell(contrast, &contrast.candidate)),
        escaped(&said::change_cell(contrast)),
        verdict,
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn details(comparison: &Comparison) -> String {
    let mut items = vec![
        format!("baseline {}", said::side(comparison.baseline)),
        format!("candidate {}", said::side(comparison.candidate)),
    ];
    if comparison.machines.is_empty() && !comparison.cases.is_empty() {
        items.push("the same machine and the same version of brink on both sides".to_owned());
    }
    items.extend(comparison.notes.iter().cloned());
    fold("What was compared, and how", &list("", &items))
}

fn fold(summary: &str, inside: &str) -> String {
    if inside.is_empty() {
        return String::new();
    }
    format!("<details><summary>{}</summary>\n\n{}\n\n</details>\n\n", escaped(summary), inside.trim())
}

/// Text that stays text: characters with a meaning in markdown or HTML as entities, mentions and references cut in two.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '@' | '#' => out.push_str(&format!("{c}<!-- -->")),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '&' | '|' | '~' | '$' | '!' => {
                out.push_str(&format!("&#{};", u32::from(c)));
            }
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    // A bare address would become a link.
    out.replace("://", ":<!-- -->//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_label_is_markup() {
        let text = escaped("a|b<script>`*_[x](http://e)\n@me #1");
        assert!(!text.contains(['|', '`', '*', '_', '[', '\n']), "{text}");
        assert!(
            !text.contains("<script")
                && !text.contains("@me")
                && !text.contains(" #1")
                && !text.contains("://"),
            "{text}"
        );
        assert_eq!(escaped("9,812/s (0.98 to 1.01)"), "9,812/s (0.98 to 1.01)");
    }

    #[test]
    fn nothing_is_folded_away_that_is_not_there() {
        assert_eq!(fold("x", ""), "");
        assert_eq!(list("x", &[]), "");
    }
}

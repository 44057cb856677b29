//! A comparison on a terminal: what differs besides the figures first, then the table, then what it comes to.
//!
//! Lays out. Must not judge.

use super::contrast::{Contrast, Outcome};
use super::{CaseComparison, Comparison, gates_in_words, said};
use crate::answer::table::printable;
use crate::answer::wrap;
use crate::gate::Judgement;

/// Rows that a table may have before those without a difference are left out.
const ROWS_MAX: usize = 80;
/// Gates that are listed before those that are kept are left out.
const GATES_MAX: usize = 40;

/// The comparison, if there is one, and the gates, if there are any, in paragraphs. Ends with a newline.
#[must_use]
pub fn text(comparison: Option<&Comparison>, judgements: &[Judgement]) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    if let Some(comparison) = comparison {
        paragraphs.push(head(comparison));
        paragraphs.extend(paragraph(&said::left_out(comparison)));
        paragraphs.push(table(comparison));
        paragraphs.extend(paragraph(&comparison.notes));
        let mut conclusion = vec![format!("{}.", said::headline(comparison))];
        conclusion.extend(said::largest(comparison));
        paragraphs.extend(paragraph(&conclusion));
    }
    paragraphs.extend(paragraph(&gates(judgements)));
    paragraphs.join("\n")
}

/// Lines, each broken on its own; `None` without any.
fn paragraph(lines: &[String]) -> Option<String> {
    let broken = |line: &String| wrap::lines(line, 0).join("\n") + "\n";
    (!lines.is_empty()).then(|| lines.iter().map(broken).collect())
}

fn head(comparison: &Comparison) -> String {
    let mut lines = vec![
        format!("baseline   {}", said::side(comparison.baseline)),
        format!("candidate  {}", said::side(comparison.candidate)),
    ];
    let machines = said::machines(comparison);
    if machines.is_empty() && !comparison.cases.is_empty() {
        lines.push("machine    the same on both sides, and the same version of brink".to_owned());
    }
    let mut tagged = |tag: &str, items: Vec<String>| {
        for item in items {
            let broken = wrap::lines(&item, 11);
            for (at, line) in broken.iter().enumerate() {
                lines.push(format!("{:<11}{line}", if at == 0 { tag } else { "" }));
            }
        }
    };
    tagged("machine", machines);
    tagged("case", said::cases(comparison));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A line with the name of each case, and under it a row for each measure.
fn table(comparison: &Comparison) -> String {
    let rows: usize = comparison.cases.iter().map(|case| case.contrasts.len()).sum();
    let is_short = rows > ROWS_MAX && !comparison.options.every_measure;
    let is_shown = |contrast: &&Contrast| {
        !is_short || !matches!(contrast.outcome, Outcome::NoDifference | Outcome::NotJudged)
    };
    let heads = ["", "baseline", "candidate", "candidate / baseline", "verdict"].map(str::to_owned);
    let of_case = |case: &CaseComparison| {
        let rows: Vec<[String; 5]> = case.contrasts.iter().filter(is_shown).map(row).collect();
        (format!("{} ({})", printable(&case.name), said::runs(case)), rows)
    };
    let cases: Vec<(String, Vec<[String; 5]>)> = comparison.cases.iter().map(of_case).collect();
    let all = || cases.iter().flat_map(|case| &case.1).chain([&heads]);
    let widths: [usize; 5] =
        std::array::from_fn(|at| all().map(|cells| cells[at].chars().count()).max().unwrap_or_default());
    let mut out = line(&heads, widths);
    for (name, rows) in cases.iter().filter(|case| !case.1.is_empty()) {
        out.push_str(&format!("{name}\n"));
        rows.iter().for_each(|cells| out.push_str(&line(cells, widths)));
    }
    if is_short {
        out.push_str("Left out: what shows no difference or is not judged. --all shows all.\n");
    }
    out
}

/// The first and the last cell are words, the others figures.
fn line(cells: &[String; 5], widths: [usize; 5]) -> String {
    let [what, baseline, candidate, change, verdict] = cells;
    let [of_what, of_baseline, of_candidate, of_change, _] = widths;
    let line = format!(
        "{what:<of_what$}  {baseline:>of_baseline$}  {candidate:>of_candidate$}  {change:>of_change$}  {verdict}"
    );
    format!("{}\n", line.trim_end())
}

fn row(contrast: &Contrast) -> [String; 5] {
    [
        format!("  {}", contrast.measure.words),
        said::figure_cell(contrast, &contrast.baseline),
        said::figure_cell(contrast, &contrast.candidate),
        said::change_cell(contrast),
        said::verdict_cell(contrast),
    ]
}

/// A line for each gate and case, and what they come to.
fn gates(judgements: &[Judgement]) -> Vec<String> {
    let is_short = judgements.len() > GATES_MAX;
    let shown = judgements.iter().filter(|judgement| !is_short || !judgement.is_kept || judgement.is_close);
    let line = |judgement: &Judgement| {
        let case = if judgement.case.is_empty() {
            String::new()
        } else {
            format!("{}: ", printable(&judgement.case))
        };
        format!("gate {}: {case}{}", judgement.rule, printable(&judgement.words()))
    };
    let end = (!judgements.is_empty()).then(|| format!("{}.", gates_in_words(judgements)));
    shown.map(line).chain(end).collect()
}

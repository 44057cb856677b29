//! Claims in the report: a table of verdicts, then each claim with its figures, its plot, its checks and what would
//! change it.
//!
//! Lays out what was judged. Must not judge.

use maud::{Markup, html};

use super::plots::framed;
use crate::charts;
use crate::claims::check::CheckOutcome;
use crate::claims::guide::Candidate;
use crate::claims::text::{facts, summary};
use crate::claims::{ClaimSpec, JudgedClaim, Spec};
use crate::repeats::{Repeats, repeats};
use crate::store::RunData;

pub(super) fn claims(spec: &Spec, run: &RunData) -> Markup {
    let pairs = spec.pairs();
    let groups = repeats(&run.results);
    html! {
        section {
            p.lead { (summary(&spec.judged)) "." @if spec.quick { " Measured with --quick: fewer cases, shorter windows." } @if let Some(facts) = facts(spec) { " " (facts) } }
            @if let Some(stopped) = spec.stopped_words() { p { (stopped) } }
            h2 { "Claims" }
            div.box { table {
                thead { tr { th.k { "id" } th.k { "claim" } th.k { "verdict" } th.k { "measured here" } } }
                tbody { @for (claim, judged) in &pairs {
                    tr {
                        td.k { a href={ "#claim-" (claim.id) } { (claim.id) } }
                        td.t { (claim.says) }
                        td.k { strong { (judged.verdict.word()) } }
                        td.t { (judged.sentence) @if !judged.on.is_empty() { br; (judged.on) } }
                    }
                } }
            } }
        }
        @if !spec.advice.is_empty() { (guide(spec)) }
        @for (claim, judged) in &pairs { (one(claim, judged, &groups)) }
    }
}

/// Which model for which workload.
fn guide(spec: &Spec) -> Markup {
    html! {
        section {
            h2 { "Which model, on this machine" }
            p.sub { "Each connection asks again as soon as it has its reply. From the cases of this run; `brink advise` answers other questions from them." }
            div.box { table {
                thead { tr { th.k { "workload" } th.k { "take" } th.k { "p99" } th.k { "memory" } th.k { "ceiling" } th.k { "why" } } }
                tbody { @for advice in &spec.advice {
                    @let found = advice.candidates.iter().find(|candidate| Some(&candidate.label) == advice.take.as_ref());
                    @let [p99, memory, _, ceiling] = found.map(Candidate::cells).unwrap_or_default();
                    tr {
                        td.t { (advice.question.words()) }
                        td.k { strong { (advice.take.as_deref().unwrap_or("none")) } }
                        td.t { (p99) } td.t { (memory) } td.t { (ceiling) } td.t { (advice.why) }
                    }
                } }
            } }
        }
    }
}

fn one(claim: &ClaimSpec, judged: &JudgedClaim, groups: &[Repeats]) -> Markup {
    html! {
        section id={ "claim-" (claim.id) } {
            h2 { (claim.id) ": " (judged.verdict.word()) }
            p.lead { (claim.says) }
            p { (judged.sentence) }
            @if !judged.on.is_empty() { p { (judged.on) } }
            @if let Some(figure) = charts::claims::figure(claim, judged, groups) { (framed(&figure, false)) }
            @if let Some(table) = &judged.table {
                (table.grid().html())
            }
            div.box { table {
                thead { tr { th.k { "rule" } th.k { "of" } th.k { "outcome" } th.k { "in figures" } } }
                tbody { @for check in &judged.checks {
                    tr.bad[check.outcome == CheckOutcome::Unmeasured] {
                        td.t { code { (check.rule) } }
                        td.t { (check.of) }
                        td.k { (check.outcome.word()) }
                        td.t { (check.words) }
                    }
                } }
            } }
            details {
                summary { "Figures and how they are reckoned (" (judged.values.len()) ")" }
                div.box { table {
                    thead { tr { th.k { "figure" } th.k { "measured here" } th.k { "claimed" } th.k { "how it is reckoned" } } }
                    tbody { @for value in &judged.values {
                        tr {
                            td.k { (value.name) }
                            td.t { (value.words) }
                            td.k { (value.claimed.as_deref().unwrap_or_default()) }
                            td.t { code { (value.expression) } }
                        }
                    } }
                } }
            }
            p.sub { "Source: " (claim.source) ". What would change the verdict: " (claim.would_change) "." }
        }
    }
}

//! The report: one HTML file that opens offline and asks nobody for anything.
//!
//! Puts together what `answer` and `charts` say; the same run gives the same bytes. Must not compute figures of its own.
//! Its script only sorts tables and shows values: without it the page is whole.

mod claims;
mod failures;
mod machines;
mod plots;
mod sections;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::answer::sentences;
use crate::charts::theme::{PAPER, variables};
use crate::charts::{self};
use crate::claims::Spec;
use crate::store::RunData;

const STYLE: &str = include_str!("report/style.css");
const SCRIPT: &str = include_str!("report/script.js");
/// Nothing may be loaded from anywhere; style and script are those in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The whole report of a run, also of one that is empty or not finished.
#[must_use]
pub fn render(run: &RunData) -> String {
    page(run, None)
}

/// The same of a run that was made to judge claims: they come first, and their plots are the plots.
#[must_use]
pub fn render_claims(run: &RunData, spec: &Spec) -> String {
    page(run, Some(spec))
}

fn page(run: &RunData, spec: Option<&Spec>) -> String {
    let title = sections::title(run);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(style())) }
            }
            body {
                (sections::head(run, &title))
                main {
                    @match spec {
                        Some(spec) => (claims::claims(spec, run)),
                        None => section { @for said in sentences(run) { p.lead { (said) } } },
                    }
                    @if !run.results.is_empty() { (body(run, spec.is_none())) }
                    (sections::reproduce(run))
                }
                (sections::footer(run))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

/// In the order in which a reader asks: what came out, where it ended, the figures, on what, and how.
fn body(run: &RunData, with_plots: bool) -> Markup {
    html! {
        (sections::ceilings(run))
        @if with_plots { (plots::plots(&charts::all(run))) }
        (failures::failure_points(run))
        (sections::table(run))
        (sections::details(run))
        (failures::validity(run))
        (machines::machines(run))
        (machines::method(run))
    }
}

fn style() -> String {
    let (light, dark) = (variables(false), variables(true));
    format!(
        ":root{{color-scheme:light dark;--paper:{};--well:#f2f4f6;{light}}}\n\
         @media screen and (prefers-color-scheme: dark){{:root{{--paper:{};--well:#1f2428;{dark}}}}}\n{STYLE}",
        PAPER[0], PAPER[1]
    )
}

//! The report: one HTML file that opens offline and asks nobody for anything.
//!
//! Puts together what `answer` and `charts` say; the same run gives the same bytes. Must not compute figures of its own.

mod sections;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::answer::sentences;
use crate::charts::{self, Figure, theme};
use crate::store::RunData;

const STYLE: &str = include_str!("report/style.css");

/// The whole report of a run, also of one that is empty or not finished.
#[must_use]
pub fn render(run: &RunData) -> String {
    let title = sections::title(run);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(style())) }
            }
            body {
                (sections::head(run, &title))
                main {
                    section { @for said in sentences(run) { p.lead { (said) } } }
                    @if !run.results.is_empty() { (body(run)) }
                    (sections::reproduce(run))
                }
                (sections::footer(run))
            }
        }
    }
    .into_string()
}

fn body(run: &RunData) -> Markup {
    html! {
        (sections::ceilings(run))
        section {
            h2 { "Charts" }
            @for chart in charts::all(run) { (figure(&chart)) }
        }
        (sections::table(run))
        (sections::details(run))
        (sections::failure_points(run))
        (sections::machines(run))
        (sections::method(run))
        (sections::validity(run))
    }
}

fn figure(chart: &Figure) -> Markup {
    html! {
        figure {
            h3 { (chart.title) }
            div.panels { @for panel in chart.inline() { div { (PreEscaped(panel)) } } }
        }
    }
}

fn style() -> String {
    let (light, dark) = (theme::variables(false), theme::variables(true));
    format!(
        ":root{{color-scheme:light dark;--paper:#ffffff;--well:#f2f4f6;--bad:#b3261e;{light}}}\n\
         @media screen and (prefers-color-scheme: dark){{:root{{--paper:#14171a;--well:#1f2428;--bad:#ff8a80;{dark}}}}}\n{STYLE}"
    )
}

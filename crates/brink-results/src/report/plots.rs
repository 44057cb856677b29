//! The plots in the page: figures with their legends, and cases over time to be unfolded.
//!
//! Must not decide what is drawn: `charts` does.

use maud::{Markup, PreEscaped, html};

use crate::charts::{Charts, Figure};

pub(super) fn plots(charts: &Charts) -> Markup {
    html! {
        section {
            h2 { "Plots" }
            p.sub.hint hidden { "Point at a mark, or tap it, to read its value; with the keyboard, Tab to a plot and use the arrow keys." }
            @if charts.names_left_out > 0 {
                p { "The plots show the first " (charts.figures.first().map_or(0, |_| crate::charts::NAMES_MAX))
                    " targets by name; " (charts.names_left_out) " more are in the table only." }
            }
            @for figure in &charts.figures { (framed(figure, true)) }
        }
        @if !charts.timelines.is_empty() {
            section {
                h2 { "Over time" }
                p.sub { "The largest case of each target." }
                @for (i, (name, figure)) in charts.timelines.iter().enumerate() {
                    details.timeline open[i == 0] { summary { (name) } (framed(figure, false)) }
                }
            }
        }
    }
}

pub(super) fn framed(figure: &Figure, with_title: bool) -> Markup {
    html! {
        figure {
            @if with_title { h3 { (figure.title) } }
            ul.legend { @for (label, swatch) in figure.legend() {
                li { @if let Some(swatch) = swatch { (PreEscaped(swatch.trim_end())) } (label) }
            } }
            div.panels { @for panel in figure.inline() { div { (PreEscaped(panel)) } } }
            @if !figure.notes.is_empty() { figcaption { @for note in &figure.notes { p { (note) } } } }
        }
    }
}

//! The charts of a run: each a figure of one or more panels.
//!
//! Decides what is drawn, not how: `panel` draws. Repeats of a case are one point, their median with its 95% interval.
//! What is not valid is drawn hollow and off the line.

pub mod axis;
mod bitmap;
mod cases;
pub mod claims;
mod frame;
mod kinds;
mod latency;
pub mod legend;
mod loads;
mod memory;
pub mod panel;
mod rates;
mod reference;
mod stroke;
pub mod theme;
mod timeline;

use crate::charts::cases::Cases;
use crate::charts::legend::{Entry, SWATCH};
use crate::charts::panel::{Panel, WIDTH};
use crate::charts::theme::Placed;
use crate::store::RunData;

pub use bitmap::BitmapError;
pub use cases::NAMES_MAX;

/// Panels that belong together, with one legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Above the panels.
    pub title: String,
    /// Side by side where there is room.
    pub panels: Vec<Panel>,
    /// What must be known to read it.
    pub notes: Vec<String>,
}

impl Figure {
    fn new(title: &str, panels: Vec<Panel>) -> Self {
        Self { title: title.to_owned(), panels, notes: Vec::new() }
    }

    /// Whether any panel has anything to show.
    fn has_points(&self) -> bool {
        self.panels.iter().any(Panel::has_points)
    }

    /// Each panel as an SVG element for a page that defines the colours of [`theme`] as CSS variables.
    #[must_use]
    pub fn inline(&self) -> Vec<String> {
        let of = |p: &Panel| theme::inline(&p.draw(), &p.title, (WIDTH, p.height()));
        self.panels.iter().map(of).collect()
    }

    /// The legend for a page: names, each with the SVG element that stands before it, if any.
    #[must_use]
    pub fn legend(&self) -> Vec<(String, Option<String>)> {
        let of = |entry: Entry| {
            let swatch = entry.swatch().map(|drawn| theme::inline(&drawn, &entry.label, SWATCH));
            (entry.label, swatch)
        };
        legend::entries(&self.panels).into_iter().map(of).collect()
    }

    /// All panels in rows, with the legend below, as one SVG file on white, with fixed colours.
    #[must_use]
    pub fn standalone(&self) -> String {
        let columns = match self.panels.len() {
            0 | 1 => 1,
            2 | 4 => 2,
            _ => 3,
        };
        let mut parts = Vec::new();
        let (width, mut y) = (columns as u32 * WIDTH, 0);
        for row in self.panels.chunks(columns) {
            for (i, panel) in row.iter().enumerate() {
                parts.push(Placed { drawn: panel.draw(), at: (i as u32 * WIDTH, y) });
            }
            y += row.iter().map(Panel::height).max().unwrap_or(0);
        }
        if let Some((drawn, height)) = legend::strip(&legend::entries(&self.panels), width) {
            parts.push(Placed { drawn, at: (0, y) });
            y += height;
        }
        theme::standalone(&parts, &self.title, (width, y))
    }

    /// [`Self::standalone`] as a PNG of twice its size, with a font that is part of the program.
    ///
    /// # Errors
    /// [`BitmapError`].
    pub fn png(&self) -> Result<Vec<u8>, BitmapError> {
        bitmap::png(&self.standalone())
    }
}

/// The charts of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Charts {
    /// Of all results together, in the order in which a report shows them. What no result has is left out.
    pub figures: Vec<Figure>,
    /// The largest case of each name over time, by the name of the case.
    pub timelines: Vec<(String, Figure)>,
    /// Names that are not drawn, because no plot can keep more apart.
    pub names_left_out: usize,
}

/// Every chart of a run.
#[must_use]
pub fn all(run: &RunData) -> Charts {
    let cases = Cases::of(&run.results);
    let mut figures = vec![
        memory::user(&cases),
        memory::kernel(&cases),
        memory::per_connection(&cases),
        kinds::by_kind(&cases),
        latency::percentiles(&cases),
        latency::distribution(&cases),
        rates::throughput(&cases),
        rates::connects(&cases),
        rates::cpu(&cases),
    ];
    figures.extend(loads::delay_error(&cases));
    figures.extend(loads::makespan(&cases));
    figures.retain(Figure::has_points);
    Charts { figures, timelines: timeline::all(&cases), names_left_out: cases.left_out }
}

impl Charts {
    /// A figure by its title.
    #[must_use]
    pub fn figure(&self, title: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.title == title)
    }

    /// All figures, those over time last.
    pub fn each(&self) -> impl Iterator<Item = &Figure> {
        self.figures.iter().chain(self.timelines.iter().map(|timeline| &timeline.1))
    }
}

//! The legend of a figure: what colours, markers and lines stand for, once for all of its panels.
//!
//! A page lays the entries out itself; a file has them in a strip below the panels.

use plotters::style::text_anchor::{HPos, VPos};

use crate::charts::frame::fitting;
use crate::charts::panel::{
    Area, Colour, Drawn, Line, Panel, Pixel, Series, TEXT_PX, draw_sized, text, text_px,
};
use crate::charts::stroke::{bar, line, marker, speck};
use crate::charts::theme::INK;

const ROW_PX: i32 = 20;
const LEFT_PX: i32 = 12;
/// Size of the piece of line and marker before a name.
pub(super) const SWATCH: (u32, u32) = (30, 16);
const GAP_PX: i32 = 18;

/// A name, and what is drawn beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it stands for.
    pub label: String,
    swatch: Swatch,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Swatch {
    /// A remark, which has none.
    None,
    /// A piece of the series.
    Series(Colour, Line),
    /// A marker that is not filled.
    Hollow,
    /// A single run.
    Speck,
}

/// What the legend of these panels names, each once, in order.
pub(super) fn entries(panels: &[Panel]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let all = || panels.iter().flat_map(|panel| &panel.series);
    for series in all().filter(|s| s.in_legend) {
        let has_line = |other: &Series| other.line == Line::Bare && other.label == series.label;
        // Markers on a line that is a series of its own.
        let line = if all().any(has_line) && series.line == Line::None { Line::Solid } else { series.line };
        let entry = Entry { label: series.label.clone(), swatch: Swatch::Series(series.colour, line) };
        if !entries.iter().any(|known| known.label == entry.label) {
            entries.push(entry);
        }
    }
    let mut add = |label: &str, swatch| entries.push(Entry { label: label.to_owned(), swatch });
    let points = || all().flat_map(|s: &Series| &s.points);
    if points().any(|p| !p.valid) {
        add("hollow: not valid", Swatch::Hollow);
    }
    if points().any(|p| !p.singles.is_empty()) {
        add("one run; large: median, 95% interval", Swatch::Speck);
    }
    if panels.iter().any(Panel::leaves_out) {
        add("not drawn: values at or below zero", Swatch::None);
    }
    entries
}

impl Entry {
    /// What stands before the name, in the placeholder colours of `theme`; `None` for a remark.
    pub(super) fn swatch(&self) -> Option<String> {
        if self.swatch == Swatch::None {
            return None;
        }
        Some(draw_sized(SWATCH, |area| {
            self.draw(area, (SWATCH.0 as i32 / 2, SWATCH.1 as i32 / 2))?;
            Ok(String::new())
        }))
    }

    fn draw(&self, area: &Area, (x, y): Pixel) -> Drawn {
        match self.swatch {
            Swatch::None => Ok(()),
            Swatch::Hollow => marker(area, (x, y), Colour::Ink, false),
            Swatch::Speck => speck(area, (x, y), INK),
            Swatch::Series(colour, kind) => {
                let half = SWATCH.0 as i32 / 2 - 1;
                match kind {
                    Line::Bars => return bar(area, [(x - half, y - 6), (x + half, y + 6)], colour.role()),
                    Line::None => {}
                    Line::Solid | Line::Bare | Line::Dashed => {
                        let pattern = Series::pattern_of(colour, kind);
                        line(area, &[(x - half, y), (x + half, y)], colour.role(), 2, pattern)?;
                    }
                }
                match kind {
                    Line::None | Line::Solid => marker(area, (x, y), colour, true),
                    Line::Bare | Line::Dashed | Line::Bars => Ok(()),
                }
            }
        }
    }
}

/// A strip of this width, and its height; `None` without entries.
pub(super) fn strip(entries: &[Entry], width: u32) -> Option<(String, u32)> {
    let room = width as i32 - 2 * LEFT_PX;
    let px = |e: &Entry| SWATCH.0 as i32 + 6 + text_px(&e.label) + GAP_PX;
    let (names, remarks): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|e| matches!(e.swatch, Swatch::Series(..)));
    // In columns: a name is found faster there than in a row that is filled. Remarks are longer, and have a row each.
    let column = names.iter().map(|e| px(e).min(room)).max().unwrap_or(room);
    let columns = (room / column).max(1) as usize;
    let rows_of_names = names.len().div_ceil(columns);
    let rows = rows_of_names + remarks.len();
    if rows == 0 {
        return None;
    }
    let height = rows as u32 * ROW_PX as u32 + 10;
    let places = (0..names.len()).map(|i| (i % columns, i / columns));
    let places = places.chain((0..remarks.len()).map(|i| (0, rows_of_names + i)));
    let drawn = draw_sized((width, height), |area| {
        for (i, (entry, (across, down))) in names.iter().chain(&remarks).zip(places).enumerate() {
            let x = LEFT_PX + across as i32 * column;
            let y = down as i32 * ROW_PX + ROW_PX / 2;
            entry.draw(area, (x + SWATCH.0 as i32 / 2, y))?;
            let from = if entry.swatch == Swatch::None { x } else { x + SWATCH.0 as i32 + 6 };
            let most = if i < names.len() { column - GAP_PX / 2 } else { room };
            let label = fitting(&entry.label, most - (from - x));
            text(area, &label, (from, y), TEXT_PX, INK, (HPos::Left, VPos::Center))?;
        }
        Ok(String::new())
    });
    Some((drawn, height))
}

//! One plot: axes with units, grid, legend, series with markers and intervals, drawn as SVG.
//!
//! Knows pixels and nothing of results. No fonts are measured: the reader's own are used, so
//! text is placed by its anchors and by a rough width.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::element::Text;
use plotters::prelude::{DrawingArea, IntoDrawingArea as _};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontFamily, FontStyle, IntoFont as _, TextStyle};

use crate::charts::axis::{Axis, Scale};
use crate::charts::stroke::{Pattern, line, marker};
use crate::charts::theme::{GRID, INK, MUTED, Role, SERIES, escape};

/// Width of a panel in pixels.
pub const WIDTH: u32 = 480;
/// Height of a panel in pixels, unless its legend or its rows need more.
const HEIGHT: i32 = 340;
/// Rows of a legend that [`HEIGHT`] has room for.
const LEGEND_ROWS: i32 = 2;
/// What a row of a list needs with a figure written above its point, and what a panel needs beside its rows.
const CATEGORY_PX: i32 = 30;
const BESIDE_CATEGORIES: i32 = 130;
/// Room for the labels of the y axis: at least, and at most.
const LEFT_PX: (i32, i32) = (84, 250);
const RIGHT: i32 = WIDTH as i32 - 18;
/// Room for the labels of the x axis.
const BELOW: i32 = 46;
const LEGEND_TOP: i32 = 50;
const LEGEND_LEFT: i32 = 12;
const LEGEND_ROW: i32 = 18;
/// The piece of line and marker before a name.
const SWATCH_PX: i32 = 26;
/// Most entries of a legend that are set one after the other, without columns.
const IN_ROWS_MAX: usize = 6;
const TEXT_PX: f64 = 12.0;
/// Rough width of a character at [`TEXT_PX`].
const CHARACTER_PX: i32 = 7;

/// One plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Above it.
    pub title: String,
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// In the order of the legend.
    pub series: Vec<Series>,
}

/// Points that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// In the legend.
    pub label: String,
    /// Colour, and with it the shape of the markers and the pattern of the line.
    pub colour: Colour,
    /// What joins the points.
    pub line: Line,
    /// Whether the legend names it.
    pub in_legend: bool,
    /// In the order in which they are joined.
    pub points: Vec<Point>,
}

/// What joins the points of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    None,
    /// A line with markers.
    Solid,
    /// A dashed line without markers: a reference, not a measurement.
    Dashed,
}

/// The colour of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// That of text.
    Ink,
    /// By place; past the palette they return with other markers and another line.
    Series(usize),
}

impl Colour {
    pub(super) fn role(self) -> Role {
        match self {
            Self::Ink => INK,
            Self::Series(i) => SERIES[i % SERIES.len()],
        }
    }

    /// Half the size of a marker.
    pub(super) fn marker_px(self) -> i32 {
        match self {
            Self::Ink => 3,
            Self::Series(0) => 5,
            Self::Series(_) => 4,
        }
    }

    /// The shape of the markers: with the colour it differs for `SERIES * MARKERS` series.
    pub(super) fn marker(self) -> usize {
        match self {
            Self::Ink => 0,
            Self::Series(i) => i + i / SERIES.len(),
        }
    }

    /// How the line of measured values is drawn: each time the colours return, otherwise.
    fn pattern(self) -> Pattern {
        match self {
            Self::Ink => Pattern::Solid,
            Self::Series(i) => match (i / SERIES.len()) % 3 {
                0 => Pattern::Solid,
                1 => Pattern::DashDot,
                _ => Pattern::Dots,
            },
        }
    }
}

impl Series {
    fn pattern(&self) -> Pattern {
        if self.line == Line::Dashed { Pattern::Dashes } else { self.colour.pattern() }
    }
}

/// A value, which may have an interval either way.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Across.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// Interval of `x`.
    pub interval_x: Option<[f64; 2]>,
    /// Interval of `y`.
    pub interval_y: Option<[f64; 2]>,
    /// Written above it.
    pub label: Option<String>,
    /// Not valid: hollow, and not joined to the others.
    pub valid: bool,
}

impl Point {
    /// A point without interval.
    #[must_use]
    pub fn new(x: f64, y: f64, valid: bool) -> Self {
        Self { x, y, interval_x: None, interval_y: None, label: None, valid }
    }
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;
pub(super) type Pixel = (i32, i32);

impl Panel {
    /// In pixels: more than usual where the legend or a list of rows needs it.
    #[must_use]
    pub fn height(&self) -> u32 {
        let rows = self.legend_places().last().map_or(0, |last| last.1 / LEGEND_ROW + 1);
        let for_legend = HEIGHT + (rows - LEGEND_ROWS).max(0) * LEGEND_ROW;
        let for_rows = BESIDE_CATEGORIES + self.y.categories_count() as i32 * CATEGORY_PX;
        for_legend.max(for_rows) as u32
    }

    fn bottom(&self) -> i32 {
        self.height() as i32 - BELOW
    }

    /// The SVG, in the placeholder colours of `theme`.
    #[must_use]
    pub fn draw(&self) -> String {
        let mut svg = String::new();
        let drawn = {
            let area = SVGBackend::with_string(&mut svg, (WIDTH, self.height())).into_drawing_area();
            self.draw_on(&area).and_then(|hovers| {
                area.present()?;
                Ok(hovers)
            })
        };
        match drawn {
            Ok(hovers) => {
                let end = svg.rfind("</svg>").unwrap_or(svg.len());
                svg.insert_str(end, &hovers);
                svg
            }
            // Writing to memory does not fail; if it did, the reader must not take an empty plot for a result.
            Err(error) => {
                format!("<svg><text x=\"12\" y=\"20\">this chart could not be drawn: {error}</text></svg>")
            }
        }
    }

    /// Draws all but what is shown on hovering, which is given back: the backend knows no `<title>`.
    fn draw_on(&self, area: &Area) -> Result<String, Box<dyn std::error::Error>> {
        text(area, &self.title, (12, 8), 15.0, INK, (HPos::Left, VPos::Top))?;
        text(area, &self.y.title, (12, 29), TEXT_PX, MUTED, (HPos::Left, VPos::Top))?;
        let middle = (LEFT_PX.0 + RIGHT) / 2;
        text(
            area,
            &self.x.title,
            (middle, self.height() as i32 - 8),
            TEXT_PX,
            MUTED,
            (HPos::Center, VPos::Bottom),
        )?;
        let drawable = self.drawable();
        let points = || drawable.iter().flat_map(|s| &s.points);
        if points().next().is_none() {
            let at = (middle, self.height() as i32 / 2);
            text(area, "no data", at, TEXT_PX, MUTED, (HPos::Center, VPos::Center))?;
            return Ok(String::new());
        }
        let top = self.legend(area)? + 12;
        let y = self.y.fit(&reach(points().map(|p| (p.y, p.interval_y)), &self.y));
        let label_chars = y.ticks.iter().map(|tick| tick.1.chars().count()).max().unwrap_or(0);
        let left = (label_chars as i32 * CHARACTER_PX + 16).clamp(LEFT_PX.0, LEFT_PX.1);
        let x = self.x.fit(&reach(points().map(|p| (p.x, p.interval_x)), &self.x));
        let frame = Frame { x, y, top, left, bottom: self.bottom() };
        frame.draw(area)?;
        drawable.iter().try_for_each(|series| frame.series(area, series))?;
        Ok(self.hovers(&frame, &drawable))
    }

    /// An unseen disc over each marker, with what it stands for.
    fn hovers(&self, frame: &Frame, drawable: &[Series]) -> String {
        let mut out = String::new();
        for series in drawable.iter().filter(|s| s.line != Line::Dashed) {
            for point in &series.points {
                let figures = match &point.label {
                    Some(label) => label.clone(),
                    None => {
                        let both = [self.x.text(point.x), self.y.text(point.y)];
                        both.into_iter().flatten().collect::<Vec<_>>().join(", ")
                    }
                };
                let (x, y) = frame.at(point.x, point.y);
                let says = escape(&format!("{}: {figures}", series.label));
                out.push_str(&format!(
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"8\" fill=\"none\" pointer-events=\"all\"><title>{says}</title></circle>\n"
                ));
            }
        }
        out
    }

    /// The series without the points that have no place on the axes.
    fn drawable(&self) -> Vec<Series> {
        let keep = |p: &&Point| self.x.takes(p.x) && self.y.takes(p.y);
        let cut =
            |s: &Series| Series { points: s.points.iter().filter(keep).cloned().collect(), ..s.clone() };
        self.series.iter().map(cut).collect()
    }

    /// What the legend names, in order; remarks have no series.
    fn legend_entries(&self) -> Vec<(&str, Option<&Series>)> {
        let mut entries: Vec<(&str, Option<&Series>)> =
            self.series.iter().filter(|s| s.in_legend).map(|s| (s.label.as_str(), Some(s))).collect();
        if self.series.iter().flat_map(|s| &s.points).any(|p| !p.valid) {
            entries.push(("hollow: not valid", None));
        }
        let mut undrawn = self.series.iter().flat_map(|s| &s.points);
        if undrawn.any(|p| !self.x.takes(p.x) || !self.y.takes(p.y)) {
            entries.push(("not drawn: values at or below zero", None));
        }
        entries
    }

    /// Where the legend's entries begin, from its upper left corner. In a row each where they fit; many of them in
    /// columns, which are found faster.
    fn legend_places(&self) -> Vec<Pixel> {
        let width = |entry: &(&str, Option<&Series>)| {
            let swatch = if entry.1.is_some() { SWATCH_PX } else { 0 };
            swatch + entry.0.chars().count() as i32 * CHARACTER_PX + 14
        };
        let widths: Vec<i32> = self.legend_entries().iter().map(width).collect();
        let room = RIGHT - LEGEND_LEFT;
        let column = widths.iter().copied().max().unwrap_or(0);
        let columns = if widths.len() > IN_ROWS_MAX { (room / column.max(1)).max(1) } else { 0 };
        let (mut x, mut y) = (0, 0);
        let mut places = Vec::new();
        for (i, width) in widths.into_iter().enumerate() {
            if columns > 0 {
                (x, y) = (i as i32 % columns * (room / columns), i as i32 / columns * LEGEND_ROW);
            } else if x > 0 && x + width > room {
                (x, y) = (0, y + LEGEND_ROW);
            }
            places.push((x, y));
            x += width;
        }
        places
    }

    /// Draws the legend in as many rows as it needs, and gives the height at which it ends.
    fn legend(&self, area: &Area) -> Result<i32, Box<dyn std::error::Error>> {
        let mut end = LEGEND_TOP - 8;
        for ((label, series), (x, y)) in self.legend_entries().into_iter().zip(self.legend_places()) {
            let (x, y) = (LEGEND_LEFT + x, LEGEND_TOP + LEGEND_ROW / 2 + y);
            let mut at = x;
            if let Some(series) = series {
                if series.line != Line::None {
                    line(area, &[(x, y), (x + 20, y)], series.colour.role(), 2, series.pattern())?;
                }
                if series.line != Line::Dashed {
                    marker(area, (x + 10, y), series.colour, true)?;
                }
                at += SWATCH_PX;
            }
            text(area, label, (at, y), TEXT_PX, INK, (HPos::Left, VPos::Center))?;
            end = y + LEGEND_ROW / 2;
        }
        Ok(end)
    }
}

/// All values with the ends of their intervals, as far as the axis takes them.
fn reach<'a>(values: impl Iterator<Item = (f64, Option<[f64; 2]>)> + 'a, axis: &Axis) -> Vec<f64> {
    let mut all: Vec<f64> = Vec::new();
    for (value, interval) in values {
        all.push(value);
        for end in interval.into_iter().flatten().filter(|end| axis.takes(*end)) {
            // An end near zero would stretch a logarithmic axis over many decades of nothing.
            all.push(if axis.is_log() { end.max(value / 10.0) } else { end });
        }
    }
    all
}

/// The part of a panel that has coordinates.
struct Frame {
    x: Scale,
    y: Scale,
    top: i32,
    left: i32,
    bottom: i32,
}

impl Frame {
    fn at(&self, x: f64, y: f64) -> Pixel {
        (self.x.pixel(x, self.left, RIGHT), self.y.pixel(y, self.bottom, self.top))
    }

    fn draw(&self, area: &Area) -> Drawn {
        let mut written = 0;
        for (value, label) in &self.x.ticks {
            let x = self.x.pixel(*value, self.left, RIGHT);
            line(area, &[(x, self.top), (x, self.bottom)], GRID, 1, Pattern::Solid)?;
            let half = label.chars().count() as i32 * CHARACTER_PX / 2;
            if x - half < written {
                continue;
            }
            written = x + half;
            text(area, label, (x, self.bottom + 6), TEXT_PX, INK, (HPos::Center, VPos::Top))?;
        }
        for (value, label) in &self.y.ticks {
            let y = self.y.pixel(*value, self.bottom, self.top);
            line(area, &[(self.left, y), (RIGHT, y)], GRID, 1, Pattern::Solid)?;
            text(area, &fitting(label), (self.left - 8, y), TEXT_PX, INK, (HPos::Right, VPos::Center))?;
        }
        line(
            area,
            &[(self.left, self.top), (self.left, self.bottom), (RIGHT, self.bottom)],
            MUTED,
            1,
            Pattern::Solid,
        )
    }

    fn series(&self, area: &Area, series: &Series) -> Drawn {
        let role = series.colour.role();
        let joined: Vec<Pixel> = series
            .points
            .iter()
            .filter(|p| p.valid || series.line == Line::Dashed)
            .map(|p| self.at(p.x, p.y))
            .collect();
        if series.line != Line::None {
            line(area, &joined, role, 2, series.pattern())?;
        }
        if series.line == Line::Dashed && joined.len() > 1 {
            return Ok(());
        }
        for point in &series.points {
            let (x, y) = self.at(point.x, point.y);
            if let Some([low, high]) = point.interval_x {
                let (low, high) = (self.at(low, point.y).0, self.at(high, point.y).0);
                line(area, &[(low, y), (high, y)], role, 2, Pattern::Solid)?;
                for end in [low, high] {
                    line(area, &[(end, y - 5), (end, y + 5)], role, 2, Pattern::Solid)?;
                }
            }
            if let Some([low, high]) = point.interval_y {
                let (low, high) = (self.at(point.x, low).1, self.at(point.x, high).1);
                line(area, &[(x, low), (x, high)], role, 2, Pattern::Solid)?;
                for end in [low, high] {
                    line(area, &[(x - 5, end), (x + 5, end)], role, 2, Pattern::Solid)?;
                }
            }
            marker(area, (x, y), series.colour, point.valid)?;
            if let Some(label) = &point.label {
                self.label(area, label, (x, y))?;
            }
        }
        Ok(())
    }
}

impl Frame {
    /// Writes above a point, moved sideways where it would leave the frame.
    fn label(&self, area: &Area, label: &str, (x, y): Pixel) -> Drawn {
        let half = label.chars().count() as i32 * CHARACTER_PX / 2;
        let (low, high) = (self.left + 4 + half, RIGHT - half);
        let x = if low <= high { x.clamp(low, high) } else { low };
        text(area, label, (x, y - 9), TEXT_PX, INK, (HPos::Center, VPos::Bottom))
    }
}

/// A label as long as the widest room for it; a longer one loses its beginning, since names differ at their ends.
fn fitting(label: &str) -> String {
    let most = ((LEFT_PX.1 - 16) / CHARACTER_PX) as usize;
    let count = label.chars().count();
    if count <= most {
        label.to_owned()
    } else {
        format!("…{}", label.chars().skip(count + 1 - most).collect::<String>())
    }
}

fn text(area: &Area, text: &str, at: Pixel, px: f64, role: Role, (h, v): (HPos, VPos)) -> Drawn {
    // The backend writes size / 1.24 into the file.
    let font = (FontFamily::SansSerif, px * 1.24, FontStyle::Normal).into_font();
    let style = TextStyle::from(font).color(&role.placeholder).pos(Pos::new(h, v));
    Ok(area.draw(&Text::new(text.to_owned(), at, style))?)
}

//! One plot as a value: its axes, series and marks; and how it is drawn, as SVG.
//!
//! Knows nothing of results. No fonts are measured: the reader's own are used, so text is placed by its
//! anchors and by a rough width. The legend is the figure's: see `legend`.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::element::Text;
use plotters::prelude::{DrawingArea, IntoDrawingArea as _};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontFamily, FontStyle, IntoFont as _, TextStyle};

use crate::charts::axis::Axis;
use crate::charts::frame::Frame;
use crate::charts::stroke::Pattern;
use crate::charts::theme::{INK, MUTED, Role, SERIES, escape};

/// Width of a panel in pixels.
pub const WIDTH: u32 = 440;
/// Height of a panel in pixels, unless its rows need more.
const HEIGHT: i32 = 290;
/// What a row of a list needs, and what a panel needs beside its rows.
const CATEGORY_PX: i32 = 24;
const BESIDE_CATEGORIES: i32 = 110;
pub(super) const TEXT_PX: f64 = 13.0;
/// Rough width of a character at [`TEXT_PX`].
pub(super) const CHARACTER_PX: i32 = 7;

/// About how wide a text is at [`TEXT_PX`], rather too wide than too narrow: the font is the reader's.
pub(super) fn text_px(text: &str) -> i32 {
    let px = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | ' ' | '.' | ',' | ':' | '-' | '\'' | '(' | ')' | '/' => 5,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 12,
        'A'..='Z' | '<' | '>' | '=' | '+' | '~' | '±' | '_' | '…' => 10,
        // From the Hangul letters on: most are as wide as they are high.
        '\u{1100}'.. => 14,
        _ => 8,
    };
    text.chars().map(px).sum()
}

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
    /// Upright lines, in rising order.
    pub marks: Vec<Mark>,
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
    /// A line without markers, through more points than one wants to see.
    Bare,
    /// A dashed line without markers: a reference, not a measurement.
    Dashed,
    /// Nothing, and instead of markers bars along the intervals of x.
    Bars,
}

/// Something that happened at a place along x.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Where, in the unit of the axis.
    pub x: f64,
    /// Written beside the line.
    pub label: String,
    /// Whether something gave way there.
    pub is_bad: bool,
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
    pub(super) fn pattern(&self) -> Pattern {
        Self::pattern_of(self.colour, self.line)
    }

    pub(super) fn pattern_of(colour: Colour, line: Line) -> Pattern {
        if line == Line::Dashed { Pattern::Dashes } else { colour.pattern() }
    }
}

/// A value, which may have an interval either way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Point {
    /// Across.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// Interval of `x`.
    pub interval_x: Option<[f64; 2]>,
    /// Interval of `y`.
    pub interval_y: Option<[f64; 2]>,
    /// What it is the median of, drawn faintly; empty for a single run.
    pub singles: Vec<[f64; 2]>,
    /// Written beside it.
    pub label: Option<String>,
    /// Said on hovering, after the name of the series; without it the values are.
    pub told: Option<String>,
    /// Not valid: hollow, and not joined to the others.
    pub valid: bool,
}

impl Point {
    /// A point without interval.
    #[must_use]
    pub fn new(x: f64, y: f64, valid: bool) -> Self {
        Self { x, y, valid, ..Self::default() }
    }
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;
pub(super) type Pixel = (i32, i32);

impl Panel {
    /// In pixels: more than usual where a list of rows needs it.
    #[must_use]
    pub fn height(&self) -> u32 {
        let for_rows = BESIDE_CATEGORIES + self.y.categories_count() as i32 * CATEGORY_PX;
        HEIGHT.max(for_rows) as u32
    }

    /// Whether it has anything to show.
    #[must_use]
    pub fn has_points(&self) -> bool {
        self.series.iter().any(|s| s.line != Line::Dashed && !s.points.is_empty())
    }

    /// The axes, once the values decide their kind.
    pub(super) fn axes(&self) -> (Axis, Axis) {
        let points = || self.series.iter().flat_map(|s| &s.points);
        (self.x.settled(points().map(|p| p.x)), self.y.settled(points().map(|p| p.y)))
    }

    /// The SVG, in the placeholder colours of `theme`.
    #[must_use]
    pub fn draw(&self) -> String {
        draw_sized((WIDTH, self.height()), |area| self.draw_on(area))
    }

    /// Draws all but what is shown on hovering, which is given back: the backend knows no `<title>`.
    fn draw_on(&self, area: &Area) -> Result<String, Box<dyn std::error::Error>> {
        let bottom = self.height() as i32;
        text(area, &self.title, (12, 8), 15.0, INK, (HPos::Left, VPos::Top))?;
        text(area, &self.y.title, (12, 29), TEXT_PX, MUTED, (HPos::Left, VPos::Top))?;
        let (x, y) = self.axes();
        let drawable = self.drawable(&x, &y);
        if drawable.iter().all(|s| s.points.is_empty()) {
            let middle = (WIDTH as i32 / 2, bottom / 2);
            text(area, "no data", middle, TEXT_PX, MUTED, (HPos::Center, VPos::Center))?;
            return Ok(String::new());
        }
        let frame = Frame::fit(&x, &y, &drawable, &self.marks, bottom);
        // In the middle of the frame, as far as a long title has room there.
        let half = text_px(&x.title) / 2;
        let middle = (frame.middle().min(WIDTH as i32 - half - 2).max(half + 2), bottom - 6);
        text(area, &x.title, middle, TEXT_PX, MUTED, (HPos::Center, VPos::Bottom))?;
        frame.draw(area)?;
        frame.marks(area, &self.marks)?;
        drawable.iter().try_for_each(|series| frame.series(area, series))?;
        Ok(self.hovers(&frame, &drawable, (&x, &y)))
    }

    /// An unseen disc over each marker, with what it stands for.
    fn hovers(&self, frame: &Frame, drawable: &[Series], (x_axis, y_axis): (&Axis, &Axis)) -> String {
        let mut out = String::from("<g class=\"h\" pointer-events=\"all\">");
        let mut add = |(x, y): Pixel, says: &str| {
            out.push_str(&format!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"9\"><title>{}</title></circle>",
                escape(says)
            ));
        };
        for mark in &self.marks {
            add((frame.x_of(mark), frame.top), &mark.told(x_axis));
        }
        for series in drawable.iter().filter(|s| s.line != Line::Dashed) {
            for point in &series.points {
                let figures = match point.told.as_ref().or(point.label.as_ref()) {
                    Some(told) => told.clone(),
                    None if series.line == Line::Bare => continue,
                    None => {
                        let both = [x_axis.text(point.x), y_axis.text(point.y)];
                        both.into_iter().flatten().collect::<Vec<_>>().join(", ")
                    }
                };
                add(frame.place(series, point), &format!("{}: {figures}", series.label));
            }
        }
        out.push_str("</g>\n");
        out
    }

    /// The series without the points that have no place on the axes.
    fn drawable(&self, x: &Axis, y: &Axis) -> Vec<Series> {
        let keep = |p: &&Point| x.takes(p.x) && y.takes(p.y);
        let cut =
            |s: &Series| Series { points: s.points.iter().filter(keep).cloned().collect(), ..s.clone() };
        self.series.iter().map(cut).collect()
    }

    /// Whether some points have no place on the axes.
    pub(super) fn leaves_out(&self) -> bool {
        let (x, y) = self.axes();
        self.series.iter().flat_map(|s| &s.points).any(|p| !x.takes(p.x) || !y.takes(p.y))
    }
}

impl Mark {
    fn told(&self, x: &Axis) -> String {
        format!("{}: {}", self.label, x.text(self.x).unwrap_or_default())
    }
}

/// The SVG of what `draw` draws, with what it gives back before its end.
pub(super) fn draw_sized(
    size: (u32, u32),
    draw: impl FnOnce(&Area) -> Result<String, Box<dyn std::error::Error>>,
) -> String {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area).and_then(|more| {
            area.present()?;
            Ok(more)
        })
    };
    match drawn {
        Ok(more) => {
            let end = svg.rfind("</svg>").unwrap_or(svg.len());
            svg.insert_str(end, &more);
            svg
        }
        // Writing to memory does not fail; if it did, the reader must not take an empty plot for a result.
        Err(error) => {
            format!("<svg><text x=\"12\" y=\"20\">this chart could not be drawn: {error}</text></svg>")
        }
    }
}

pub(super) fn text(area: &Area, text: &str, at: Pixel, px: f64, role: Role, (h, v): (HPos, VPos)) -> Drawn {
    // The backend writes size / 1.24 into the file.
    let font = (FontFamily::SansSerif, px * 1.24, FontStyle::Normal).into_font();
    let style = TextStyle::from(font).color(&role.placeholder).pos(Pos::new(h, v));
    Ok(area.draw(&Text::new(text.to_owned(), at, style))?)
}

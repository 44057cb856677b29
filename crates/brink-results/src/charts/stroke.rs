//! Lines and markers of a panel: what tells series apart where colours return.
//!
//! Knows pixels only. Must not know axes or values.

use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::style::ShapeStyle;

use crate::charts::panel::{Area, Colour, Drawn, Pixel};
use crate::charts::theme::Role;

/// How a line is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Not at all.
    Solid,
    /// A reference.
    Dashes,
    /// Measured, the second time the colours are used.
    DashDot,
    /// Measured, the third time.
    Dots,
}

impl Pattern {
    /// Pixels on and off, in turn.
    fn pixels(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Dashes => &[6.0, 4.0],
            Self::DashDot => &[10.0, 3.0, 2.0, 3.0],
            Self::Dots => &[2.0, 3.0],
        }
    }
}

fn stroke(role: Role, width: u32) -> ShapeStyle {
    ShapeStyle { color: role.placeholder.into(), filled: false, stroke_width: width }
}

/// A line through pixels; broken ones are cut, since the writer knows no dashes.
pub(super) fn line(area: &Area, points: &[Pixel], role: Role, width: u32, pattern: Pattern) -> Drawn {
    if points.len() < 2 {
        return Ok(());
    }
    if pattern == Pattern::Solid {
        return Ok(area.draw(&PathElement::new(points.to_vec(), stroke(role, width)))?);
    }
    for pair in points.windows(2) {
        for piece in pieces(pair[0], pair[1], pattern.pixels()) {
            area.draw(&PathElement::new(piece.to_vec(), stroke(role, width)))?;
        }
    }
    Ok(())
}

/// The parts of a line that are on.
fn pieces(from: Pixel, to: Pixel, pixels: &[f64]) -> Vec<[Pixel; 2]> {
    let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
    let length = dx.hypot(dy);
    let at = |s: f64| {
        let part = (s / length).min(1.0);
        (from.0 + (dx * part).round() as i32, from.1 + (dy * part).round() as i32)
    };
    let mut pieces = Vec::new();
    let mut s = 0.0;
    for (i, step) in pixels.iter().cycle().enumerate() {
        if s >= length {
            break;
        }
        if i % 2 == 0 {
            pieces.push([at(s), at(s + step)]);
        }
        s += step;
    }
    pieces
}

/// Shapes of markers, told apart without colour.
const MARKERS: usize = 7;

/// Circle, square, triangle, diamond, triangle on its tip, upright and lying bar. The first series has larger ones, which stay
/// in sight where a later series lies on top.
pub(super) fn marker(area: &Area, (x, y): Pixel, colour: Colour, filled: bool) -> Drawn {
    let style = stroke(colour.role(), 2);
    let style = if filled { style.filled() } else { style };
    let r = colour.marker_px();
    let box_of = |w: i32, h: i32| Rectangle::new([(x - w, y - h), (x + w, y + h)], style);
    let mut shape = match colour.marker() % MARKERS {
        0 => return Ok(area.draw(&Circle::new((x, y), r, style))?),
        1 => return Ok(area.draw(&box_of(r, r))?),
        2 => vec![(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)],
        3 => vec![(x, y - r - 1), (x + r + 1, y), (x, y + r + 1), (x - r - 1, y)],
        4 => vec![(x, y + r + 1), (x + r + 1, y - r), (x - r - 1, y - r)],
        5 => return Ok(area.draw(&box_of(2, r + 2))?),
        _ => return Ok(area.draw(&box_of(r + 2, 2))?),
    };
    if filled {
        return Ok(area.draw(&Polygon::new(shape, style))?);
    }
    shape.push(shape[0]);
    Ok(area.draw(&PathElement::new(shape, style))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::theme::SERIES;

    #[test]
    fn fifteen_series_differ_by_colour_and_shape() {
        let looks = |i: usize| (i % SERIES.len(), Colour::Series(i).marker() % MARKERS);
        for i in 0..2 * SERIES.len() {
            assert!((0..i).all(|other| looks(other) != looks(i)), "{i}");
        }
    }

    #[test]
    fn pieces_cover_the_line_and_end_with_it() {
        let cut = pieces((0, 0), (25, 0), Pattern::DashDot.pixels());
        assert_eq!(cut, [[(0, 0), (10, 0)], [(13, 0), (15, 0)], [(18, 0), (25, 0)]]);
        assert!(pieces((3, 3), (3, 3), Pattern::Dots.pixels()).is_empty(), "no length, no piece");
    }
}

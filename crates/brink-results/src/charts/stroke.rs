//! Lines and markers of a panel: what tells series apart where colours return.
//!
//! Knows pixels only. Must not know axes or values.

use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::style::{Color as _, ShapeStyle};

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
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Solid, Self::Dashes, Self::DashDot, Self::Dots];

    /// Pixels on and off, in turn, as `stroke-dasharray` has them.
    pub(super) fn dashes(self) -> Option<&'static str> {
        match self {
            Self::Solid => None,
            Self::Dashes => Some("6 4"),
            Self::DashDot => Some("10 3 2 3"),
            Self::Dots => Some("2 3"),
        }
    }

    /// The writer knows no dashes: a broken line is drawn in a width that nothing else has, and `theme` turns that into its
    /// real width and its dashes, as it does with colours.
    pub(super) fn placeholder_width(self, width: u32) -> u32 {
        match self {
            Self::Solid => width,
            Self::Dashes => 910 + width,
            Self::DashDot => 920 + width,
            Self::Dots => 930 + width,
        }
    }
}

fn stroke(role: Role, width: u32) -> ShapeStyle {
    ShapeStyle { color: role.placeholder.into(), filled: false, stroke_width: width }
}

/// A line through pixels, without those that it stays on.
pub(super) fn line(area: &Area, points: &[Pixel], role: Role, width: u32, pattern: Pattern) -> Drawn {
    let mut points = points.to_vec();
    points.dedup();
    if points.len() < 2 {
        return Ok(());
    }
    Ok(area.draw(&PathElement::new(points, stroke(role, pattern.placeholder_width(width))))?)
}

/// A filled box.
pub(super) fn bar(area: &Area, corners: [Pixel; 2], role: Role) -> Drawn {
    Ok(area.draw(&Rectangle::new(corners, stroke(role, 1).filled()))?)
}

/// One of several runs: small and faint.
pub(super) fn speck(area: &Area, at: Pixel, role: Role) -> Drawn {
    let style = ShapeStyle { color: role.placeholder.mix(0.55), filled: true, stroke_width: 1 };
    Ok(area.draw(&Circle::new(at, 2, style))?)
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
}

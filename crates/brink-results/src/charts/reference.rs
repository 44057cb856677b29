//! What measured series are to be seen against: ceilings and asked delays, dashed.
//!
//! Decides what is drawn, not how.

use crate::charts::panel::{Colour, Line, Point, Series};

/// Most references that the legend names one by one.
const NAMED_MAX: usize = 4;

/// Adds what the measured series are to be seen against, dashed: one line where all labels agree on it
/// to a thousandth, else one for each.
pub(super) fn with_reference(mut all: Vec<Series>, references: Vec<Series>, name: &str) -> Vec<Series> {
    // Arithmetic has neither intervals nor doubts.
    let exact = |p: Point| Point::new(p.x, p.y, true);
    let references: Vec<Series> = references
        .into_iter()
        .map(|s| Series { points: s.points.into_iter().map(exact).collect(), ..s })
        .collect();
    let mut shared: Vec<Point> = references.iter().flat_map(|s| s.points.iter().cloned()).collect();
    if shared.is_empty() {
        return all;
    }
    shared.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    if shared.windows(2).all(|w| w[0].x != w[1].x || w[1].y - w[0].y <= 1e-3 * w[1].y) {
        shared.dedup_by(|a, b| a.x == b.x);
        let label = name.to_owned();
        // Points of loads that have nothing to do with each other are not joined: some label must have them all.
        let is_one =
            references.iter().any(|s| shared.iter().all(|p| s.points.iter().any(|own| own.x == p.x)));
        let line = if is_one { Line::Dashed } else { Line::None };
        all.push(Series { label, colour: Colour::Ink, line, in_legend: true, points: shared });
    } else {
        let references: Vec<Series> = references.into_iter().filter(|s| !s.points.is_empty()).collect();
        let in_legend = references.len() <= NAMED_MAX;
        let dashed =
            |s: Series| Series { label: format!("{} {name}", s.label), line: Line::Dashed, in_legend, ..s };
        all.extend(references.into_iter().map(dashed));
        if !in_legend {
            let label = format!("{name}, each in its colour");
            let points = Vec::new();
            all.push(Series { label, colour: Colour::Ink, line: Line::Dashed, in_legend: true, points });
        }
    }
    all
}

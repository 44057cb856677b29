//! The part of a panel that has coordinates: grid, ticks, marks, lines, markers and intervals.
//!
//! Must not decide what is drawn.

use plotters::style::text_anchor::{HPos, VPos};

use crate::charts::axis::{Axis, Scale};
use crate::charts::panel::{
    Area, CHARACTER_PX, Drawn, Line, Mark, Pixel, Point, Series, TEXT_PX, WIDTH, text, text_px,
};
use crate::charts::stroke::{Pattern, bar, line, marker, speck};
use crate::charts::theme::{BAD, GRID, INK, MUTED, Role};

/// Room for the labels of the y axis: at least, and at most.
const LEFT_PX: (i32, i32) = (60, 240);
const RIGHT: i32 = WIDTH as i32 - 18;
/// Room for the title of the panel and of its y axis.
const ABOVE: i32 = 58;
/// Room for the labels and the title of the x axis.
const BELOW: i32 = 46;
/// How much further than its longest bar an axis reaches.
const BESIDE_BARS: f64 = 1.25;
/// Half the height of a bar in a list of rows.
const BAR_PX: i32 = 7;
/// How far beside its point a single run is drawn.
const SPECK_PX: i32 = 8;
/// An interval makes a linear axis reach no further than so many times the greatest value.
const BEYOND_VALUES: f64 = 1.5;
/// A row of the labels of marks, and how many there may be.
const MARK_ROW: i32 = 15;
const MARK_ROWS_MAX: usize = 3;

/// See the module.
pub(super) struct Frame {
    x: Scale,
    y: Scale,
    pub(super) top: i32,
    left: i32,
    bottom: i32,
    /// Whether y is a list of rows.
    is_list: bool,
}

impl Frame {
    /// Axes fitted to the series, in a panel of this height.
    pub(super) fn fit(x: &Axis, y_axis: &Axis, series: &[Series], marks: &[Mark], height: i32) -> Self {
        let points = || series.iter().flat_map(|s| &s.points);
        let y_values = points().map(|p| (p.y, p.interval_y, p.singles.iter().map(|s| s[1]).collect()));
        let x_values = points().map(|p| (p.x, p.interval_x, p.singles.iter().map(|s| s[0]).collect()));
        let y = y_axis.fit(&reach(y_values, y_axis));
        let mut across = reach(x_values, x);
        // Beside the longest bar its figure is written.
        let bars = || series.iter().filter(|s| s.line == Line::Bars).flat_map(|s| &s.points);
        across.extend(bars().filter(|p| p.label.is_some()).map(|p| p.x * BESIDE_BARS));
        across.extend(marks.iter().map(|mark| mark.x).filter(|at| x.takes(*at)));
        let label_px = y.ticks.iter().map(|tick| text_px(&tick.1)).max().unwrap_or(0);
        let left = (label_px + 16).clamp(LEFT_PX.0, LEFT_PX.1);
        let (x, is_list) = (x.fit(&across), y_axis.categories_count() > 0);
        let mut frame = Self { x, y, top: ABOVE, left, bottom: height - BELOW, is_list };
        let rows = frame.mark_places(marks).iter().filter_map(|place| *place).max().map_or(0, |row| row + 1);
        frame.top += rows as i32 * MARK_ROW;
        frame
    }

    /// Halfway across.
    pub(super) fn middle(&self) -> i32 {
        i32::midpoint(self.left, RIGHT)
    }

    pub(super) fn x_of(&self, mark: &Mark) -> i32 {
        self.x.pixel(mark.x, self.left, RIGHT)
    }

    fn at(&self, x: f64, y: f64) -> Pixel {
        (self.x.pixel(x, self.left, RIGHT), self.y.pixel(y, self.bottom, self.top))
    }

    /// Where a point is found: a bar in its middle.
    pub(super) fn place(&self, series: &Series, point: &Point) -> Pixel {
        match point.interval_x {
            Some([low, high]) if series.line == Line::Bars => {
                let (from, to) = (self.at(low, point.y), self.at(high, point.y));
                (i32::midpoint(from.0, to.0), from.1)
            }
            _ => self.at(point.x, point.y),
        }
    }

    pub(super) fn draw(&self, area: &Area) -> Drawn {
        let mut written = i32::MIN;
        for (value, label) in &self.x.ticks {
            let x = self.x.pixel(*value, self.left, RIGHT);
            line(area, &[(x, self.top), (x, self.bottom)], GRID, 1, Pattern::Solid)?;
            let half = label.chars().count() as i32 * CHARACTER_PX / 2;
            if x - half < written {
                continue;
            }
            written = x + half;
            // A label at the right end must not leave the panel.
            let x = x.min(WIDTH as i32 - half - 2);
            text(area, label, (x, self.bottom + 6), TEXT_PX, INK, (HPos::Center, VPos::Top))?;
        }
        for (value, label) in &self.y.ticks {
            let y = self.y.pixel(*value, self.bottom, self.top);
            line(area, &[(self.left, y), (RIGHT, y)], GRID, 1, Pattern::Solid)?;
            text(
                area,
                &fitting(label, LEFT_PX.1 - 16),
                (self.left - 8, y),
                TEXT_PX,
                INK,
                (HPos::Right, VPos::Center),
            )?;
        }
        let corner = [(self.left, self.top), (self.left, self.bottom), (RIGHT, self.bottom)];
        line(area, &corner, MUTED, 1, Pattern::Solid)
    }

    /// The row in which the label of each mark has room; `None`: in none of them.
    fn mark_places(&self, marks: &[Mark]) -> Vec<Option<usize>> {
        let mut ends = [i32::MIN; MARK_ROWS_MAX];
        let place = |mark: &Mark| {
            let (from, to) = self.label_span(mark);
            let row = ends.iter().position(|end| *end <= from)?;
            ends[row] = to + CHARACTER_PX;
            Some(row)
        };
        marks.iter().map(place).collect()
    }

    /// Where the label of a mark begins and ends: to the right of its line, where there is room.
    fn label_span(&self, mark: &Mark) -> (i32, i32) {
        let width = mark.label.chars().count() as i32 * CHARACTER_PX;
        let from = self.x_of(mark).min(RIGHT - width);
        (from, from + width)
    }

    /// Upright lines with their labels above the frame.
    pub(super) fn marks(&self, area: &Area, marks: &[Mark]) -> Drawn {
        for (mark, row) in marks.iter().zip(self.mark_places(marks)) {
            let x = self.x_of(mark);
            let (role, pattern): (Role, _) =
                if mark.is_bad { (BAD, Pattern::Solid) } else { (MUTED, Pattern::Dots) };
            let top = self.top - 2 - row.map_or(0, |row| row as i32 * MARK_ROW);
            line(area, &[(x, top), (x, self.bottom)], role, 1, pattern)?;
            if row.is_some() {
                let at = (self.label_span(mark).0, top - 2);
                text(area, &mark.label, at, TEXT_PX - 1.0, role, (HPos::Left, VPos::Bottom))?;
            }
        }
        Ok(())
    }

    pub(super) fn series(&self, area: &Area, series: &Series) -> Drawn {
        let role = series.colour.role();
        if series.line == Line::Bars {
            return series.points.iter().try_for_each(|point| self.bar(area, point, role));
        }
        let is_joined = |p: &&Point| p.valid || matches!(series.line, Line::Dashed | Line::Bare);
        let joined: Vec<Pixel> = series.points.iter().filter(is_joined).map(|p| self.at(p.x, p.y)).collect();
        if series.line != Line::None {
            line(area, &joined, role, 2, series.pattern())?;
        }
        if joined.len() > 1 && matches!(series.line, Line::Dashed | Line::Bare) {
            return Ok(());
        }
        for point in &series.points {
            let (x, y) = self.at(point.x, point.y);
            self.intervals(area, series, point)?;
            marker(area, (x, y), series.colour, point.valid)?;
            if let Some(label) = &point.label {
                self.label(area, label, point, series)?;
            }
        }
        Ok(())
    }

    /// The runs beside a point, and its intervals unless its marker hides them. One that goes on beyond the frame has no
    /// end there.
    fn intervals(&self, area: &Area, series: &Series, point: &Point) -> Drawn {
        let role = series.colour.role();
        let hidden_px = 2 * series.colour.marker_px();
        let (x, y) = self.at(point.x, point.y);
        if let Some(ends @ [low, high]) = point.interval_x {
            let (from, to) = (self.at(low, point.y).0, self.at(high, point.y).0);
            if to - from > hidden_px {
                line(area, &[(from, y), (to, y)], role, 2, Pattern::Solid)?;
                for (_, at) in ends.into_iter().zip([from, to]).filter(|(end, _)| self.x.holds(*end)) {
                    line(area, &[(at, y - 5), (at, y + 5)], role, 2, Pattern::Solid)?;
                }
            }
        }
        if let Some(ends @ [low, high]) = point.interval_y {
            let (from, to) = (self.at(point.x, low).1, self.at(point.x, high).1);
            if from - to > hidden_px {
                line(area, &[(x, from), (x, to)], role, 2, Pattern::Solid)?;
                for (_, at) in ends.into_iter().zip([from, to]).filter(|(end, _)| self.y.holds(*end)) {
                    line(area, &[(x - 5, at), (x + 5, at)], role, 2, Pattern::Solid)?;
                }
            }
        }
        for [single_x, single_y] in &point.singles {
            // Beside the interval, which would hide them: above a lying one, to the right of an upright one.
            let (across, down) = if self.is_list { (0, -SPECK_PX) } else { (SPECK_PX, 0) };
            let (x, y) = self.at(*single_x, *single_y);
            speck(area, (x + across, y + down), role)?;
        }
        Ok(())
    }

    fn bar(&self, area: &Area, point: &Point, role: Role) -> Drawn {
        let Some([low, high]) = point.interval_x else { return Ok(()) };
        let ((from, y), (to, _)) = (self.at(low, point.y), self.at(high, point.y));
        if to > from {
            bar(area, [(from, y - BAR_PX), (to, y + BAR_PX)], role)?;
        }
        match &point.label {
            Some(label) => text(area, label, (to + 6, y), TEXT_PX, INK, (HPos::Left, VPos::Center)),
            None => Ok(()),
        }
    }

    /// Writes beside a point and its interval: to the right, or to the left where there is no room.
    fn label(&self, area: &Area, label: &str, point: &Point, series: &Series) -> Drawn {
        let [low, high] = point.interval_x.unwrap_or([point.x; 2]);
        let gap = series.colour.marker_px() + 6;
        let (low, high) = (self.at(low, point.y).0 - gap, self.at(high, point.y).0 + gap);
        let y = self.at(point.x, point.y).1;
        let width = label.chars().count() as i32 * CHARACTER_PX;
        let (at, side) = match high + width {
            right if right <= WIDTH as i32 - 2 => (high, HPos::Left),
            _ => (low.max(self.left + width + 2), HPos::Right),
        };
        text(area, label, (at, y), TEXT_PX, INK, (side, VPos::Center))
    }
}

/// All values with what they are medians of and the ends of their intervals, as far as the axis takes them. An interval
/// of few runs can be wider than all that was measured: it must not press the rest together.
fn reach(values: impl Iterator<Item = (f64, Option<[f64; 2]>, Vec<f64>)>, axis: &Axis) -> Vec<f64> {
    let values: Vec<_> = values.collect();
    let mut all: Vec<f64> = Vec::new();
    for (value, _, singles) in &values {
        all.push(*value);
        all.extend(singles.iter().copied().filter(|single| axis.takes(*single)));
    }
    let most = BEYOND_VALUES * all.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    for (value, interval, _) in &values {
        let ends = interval.iter().flatten().filter(|end| axis.takes(**end));
        let kept = |end: &f64| match axis.is_log() {
            true => end.clamp(value / 10.0, value * 10.0),
            false => end.clamp(-most, most),
        };
        all.extend(ends.map(kept));
    }
    all
}

/// A label as long as there is room for; a longer one loses its beginning, since names differ at their ends.
pub(super) fn fitting(label: &str, room_px: i32) -> String {
    if text_px(label) <= room_px {
        return label.to_owned();
    }
    let mut kept = label.chars();
    while kept.next().is_some() {
        let end = format!("…{}", kept.as_str());
        if text_px(&end) <= room_px {
            return end;
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_keeps_its_end_and_fits_also_in_wide_letters() {
        assert_eq!(fitting("py-asyncio", 80), "py-asyncio");
        assert_eq!(fitting("py-asyncio", 60), "…syncio");
        assert_eq!(fitting("日本語サーバー", 60), "…ーバー");
        assert_eq!(fitting("mmm", 5), "");
    }
}

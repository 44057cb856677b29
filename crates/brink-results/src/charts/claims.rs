//! The plot of each claim: figures side by side, a measure against connections, or p99 over time.
//!
//! Decides what is drawn, not how.

use crate::charts::axis::{Axis, Unit};
use crate::charts::cases::{point, shown};
use crate::charts::panel::{Colour, Line, Panel, Point, Series};
use crate::charts::timeline::thinned;
use crate::charts::{Charts, Figure};
use crate::claims::{ClaimSpec, JudgedClaim, JudgedValue, PlotSpec, Spec, expression};
use crate::gate::matches;
use crate::measures::{self, Measure};
use crate::repeats::{Repeats, repeats};
use crate::store::RunData;

/// The plot of a claim; `None` where it asks for none, or nothing of it was measured.
#[must_use]
pub fn figure(claim: &ClaimSpec, judged: &JudgedClaim, groups: &[Repeats]) -> Option<Figure> {
    let panels = match claim.plot.as_ref()? {
        PlotSpec::Bars(names) => bars(judged, names),
        PlotSpec::Lines { measure, cases } => vec![lines(groups, measure, cases)?],
        PlotSpec::OverTime(cases) => vec![over_time(groups, cases)],
    };
    let figure = Figure::new(&format!("Claim {}", claim.id), panels);
    figure.has_points().then_some(figure)
}

/// The plots of all claims that have one.
#[must_use]
pub fn all(spec: &Spec, run: &RunData) -> Charts {
    let groups = repeats(&run.results);
    let pairs = spec.pairs().into_iter();
    let figures = pairs.filter_map(|(claim, judged)| figure(claim, judged, &groups)).collect();
    Charts { figures, timelines: Vec::new(), names_left_out: 0 }
}

/// A panel for each kind of figure among these values.
fn bars(judged: &JudgedClaim, names: &[String]) -> Vec<Panel> {
    let find = |name: &String| judged.values.iter().find(|value| value.name == *name);
    let values: Vec<&JudgedValue> =
        names.iter().filter_map(find).filter(|value| value.figure.is_some()).collect();
    let mut units: Vec<&str> = values.iter().map(|value| value.unit.as_str()).collect();
    units.dedup();
    units.iter().map(|unit| side_by_side(&values, unit)).collect()
}

fn side_by_side(values: &[&JudgedValue], unit: &str) -> Panel {
    let values: Vec<&JudgedValue> = values.iter().copied().filter(|value| value.unit == unit).collect();
    let rows: Vec<String> = values.iter().map(|value| value.name.replace('_', " ")).collect();
    let (title, axis, scale) = match unit {
        "seconds" => ("time", Unit::Ns, 1e9),
        "bytes" => ("bytes", Unit::Bytes, 1.0),
        "per second" => ("per second", Unit::Count, 1.0),
        _ => ("times", Unit::Count, 1.0),
    };
    let measured = values.iter().enumerate().filter_map(|(row, value)| {
        let figure = value.figure? * scale;
        Some(Point {
            interval_x: value.interval.map(|ends| ends.map(|end| end * scale)),
            told: Some(format!("{}: {}", value.name, value.words)),
            ..Point::new(figure, row as f64, true)
        })
    });
    let claimed = values.iter().enumerate().filter_map(|(row, value)| {
        let text = value.claimed.as_ref()?;
        let told = Some(format!("{}: {text}", value.name));
        Some(Point { told, ..Point::new(figure_of(text)? * scale, row as f64, true) })
    });
    let series = |label: &str, i: usize, points: Vec<Point>| Series {
        label: label.to_owned(),
        colour: Colour::Series(i),
        line: Line::None,
        in_legend: true,
        points,
    };
    let mut all =
        vec![series("measured here", 0, measured.collect()), series("claimed", 1, claimed.collect())];
    all.retain(|series| !series.points.is_empty());
    Panel {
        title: title.to_owned(),
        x: Axis::auto("", axis),
        y: Axis::categories("with 95% intervals", &rows),
        series: all,
        marks: Vec::new(),
    }
}

/// What is claimed, where it is a figure: in seconds, bytes, per second or plain.
fn figure_of(text: &str) -> Option<f64> {
    match expression::parse(&text.replace(' ', "")).ok()? {
        expression::Expression::Figure(figure, _) => Some(figure),
        _ => None,
    }
}

/// A line for each glob.
fn lines(groups: &[Repeats], name: &str, globs: &[String]) -> Option<Panel> {
    let measure = Measure::find(name)?;
    let (unit, title) = match measure.unit {
        measures::Unit::Ns => (Unit::Ns, measure.words),
        measures::Unit::Seconds => (Unit::Seconds, measure.words),
        measures::Unit::Bytes => (Unit::Bytes, measure.words),
        measures::Unit::PerSecond | measures::Unit::Count => (Unit::Count, measure.words),
    };
    let series = globs.iter().enumerate().map(|(i, glob)| {
        let mut cases: Vec<&Repeats> = groups.iter().filter(|group| matches(glob, &group.name)).collect();
        cases.sort_by_key(|case| case.first().case.load.connections);
        Series {
            label: cases.first().map_or_else(|| glob.clone(), |case| case.first().case.target.label.clone()),
            colour: Colour::Series(i),
            line: Line::Solid,
            in_legend: true,
            points: cases
                .iter()
                .filter_map(|case| point(case, unit, measure.scale(), &measure.pick))
                .collect(),
        }
    });
    Some(Panel {
        title: title.to_owned(),
        x: Axis::log("connections", Unit::Count),
        y: Axis::auto("medians with 95% intervals", unit),
        series: series.collect(),
        marks: Vec::new(),
    })
}

/// The p99 of the replies since the sample before, of one run of each case.
fn over_time(groups: &[Repeats], names: &[String]) -> Panel {
    let of = |(i, name): (usize, &String)| {
        let result = shown(groups.iter().find(|group| group.name == *name)?);
        let began =
            result.usage.phases.iter().find(|phase| phase.name == "window").map_or(0.0, |phase| phase.t_s);
        let samples = thinned(&result.usage.client, |sample| sample.latency_p99_ns.map(|ns| ns as f64));
        let points = samples.into_iter().filter(|(t_s, _)| *t_s >= began);
        Some(Series {
            label: result.case.target.label.clone(),
            colour: Colour::Series(i),
            line: Line::Solid,
            in_legend: true,
            points: points.map(|(t_s, ns)| Point::new(t_s - began, ns, true)).collect(),
        })
    };
    Panel {
        title: "Latency of the other connections, p99".to_owned(),
        x: Axis::linear("since measuring began", Unit::Seconds),
        y: Axis::auto("of the replies since the sample before", Unit::Ns),
        series: names.iter().enumerate().filter_map(of).collect(),
        marks: Vec::new(),
    }
}

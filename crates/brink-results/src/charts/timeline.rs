//! One case over time: live connections, requests per second, p99, memory, threads, with marks where its phases began and
//! where something gave way.
//!
//! Decides what is drawn, not how.

use crate::answer::failures::end_name;
use crate::charts::Figure;
use crate::charts::axis::{Axis, Unit};
use crate::charts::cases::Cases;
use crate::charts::panel::{Colour, Line, Mark, Panel, Point, Series};
use crate::schema::{CaseResult, EndSample, Failure};

/// Most samples of a line: more than that is not seen in a panel of this width.
const SAMPLES_MAX: usize = 60;
/// Samples of a line that say their value on hovering.
const TOLD: usize = 12;
/// Marks of what gave way, the first ones.
const BAD_MARKS_MAX: usize = 4;

/// Whose it is, and its values with their times.
type Over<'a> = (&'a str, Vec<(f64, f64)>);

/// The largest case of each name, over time; those of which there are samples.
pub(super) fn all(cases: &Cases) -> Vec<(String, Figure)> {
    let largest = cases.names.iter().filter_map(|named| named.largest(false));
    largest
        .map(|case| case.first())
        .filter(|result| result.usage.client.len() > 1)
        .map(|result| (result.case.name.clone(), figure(result)))
        .collect()
}

fn figure(result: &CaseResult) -> Figure {
    let (client, target) = (&result.usage.client, &result.usage.target);
    let both = |what: fn(&EndSample) -> Option<u64>| {
        let of = |samples: &[EndSample]| thinned(samples, |s| what(s).map(|v| v as f64));
        vec![("client", of(client)), ("target", of(target))]
    };
    let live = both(|s| s.live);
    let panels = [
        ("Live connections", "open, as each end counts them", Unit::Count, live),
        (
            "Requests",
            "replies per second, as the client counts them",
            Unit::Count,
            vec![("client", rates(client))],
        ),
        (
            "Latency, p99",
            "of the replies since the sample before",
            Unit::Ns,
            vec![("client", thinned(client, |s| s.latency_p99_ns.map(|ns| ns as f64)))],
        ),
        ("User memory", "anonymous resident memory", Unit::Bytes, both(|s| s.user_bytes)),
        ("Threads", "threads of each end", Unit::Count, both(|s| s.threads)),
    ];
    let marks = marks(result);
    let panels: Vec<Panel> = panels
        .into_iter()
        .filter(|panel| panel.3.iter().any(|line| !line.1.is_empty()))
        .map(|(title, what, unit, lines)| panel(title, what, unit, lines, &marks))
        .collect();
    let mut notes = Vec::new();
    if panels.iter().all(|panel| panel.title != "Latency, p99") {
        notes.push("This result has no p99 over time: only of its whole window.".to_owned());
    }
    if marks.iter().any(|mark| mark.is_bad) {
        notes.push(
            "A failure is marked where the client first had as many connections open as when it happened."
                .to_owned(),
        );
    }
    Figure { notes, ..Figure::new(&format!("Over time: {}", result.case.name), panels) }
}

fn panel(title: &str, what: &str, unit: Unit, lines: Vec<Over>, marks: &[Mark]) -> Panel {
    let (x, y) = (Axis::linear("since the case began", Unit::Seconds), Axis::linear(what, unit));
    let series = |(i, (label, samples)): (usize, Over)| {
        let every = samples.len().div_ceil(TOLD).max(1);
        let point = |(place, (t_s, value)): (usize, (f64, f64))| {
            let is_told = place % every == 0 || place + 1 == samples.len();
            let told = || {
                let both = [x.text(t_s), y.text(value)];
                both.into_iter().flatten().collect::<Vec<_>>().join(", ")
            };
            Point { told: is_told.then(told), ..Point::new(t_s, value, true) }
        };
        Series {
            label: label.to_owned(),
            colour: Colour::Series(i),
            line: Line::Bare,
            in_legend: true,
            points: samples.iter().copied().enumerate().map(point).collect(),
        }
    };
    let lines = lines.into_iter().filter(|line| !line.1.is_empty());
    let series = lines.enumerate().map(series).collect();
    Panel { title: title.to_owned(), x, y, series, marks: marks.to_vec() }
}

/// What is known, thinned to the greatest of every few: peaks stay, at their time.
pub(super) fn thinned(samples: &[EndSample], what: impl Fn(&EndSample) -> Option<f64>) -> Vec<(f64, f64)> {
    let known: Vec<(f64, f64)> = samples.iter().filter_map(|s| Some((s.t_s, what(s)?))).collect();
    let every = known.len().div_ceil(SAMPLES_MAX).max(1);
    known.chunks(every).filter_map(|few| few.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))).collect()
}

/// Replies per second between samples, at the later one.
fn rates(samples: &[EndSample]) -> Vec<(f64, f64)> {
    let known: Vec<(f64, f64)> = samples.iter().filter_map(|s| Some((s.t_s, s.requests? as f64))).collect();
    let every = known.len().div_ceil(SAMPLES_MAX).max(1);
    let cut: Vec<(f64, f64)> = known.into_iter().step_by(every).collect();
    let rate = |pair: &[(f64, f64)]| {
        let span_s = pair[1].0 - pair[0].0;
        (span_s > 0.0).then(|| (pair[1].0, (pair[1].1 - pair[0].1).max(0.0) / span_s))
    };
    cut.windows(2).filter_map(rate).collect()
}

/// Where phases began, and where something gave way, in the order of time.
fn marks(result: &CaseResult) -> Vec<Mark> {
    let phase = |p: &crate::schema::PhaseMark| Mark { x: p.t_s, label: p.name.clone(), is_bad: false };
    let mut marks: Vec<Mark> = result.usage.phases.iter().map(phase).collect();
    let gave_way = result.failures.iter().filter_map(|failure| {
        let label = label(result, failure);
        Some(Mark { x: reached_s(result, failure)?, label, is_bad: true })
    });
    marks.extend(gave_way.take(BAD_MARKS_MAX));
    marks.sort_by(|a, b| a.x.total_cmp(&b.x));
    marks
}

/// `accept EMFILE, target`; of the failure point by the limit that was met.
fn label(result: &CaseResult, failure: &Failure) -> String {
    let is_point = |p: &&crate::schema::FailurePoint| {
        (p.end, p.phase.as_str(), p.errno.as_str())
            == (failure.end, failure.phase.as_str(), failure.errno.as_str())
    };
    match result.failure_point.as_ref().filter(is_point) {
        Some(point) => point.limit.clone(),
        None => format!("{} {}, {}", failure.phase, failure.errno, end_name(failure.end)),
    }
}

/// Failures of requests happen while all connections are open: when, their count does not tell.
const WITHOUT_TIME: &str = "request";

/// When as many connections were first open as at a failure of opening, in seconds.
fn reached_s(result: &CaseResult, failure: &Failure) -> Option<f64> {
    let mut samples = result.usage.client.iter();
    let reached = |s: &&EndSample| s.live.is_some_and(|live| live >= failure.first_at_connections);
    (failure.phase != WITHOUT_TIME).then(|| samples.find(reached).map(|s| s.t_s))?
}

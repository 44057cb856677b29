//! The limits, and what a plan needs of them, for people: aligned, one line for each, within 120 columns.

use brink_host::limits::{Limit, LimitReading};
use brink_results::schema::End;
use brink_wire::value::{format_bytes, format_count};

use super::Seen;
use super::plan::Fit;
use crate::preflight::{Basis, Known, Reckoned, known, name};

/// Columns of a line.
const WIDTH: usize = 120;

/// Both ends' limits, group by group.
pub fn all(seen: &Seen) -> String {
    let mut text = String::from(HEADING);
    let mut table = |title: &str, readings: &[LimitReading], end| {
        text.push_str(title);
        text.push('\n');
        let mut group = "";
        for (row, reading) in super::rows_of(readings, end) {
            let shown = if row.group.name() == group { "" } else { row.group.name() };
            group = row.group.name();
            text.push_str(&format!("{shown:<8} {}\n", line(row, reading)));
        }
    };
    let here = seen.end_here();
    let title = if here.is_some() {
        "client: this machine, as brink meets it"
    } else {
        "this machine, as brink meets it"
    };
    table(title, &seen.client, here);
    if let Some(target) = &seen.target {
        table(&format!("target: {}", target.name), &target.limits, Some(End::Target));
    }
    text
}

const HEADING: &str =
    "         limit                            value               in use        left          read from\n";

fn line(row: &Limit, reading: &LimitReading) -> String {
    let value = match known(row, reading) {
        Known::Value(value) => value,
        Known::NoLimit(why) => return cut(&format!("{:<32} {}", row.name, none(why, row, reading))),
        Known::Unknown(why) => return cut(&format!("{:<32} unknown: {why} ({})", row.name, reading.source)),
    };
    let amount = |amount: u64| in_unit(row, amount);
    let hard = reading.hard.filter(|hard| Some(*hard) != reading.value);
    let shown = match (row.is_mode(), reading.value, hard) {
        (false, Some(soft), Some(hard)) => format!("{} (hard {})", amount(soft), amount(hard)),
        _ => amount(value),
    };
    let used = reading.used.map_or("-".to_owned(), amount);
    let left = row.headroom(reading).map_or("-".to_owned(), amount);
    cut(&format!("{:<32} {shown:<19} {used:<13} {left:<13} {}", row.name, reading.source))
}

fn none(why: &str, row: &Limit, reading: &LimitReading) -> String {
    let why = why.strip_prefix("no limit").map_or(why, str::trim_start);
    let used = reading.used.map_or(String::new(), |used| format!("; {} in use", in_unit(row, used)));
    match why.is_empty() {
        true => format!("no limit{used}"),
        false => format!("no limit: {why}{used}"),
    }
}

/// Bytes in their unit, everything else as a count.
fn in_unit(row: &Limit, amount: u64) -> String {
    if row.unit == "bytes" { format_bytes(amount as f64) } else { format_count(amount) }
}

/// No longer than a line. What is cut off is in the JSON.
fn cut(line: &str) -> String {
    let room = WIDTH - 9;
    if line.chars().count() <= room {
        return line.trim_end().to_owned();
    }
    let kept: String = line.chars().take(room - 2).collect();
    format!("{}..", kept.trim_end())
}

/// What a plan needs, end by end, and what is in its way.
pub fn plan(fit: &Fit) -> String {
    let (target, load) = (&fit.case.target, &fit.case.load);
    let processes =
        if target.processes > 1 { format!(" in {} processes", target.processes) } else { String::new() };
    let mut text = format!(
        "{} connections, engine {}, to a target{processes}: {}\n",
        format_count(load.connections),
        load.engine,
        fit.target_is
    );
    for end in [End::Target, End::Client] {
        text.push_str(&of_end(fit, end));
    }
    text.push_str(match (fit.fits(), fit.forecast.unknown.is_empty()) {
        (true, true) => "\nIt fits.\n",
        (true, false) => "\nNo limit that is known is short; what is unknown above may be.\n",
        (false, _) => "\nIt does not fit.\n",
    });
    text
}

fn of_end(fit: &Fit, end: End) -> String {
    let mut text =
        format!("\n{:<32} {:>13} {:>13} {:>13} {:>15}\n", name(end), "value", "in use", "needed", "carries");
    let connections = fit.case.load.connections;
    for one in fit.of(end) {
        text.push_str(&reckoned(one, connections));
    }
    for one in fit.unknown_of(end) {
        text.push_str(&format!("{:<32} unknown: {}\n", one.limit, one.why));
    }
    text.push_str(&first(fit, end));
    text
}

fn reckoned(one: &Reckoned, connections: u64) -> String {
    let prediction = &one.prediction;
    let amount = |amount: u64| match brink_host::limits::find(prediction.limit) {
        Some(row) => in_unit(row, amount),
        None => format_count(amount),
    };
    let about = if one.basis == Basis::Counted { "" } else { "about " };
    let verdict = match (prediction.short, prediction.connections_max < connections) {
        (true, _) => "  SHORT",
        (false, true) => "  short by an estimate",
        (false, false) => "",
    };
    let basis = if one.basis == Basis::Counted { String::new() } else { format!("  ({})", one.basis) };
    format!(
        "{:<32} {:>13} {:>13} {:>13} {:>15}{verdict}{basis}\n",
        prediction.limit,
        amount(prediction.value),
        prediction.used.map_or("-".to_owned(), amount),
        amount(prediction.needed),
        format!("{about}{}", format_count(prediction.connections_max)),
    )
}

/// What bites first at an end, and what lifts it.
fn first(fit: &Fit, end: End) -> String {
    let Some(first) = fit.of(end).next() else {
        return format!("No limit of the {} bounds it, as far as they are known.\n", name(end));
    };
    let prediction = &first.prediction;
    let about = if first.basis == Basis::Counted { "at" } else { "at about" };
    let mut text = format!(
        "First on the {}: {} {about} {} connections.\n",
        name(end),
        prediction.limit,
        format_count(prediction.connections_max)
    );
    for one in fit.of(end).filter(|one| one.prediction.short) {
        let lifts = [("now", &one.prediction.fix), ("to stay", &one.prediction.lasting)];
        for (when, command) in lifts {
            if let Some(command) = command {
                text.push_str(&format!("  lift {}, {when}: {command}\n", one.prediction.limit));
            }
        }
    }
    text
}

//! `brink bare`: bare sleepers, threads or tasks, as a program of a claims file: one JSON object is its last line.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use brink_client::bare::{self, Sleepers, Way};
use brink_host::usage::{self, ProcessSampler};
use brink_results::slope;
use brink_wire::value::format_count;
use serde_json::{Map, Value};

use crate::cli::{BareArgs, BareWay};
use crate::command;
use crate::exit::Failure;
use crate::stderr;

/// Plateaus on the way up, at most, and at least: fewer tell no slope.
const PLATEAUS: u64 = 8;
const PLATEAUS_MIN: usize = 5;
/// Memory stands still if it moves by no more than this between two looks, or is not waited for any longer.
const SETTLED_BYTES: u64 = 16 << 10;
const SETTLE_PAUSE: Duration = Duration::from_millis(20);
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
/// How long a connect or a reply may take, on top of the wait.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What memory is read by. The last is that of the whole machine.
const MEASURES: [&str; 4] = ["user_bytes", "virtual_bytes", "page_table_bytes", "kernel_stack_bytes"];

type Reading = [Option<u64>; MEASURES.len()];

/// Makes the sleepers, and prints what they took.
///
/// # Errors
/// 1 when not all could be made or none came through, 2 for flags that make no sense together.
pub fn run(args: &BareArgs) -> Result<(), Failure> {
    command::raise_nofile();
    let sleepers = Sleepers {
        way: match args.way {
            BareWay::Threads => Way::Threads,
            BareWay::Tokio => Way::Tokio,
        },
        count: args.sleepers,
        wait: args.wait,
        echo: args.echo,
        timeout: TIMEOUT,
        stack_bytes: usize::try_from(args.stack_size).unwrap_or(usize::MAX),
    };
    let not_made = |error: std::io::Error| {
        let why = match error.kind() {
            ErrorKind::TimedOut | ErrorKind::Other => error.to_string(),
            _ => brink_host::errno::name(&error),
        };
        Failure::failed(format!("not all of {} sleepers could be made: {why}", format_count(args.sleepers)))
    };
    let object = match args.hold {
        Some(hold) => memory(&sleepers, hold, not_made)?,
        None => makespan(&sleepers, not_made)?,
    };
    command::print(&format!("{}\n", Value::Object(object)))
}

fn makespan(
    sleepers: &Sleepers,
    not_made: impl Fn(std::io::Error) -> Failure,
) -> Result<Map<String, Value>, Failure> {
    let ended = bare::at_once(sleepers).map_err(not_made)?;
    if let Some(why) = &ended.why {
        let line =
            format!("{} of {} failed: {why}", format_count(ended.failed), format_count(sleepers.count));
        if ended.completed == 0 {
            return Err(Failure::failed(line));
        }
        stderr::say(&format!("brink: {line}"));
    }
    let makespan_ns = u64::try_from(ended.makespan.as_nanos()).unwrap_or(u64::MAX);
    let figures = [
        ("makespan_ns", makespan_ns),
        ("sleepers", sleepers.count),
        ("requests", ended.completed),
        ("failed", ended.failed),
    ];
    Ok(figures.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
}

/// Memory of this process at each plateau, and its slopes over the sleepers.
fn memory(
    sleepers: &Sleepers,
    hold: Duration,
    not_made: impl Fn(std::io::Error) -> Failure,
) -> Result<Map<String, Value>, Failure> {
    let steps = steps(sleepers.count);
    if steps.len() < PLATEAUS_MIN {
        return Err(Failure::usage(format!("--hold: a slope needs at least {PLATEAUS_MIN} sleepers (-n)")));
    }
    let (last, mut plateaus, mut unsettled) = (steps.last().copied(), Vec::new(), 0_u64);
    let mut own = ProcessSampler::own();
    bare::in_steps(sleepers, &steps, |count| {
        let (reading, is_settled) = at_rest(&mut own);
        unsettled += u64::from(!is_settled);
        plateaus.push((count, reading));
        if Some(count) == last {
            pause(hold);
        }
    })
    .map_err(not_made)?;
    let mut object = Map::new();
    for (name, value) in [
        ("sleepers", sleepers.count),
        ("plateaus", plateaus.len() as u64),
        ("unsettled", unsettled),
        ("requests", sleepers.count),
        ("failed", 0),
    ] {
        object.insert(name.to_owned(), value.into());
    }
    for (index, name) in MEASURES.into_iter().enumerate() {
        let points: Option<Vec<(f64, f64)>> =
            plateaus.iter().map(|(count, reading)| Some((*count as f64, reading[index]? as f64))).collect();
        // What cannot be read is not there.
        let Some((points, fitted)) = points.and_then(|points| slope::fit(&points).map(|fit| (points, fit)))
        else {
            continue;
        };
        object.insert(format!("{name}_per_sleeper"), fitted.slope.into());
        object.extend(points.last().map(|(_, bytes)| (name.to_owned(), Value::from(*bytes))));
    }
    Ok(object)
}

/// Evenly spread counts, upwards.
fn steps(count: u64) -> Vec<u64> {
    let mut steps: Vec<u64> = (1..=PLATEAUS).map(|step| (count * step / PLATEAUS).max(1)).collect();
    steps.dedup();
    steps
}

/// Looks until memory stands still. Whether it did.
fn at_rest(own: &mut ProcessSampler) -> (Reading, bool) {
    let until = Instant::now() + SETTLE_WITHIN;
    let mut before = reading(own);
    loop {
        pause(SETTLE_PAUSE);
        let now = reading(own);
        let is_still = before[0].zip(now[0]).is_none_or(|(a, b)| a.abs_diff(b) <= SETTLED_BYTES);
        if is_still || Instant::now() >= until {
            return (now, is_still);
        }
        before = now;
    }
}

fn reading(own: &mut ProcessSampler) -> Reading {
    let process = own.sample();
    let kernel_stack_bytes = usage::machine().kernel_stack_bytes;
    [process.user_bytes, process.virtual_bytes, process.page_table_bytes, kernel_stack_bytes]
}

#[expect(
    clippy::disallowed_methods,
    reason = "gives memory time to come to rest, or holds it for others to look at"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_with_all_of_them() {
        assert_eq!(steps(3), [1, 2, 3]);
        assert_eq!(steps(16), [2, 4, 6, 8, 10, 12, 14, 16]);
        assert_eq!(steps(1_000).last(), Some(&1_000));
    }
}

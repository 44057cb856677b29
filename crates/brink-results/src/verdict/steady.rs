//! Whether the rate stood still while it was measured: warm-up, trend, scatter, stalls, a queue that grows.
//!
//! Over counts of replies between samples of usage. The statistics are in `series`, with their sources. Pure. Must not
//! accuse where samples are few: then it says nothing, and neither does it where the cycle of the loop explains it.

use std::time::Duration;

use brink_wire::value::{format_count, format_duration, format_ns};

use super::{DRIFT_MAX, REPLIES_MIN};
use crate::case::Workload;
use crate::schema::{CaseResult, Verdict};
use crate::series;
use crate::window::{self, Blocks};

/// Share of the window from which a warm-up in it was too short.
pub const WARM_UP_SHARE_MAX: f64 = 0.1;
/// What such a warm-up moves the rate of the window by at the least, as a share.
pub const WARM_UP_MOVES_MAX: f64 = 0.02;
/// How many standard errors the rate in it is from the rest at the least: the point is chosen so that they differ.
const ERRORS_APART_MIN: f64 = 4.0;
/// Mann and Kendall's statistic from which a trend is no chance: 1% of series without one reach it.
const TREND_Z_MIN: f64 = 2.576;
/// Coefficient of variation of block means from which a rate swings.
pub const VARIATION_MAX: f64 = 0.2;
/// A silence this many cycles long is none of the cycle's own.
const STALL_CYCLES_MIN: f64 = 3.0;
/// A silence in which this many replies were due is no chance.
const STALL_REPLIES_MIN: f64 = 50.0;
/// Shortest silence that is looked at: samples out of turn are closer together than the rest.
const STALL_S_MIN: f64 = 0.15;
/// Share of the window that stalls may take; less is told and condemns nothing.
pub const STALL_SHARE_MAX: f64 = 0.05;

/// All that moved, each with how grave it is. `fell_behind`: that an open loop did is told already.
pub(super) fn moved(result: &CaseResult, fell_behind: bool) -> Vec<(Verdict, String)> {
    let load = &result.case.load;
    let pause_ns = match load.workload {
        // The end of a fixed number of requests is ragged.
        _ if load.requests.is_some() => return Vec::new(),
        Workload::Closed { think_ns } | Workload::Churn { think_ns } => think_ns,
        Workload::Open { .. } => 0,
        Workload::Hold { .. } | Workload::Burst => return Vec::new(),
    };
    let Some(latency) = &result.latency_ns else { return Vec::new() };
    let cycle_s = (latency.mean + pause_ns as f64) / 1e9;
    let mut found = stalls(result, cycle_s);
    let moved = match load.workload {
        _ if fell_behind || found.iter().any(|stall| stall.0 > Verdict::Valid) => None,
        // Requests come as the schedule has them, in chance's own way: it is those under way that tell.
        Workload::Open { .. } => queue(result),
        _ => {
            let blocks = window::blocks(result, cycle_s);
            let swing = blocks.and_then(|blocks| swings(result, &blocks, !found.is_empty()));
            swing.or_else(|| drift(result, pause_ns))
        }
    };
    found.extend(moved.map(|reason| (Verdict::Unsteady, reason)));
    found
}

/// The first of these that is found in the blocks: a warm-up, a trend, a scatter that no stall explains.
fn swings(result: &CaseResult, blocks: &Blocks, stalled: bool) -> Option<String> {
    let counts = &blocks.counts;
    if counts.len() < series::VALUES_MIN {
        return None;
    }
    warm_up(result, blocks).or_else(|| trend(blocks)).or_else(|| {
        let variation = series::variation(counts).filter(|_| !stalled)?;
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        // Independent arrivals alone scatter by the root of their number.
        let chance = series::variance_chance(counts.len()) / mean;
        let bound = (VARIATION_MAX + blocks.unsure_share).powi(2) + chance;
        (variation * variation > bound).then(|| {
            format!(
                "the completion rate swings: blocks of {} scatter by {:.0}% about their mean",
                seconds(blocks.block_s),
                (variation * 100.0).floor()
            )
        })
    })
}

fn warm_up(result: &CaseResult, blocks: &Blocks) -> Option<String> {
    let found = series::warm_up(&blocks.counts)?;
    let (cut, all) = (found.values as f64, blocks.counts.len() as f64);
    let apart = found.mean / found.mean_after - 1.0;
    let unsure = 2.0 * blocks.unsure_share * (1.0 / cut + 1.0 / (all - cut));
    let moves = apart * cut / all;
    let told = cut / all > WARM_UP_SHARE_MAX
        && apart.abs() > DRIFT_MAX + unsure
        && moves.abs() > WARM_UP_MOVES_MAX
        && found.errors_apart > ERRORS_APART_MIN;
    told.then(|| {
        let warm_up_s = cut * blocks.block_s;
        let had_ns = result.case.load.warmup_ns;
        let enough_ms = ((had_ns as f64 / 1e9 + warm_up_s) * 10.0).ceil() as u64 * 100;
        let (side, way) = if apart < 0.0 { ("below", "low") } else { ("above", "high") };
        format!(
            "the rate of the first {} of the window was {:.0}% {side} that of the rest, so that requests.per_s is {way} by \
             {:.0}%: the warm-up of {} was too short, make it at least {}",
            seconds(warm_up_s),
            (apart.abs() * 100.0).floor(),
            (moves.abs() * 100.0).ceil(),
            format_duration(Duration::from_nanos(had_ns)),
            format_duration(Duration::from_millis(enough_ms))
        )
    })
}

fn trend(blocks: &Blocks) -> Option<String> {
    let found = series::trend(&blocks.counts)?;
    let usual = crate::statistics::median(&blocks.counts).filter(|usual| *usual > 0.0)?;
    let over_window = found.slope * (blocks.counts.len() - 1) as f64 / usual;
    let size = over_window.abs();
    (found.z.abs() > TREND_Z_MIN && size > DRIFT_MAX + 2.0 * blocks.unsure_share).then(|| {
        let way = if over_window < 0.0 { "fell" } else { "rose" };
        format!(
            "the completion rate {way} by {:.0}% of its median over the window (Mann-Kendall z {:+.1})",
            (size * 100.0).floor(),
            found.z
        )
    })
}

/// The two ends of the window, as far as whole cycles prove a difference: also where there are few blocks.
fn drift(result: &CaseResult, think_ns: u64) -> Option<String> {
    let drift = window::drift(result, think_ns)?;
    (drift > DRIFT_MAX).then(|| {
        format!(
            "the completion rate of the two ends of the window differs by at least {:.0}%",
            (drift * 100.0).floor()
        )
    })
}

/// Times without any reply that are much longer than the cycle.
fn stalls(result: &CaseResult, cycle_s: f64) -> Vec<(Verdict, String)> {
    let Some(per_s) = result.requests.per_s else { return Vec::new() };
    let is_stall = |silence: &(f64, f64)| {
        let length_s = silence.1;
        length_s >= STALL_S_MIN
            && length_s > STALL_CYCLES_MIN * cycle_s
            && per_s * length_s >= STALL_REPLIES_MIN
    };
    let stalls: Vec<(f64, f64)> = window::silences(result).into_iter().filter(is_stall).collect();
    let Some(longest) = stalls.iter().max_by(|a, b| a.1.total_cmp(&b.1)) else { return Vec::new() };
    let total_s: f64 = stalls.iter().map(|stall| stall.1).sum();
    let mut text = format!(
        "no reply came for at least {}, from {} into the window on: the target or the machine stalled",
        seconds(longest.1),
        seconds(longest.0)
    );
    if stalls.len() > 1 {
        text.push_str(&format!("; {} such times, {} in all", stalls.len(), seconds(total_s)));
    }
    let grave = total_s > STALL_SHARE_MAX * result.requests.window_s;
    vec![(if grave { Verdict::Unsteady } else { Verdict::Valid }, text)]
}

/// Requests of an open loop that are under way: more and more of them are a queue that the target does not work off,
/// fewer and fewer one of the warm-up that it still does. Told where that is a tenth of their median and more than a
/// count scatters by chance.
fn queue(result: &CaseResult) -> Option<String> {
    let (start, end) = window::span(result)?;
    let samples = result.usage.client.iter().filter(|s| s.t_s >= start && s.t_s <= end);
    let under_way: Vec<f64> = samples.filter_map(|s| Some(s.in_flight? as f64)).collect();
    let found = series::trend(&under_way)?;
    let usual = crate::statistics::median(&under_way)?;
    let grew = (found.slope * (under_way.len() - 1) as f64).round();
    let enough = (DRIFT_MAX * usual).max(3.0 * usual.sqrt()).max(REPLIES_MIN as f64);
    (found.z.abs() > TREND_Z_MIN && grew.abs() > enough).then(|| {
        let (by, z) = (format_count(grew.abs() as u64), found.z);
        let usual = format_count(usual.round() as u64);
        if grew > 0.0 {
            format!(
                "a queue grew through the window: {by} more requests were under way at its end than at its beginning, \
                 {usual} in its middle (Mann-Kendall z {z:+.1})"
            )
        } else {
            format!(
                "a queue was worked off through the window: {by} fewer requests were under way at its end than at its \
                 beginning, {usual} in its middle (Mann-Kendall z {z:+.1}): make the warm-up longer"
            )
        }
    })
}

/// In words, to about a hundredth of a second.
fn seconds(s: f64) -> String {
    format_ns((s * 100.0).round().max(1.0) * 1e7)
}

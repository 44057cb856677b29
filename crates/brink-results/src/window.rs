//! What the usage samples of a result say about its measuring window.
//!
//! Pure, and reads only a result. Must not judge: `verdict` does.

use brink_wire::control::ProcessUsage;

use crate::schema::{CaseResult, EndFacts, EndSample, MachineSample};
use crate::statistics::median;

/// When the measuring window began and ended, in seconds since the case began. From the phase marks;
/// a window without a mark after it ends after `requests.window_s`. `None` without a window.
#[must_use]
pub fn span(result: &CaseResult) -> Option<(f64, f64)> {
    let phases = &result.usage.phases;
    let at = phases.iter().position(|p| p.name == "window")?;
    let start = phases[at].t_s;
    let end = phases.get(at + 1).map_or(start + result.requests.window_s, |next| next.t_s);
    (end > start).then_some((start, end))
}

/// Samples closer together than this tell no rate: reading one end takes a while in itself, and on a busy
/// machine the two clocks of a sample (its time, its CPU time) may be read milliseconds apart.
const SPAN_S_MIN: f64 = 0.2;

/// CPU seconds used per second between the first and the last sample in the span.
/// `None` with fewer than two samples that know their CPU time, or where they are too close together.
#[must_use]
pub fn cpu_per_s(samples: &[EndSample], span: (f64, f64)) -> Option<f64> {
    let mut known = within(samples, span).filter_map(|s| Some((s.t_s, s.cpu_s?)));
    let first = known.next()?;
    let last = known.last()?;
    let elapsed_s = last.0 - first.0;
    (elapsed_s >= SPAN_S_MIN).then(|| (last.1 - first.1) / elapsed_s)
}

/// [`cpu_per_s`] of the client in the window, all its threads together, waiting awake included. `None`, too, where it is
/// more than its machine's CPUs can give.
#[must_use]
pub fn client_cpu_per_s(result: &CaseResult) -> Option<f64> {
    possible(cpu_per_s(&result.usage.client, span(result)?)?, Some(&result.facts.client))
}

/// What the load took of that: all but what was spent asking for events in vain, which another client could have slept.
#[must_use]
pub fn client_work_cpu_per_s(result: &CaseResult) -> Option<f64> {
    // Both are of nearly the same time, not of the same.
    Some((client_cpu_per_s(result)? - polled_in_vain_per_s(result).unwrap_or(0.0)).max(0.0))
}

/// CPU seconds per second that the client spent asking for events in vain, where it stayed awake.
#[must_use]
pub fn polled_in_vain_per_s(result: &CaseResult) -> Option<f64> {
    let window_s = result.requests.window_s;
    result.usage.polled_in_vain_s.filter(|_| window_s > 0.0).map(|s| s / window_s)
}

/// [`cpu_per_s`] of the target's processes together in the window. `None`, too, where it is more
/// than its machine's CPUs, if known, can give.
#[must_use]
pub fn target_cpu_per_s(result: &CaseResult) -> Option<f64> {
    possible(cpu_per_s(&result.usage.target, span(result)?)?, result.facts.target.as_ref())
}

/// A figure above what is possible is a fault of the measuring and no fact. A tenth above may be the
/// time between the readings of a sample.
fn possible(cpu_per_s: f64, end: Option<&EndFacts>) -> Option<f64> {
    let cpus = end.map_or(0, |end| end.machine.cpus);
    (cpus == 0 || cpu_per_s <= 1.1 * f64::from(cpus)).then_some(cpu_per_s)
}

/// What a counter of a machine rose by per second between the first and the last sample in the span that know it.
/// `None` with fewer than two, or where they are less than 1.5 s apart: the kernel counts in ticks of 10 ms, and a
/// program that starts or ends beside would be most of less.
#[must_use]
pub fn machine_per_s(
    samples: &[MachineSample],
    span: (f64, f64),
    counter: fn(&MachineSample) -> Option<f64>,
) -> Option<f64> {
    let mut known = machine_within(samples, span).filter_map(|s| Some((s.t_s, counter(s)?)));
    let first = known.next()?;
    let last = known.next_back()?;
    let elapsed_s = last.0 - first.0;
    (elapsed_s >= MACHINE_S_MIN).then(|| (last.1 - first.1) / elapsed_s)
}

/// See [`machine_per_s`].
const MACHINE_S_MIN: f64 = 1.5;

/// How a machine's control group was throttled for want of CPU quota.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttled {
    /// Periods of the quota.
    pub periods: u64,
    /// Those in which it did not suffice.
    pub throttled: u64,
    /// How long the group stood still, the sum over CPUs, as a share of the time looked at: 2 is possible with two CPUs.
    pub share: f64,
}

/// Between the first and the last sample in the span that know it. `None` with fewer than two, and where the group has no
/// quota.
#[must_use]
pub fn throttled(samples: &[MachineSample], span: (f64, f64)) -> Option<Throttled> {
    let mut known = machine_within(samples, span).filter_map(|s| {
        let group = s.usage.cgroup.as_ref()?;
        Some((s.t_s, group.cpu_periods?, group.cpu_throttled_periods?, group.cpu_throttled_s?))
    });
    let first = known.next()?;
    let last = known.next_back()?;
    Some(Throttled {
        periods: last.1.checked_sub(first.1)?,
        throttled: last.2.checked_sub(first.2)?,
        share: (last.3 - first.3) / (last.0 - first.0),
    })
}

/// The most threads seen in the span.
#[must_use]
pub fn threads_max(samples: &[EndSample], span: (f64, f64)) -> Option<u64> {
    within(samples, span).filter_map(|s| s.threads).max()
}

/// The most user memory seen in the span, in bytes.
#[must_use]
pub fn user_bytes_max(samples: &[EndSample], span: (f64, f64)) -> Option<u64> {
    within(samples, span).filter_map(|s| s.user_bytes).max()
}

/// CPU seconds of the target, user and system, for each request answered between its first and its last sample in
/// the window. Counted by the target; by the client, at the same times, where the target does not count (a foreign
/// one). `None` with fewer than two samples, or without a request between them.
#[must_use]
pub fn target_cpu_s_per_request(result: &CaseResult) -> Option<f64> {
    let mut known =
        within(&result.usage.target, span(result)?).filter_map(|s| Some((s.t_s, s.cpu_s?, s.requests)));
    let first = known.next()?;
    let last = known.last()?;
    let requests = match (first.2, last.2) {
        (Some(first), Some(last)) => last.checked_sub(first)? as f64,
        _ => answered_by(&result.usage.client, last.0)? - answered_by(&result.usage.client, first.0)?,
    };
    (requests > 0.0).then(|| (last.1 - first.1) / requests)
}

/// Requests counted up to an instant, off the straight line between the samples on either side of it.
fn answered_by(samples: &[EndSample], t_s: f64) -> Option<f64> {
    let (low, high) = replies_at(samples, t_s, 0.0)?;
    Some((low + high) / 2.0)
}

/// What one of several serving processes used in the window.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerUsage {
    /// Which.
    pub pid: u32,
    /// Most connections it counted as open.
    pub live: Option<u64>,
    /// Most user memory.
    pub user_bytes: Option<u64>,
    /// Most threads.
    pub threads: Option<u64>,
    /// CPU seconds per second.
    pub cpu_per_s: Option<f64>,
}

/// The target's processes one by one, by pid; empty where it has one only, or none was sampled in the window.
#[must_use]
pub fn workers(result: &CaseResult) -> Vec<WorkerUsage> {
    let Some(span) = span(result) else {
        return Vec::new();
    };
    let samples: Vec<&EndSample> =
        within(&result.usage.target, span).filter(|s| s.workers.len() > 1).collect();
    let mut pids: Vec<u32> = samples.iter().flat_map(|s| &s.workers).map(|w| w.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let one = |pid: u32| {
        let own = || {
            samples.iter().flat_map(|s| s.workers.iter().map(|w| (s.t_s, w))).filter(move |w| w.1.pid == pid)
        };
        let most = |pick: fn(&ProcessUsage) -> Option<u64>| own().filter_map(|w| pick(w.1)).max();
        let as_end =
            |(t_s, w): (f64, &ProcessUsage)| EndSample { t_s, cpu_s: w.cpu_s, ..EndSample::default() };
        let cpu: Vec<EndSample> = own().map(as_end).collect();
        WorkerUsage {
            pid,
            live: most(|w| w.live),
            user_bytes: most(|w| w.user_bytes),
            threads: most(|w| w.threads),
            cpu_per_s: cpu_per_s(&cpu, span),
        }
    };
    pids.into_iter().map(one).collect()
}

fn within(samples: &[EndSample], (start, end): (f64, f64)) -> impl Iterator<Item = &EndSample> {
    samples.iter().filter(move |s| s.t_s >= start && s.t_s <= end)
}

fn machine_within(
    samples: &[MachineSample],
    (start, end): (f64, f64),
) -> impl DoubleEndedIterator<Item = &MachineSample> {
    samples.iter().filter(move |s| s.t_s >= start && s.t_s <= end)
}

/// The window cut into blocks of equal length, one after the other; what is left at its end is in none.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks {
    /// Replies in each.
    pub counts: Vec<f64>,
    /// Length of one.
    pub block_s: f64,
    /// By how much the count of a block may be off, at either of its ends, as a share of it: connections that answer
    /// together may have done so on this or on that side of a cut, and the samples do not tell.
    pub unsure_share: f64,
}

/// Fewest replies in a block, so that chance alone is no more than a seventh of it.
const BLOCK_REPLIES_MIN: f64 = 50.0;
/// Blocks are made of this many cycles, where that leaves [`BLOCKS_WANTED`].
const BLOCK_CYCLES: f64 = 10.0;
/// See [`BLOCK_CYCLES`].
const BLOCKS_WANTED: f64 = 20.0;

/// The replies of the window by blocks. `cycle_s` is the time between the replies of one connection: a block is whole
/// cycles long, as in [`drift`], and at least as long as the samples are apart. `None` where the samples do not reach
/// over the window.
#[must_use]
pub fn blocks(result: &CaseResult, cycle_s: f64) -> Option<Blocks> {
    let (start, end) = span(result)?;
    let samples = &result.usage.client;
    let count = |t_s| replies_at(samples, t_s, 0.0).map(|c| c.0);
    let per_s = (count(end)? - count(start)?) / (end - start);
    let gaps: Vec<f64> = samples.windows(2).map(|pair| pair[1].t_s - pair[0].t_s).collect();
    let shortest_s = median(&gaps)?.max(BLOCK_REPLIES_MIN / per_s);
    let room = ((end - start) / BLOCKS_WANTED / cycle_s).floor();
    let cycles = (shortest_s / cycle_s).ceil().max(BLOCK_CYCLES.min(room));
    let block_s = cycles * cycle_s;
    // What ends a millionth short of the window's end is whole: these are sums of fractions.
    let whole = ((end - start) / block_s + 1e-6).floor();
    if !whole.is_finite() || whole < 1.0 {
        return None;
    }
    let cuts: Vec<f64> = (0..=whole as usize).map(|i| (start + i as f64 * block_s).min(end)).collect();
    let at: Vec<f64> = cuts.iter().map(|&t_s| count(t_s)).collect::<Option<_>>()?;
    let counts: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let usual = median(&counts)?;
    let jump = |t_s: &f64| replies_at(samples, *t_s, f64::INFINITY).map_or(0.0, |(low, high)| high - low);
    let unsure = cuts.iter().map(jump).fold(0.0, f64::max).min(usual / cycles);
    Some(Blocks { counts, block_s, unsure_share: if usual > 0.0 { unsure / usual } else { 0.0 } })
}

/// The times without a reply in the window, each with when it began, in seconds since the window did:
/// `(began_s, length_s)`. Seen as samples between which nothing was counted, to the distance of samples; or as one long
/// gap between two, since whoever samples a target that stands still waits for it: then as long as the replies counted in
/// it leave at the usual rate, if a request waited that long.
#[must_use]
pub fn silences(result: &CaseResult) -> Vec<(f64, f64)> {
    let Some((start, end)) = span(result) else { return Vec::new() };
    let known: Vec<(f64, u64)> = within(&result.usage.client, (start, end))
        .filter_map(|s| Some((s.t_s - start, s.requests?)))
        .collect();
    let silent = known.chunk_by(|a, b| a.1 == b.1).filter(|same| same.len() > 1);
    let seen = silent.map(|same| (same[0].0, same[same.len() - 1].0 - same[0].0));
    seen.chain(gaps_without_replies(result, &known)).collect()
}

/// See [`silences`]: what long gaps between samples hide.
fn gaps_without_replies(result: &CaseResult, known: &[(f64, u64)]) -> Vec<(f64, f64)> {
    let gaps: Vec<(f64, f64, f64)> = known
        .windows(2)
        .filter(|pair| pair[1].1 > pair[0].1)
        .map(|pair| (pair[0].0, pair[1].0 - pair[0].0, (pair[1].1 - pair[0].1) as f64))
        .collect();
    let usual_s = median(&gaps.iter().map(|gap| gap.1).collect::<Vec<f64>>());
    let per_s = median(&gaps.iter().filter(|gap| gap.1 > 0.0).map(|gap| gap.2 / gap.1).collect::<Vec<f64>>());
    let (Some(usual_s), Some(per_s), Some(latency)) = (usual_s, per_s, &result.latency_ns) else {
        return Vec::new();
    };
    let waited_s = latency.max as f64 / 1e9;
    let hidden = |(began_s, gap_s, replies): (f64, f64, f64)| {
        let silent_s = gap_s - replies / per_s;
        let is_long = gap_s > 2.0 * usual_s && silent_s > gap_s / 2.0 && silent_s <= waited_s;
        is_long.then_some((began_s, silent_s))
    };
    gaps.into_iter().filter_map(hidden).collect()
}

/// Fewest replies in each part that say anything about a drift of a tenth.
const REPLIES_MIN: f64 = 1000.0;

/// How much faster one end of the window completed requests than the other, as a fraction of the
/// slower one; 0 where the samples cannot prove a difference, `None` where they cannot tell at all.
///
/// Method: closed-loop connections that opened together answer together, so that the rate swings with
/// the cycle (latency + think time) and halves cut anywhere would differ by phase alone. Therefore the
/// first k and the last k whole cycles of the window are compared, k being as many as fit in half of it.
/// The count of replies at a cut lies between those of the samples on either side; where a cycle
/// is longer than the gap between samples that range is kept, and the difference given is the smallest
/// that it allows; else the count is read off the straight line between the two samples.
#[must_use]
pub fn drift(result: &CaseResult, think_ns: u64) -> Option<f64> {
    let (start, end) = span(result)?;
    let cycle_s = (result.latency_ns.as_ref()?.mean + think_ns as f64) / 1e9;
    if cycle_s <= 0.0 {
        return None;
    }
    let cycles = ((end - start) / 2.0 / cycle_s).floor();
    if cycles < 1.0 {
        return None;
    }
    let part_s = cycles * cycle_s;
    let count = |t_s| replies_at(&result.usage.client, t_s, cycle_s);
    let first = difference(count(start)?, count(start + part_s)?);
    let last = difference(count(end - part_s)?, count(end)?);
    if first.1.min(last.1) < REPLIES_MIN {
        return None;
    }
    let apart = |low: f64, high: f64| if high > 0.0 { (low / high - 1.0).max(0.0) } else { 0.0 };
    Some(apart(first.0, last.1).max(apart(last.0, first.1)))
}

/// Least and most replies between two cuts.
fn difference(from: (f64, f64), to: (f64, f64)) -> (f64, f64) {
    (to.0 - from.1, to.1 - from.0)
}

/// Least and most replies that may have been counted at `t_s`.
fn replies_at(samples: &[EndSample], t_s: f64, cycle_s: f64) -> Option<(f64, f64)> {
    let known = || samples.iter().filter_map(|s| Some((s.t_s, s.requests? as f64)));
    let before = known().take_while(|s| s.0 <= t_s).last()?;
    let after = known().find(|s| s.0 >= t_s)?;
    let gap_s = after.0 - before.0;
    if gap_s <= 0.0 || cycle_s > gap_s {
        return Some((before.1, after.1));
    }
    let count = before.1 + (after.1 - before.1) * (t_s - before.0) / gap_s;
    Some((count, count))
}

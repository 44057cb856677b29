//! From how many connections on one set of cases is better than another.
//!
//! Better: the 95% interval of the ratio leaves out 1 and the ratio is off by [`THRESHOLD`] or more, as `compare` has it.

use brink_wire::value::format_count;

use super::dimension::PLAIN;
use super::evidence::Evidence;
use super::value::{DRAWS, Spread, Value};
use crate::comparison::contrast::{Outcome, contrast};
use crate::measures::Measure;
use crate::repeats::Repeats;

/// Differences below it are of no use to anybody.
pub const THRESHOLD: f64 = 0.03;

/// One count of connections, and who is better there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Connections of both.
    pub connections: u64,
    /// Of the second against the first.
    pub outcome: Outcome,
}

/// A case by its connections.
type ByConnections<'a, 'g> = (u64, &'g Repeats<'a>);

/// Who is better at each count of connections that both have.
pub fn standings<'a>(
    evidence: &Evidence<'a>,
    measure: &'static Measure,
    before: &[ByConnections<'a, '_>],
    after: &[ByConnections<'a, '_>],
) -> Vec<Standing> {
    let of = |(connections, group): &ByConnections<'a, '_>| {
        let (_, other) = after.iter().find(|(count, _)| count == connections)?;
        let found = contrast(measure, &evidence.counted(group), &evidence.counted(other), THRESHOLD)?;
        // A rate that the delay sets tells that both keep up.
        let outcome = if found.outcome == Outcome::NotJudged { Outcome::NoDifference } else { found.outcome };
        Some(Standing { connections: *connections, outcome })
    };
    before.iter().filter_map(of).collect()
}

/// The smallest count from which the cases of `after` are better, and nowhere above worse again. Infinite where there is
/// none up to where was looked, which its note says: a rule about counts beyond that stays open.
///
/// # Errors
/// Why it cannot be told.
pub fn crossover(evidence: &Evidence, measure: &str, before: &str, after: &str) -> Result<Value, String> {
    let row = Measure::find(measure).ok_or_else(|| format!("`{measure}` is not a measure"))?;
    let (one, other) = (evidence.matching(before), evidence.matching(after));
    for (glob, found) in [(before, &one), (after, &other)] {
        if found.is_empty() {
            return Err(format!("{glob}: no such case in this run"));
        }
        if found.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("{glob}: more than one case for a count of connections"));
        }
    }
    let all = standings(evidence, row, &one, &other);
    let known: Vec<Standing> = all.iter().copied().filter(|at| at.outcome != Outcome::Undecided).collect();
    let Some(last) = known.last() else {
        return Err(format!("{before}, {after}: nowhere repeated and valid on both sides"));
    };
    let is_better = |at: &Standing| at.outcome == Outcome::Better;
    let worse_last = known.iter().rposition(|at| at.outcome == Outcome::Worse);
    let from = worse_last.map_or(0, |at| at + 1);
    let found = known[from..].iter().position(is_better).map(|at| at + from);
    let value = |figure, spread, note| Value { figure, spread, dimension: PLAIN, note: Some(note) };
    let Some(at) = found else {
        let most = format_count(last.connections);
        let note = [format!("no crossover up to {most}"), format!("> {most}")];
        let beyond = last.connections as f64;
        return Ok(value(f64::INFINITY, either(beyond * (1.0 + f64::EPSILON), f64::INFINITY), note));
    };
    let first = known[at].connections as f64;
    let count = format_count(known[at].connections);
    let Some(below) = at.checked_sub(1).map(|at| known[at].connections) else {
        // Already at the smallest count: where below it the order turned nobody looked.
        return Ok(value(
            first,
            either(1.0, first),
            [format!("better at {count} already, the least that was measured"), format!("< {count}")],
        ));
    };
    // It lies somewhere between: all counts there alike likely, on a logarithmic scale.
    let low = below as f64;
    let step = (first / low).ln() / DRAWS as f64;
    let draws = (1..=DRAWS).map(|i| low * (step * i as f64).exp()).collect();
    let below = format_count(below);
    let note = [format!("as good up to {below}, better from {count}"), format!("{below} to {count}")];
    Ok(value(first, Spread::Drawn(draws), note))
}

/// All that is known is that it lies between these: a rule that parts them is undecided.
fn either(low: f64, high: f64) -> Spread {
    Spread::Drawn((0..DRAWS).map(|at| if at % 2 == 0 { low } else { high }).collect())
}

//! A figure of each target over its repeats, and which of them are told apart: by 95% intervals, or not at all.
//!
//! Must not rank by a single run, nor where intervals touch.

use crate::answer::compare::{PAIRS_MAX, Peer, Peers};
use crate::answer::listed;
use crate::measures::Measure;
use crate::schema::CaseResult;
use crate::statistics::{Estimate, Observation, Scale, estimate};

/// Said of figures that no interval belongs to.
pub(super) const ONCE: &str =
    " Measured once, so without an interval: not a ranking until the cases are repeated.";

/// A figure of one label.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    pub(super) label: String,
    pub(super) estimate: Estimate,
}

impl Spread {
    /// `mio 1.00 s ±2 ms`; without an interval where it was measured once.
    pub(super) fn text(&self, format: fn(f64) -> String) -> String {
        format!("{} {}", self.label, figure(&self.estimate, format))
    }
}

/// `1.00 s ±2 ms`, the larger side of an interval that is not symmetrical; without one where it was measured once.
pub(crate) fn figure(estimate: &Estimate, format: fn(f64) -> String) -> String {
    match half(estimate) {
        Some(half) => format!("{} ±{}", format(estimate.value), format(half)),
        None => format(estimate.value),
    }
}

/// The larger side of the interval. `None` for a single run: what that knows of itself is no interval of repeats.
pub(crate) fn half(estimate: &Estimate) -> Option<f64> {
    let [low, high] = estimate.interval.filter(|_| estimate.count > 1)?;
    Some((high - estimate.value).max(estimate.value - low))
}

/// Of each label, the lowest first; those that do not know it are left out.
pub(super) fn spreads(
    peers: &Peers,
    scale: Scale,
    pick: impl Fn(&CaseResult) -> Option<Observation>,
) -> Vec<Spread> {
    let of = |peer: &Peer| {
        let known: Vec<Observation> = peer.repeats.iter().filter_map(|r| pick(r)).collect();
        Some(Spread { label: peer.label.clone(), estimate: estimate(&known, scale)? })
    };
    let mut all: Vec<Spread> = peers.peers.iter().filter_map(of).collect();
    let value = |s: &Spread| s.estimate.value;
    all.sort_by(|a, b| value(a).total_cmp(&value(b)).then_with(|| a.label.cmp(&b.label)));
    all
}

/// [`spreads`] of a measure.
pub(super) fn of_measure(peers: &Peers, measure: &Measure) -> Vec<Spread> {
    spreads(peers, measure.scale(), measure.pick)
}

/// `mio 1.00 s and tokio 1.00 s ±2 ms`.
pub(super) fn figures(all: &[Spread], format: fn(f64) -> String) -> String {
    listed(&all.iter().map(|one| one.text(format)).collect::<Vec<_>>())
}

/// Who is below whom by intervals; that nobody is ranked by a single run. `all` by rising figure.
pub(super) fn told_apart(all: &[Spread], format: fn(f64) -> String) -> String {
    if all.len() < 2 {
        return String::new();
    }
    if all.iter().any(|one| one.estimate.count < 2) {
        return ONCE.to_owned();
    }
    if all.len() > PAIRS_MAX {
        return chain(all);
    }
    let pair = |pair: &[Spread]| {
        let (a, b) = (&pair[0], &pair[1]);
        if a.estimate.is_apart(&b.estimate) {
            format!(" {} is below {}.", a.label, b.label)
        } else {
            format!(
                " No difference seen between {} and {}: their intervals overlap.",
                a.text(format),
                b.text(format)
            )
        }
    };
    all.windows(2).map(pair).collect()
}

/// Many in one line, where a sentence for each pair would be read by nobody.
pub(super) fn chain(all: &[Spread]) -> String {
    let mut text = format!(" By intervals (`<`: apart, `~`: they overlap): {}", all[0].label);
    for pair in all.windows(2) {
        let sign = if pair[0].estimate.is_apart(&pair[1].estimate) { '<' } else { '~' };
        text.push_str(&format!(" {sign} {}", pair[1].label));
    }
    text + "."
}

//! The arithmetic of evidence: when use is at a limit, and how it is put in words.

use super::Observation;

/// Use this close to a limit counts as at it, on top of one percent: what the end itself has
/// given back, or others have taken, between the failure and the reading. Less for a small limit.
pub(super) const SLACK: u64 = 8;

/// Whether use is within 1% and [`SLACK`] of a limit; of a small limit, within a tenth.
pub(super) fn at_limit(used: u64, value: u64) -> bool {
    used.saturating_add(value / 100).saturating_add(SLACK.min(value / 10)) >= value
}

/// Ports of the fullest pair of addresses, reckoned from the connections that are open, which
/// are spread evenly. Where the count of pairs is unknown, at most that: as if all were one pair's.
pub(super) fn ports_in_use(observation: &Observation<'_>) -> u64 {
    observation.at_connections.div_ceil(observation.address_pairs.unwrap_or(1).max(1))
}

/// The value that should carry what was wanted, in proportion to what this one carried; twice
/// the value where that is unknown.
pub(super) fn scaled(value: u64, observation: &Observation<'_>) -> u64 {
    match observation.connections_wanted {
        Some(wanted) if observation.at_connections > 0 && wanted > observation.at_connections => {
            let scaled = u128::from(value) * u128::from(wanted) / u128::from(observation.at_connections) + 1;
            u64::try_from(scaled).unwrap_or(u64::MAX)
        }
        _ => value.saturating_mul(2),
    }
}

/// One figure in words.
pub(super) fn describe(name: &str, unit: &str, used: Option<u64>, value: Option<u64>) -> String {
    match (used, value) {
        (Some(used), Some(value)) => format!("{name}: {used} of {value} {unit} in use"),
        (None, Some(value)) => format!("{name}: {value} {unit}, use unknown"),
        (_, None) => format!("{name}: no limit, or unknown"),
    }
}

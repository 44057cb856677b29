//! The arithmetic of evidence: when use is at a limit, and how it is put in words.

use brink_wire::value::{format_bytes, format_count};

use super::Observation;
use crate::headroom::{LEFT_ALONE_BYTES, LEFT_ALONE_MAPS};
use crate::limits::MAPPINGS_PER_THREAD;

/// Use this close to a limit counts as at it, on top of one percent: what the end itself has
/// given back, or others have taken, between the failure and the reading. Less for a small limit.
pub(super) const SLACK: u64 = 8;

/// Whether use is within 1% and [`SLACK`] of a limit; of a small limit, within a tenth.
pub(super) fn at_limit(used: u64, value: u64) -> bool {
    used.saturating_add(value / 100).saturating_add(SLACK.min(value / 10)) >= value
}

/// Ports of the fullest pair of addresses: those that others hold, and the share of the connections
/// that are open, which are spread evenly. Where the count of pairs is unknown, at most that: as if all were one pair's.
pub(super) fn ports_in_use(observation: &Observation<'_>) -> u64 {
    let own = observation.at_connections.div_ceil(observation.address_pairs.unwrap_or(1).max(1));
    own.saturating_add(observation.ports_taken.unwrap_or(0))
}

/// The shortest queue worth asking for: the oldest usual one (listen(2)).
const BACKLOG_MIN: u64 = 128;
/// Fewer connections than this say nothing about what one takes.
const CARRIED_MIN: u64 = 10;

/// The value that should carry what was wanted: what the missing connections take comes on top of what was
/// used up. Where a connection's take is unknown, in proportion to what was carried, and where the wanted
/// count is, twice the value; `None` where too few were carried to tell anything.
pub(super) fn scaled(limit: &str, value: u64, observation: &Observation<'_>) -> Option<u64> {
    let at = observation.at_connections;
    match limit {
        // How many wait at once follows from speeds, not from counts.
        "net.core.somaxconn" | "net.ipv4.tcp_max_syn_backlog" | super::TARGET_BACKLOG => {
            return Some(value.saturating_mul(4).max(BACKLOG_MIN));
        }
        // A bound on connections carries as many as it says.
        super::TARGET_MAX_CONNECTIONS | super::TARGET_POOL_WORKERS => {
            return Some(observation.connections_wanted?.max(value));
        }
        "kernel.io_uring_disabled" => return Some(0),
        _ => {}
    }
    let Some(wanted) = observation.connections_wanted else {
        return (at >= CARRIED_MIN).then(|| value.saturating_mul(2));
    };
    // Where as many as wanted were open, what kept the rest from it is not known: as much again.
    let missing = if wanted > at { wanted - at } else { wanted };
    let each = match limit {
        super::PORT_RANGE => {
            let per_pair = missing.div_ceil(observation.address_pairs.unwrap_or(1).max(1));
            return Some(value.saturating_add(per_pair));
        }
        "rlimit.nofile"
        | "rlimit.nproc"
        | "fs.nr_open"
        | "kernel.threads-max"
        | "kernel.pid_max"
        | "cgroup.pids.max"
        | "net.netfilter.nf_conntrack_max" => Some(1),
        // Of the whole machine, which may hold both ends of a connection.
        "fs.file-max" | "fs.epoll.max_user_watches" => Some(2),
        "vm.max_map_count" => Some(MAPPINGS_PER_THREAD),
        "rlimit.as" | "vm.overcommit" => observation.stack_bytes,
        _ => None,
    };
    match each {
        Some(each) => {
            let more = missing.saturating_mul(each).saturating_add(needed_for_one(limit, observation));
            Some(value.saturating_add(more))
        }
        None if at < CARRIED_MIN => None,
        None if wanted > at => {
            let scaled = u128::from(value) * u128::from(wanted) / u128::from(at) + 1;
            Some(u64::try_from(scaled).unwrap_or(u64::MAX))
        }
        None => Some(value.saturating_mul(2)),
    }
}

/// What has to be free of a limit for one more thread; below that it is at its limit. ENOMEM is brink's own
/// refusal, on either end ([`crate::headroom`]): it leaves some alone, because the standard library ends the process
/// when what a thread maps later is refused. EAGAIN is the kernel's, which refuses only the stack (mmap(2)).
pub(super) fn needed_for_one(limit: &str, observation: &Observation<'_>) -> u64 {
    if observation.phase != "spawn" {
        return 0;
    }
    let stack_bytes = observation.stack_bytes.unwrap_or(0);
    match (limit, observation.errno) {
        ("rlimit.as", "ENOMEM") => stack_bytes.saturating_add(LEFT_ALONE_BYTES),
        ("rlimit.as" | "vm.overcommit", "EAGAIN") => stack_bytes,
        ("vm.max_map_count", "ENOMEM") => LEFT_ALONE_MAPS + MAPPINGS_PER_THREAD,
        _ => 0,
    }
}

/// One figure in words.
pub(super) fn describe(name: &str, unit: &str, used: Option<u64>, value: Option<u64>) -> String {
    let figure = |figure: u64| match unit {
        "bytes" => format_bytes(figure as f64),
        _ => format_count(figure),
    };
    let unit = if unit == "bytes" { String::new() } else { format!(" {unit}") };
    match (used, value) {
        (Some(used), Some(value)) => format!("{name}: {} of {}{unit} in use", figure(used), figure(value)),
        (None, Some(value)) => format!("{name}: {}{unit}, use unknown", figure(value)),
        (_, None) => format!("{name}: unknown"),
    }
}

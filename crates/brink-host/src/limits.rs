//! LIMITS: every limit that can end a run, one row each. A row knows where the limit is read,
//! what a plan needs of it, what hitting it looks like and how it is lifted, so that
//! preflight, prediction, attribution and advice cannot disagree.
//!
//! Adding a limit is adding a row (and its reading function, in the file of its group).
//! Reading happens only in `read`; everything else here is arithmetic.

mod advice;
mod cgroup_rows;
mod kernel_rows;
mod memory_rows;
mod net_rows;
mod predict;
mod process_numbers;
mod rlimit_rows;
mod sharing;
mod target_rows;
mod tcp_rows;
mod thread_cost;

pub use advice::Lift;
pub use brink_wire::control::LimitReading;
pub(crate) use cgroup_rows::{NO_LIMIT as NO_CGROUP_LIMIT, NO_LIMIT_SEEN as NO_CGROUP_LIMIT_SEEN};
pub use predict::{
    Beside, LEFT_ALONE_BYTES, LEFT_ALONE_MAPPINGS, MAPPINGS_PER_THREAD, Need, Prediction, predict, predict_by,
};
pub use sharing::shares_user;
pub use target_rows::{OwnBounds, with_own_bounds};
pub use thread_cost::beside_stack_bytes;

use crate::proc_tree::ProcTree;

/// An end of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The end that connects.
    Client,
    /// The end that accepts.
    Target,
}

/// Which ends a limit binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binds {
    /// Only the end that connects.
    Client,
    /// Only the end that accepts.
    Target,
    /// Each end.
    Both,
}

impl Binds {
    /// Whether that end is among them.
    #[must_use]
    pub fn includes(self, end: End) -> bool {
        matches!((self, end), (Self::Both, _) | (Self::Client, End::Client) | (Self::Target, End::Target))
    }
}

/// What the use of a limit counts, and hence what has to be taken off before a plan may draw on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One process: a plan's need is its use as a whole, from the start of the process.
    Process,
    /// More than one process: a plan's need comes on top of what is in use.
    Shared,
}

/// Where a limit belongs, for those who look at all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Of a process or its user.
    Process,
    /// Of the machine.
    Machine,
    /// Of the network stack.
    Network,
    /// Of a control group.
    Cgroup,
    /// The target's own.
    Target,
}

impl Group {
    /// All, in the order they are shown.
    pub const ALL: [Self; 5] = [Self::Process, Self::Machine, Self::Network, Self::Cgroup, Self::Target];

    /// In one word, as results may write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Machine => "machine",
            Self::Network => "network",
            Self::Cgroup => "cgroup",
            Self::Target => "target",
        }
    }
}

/// What an errno says about a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The kernel has no other cause for it.
    Proves,
    /// In this phase the errno means this limit, unless the figures speak against it.
    Names,
    /// One of several limits with the same errno: only use at the limit tells.
    Allows,
}

/// What hitting a limit looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symptom {
    /// `socket`, `bind`, `connect`, `accept`, `spawn`, `register`, `ring`; `*` for every phase.
    pub phase: &'static str,
    /// Errno by name.
    pub errno: &'static str,
    /// What it says.
    pub weight: Weight,
}

impl Symptom {
    const fn proves(phase: &'static str, errno: &'static str) -> Self {
        Self { phase, errno, weight: Weight::Proves }
    }

    const fn names(phase: &'static str, errno: &'static str) -> Self {
        Self { phase, errno, weight: Weight::Names }
    }

    const fn allows(phase: &'static str, errno: &'static str) -> Self {
        Self { phase, errno, weight: Weight::Allows }
    }

    /// Whether this is what was seen.
    #[must_use]
    pub fn matches(&self, phase: &str, errno: &str) -> bool {
        self.errno == errno && (self.phase == "*" || self.phase == phase)
    }
}

/// One limit.
#[derive(Debug)]
pub struct Limit {
    /// As results name it: `rlimit.nofile`.
    pub name: &'static str,
    /// What is counted: `descriptors`, `threads`, `bytes`, ..; `mode` for a switch, whose value is no count.
    pub unit: &'static str,
    /// Which end it binds.
    pub binds: Binds,
    /// Whose use counts.
    pub scope: Scope,
    /// Where it belongs.
    pub group: Group,
    /// What it limits, in one line.
    pub summary: &'static str,
    /// Reads it as a process meets it.
    pub(crate) read: fn(&ProcTree) -> Figures,
    /// What a plan needs of it at `Need::connections`; `None` where the plan does not draw on
    /// it or the need is unknown. Never falls as connections grow.
    pub need: fn(&Need) -> Option<u64>,
    /// What hitting it looks like. Empty where no errno says so: then counters do, or nothing.
    pub symptoms: &'static [Symptom],
    /// The command that lifts it at once.
    pub fix: fn(&Lift<'_>) -> String,
    /// What lifts it so that it stays lifted after a boot or a new login.
    pub lasting: fn(&Lift<'_>) -> String,
}

impl Limit {
    /// The value that will bite, once the end has raised what it may raise by itself:
    /// both ends raise their soft descriptor limit to the hard one. `None`: no limit, or unknown.
    #[must_use]
    pub fn reachable(&self, reading: &LimitReading) -> Option<u64> {
        if self.is_mode() {
            return None;
        }
        if self.name == rlimit_rows::NOFILE { reading.hard } else { reading.value }
    }

    /// Whether it is a switch: its value is compared with nothing.
    #[must_use]
    pub fn is_mode(&self) -> bool {
        self.unit == MODE
    }

    /// What is left: value less use. `None` where either is unknown, where there is no limit, and for a switch.
    #[must_use]
    pub fn headroom(&self, reading: &LimitReading) -> Option<u64> {
        if self.is_mode() {
            return None;
        }
        Some(reading.value?.saturating_sub(reading.used?))
    }
}

/// The unit of a switch.
const MODE: &str = "mode";

/// What a row's `read` found: a [`LimitReading`] without its name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) value: Option<u64>,
    pub(crate) hard: Option<u64>,
    pub(crate) used: Option<u64>,
    pub(crate) source: String,
    pub(crate) note: Option<String>,
}

impl Figures {
    /// Nothing is known, and why.
    pub(crate) fn unknown(source: impl Into<String>, why: impl Into<String>) -> Self {
        Self { source: source.into(), note: Some(why.into()), ..Self::default() }
    }
}

/// All limits, in the order they are shown.
pub static LIMITS: &[Limit] = &[
    rlimit_rows::NOFILE_ROW,
    rlimit_rows::NPROC_ROW,
    rlimit_rows::AS_ROW,
    rlimit_rows::STACK_ROW,
    rlimit_rows::MEMLOCK_ROW,
    memory_rows::MAX_MAP_COUNT_ROW,
    kernel_rows::NR_OPEN_ROW,
    kernel_rows::FILE_MAX_ROW,
    kernel_rows::EPOLL_WATCHES_ROW,
    kernel_rows::THREADS_MAX_ROW,
    kernel_rows::PID_MAX_ROW,
    kernel_rows::IO_URING_ROW,
    memory_rows::OVERCOMMIT_ROW,
    memory_rows::AVAILABLE_ROW,
    net_rows::PORT_RANGE_ROW,
    net_rows::SOMAXCONN_ROW,
    net_rows::SYN_BACKLOG_ROW,
    net_rows::ABORT_ON_OVERFLOW_ROW,
    tcp_rows::MEM_ROW,
    tcp_rows::TIME_WAIT_ROW,
    tcp_rows::ORPHANS_ROW,
    tcp_rows::CONNTRACK_ROW,
    cgroup_rows::PIDS_ROW,
    cgroup_rows::MEMORY_ROW,
    target_rows::MAX_CONNECTIONS_ROW,
    target_rows::POOL_WORKERS_ROW,
    target_rows::BACKLOG_ROW,
];

/// A row by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Limit> {
    LIMITS.iter().find(|limit| limit.name == name)
}

/// Notes of readings that say that nothing binds begin with one of these.
const NO_LIMIT: &[&str] =
    &["unlimited", "no limit", "does not bind", "no connection is tracked", "0: no limit"];

/// Whether a reading says that nothing binds, which is another thing than not knowing.
#[must_use]
pub fn is_no_limit(reading: &LimitReading) -> bool {
    let note = reading.note.as_deref().unwrap_or_default();
    reading.value.is_none() && NO_LIMIT.iter().any(|words| note.starts_with(words))
}

/// All limits as that process meets them, in the order of [`LIMITS`]. What cannot be read has
/// no value and a note. Takes up to tens of milliseconds: not for a loop.
///
/// A process without a free descriptor can read only `rlimit.nofile` of itself (by system calls that need none), and
/// `fs.file-max`, for which the first call leaves a descriptor open; the rest is unknown then, unless another process
/// reads it.
#[must_use]
pub fn read(pid: u32) -> Vec<LimitReading> {
    let tree = if pid == std::process::id() { ProcTree::own() } else { ProcTree::of(pid) };
    read_in(&tree)
}

/// One limit as that process meets it, by its name; for those who look often. `None`: there is no such row.
#[must_use]
pub fn read_one(name: &str, pid: u32) -> Option<LimitReading> {
    let limit = find(name)?;
    let tree = if pid == std::process::id() { ProcTree::own() } else { ProcTree::of(pid) };
    Some(reading(limit, &tree))
}

fn reading(limit: &Limit, tree: &ProcTree) -> LimitReading {
    let Figures { value, hard, used, source, note } = (limit.read)(tree);
    LimitReading { name: limit.name.to_owned(), value, hard, used, source, note }
}

fn read_in(tree: &ProcTree) -> Vec<LimitReading> {
    kernel_rows::keep_file_table_open(tree);
    LIMITS.iter().map(|limit| reading(limit, tree)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    #[test]
    fn every_row_is_complete() {
        for (index, limit) in LIMITS.iter().enumerate() {
            assert!(LIMITS[..index].iter().all(|other| other.name != limit.name), "{}", limit.name);
            assert!(!limit.summary.is_empty() && !limit.unit.is_empty());
            for words in [(limit.fix)(&Lift::to(123_457)), (limit.lasting)(&Lift::to(123_457))] {
                assert!(!words.is_empty() && !words.contains('\n'), "{}: {words}", limit.name);
            }
            assert!(find(limit.name).is_some() && Group::ALL.contains(&limit.group));
        }
    }

    #[test]
    fn rows_of_one_group_stand_together() {
        let mut seen: Vec<Group> = LIMITS.iter().map(|limit| limit.group).collect();
        seen.dedup();
        assert_eq!(seen, Group::ALL);
    }

    #[test]
    fn headroom_is_what_is_left_and_a_switch_has_none() {
        let reading = |name: &str, value, used| LimitReading {
            name: name.to_owned(),
            value,
            hard: value,
            used,
            source: String::new(),
            note: None,
        };
        for (name, value, used, left) in [
            ("rlimit.nofile", Some(10), Some(3), Some(7)),
            ("rlimit.nofile", Some(3), Some(10), Some(0)),
            ("rlimit.nofile", None, Some(3), None),
            ("rlimit.nofile", Some(10), None, None),
            ("kernel.io_uring_disabled", Some(2), Some(1), None),
        ] {
            assert_eq!(find(name).unwrap().headroom(&reading(name, value, used)), left, "{name}");
        }
        let switch = find("net.ipv4.tcp_abort_on_overflow").unwrap();
        assert_eq!(switch.reachable(&reading(switch.name, Some(1), None)), None);
    }

    #[test]
    fn no_need_falls_as_connections_grow() {
        for limit in LIMITS {
            let need = |connections| (limit.need)(&Need { connections, ..predict::tests::thorough() });
            for connections in [0, 1, 9, 100, 10_000, 1_000_000] {
                assert!(need(connections) <= need(connections + 1), "{} at {connections}", limit.name);
            }
        }
    }

    #[test]
    fn reads_this_process() {
        let readings = read(std::process::id());
        assert_eq!(readings.len(), LIMITS.len());
        for reading in &readings {
            assert!(!reading.source.is_empty(), "{}", reading.name);
            assert!(reading.value.is_some() || reading.note.is_some(), "{} is silent", reading.name);
        }
        let nofile = readings.iter().find(|reading| reading.name == "rlimit.nofile").unwrap();
        assert_eq!((nofile.value, nofile.hard), crate::rlimit::nofile());
        assert!(nofile.used.is_some());
    }

    #[test]
    fn a_process_that_is_not_there_and_an_empty_tree_are_unknown() {
        let (_dir, empty) = fixture(&[]);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        for readings in [read_in(&empty), read(child.id())] {
            assert_eq!(readings.len(), LIMITS.len());
            for reading in readings {
                assert!(reading.value.is_some() || reading.note.is_some(), "{} is silent", reading.name);
            }
        }
        assert!(read_in(&empty).iter().all(|reading| reading.value.is_none() && reading.used.is_none()));
    }

    #[test]
    fn garbage_is_unknown() {
        let files: Vec<(String, &str)> = [
            "7/limits",
            "7/status",
            "7/maps",
            "7/cgroup",
            "7/mountinfo",
            "7/uid_map",
            "self/mountinfo",
            "loadavg",
            "meminfo",
            "sys/kernel/threads-max",
            "sys/kernel/pid_max",
            "sys/vm/max_map_count",
            "sys/fs/nr_open",
            "sys/fs/file-max",
            "sys/fs/file-nr",
            "sys/net/core/somaxconn",
            "sys/net/ipv4/ip_local_port_range",
            "sys/net/ipv4/tcp_max_syn_backlog",
            "sys/net/ipv4/tcp_syncookies",
            "sys/net/ipv4/tcp_abort_on_overflow",
            "sys/net/ipv4/tcp_mem",
            "sys/net/ipv4/tcp_max_tw_buckets",
            "sys/net/ipv4/tcp_max_orphans",
            "sys/net/netfilter/nf_conntrack_max",
            "sys/net/netfilter/nf_conntrack_count",
            "sys/fs/epoll/max_user_watches",
            "sys/kernel/io_uring_disabled",
            "sys/vm/overcommit_memory",
            "net/sockstat",
        ]
        .iter()
        .map(|name| (format!("proc/{name}"), "Max open files garbage\n0::\n-1 / x\n"))
        .collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        let (_dir, tree) = fixture(&files);
        for reading in read_in(&tree) {
            assert_eq!(reading.value, None, "{}", reading.name);
            assert!(reading.note.is_some(), "{}", reading.name);
        }
    }
}

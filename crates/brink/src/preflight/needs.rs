//! What a case needs of each limit, end by end: what an end has in use already, what it is still going to make
//! before its first connection, and what each connection takes. Pure.
//!
//! An end that does not run yet is reckoned with what its processes were seen to hold; must not be used for one that
//! runs and can be looked at.

use std::net::Ipv4Addr;

use brink_client::Threads as ClientThreads;
use brink_host::connections::PairUse;
use brink_host::limits::{
    Beside, LEFT_ALONE_BYTES, LEFT_ALONE_MAPPINGS, Limit, LimitReading, MAPPINGS_PER_THREAD, Need,
    beside_stack_bytes,
};
use brink_results::case::{Case, LoadCase, TargetCase};
use brink_target::Threads as TargetThreads;

use super::memory::{self, PerConnection};
use super::{End, Standing, Surroundings};

/// Stack of a thread of the client, where each connection has one.
pub(super) const CLIENT_STACK_BYTES: u64 = 64 << 10;
/// An arena of glibc's malloc: each of the first threads reserves one (malloc/arena.c, HEAP_MAX_SIZE).
const ARENA_BYTES: u64 = 64 << 20;
/// Most arenas for each CPU that the process may use (malloc/arena.c, NARENAS_FROM_NCORES), on 64 bits.
const ARENAS_PER_CPU: u64 = 8;
/// Mappings that an arena takes: what it uses, and what it reserves.
const MAPPINGS_PER_ARENA: u64 = 2;
/// What a process of either end holds before its first connection, as it was seen on 2026-11-21.
const MAPPINGS_AT_START: u64 = 40;
/// Program, libraries and the first heap.
const VIRTUAL_BYTES_AT_START: u64 = 16 << 20;
/// Stack of a thread whose size is left to the standard library.
const STACK_BYTES_OF_STD: u64 = 2 << 20;
/// A set of samples of a client, most of it histograms: one for each CPU, or each worker of `mio`.
const SAMPLES_BYTES: u64 = 1_072 << 10;
/// Threads of a target beside its model's: the main one, signals, the control plane.
const TARGET_THREADS_AT_START: u64 = 3;
/// Threads of a client beside its engine's: the main one, signals, sampling, the progress line, hints.
const CLIENT_THREADS_AT_START: u64 = 4;
/// Threads that a client still makes once its target was reached, beside its engine's: the one that samples.
const SAMPLING_THREADS: u64 = 1;
/// Descriptors of one of several client processes before its engine begins: standard streams, and the counts that all
/// share.
const PART_FDS_AT_START: u64 = 4;
/// Threads of one of several client processes beside its engine's: the main one, the one that takes orders, and in the
/// process that conducts, the one that hands them over.
const PART_THREADS_AT_START: u64 = 3;
/// Descriptors of a client before its engine begins: standard streams, signals, control plane, sampling.
const CLIENT_FDS_AT_START: u64 = 17;

/// Ports that a target listens on which brink starts: any that are free. Its control plane's is the second.
const PORTS_OF_TARGET: u64 = 2;

/// What a case needs at one end, and what the other takes beside it, by how much the two share.
pub struct Needs {
    need: Need,
    beside: Option<Beside>,
    makes_threads: bool,
    shares: Shares,
}

/// Which limits both ends draw on.
struct Shares {
    machine: bool,
    user: bool,
    /// Limits by name that both ends read at the same place, with the same value and use.
    same: Vec<&'static str>,
}

/// Limits of a group of processes, which both ends may or may not be in.
const OF_GROUPS: [&str; 3] = ["kernel.pid_max", "cgroup.pids.max", "cgroup.memory.max"];
/// Limits of a user.
const OF_USER: [&str; 2] = ["rlimit.nproc", "fs.epoll.max_user_watches"];
/// Use of one and the same limit, read by both ends one after the other, may differ by so much.
const USE_APART_MAX: u64 = 64;

impl Needs {
    /// Of that end.
    pub fn of(end: End, case: &Case, around: &Surroundings<'_>) -> Self {
        let (target, client) = (target(case, around), client(case, around));
        let shares = Shares::of(around);
        let (need, other) = match end {
            End::Target => (target, client),
            End::Client => (client, target),
        };
        let is_foreign = brink_target::find(&case.target.model).is_none();
        let beside = match end {
            End::Client if is_foreign => None,
            End::Client | End::Target => Some(beside(&other)),
        };
        Self { makes_threads: need.threads_per_connection > 0, need, beside, shares }
    }

    /// What that limit has to carry.
    pub fn of_limit(&self, limit: &Limit) -> Need {
        let mut need = self.need.clone();
        need.beside = self.beside.filter(|_| self.shares.includes(limit.name));
        if limit.unit == "watches" && need.watches_per_connection == 0 {
            need.beside = None;
        }
        if limit.unit == "threads" && !self.makes_threads {
            // Whoever makes the threads is the one who meets it; here only the fixed ones have to fit.
            need.beside = Some(Beside::default());
        }
        need
    }
}

impl Shares {
    fn of(around: &Surroundings<'_>) -> Self {
        let machine = around.shares_machine == Some(true);
        let target = around.target.as_ref().map_or(around.client.readings, |target| target.readings);
        let is_same = |name: &&'static str| {
            let find = |readings: &[LimitReading]| readings.iter().find(|one| one.name == **name).cloned();
            find(around.client.readings).zip(find(target)).is_some_and(|(a, b)| is_one_limit(&a, &b))
        };
        Self {
            machine,
            user: machine && around.shares_user != Some(false),
            same: OF_GROUPS.iter().copied().filter(is_same).filter(|_| machine).collect(),
        }
    }

    fn includes(&self, limit: &str) -> bool {
        if OF_GROUPS.contains(&limit) {
            self.same.contains(&limit)
        } else if OF_USER.contains(&limit) {
            self.user
        } else {
            self.machine
        }
    }
}

/// Whether two processes read one and the same limit: a process names its own files by its own number.
fn is_one_limit(a: &LimitReading, b: &LimitReading) -> bool {
    let near = match (a.used, b.used) {
        // Memory moves between two looks; of a group it is the file that tells.
        (Some(a_used), Some(b_used)) => {
            a_used.abs_diff(b_used) <= USE_APART_MAX || a.name == "cgroup.memory.max"
        }
        _ => true,
    };
    a.value.is_some() && a.value == b.value && a.source == b.source && near
}

/// What the other end takes beside this one.
fn beside(other: &Need) -> Beside {
    let processes = other.processes.max(1);
    Beside {
        threads_at_start: processes.saturating_mul(other.runtime_threads),
        threads_per_connection: other.threads_per_connection,
        connection_threads_max: other.connection_threads_max.map(|each| each.saturating_mul(processes)),
        fds_per_connection: other.fds_per_connection,
        bytes_per_connection: other
            .user_bytes_per_connection
            .zip(other.kernel_bytes_per_connection)
            .map(|(user, kernel)| user.saturating_add(kernel)),
        threads_idle: other.threads_idle,
        watches_per_connection: other.watches_per_connection,
        stack_bytes: other.stack_bytes,
    }
}

/// What a process has in use of a limit.
fn used(standing: Option<&Standing<'_>>, name: &str) -> Option<u64> {
    let standing = standing.filter(|standing| standing.is_running)?;
    standing.readings.iter().find(|reading| reading.name == name)?.used
}

fn value(readings: &[LimitReading], name: &str) -> Option<u64> {
    readings.iter().find(|reading| reading.name == name)?.value
}

/// How the threads of an end are made that its connections cause.
struct Threads {
    per_connection: u64,
    max: Option<u64>,
    stack_bytes: u64,
    /// Of one process before its first connection, in all.
    at_start: u64,
    cpus: u64,
    /// Whether it heeds mappings and address space by itself.
    leaves_some: bool,
}

impl Threads {
    /// Arenas that threads to come will reserve, where `free_bytes` of address space hold them. Those there are show
    /// in the address space: all else of a process that serves by threads is less than one of them.
    fn arenas(&self, virtual_bytes: u64, free_bytes: Option<u64>) -> u64 {
        // The first arena is the heap.
        let max = (ARENAS_PER_CPU * self.cpus.max(1)).saturating_sub(1);
        let left = max.saturating_sub(virtual_bytes / ARENA_BYTES);
        let each = ARENA_BYTES + self.stack_bytes + beside_stack_bytes();
        left.min(free_bytes.map_or(u64::MAX, |free| free / each))
    }

    /// Fills in what threads take of a process: mappings and address space. `to_come`: threads it is still going to
    /// make before its first connection.
    fn fill(
        &self,
        need: &mut Need,
        standing: Option<&Standing<'_>>,
        readings: &[LimitReading],
        to_come: u64,
    ) {
        need.threads_per_connection = self.per_connection;
        need.connection_threads_max = self.max;
        need.stack_bytes = self.stack_bytes;
        let (bytes_left, mappings_left) =
            if self.leaves_some { (LEFT_ALONE_BYTES, LEFT_ALONE_MAPPINGS) } else { (0, 0) };
        let each = STACK_BYTES_OF_STD + beside_stack_bytes();
        let running = used(standing, "rlimit.as");
        let own = self.at_start.saturating_sub(1);
        let virtual_bytes = running.unwrap_or(VIRTUAL_BYTES_AT_START + own * (each + ARENA_BYTES));
        let stacks = if running.is_some() { to_come * each } else { 0 };
        let max = value(readings, "rlimit.as");
        let free = max.map(|max| max.saturating_sub(virtual_bytes + stacks + bytes_left));
        let arenas = self.arenas(virtual_bytes, free);
        need.virtual_bytes_at_start = Some(virtual_bytes + stacks + bytes_left + arenas * ARENA_BYTES);
        let running = used(standing, "vm.max_map_count");
        let mappings = match running {
            Some(mappings) => mappings + to_come * MAPPINGS_PER_THREAD,
            None => MAPPINGS_AT_START + own * (MAPPINGS_PER_THREAD + MAPPINGS_PER_ARENA),
        };
        need.mappings_at_start =
            mappings + mappings_left + self.arenas(virtual_bytes, None) * MAPPINGS_PER_ARENA;
    }
}

fn target(case: &Case, around: &Surroundings<'_>) -> Need {
    let target = &case.target;
    let standing = around.target.as_ref();
    let readings = standing.map_or(around.client.readings, |standing| standing.readings);
    let row = brink_target::find(&target.model);
    let at_once = row.and_then(|row| row.connections_at_once(target.threads));
    let per_connection = row.is_some_and(|row| row.has_connection_thread() || at_once.is_some());
    let loops = target_loops(target);
    let model_threads = target_runtime_threads(target);
    let PerConnection { user_bytes, kernel_bytes } = memory::of_target(case, around.slopes);
    let fds_open = used(standing, "rlimit.nofile");
    let is_running = standing.is_some_and(|standing| standing.is_running);
    let mut need = Need {
        connections: case.load.connections,
        processes: u64::from(target.processes),
        is_hashed: true,
        fds_at_start: fds_open.unwrap_or(match target.model.as_str() {
            "mio" => 14 + 4 * loops,
            _ => 20,
        }),
        fds_open: fds_open.unwrap_or(0),
        fds_per_connection: 1,
        // Those that wait for requests come with them, also in a process that runs.
        runtime_threads: lazy_threads(target, share(case))
            + if is_running { 0 } else { TARGET_THREADS_AT_START + model_threads },
        user_bytes_per_connection: user_bytes,
        kernel_bytes_per_connection: kernel_bytes,
        watches_per_connection: u64::from(row.is_some() && !per_connection),
        threads_idle: if at_once.is_some() && is_running { idle_workers(target, around) } else { 0 },
        ..Need::default()
    };
    let cpus = target
        .cpus
        .as_ref()
        .map(Vec::len)
        .or(around.info.map(|info| info.machine.cpus_allowed.len()))
        .map_or(u64::from(around.cpus), |cpus| cpus as u64);
    let threads = Threads {
        per_connection: u64::from(per_connection),
        max: at_once,
        stack_bytes: super::stack_bytes(target).unwrap_or(0),
        at_start: TARGET_THREADS_AT_START + model_threads,
        cpus,
        leaves_some: row.is_some(),
    };
    threads.fill(&mut need, standing, readings, 0);
    need
}

fn client(case: &Case, around: &Surroundings<'_>) -> Need {
    let load = &case.load;
    let standing = Some(&around.client);
    let row = brink_client::find(&load.engine);
    let per_connection = row.is_some_and(|row| row.threads == ClientThreads::PerConnection);
    let PerConnection { user_bytes, kernel_bytes } = memory::of_client(case, around.slopes);
    // Those of several processes are not made yet, and have none of the conducting one's descriptors.
    let is_shared = load.processes > 1;
    let fds_open = used(standing, "rlimit.nofile").filter(|_| !is_shared);
    let sources = load.source_ips.len().max(1) as u64;
    let engine_threads = engine_threads(load);
    let mut need = Need {
        connections: load.connections,
        processes: u64::from(load.processes),
        fds_at_start: fds_open.unwrap_or(if is_shared { PART_FDS_AT_START } else { CLIENT_FDS_AT_START })
            + engine_fds(load),
        fds_open: fds_open.unwrap_or(0),
        fds_per_connection: 1,
        runtime_threads: engine_threads
            + match (is_shared, around.client.is_running) {
                (true, _) => PART_THREADS_AT_START,
                (false, true) => SAMPLING_THREADS,
                (false, false) => CLIENT_THREADS_AT_START,
            },
        sources,
        destinations: 1,
        ports_taken: ports_taken(case, around),
        user_bytes_per_connection: user_bytes,
        kernel_bytes_per_connection: kernel_bytes,
        watches_per_connection: u64::from(matches!(load.engine.as_str(), "mio" | "tokio")),
        ..Need::default()
    };
    let threads = Threads {
        per_connection: u64::from(per_connection),
        max: None,
        stack_bytes: CLIENT_STACK_BYTES,
        at_start: CLIENT_THREADS_AT_START + engine_threads,
        cpus: u64::from(around.cpus),
        leaves_some: true,
    };
    threads.fill(&mut need, standing, around.client.readings, engine_threads + SAMPLING_THREADS);
    let samples = SAMPLES_BYTES.saturating_mul(u64::from(around.cpus));
    need.virtual_bytes_at_start = need.virtual_bytes_at_start.map(|bytes| bytes.saturating_add(samples));
    need
}

/// Ports of the fullest source that this load cannot have. One source that is full fails its share of the attempts.
fn ports_taken(case: &Case, around: &Surroundings<'_>) -> u64 {
    let sources = &case.load.source_ips;
    let is_ours = |pair: &&PairUse| match sources.as_slice() {
        [] => is_kernels_choice(pair),
        some => some.iter().any(|source| source.to_canonical() == pair.source),
    };
    let pairs = around.ports.unwrap_or_default().iter().filter(is_ours);
    let of_pair = pairs.map(PairUse::ports_taken).max().unwrap_or(0);
    let is_to_come = around.target.is_some_and(|target| !target.is_running);
    let to_come = if is_to_come && around.shares_machine == Some(true) { PORTS_OF_TARGET } else { 0 };
    let listening = around.listening_ports.unwrap_or(0).saturating_add(to_come);
    of_pair.saturating_add(listening)
}

/// Whether the kernel may choose that source towards that destination: on 127/8 it is 127.0.0.1 (the local routing
/// table says so); elsewhere what it chose for others is the best there is to know.
fn is_kernels_choice(pair: &PairUse) -> bool {
    !pair.destination.ip().is_loopback() || pair.destination.is_ipv6() || pair.source == Ipv4Addr::LOCALHOST
}

/// Workers of a running pool that wait for a connection: what is there beside its other threads and those that serve.
fn idle_workers(target: &TargetCase, around: &Surroundings<'_>) -> u64 {
    let others = TARGET_THREADS_AT_START.saturating_mul(u64::from(target.processes.max(1)));
    let workers = around.target_threads.map_or(0, |threads| threads.saturating_sub(others));
    workers.saturating_sub(around.strangers)
}

/// Connections of one of the target's processes.
fn share(case: &Case) -> u64 {
    case.load.connections.div_ceil(u64::from(case.target.processes).max(1))
}

/// Threads of a target that have descriptors of their own: those that wait for many connections at once.
fn target_loops(target: &TargetCase) -> u64 {
    let row = brink_target::find(&target.model);
    let per_cpu = row.is_none_or(|row| row.threads == TargetThreads::PerCpu);
    if per_cpu { u64::from(target.threads) } else { 1 }
}

/// Threads that the model makes before its first connection, beside the main one.
fn target_runtime_threads(target: &TargetCase) -> u64 {
    match brink_target::find(&target.model).map(|row| row.threads) {
        Some(TargetThreads::PerCpu) => u64::from(target.threads),
        _ => 0,
    }
}

/// Threads that a target makes as requests come, whatever number of connections it holds.
fn lazy_threads(target: &TargetCase, share: u64) -> u64 {
    let Some(row) = brink_target::find(&target.model) else { return 0 };
    let is_pool = matches!(row.threads, TargetThreads::Pool { .. });
    if is_pool && row.connections_at_once(target.threads).is_none() {
        u64::from(target.threads).min(share)
    } else {
        0
    }
}

/// Threads that an engine makes before its first connection.
fn engine_threads(load: &LoadCase) -> u64 {
    let asked = u64::from(load.threads);
    match brink_client::find(&load.engine).map(|row| row.threads) {
        Some(ClientThreads::PerCpu) if load.engine == "tokio" => 1 + asked,
        Some(ClientThreads::PerCpu) | None => asked.min(load.connections),
        Some(ClientThreads::Pool { .. }) => 1 + asked.min(load.connections),
        Some(ClientThreads::One) => 2,
        Some(ClientThreads::PerConnection) => 1,
    }
}

/// Descriptors that an engine opens before its first connection: epoll, its copy, a wake-up and an alarm for each
/// worker of `mio`; a runtime's for `tokio`; bells, and files of /proc that are kept open, for those that block.
fn engine_fds(load: &LoadCase) -> u64 {
    match load.engine.as_str() {
        "mio" => 4 * u64::from(load.threads).min(load.connections),
        "tokio" => 3,
        _ => 6,
    }
}

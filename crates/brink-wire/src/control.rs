//! What a target says about itself: the ready line on its stdout and the bodies
//! of its control plane (`/v1/info`, `/v1/usage`, `/v1/limits`). JSON, additive:
//! a reader ignores fields it does not know, and a field that could not be read is null.
//!
//! Types only. Must not know where any of it is read.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::delay::Delay;

/// The first line on a target's stdout, once it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ready {
    /// Where it echoes.
    pub address: SocketAddr,
    /// Where its control plane listens, if it has one.
    pub control: Option<SocketAddr>,
    /// The process that was started.
    pub pid: u32,
    /// The processes that serve; the same pid where there is only one.
    pub workers: Vec<u32>,
    /// Model by name.
    pub model: String,
    /// Version of the program.
    pub version: String,
}

/// Body of `GET /v1/info`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Info {
    /// The ready line again.
    pub ready: Ready,
    /// Serving processes.
    pub processes: u32,
    /// Threads that run the model, per process; for a thread per connection, those that accept.
    pub threads: u32,
    /// Wait where a request asks for the target's own.
    pub delay: Delay,
    /// CPU work where a request asks for the target's own, in microseconds.
    pub work_us: u32,
    /// Stack of a connection's thread, in bytes, for models that have one.
    pub stack_bytes: Option<u64>,
    /// Asked of listen(2).
    pub backlog: u32,
    /// Its own bound on connections, if one was set.
    pub connections_max: Option<u64>,
    /// How far calibrated CPU work was off when it was tried out right after calibrating: (took - asked) / asked,
    /// the median of several tries. `None`: not tried.
    #[serde(default)]
    pub work_error_ratio: Option<f64>,
    /// The machine it runs on.
    pub machine: Machine,
    /// Limits as the target's process meets them.
    pub limits: Vec<LimitReading>,
}

/// What a machine is. Read once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Machine {
    /// Kernel release, as `uname -r`.
    pub kernel: Option<String>,
    /// Architecture, as `uname -m`.
    pub architecture: Option<String>,
    /// Processor by name.
    pub cpu_model: Option<String>,
    /// CPUs online.
    pub cpus: u32,
    /// CPUs this process may run on.
    pub cpus_allowed: Vec<usize>,
    /// How many CPUs' time its control group may use, the least of it and all above (cpu.max; version 1:
    /// cpu.cfs_quota_us over cpu.cfs_period_us). `None`: no quota, or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<f64>,
    /// Memory in all, in bytes.
    pub memory_bytes: Option<u64>,
    /// Differs between machines and between boots; the same on both ends means one kernel.
    pub boot_id: Option<String>,
    /// Size of a page, in bytes.
    pub page_bytes: u64,
}

/// One limit as one process meets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LimitReading {
    /// As in the LIMITS table: `rlimit.nofile`.
    pub name: String,
    /// What bites. `None`: no limit, or unknown; `note` tells which.
    pub value: Option<u64>,
    /// What it can be raised to without more rights, where that differs.
    pub hard: Option<u64>,
    /// In use now.
    pub used: Option<u64>,
    /// Where it was read.
    pub source: String,
    /// Why a figure is missing, or how it was reckoned.
    pub note: Option<String>,
}

/// Body of `GET /v1/usage`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TargetUsage {
    /// Serving processes, one by one.
    pub processes: Vec<ProcessUsage>,
    /// The whole machine.
    pub machine: MachineUsage,
    /// The longest accept queue of its listening sockets, over all processes: connections that wait to be accepted.
    #[serde(default)]
    pub accept_queue: Option<u64>,
    /// What the model counted, over all processes; what a worker that died had counted stays in.
    pub counters: Counters,
    /// Serving processes that ended although nobody asked them to.
    #[serde(default)]
    pub dead_workers: Vec<DeadWorker>,
}

/// A serving process that ended although nobody asked it to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeadWorker {
    /// Which.
    pub pid: u32,
    /// How it ended: `signal: 9 (SIGKILL)`, `exit status: 1`.
    pub how: String,
}

/// One process at one instant. A figure that could not be read is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProcessUsage {
    /// Whose.
    pub pid: u32,
    /// Anonymous resident memory, in bytes: `RssAnon` of proc_pid_status(5).
    pub user_bytes: Option<u64>,
    /// All resident memory, in bytes: `VmRSS`.
    pub resident_bytes: Option<u64>,
    /// Address space, in bytes: `VmSize`.
    pub virtual_bytes: Option<u64>,
    /// Page tables, in bytes: `VmPTE`. Kernel memory that is counted per process.
    pub page_table_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Descriptors open.
    pub fds: Option<u64>,
    /// CPU time used since the process began, user and system, in seconds.
    pub cpu_s: Option<f64>,
    /// Context switches that the threads asked for, summed over live threads where cheap, else `None`.
    pub context_switches: Option<u64>,
    /// Connections it counts as open; known only of a brink target's own processes.
    #[serde(default)]
    pub live: Option<u64>,
    /// Requests it counts as answered; known only of a brink target's own processes.
    #[serde(default)]
    pub requests: Option<u64>,
    /// The longest accept queue of its listening sockets, in connections; known only of a brink target's own processes.
    #[serde(default)]
    pub accept_queue: Option<u64>,
}

/// One machine at one instant, as proc(5) tells it. A figure that could not be read is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MachineUsage {
    /// `MemAvailable` of /proc/meminfo, in bytes: what programs can still have without swapping.
    pub available_bytes: Option<u64>,
    /// `Slab` of /proc/meminfo, in bytes: sockets, files, dentries, inodes, epoll items.
    pub slab_bytes: Option<u64>,
    /// `KernelStack` of /proc/meminfo, in bytes.
    pub kernel_stack_bytes: Option<u64>,
    /// `PageTables` of /proc/meminfo, in bytes.
    pub page_table_bytes: Option<u64>,
    /// `mem` of TCP in /proc/net/sockstat, in bytes: socket buffers in use, of this network namespace's kernel.
    pub tcp_bytes: Option<u64>,
    /// `inuse` of TCP in /proc/net/sockstat: sockets.
    pub tcp_in_use: Option<u64>,
    /// `tw` of TCP in /proc/net/sockstat: sockets in TIME_WAIT.
    pub tcp_time_wait: Option<u64>,
    /// `orphan` of TCP in /proc/net/sockstat: sockets that no process holds any more.
    pub tcp_orphans: Option<u64>,
    /// `ListenOverflows` of /proc/net/netstat: handshakes that found the accept queue full.
    pub listen_overflows: Option<u64>,
    /// `ListenDrops` of /proc/net/netstat: handshakes that a listening socket dropped, for whatever cause.
    pub listen_drops: Option<u64>,
    /// `TCPAbortOnMemory` of /proc/net/netstat: connections given up for want of memory.
    pub tcp_abort_on_memory: Option<u64>,
    /// Busy time of all CPUs since boot, in seconds, from /proc/stat (everything but idle and iowait).
    pub cpu_busy_s: Option<f64>,
    /// Time stolen by the hypervisor, in seconds, from /proc/stat.
    pub cpu_steal_s: Option<f64>,
    /// The part of the busy time that went into interrupts, hard and soft, in seconds, from /proc/stat.
    #[serde(default)]
    pub cpu_irq_s: Option<f64>,
    /// `TCPReqQFullDrop` of /proc/net/netstat: handshakes dropped because a listen queue was full.
    #[serde(default)]
    pub tcp_request_queue_drops: Option<u64>,
    /// `TCPTimeWaitOverflow` of /proc/net/netstat: sockets that found no room in TIME_WAIT.
    #[serde(default)]
    pub tcp_time_wait_overflows: Option<u64>,
    /// `TCPMemoryPressures` of /proc/net/netstat: how often TCP came under pressure of `net.ipv4.tcp_mem`.
    #[serde(default)]
    pub tcp_memory_pressures: Option<u64>,
    /// `PruneCalled` of /proc/net/netstat: receive queues pruned for want of memory.
    #[serde(default)]
    pub tcp_prunes: Option<u64>,
    /// `TCPSynRetrans` of /proc/net/netstat: first packets of a connection, or the answers to them, that were sent again.
    #[serde(default)]
    pub tcp_syn_retransmits: Option<u64>,
    /// `OutRsts` of /proc/net/snmp: resets that TCP itself sent. Those that a packet filter sends are not in it.
    #[serde(default)]
    pub tcp_resets_sent: Option<u64>,
    /// `OutDestUnreachs` of ICMP in /proc/net/snmp: how often a packet was answered with "unreachable".
    #[serde(default)]
    pub icmp_unreachable_sent: Option<u64>,
    /// Connections that connection tracking knows, of this network namespace.
    #[serde(default)]
    pub conntrack_entries: Option<u64>,
    /// `drop` of /proc/net/stat/nf_conntrack, over all CPUs: packets dropped because no entry could be made.
    #[serde(default)]
    pub conntrack_drops: Option<u64>,
    /// `oom_kill` of /proc/vmstat: processes killed for want of memory, of a control group or of the machine.
    #[serde(default)]
    pub oom_kills: Option<u64>,
    /// The control groups of the process that was asked about.
    #[serde(default)]
    pub cgroup: Option<CgroupUsage>,
}

/// What the control groups of one process counted: cgroups(7), the kernel's admin-guide/cgroup-v1 and -v2.
/// The first two figures are sums over the process's group and all above that can be seen, each for its own
/// limit where the kernel tells that apart, so only their growth means anything. The figures of the CPU are those of the
/// group with the least quota of these. `None`: no such file, not readable, or no quota.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CgroupUsage {
    /// Whose.
    pub pid: u32,
    /// `max` of pids.events: forks refused because of pids.max.
    #[serde(default)]
    pub pids_refusals: Option<u64>,
    /// `max` of memory.events (version 1: memory.failcnt): how often use was about to pass the limit.
    /// Memory was given back then, so this alone is no failure.
    #[serde(default)]
    pub memory_at_max: Option<u64>,
    /// `oom_kill` of memory.events (version 1: memory.oom_control) of the process's own group: processes of it that
    /// were killed, whichever group above was full.
    #[serde(default)]
    pub oom_kills: Option<u64>,
    /// `nr_periods` of cpu.stat: periods in which a CPU quota was handed out to somebody who asked (scheduler/sched-bwc).
    #[serde(default)]
    pub cpu_periods: Option<u64>,
    /// `nr_throttled` of cpu.stat: those of them in which it did not suffice.
    #[serde(default)]
    pub cpu_throttled_periods: Option<u64>,
    /// `throttled_usec` of cpu.stat (version 1: `throttled_time`), in seconds: how long the group stood still for want
    /// of quota, the sum over CPUs.
    #[serde(default)]
    pub cpu_throttled_s: Option<f64>,
}

impl MachineUsage {
    /// Kernel memory that connections and threads cause, machine-wide: slab, kernel
    /// stacks, page tables and TCP buffers. `None` if any of them is unknown.
    #[must_use]
    pub fn kernel_bytes(&self) -> Option<u64> {
        Some(self.slab_bytes? + self.kernel_stack_bytes? + self.page_table_bytes? + self.tcp_bytes?)
    }
}

/// What a target counted since it began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Counters {
    /// Connections accepted and handed to the model.
    pub accepted: u64,
    /// Connections open now.
    pub live: u64,
    /// Requests answered.
    pub requests: u64,
    /// Connections closed because their bytes were no frame, oversize included.
    pub frame_errors: u64,
    /// What was refused or failed, by phase and errno.
    pub refusals: Vec<Refusal>,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refusal {
    /// What was being done: `accept`, `spawn`, `register`, `read`, `write`, `frame`, `http`, `offload`, `worker`.
    pub phase: String,
    /// Errno by name (`EMFILE`), or a name of our own in lower case (`oversize`, `max_connections`).
    pub error: String,
    /// How often.
    pub count: u64,
}

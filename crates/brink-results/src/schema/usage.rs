//! What was sampled over time, and what memory a connection takes by it. Types only: nothing here computes.

use brink_wire::control::{MachineUsage, ProcessUsage};
use serde::{Deserialize, Serialize};

/// Samples over time, several a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Usage {
    /// The end that connects.
    pub client: Vec<EndSample>,
    /// The end that echoes; empty where it could not be sampled.
    pub target: Vec<EndSample>,
    /// The client's machine; where the target's is another one, that is in `target_machine`.
    pub machine: Vec<MachineSample>,
    /// The target's machine, where that is another one.
    pub target_machine: Vec<MachineSample>,
    /// When each part of the case began, in seconds, by name: `ramp`, `warmup`, `window`, `drain`, `close`.
    pub phases: Vec<PhaseMark>,
    /// What it cost the client to take these samples, which is part of what the client used; null where it was not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingCost>,
    /// How long workers of the client stayed awake after something happened and before something was due, in nanoseconds;
    /// 0, or none: they slept at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_poll_ns: Option<u64>,
    /// CPU seconds that they spent within the window asking for events in vain, which is part of what the client used; none
    /// where they slept instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polled_in_vain_s: Option<f64>,
}

/// What the thread cost that looks at both ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SamplingCost {
    /// Samples of both ends that it took.
    pub samples: u64,
    /// CPU seconds of the thread, by its own clock (clock_gettime(2), CLOCK_THREAD_CPUTIME_ID).
    pub cpu_s: f64,
    /// Seconds over which it did so.
    pub span_s: f64,
}

/// The beginning of a part of the case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PhaseMark {
    /// Which part: `ramp`, `warmup`, `window`, `drain`, `close`.
    pub name: String,
    /// Seconds since the case began, by the client's clock.
    pub t_s: f64,
}

/// One end at one instant, its processes summed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndSample {
    /// Seconds since the case began, by the client's clock.
    pub t_s: f64,
    /// Anonymous resident memory, in bytes: `RssAnon` of proc_pid_status(5).
    pub user_bytes: Option<u64>,
    /// All resident memory, in bytes: `VmRSS`. Shared pages count once for each process.
    pub resident_bytes: Option<u64>,
    /// Address space, in bytes: `VmSize`.
    pub virtual_bytes: Option<u64>,
    /// Page tables, in bytes: `VmPTE`.
    pub page_table_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Descriptors open.
    pub fds: Option<u64>,
    /// CPU time used since its processes began, user and system, in seconds.
    pub cpu_s: Option<f64>,
    /// Connections this end counts as open.
    pub live: Option<u64>,
    /// Requests this end counts as answered since it began.
    pub requests: Option<u64>,
    /// Requests sent and not yet answered; only of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    /// Of the requests answered since the sample before, the 99th percentile of latency in nanoseconds, warm-up
    /// included, to within the width of a coarse bucket (3.1%). Only of the client; none where nothing was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p99_ns: Option<u64>,
    /// The processes one by one, where there are several; of 16 and more only within the window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<ProcessUsage>,
}

/// A machine at one instant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MachineSample {
    /// Seconds since the case began, by the client's clock.
    pub t_s: f64,
    /// Kernel memory that connections and threads cause, in bytes: slab, kernel stacks, page tables and TCP buffers.
    /// Null if one of them is unknown.
    pub kernel_bytes: Option<u64>,
    #[serde(flatten)]
    /// The rest.
    pub usage: MachineUsage,
}

/// What one more connection costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemoryPerConnection {
    /// The end that connects.
    pub client: EndMemory,
    /// The end that echoes.
    pub target: EndMemory,
    /// How it was measured, in words.
    pub method: String,
    /// What the slopes were fitted to.
    pub plateaus: Vec<Plateau>,
}

/// What one more connection costs one end. Null: not measured, see `validity.reasons`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndMemory {
    /// Anonymous resident memory of the end's processes.
    pub user_bytes: Option<Slope>,
    /// Address space of the end's processes.
    pub virtual_bytes: Option<Slope>,
    /// Page tables of the end's processes.
    pub page_table_bytes: Option<Slope>,
    /// Kernel memory: slab, kernel stacks, page tables, TCP buffers. See its scope.
    pub kernel_bytes: Option<Slope>,
    /// The kernel stacks in it.
    pub kernel_stack_bytes: Option<Slope>,
    /// The slab in it: sockets, files, epoll items.
    pub slab_bytes: Option<Slope>,
    /// Whose memory the three kernel figures count.
    pub kernel_scope: Option<KernelScope>,
}

/// Whose memory a kernel figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KernelScope {
    /// Only this end's control group.
    Cgroup,
    /// The machine of this end alone.
    Machine,
    /// One machine with both ends on it: the figure counts both, and must not be added up.
    MachineBothEnds,
}

/// A straight line through the plateaus.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Slope {
    /// Bytes per connection.
    pub slope: f64,
    /// 95% confidence interval of the slope.
    pub ci95: [f64; 2],
    /// Share of the variance that the line explains, 0 to 1.
    pub r2: f64,
    /// Points that the line was fitted to.
    pub points: u32,
}

/// Both ends at rest with this many connections open, each of which has echoed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plateau {
    /// Connections open.
    pub connections: u64,
    /// Whether the target was seen at rest before this was taken.
    pub settled: bool,
    /// The end that connects.
    pub client: EndSample,
    /// The end that echoes; null where it could not be sampled.
    pub target: Option<EndSample>,
    /// The client's machine.
    pub machine: MachineSample,
    /// Where the target's machine is another one.
    pub target_machine: Option<MachineSample>,
}

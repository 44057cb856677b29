//! The result of a case, as it is written: names are a contract (`brink.result/1`).
//!
//! Every count is a number, every duration an integer of nanoseconds or a `_s`
//! float. A measure that is missing is null, and `validity.reasons` says why.
//! Types only: nothing here computes.

mod ceiling;
mod failure;
mod limits;
mod line;
mod usage;

use serde::{Deserialize, Serialize};

use brink_wire::control::{Counters, LimitReading, Machine};

use crate::case::Case;

pub use self::ceiling::{After, Ceiling, Climb, Held, StoppedBy};
pub use self::failure::{Confidence, End, Failure, FailurePoint, Predicted, PredictedMemory};
pub use self::limits::{
    BoundEnd, EndTold, LIMITS_SCHEMA, LimitState, LimitTold, LimitsTold, NotReckoned, PlanTold, Reckoning,
};
pub use self::line::{Line, Seen};
pub use self::usage::{
    EndMemory, EndSample, KernelScope, MachineSample, MemoryPerConnection, PhaseMark, Plateau, SamplingCost,
    Slope, Usage,
};

/// Schema of a result, in its `schema` field.
pub const RESULT_SCHEMA: &str = "brink.result/1";
/// Schema of a plan, in its `schema` field.
pub const PLAN_SCHEMA: &str = "brink.plan/1";

/// A plan: what a sweep is going to run, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// `brink.plan/1`.
    #[cfg_attr(feature = "schema", schemars(extend("const" = PLAN_SCHEMA)))]
    pub schema: String,
    /// From the sweep file.
    pub name: String,
    /// Of the shuffled order.
    pub seed: u64,
    /// Version of the program that made it.
    pub brink_version: String,
    /// The command that was given.
    pub command: Vec<String>,
    /// When it was made, RFC 3339, UTC.
    pub created: String,
    /// When it was gone on with after it had been stopped, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<String>,
    /// In the order they run.
    pub cases: Vec<Case>,
}

/// A whole sweep, as `brink sweep --format json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sweep {
    /// What was to be run; null where the folder has no plan.
    pub plan: Option<Plan>,
    /// What was run, in order.
    pub results: Vec<CaseResult>,
}

/// The result of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CaseResult {
    /// `brink.result/1`.
    #[cfg_attr(feature = "schema", schemars(extend("const" = RESULT_SCHEMA)))]
    pub schema: String,
    /// What was asked, fully resolved.
    pub case: Case,
    /// When the case began, RFC 3339, UTC.
    pub started: String,
    /// What the two ends ran on.
    pub facts: Facts,
    /// Whether the figures may be believed.
    pub validity: Validity,
    /// Where the connections went.
    pub connections: Connections,
    /// Requests sent within the measuring window.
    pub requests: Requests,
    /// Null where the workload made no requests in its window.
    pub latency_ns: Option<Latency>,
    /// Wait that happened less wait asked; null where the target does not say.
    pub delay_error_ns: Option<DelayError>,
    /// How late requests of an open loop went out although a connection was idle; null for other workloads.
    #[serde(default)]
    pub schedule_lag_ns: Option<DelayError>,
    /// From the first request to the last reply, where the number of requests is fixed.
    pub makespan_ns: Option<u64>,
    /// Both ends and their machines over time.
    pub usage: Usage,
    /// What one more connection costs each end.
    pub memory_per_connection: MemoryPerConnection,
    /// Every failure seen, by end, phase and errno.
    pub failures: Vec<Failure>,
    /// Where it gave way first, and which limit that was; null where nothing did.
    pub failure_point: Option<FailurePoint>,
    /// What arithmetic over the limits said right before the first connection; null where no limit is known to bound it.
    pub predicted: Option<Predicted>,
    /// What the connections were expected to take of memory, to be held against `memory_per_connection`; none where
    /// that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_memory: Option<PredictedMemory>,
    /// Whether preflight refused it: a limit is in the way, and nothing was opened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// Whether somebody stopped it before its end: what was measured until then is here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// How the edge was found; only of `brink ceiling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Ceiling>,
    /// What became of the other load of the target, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
    /// What was asked of it with `--slo`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slo: Vec<Slo>,
    /// What the target counted, as of its last answer; null for a foreign target.
    pub target_counters: Option<Counters>,
}

/// What a second client saw that loaded the target meanwhile. None of it is in the other figures of the client, but for
/// what its process uses: CPU, memory, threads, descriptors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Background {
    /// Where its connections went.
    pub connections: Connections,
    /// Its requests within its window, which is that of the case.
    pub requests: Requests,
    /// Null where none of its requests was answered.
    pub latency_ns: Option<Latency>,
    /// What failed for it, by phase and errno.
    pub failures: Vec<Failure>,
    /// Why it did not load the target as asked, one line each; empty: it did.
    pub faults: Vec<String>,
}

/// A rule of `--slo`, and whether the run keeps to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Slo {
    /// As it was given.
    pub rule: String,
    /// What the run has, in the unit of the measure's name; null: it was not measured.
    pub value: Option<f64>,
    /// Whether the value is within the bound.
    pub kept: bool,
}

/// What the two ends ran on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// The machine and the limits of the end that connects.
    pub client: EndFacts,
    /// Null for a target that does not say.
    pub target: Option<EndFacts>,
    /// Both ends under one kernel; null when unknown.
    pub shared_machine: Option<bool>,
    /// CPUs that both ends may run on, where they share a machine.
    pub shared_cpus: Vec<usize>,
    /// Version of the program that measured.
    pub brink_version: String,
}

/// One end's machine and limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndFacts {
    #[serde(flatten)]
    /// The machine.
    pub machine: Machine,
    /// The limits, as this end's process met them before the case began.
    pub limits: Vec<LimitReading>,
    /// How far calibrated CPU work was off when it was tried out: (took - asked) / asked. Only of a brink target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_error_ratio: Option<f64>,
}

/// Whether the figures may be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Validity {
    /// In one word.
    pub verdict: Verdict,
    /// Why the verdict is not `valid`, and why any measure is null.
    pub reasons: Vec<String>,
}

/// In rising order of how much they say against a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing speaks against it.
    Valid,
    /// It drifted while it was measured.
    Unsteady,
    /// The client was the bottleneck: its CPU, or its schedule.
    ClientBound,
    /// A limit kept it from what was asked.
    LimitBound,
    /// It did not come to a measurement, or was interrupted.
    Failed,
}

/// Where the connections went: `requested = opened + failed + not_attempted` and
/// `opened = closed_early + live_at_end`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Connections {
    /// Connections that the case asked for.
    pub requested: u64,
    /// Established, and verified by an echo.
    pub opened: u64,
    /// Attempted, and refused, reset, timed out or not echoed.
    pub failed: u64,
    /// Never tried, because the run ended first.
    pub not_attempted: u64,
    /// Opened, and lost before the client closed them.
    pub closed_early: u64,
    /// Open when the client began to close them.
    pub live_at_end: u64,
    /// Most connections open at one time.
    pub peak_live: u64,
    /// Times that a connection which had opened was closed in good order and opened again: by the workload
    /// (churn), or because the server announced that it closes.
    #[serde(default)]
    pub reopened: u64,
    /// Opened and verified per second of opening, pauses for sampling left out.
    pub connect_per_s: Option<f64>,
    /// From connect(2) until the connection is established.
    pub connect_latency_ns: Option<ConnectLatency>,
}

/// Percentiles of connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectLatency {
    /// Median, in nanoseconds.
    pub p50: u64,
    /// 90th percentile, in nanoseconds.
    pub p90: u64,
    /// 99th percentile, in nanoseconds.
    pub p99: u64,
    /// 99.9th percentile, in nanoseconds.
    pub p999: u64,
    /// The longest, in nanoseconds.
    pub max: u64,
}

/// Requests sent within the measuring window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Requests {
    /// Sent (or due) within the window.
    pub intended: u64,
    /// Of these, answered and verified, whenever the answer came.
    pub completed: u64,
    /// Of these, sent and not answered as they should be.
    pub failed: u64,
    /// Of the failed, those answered in HTTP with a status outside 200..=299.
    #[serde(default)]
    pub non_2xx: u64,
    /// Of these, due and never sent: no connection was idle in time. `intended = completed + failed + not_sent`.
    #[serde(default)]
    pub not_sent: u64,
    /// Most requests that were due and waited for an idle connection, at one time.
    #[serde(default)]
    pub backlog_peak: u64,
    /// Replies that arrived within the window, per second.
    pub per_s: Option<f64>,
    /// What an open loop intended; null for other workloads.
    #[serde(default)]
    pub per_s_intended: Option<f64>,
    /// What the delay allows: connections / (delay + think time); null where the delay is zero or unknown.
    pub per_s_ceiling: Option<f64>,
    /// Length of the window as it was, in seconds.
    pub window_s: f64,
}

/// Percentiles of the requests sent within the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Latency {
    /// Median, in nanoseconds.
    pub p50: u64,
    /// 90th percentile, in nanoseconds.
    pub p90: u64,
    /// 99th percentile, in nanoseconds.
    pub p99: u64,
    /// 99.9th percentile, in nanoseconds.
    pub p999: u64,
    /// 99.99th percentile, in nanoseconds.
    pub p9999: u64,
    /// The longest, in nanoseconds.
    pub max: u64,
    /// Mean, in nanoseconds.
    pub mean: f64,
    /// Requests that were timed.
    pub count: u64,
    /// Where the clock of a request starts.
    pub from: LatencyFrom,
    /// HdrHistogram V2, deflate off, base64: others can merge it.
    pub hdr: String,
}

/// Where the clock of a request starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LatencyFrom {
    /// When it was due (open loop).
    Due,
    /// When it was sent (closed loop: a stalled target also stalls the asking).
    Sent,
    /// When its connection began to be made (churn).
    Connect,
}

/// How far the waits were off, by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DelayError {
    /// Median, in nanoseconds.
    pub p50: u64,
    /// 99th percentile, in nanoseconds.
    pub p99: u64,
    /// The largest, in nanoseconds.
    pub max: u64,
}

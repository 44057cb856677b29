//! What `brink limits --format json` prints. Types only: nothing here reads a limit.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::End;

/// Schema of the limits, in their `schema` field.
pub const LIMITS_SCHEMA: &str = "brink.limits/1";

/// What the limits of both ends are, and how far they carry a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LimitsTold {
    /// `brink.limits/1`.
    #[cfg_attr(feature = "schema", schemars(extend("const" = LIMITS_SCHEMA)))]
    pub schema: String,
    /// As a client on this machine meets them; where no target was named, all that either end would meet here.
    pub client: Vec<LimitTold>,
    /// As the target's process meets them; null where no target was named.
    pub target: Option<Vec<LimitTold>>,
    /// What the plan needs of each; only with `--connections`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanTold>,
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LimitTold {
    /// `rlimit.nofile`, ..
    pub name: String,
    /// Whose it is: `process`, `machine`, `network`, `cgroup`, `target`.
    pub group: String,
    /// Unit of the figures: `descriptors`, `bytes`, ..
    pub unit: String,
    /// The ends that it binds.
    pub binds: BoundEnd,
    /// Whether there is a value.
    pub state: LimitState,
    /// Why there is no value; null where there is one.
    pub why: Option<String>,
    /// What bites.
    pub value: Option<u64>,
    /// What it can be raised to without more rights, where that differs.
    pub hard: Option<u64>,
    /// In use now.
    pub used: Option<u64>,
    /// The value less what is in use.
    pub headroom: Option<u64>,
    /// Where it was read: a file, or a system call with its manual section.
    pub source: String,
    /// Why a figure is missing, or how it was reckoned.
    pub note: Option<String>,
    /// What the limit is, in one line.
    pub summary: String,
}

/// Ends that a limit binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BoundEnd {
    /// The end that connects.
    Client,
    /// The end that echoes.
    Target,
    /// Either.
    Both,
}

/// Whether a limit has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LimitState {
    /// It has one.
    Value,
    /// There is no such limit here, or it is unlimited.
    NoLimit,
    /// It could not be read.
    Unknown,
}

/// How far the limits carry a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanTold {
    /// Connections that it asks for.
    pub connections: u64,
    /// Model of the target; `foreign` for a stranger.
    pub model: String,
    /// Serving processes.
    pub processes: u32,
    /// Threads that run the model in each process.
    pub target_threads: u32,
    /// Stack of a connection's thread, in bytes; null for models that have no such thread.
    pub stack_bytes: Option<u64>,
    /// Client engine.
    pub engine: String,
    /// Threads of the engine.
    pub threads: u32,
    /// Source addresses; empty: the kernel chooses.
    pub source_ips: Vec<IpAddr>,
    /// Whether no limit is known to be short.
    pub fits: bool,
    /// The limit that is short, in one line; null: none is.
    pub short: Option<String>,
    /// End by end.
    pub ends: Vec<EndTold>,
}

/// How far the limits of one end carry a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndTold {
    /// Which.
    pub end: End,
    /// The tightest; null: none is known to bound it.
    pub first: Option<Reckoning>,
    /// All that bound it, the tightest first.
    pub limits: Vec<Reckoning>,
    /// Those that could not be reckoned.
    pub unknown: Vec<NotReckoned>,
}

/// How far one limit carries a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reckoning {
    /// Which.
    pub name: String,
    /// The value that bites, once the end has raised what it may raise by itself.
    pub value: u64,
    /// In use by others before the plan begins, for a limit that is shared.
    pub used: Option<u64>,
    /// The value it would take to carry the plan.
    pub needed: u64,
    /// Connections that it carries. Where `used` is null, at most that.
    pub carries_connections: u64,
    /// Whether that is fewer than the plan asks for.
    pub short: bool,
    /// What the figure rests on: `counted`, `measured` or `defaults`.
    pub basis: String,
    /// The command that lifts it at once, where it is short.
    pub fix: Option<String>,
    /// What lifts it so that it stays lifted, where it is short.
    pub lasting: Option<String>,
}

/// A limit that could not be reckoned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotReckoned {
    /// Which.
    pub name: String,
    /// Why.
    pub why: String,
}

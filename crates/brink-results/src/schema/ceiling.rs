//! What `brink ceiling` adds to a result. Types only: nothing here computes.

use serde::{Deserialize, Serialize};

use super::Failure;

/// How many connections a target and a client hold, and how that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ceiling {
    /// Connections open at the edge, each verified by an echo.
    pub at_connections: u64,
    /// What ended the way up.
    pub stopped_by: StoppedBy,
    /// Connections at which it was to stop in any case.
    pub stop_at: u64,
    /// Memory that was to stay available, in bytes.
    pub memory_floor_bytes: u64,
    /// The ways up, in order. The last one is the one whose figures this result has.
    pub climbs: Vec<Climb>,
    /// What became of the connections at the edge; null where there was nothing to hold.
    pub held: Option<Held>,
    /// The target after all connections were closed.
    pub after: After,
}

/// What ended the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// Something gave way: see `failure_point`.
    Limit,
    /// The count at which it was to stop.
    StopAt,
    /// Memory ran low: see `failure_point`.
    MemoryFloor,
    /// The way up took as long as it might.
    Time,
    /// The target ended.
    TargetDied,
    /// The client ended.
    ClientDied,
    /// A signal.
    Interrupted,
}

/// One way up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Climb {
    /// Most connections open at one time.
    pub connections: u64,
    /// Attempts that failed at the edge.
    pub failed: u64,
    /// Time spent opening, in seconds.
    pub opening_s: f64,
    /// From which count on connections were opened one at a time; null: never.
    pub fine_from: Option<u64>,
    /// What gave way, as end, phase and errno; null: nothing did.
    pub gave_way: Option<Failure>,
}

/// Connections at the edge, while they were held.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Held {
    /// Connections that were held.
    pub connections: u64,
    /// How long, in seconds.
    pub window_s: f64,
    /// Echoes that were asked and answered in that time.
    pub heartbeats: u64,
    /// Those that were asked and not answered.
    pub failed: u64,
    /// Connections that were lost in that time.
    pub closed_early: u64,
    /// What the target used meanwhile, in CPU seconds per second; null where it is not known.
    pub target_cpu_per_s: Option<f64>,
}

/// The target after all connections were closed. Null: not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct After {
    /// Whether its process lives.
    pub alive: Option<bool>,
    /// Whether it took one more connection and answered on it.
    pub serving: Option<bool>,
    /// Connections that it still counts as open, beside those that it had before.
    pub left: Option<u64>,
    /// Why it is not as it was.
    pub why: Option<String>,
}

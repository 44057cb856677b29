//! A running case at one instant: what people, and machines that follow it, are told.

use brink_results::schema::{Failure, PhaseMark};
use serde::{Deserialize, Serialize};

use crate::ends::Look;

/// A running case at one instant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `ramp`, `warmup`, `window`, `drain`, `close`.
    pub phase: String,
    /// Seconds since the case began.
    pub t_s: f64,
    /// Connections asked for.
    pub requested: u64,
    /// Connections tried so far.
    #[serde(default)]
    pub attempted: u64,
    /// Connections that opened so far.
    #[serde(default)]
    pub opened: u64,
    /// Connections open now.
    pub live: u64,
    /// Connections that had opened and were lost.
    #[serde(default)]
    pub lost: u64,
    /// Connections that failed so far.
    pub failed: u64,
    /// Connections opened per second since the snapshot before.
    #[serde(default)]
    pub connects_per_s: f64,
    /// Requests answered so far.
    pub requests: u64,
    /// Requests answered per second since the snapshot before.
    pub requests_per_s: f64,
    /// Requests sent and not answered yet.
    #[serde(default)]
    pub in_flight: u64,
    /// Of the requests answered since the snapshot before.
    #[serde(default)]
    pub latency_p99_ns: Option<u64>,
    /// Anonymous resident memory.
    pub client_user_bytes: Option<u64>,
    /// Threads.
    #[serde(default)]
    pub client_threads: Option<u64>,
    /// Anonymous resident memory.
    pub target_user_bytes: Option<u64>,
    /// Threads.
    pub target_threads: Option<u64>,
    /// What failed so far, on both ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// What only machines want to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
}

/// The rest of what was seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Seconds since 1970, by the client's clock.
    pub unix_s: f64,
    /// Both ends.
    pub look: Look,
    /// Phases that began since the snapshot before.
    pub marks: Vec<PhaseMark>,
    /// How long requests took so far.
    pub latency: LatencySoFar,
}

/// How long the requests of this way up took that were answered so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySoFar {
    /// How many were shorter than each of [`brink_client::bounds_ns`].
    pub below_bounds: Vec<u64>,
    /// How many.
    pub count: u64,
    /// Their sum, each as long as the middle of its bucket.
    pub sum_s: f64,
}

impl Snapshot {
    /// Without what can be large: as it is kept.
    pub fn in_short(self) -> Self {
        Self { details: None, failures: Vec::new(), ..self }
    }
}

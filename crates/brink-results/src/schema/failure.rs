//! What failed, where it gave way, and what was predicted of that. Types only: nothing here computes.

use serde::{Deserialize, Serialize};

/// Failures of one kind: observation only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failure {
    /// Where it happened.
    pub end: End,
    /// What was being done: `socket`, `connect`, `verify`, `request`, `accept`, `spawn`, ..
    pub phase: String,
    /// Errno by name (`EMFILE`), or a name of our own in lower case (`timeout`, `mismatch`, `closed`).
    pub errno: String,
    /// How often.
    pub count: u64,
    /// Connections that were open when it was first seen.
    pub first_at_connections: u64,
}

/// An end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The end that connects.
    Client,
    /// The end that echoes.
    Target,
}

/// Where it gave way. The first four fields are observation, the rest inference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailurePoint {
    /// Connections that were open when it was first seen.
    pub at_connections: u64,
    /// What arithmetic said beforehand, in connections; null: it named no limit.
    pub predicted_at: Option<u64>,
    /// Where it was seen.
    pub end: End,
    /// What was being done: `socket`, `connect`, `verify`, `request`, `accept`, `spawn`, ..
    pub phase: String,
    /// Errno by name (`EMFILE`), or a name of our own in lower case (`timeout`, `mismatch`, `closed`, `slow`, `died`).
    pub errno: String,
    /// As in the LIMITS table, or `unknown`.
    pub limit: String,
    /// The limit's value at that moment, in its own unit.
    pub limit_value: Option<u64>,
    /// How sure that is.
    pub confidence: Confidence,
    /// What was seen, one line each.
    pub evidence: Vec<String>,
    /// The command that lifts it at once.
    pub fix: Option<String>,
    /// What lifts it so that it stays lifted.
    #[serde(default)]
    pub lasting: Option<String>,
}

/// How sure an inference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Errno, phase and usage at the limit agree.
    Confirmed,
    /// They do not contradict, but one is missing.
    Likely,
    /// No limit can be named honestly.
    Unknown,
}

/// What the connections asked for take of memory, as it was reckoned before the first of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PredictedMemory {
    /// User memory of the client, in bytes.
    pub client_user_bytes: u64,
    /// User memory of the target, in bytes; null for a stranger.
    pub target_user_bytes: Option<u64>,
    /// Kernel memory of the client's machine, in bytes: of both ends where they share it.
    pub kernel_bytes: u64,
    /// What was available on the client's machine right before, in bytes.
    pub available_bytes: Option<u64>,
    /// Where the bytes of a connection come from.
    pub estimated_from: String,
}

/// What arithmetic says ends this case first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Predicted {
    /// As in the LIMITS table.
    pub limit: String,
    /// The end that it binds.
    pub end: End,
    /// Connections at which it bites.
    pub at_connections: u64,
    /// The limit's value, in its own unit.
    pub limit_value: Option<u64>,
    /// The command that lifts it at once.
    pub fix: Option<String>,
    /// What lifts it so that it stays lifted.
    #[serde(default)]
    pub lasting: Option<String>,
    /// Where the figure comes from that it rests on, if that is not a count: memory per connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_from: Option<String>,
    /// Whether that is fewer than the case asks for.
    pub short: bool,
}

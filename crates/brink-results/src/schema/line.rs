//! A line of `--ndjson`: what is seen of a case while it runs. Types only: where lines go is for others.

use serde::Serialize;

use super::{EndSample, Failure, MachineSample};

/// One line, as it is seen.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Line<'a> {
    /// Name of the case.
    pub case: &'a str,
    /// Which repeat of it, counted from 1.
    pub repeat: u32,
    /// The phase that it is in: `start`, `ramp`, `warmup`, `window`, `drain`, `close`; of a ceiling also `climb` and
    /// `release`.
    pub phase: &'a str,
    /// Seconds since 1970, by the client's clock.
    pub unix_s: f64,
    /// What was seen.
    #[serde(flatten)]
    pub seen: Seen<'a>,
}

/// What a line tells.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Seen<'a> {
    /// A case begins.
    Case {
        /// Connections that it asks for.
        connections: u64,
    },
    /// A phase begins.
    Phase {
        /// When, in seconds since the case began.
        t_s: f64,
    },
    /// A sample of the client.
    Client(&'a EndSample),
    /// A sample of the target.
    Target(&'a EndSample),
    /// A sample of the client's machine.
    Machine(&'a MachineSample),
    /// A sample of the target's machine, where that is another one.
    TargetMachine(&'a MachineSample),
    /// Something failed that had not before.
    Failure {
        /// When it was seen, in seconds since the case began.
        t_s: f64,
        /// What, and how often so far.
        failure: &'a Failure,
    },
    /// The case is over.
    End {
        /// As `validity.verdict` of its result.
        verdict: &'a str,
    },
}

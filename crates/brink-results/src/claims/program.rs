//! What a program of a claims file said: a command that brink ran, whose last line on stdout is a JSON object.
//!
//! Must not run anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Schema of a program's result.
pub const PROGRAM_SCHEMA: &str = "brink.program/1";

/// One run of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgramResult {
    /// [`PROGRAM_SCHEMA`].
    pub schema: String,
    /// Experiment and label: `fetch.py-asyncio`.
    pub name: String,
    /// Which repeat, from 1.
    pub repeat: u32,
    /// As it was run.
    pub command: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// From its start to its end, in nanoseconds; null: it was not run.
    pub wall_ns: Option<u64>,
    /// The numbers of its JSON object. The end of a name is the unit: `_ns`, `_s`, `_bytes`, `_per_s`; else a plain number.
    pub measures: BTreeMap<String, f64>,
    /// The texts of its JSON object: version of the language, which build.
    pub facts: BTreeMap<String, String>,
    /// Why it has no figures: it could not be started, ended with an error, said nothing that can be read, took too long.
    pub failure: Option<String>,
    /// Why it was not run at all: what it needs is not there.
    pub skipped: Option<String>,
    /// Stopped by a signal in mid-run.
    #[serde(default)]
    pub interrupted: bool,
}

/// The figure of a program that brink measures itself: from its start to its end.
pub const WALL: &str = "wall_ns";

impl ProgramResult {
    /// A figure by its name, in its own unit.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<f64> {
        if self.why_none().is_some() {
            return None;
        }
        match name {
            WALL => self.wall_ns.map(|ns| ns as f64),
            name => self.measures.get(name).copied(),
        }
    }

    /// Why there are no figures of it; `None` where there are.
    #[must_use]
    pub fn why_none(&self) -> Option<String> {
        let interrupted = self.interrupted.then(|| "stopped in mid-run".to_owned());
        self.skipped.clone().or_else(|| self.failure.clone()).or(interrupted)
    }
}

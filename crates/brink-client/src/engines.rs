//! The table of engines: ways to drive connections, one file and one row each.
//!
//! An engine follows orders (`stage::Order`) and keeps samples; it must not know phases or time
//! beyond those orders.

mod mio;

use std::io;

use crate::samples::WorkerSamples;
use crate::stage::Worker;

/// A way to drive connections.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    /// As users write it.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Whether this machine has what it needs; the error says what is missing.
    pub available: fn() -> Result<(), String>,
    /// One worker, from its start to its samples. Runs on a thread of its own.
    pub run: fn(&Worker<'_>) -> io::Result<WorkerSamples>,
}

/// All engines; the first is the default.
pub static ENGINES: &[Engine] = &[Engine {
    name: "mio",
    summary: "one epoll loop per worker, packed connections, shared buffers: the one that scales",
    available: || Ok(()),
    run: mio::run,
}];

/// The engine of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Engine> {
    ENGINES.iter().find(|engine| engine.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for engine in ENGINES {
            assert_eq!(ENGINES.iter().filter(|other| other.name == engine.name).count(), 1);
            assert_eq!(find(engine.name).unwrap().summary, engine.summary);
        }
        assert!(find("no-such-engine").is_none());
    }
}

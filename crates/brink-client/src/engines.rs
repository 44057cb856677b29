//! The table of engines: ways to drive connections, one file and one row each.
//!
//! An engine follows orders (`stage::Order`) and keeps samples; it must not know phases or time
//! beyond those orders.

mod lanes;
mod mio;
mod pool;
mod sequential;
mod threads;
mod tokio;

use std::io;

use crate::options::LoadOptions;
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
    /// Where its number of threads comes from.
    pub threads: Threads,
    /// Whether each of its threads is a worker of its own, with its own connections and samples; if not, one worker
    /// owns them all, and keeps a few sets of samples however many threads there are.
    pub has_worker_per_thread: bool,
    /// Whether its workers can stay awake where they have nothing to do ([`LoadOptions::busy_poll`]).
    pub can_busy_poll: bool,
    /// One worker, from its start to its samples. Runs on a thread of its own.
    pub run: fn(&Worker<'_>) -> io::Result<WorkerSamples>,
}

/// Where the number of an engine's threads comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// As many as asked; by default as the CPUs that it may use carry.
    PerCpu,
    /// As many as asked: each can wait for one reply at a time.
    Pool {
        /// Where none is asked.
        default: u32,
    },
    /// One for each connection; takes no number.
    PerConnection,
    /// One; takes no number.
    One,
}

impl Threads {
    /// Whether a number can be asked for.
    #[must_use]
    pub fn takes_number(self) -> bool {
        matches!(self, Self::PerCpu | Self::Pool { .. })
    }

    /// How many where none is asked: `cpus` is what it may use. With a thread for each connection this is the one
    /// that starts them.
    #[must_use]
    pub fn default_for(self, cpus: u32) -> u32 {
        match self {
            Self::PerCpu => cpus.max(1),
            Self::Pool { default } => default,
            Self::PerConnection | Self::One => 1,
        }
    }
}

impl Engine {
    /// Workers of a run with these options, each with samples of its own: never more than connections.
    #[must_use]
    pub fn workers(&self, options: &LoadOptions) -> u32 {
        if !self.has_worker_per_thread {
            return 1;
        }
        u64::from(options.threads).min(options.connections) as u32
    }

    /// Requests that can be under way at once, beside one per connection: those of its threads, where each waits for
    /// one reply.
    #[must_use]
    pub fn requests_at_once(&self, threads: u32) -> Option<u64> {
        match self.threads {
            Threads::Pool { .. } => Some(u64::from(threads)),
            Threads::One => Some(1),
            Threads::PerCpu | Threads::PerConnection => None,
        }
    }
}

/// All engines; the first is the default.
pub static ENGINES: &[Engine] = &[
    Engine {
        name: "mio",
        summary: "one epoll loop per worker, packed connections, shared buffers: the one that scales",
        available: || Ok(()),
        threads: Threads::PerCpu,
        has_worker_per_thread: true,
        can_busy_poll: true,
        run: mio::run,
    },
    Engine {
        name: "tokio",
        summary: "a task per connection on tokio's multi-thread runtime; its timer counts milliseconds",
        available: || Ok(()),
        threads: Threads::PerCpu,
        has_worker_per_thread: false,
        can_busy_poll: false,
        run: tokio::run,
    },
    Engine {
        name: "threads",
        summary: "a blocking thread per connection",
        available: || Ok(()),
        threads: Threads::PerConnection,
        has_worker_per_thread: false,
        can_busy_poll: false,
        run: threads::run,
    },
    Engine {
        name: "pool",
        summary: "blocking threads that take turns with the connections, a request at a time each",
        available: || Ok(()),
        threads: Threads::Pool { default: 20 },
        has_worker_per_thread: false,
        can_busy_poll: false,
        run: pool::run,
    },
    Engine {
        name: "sequential",
        summary: "one blocking thread, one request at a time over all connections",
        available: || Ok(()),
        threads: Threads::One,
        has_worker_per_thread: false,
        can_busy_poll: false,
        run: sequential::run,
    },
];

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

    #[test]
    fn only_the_engine_that_scales_has_samples_for_each_thread() {
        let options = LoadOptions { threads: 5_000, ..crate::options::tests::options(10_000) };
        for engine in ENGINES {
            assert_eq!(engine.workers(&options), if engine.name == "mio" { 5_000 } else { 1 });
        }
    }
}

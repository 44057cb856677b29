//! The table of concurrency models. A model is one file and one row.

mod blocking;
mod conversation;
mod hyper;
mod mio;
mod pool;
mod runtime;
mod threads;
mod tokio;
mod tokio_blocking;
mod tokio_local;
mod tokio_offload;

use std::io;

use crate::context::Serve;

/// One way to serve many connections.
#[derive(Debug)]
pub struct Model {
    /// As on the command line and in results.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// What it speaks.
    pub transport: Transport,
    /// Whether this machine can run it; if not, why.
    pub available: fn() -> Result<(), String>,
    /// How many threads it runs on, and whether that is to be chosen.
    pub threads: Threads,
    /// What it can have going at once, whatever number of connections it holds.
    pub at_once: AtOnce,
    /// Whether its threads block on stacks of a size that is to be chosen.
    pub has_own_stacks: bool,
    /// Whether each of its threads accepts on a listener of its own (SO_REUSEPORT), or all on one.
    pub has_listener_per_thread: bool,
    /// Serves until stopped. Blocks.
    pub serve: fn(Serve<'_>) -> io::Result<()>,
}

/// What a model speaks with its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// The frames of `brink_wire::frame`, over TCP.
    Frame,
    /// HTTP/1.0 and 1.1, with the delay and work of a request in its head.
    Http,
}

/// How many threads a model runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One per connection, and one that accepts; takes no number.
    PerConnection,
    /// Exactly one; takes no number.
    One,
    /// As many as asked, by default one per CPU that the process may use.
    PerCpu,
    /// A pool of as many as asked.
    Pool {
        /// Where no number is asked.
        default: u32,
    },
}

/// What bounds a model apart from limits of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtOnce {
    /// Nothing: every connection's request can wait out its delay at the same time.
    Everything,
    /// A thread serves one connection until that closes; the others wait, accepted.
    ConnectionPerThread,
    /// A thread waits out one delay at a time; all connections are served in turn.
    WaitPerThread,
}

impl Threads {
    /// Whether a number of threads can be asked for.
    #[must_use]
    pub fn takes_number(self) -> bool {
        matches!(self, Self::PerCpu | Self::Pool { .. })
    }

    /// The number where none is asked for, on so many CPUs; for a thread per connection, those that accept.
    #[must_use]
    pub fn default_for(self, cpus: u32) -> u32 {
        match self {
            Self::PerConnection | Self::One => 1,
            Self::PerCpu => cpus.max(1),
            Self::Pool { default } => default,
        }
    }
}

impl Model {
    /// Whether each connection has a thread of its own.
    #[must_use]
    pub fn has_connection_thread(&self) -> bool {
        self.threads == Threads::PerConnection
    }

    /// Connections that are served at once on so many threads, where that is bounded.
    #[must_use]
    pub fn connections_at_once(&self, threads: u32) -> Option<u64> {
        (self.at_once == AtOnce::ConnectionPerThread).then_some(self.threads_of(threads))
    }

    /// Requests that can wait out their delay at once on so many threads, where that is bounded.
    #[must_use]
    pub fn waits_at_once(&self, threads: u32) -> Option<u64> {
        (self.at_once != AtOnce::Everything).then_some(self.threads_of(threads))
    }

    /// Stack of each thread of the pool that requests wait on, in bytes, where the runtime and not the caller sets it.
    #[must_use]
    pub fn runtime_stack_bytes(&self) -> Option<u64> {
        let is_runtimes = matches!(self.threads, Threads::Pool { .. }) && !self.has_own_stacks;
        is_runtimes.then_some(tokio_offload::STACK_BYTES)
    }

    fn threads_of(&self, asked: u32) -> u64 {
        if self.threads.takes_number() { asked.into() } else { 1 }
    }
}

/// All models, in the order they are shown.
pub static MODELS: &[Model] = &[
    Model {
        name: "threads",
        summary: "a blocking thread per connection",
        transport: Transport::Frame,
        available: everywhere,
        threads: Threads::PerConnection,
        at_once: AtOnce::Everything,
        has_own_stacks: true,
        has_listener_per_thread: false,
        serve: threads::serve,
    },
    Model {
        name: "pool",
        summary: "blocking workers, each serving one connection until it closes; the rest wait",
        transport: Transport::Frame,
        available: everywhere,
        threads: Threads::Pool { default: pool::WORKERS_DEFAULT },
        at_once: AtOnce::ConnectionPerThread,
        has_own_stacks: true,
        has_listener_per_thread: false,
        serve: pool::serve,
    },
    Model {
        name: "tokio",
        summary: "a task per connection on tokio's multi-thread runtime",
        transport: Transport::Frame,
        available: everywhere,
        threads: Threads::PerCpu,
        at_once: AtOnce::Everything,
        has_own_stacks: false,
        has_listener_per_thread: false,
        serve: tokio::serve,
    },
    Model {
        name: "tokio-local",
        summary: "a task per connection, all on one thread",
        transport: Transport::Frame,
        available: everywhere,
        threads: Threads::One,
        at_once: AtOnce::Everything,
        has_own_stacks: false,
        has_listener_per_thread: false,
        serve: tokio_local::serve,
    },
    Model {
        name: "tokio-blocking",
        summary: "the anti-pattern: as tokio-local, but the wait blocks the one thread",
        transport: Transport::Frame,
        available: everywhere,
        threads: Threads::One,
        at_once: AtOnce::WaitPerThread,
        has_own_stacks: false,
        has_listener_per_thread: false,
        serve: tokio_blocking::serve,
    },
    Model {
        name: "tokio-offload",
        summary: "as tokio-local, but wait and work block threads of a pool (spawn_blocking)",
        transport: Transport::Frame,
        available: everywhere,
        threads: Threads::Pool { default: tokio_offload::THREADS_DEFAULT },
        at_once: AtOnce::WaitPerThread,
        has_own_stacks: false,
        has_listener_per_thread: false,
        serve: tokio_offload::serve,
    },
    Model {
        name: "mio",
        summary: "one readiness loop per worker, with its own timer queue and shared buffers",
        transport: Transport::Frame,
        available: everywhere,
        threads: Threads::PerCpu,
        at_once: AtOnce::Everything,
        has_own_stacks: false,
        has_listener_per_thread: true,
        serve: mio::serve,
    },
    Model {
        name: "hyper",
        summary: "HTTP/1.1 through hyper, a task per connection on tokio's multi-thread runtime",
        transport: Transport::Http,
        available: everywhere,
        threads: Threads::PerCpu,
        at_once: AtOnce::Everything,
        has_own_stacks: false,
        has_listener_per_thread: false,
        serve: hyper::serve,
    },
];

/// The model of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

fn everywhere() -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for model in MODELS {
            assert!(std::ptr::eq(find(model.name).unwrap(), model), "{}", model.name);
        }
        assert!(find("nothing").is_none());
    }

    #[test]
    fn what_goes_on_at_once() {
        let of = |name| {
            let model = find(name).unwrap();
            (model.connections_at_once(9), model.waits_at_once(9))
        };
        assert_eq!(of("threads"), (None, None));
        assert_eq!(of("pool"), (Some(9), Some(9)));
        assert_eq!(of("tokio"), (None, None));
        assert_eq!(of("tokio-blocking"), (None, Some(1)));
        assert_eq!(of("tokio-offload"), (None, Some(9)));
    }

    #[test]
    fn numbers_of_threads() {
        let of = |name: &str| {
            let threads = find(name).unwrap().threads;
            (threads.takes_number(), threads.default_for(3))
        };
        assert_eq!(of("threads"), (false, 1));
        assert_eq!(of("tokio-local"), (false, 1));
        assert_eq!(of("mio"), (true, 3));
        assert_eq!(of("pool"), (true, 32));
        assert_eq!(of("tokio-offload"), (true, 512));
    }
}

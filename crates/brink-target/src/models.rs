//! The table of concurrency models. A model is one file and one row.

mod mio;
mod threads;
mod tokio;

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
    /// Whether each connection has a thread, so that stack size matters and `threads` does not.
    pub has_connection_thread: bool,
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
}

/// All models, in the order they are shown.
pub static MODELS: &[Model] = &[
    Model {
        name: "threads",
        summary: "a blocking thread per connection",
        transport: Transport::Frame,
        available: everywhere,
        has_connection_thread: true,
        has_listener_per_thread: false,
        serve: threads::serve,
    },
    Model {
        name: "tokio",
        summary: "a task per connection on tokio's multi-thread runtime",
        transport: Transport::Frame,
        available: everywhere,
        has_connection_thread: false,
        has_listener_per_thread: false,
        serve: tokio::serve,
    },
    Model {
        name: "mio",
        summary: "one readiness loop per worker, with its own timer queue and shared buffers",
        transport: Transport::Frame,
        available: everywhere,
        has_connection_thread: false,
        has_listener_per_thread: true,
        serve: mio::serve,
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
}

//! What a model is given to serve with, and what every connection of it shares.

use std::net::TcpListener;
use std::sync::Arc;

use crate::asked::Own;
use crate::counters::Counters;
use crate::options::Options;
use crate::stop::Stop;
use crate::work::Work;

/// What a model's `serve` takes. It returns once a stop was requested and its connections are closed.
#[derive(Debug)]
pub struct Serve<'a> {
    /// Bound and listening: one per thread for a model that asks for it, else one.
    pub listeners: Vec<TcpListener>,
    /// When to end.
    pub stop: &'a Stop,
    /// Where to count.
    pub counters: &'a Counters,
    /// The target's own delay and work, threads and stacks.
    pub options: &'a Options,
    /// How much work a microsecond is.
    pub work: Work,
}

/// Shared by the workers or connections of one model; written once.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) counters: Counters,
    pub(crate) stop: Stop,
    pub(crate) own: Own,
    pub(crate) work: Work,
}

impl Context {
    pub(crate) fn new(serve: &Serve<'_>) -> Arc<Self> {
        Arc::new(Self {
            counters: serve.counters.clone(),
            stop: serve.stop.clone(),
            own: Own { delay: serve.options.delay, work_us: serve.options.work_us },
            work: serve.work,
        })
    }
}

/// An admitted connection's place under the bound: given up on drop.
#[derive(Debug)]
pub(crate) struct Place(Arc<Context>);

impl Place {
    /// For a connection that the acceptor has admitted.
    pub(crate) fn of_admitted(context: &Arc<Context>) -> Self {
        Self(Arc::clone(context))
    }

    /// The model has taken the connection: it counts as live until the result is dropped.
    pub(crate) fn open(self, number: usize) -> Open {
        self.0.counters.opened(number);
        Open { place: self, number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.counters.leave();
    }
}

/// A live connection: counted closed on drop.
#[derive(Debug)]
pub(crate) struct Open {
    place: Place,
    /// Counted from 0 in order of accepting; also chooses the shard.
    pub(crate) number: usize,
}

impl Open {
    pub(crate) fn context(&self) -> &Context {
        &self.place.0
    }

    /// One more request was answered.
    pub(crate) fn answered(&self) {
        self.context().counters.answered(self.number, 1);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.context().counters.closed(self.number);
    }
}

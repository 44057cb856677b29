//! What a model is given to serve with, and what every connection of it shares.

use std::io;
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
    pub listeners: Vec<Arc<TcpListener>>,
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

    /// A read or write failed and its connection closes. Counted, unless it only means that the
    /// client has gone, or that the target itself is closing everything.
    pub(crate) fn note(&self, phase: &str, error: &io::Error) {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        let gone = matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected);
        if !gone && !self.stop.requested() {
            self.counters.refuse(phase, &brink_host::errno::name(error));
        }
    }
}

/// An admitted connection's place under the bound: given up on drop.
#[derive(Debug)]
pub(crate) struct Place {
    context: Arc<Context>,
    /// Once open: counted from 0 in order of accepting, round and round.
    /// Kept here because with the flag it takes the room of one word.
    number: u32,
    is_given_up: bool,
}

impl Place {
    /// For a connection that the acceptor has admitted.
    pub(crate) fn of_admitted(context: &Arc<Context>) -> Self {
        Self { context: Arc::clone(context), number: 0, is_given_up: false }
    }

    /// The model has taken the connection: it counts as live until the result is dropped.
    pub(crate) fn open(mut self, number: u32) -> Open {
        self.context.counters.opened(number as usize);
        self.number = number;
        Open { place: self }
    }

    fn give_up(&mut self) {
        if !self.is_given_up {
            self.is_given_up = true;
            self.context.counters.leave();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// A live connection: counted closed on drop.
#[derive(Debug)]
pub(crate) struct Open {
    place: Place,
}

impl Open {
    pub(crate) fn context(&self) -> &Context {
        &self.place.context
    }

    /// For what goes on beside the connection, on another thread.
    pub(crate) fn shared_context(&self) -> Arc<Context> {
        Arc::clone(&self.place.context)
    }

    /// One more request was answered.
    pub(crate) fn answered(&self) {
        self.context().counters.answered(self.shard(), 1);
    }

    /// Where it is counted; tells connections apart as long as there are no four billion.
    pub(crate) fn shard(&self) -> usize {
        self.place.number as usize
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // In this order: whoever sees the live count fall may rely on the place.
        self.place.give_up();
        self.context().counters.closed(self.shard());
    }
}

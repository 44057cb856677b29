//! One readiness loop per worker, written by hand: the least a server can do per message.
//!
//! Each worker has its own poll, listener, connections, timers and buffers, and shares
//! none of them. How a connection proceeds is in `connection`, waits are in `timers`.

mod connection;
mod timers;

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use self::connection::{Connection, Desk, Fate};
use self::timers::now_ns;
use crate::acceptor::{Accepted, Acceptor, Sockets};
use crate::context::{Context, Serve};

const STOP: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);
const LISTENER: Token = Token(usize::MAX - 2);
/// In the timer queue: the end of a pause in accepting. No connection has this key, because
/// there are never so many descriptors.
const ACCEPT_KEY: u32 = u32::MAX;
/// Events taken from the poll at once.
const EVENTS_MAX: usize = 1024;
/// Events handled before another look at which waits are over: some tens of microseconds.
const EVENTS_PER_LOOK: usize = 8;
/// Waits ended before sockets get their turn.
const FIRED_IN_A_ROW: usize = 1024;
/// Connections accepted before others get their turn.
const ACCEPTS_IN_A_ROW: usize = 64;

pub(super) fn serve(mut serve: Serve<'_>) -> io::Result<()> {
    let context = Context::new(&serve);
    let listeners = std::mem::take(&mut serve.listeners);
    let workers = listeners.into_iter().enumerate();
    let workers: Vec<_> =
        workers.map(|(shard, listener)| Worker::new(listener, shard, &context)).collect::<io::Result<_>>()?;
    thread::scope(|scope| {
        let mut running = Vec::with_capacity(workers.len());
        let mut served = Ok(());
        for mut worker in workers {
            let name = format!("mio-{}", worker.desk.shard);
            let context = &context;
            let run = move || {
                let ended = worker.run();
                // One that cannot go on ends all, so that its error is heard.
                context.stop.request();
                ended
            };
            match thread::Builder::new().name(name).spawn_scoped(scope, run) {
                Ok(handle) => running.push(handle),
                Err(error) => {
                    context.stop.request();
                    served = Err(error);
                }
            }
        }
        for handle in running {
            let ended = handle.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            served = served.and(ended);
        }
        served
    })
}

/// One readiness loop.
#[derive(Debug)]
struct Worker {
    poll: Poll,
    acceptor: Acceptor,
    accepting: Accepting,
    /// Grows by doubling, which for a moment holds one and a half times the 16 bytes of each.
    connections: Slab<Connection>,
    /// Those that have had their turn and want another.
    again: Vec<usize>,
    desk: Desk,
}

/// What is known of the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepting {
    /// Nobody waits.
    Drained,
    /// Somebody may wait.
    Pending,
    /// A limit was met; a timer ends the pause.
    Paused,
}

impl Worker {
    fn new(listener: Arc<TcpListener>, shard: usize, context: &Arc<Context>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let desk = Desk::new(Arc::clone(context), shard)?;
        let acceptor = Acceptor::new(listener, Sockets::Nonblocking, context.counters.clone())?;
        for (fd, token) in [
            (acceptor.as_raw_fd(), LISTENER),
            (desk.timers.as_raw_fd(), TIMER),
            (context.stop.as_raw_fd(), STOP),
        ] {
            poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        }
        let accepting = Accepting::Drained;
        Ok(Self { poll, acceptor, accepting, connections: Slab::new(), again: Vec::new(), desk })
    }

    /// Serves until stopped; its connections close with it.
    fn run(&mut self) -> io::Result<()> {
        let ended = self.turn();
        for connection in self.connections.drain() {
            drop(connection);
            self.desk.context.counters.leave();
            self.desk.context.counters.closed(self.desk.shard);
        }
        ended
    }

    fn turn(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.desk.context.stop.requested() {
            let at_once = self.accepting == Accepting::Pending || !self.again.is_empty();
            match self.poll.poll(&mut events, at_once.then_some(Duration::ZERO)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            // Waits come before sockets: how late a wait ends is a result, and what a socket holds keeps.
            self.fire_due();
            for key in std::mem::take(&mut self.again) {
                self.drive(key);
            }
            for (index, event) in events.iter().enumerate() {
                if index % EVENTS_PER_LOOK == EVENTS_PER_LOOK - 1 {
                    self.fire_due();
                }
                match event.token() {
                    STOP => return Ok(()),
                    // It only wakes. It is not read: setting it anew makes its next expiry a new edge.
                    TIMER => {}
                    LISTENER if self.accepting == Accepting::Drained => self.accepting = Accepting::Pending,
                    LISTENER => {}
                    Token(key) => self.on_event(key, event),
                }
            }
            // After the events: a key that became free above must not get another's events.
            if self.accepting == Accepting::Pending {
                self.accept_some();
            }
            self.desk.timers.arm()?;
        }
        Ok(())
    }

    fn on_event(&mut self, key: usize, event: &Event) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if event.is_error() || event.is_write_closed() {
            return self.close(key);
        }
        if event.is_readable() || event.is_read_closed() {
            connection.readable(event.is_read_closed());
        }
        self.drive(key);
    }

    fn drive(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        // Keys are below the number of descriptors, so they fit.
        match connection.drive(&mut self.desk, key as u32) {
            Fate::Keep => {}
            Fate::Again => self.again.push(key),
            Fate::Close => self.close(key),
        }
    }

    /// Answers those whose wait is over, also those for whom that comes about meanwhile.
    fn fire_due(&mut self) {
        for _ in 0..FIRED_IN_A_ROW {
            if self.desk.timers.is_empty() {
                return;
            }
            // By the clock each time: an answer takes microseconds, a look at the clock some nanoseconds.
            let Some(wait) = self.desk.timers.due(now_ns()) else { return };
            if wait.key == ACCEPT_KEY {
                self.accepting = Accepting::Pending;
                continue;
            }
            let key = wait.key as usize;
            let Some(connection) = self.connections.get_mut(key) else { continue };
            if connection.waits_for(wait.id) {
                connection.due(&self.desk);
                self.drive(key);
            }
        }
    }

    fn accept_some(&mut self) {
        for _ in 0..ACCEPTS_IN_A_ROW {
            let pause = match self.acceptor.accept() {
                Accepted::Connection(stream) => {
                    let slot = self.connections.vacant_entry();
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    let source = stream.as_raw_fd();
                    let token = Token(slot.key());
                    match self.poll.registry().register(&mut SourceFd(&source), token, interest) {
                        Ok(()) => {
                            slot.insert(Connection::new(stream));
                            self.desk.context.counters.opened(self.desk.shard);
                            None
                        }
                        Err(error) => {
                            drop(stream);
                            self.desk.context.counters.leave();
                            self.acceptor.refused("register", &error)
                        }
                    }
                }
                Accepted::Drained => {
                    self.accepting = Accepting::Drained;
                    return;
                }
                Accepted::Pause(pause) => Some(pause),
            };
            if let Some(pause) = pause {
                self.accepting = Accepting::Paused;
                self.desk.timers.start(ACCEPT_KEY, now_ns(), pause);
                return;
            }
        }
    }

    fn close(&mut self, key: usize) {
        let Some(connection) = self.connections.try_remove(key) else { return };
        if connection.waits() {
            let connections = &self.connections;
            self.desk.timers.abandon(|wait| {
                let known = connections.get(wait.key as usize);
                wait.key == ACCEPT_KEY || known.is_some_and(|c| c.waits_for(wait.id))
            });
        }
        self.desk.context.counters.leave();
        self.desk.context.counters.closed(self.desk.shard);
    }
}

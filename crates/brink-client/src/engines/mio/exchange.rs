//! What happens on a connection: a reply comes, the peer closes, it is lost.
//!
//! Must not open connections or wait for anything.

use std::time::Duration;

use ::mio::event::Event;

use super::Driver;
use super::connection::State;
use super::wire::{CLOSED, UNEXPECTED};
use crate::protocol::Reply;

impl Driver<'_> {
    /// Acts on what epoll(7) says about a connection. One look at the clock.
    pub(super) fn on_event(&mut self, event: &Event) {
        let slot = event.token().0;
        let closed = event.is_read_closed() || event.is_error();
        match self.connections[slot].state {
            State::Closed | State::Parked => {}
            State::Connecting | State::Reopening if closed || event.is_writable() => {
                self.on_connect_end(slot, closed);
            }
            State::Connecting | State::Reopening => {}
            State::Verifying | State::Idle | State::Requested | State::FinalVerifying => {
                // A server that refuses a request early answers, and may then reset: the answer is read first.
                if event.is_readable() || closed {
                    self.receive(slot, closed);
                }
                let connection = &self.connections[slot];
                if event.is_writable() && connection.state.awaits_reply() && !self.wire.is_sent(connection) {
                    self.send(slot);
                }
            }
        }
    }

    /// Writes what the socket takes; a failure loses the connection.
    pub(super) fn send(&mut self, slot: usize) {
        let id = self.id(slot);
        if let Err(error) = self.wire.send(&mut self.connections[slot], id) {
            // What a server said before it closed can still be read.
            let received = self.wire.receive(&mut self.connections[slot], id, true);
            match received.replied {
                Some(reply) => self.replied(slot, reply, Some(CLOSED.to_owned())),
                None => self.lose(slot, &brink_host::errno::name(&error)),
            }
        }
    }

    pub(super) fn receive(&mut self, slot: usize, closed: bool) {
        let id = self.id(slot);
        let received = self.wire.receive(&mut self.connections[slot], id, closed);
        match (received.replied, received.lost) {
            (Some(reply), lost) => self.replied(slot, reply, lost),
            (None, Some(errno)) => self.ended_unasked(slot, &errno),
            (None, None) => {}
        }
    }

    fn replied(&mut self, slot: usize, reply: Reply, lost: Option<String>) {
        let now_ns = self.worker.stage.now_ns();
        if self.is_overdue(slot, now_ns) {
            // It came before the sweep did, and still too late.
            self.lose(slot, "timeout");
        } else {
            self.on_reply(slot, now_ns, reply, lost);
        }
    }

    /// A reply, and what became of the connection with it.
    fn on_reply(&mut self, slot: usize, now_ns: u64, reply: Reply, mut lost: Option<String>) {
        let connection = &mut self.connections[slot];
        let (state, clock_ns) = (connection.state, self.clock_ns(slot));
        self.connections[slot].state = State::Idle;
        if reply.close && lost.as_deref() != Some(UNEXPECTED) {
            // However it then does so: by a reset where it did not read all of the request.
            lost = Some(CLOSED.to_owned());
        }
        match state {
            State::Verifying => {
                self.opening.succeeded();
                self.samples.opened += 1;
                self.worker.count_open();
            }
            State::Requested => {
                self.worker.shard.settle(true);
                self.latencies[0].count_alone(now_ns.saturating_sub(clock_ns));
                self.count_reply(clock_ns, now_ns, &reply);
            }
            State::FinalVerifying => self.settle(),
            State::Closed | State::Parked | State::Idle | State::Connecting | State::Reopening => {
                debug_assert!(false, "a reply to nothing");
            }
        }
        // It is idle now, so what ends it is counted as that.
        if let Some(errno) = lost {
            self.ended(slot, &errno);
        }
        if state == State::Requested && self.connections[slot].state.is_free() {
            self.after_reply(slot, now_ns);
        }
    }

    /// The peer ended the connection. An idle one that it closed in good order is made again when it is needed.
    fn ended(&mut self, slot: usize, errno: &str) {
        if errno == CLOSED && self.connections[slot].state == State::Idle && self.worker.options.reopens() {
            self.park(slot);
        } else {
            self.lose(slot, errno);
        }
    }

    /// The same, without a reply before it. A connection that waits for its turn is made again then, and not also a
    /// while after it was lost, which would be a turn too many.
    fn ended_unasked(&mut self, slot: usize, errno: &str) {
        let is_idle = self.connections[slot].state == State::Idle;
        if is_idle && errno != CLOSED && self.work.is_some() && self.worker.options.reopens() {
            self.count_failure(State::Idle.phase(), errno);
            self.park(slot);
        } else {
            self.ended(slot, errno);
        }
    }

    /// Closes a connection whose next request makes it again.
    pub(super) fn park(&mut self, slot: usize) {
        self.drop_socket(slot);
        self.connections[slot].state = State::Parked;
    }

    /// A connection, open or not yet, is of no more use.
    pub(super) fn lose(&mut self, slot: usize, errno: &str) {
        let phase = self.connections[slot].state.phase();
        self.lose_in(slot, phase, errno);
    }

    /// The same, where something else than its state says what was being done.
    pub(super) fn lose_in(&mut self, slot: usize, phase: &'static str, errno: &str) {
        let (state, clock_ns) = (self.connections[slot].state, self.clock_ns(slot));
        if state == State::Closed {
            return;
        }
        self.drop_socket(slot);
        if !state.is_open() {
            self.attempt_failed(phase, errno);
            return;
        }
        self.count_failure(phase, errno);
        self.samples.closed_early += 1;
        self.worker.count_close();
        if state.has_request() {
            self.worker.shard.settle(false);
            self.samples.requests_failed += u64::from(self.is_counted(clock_ns));
        }
        if state != State::Idle && state != State::Parked {
            self.settle();
        }
        self.try_again_later(slot);
    }

    fn attempt_failed(&mut self, phase: &'static str, errno: &str) {
        self.opening.failed(phase, errno);
        self.samples.failed += 1;
        self.count_failure(phase, errno);
        self.worker.shard.fail();
    }

    pub(super) fn count_failure(&mut self, phase: &'static str, errno: &str) {
        let stage = self.worker.stage;
        self.samples.failure(phase, errno, stage.live(), Duration::from_nanos(stage.now_ns()));
    }
}

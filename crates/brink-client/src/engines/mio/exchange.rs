//! What happens on a connection: it connects, a reply comes, a request goes out, it is lost.
//!
//! Must not open connections or wait for anything.

use std::net::TcpStream;
use std::time::Duration;

use ::mio::event::Event;

use super::connection::State;
use super::{BATCH, Driver};
use crate::pacing::{AfterReply, nanoseconds};

impl Driver<'_> {
    /// Acts on what epoll(7) says about a connection. One look at the clock.
    pub(super) fn on_event(&mut self, event: &Event) {
        let slot = event.token().0;
        let closed = event.is_read_closed() || event.is_error();
        match self.connections[slot].state {
            State::Closed => {}
            State::Connecting if closed || event.is_writable() => self.on_connect_end(slot, closed),
            State::Connecting => {}
            state => {
                if event.is_writable() && state.awaits_reply() && !self.wire.is_sent(&self.connections[slot])
                {
                    self.send(slot);
                }
                if event.is_readable() || closed {
                    self.receive(slot, closed);
                }
            }
        }
    }

    /// connect(2) is over. The peer may have `closed` since, which is for the verifying echo to find out.
    fn on_connect_end(&mut self, slot: usize, closed: bool) {
        let now_ns = self.worker.stage.now_ns();
        if closed {
            let error = self.connections[slot].socket.as_ref().map(TcpStream::take_error);
            if let Some(Ok(Some(error)) | Err(error)) = error {
                self.lose(slot, &brink_host::errno::name(&error));
                return;
            }
        }
        self.on_connected(slot, now_ns);
        if closed {
            self.receive(slot, closed);
        }
    }

    /// A connection came up: its verifying echo follows at once.
    pub(super) fn on_connected(&mut self, slot: usize, now_ns: u64) {
        if self.is_overdue(slot, now_ns) {
            self.lose(slot, "timeout");
            return;
        }
        let connection = &mut self.connections[slot];
        self.samples.connect_latency.saturating_record(now_ns.saturating_sub(connection.since_ns));
        connection.begin(State::Verifying, now_ns);
        self.send(slot);
    }

    /// On loopback the handshake is over when a nonblocking connect(2) returns, although it says EINPROGRESS: the
    /// answer waits in the backlog of the socket that the call holds, and is taken when it lets go
    /// (`release_sock`, net/core/sock.c). Sending at once finds that out, and the time of it is exact.
    pub(super) fn connected_already(&mut self, slot: usize, now_ns: u64) {
        if self.is_overdue(slot, now_ns) {
            self.lose(slot, "timeout");
            return;
        }
        let id = self.id(slot);
        let connection = &mut self.connections[slot];
        let since_ns = connection.since_ns;
        connection.begin(State::Verifying, now_ns);
        let sent = self.wire.send(connection, id);
        if connection.written > 0 {
            self.samples.connect_latency.saturating_record(now_ns.saturating_sub(since_ns));
            return;
        }
        connection.begin(State::Connecting, since_ns);
        if let Err(error) = sent {
            self.lose(slot, &brink_host::errno::name(&error));
        }
    }

    /// Writes what the socket takes; a failure loses the connection.
    fn send(&mut self, slot: usize) {
        let id = self.id(slot);
        if let Err(error) = self.wire.send(&mut self.connections[slot], id) {
            self.lose(slot, &brink_host::errno::name(&error));
        }
    }

    pub(super) fn receive(&mut self, slot: usize, closed: bool) {
        let id = self.id(slot);
        let received = self.wire.receive(&mut self.connections[slot], id, closed);
        if let Some(waited_ns) = received.replied {
            let now_ns = self.worker.stage.now_ns();
            if self.is_overdue(slot, now_ns) {
                // It came before the sweep did, and still too late.
                self.lose(slot, "timeout");
                return;
            }
            self.on_reply(slot, now_ns, waited_ns, received.lost.is_none());
        }
        // After a reply the connection is idle, so what ends it is counted as that.
        if let Some(errno) = received.lost {
            self.lose(slot, &errno);
        }
    }

    /// A verified reply. `usable`: the connection can carry another request.
    fn on_reply(&mut self, slot: usize, now_ns: u64, waited_ns: Option<u64>, usable: bool) {
        let connection = &mut self.connections[slot];
        let (state, since_ns) = (connection.state, connection.since_ns);
        connection.state = State::Idle;
        match state {
            State::Verifying => {
                self.opening.succeeded();
                self.samples.opened += 1;
                self.worker.count_open();
            }
            State::Requested => {
                self.worker.shard.settle(true);
                self.count_reply(since_ns, now_ns, waited_ns);
                if usable {
                    self.after_reply(slot, now_ns);
                }
            }
            State::FinalVerifying => self.settle(),
            State::Closed | State::Connecting | State::Idle => debug_assert!(false, "a reply to nothing"),
        }
    }

    fn count_reply(&mut self, since_ns: u64, now_ns: u64, waited_ns: Option<u64>) {
        let Some(work) = self.work.as_mut() else { return };
        work.outstanding -= 1;
        if work.schedule.in_window(since_ns) {
            self.samples.requests_completed += 1;
            self.samples.latency.saturating_record(now_ns.saturating_sub(since_ns));
            if let Some((waited_ns, asked)) = waited_ns.zip(self.worker.options.delay_known()) {
                self.samples.delay_error.saturating_record(waited_ns.abs_diff(nanoseconds(asked)));
            }
        }
        self.samples.completed_in_window += u64::from(work.schedule.in_window(now_ns));
    }

    fn after_reply(&mut self, slot: usize, now_ns: u64) {
        let Some(work) = self.work.as_mut() else { return };
        match work.pace.after_reply {
            AfterReply::Rest => {}
            AfterReply::Send if now_ns < work.schedule.window_end_ns => self.request(slot, now_ns),
            AfterReply::Send => {}
            AfterReply::SendAfter { think_ns } => {
                work.thinking.push_back((now_ns.saturating_add(think_ns), slot as u32));
            }
        }
    }

    /// Sends the one request that is due first and that no reply brought about.
    pub(super) fn send_due(&mut self) {
        let now_ns = self.worker.stage.now_ns();
        let Some(work) = self.work.as_mut() else { return };
        let visit_ns = work.pace.cursor.as_ref().and_then(crate::pacing::Cursor::due_ns);
        let thought_ns = work.thinking.front().map(|&(due_ns, _)| due_ns);
        let slot = match (visit_ns, thought_ns) {
            (Some(visit_ns), thought_ns) if thought_ns.is_none_or(|thought_ns| visit_ns <= thought_ns) => {
                work.pace.cursor.as_mut().map(crate::pacing::Cursor::take)
            }
            _ => work.thinking.pop_front().map(|(_, slot)| slot as usize),
        };
        let Some(slot) = slot else { return };
        // The share may be larger than what was attempted: a worker gives up when all is refused.
        match self.connections.get(slot).map(|connection| connection.state) {
            Some(State::Idle) if now_ns < work.schedule.window_end_ns => self.request(slot, now_ns),
            Some(State::Requested) if work.schedule.in_window(now_ns) => self.samples.heartbeats_skipped += 1,
            _ => {}
        }
    }

    pub(super) fn request(&mut self, slot: usize, now_ns: u64) {
        let Some(work) = self.work.as_mut() else { return };
        work.outstanding += 1;
        self.samples.requests_intended += u64::from(work.schedule.in_window(now_ns));
        self.worker.shard.send();
        self.connections[slot].begin(State::Requested, now_ns);
        self.send(slot);
    }

    /// Asks connections for the final proof, a bounded number at a time, once all replies are in. Returns
    /// whether there is more to ask for at once.
    pub(super) fn prove(&mut self) -> bool {
        for _ in 0..BATCH {
            let Some(work) = self.work.as_mut() else { return false };
            let answered = work.proved > 0 || work.outstanding == 0;
            let all = work.proved == self.connections.len();
            if !work.pace.final_verify || !answered || all || work.outstanding >= self.opening.window {
                return false;
            }
            let slot = work.proved;
            work.proved += 1;
            if self.connections[slot].state == State::Idle {
                work.outstanding += 1;
                let now_ns = self.worker.stage.now_ns();
                self.connections[slot].begin(State::FinalVerifying, now_ns);
                self.send(slot);
            }
        }
        true
    }

    fn settle(&mut self) {
        if let Some(work) = self.work.as_mut() {
            work.outstanding -= 1;
        }
    }

    /// A connection, open or not yet, is of no more use.
    pub(super) fn lose(&mut self, slot: usize, errno: &str) {
        let (state, since_ns) = (self.connections[slot].state, self.connections[slot].since_ns);
        if state == State::Closed {
            return;
        }
        self.drop_socket(slot);
        if !state.is_open() {
            self.attempt_failed(state.phase(), errno);
            return;
        }
        self.count_failure(state.phase(), errno);
        self.samples.closed_early += 1;
        self.worker.count_close();
        if state == State::Requested {
            self.worker.shard.settle(false);
            let counted = self.work.as_ref().is_some_and(|work| work.schedule.in_window(since_ns));
            self.samples.requests_failed += u64::from(counted);
        }
        if state != State::Idle {
            self.settle();
        }
    }

    pub(super) fn attempt_failed(&mut self, phase: &'static str, errno: &str) {
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

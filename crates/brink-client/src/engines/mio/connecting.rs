//! How a connection comes up: for the first time, or again where it was closed in good order.
//!
//! Must not wait, and must not decide when one is due.

use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use ::mio::unix::SourceFd;
use ::mio::{Interest, Token};

use super::Driver;
use super::connection::{Connection, State};
use crate::dial::Dialled;

impl Driver<'_> {
    /// Makes one attempt of the ramp; returns the time after it.
    pub(super) fn attempt(&mut self, now_ns: u64) -> u64 {
        self.worker.shard.attempt();
        let slot = self.connections.len();
        self.opening.attempt();
        self.connections.push(Connection { state: State::Connecting, ..Connection::CLOSED });
        self.connect(slot, now_ns)
    }

    /// Makes the next connection of a slot whose last one was closed in good order; its request follows.
    pub(super) fn reopen(&mut self, slot: usize, now_ns: u64) {
        self.drop_socket(slot);
        let connection = &mut self.connections[slot];
        // Its clock starts here, also where connect(2) fails at once.
        (connection.state, connection.since_ns) = (State::Reopening, now_ns);
        // Ports of connections that were closed can be had again.
        self.dialer.rewind_used_up();
        self.connect(slot, now_ns);
    }

    /// Calls connect(2) for a slot whose state says what for; returns the time after it.
    fn connect(&mut self, slot: usize, now_ns: u64) -> u64 {
        let dialled = self.dialer.dial();
        let after_ns = self.worker.stage.now_ns();
        let (socket, connected) = match dialled {
            Dialled::Connected(socket) => (socket, true),
            Dialled::Connecting(socket) => (socket, false),
            Dialled::Failed(phase, error) => {
                self.lose_in(slot, phase, &brink_host::errno::name(&error));
                return after_ns;
            }
        };
        let fd = socket.as_raw_fd();
        let connection = &mut self.connections[slot];
        connection.socket = Some(socket);
        connection.since_ns = now_ns;
        let interest = Interest::READABLE | Interest::WRITABLE;
        // Sent before it is registered: registering then reports the reply, not merely that it can write.
        if connected {
            self.on_connected(slot, after_ns);
        } else if self.worker.options.target.ip().is_loopback() {
            self.connected_already(slot, after_ns);
        }
        if self.connections[slot].socket.is_none() {
            return after_ns;
        }
        if let Err(error) = self.registry.register(&mut SourceFd(&fd), Token(slot), interest) {
            self.lose_in(slot, "register", &brink_host::errno::name(&error));
        }
        after_ns
    }

    /// connect(2) is over. The peer may have `closed` since, which is for the exchange that follows to find out.
    pub(super) fn on_connect_end(&mut self, slot: usize, closed: bool) {
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

    /// A connection came up: its verifying echo, or the request that it was made for, follows at once.
    fn on_connected(&mut self, slot: usize, now_ns: u64) {
        if self.is_overdue(slot, now_ns) {
            self.lose(slot, "timeout");
            return;
        }
        let since_ns = self.begin_first(slot, now_ns);
        self.came_up(slot, since_ns, now_ns);
        self.send(slot);
    }

    /// On loopback the handshake is over when a nonblocking connect(2) returns, although it says EINPROGRESS: the
    /// answer waits in the backlog of the socket that the call holds, and is taken when it lets go
    /// (`release_sock`, net/core/sock.c). Sending at once finds that out, and the time of it is exact.
    fn connected_already(&mut self, slot: usize, now_ns: u64) {
        if self.is_overdue(slot, now_ns) {
            self.lose(slot, "timeout");
            return;
        }
        let id = self.id(slot);
        let connecting = self.connections[slot].state;
        let since_ns = self.begin_first(slot, now_ns);
        let connection = &mut self.connections[slot];
        let sent = self.wire.send(connection, id);
        if connection.written > 0 {
            self.came_up(slot, since_ns, now_ns);
            return;
        }
        connection.begin(connecting, since_ns);
        if let Err(error) = sent {
            self.lose(slot, &brink_host::errno::name(&error));
        }
    }

    /// Begins the first request of a connection. Returns when its connect(2) began, where the clock of a request
    /// that needed it starts.
    fn begin_first(&mut self, slot: usize, now_ns: u64) -> u64 {
        let connection = &mut self.connections[slot];
        let since_ns = connection.since_ns;
        match connection.state {
            State::Reopening => connection.begin(State::Requested, since_ns),
            _ => connection.begin(State::Verifying, now_ns),
        }
        since_ns
    }

    fn came_up(&mut self, slot: usize, since_ns: u64, now_ns: u64) {
        let (live, after) = (self.worker.stage.live(), Duration::from_nanos(now_ns));
        if self.samples.connected(now_ns.saturating_sub(since_ns), live, after) {
            self.opening.slow();
        }
        self.samples.reopened += u64::from(self.connections[slot].state == State::Requested);
    }
}

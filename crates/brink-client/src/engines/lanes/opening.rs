//! How a connection of a lane comes up: for the first time, or again. Must not decide when one is due.

use std::net::TcpStream;

use super::connection::{Connection, Standing};
use super::hub::Hub;
use super::wait::{Interest, Signal, Wait, Woken};
use super::{Fault, Lane};
use crate::dial::{Dialer, Dialled};
use crate::protocol::Kind;

/// A socket whose connect(2) was called.
#[derive(Debug)]
pub(in crate::engines) struct Dialing {
    stream: TcpStream,
    /// When connect(2) was called, in nanoseconds since the run began.
    since_ns: u64,
    /// How long it took, if it is over.
    connect_ns: Option<u64>,
}

/// Calls connect(2). Fails with the phase and the errno by name.
pub(super) fn dial(hub: &Hub, dialer: &mut Dialer) -> Result<Dialing, (&'static str, String)> {
    let since_ns = hub.stage.now_ns();
    let (stream, connected) = match dialer.dial() {
        Dialled::Connected(stream) => (stream, true),
        // On loopback the handshake is over when a nonblocking connect(2) returns, although it says EINPROGRESS:
        // the answer waits in the backlog of the socket that the call holds, and is taken when it lets go
        // (`release_sock`, net/core/sock.c). Asking at once makes the time of it exact.
        Dialled::Connecting(stream) => {
            let connected = hub.options.target.ip().is_loopback() && stream.peer_addr().is_ok();
            (stream, connected)
        }
        Dialled::Failed(phase, error) => return Err((phase, brink_host::errno::name(&error))),
    };
    let connect_ns = connected.then(|| hub.stage.now_ns() - since_ns);
    Ok(Dialing { stream, since_ns, connect_ns })
}

impl<W: Wait> Lane<W> {
    /// Brings up the lane's next connection by a connect and an echo.
    pub(super) async fn open(&mut self, dialing: Dialing) {
        let slot = self.connections.len();
        self.connections.push(Connection::gone());
        let mut connect_ns = None;
        let answer = match self.come_up(slot, dialing).await {
            Ok(ns) => {
                connect_ns = Some(ns);
                let timeout_ns = self.hub.verify_timeout_ns;
                self.exchange(slot, Kind::Verify, timeout_ns).await.map_err(|fault| ("verify", fault))
            }
            Err(failed) => Err(failed),
        };
        match answer {
            Ok(answer) => {
                self.hub.opened(self.index, connect_ns.unwrap_or(0));
                let connection = &mut self.connections[slot];
                (connection.standing, connection.idle_ns) = (Standing::Open, answer.now_ns);
                self.after_answer(slot, &answer);
            }
            Err((phase, Fault::Lost(errno))) => {
                self.drop_socket(slot);
                self.hub.attempt_failed(self.index, phase, &errno, connect_ns);
            }
            // Not attempted after all.
            Err((_, Fault::Closing)) => self.drop_socket(slot),
        }
    }

    /// Makes the next connection of a slot. Returns how long its connect took.
    pub(super) async fn reopen(&mut self, slot: usize) -> Result<u64, (&'static str, Fault)> {
        self.drop_socket(slot);
        let dialing = self.hub.dialer(self.index, |dialer| {
            // Ports of connections that were closed can be had again.
            dialer.rewind_used_up();
            dial(&self.hub, dialer)
        });
        match dialing {
            Ok(dialing) => self.come_up(slot, dialing).await,
            Err((phase, errno)) => Err((phase, Fault::Lost(errno.into()))),
        }
    }

    /// Waits for a connect(2) to be over. Returns how long it took.
    async fn come_up(&mut self, slot: usize, dialing: Dialing) -> Result<u64, (&'static str, Fault)> {
        let Dialing { stream, since_ns, connect_ns } = dialing;
        let socket = self.wait.adopt(stream).map_err(|error| ("register", Fault::from(error)))?;
        let socket = &*self.connections[slot].socket.insert(socket);
        if let Some(connect_ns) = connect_ns {
            return Ok(connect_ns);
        }
        let failed = |fault: Fault| ("connect", fault);
        let until_ns = since_ns.saturating_add(self.hub.verify_timeout_ns);
        loop {
            let woken = self.wait.wait(Some((socket, Interest::Write)), Some(until_ns), Signal::Close).await;
            match woken.map_err(|error| failed(error.into()))? {
                Woken::Ready => break,
                Woken::Called if self.hub.is_closing() => return Err(failed(Fault::Closing)),
                Woken::Called => {}
                Woken::Time => return Err(failed(Fault::Lost("timeout".into()))),
            }
        }
        let now_ns = self.hub.stage.now_ns();
        match W::take_error(socket) {
            Ok(None) if now_ns > until_ns => Err(failed(Fault::Lost("timeout".into()))),
            Ok(None) => Ok(now_ns - since_ns),
            Ok(Some(error)) | Err(error) => Err(failed(error.into())),
        }
    }
}

//! Makes sockets that connect: source addresses in turn, and the local ports to ask for on each.
//!
//! Must not wait for a connect to end, send, or decide how many are made.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};

use brink_host::socket::{set_bind_address_no_port, set_local_port_range};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::options::{GiveUp, LoadOptions};
use crate::ports::PortWindows;
use crate::stage::Worker;

/// Kinds of failures that may take turns.
const KINDS_MAX: u32 = 3;

/// Failures of one kind in a row, and slow connects in all: when to stop trying.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    give_up: GiveUp,
    phase: &'static str,
    errno: String,
    len: u32,
    /// Failures of any kind in a row.
    any: u32,
    slow: u32,
}

impl Streak {
    pub(crate) fn new(give_up: GiveUp) -> Self {
        Self { give_up, ..Self::default() }
    }

    /// A connect was slow. Returns whether it is time to stop trying.
    pub(crate) fn slow(&mut self) -> bool {
        self.slow = self.slow.saturating_add(1);
        self.give_up.slow.is_some_and(|most| self.slow >= most)
    }

    /// An attempt was verified: whatever went wrong before, it works.
    pub(crate) fn succeeded(&mut self) {
        (self.len, self.any) = (0, 0);
    }

    /// An attempt failed. Returns whether it is time to stop trying.
    pub(crate) fn failed(&mut self, phase: &'static str, errno: &str) -> bool {
        // Whoever closes at once is heard as an end, a reset, or a write after either: it is one kind of failure.
        let (phase, errno) = match errno {
            "closed" | "ECONNRESET" | "EPIPE" | "ECONNABORTED" => ("verify", "closed"),
            other => (phase, other),
        };
        if (self.phase, self.errno.as_str()) == (phase, errno) {
            self.len += 1;
        } else {
            (self.phase, self.errno, self.len) = (phase, errno.to_owned(), 1);
        }
        self.any = self.any.saturating_add(1);
        let most = if errno == "timeout" { self.give_up.timeouts } else { self.give_up.failures };
        // Where kinds take turns none is ever alone.
        self.len >= most || self.any >= self.give_up.failures.saturating_mul(KINDS_MAX)
    }
}

/// A worker's way to new connections.
#[derive(Debug)]
pub(crate) struct Dialer {
    target: SockAddr,
    /// The target's own port may be given out as a source port: where nobody listens there any more, a socket then
    /// connects to itself (RFC 9293, 3.5, simultaneous open), and hears its own echo.
    may_meet_itself: bool,
    sources: Vec<Source>,
    /// How many were made; the sources take turns.
    dialled: u64,
}

/// One source address (`None`: what the kernel chooses), and the ports to ask for on it.
#[derive(Debug)]
struct Source {
    address: Option<IpAddr>,
    ports: Option<PortWindows>,
}

/// A nonblocking socket whose connect(2) was called.
#[derive(Debug)]
pub(crate) enum Dialled {
    /// Connected before connect(2) returned.
    Connected(TcpStream),
    /// Under way.
    Connecting(TcpStream),
    /// Failed: phase (`socket`, `bind`, `connect`) and error.
    Failed(&'static str, io::Error),
}

impl Dialer {
    pub(crate) fn new(worker: &Worker<'_>) -> Self {
        let LoadOptions { target, sources, .. } = worker.options;
        let range = brink_host::ports::ephemeral_range();
        let rotation = worker.options.first_connection_id;
        let ports = range.map(|range| PortWindows::new(range, worker.index, worker.workers, rotation));
        let source = |address| Source { address, ports: ports.clone() };
        let sources = match sources.as_slice() {
            [] => vec![source(None)],
            some => {
                // What the kernel chooses anyway need not be asked for, which saves two system calls a connection.
                let chosen = source_chosen_for(*target);
                some.iter().map(|&own| source(Some(own).filter(|_| chosen != Some(own)))).collect()
            }
        };
        let may_meet_itself = range.is_none_or(|(low, high)| (low..=high).contains(&target.port()));
        Self { target: SockAddr::from(*target), may_meet_itself, sources, dialled: 0 }
    }

    /// Makes one socket and calls connect(2).
    pub(crate) fn dial(&mut self) -> Dialled {
        let turn = (self.dialled % self.sources.len() as u64) as usize;
        self.dialled += 1;
        match self.sources[turn].connect(&self.target) {
            Ok(dialled) if self.may_meet_itself(&dialled) && is_met(&dialled.socket, &self.target) => {
                Dialled::Failed("connect", Errno::CONNREFUSED.into())
            }
            Ok(Called { socket, is_connected: true, .. }) => Dialled::Connected(socket.into()),
            Ok(Called { socket, .. }) => Dialled::Connecting(socket.into()),
            Err((phase, error)) => Dialled::Failed(phase, error),
        }
    }

    /// Whether the port that the kernel chose can be the target's own.
    fn may_meet_itself(&self, called: &Called) -> bool {
        let port = self.target.as_socket().map(|target| target.port());
        let may_be = |(low, high)| port.is_none_or(|port| (low..=high).contains(&port));
        self.may_meet_itself && called.window.is_none_or(may_be)
    }

    /// Begins the walk over the ports anew, for connections that take the place of closed ones, whose ports are
    /// free again.
    pub(crate) fn rewind_used_up(&mut self) {
        for ports in self.sources.iter_mut().filter_map(|source| source.ports.as_mut()) {
            if ports.current().is_none() {
                ports.rewind();
            }
        }
    }
}

/// The source address that the kernel chooses for a destination on loopback where none is asked for, as connect(2) of a
/// datagram socket tells without sending anything (udp(7)). `None`: it cannot be told; for any other destination it may
/// differ from one connection to the next (routes of several hops, rules by protocol: ip-route(8), ip-rule(8)).
fn source_chosen_for(target: SocketAddr) -> Option<IpAddr> {
    if !target.ip().is_loopback() {
        return None;
    }
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, Some(Protocol::UDP)).ok()?;
    socket.connect(&target.into()).ok()?;
    let chosen = socket.local_addr().ok()?.as_socket()?.ip();
    (!chosen.is_unspecified()).then_some(chosen)
}

/// A socket whose connect(2) was called.
struct Called {
    socket: Socket,
    is_connected: bool,
    /// The ports that the kernel had to choose from, where they were fewer than the whole range.
    window: Option<(u16, u16)>,
}

/// Whether a socket's own address is the one that it connects to.
fn is_met(socket: &Socket, target: &SockAddr) -> bool {
    socket.local_addr().is_ok_and(|own| own.as_socket() == target.as_socket())
}

impl Source {
    /// Makes a socket and calls connect(2).
    fn connect(&mut self, target: &SockAddr) -> Result<Called, (&'static str, io::Error)> {
        let phase = |phase: &'static str| move |error| (phase, error);
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::from(i32::from(target.family())), kind, Some(Protocol::TCP))
            .map_err(phase("socket"))?;
        socket.set_tcp_nodelay(true).map_err(phase("socket"))?;
        if let Some(address) = self.address {
            // The port is left to connect(2), which knows the destination (ip(7)); a kernel without the option
            // would choose it here, with fewer to choose from, so that is an error.
            set_bind_address_no_port(&socket).map_err(phase("bind"))?;
            socket.bind(&SocketAddr::new(address, 0).into()).map_err(phase("bind"))?;
        }
        let mut windowed = false;
        loop {
            let window = self.ask_for_window(&socket, windowed).map_err(phase("connect"))?;
            windowed |= window.is_some();
            let error = match socket.connect(target) {
                Ok(()) => {
                    self.took(window.is_some());
                    return Ok(Called { socket, is_connected: true, window });
                }
                Err(error) => error,
            };
            match Errno::from_io_error(&error) {
                Some(Errno::INPROGRESS) => {
                    self.took(window.is_some());
                    return Ok(Called { socket, is_connected: false, window });
                }
                Some(Errno::ADDRNOTAVAIL) if window.is_some() => {
                    self.ports.as_mut().map(PortWindows::full);
                }
                _ => return Err(("connect", error)),
            }
        }
    }

    /// Restricts the socket to the current window, if there is one; `windowed`: it is restricted already.
    /// Returns which it is now.
    fn ask_for_window(&mut self, socket: &Socket, windowed: bool) -> io::Result<Option<(u16, u16)>> {
        match self.ports.as_ref().and_then(PortWindows::current) {
            Some((low, high)) => match set_local_port_range(socket, low, high) {
                Ok(()) => Ok(Some((low, high))),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::NOPROTOOPT | Errno::INVAL) => {
                        self.ports = None; // Before Linux 6.3.
                        Ok(None)
                    }
                    _ => Err(error),
                },
            },
            None => {
                if windowed {
                    set_local_port_range(socket, 0, 0)?; // Back to the whole range.
                }
                Ok(None)
            }
        }
    }

    fn took(&mut self, window: bool) {
        if let Some(ports) = self.ports.as_mut().filter(|_| window) {
            ports.took();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_take_turns_end_it_as_well() {
        let mut streak = Streak::new(GiveUp { failures: 4, timeouts: 2, slow: None });
        let turns = ["ECONNREFUSED", "timeout"].into_iter().cycle();
        let failed = turns.take(12).map(|errno| streak.failed("connect", errno)).collect::<Vec<_>>();
        assert_eq!(failed.iter().position(|&is_enough| is_enough), Some(11));
        streak.succeeded();
        assert!(!streak.failed("connect", "timeout") && streak.failed("connect", "timeout"));
    }

    #[test]
    fn a_refusal_is_one_kind_however_it_is_heard() {
        let mut streak = Streak::new(GiveUp { failures: 3, timeouts: 3, slow: None });
        assert!(!streak.failed("verify", "closed") && !streak.failed("connect", "ECONNRESET"));
        assert!(streak.failed("verify", "EPIPE"));
    }

    #[test]
    fn a_socket_that_connects_to_itself_is_told() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let own = socket.local_addr().unwrap();
        socket.connect(&own).unwrap();
        assert!(is_met(&socket, &own));
        let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        assert!(!is_met(&socket, &SockAddr::from(other)));
    }

    #[test]
    fn the_kernel_tells_which_source_it_would_choose() {
        for own in ["127.0.0.1", "127.0.0.7"] {
            let target = SocketAddr::new(own.parse().unwrap(), 9);
            let chosen = source_chosen_for(target);
            let listener = std::net::TcpListener::bind(SocketAddr::new(target.ip(), 0)).unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(chosen, Some(stream.local_addr().unwrap().ip()));
        }
        assert_eq!(source_chosen_for(SocketAddr::from(([192, 0, 2, 1], 9))), None, "elsewhere it may change");
    }

    #[test]
    fn slow_connects_count_in_all_where_they_count() {
        let mut streak = Streak::new(GiveUp { failures: 2, timeouts: 2, slow: Some(3) });
        assert!(!streak.slow() && !streak.slow());
        streak.succeeded();
        assert!(streak.slow());
        assert!(!streak.failed("connect", "timeout") && streak.failed("connect", "timeout"));
        assert!((0..500).all(|_| !Streak::default().slow()));
    }

    #[test]
    fn a_hundred_failures_of_one_kind_in_a_row_are_enough() {
        let mut streak = Streak::default();
        assert!((0..99).all(|_| !streak.failed("socket", "EMFILE")));
        assert!(streak.failed("socket", "EMFILE"));
        assert!(!streak.failed("connect", "EMFILE"));
        assert!((0..98).all(|_| !streak.failed("connect", "EMFILE")));
        streak.succeeded();
        assert!((0..99).all(|_| !streak.failed("connect", "EMFILE")));
        assert!(streak.failed("connect", "EMFILE"));
    }
}

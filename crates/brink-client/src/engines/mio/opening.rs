//! Opens connections: sockets, addresses, ports, the rate and the window of attempts, and when to give up.
//!
//! Must not send or read on a connection.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};

use brink_host::socket::{set_bind_address_no_port, set_local_port_range};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::options::LoadOptions;
use crate::pacing::{Pacer, share};
use crate::ports::PortWindows;
use crate::stage::Worker;

/// A worker stops trying after this many failures of one kind (phase and errno) in a row: what is refused a
/// hundred times running is refused, and a machine out of descriptors must not be hammered.
const FAILURES_IN_A_ROW_MAX: u32 = 100;

/// Where a worker is on its way up.
#[derive(Debug)]
pub(super) struct Opening {
    target: SockAddr,
    /// Attempts to make so far, of the worker's share.
    pub(super) goal: u64,
    /// The same for all workers together.
    goal_of_all: u64,
    /// Attempts made.
    pub(super) attempted: u64,
    /// Attempts neither opened nor failed yet.
    pub(super) under_way: u32,
    /// Most attempts under way at once.
    pub(super) window: u32,
    /// Spreads attempts where a rate was asked.
    pub(super) pacer: Option<Pacer>,
    gave_up: bool,
    streak: (&'static str, String, u32),
    sources: Vec<Source>,
}

/// One source address (`None`: the kernel's choice), and the ports to ask for on it.
#[derive(Debug)]
struct Source {
    address: Option<IpAddr>,
    ports: Option<PortWindows>,
}

/// What an attempt came to at once.
#[derive(Debug)]
pub(super) enum Attempt {
    /// Connected before connect(2) returned, as on loopback.
    Connected(TcpStream),
    /// Under way.
    Connecting(TcpStream),
    /// Failed: phase and error.
    Failed(&'static str, io::Error),
}

impl Opening {
    pub(super) fn new(worker: &Worker<'_>) -> Self {
        let LoadOptions { target, sources, .. } = worker.options;
        let range = brink_host::ports::ephemeral_range();
        let rotation = worker.options.first_connection_id;
        let ports = range.map(|range| PortWindows::new(range, worker.index, worker.workers, rotation));
        let source = |address| Source { address, ports: ports.clone() };
        let sources = match sources.as_slice() {
            [] => vec![source(None)],
            some => some.iter().map(|&address| source(Some(address))).collect(),
        };
        let window = share(u64::from(worker.options.connect_window), worker.index, worker.workers).max(1);
        Self {
            target: SockAddr::from(*target),
            goal: 0,
            goal_of_all: 0,
            attempted: 0,
            under_way: 0,
            window: window as u32,
            pacer: None,
            gave_up: false,
            streak: ("", String::new(), 0),
            sources,
        }
    }

    /// Goes on to `goal` attempts, from `now_ns` on.
    pub(super) fn raise(&mut self, worker: &Worker<'_>, goal: u64, now_ns: u64) {
        match (&mut self.pacer, worker.options.connect_rate_per_s) {
            (Some(pacer), _) => pacer.resume(self.goal_of_all, now_ns),
            (none, rate) => {
                *none = rate.map(|rate| Pacer::new(rate, worker.index, worker.workers, now_ns));
            }
        }
        self.goal_of_all = goal;
        self.goal = share(goal, worker.index, worker.workers);
    }

    /// Whether there is anything left to try.
    pub(super) fn wants_more(&self) -> bool {
        self.attempted < self.goal && !self.gave_up
    }

    /// Whether every attempt so far has opened or failed, and no more follow.
    pub(super) fn is_done(&self) -> bool {
        !self.wants_more() && self.under_way == 0
    }

    /// An attempt was verified: whatever went wrong before, it works.
    pub(super) fn succeeded(&mut self) {
        self.under_way -= 1;
        self.streak.2 = 0;
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, phase: &'static str, errno: &str) {
        self.under_way -= 1;
        if (self.streak.0, self.streak.1.as_str()) == (phase, errno) {
            self.streak.2 += 1;
        } else {
            self.streak = (phase, errno.to_owned(), 1);
        }
        self.gave_up |= self.streak.2 >= FAILURES_IN_A_ROW_MAX;
    }

    /// Makes one attempt. Each worker takes the sources in turn.
    pub(super) fn attempt(&mut self) -> Attempt {
        let turn = (self.attempted % self.sources.len() as u64) as usize;
        self.attempted += 1;
        self.under_way += 1;
        match self.sources[turn].connect(&self.target) {
            Ok((socket, true)) => Attempt::Connected(socket.into()),
            Ok((socket, false)) => Attempt::Connecting(socket.into()),
            Err((phase, error)) => Attempt::Failed(phase, error),
        }
    }
}

impl Source {
    /// A socket whose connect(2) was called, and whether it is connected already.
    fn connect(&mut self, target: &SockAddr) -> Result<(Socket, bool), (&'static str, io::Error)> {
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
            windowed |= window;
            let error = match socket.connect(target) {
                Ok(()) => {
                    self.took(window);
                    return Ok((socket, true));
                }
                Err(error) => error,
            };
            match Errno::from_io_error(&error) {
                Some(Errno::INPROGRESS) => {
                    self.took(window);
                    return Ok((socket, false));
                }
                Some(Errno::ADDRNOTAVAIL) if window => {
                    self.ports.as_mut().map(PortWindows::full);
                }
                _ => return Err(("connect", error)),
            }
        }
    }

    /// Restricts the socket to the current window, if there is one; `windowed`: it is restricted already.
    /// Returns whether it is now.
    fn ask_for_window(&mut self, socket: &Socket, windowed: bool) -> io::Result<bool> {
        match self.ports.as_ref().and_then(PortWindows::current) {
            Some((low, high)) => match set_local_port_range(socket, low, high) {
                Ok(()) => Ok(true),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::NOPROTOOPT | Errno::INVAL) => {
                        self.ports = None; // Before Linux 6.3.
                        Ok(false)
                    }
                    _ => Err(error),
                },
            },
            None => {
                if windowed {
                    set_local_port_range(socket, 0, 0)?; // Back to the whole range.
                }
                self.ports = None;
                Ok(false)
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
    use crate::live::LiveCounters;
    use crate::options::tests::options;
    use crate::stage::Stage;

    fn check(check: impl FnOnce(&mut Opening)) {
        let (options, live, stage) = (options(10_000), LiveCounters::new(1), Stage::new(1));
        let worker =
            Worker { index: 0, workers: 1, options: &options, stage: &stage, shard: &live.shards()[0] };
        let mut opening = Opening::new(&worker);
        opening.raise(&worker, 10_000, 0);
        opening.under_way = 1_000;
        check(&mut opening);
    }

    #[test]
    fn gives_up_after_a_hundred_failures_of_one_kind_in_a_row() {
        check(|opening| {
            for _ in 0..99 {
                opening.failed("socket", "EMFILE");
            }
            assert!(opening.wants_more());
            opening.failed("socket", "EMFILE");
            assert!(!opening.wants_more());
            assert!(!opening.is_done(), "some are still under way");
        });
    }

    #[test]
    fn goes_on_while_some_succeed_or_failures_differ() {
        check(|opening| {
            for _ in 0..99 {
                opening.failed("connect", "ECONNREFUSED");
            }
            opening.succeeded();
            for _ in 0..99 {
                opening.failed("connect", "ECONNREFUSED");
            }
            opening.failed("connect", "EADDRNOTAVAIL");
            for _ in 0..99 {
                opening.failed("verify", "EADDRNOTAVAIL");
            }
            assert!(opening.wants_more());
        });
    }

    #[test]
    fn a_ramp_of_many_goals_has_one_schedule() {
        // The goals of 8 connections in eight steps, and of 4; at 1/s, ten milliseconds after what they follow.
        for (connections, workers) in [(8, 1), (8, 3), (4, 4)] {
            let options = LoadOptions { connect_rate_per_s: Some(1.0), ..options(connections) };
            let (live, stage) = (LiveCounters::new(workers), Stage::new(workers));
            let worker = |index| {
                let shard = &live.shards()[index as usize];
                Worker { index, workers, options: &options, stage: &stage, shard }
            };
            let mut openings: Vec<_> = (0..workers).map(|index| Opening::new(&worker(index))).collect();
            let (mut now_ns, mut at_s) = (0, Vec::new());
            for goal in 1..=connections {
                for (index, opening) in (0..workers).zip(&mut openings) {
                    opening.raise(&worker(index), goal, now_ns);
                }
                let next = openings.iter_mut().filter(|opening| opening.wants_more()).collect::<Vec<_>>();
                let [opening] = next.try_into().expect("one worker's turn");
                let pacer = opening.pacer.as_mut().unwrap();
                let due_ns = pacer.due_ns(opening.attempted);
                pacer.take(opening.attempted, due_ns);
                opening.attempted += 1;
                at_s.push(due_ns as f64 / 1e9);
                now_ns = due_ns + 10_000_000;
            }
            let expected: Vec<_> = (0..connections).map(|second| second as f64).collect();
            assert_eq!(at_s, expected, "{connections} connections, {workers} workers");
        }
    }
}

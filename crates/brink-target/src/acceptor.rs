//! Takes connections from a listener, and refuses them cleanly where a limit is met.
//!
//! The same for all models. A readiness loop calls [`Acceptor::accept`] until it says
//! `Drained`, and waits in its own way; others give a thread to [`Acceptor::accept_until`].
//! Must not spin, whatever limit is met.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::counters::Counters;
use crate::stop::Stop;

/// Refusals in a row before a pause. With the pause this bounds refusing at 1,600 a second,
/// a few percent of a CPU, however hard the clients knock.
const REFUSALS_PER_PAUSE: u32 = 16;
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// What came of one attempt.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A connection, admitted under the bound.
    Connection(TcpStream),
    /// None is waiting.
    Drained,
    /// A limit was met: not again before this time has passed.
    Pause(Duration),
}

/// How the accepted sockets are to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sockets {
    /// By a thread that waits in read(2).
    Blocking,
    /// By a readiness loop.
    Nonblocking,
}

/// One listener, and what is needed to refuse on it.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: Arc<TcpListener>,
    flags: SocketFlags,
    /// A descriptor held back, so that a connection can still be taken and closed when
    /// the process or the machine has no more. `None` while even that was lost: then it counts as lent.
    spare: Option<OwnedFd>,
    counters: Counters,
    pace: Pace,
    /// A connection was handed over, and nobody has said yet that it could not be served.
    is_handed_over: bool,
}

impl Acceptor {
    /// Makes the listener nonblocking. Accepted sockets have TCP_NODELAY: Linux hands it on
    /// from the listener (the child socket is a copy: `sk_clone_lock` in net/core/sock.c).
    ///
    /// # Errors
    /// If the socket options cannot be set, or no descriptor is left to hold back.
    pub(crate) fn new(listener: Arc<TcpListener>, sockets: Sockets, counters: Counters) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
        let flags = match sockets {
            Sockets::Blocking => SocketFlags::CLOEXEC,
            Sockets::Nonblocking => SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        };
        let spare = Some(open_spare()?);
        Ok(Self { listener, flags, spare, counters, pace: Pace::default(), is_handed_over: false })
    }

    /// Takes the next connection, or refuses it.
    pub(crate) fn accept(&mut self) -> Accepted {
        if std::mem::take(&mut self.is_handed_over) {
            self.pace.accepted();
        }
        self.regain_spare();
        loop {
            match rustix::net::accept_with(&self.listener, self.flags) {
                Ok(_) if !self.counters.admit() => {
                    self.counters.refuse("accept", "max_connections");
                    if let Some(pause) = self.pace.refused() {
                        return Accepted::Pause(pause);
                    }
                }
                Ok(socket) if self.counters.is_spare_lent() => {
                    // The last descriptor there is, held back by this acceptor or another one, who may have let go of
                    // it just now to refuse with: as the spare it lets many be refused cleanly.
                    drop(socket);
                    self.counters.leave();
                    self.regain_spare();
                    self.count(Errno::MFILE);
                    return Accepted::Pause(PAUSE_MIN);
                }
                Ok(socket) => {
                    self.is_handed_over = true;
                    return Accepted::Connection(TcpStream::from(socket));
                }
                Err(Errno::AGAIN) => return Accepted::Drained,
                // The client gave up before it was accepted: no limit of ours.
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error @ (Errno::MFILE | Errno::NFILE)) => {
                    if let Some(end) = self.refuse_with_spare(error) {
                        return end;
                    }
                }
                // ENOBUFS and ENOMEM, and what accept(2) passes on from the network: later, perhaps.
                Err(error) => {
                    self.count(error);
                    return Accepted::Pause(self.pace.failed());
                }
            }
        }
    }

    /// Blocks and accepts until stopped. `begin` starts serving a connection, counted from 0; when
    /// it cannot, it has closed the connection, and that is a refusal in `phase`.
    ///
    /// # Errors
    /// What poll(2) says, other than EINTR.
    pub(crate) fn accept_until(
        &mut self,
        stop: &Stop,
        phase: &str,
        mut begin: impl FnMut(TcpStream, u32) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut accepted: u32 = 0;
        while !stop.requested() {
            let pause = match self.accept() {
                Accepted::Connection(stream) => {
                    let begun = begin(stream, accepted);
                    accepted = accepted.wrapping_add(1);
                    begun.err().and_then(|error| self.refused(phase, &error))
                }
                Accepted::Drained => {
                    self.wait(stop)?;
                    None
                }
                Accepted::Pause(pause) => Some(pause),
            };
            if let Some(pause) = pause {
                stop.wait(pause)?;
            }
        }
        Ok(())
    }

    /// Waits until a connection is there, or a stop.
    fn wait(&self, stop: &Stop) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A connection that was accepted could not be served after all (no thread for it, say).
    /// Returns how long to leave off accepting, if at all.
    pub(crate) fn refused(&mut self, phase: &str, error: &io::Error) -> Option<Duration> {
        self.is_handed_over = false;
        self.counters.refuse(phase, &brink_host::errno::name(error));
        self.pace.refused()
    }

    /// Out of descriptors. accept4(2) looks for a descriptor before it looks for a connection,
    /// so none may be waiting: only closing the spare tells. `None`: one was refused, go on.
    fn refuse_with_spare(&mut self, error: Errno) -> Option<Accepted> {
        if self.spare.is_none() {
            self.regain_spare();
            if !self.somebody_waits() {
                return Some(Accepted::Drained);
            }
            self.count(error);
            return Some(Accepted::Pause(PAUSE_MIN));
        }
        self.counters.lend_spare();
        self.spare = None;
        let taken = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC);
        let end = match taken {
            Ok(socket) => {
                drop(socket);
                self.count(error);
                self.pace.refused().map(Accepted::Pause)
            }
            Err(Errno::AGAIN) => Some(Accepted::Drained),
            Err(Errno::INTR | Errno::CONNABORTED) => None,
            // Somebody else in the process took the descriptor meanwhile.
            Err(_) => {
                self.count(error);
                Some(Accepted::Pause(self.pace.failed()))
            }
        };
        // If this fails, the next round tries again.
        self.regain_spare();
        end
    }

    fn regain_spare(&mut self) {
        if self.spare.is_none() {
            self.spare = open_spare().ok();
            if self.spare.is_some() {
                self.counters.return_spare();
            }
        }
    }

    /// Whether a connection is to be had. When in doubt, yes: the next accept tells.
    fn somebody_waits(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&at_once)) != Ok(0)
    }

    fn count(&self, error: Errno) {
        self.counters.refuse("accept", &brink_host::errno::name(&error.into()));
    }
}

impl AsRawFd for Acceptor {
    fn as_raw_fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }
}

fn open_spare() -> rustix::io::Result<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// When to leave off, and for how long.
#[derive(Debug, Default)]
struct Pace {
    refusals: u32,
    pause: Duration,
}

impl Pace {
    fn accepted(&mut self) {
        *self = Self::default();
    }

    fn refused(&mut self) -> Option<Duration> {
        // A clean refusal: what failed before no longer does.
        self.pause = Duration::ZERO;
        self.refusals += 1;
        if self.refusals < REFUSALS_PER_PAUSE {
            return None;
        }
        self.refusals = 0;
        Some(PAUSE_MIN)
    }

    fn failed(&mut self) -> Duration {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_send_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut acceptor =
            Acceptor::new(Arc::new(listener), Sockets::Nonblocking, Counters::new(None)).unwrap();
        assert!(matches!(acceptor.accept(), Accepted::Drained));
        let _client = TcpStream::connect(address).unwrap();
        let Accepted::Connection(stream) = acceptor.accept() else { panic!("no connection") };
        assert!(stream.nodelay().unwrap());
    }

    #[test]
    fn pauses_grow_to_their_bound_and_end_with_success() {
        let mut pace = Pace::default();
        let pauses: Vec<_> = (0..6).map(|_| pace.failed().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 100, 100]);
        pace.accepted();
        assert_eq!(pace.failed(), PAUSE_MIN);
        let refused: Vec<_> = (0..REFUSALS_PER_PAUSE * 2).filter_map(|_| pace.refused()).collect();
        assert_eq!(refused, [PAUSE_MIN; 2]);
        assert_eq!(pace.failed(), PAUSE_MIN);
    }

    #[test]
    fn who_is_accepted_and_cannot_be_served_is_a_refusal_in_a_row() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new(Arc::new(listener), Sockets::Blocking, Counters::new(None)).unwrap();
        let no_thread = io::Error::from(Errno::AGAIN);
        let mut pauses = 0;
        for _ in 0..REFUSALS_PER_PAUSE {
            let _client = TcpStream::connect(address).unwrap();
            let Accepted::Connection(stream) = acceptor.accept() else { panic!("no connection") };
            drop(stream);
            pauses += u32::from(acceptor.refused("spawn", &no_thread).is_some());
        }
        assert_eq!(pauses, 1);
    }

    #[test]
    fn the_bound_refuses_by_closing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counters = Counters::new(Some(0));
        let mut acceptor = Acceptor::new(Arc::new(listener), Sockets::Blocking, counters.clone()).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        assert!(matches!(acceptor.accept(), Accepted::Drained));
        assert_eq!(io::Read::read(&mut client, &mut [0]).unwrap(), 0);
        assert_eq!(counters.read().refusals[0].error, "max_connections");
    }
}

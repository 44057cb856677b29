//! Waits that block the calling thread in ppoll(2), and bells that end them. Must not spin.

use std::future::ready;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;

use super::hub::Hub;
use super::wait::{Interest, Signal, Wait, Woken};

const NS_PER_S: u64 = 1_000_000_000;
/// A wait that is longer is made in two parts.
const LONG_NS: u64 = 20_000_000;

/// Runs a future whose waits block, so that it is done when it was polled once. Timers of the calling thread are
/// exact from here on: by default the kernel lets them be 50 microseconds late (PR_SET_TIMERSLACK, prctl(2)).
pub(in crate::engines) fn block<F: Future>(future: F) -> F::Output {
    // Where that cannot be had, requests are a little later, which the schedule lag shows.
    let _slack = set_current_timer_slack(NonZeroU64::new(1));
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::yield_now(),
        }
    }
}

/// Wakes all who wait for it at once: an eventfd(2), which stays readable.
#[derive(Debug)]
pub(in crate::engines) struct Bell(OwnedFd);

impl Bell {
    /// A bell that was not rung.
    ///
    /// # Errors
    /// Those of eventfd(2).
    pub(in crate::engines) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Rings from here on.
    ///
    /// # Errors
    /// Those of write(2).
    pub(in crate::engines) fn ring(&self) -> io::Result<()> {
        match rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            // Full: it rings.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Bells of lanes that wait together: one for each signal, rung once.
#[derive(Debug)]
pub(in crate::engines) struct Bells {
    begin: Bell,
    free: Bell,
    over: Bell,
    close: Bell,
}

impl Bells {
    /// Bells that were not rung.
    ///
    /// # Errors
    /// Those of eventfd(2).
    pub(in crate::engines) fn new() -> io::Result<Self> {
        Ok(Self { begin: Bell::new()?, free: Bell::new()?, over: Bell::new()?, close: Bell::new()? })
    }

    /// Gives a signal. The end of the run is every signal.
    ///
    /// # Errors
    /// Those of write(2).
    pub(in crate::engines) fn ring(&self, signal: Signal) -> io::Result<()> {
        if signal == Signal::Close {
            self.begin.ring()?;
            self.free.ring()?;
            self.over.ring()?;
        }
        self.of(signal).ring()
    }

    fn of(&self, signal: Signal) -> &Bell {
        match signal {
            Signal::Begin => &self.begin,
            Signal::Free => &self.free,
            Signal::Over => &self.over,
            Signal::Close => &self.close,
        }
    }
}

/// Waits of one lane that block.
pub(in crate::engines) struct Blocking<'a> {
    hub: Arc<Hub>,
    bells: &'a Bells,
}

impl<'a> Blocking<'a> {
    /// Of one of the lanes that hear these bells.
    pub(in crate::engines) fn new(hub: Arc<Hub>, bells: &'a Bells) -> Self {
        Self { hub, bells }
    }

    fn wait_here(
        &self,
        socket: Option<(&TcpStream, Interest)>,
        until_ns: Option<u64>,
        signal: Signal,
    ) -> io::Result<Woken> {
        let bell = self.bells.of(signal);
        loop {
            let left_ns = until_ns.map(|until_ns| until_ns.saturating_sub(self.hub.stage.now_ns()));
            match poll_both(bell, socket, left_ns.map(first_part_ns)) {
                Ok((_, true)) => return Ok(Woken::Ready),
                Ok((true, false)) => return Ok(Woken::Called),
                Ok((false, false)) if until_ns.is_some_and(|ns| ns <= self.hub.stage.now_ns()) => {
                    return Ok(Woken::Time);
                }
                Ok((false, false)) => {}
                // A signal(7): whoever waits looks again.
                Err(Errno::INTR) => return Ok(Woken::Called),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How long to wait at first of so many nanoseconds: ppoll(2) may be late by a thousandth of its timeout, up to 100 ms
/// (`select_estimate_accuracy`, fs/select.c), whatever the timer slack. What is left then is short enough.
fn first_part_ns(left_ns: u64) -> u64 {
    if left_ns > LONG_NS { left_ns - left_ns / 500 } else { left_ns }
}

/// Waits; returns whether the bell rings, and whether the socket is ready.
fn poll_both(
    bell: &Bell,
    socket: Option<(&TcpStream, Interest)>,
    timeout_ns: Option<u64>,
) -> Result<(bool, bool), Errno> {
    let timeout =
        timeout_ns.map(|ns| Timespec { tv_sec: (ns / NS_PER_S) as i64, tv_nsec: (ns % NS_PER_S) as _ });
    let called = PollFd::new(&bell.0, PollFlags::IN);
    match socket {
        None => poll(&mut [called], timeout.as_ref()).map(|count| (count > 0, false)),
        Some((socket, interest)) => {
            let mut both = [called, PollFd::new(socket, flags(interest))];
            let polled = poll(&mut both, timeout.as_ref());
            polled.map(|_| (!both[0].revents().is_empty(), !both[1].revents().is_empty()))
        }
    }
}

fn flags(interest: Interest) -> PollFlags {
    match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::Both => PollFlags::IN | PollFlags::OUT,
    }
}

impl Wait for Blocking<'_> {
    type Socket = TcpStream;

    fn adopt(&self, stream: TcpStream) -> io::Result<TcpStream> {
        Ok(stream)
    }

    fn wait(
        &self,
        socket: Option<(&TcpStream, Interest)>,
        until_ns: Option<u64>,
        signal: Signal,
    ) -> impl Future<Output = io::Result<Woken>> + Send {
        ready(self.wait_here(socket, until_ns, signal))
    }

    fn read(mut socket: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
        socket.read(room)
    }

    fn write(mut socket: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        socket.write_vectored(pieces)
    }

    fn take_error(socket: &TcpStream) -> io::Result<Option<io::Error>> {
        socket.take_error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_rung(bell: &Bell) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&bell.0, PollFlags::IN)], Some(&now)).unwrap() > 0
    }

    #[test]
    fn a_bell_that_was_rung_rings_on() {
        let bell = Bell::new().unwrap();
        assert!(!is_rung(&bell));
        bell.ring().unwrap();
        bell.ring().unwrap();
        assert!(is_rung(&bell) && is_rung(&bell));
    }

    #[test]
    fn a_long_wait_wakes_early_enough_to_be_exact() {
        assert_eq!(first_part_ns(20_000_000), 20_000_000);
        for left_ns in [21_000_000, NS_PER_S, 3_600 * NS_PER_S] {
            // A thousandth late is still before the end.
            let latest_ns = first_part_ns(left_ns) * 1_001 / 1_000;
            assert!(latest_ns < left_ns && left_ns - latest_ns < left_ns / 900, "{left_ns}");
        }
    }

    #[test]
    fn the_end_is_every_signal() {
        let bells = Bells::new().unwrap();
        bells.ring(Signal::Over).unwrap();
        let rung = |bells: &Bells| {
            [Signal::Begin, Signal::Free, Signal::Over, Signal::Close].map(|signal| is_rung(bells.of(signal)))
        };
        assert_eq!(rung(&bells), [false, false, true, false]);
        bells.ring(Signal::Close).unwrap();
        assert_eq!(rung(&bells), [true; 4]);
    }

    #[test]
    fn a_future_that_yields_is_asked_again() {
        let mut turns = 0;
        let twice = std::future::poll_fn(|_| {
            turns += 1;
            if turns < 3 { Poll::Pending } else { Poll::Ready(turns) }
        });
        assert_eq!(block(twice), 3);
    }
}

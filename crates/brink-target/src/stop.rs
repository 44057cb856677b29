//! How a target is asked to end: one flag, and one descriptor that every kind of
//! loop can wait on (blocking poll, tokio, mio).
//!
//! Must not know what waits on it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

/// A request to end, shared by all that must heed it. Once made it stands.
#[derive(Debug, Clone)]
pub struct Stop {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    requested: AtomicBool,
    /// An eventfd(2) that is written once and never read: it stays readable, so whoever
    /// waits on it wakes, however late it began to wait.
    event: OwnedFd,
}

impl Stop {
    /// A stop that nobody has requested. Holds one descriptor.
    ///
    /// # Errors
    /// What eventfd(2) says, such as EMFILE.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { shared: Arc::new(Shared { requested: AtomicBool::new(false), event }) })
    }

    /// Asks for the end, and wakes all that wait.
    pub fn request(&self) {
        if !self.shared.requested.swap(true, Ordering::AcqRel) {
            let one = 1_u64.to_ne_bytes();
            // eventfd(2): adding 1 to a counter of 0 cannot block and has no error of its own.
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&self.shared.event, &one));
            debug_assert_eq!(written, Ok(one.len()));
        }
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.shared.requested.load(Ordering::Acquire)
    }

    /// Waits for the request, at most `timeout`. Returns whether it was made.
    ///
    /// # Errors
    /// What poll(2) says, other than EINTR.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let end = Instant::now() + timeout;
        while !self.requested() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let left = left.try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            match poll(&mut [PollFd::new(&self.shared.event, PollFlags::IN)], Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}

impl AsRawFd for Stop {
    fn as_raw_fd(&self) -> RawFd {
        self.shared.event.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_who_waits_and_who_comes_late() {
        let stop = Stop::new().unwrap();
        assert!(!stop.wait(Duration::from_millis(1)).unwrap());
        let waiter = std::thread::spawn({
            let stop = stop.clone();
            move || stop.wait(Duration::from_secs(60)).unwrap()
        });
        stop.request();
        stop.request();
        assert!(waiter.join().unwrap());
        assert!(stop.wait(Duration::from_secs(60)).unwrap());
        assert!(stop.requested());
    }
}

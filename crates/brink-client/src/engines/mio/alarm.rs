//! Wakes a worker's poll at the nanosecond where something is due: one timerfd(2) per worker, since the timeout
//! of epoll_wait(2) counts whole milliseconds and is rounded up.
//!
//! Must not decide what is due: the clock of the stage does.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use ::mio::unix::SourceFd;
use ::mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::stage::Stage;

const NS_PER_S: u64 = 1_000_000_000;

/// One worker's timer.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: OwnedFd,
    /// What CLOCK_MONOTONIC showed when the run began: the timer counts on it, the stage from the run's begin.
    epoch_ns: u64,
    /// When it rings, if it has not yet.
    armed_ns: Option<u64>,
}

impl Alarm {
    /// A timer that is registered once, edge-triggered. It is never read: every expiry is an event of its own
    /// (`timerfd_triggered`, fs/timerfd.c, wakes whoever polls).
    ///
    /// # Errors
    /// Those of timerfd_create(2) and epoll_ctl(2).
    pub(super) fn new(stage: &Stage, registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, epoch_ns: stage.epoch_ns(), armed_ns: None })
    }

    /// Rings at `due_ns` since the run began. No system call if that is what it does already.
    ///
    /// # Errors
    /// Those of timerfd_settime(2).
    pub(super) fn arm(&mut self, due_ns: u64) -> io::Result<()> {
        if self.armed_ns == Some(due_ns) {
            return Ok(());
        }
        // The kernel takes a signed number; 292 years are never.
        let at_ns = self.epoch_ns.saturating_add(due_ns).min(i64::MAX as u64);
        let it_value = Timespec { tv_sec: (at_ns / NS_PER_S) as i64, tv_nsec: (at_ns % NS_PER_S) as _ };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval, it_value })?;
        self.armed_ns = Some(due_ns);
        Ok(())
    }

    /// It rang; an event said so.
    pub(super) fn rang(&mut self) {
        self.armed_ns = None;
    }
}

#[cfg(test)]
mod tests {
    use ::mio::{Events, Poll};

    use super::*;

    impl Alarm {
        pub(crate) fn armed_ns(&self) -> Option<u64> {
            self.armed_ns
        }
    }

    #[test]
    fn rings_each_time_and_never_early() {
        let (stage, mut poll) = (Stage::new(1, None), Poll::new().unwrap());
        let mut alarm = Alarm::new(&stage, poll.registry(), Token(7)).unwrap();
        let mut events = Events::with_capacity(4);
        for turn in 0..20 {
            let due_ns = stage.now_ns() + 50_000 * turn;
            alarm.arm(due_ns).unwrap();
            // Without an end: a bell that does not ring hangs the test.
            poll.poll(&mut events, None).unwrap();
            assert!(stage.now_ns() >= due_ns, "early");
            assert_eq!(events.iter().map(|event| event.token()).collect::<Vec<_>>(), [Token(7)]);
            assert_eq!(alarm.armed_ns(), Some(due_ns));
            alarm.rang();
        }
    }

    #[test]
    fn what_is_due_sooner_rings_sooner() {
        let (stage, mut poll) = (Stage::new(1, None), Poll::new().unwrap());
        let mut alarm = Alarm::new(&stage, poll.registry(), Token(7)).unwrap();
        alarm.arm(u64::MAX).unwrap();
        alarm.arm(0).unwrap();
        poll.poll(&mut Events::with_capacity(4), None).unwrap();
    }
}

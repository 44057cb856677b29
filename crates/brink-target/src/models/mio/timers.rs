//! A worker's waits: a queue in order of deadline, and one timerfd(2) that wakes the
//! worker's poll for the earliest. Poll's own timeout counts whole milliseconds.
//!
//! Never early: what is due is decided by the clock, not by the wake-up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

const NS_PER_S: u64 = 1_000_000_000;
/// Entries of closed connections that are put up with before the queue is looked through.
const STALE_MAX: usize = 1024;

/// One wait: whose, and which of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wait {
    deadline_ns: u64,
    /// Chosen by whoever waits.
    pub(super) key: u32,
    /// Tells apart two waits of one key. Wraps after four billion, by when the other is long over.
    pub(super) id: u32,
}

/// The queue of one worker.
#[derive(Debug)]
pub(super) struct Timers {
    queue: BinaryHeap<Reverse<Wait>>,
    timer: OwnedFd,
    /// What the timer is set to.
    armed_ns: Option<u64>,
    id_next: u32,
    stale: usize,
}

impl Timers {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { queue: BinaryHeap::new(), timer, armed_ns: None, id_next: 0, stale: 0 })
    }

    /// Starts a wait at `now_ns`. Returns its id.
    pub(super) fn start(&mut self, key: u32, now_ns: u64, delay: Duration) -> u32 {
        let id = self.id_next;
        self.id_next = id.wrapping_add(1);
        let deadline_ns = now_ns + delay.as_nanos() as u64;
        self.queue.push(Reverse(Wait { deadline_ns, key, id }));
        id
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next wait that was over at `now_ns`.
    pub(super) fn due(&mut self, now_ns: u64) -> Option<Wait> {
        let Reverse(first) = self.queue.peek()?;
        if first.deadline_ns > now_ns {
            return None;
        }
        self.queue.pop().map(|Reverse(wait)| wait)
    }

    /// Says that a wait will not be waited for, because its connection has closed. Its entry goes
    /// when most are like it, so that clients who ask for an hour and leave cost nothing for long.
    pub(super) fn abandon(&mut self, is_waited_for: impl Fn(Wait) -> bool) {
        self.stale += 1;
        if self.stale > STALE_MAX && self.stale > self.queue.len() / 2 {
            self.queue.retain(|&Reverse(wait)| is_waited_for(wait));
            self.stale = 0;
        }
    }

    /// Sets the timer to the earliest deadline, if it is not so already.
    pub(super) fn arm(&mut self) -> io::Result<()> {
        let Some(&Reverse(Wait { deadline_ns, .. })) = self.queue.peek() else { return Ok(()) };
        if self.armed_ns == Some(deadline_ns) {
            return Ok(());
        }
        let it_value =
            Timespec { tv_sec: (deadline_ns / NS_PER_S) as i64, tv_nsec: (deadline_ns % NS_PER_S) as _ };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval, it_value })?;
        self.armed_ns = Some(deadline_ns);
        Ok(())
    }
}

impl AsRawFd for Timers {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }
}

/// CLOCK_MONOTONIC, which the timer counts on too.
pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * NS_PER_S + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_due_in_order_and_never_early() {
        let mut timers = Timers::new().unwrap();
        for (key, ns) in [(1, 30), (2, 10), (3, 20)] {
            timers.start(key, 100, Duration::from_nanos(ns));
        }
        assert_eq!(timers.due(109), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.due(120)).map(|wait| wait.key).collect();
        assert_eq!(due, [2, 3]);
        assert_eq!(timers.due(130).map(|wait| wait.key), Some(1));
    }

    #[test]
    fn what_nobody_waits_for_does_not_pile_up() {
        let mut timers = Timers::new().unwrap();
        let kept = timers.start(7, 0, Duration::from_secs(9));
        for _ in 0..20_000 {
            timers.start(1, 0, Duration::from_secs(3600));
            timers.abandon(|wait| wait.id == kept);
        }
        assert!(timers.queue.len() <= 2 * STALE_MAX, "{}", timers.queue.len());
        assert_eq!(timers.due(u64::MAX).map(|wait| wait.key), Some(7));
    }

    #[test]
    fn the_timer_is_on_our_clock() {
        let mut timers = Timers::new().unwrap();
        let begun = now_ns();
        timers.start(0, begun, Duration::from_millis(2));
        timers.arm().unwrap();
        let mut fds = [rustix::event::PollFd::new(&timers.timer, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut fds, None), Ok(1));
        assert!(timers.due(now_ns()).is_some(), "woken before the deadline");
    }
}

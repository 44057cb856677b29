//! Live counters that many lanes write: sharded, so that they seldom meet, and summed for whoever shows them.
//!
//! Must not be where results come from.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::live::LiveSnapshot;

/// Counters of some of the lanes. 128 bytes apart: x86 prefetches lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Count {
    attempted: AtomicU64,
    opened: AtomicU64,
    failed: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    sent: AtomicU64,
    settled: AtomicU64,
    completed: AtomicU64,
}

/// All of them.
#[derive(Debug)]
pub(in crate::engines) struct Counts(Box<[Count]>);

impl Counts {
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards.max(1)).map(|_| Count::default()).collect())
    }

    /// The counters of a lane.
    pub(super) fn of(&self, lane: u32) -> &Count {
        &self.0[lane as usize % self.0.len()]
    }

    /// Sums, at almost one instant.
    pub(in crate::engines) fn sums(&self) -> LiveSnapshot {
        let mut sums = LiveSnapshot::default();
        for count in &self.0 {
            // What ends is read first, so that nothing has ended that did not begin.
            let [down, settled] = [&count.down, &count.settled].map(|count| count.load(Ordering::Acquire));
            sums.attempted += count.attempted.load(Ordering::Relaxed);
            sums.opened += count.opened.load(Ordering::Relaxed);
            sums.failed += count.failed.load(Ordering::Relaxed);
            sums.completed += count.completed.load(Ordering::Relaxed);
            sums.live += count.up.load(Ordering::Relaxed).saturating_sub(down);
            sums.in_flight += count.sent.load(Ordering::Relaxed).saturating_sub(settled);
        }
        sums
    }
}

impl Count {
    pub(super) fn attempt(&self) {
        self.attempted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn open(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.up.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn open_again(&self) {
        self.up.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.down.fetch_add(1, Ordering::Release);
    }

    pub(super) fn send(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is no longer under way; `completed` if it was answered.
    pub(super) fn settle(&self, completed: bool) {
        if completed {
            self.completed.fetch_add(1, Ordering::Relaxed);
        }
        self.settled.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_all_lanes() {
        let counts = Counts::new(2);
        for lane in 0..4 {
            let count = counts.of(lane);
            count.attempt();
            count.open();
            count.send();
            count.send();
            count.settle(lane > 0);
        }
        counts.of(3).close();
        counts.of(1).fail();
        let sums = LiveSnapshot { attempted: 4, opened: 4, failed: 1, live: 3, in_flight: 4, completed: 3 };
        assert_eq!(counts.sums(), sums);
    }
}

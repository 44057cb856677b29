//! Live counters that many lanes write: sharded, so that they seldom meet, and summed for whoever shows them.
//! A request costs three locked instructions on a line of its lanes: sent, answered, and how long it took.
//!
//! Must not be where results come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::live::{LatencyTable, LiveSnapshot};

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
    completed: AtomicU64,
    unanswered: AtomicU64,
}

/// All of them, with a table of latencies beside each.
#[derive(Debug)]
pub(in crate::engines) struct Counts {
    counts: Box<[Count]>,
    latencies: Arc<[LatencyTable]>,
}

impl Counts {
    /// As many as there are tables: at least one.
    pub(super) fn new(latencies: Arc<[LatencyTable]>) -> Self {
        Self { counts: latencies.iter().map(|_| Count::default()).collect(), latencies }
    }

    /// The counters of a lane.
    pub(super) fn of(&self, lane: u32) -> &Count {
        &self.counts[lane as usize % self.counts.len()]
    }

    /// A lane's request was answered, after so long.
    pub(super) fn answered(&self, lane: u32, latency_ns: u64) {
        self.latencies[lane as usize % self.latencies.len()].count_among_others(latency_ns);
        self.of(lane).completed.fetch_add(1, Ordering::Release);
    }

    /// Sums, at almost one instant.
    pub(in crate::engines) fn sums(&self) -> LiveSnapshot {
        let mut sums = LiveSnapshot::default();
        for count in &self.counts {
            // What ends is read first, so that nothing has ended that did not begin.
            let [down, completed, unanswered] =
                [&count.down, &count.completed, &count.unanswered].map(|count| count.load(Ordering::Acquire));
            sums.attempted += count.attempted.load(Ordering::Relaxed);
            sums.opened += count.opened.load(Ordering::Relaxed);
            sums.failed += count.failed.load(Ordering::Relaxed);
            sums.completed += completed;
            sums.live += count.up.load(Ordering::Relaxed).saturating_sub(down);
            sums.in_flight += count.sent.load(Ordering::Relaxed).saturating_sub(completed + unanswered);
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

    /// A request is no longer under way, and was not answered.
    pub(super) fn give_up(&self) {
        self.unanswered.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_all_lanes() {
        let counts = Counts::new(LatencyTable::several(2).into());
        for lane in 0..4 {
            let count = counts.of(lane);
            count.attempt();
            count.open();
            count.send();
            count.send();
            match lane {
                0 => count.give_up(),
                _ => counts.answered(lane, 1_000_000),
            }
        }
        counts.of(3).close();
        counts.of(1).fail();
        let sums = LiveSnapshot { attempted: 4, opened: 4, failed: 1, live: 3, in_flight: 4, completed: 3 };
        assert_eq!(counts.sums(), sums);
    }
}

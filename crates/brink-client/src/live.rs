//! Counters that a progress line reads while a run goes on: one cache line group per worker, summed on read.
//!
//! Must not be where results come from: those are the workers' samples.

use std::sync::atomic::{AtomicU64, Ordering};

/// What one worker counts. Only that worker writes, so that a count is a load and a store, without a locked
/// instruction. 128 bytes apart: x86 prefetches lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Shard {
    attempted: AtomicU64,
    opened: AtomicU64,
    failed: AtomicU64,
    live: AtomicU64,
    in_flight: AtomicU64,
    completed: AtomicU64,
}

/// Sums over all workers at about one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LiveSnapshot {
    /// Connections that were tried.
    pub attempted: u64,
    /// Connections that opened and echoed once.
    pub opened: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Connections open now.
    pub live: u64,
    /// Requests sent and not yet answered; verifying echoes are not counted.
    pub in_flight: u64,
    /// Requests answered since the run began, warm-up included; verifying echoes are not counted.
    pub completed: u64,
}

/// Counters of one run. Made by the caller, who reads them from any thread.
#[derive(Debug)]
pub struct LiveCounters {
    shards: Box<[Shard]>,
}

impl LiveCounters {
    /// Counters for a run with this many workers ([`Engine::workers`](crate::Engine::workers)).
    #[must_use]
    pub fn new(workers: u32) -> Self {
        Self { shards: (0..workers).map(|_| Shard::default()).collect() }
    }

    /// Sums. The workers go on meanwhile, so the sums belong to almost, not exactly, one instant.
    #[must_use]
    pub fn snapshot(&self) -> LiveSnapshot {
        self.shards.iter().fold(LiveSnapshot::default(), |sum, shard| LiveSnapshot {
            attempted: sum.attempted + shard.attempted.load(Ordering::Relaxed),
            opened: sum.opened + shard.opened.load(Ordering::Relaxed),
            failed: sum.failed + shard.failed.load(Ordering::Relaxed),
            live: sum.live + shard.live.load(Ordering::Relaxed),
            in_flight: sum.in_flight + shard.in_flight.load(Ordering::Relaxed),
            completed: sum.completed + shard.completed.load(Ordering::Relaxed),
        })
    }

    pub(crate) fn shards(&self) -> &[Shard] {
        &self.shards
    }
}

impl Shard {
    #[cfg(test)]
    pub(crate) fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Takes over what an engine counted elsewhere for this worker.
    pub(crate) fn set(&self, sums: LiveSnapshot) {
        let LiveSnapshot { attempted, opened, failed, live, in_flight, completed } = sums;
        for (count, sum) in [
            (&self.attempted, attempted),
            (&self.opened, opened),
            (&self.failed, failed),
            (&self.live, live),
            (&self.in_flight, in_flight),
            (&self.completed, completed),
        ] {
            count.store(sum, Ordering::Relaxed);
        }
    }

    pub(crate) fn attempt(&self) {
        add(&self.attempted);
    }

    pub(crate) fn fail(&self) {
        add(&self.failed);
    }

    pub(crate) fn open(&self) {
        add(&self.opened);
        add(&self.live);
    }

    pub(crate) fn open_again(&self) {
        add(&self.live);
    }

    pub(crate) fn close(&self) {
        sub(&self.live, 1);
    }

    pub(crate) fn send(&self) {
        add(&self.in_flight);
    }

    /// A request is no longer under way; `completed` if it was answered.
    pub(crate) fn settle(&self, completed: bool) {
        sub(&self.in_flight, 1);
        if completed {
            add(&self.completed);
        }
    }
}

fn add(count: &AtomicU64) {
    count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn sub(count: &AtomicU64, by: u64) {
    let now = count.load(Ordering::Relaxed);
    debug_assert!(now >= by, "a live counter went below zero");
    count.store(now.saturating_sub(by), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_the_workers() {
        let live = LiveCounters::new(2);
        for shard in live.shards() {
            shard.attempt();
            shard.attempt();
            shard.open();
            shard.fail();
            shard.send();
            shard.send();
            shard.settle(true);
        }
        let sums = LiveSnapshot { attempted: 4, opened: 2, failed: 2, live: 2, in_flight: 2, completed: 2 };
        assert_eq!(live.snapshot(), sums);
        live.shards()[1].close();
        assert_eq!(live.snapshot().live, 1);
    }

    #[test]
    fn shards_do_not_share_a_cache_line() {
        assert!(align_of::<Shard>() >= 128 && size_of::<Shard>() == 128);
    }
}

//! Counters that a progress line reads while a run goes on: cache lines of its own for each worker, summed on read.
//!
//! Must not be where results come from: those are the workers' samples.

mod failures;
mod latency;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

pub use self::failures::LiveFailures;
pub(crate) use self::failures::{count_in, merge};
pub use self::latency::{Latencies, LatencyGauge, LatencyTable, bounds_ns};

use crate::samples::FailureCount;

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
    /// How long requests took: the tables of this worker, which it makes itself.
    latencies: OnceLock<Arc<[LatencyTable]>>,
    failures: Arc<LiveFailures>,
}

/// Sums over all workers at about one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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

    /// How long the requests took that were answered since the gauge's last look, warm-up included, and also those
    /// answered with a status that is a failure. From where the clock of a request starts, see
    /// [`Workload`](crate::Workload).
    pub fn latencies(&self, gauge: &mut LatencyGauge) -> Latencies {
        gauge.since(
            self.shards.iter().filter_map(|shard| shard.latencies.get()).flat_map(|tables| tables.iter()),
        )
    }

    /// How many failures there were: [`failures`](Self::failures) says the same as before where this does. Takes no
    /// lock.
    #[must_use]
    pub fn failures_in_all(&self) -> u64 {
        self.shards.iter().map(|shard| shard.failures.in_all()).sum()
    }

    /// What failed so far, by phase and errno, slow connects included.
    #[must_use]
    pub fn failures(&self) -> Vec<FailureCount> {
        let mut sum = Vec::new();
        self.shards.iter().for_each(|shard| shard.failures.add_to(&mut sum));
        sum
    }

    /// One for each worker.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }
}

impl Shard {
    #[cfg(test)]
    pub(crate) fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Makes so many latency tables for this worker: once, on its own thread, so that they are near it.
    pub(crate) fn make_latencies(&self, tables: usize) -> Arc<[LatencyTable]> {
        Arc::clone(self.latencies.get_or_init(|| LatencyTable::several(tables).into()))
    }

    /// Where this worker counts what fails.
    pub(crate) fn failures(&self) -> Arc<LiveFailures> {
        Arc::clone(&self.failures)
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

    /// A request is sent.
    pub fn send(&self) {
        add(&self.in_flight);
    }

    /// A request is no longer under way; `completed` if it was answered.
    pub fn settle(&self, completed: bool) {
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

//! When to look for timeouts, and at how many connections: a cursor that goes round, as values.
//!
//! Must not read a clock or know what a connection does.

use std::time::Duration;

use crate::options::LoadOptions;
use crate::pacing::nanoseconds;

/// A round has at least so many ticks, where ticks are long enough.
const TICKS_MIN: u64 = 16;
/// A tick is never shorter: what epoll_wait(2) can wait for at all.
const TICK_NS_MIN: u64 = 1_000_000;
/// A round is never longer.
const ROUND_MAX: Duration = Duration::from_secs(1);
/// Connections looked at in one tick, 512 KiB of them: tens of microseconds in which nothing else is done.
const CHUNK_MAX: u64 = 16_384;

/// A worker's cursor, and how long what it looks at may take.
#[derive(Debug)]
pub(super) struct Sweep {
    next: usize,
    chunk: usize,
    tick_ns: u64,
    /// When the next tick is.
    pub(super) due_ns: u64,
    /// How long a connect or a verifying echo may take.
    pub(super) verify_timeout_ns: u64,
    /// How long the reply to a request of the workload may take.
    pub(super) reply_timeout_ns: u64,
}

impl Sweep {
    /// A cursor over `connections` places. It goes round within an eighth of the timeout, unless that made ticks
    /// too short or too long.
    pub(super) fn new(options: &LoadOptions, connections: u64) -> Self {
        let round_ns = nanoseconds((options.timeout / 8).min(ROUND_MAX));
        let ticks = TICKS_MIN.max(connections.div_ceil(CHUNK_MAX)).min(round_ns / TICK_NS_MIN).max(1);
        Self {
            next: 0,
            chunk: connections.div_ceil(ticks).min(CHUNK_MAX) as usize,
            tick_ns: (round_ns / ticks).max(TICK_NS_MIN),
            due_ns: 0,
            verify_timeout_ns: nanoseconds(options.timeout),
            reply_timeout_ns: nanoseconds(options.reply_timeout()),
        }
    }

    /// Begins a tick: returns how many places to look at, of `connections` that there are so far.
    pub(super) fn tick(&mut self, now_ns: u64, connections: usize) -> usize {
        self.due_ns = now_ns.saturating_add(self.tick_ns);
        self.chunk.min(connections)
    }

    /// The place to look at, and moves on.
    pub(super) fn take(&mut self, connections: usize) -> usize {
        let place = self.next;
        self.next = if place + 1 < connections { place + 1 } else { 0 };
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::options;

    fn sweep(timeout: Duration, connections: u64) -> Sweep {
        Sweep::new(&LoadOptions { timeout, ..options(connections) }, connections)
    }

    /// How long a round takes.
    fn round_ns(sweep: &Sweep, connections: u64) -> u64 {
        connections.div_ceil(sweep.chunk as u64) * sweep.tick_ns
    }

    #[test]
    fn a_round_takes_an_eighth_of_the_timeout_at_most() {
        for ms in [8, 10, 40, 80, 100, 640, 5_000, 60_000] {
            for connections in [1, 10, 1_000, 16_384] {
                let sweep = sweep(Duration::from_millis(ms), connections);
                assert!(
                    round_ns(&sweep, connections) <= ms * 1_000_000 / 8,
                    "{ms} ms, {connections}: {sweep:?}"
                );
                assert!(sweep.tick_ns >= TICK_NS_MIN, "{ms} ms, {connections}: {sweep:?}");
            }
        }
        let many = sweep(Duration::from_secs(5), 1_000_000);
        assert!(round_ns(&many, 1_000_000) <= 625_000_000 && many.chunk as u64 <= CHUNK_MAX, "{many:?}");
    }

    #[test]
    fn short_timeouts_and_many_connections_bound_the_work() {
        let short = sweep(Duration::from_millis(1), 1_000);
        assert_eq!((short.tick_ns, short.chunk), (TICK_NS_MIN, 1_000));
        let both = sweep(Duration::from_nanos(1), 1_000_000);
        assert_eq!((both.tick_ns, both.chunk as u64), (TICK_NS_MIN, CHUNK_MAX));
        assert_eq!(sweep(Duration::MAX, 10).tick_ns * TICKS_MIN, 1_000_000_000);
    }

    #[test]
    fn every_place_is_looked_at_in_a_round() {
        let mut sweep = sweep(Duration::from_secs(1), 100);
        let mut seen = Vec::new();
        while seen.len() < 100 {
            for _ in 0..sweep.tick(0, 100) {
                seen.push(sweep.take(100));
            }
        }
        seen.truncate(100);
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        assert_eq!(sweep.tick(0, 0), 0);
    }
}

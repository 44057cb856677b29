//! What a target counts, and its own bound on connections.
//!
//! Counting is spread over shards so that workers do not write to one cache line.
//! The lock is touched only when something is refused. Must not decide anything else.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use brink_wire::control::{self, Refusal};
use brink_wire::frame::FrameError;

/// Enough that threads running at once rarely meet in one.
const SHARDS: usize = 64;

/// Counters of one target; clones count into the same ones.
#[derive(Debug, Clone)]
pub struct Counters {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shards: Box<[Shard]>,
    bound: Option<Bound>,
    refusals: Mutex<Vec<Refusal>>,
    spares_lent: AtomicU64,
}

/// 128 bytes: adjacent cache lines are fetched in pairs on x86.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    accepted: AtomicU64,
    closed: AtomicU64,
    requests: AtomicU64,
    frame_errors: AtomicU64,
}

/// One line that all workers share; it exists only if a bound was asked for.
#[derive(Debug)]
struct Bound {
    connections_max: u64,
    taken: AtomicU64,
}

impl Counters {
    /// All zero. With `connections_max`, [`admit`](Self::admit) refuses what is over it.
    #[must_use]
    pub fn new(connections_max: Option<u64>) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        let bound =
            connections_max.map(|connections_max| Bound { connections_max, taken: AtomicU64::new(0) });
        Self {
            shared: Arc::new(Shared {
                shards,
                bound,
                refusals: Mutex::default(),
                spares_lent: AtomicU64::new(0),
            }),
        }
    }

    /// Takes a place for a connection, if the bound leaves one. To be given up with [`leave`](Self::leave).
    pub(crate) fn admit(&self) -> bool {
        let Some(bound) = &self.shared.bound else { return true };
        bound
            .taken
            .fetch_update(Relaxed, Relaxed, |taken| (taken < bound.connections_max).then_some(taken + 1))
            .is_ok()
    }

    /// Gives up the place of an admitted connection.
    pub(crate) fn leave(&self) {
        if let Some(bound) = &self.shared.bound {
            bound.taken.fetch_sub(1, Relaxed);
        }
    }

    /// An acceptor gave up the descriptor that it holds back, to refuse with: one that any of them gets now is that.
    pub(crate) fn lend_spare(&self) {
        self.shared.spares_lent.fetch_add(1, Relaxed);
    }

    /// It has one again.
    pub(crate) fn return_spare(&self) {
        self.shared.spares_lent.fetch_sub(1, Relaxed);
    }

    /// Whether an acceptor of this target is without.
    pub(crate) fn is_spare_lent(&self) -> bool {
        self.shared.spares_lent.load(Relaxed) > 0
    }

    /// A connection was handed to the model.
    pub(crate) fn opened(&self, shard: usize) {
        self.shard(shard).accepted.fetch_add(1, Relaxed);
    }

    /// A connection that was [`opened`](Self::opened) has ended.
    pub(crate) fn closed(&self, shard: usize) {
        self.shard(shard).closed.fetch_add(1, Relaxed);
    }

    /// Requests were answered.
    pub(crate) fn answered(&self, shard: usize, requests: u64) {
        self.shard(shard).requests.fetch_add(requests, Relaxed);
    }

    /// A connection is closed because its bytes are no frame.
    pub(crate) fn frame_error(&self, shard: usize, error: FrameError) {
        self.shard(shard).frame_errors.fetch_add(1, Relaxed);
        self.refuse("frame", error.name());
    }

    /// Something was refused or failed. `error` comes from a fixed set (errno names and ours),
    /// so the list stays short.
    pub(crate) fn refuse(&self, phase: &str, error: &str) {
        let mut refusals = self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        match refusals.iter_mut().find(|r| r.phase == phase && r.error == error) {
            Some(refusal) => refusal.count += 1,
            None => refusals.push(Refusal { phase: phase.to_owned(), error: error.to_owned(), count: 1 }),
        }
    }

    /// As of now. `live` is never too low by a connection counted closed before it was counted open.
    #[must_use]
    pub fn read(&self) -> control::Counters {
        let sum = |of: fn(&Shard) -> &AtomicU64| -> u64 {
            self.shared.shards.iter().map(|shard| of(shard).load(Relaxed)).sum()
        };
        let closed = sum(|shard| &shard.closed);
        let accepted = sum(|shard| &shard.accepted);
        control::Counters {
            accepted,
            live: accepted.saturating_sub(closed),
            requests: sum(|shard| &shard.requests),
            frame_errors: sum(|shard| &shard.frame_errors),
            refusals: self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn shard(&self, index: usize) -> &Shard {
        &self.shared.shards[index % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_shards() {
        let counters = Counters::new(None);
        for shard in 0..SHARDS + 3 {
            counters.opened(shard);
            counters.answered(shard, 2);
        }
        counters.closed(1);
        counters.frame_error(0, FrameError::Magic);
        counters.frame_error(9, FrameError::Magic);
        let read = counters.read();
        assert_eq!((read.accepted, read.live, read.requests), (67, 66, 134));
        assert_eq!(read.frame_errors, 2);
        let refusal = Refusal { phase: "frame".into(), error: "bad_magic".into(), count: 2 };
        assert_eq!(read.refusals, [refusal]);
    }

    #[test]
    fn admits_up_to_the_bound_and_again_after_leaving() {
        let counters = Counters::new(Some(2));
        assert_eq!([counters.admit(), counters.admit(), counters.admit()], [true, true, false]);
        counters.leave();
        assert_eq!([counters.admit(), counters.admit()], [true, false]);
        assert!((0..1000).all(|_| Counters::new(None).admit()));
    }
}

//! What failed, by phase and errno, readable while a run goes on.
//!
//! Must not be touched where nothing fails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::samples::FailureCount;

/// What one worker saw fail. The lock is taken when something fails, and by who looks after that.
#[derive(Debug, Default)]
pub struct LiveFailures {
    count: AtomicU64,
    kinds: Mutex<Vec<FailureCount>>,
}

impl LiveFailures {
    /// Counts one, as [`WorkerSamples::failure`](crate::WorkerSamples::failure) does.
    pub(crate) fn count(&self, phase: &'static str, errno: &str, live: u64, after: Duration) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        count_in(&mut kinds, phase, errno, live, after);
        drop(kinds);
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Takes over what another process counted since the run began.
    pub(crate) fn replace(&self, kinds: Vec<FailureCount>) {
        let count = kinds.iter().map(|kind| kind.count).sum();
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = kinds;
        self.count.store(count, Ordering::Release);
    }

    /// How many there were. Takes no lock.
    pub(super) fn in_all(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Adds what was seen to what others saw.
    pub(super) fn add_to(&self, sum: &mut Vec<FailureCount>) {
        if self.in_all() > 0 {
            merge(sum, &self.kinds.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Counts one failure among its kind.
pub(crate) fn count_in(
    kinds: &mut Vec<FailureCount>,
    phase: &'static str,
    errno: &str,
    live: u64,
    after: Duration,
) {
    match kinds.iter_mut().find(|known| (known.phase, known.errno.as_str()) == (phase, errno)) {
        Some(known) => {
            known.count += 1;
            // Several threads may count here, and not in the order in which it happened.
            if after < known.first_after {
                (known.first_at_connections, known.first_after) = (live, after);
            }
        }
        None => kinds.push(FailureCount {
            phase,
            errno: errno.to_owned(),
            count: 1,
            first_at_connections: live,
            first_after: after,
        }),
    }
}

/// Adds failures to others, each to its kind; what came first of a kind stays known.
pub(crate) fn merge(sum: &mut Vec<FailureCount>, others: &[FailureCount]) {
    for failure in others {
        let same = |known: &&mut FailureCount| {
            (known.phase, known.errno.as_str()) == (failure.phase, failure.errno.as_str())
        };
        match sum.iter_mut().find(same) {
            Some(known) => {
                known.count += failure.count;
                if failure.first_after < known.first_after {
                    known.first_after = failure.first_after;
                    known.first_at_connections = failure.first_at_connections;
                }
            }
            None => sum.push(failure.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told_by_kind_over_all_workers() {
        let (one, other) = (LiveFailures::default(), LiveFailures::default());
        let after = Duration::from_millis;
        one.count("connect", "ECONNREFUSED", 9, after(20));
        other.count("connect", "ECONNREFUSED", 5, after(10));
        other.count("verify", "closed", 1, after(40));
        assert_eq!((one.in_all(), other.in_all()), (1, 2));
        let mut sum = Vec::new();
        one.add_to(&mut sum);
        other.add_to(&mut sum);
        LiveFailures::default().add_to(&mut sum);
        one.count("connect", "ECONNREFUSED", 3, after(5));
        one.add_to(&mut sum);
        assert_eq!(
            (sum[0].count, sum[0].first_at_connections),
            (4, 3),
            "what happened first was counted later"
        );
        sum.clear();
        one.add_to(&mut sum);
        other.add_to(&mut sum);
        let seen: Vec<_> =
            sum.iter().map(|f| (f.phase, f.errno.as_str(), f.count, f.first_at_connections)).collect();
        assert_eq!(seen, [("connect", "ECONNREFUSED", 3, 3), ("verify", "closed", 1, 1)]);
    }
}

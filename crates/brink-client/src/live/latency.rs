//! How long requests took, countable while a run goes on: a table of coarse buckets per worker, and the difference
//! between two looks at all of them.
//!
//! Must not be where results come from: those are exact histograms, merged at the end.

use std::sync::atomic::{AtomicU32, Ordering};

/// Buckets per doubling: each is 1/32 to 1/64 of its values wide, 3.1% at most.
const PER_DOUBLING: usize = 1 << PER_DOUBLING_LOG;
const PER_DOUBLING_LOG: u32 = 5;
/// What is shorter counts as that: 2^10 ns, about a microsecond.
const SHORTEST_LOG: u32 = 10;
/// What is longer counts as the longest: 2^42 ns, 73 minutes.
const LONGEST_LOG: u32 = 42;
/// Buckets of a table.
const BUCKETS: usize = (LONGEST_LOG - SHORTEST_LOG) as usize * PER_DOUBLING;
/// The first and the last bound of [`bounds_ns`]: 8.2 us to 69 s.
const BOUND_LOG: (u32, u32) = (13, 36);

/// Which bucket a time is in.
fn bucket(ns: u64) -> usize {
    let ns = ns.clamp(1 << SHORTEST_LOG, (1 << LONGEST_LOG) - 1);
    let doubling = ns.ilog2();
    let within = (ns >> (doubling - PER_DOUBLING_LOG)) as usize - PER_DOUBLING;
    (doubling - SHORTEST_LOG) as usize * PER_DOUBLING + within
}

/// Where a bucket begins, in nanoseconds. That of one past the last is where that ends.
fn begin_ns(bucket: usize) -> u64 {
    let (doubling, within) = (bucket / PER_DOUBLING, (bucket % PER_DOUBLING) as u64);
    (PER_DOUBLING as u64 + within) << (doubling as u32 + SHORTEST_LOG - PER_DOUBLING_LOG)
}

/// The middle of a bucket, in nanoseconds.
fn middle_ns(bucket: usize) -> u64 {
    begin_ns(bucket).midpoint(begin_ns(bucket + 1))
}

/// What one worker counts: 4 KiB, of which a run touches the cache lines that its latencies fall into. Counts go round
/// at 2^32, which a difference does not mind. 128 bytes apart from others: x86 prefetches lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub struct LatencyTable {
    counts: [AtomicU32; BUCKETS],
}

impl LatencyTable {
    /// So many tables, all zero.
    #[must_use]
    pub fn several(tables: usize) -> Box<[Self]> {
        (0..tables).map(|_| Self { counts: [const { AtomicU32::new(0) }; BUCKETS] }).collect()
    }

    /// Counts one, where nobody else writes: a load and a store.
    pub fn count_alone(&self, ns: u64) {
        let count = &self.counts[bucket(ns)];
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Counts so many at once, which another process counted in its own table: a bucket that is none is left out.
    pub(crate) fn add(&self, bucket: u32, count: u32) {
        if let Some(sum) = self.counts.get(bucket as usize) {
            sum.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Counts one, where others write, too.
    pub(crate) fn count_among_others(&self, ns: u64) {
        self.counts[bucket(ns)].fetch_add(1, Ordering::Relaxed);
    }
}

/// How long requests took that were answered within some time, to within a bucket's width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    counts: Box<[u64]>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into_boxed_slice() }
    }
}

impl Latencies {
    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What `quantile` of them were as short as, in nanoseconds: the middle of a bucket that is 3.1% wide at most.
    /// `None`: there were none.
    #[must_use]
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        let count = self.count();
        // As HdrHistogram has it: the least value that so many of them do not exceed, and at least one.
        let rank = ((count as f64 * quantile).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        self.counts
            .iter()
            .position(|&count| {
                seen += count;
                seen >= rank
            })
            .map(middle_ns)
    }

    /// Buckets that are not empty, and how many each holds.
    pub(crate) fn by_bucket(&self) -> Vec<(u32, u32)> {
        let filled = (0..).zip(&self.counts).filter(|(_, count)| **count > 0);
        filled.map(|(at, &count)| (at, u32::try_from(count).unwrap_or(u32::MAX))).collect()
    }

    /// Their sum in seconds, each as long as the middle of its bucket.
    #[must_use]
    pub fn sum_s(&self) -> f64 {
        self.counts.iter().enumerate().map(|(at, &count)| count as f64 * middle_ns(at) as f64 / 1e9).sum()
    }

    /// How many were shorter than each of [`bounds_ns`].
    #[must_use]
    pub fn below_bounds(&self) -> Vec<u64> {
        let (mut at, mut seen) = (0, 0);
        let below = |bound_ns: u64| {
            while at < BUCKETS && begin_ns(at + 1) <= bound_ns {
                seen += self.counts[at];
                at += 1;
            }
            seen
        };
        bounds_ns().map(below).collect()
    }

    fn add(&mut self, other: &Self) {
        for (sum, part) in self.counts.iter_mut().zip(&other.counts) {
            *sum += part;
        }
    }
}

/// Bounds for a cumulative histogram, two in each doubling from 8.2 us to 69 s, in nanoseconds. Each is where a bucket
/// ends, so that what is counted below it is exact.
pub fn bounds_ns() -> impl Iterator<Item = u64> {
    (BOUND_LOG.0..=BOUND_LOG.1)
        .flat_map(|log| [1 << log, 3 << (log - 1)])
        .take_while(|&ns| ns <= 1 << BOUND_LOG.1)
}

/// What the tables of all workers said at the last look.
#[derive(Debug)]
pub struct LatencyGauge {
    last: Box<[u32]>,
    /// Since the first look.
    total: Latencies,
}

impl Default for LatencyGauge {
    fn default() -> Self {
        Self { last: vec![0; BUCKETS].into_boxed_slice(), total: Latencies::default() }
    }
}

impl LatencyGauge {
    /// What was counted since the last look.
    pub(super) fn since<'a>(&mut self, tables: impl Iterator<Item = &'a LatencyTable>) -> Latencies {
        let mut now = vec![0_u32; BUCKETS];
        for table in tables {
            for (sum, count) in now.iter_mut().zip(&table.counts) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
        }
        let last = self.last.iter();
        let counts = now.iter().zip(last).map(|(now, last)| u64::from(now.wrapping_sub(*last))).collect();
        let since = Latencies { counts };
        self.last = now.into_boxed_slice();
        self.total.add(&since);
        since
    }

    /// What was counted since the first look.
    #[must_use]
    pub fn total(&self) -> &Latencies {
        &self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_at_most_a_thirty_second_of_its_values_wide_and_they_leave_no_gap() {
        assert_eq!((begin_ns(0), begin_ns(BUCKETS)), (1 << 10, 1 << 42));
        for at in 0..BUCKETS {
            let (begin, end) = (begin_ns(at), begin_ns(at + 1));
            assert_eq!((bucket(begin), bucket(end - 1)), (at, at));
            assert!((end - begin) * 32 <= begin, "{at}");
        }
        assert_eq!((bucket(0), bucket(1023), bucket(u64::MAX)), (0, 0, BUCKETS - 1));
    }

    #[test]
    fn quantiles_are_those_of_what_came_between_two_looks() {
        let tables = LatencyTable::several(2);
        let mut gauge = LatencyGauge::default();
        assert_eq!(gauge.since(tables.iter()).quantile_ns(0.99), None);
        for value in 1..=1_000_u64 {
            tables[(value % 2) as usize].count_alone(value * 1_000_000);
        }
        let first = gauge.since(tables.iter());
        assert_eq!(first.count(), 1_000);
        for (quantile, exact_ns) in [(0.0, 1e6), (0.5, 500e6), (0.99, 990e6), (1.0, 1_000e6)] {
            let is_off = (first.quantile_ns(quantile).unwrap() as f64 - exact_ns).abs();
            assert!(is_off <= exact_ns / 32.0, "{quantile}: {is_off}");
        }
        assert!((first.sum_s() - 500.5).abs() < 500.5 / 32.0);
        tables[0].count_among_others(20_000);
        let second = gauge.since(tables.iter());
        assert_eq!((second.count(), gauge.total().count()), (1, 1_001));
        assert!(second.quantile_ns(0.99).unwrap().abs_diff(20_000) < 20_000 / 32);
    }

    #[test]
    fn counts_that_go_round_are_still_differences() {
        let tables = LatencyTable::several(1);
        tables[0].counts[bucket(5_000)].store(u32::MAX, Ordering::Relaxed);
        let mut gauge = LatencyGauge::default();
        gauge.since(tables.iter());
        tables[0].count_alone(5_000);
        tables[0].count_alone(5_000);
        assert_eq!(gauge.since(tables.iter()).count(), 2);
    }

    #[test]
    fn bounds_rise_and_count_exactly_what_is_below() {
        let bounds: Vec<_> = bounds_ns().collect();
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((bounds[0], bounds[1], *bounds.last().unwrap()), (8_192, 12_288, 1 << 36));
        for &bound in &bounds {
            assert_eq!(begin_ns(bucket(bound)), bound, "where a bucket begins");
        }
        let tables = LatencyTable::several(1);
        for ns in [8_191, 8_192, 12_287, 12_288, u64::MAX] {
            tables[0].count_alone(ns);
        }
        let below = LatencyGauge::default().since(tables.iter()).below_bounds();
        assert_eq!((below[0], below[1], below[2], *below.last().unwrap()), (1, 3, 4, 4));
    }

    #[test]
    fn a_table_takes_one_page() {
        assert_eq!(size_of::<LatencyTable>(), 4096);
    }
}

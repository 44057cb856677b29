//! Where the conductor and the workers meet: orders go one way, "done" comes back.
//!
//! An order is taken from behind a lock once per order and worker; between orders a worker reads one atomic
//! per turn of its loop. Must not know what an engine is made of.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

use crate::live::Shard;
use crate::options::LoadOptions;
use crate::pacing::nanoseconds;
use crate::samples::WorkerSamples;

/// What the workers are to do now. Each order is done when the worker says so by [`Worker::arrive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Nothing yet.
    Wait,
    /// Open connections up to this many over all workers; done when none is under way.
    Open {
        /// How many, over all workers.
        goal: u64,
        /// When the order was given, in nanoseconds since the run began: one instant for the schedules of all.
        begin_ns: u64,
    },
    /// Run the workload; done when the window is over, every reply came or timed out, and, where the
    /// workload holds, every connection proved that it is alive.
    Work(Schedule),
    /// Abandon what is under way, close everything, return the samples.
    Close,
}

/// When the parts of the workload begin and end, in nanoseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The warm-up begins.
    pub begin_ns: u64,
    /// The window begins.
    pub window_begin_ns: u64,
    /// The window ends: nothing is sent from here on.
    pub window_end_ns: u64,
}

impl Schedule {
    /// Whether an instant is within the window.
    #[must_use]
    pub fn in_window(&self, at_ns: u64) -> bool {
        (self.window_begin_ns..self.window_end_ns).contains(&at_ns)
    }
}

type Wake = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

/// One worker's place: what it has done, and how to wake it.
#[derive(Default)]
#[repr(align(128))]
struct Desk {
    arrived: AtomicU64,
    wake: OnceLock<Wake>,
}

/// A worker that has ended is past every order.
const GONE: u64 = u64::MAX;

/// What all workers of one run share.
pub struct Stage {
    epoch: Instant,
    generation: AtomicU64,
    order: Mutex<(u64, Order)>,
    desks: Box<[Desk]>,
    conductor: Thread,
    live: AtomicU64,
    peak_live: AtomicU64,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Stage {
    /// A stage for so many workers, conducted by the calling thread.
    #[must_use]
    pub fn new(workers: u32) -> Self {
        Self {
            epoch: Instant::now(),
            generation: AtomicU64::new(0),
            order: Mutex::new((0, Order::Wait)),
            desks: (0..workers).map(|_| Desk::default()).collect(),
            conductor: thread::current(),
            live: AtomicU64::new(0),
            peak_live: AtomicU64::new(0),
        }
    }

    /// Nanoseconds since the run began.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        nanoseconds(self.epoch.elapsed())
    }

    /// Gives an order to all workers. A worker that cannot be woken has lost its engine and is about to say so.
    pub fn publish(&self, order: Order) {
        {
            let mut latest = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            *latest = (latest.0 + 1, order);
            self.generation.store(latest.0, Ordering::Release);
        }
        for desk in &self.desks {
            if let Some(wake) = desk.wake.get() {
                let _lost = wake();
            }
        }
    }

    /// Whether all workers have done the latest order.
    #[must_use]
    pub fn all_arrived(&self) -> bool {
        let generation = self.generation.load(Ordering::Acquire);
        self.desks.iter().all(|desk| desk.arrived.load(Ordering::Acquire) >= generation)
    }

    /// Whether a worker has ended, which before [`Order::Close`] means that it failed.
    #[must_use]
    pub fn any_gone(&self) -> bool {
        self.desks.iter().any(|desk| desk.arrived.load(Ordering::Acquire) == GONE)
    }

    /// Connections open now, over all workers.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Most connections open at one time.
    #[must_use]
    pub fn peak_live(&self) -> u64 {
        self.peak_live.load(Ordering::Relaxed)
    }

    fn arrive(&self, index: u32, generation: u64) {
        self.desks[index as usize].arrived.store(generation, Ordering::Release);
        self.conductor.unpark();
    }
}

/// What an engine gets: one worker's place in one run.
#[derive(Debug, Clone, Copy)]
pub struct Worker<'a> {
    /// Which worker.
    pub index: u32,
    /// Of how many.
    pub workers: u32,
    /// The run.
    pub options: &'a LoadOptions,
    pub(crate) stage: &'a Stage,
    pub(crate) shard: &'a Shard,
}

impl Worker<'_> {
    /// Says how to wake this worker when an order comes. Before the first order is taken.
    pub(crate) fn on_order(&self, wake: Wake) {
        let first = self.stage.desks[self.index as usize].wake.set(wake).is_ok();
        debug_assert!(first, "a worker says once how it is woken");
    }

    /// The latest order, if it came after number `seen`, with its own number.
    pub(crate) fn order_after(&self, seen: u64) -> Option<(u64, Order)> {
        if self.stage.generation.load(Ordering::Acquire) == seen {
            return None;
        }
        let latest = *self.stage.order.lock().unwrap_or_else(PoisonError::into_inner);
        (latest.0 != seen).then_some(latest)
    }

    /// Says that order `generation` is done.
    pub(crate) fn arrive(&self, generation: u64) {
        self.stage.arrive(self.index, generation);
    }

    /// Counts a connection that opened and was verified.
    pub(crate) fn count_open(&self) {
        self.shard.open();
        let live = self.stage.live.fetch_add(1, Ordering::Relaxed) + 1;
        self.stage.peak_live.fetch_max(live, Ordering::Relaxed);
    }

    /// Counts the end of an open connection.
    pub(crate) fn count_close(&self) {
        self.shard.close();
        self.stage.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Runs one engine's worker, and leaves the stage however it ends.
    pub(crate) fn run(
        self,
        engine: fn(&Worker<'_>) -> io::Result<WorkerSamples>,
    ) -> io::Result<WorkerSamples> {
        struct Leave<'a>(&'a Stage, u32);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.arrive(self.1, GONE);
            }
        }
        let _leave = Leave(self.stage, self.index);
        engine(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::LiveCounters;
    use crate::options::tests::options;

    #[test]
    fn an_order_is_seen_once_and_done_when_all_say_so() {
        let (options, live) = (options(1), LiveCounters::new(2));
        let stage = Stage::new(2);
        let worker = |index: u32| Worker {
            index,
            workers: 2,
            options: &options,
            stage: &stage,
            shard: &live.shards()[index as usize],
        };
        assert_eq!(worker(0).order_after(0), None);
        stage.publish(Order::Open { goal: 7, begin_ns: 9 });
        assert!(!stage.all_arrived());
        assert_eq!(worker(0).order_after(0), Some((1, Order::Open { goal: 7, begin_ns: 9 })));
        assert_eq!(worker(0).order_after(1), None);
        worker(0).arrive(1);
        assert!(!stage.all_arrived());
        worker(1).arrive(1);
        assert!(stage.all_arrived());
        stage.publish(Order::Close);
        assert!(!stage.all_arrived() && !stage.any_gone());
        let failed = worker(1).run(|_| Err(io::Error::other("no")));
        assert!(failed.is_err() && stage.any_gone());
    }

    #[test]
    fn the_peak_stays() {
        let (options, live) = (options(1), LiveCounters::new(1));
        let stage = Stage::new(1);
        let worker =
            Worker { index: 0, workers: 1, options: &options, stage: &stage, shard: &live.shards()[0] };
        worker.count_open();
        worker.count_open();
        worker.count_close();
        assert_eq!((stage.live(), stage.peak_live()), (1, 2));
    }
}

//! Where the conductor and the workers meet: orders go one way, "done" comes back.
//!
//! An order is taken from behind a lock once per order and worker; between orders a worker reads one atomic
//! per turn of its loop. Must not know what an engine is made of.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::board::{Board, Word};
use crate::live::Shard;
use crate::options::LoadOptions;
use crate::pacing::nanoseconds;
use crate::parts::monotonic_ns;
use crate::samples::WorkerSamples;

/// What the workers are to do now. Each order is done when the worker says so by [`Worker::arrive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Open no more connections than are under way; done with the order before.
    Enough,
    /// Run the workload; done when the window is over, every reply came or timed out, and, where the
    /// workload holds, every connection proved that it is alive.
    Work(Schedule),
    /// Abandon what is under way, close everything, return the samples.
    Close,
}

/// When the parts of the workload begin and end, in nanoseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The warm-up begins.
    pub begin_ns: u64,
    /// The window begins.
    pub window_begin_ns: u64,
    /// The window ends at the latest: nothing is sent from here on.
    pub window_end_ns: u64,
}

impl Schedule {
    /// Whether an instant is within the window.
    #[must_use]
    pub fn in_window(&self, at_ns: u64) -> bool {
        (self.window_begin_ns..self.window_end_ns).contains(&at_ns)
    }
}

pub(crate) type Wake = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

/// One worker's place: what it has done, and how to wake it.
#[derive(Default)]
#[repr(align(128))]
struct Desk {
    arrived: AtomicU64,
    wake: OnceLock<Wake>,
}

/// A worker that has ended is past every order.
const GONE: u64 = u64::MAX;

/// What all workers of one run share, as far as they are in one process; the [`Board`] is all processes'.
pub struct Stage {
    epoch: Instant,
    /// What CLOCK_MONOTONIC showed then, in nanoseconds.
    epoch_ns: u64,
    generation: AtomicU64,
    order: Mutex<(u64, Order)>,
    /// Of the workers from number `first` on.
    desks: Box<[Desk]>,
    first: u32,
    conductor: Thread,
    board: Board,
    /// Whether there is a number of requests to send.
    has_budget: bool,
    /// Whether [`Order::Close`] was given.
    closing: AtomicBool,
    /// Wakes the workers of other processes, where there are any.
    wake_others: OnceLock<Wake>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Stage {
    /// A stage for so many workers, conducted by the calling thread. `requests`: how many there are to send from
    /// the window's begin on, if that is fixed.
    #[must_use]
    pub fn new(workers: u32, requests: Option<u64>) -> Arc<Self> {
        Self::on(Board::default(), workers, requests)
    }

    /// The same, whose workers may be other processes, which have the board, too.
    pub(crate) fn on(board: Board, workers: u32, requests: Option<u64>) -> Arc<Self> {
        board[Word::Budget].store(requests.unwrap_or(0), Ordering::Relaxed);
        Arc::new(Self::beginning(Instant::now(), board, 0..workers, requests.is_some()))
    }

    /// A stage in another process for some of the workers of a run that began at `epoch`.
    pub(crate) fn joined(epoch: Instant, board: Board, workers: Range<u32>, has_budget: bool) -> Arc<Self> {
        Arc::new(Self::beginning(epoch, board, workers, has_budget))
    }

    fn beginning(epoch: Instant, board: Board, workers: Range<u32>, has_budget: bool) -> Self {
        Self {
            epoch,
            epoch_ns: monotonic_ns().saturating_sub(nanoseconds(epoch.elapsed())),
            generation: AtomicU64::new(0),
            order: Mutex::new((0, Order::Wait)),
            first: workers.start,
            desks: workers.map(|_| Desk::default()).collect(),
            conductor: thread::current(),
            board,
            has_budget,
            closing: AtomicBool::new(false),
            wake_others: OnceLock::new(),
        }
    }

    /// Says how the workers of other processes are woken. Once, before they work.
    pub(crate) fn on_wake_all(&self, wake: Wake) {
        let first = self.wake_others.set(wake).is_ok();
        debug_assert!(first, "a stage is told once how others are woken");
    }

    /// Each of so many connections has a first turn before what is left is for anybody. Before the workload begins.
    pub(crate) fn keep_first_turns(&self, connections: u64) {
        self.board[Word::FirstTurns].store(connections, Ordering::Release);
    }

    /// Nanoseconds since the run began.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.epoch_ns)
    }

    /// What CLOCK_MONOTONIC showed when the run began, in nanoseconds: [`now_ns`](Self::now_ns) is what it shows beyond that.
    pub(crate) fn epoch_ns(&self) -> u64 {
        self.epoch_ns
    }

    /// Gives an order to all workers. A worker that cannot be woken has lost its engine and is about to say so.
    pub fn publish(&self, order: Order) {
        let latest = self.order.lock().unwrap_or_else(PoisonError::into_inner).0;
        self.publish_as(latest + 1, order);
    }

    /// The same, where another process has numbered the order.
    pub(crate) fn publish_as(&self, number: u64, order: Order) {
        {
            let mut latest = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            *latest = (number, order);
            self.closing.fetch_or(order == Order::Close, Ordering::Release);
            self.generation.store(number, Ordering::Release);
        }
        self.wake_own();
    }

    /// Wakes the workers of all processes.
    pub(crate) fn wake_all(&self) {
        self.wake_own();
        if let Some(wake) = self.wake_others.get() {
            let _lost = wake();
        }
    }

    /// Wakes the workers of this process.
    pub(crate) fn wake_own(&self) {
        for desk in &self.desks {
            if let Some(wake) = desk.wake.get() {
                let _lost = wake();
            }
        }
    }

    /// The latest order, if it came after number `seen`, with its own number.
    pub(crate) fn order_after(&self, seen: u64) -> Option<(u64, Order)> {
        if self.generation.load(Ordering::Acquire) == seen {
            return None;
        }
        let latest = *self.order.lock().unwrap_or_else(PoisonError::into_inner);
        (latest.0 != seen).then_some(latest)
    }

    /// The number of the latest order.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether [`Order::Close`] was given.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The instant that is so many nanoseconds after the run began; `None` where it is out of reach.
    pub(crate) fn instant(&self, at_ns: u64) -> Option<Instant> {
        self.epoch.checked_add(Duration::from_nanos(at_ns))
    }

    /// Takes one of the requests that are left to send, where their number is fixed, and of a burst where it is not
    /// kept for a first turn. Who takes the last one wakes all, since others may wait for a time that no longer
    /// matters.
    pub(crate) fn take_request(&self) -> bool {
        // This only goes down: what is kept is never taken, though what is free may be seen late.
        let kept = self.board[Word::FirstTurns].load(Ordering::Acquire);
        self.take_above(kept)
    }

    /// A connection of a burst has its first turn, for which a request was kept: takes that where it is `usable`, and
    /// otherwise leaves it to whoever comes next. Returns whether it was taken.
    pub(crate) fn take_first_turn(&self, usable: bool) -> bool {
        // In this order: a request that was kept must not look free meanwhile.
        let taken = usable && self.take_above(0);
        self.pass_first_turns(1);
        taken
    }

    /// So many connections of a burst have no first turn any more. The last one wakes all: what is left is for
    /// anybody.
    pub(crate) fn pass_first_turns(&self, connections: u64) {
        let pass = |left: u64| (left > 0).then(|| left.saturating_sub(connections));
        let passed = self.board[Word::FirstTurns].fetch_update(Ordering::Release, Ordering::Relaxed, pass);
        if passed.is_ok_and(|left| left <= connections) {
            self.wake_all();
        }
    }

    /// Whether nothing is kept for first turns, or not any more.
    pub(crate) fn is_free(&self) -> bool {
        self.board[Word::FirstTurns].load(Ordering::Acquire) == 0
    }

    fn take_above(&self, kept: u64) -> bool {
        if !self.has_budget {
            return true;
        }
        let take = |left: u64| left.checked_sub(1).filter(|&rest| rest >= kept);
        match self.board[Word::Budget].fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(1) => {
                self.wake_all();
                true
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }

    /// Whether the number of requests is fixed and all were taken, or the rest was called off.
    pub(crate) fn is_spent(&self) -> bool {
        self.all_taken() || self.board[Word::CalledOff].load(Ordering::Relaxed) != 0
    }

    /// Whether the number of requests is fixed and all were taken.
    pub(crate) fn all_taken(&self) -> bool {
        self.has_budget && self.board[Word::Budget].load(Ordering::Relaxed) == 0
    }

    /// Has nothing more be sent.
    pub(crate) fn call_off(&self) {
        self.board[Word::CalledOff].store(1, Ordering::Relaxed);
        self.wake_all();
    }

    /// The order to close comes before all has ended by itself.
    pub(crate) fn cut_short(&self) {
        self.board[Word::CutShort].store(1, Ordering::Release);
    }

    /// Whether it did. To be asked once the order came.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.board[Word::CutShort].load(Ordering::Acquire) != 0
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
        self.board[Word::Live].load(Ordering::Relaxed)
    }

    /// Most connections open at one time.
    #[must_use]
    pub fn peak_live(&self) -> u64 {
        self.board[Word::PeakLive].load(Ordering::Relaxed)
    }

    /// Counts a connection that is open from now on.
    pub(crate) fn count_open(&self) {
        let live = self.board[Word::Live].fetch_add(1, Ordering::Relaxed) + 1;
        self.board[Word::PeakLive].fetch_max(live, Ordering::Relaxed);
    }

    /// Counts the end of an open connection.
    pub(crate) fn count_close(&self) {
        self.board[Word::Live].fetch_sub(1, Ordering::Relaxed);
    }

    fn arrive(&self, index: u32, generation: u64) {
        self.desks[(index - self.first) as usize].arrived.store(generation, Ordering::Release);
        self.conductor.unpark();
    }

    /// So many connections that counted as open are gone with the process that held them.
    pub(crate) fn count_gone(&self, connections: u64) {
        // What it told last and what it counted last are not of one instant.
        let gone = |live: u64| Some(live.saturating_sub(connections));
        let _always = self.board[Word::Live].fetch_update(Ordering::Relaxed, Ordering::Relaxed, gone);
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
    pub(crate) stage: &'a Arc<Stage>,
    pub(crate) shard: &'a Shard,
}

impl Worker<'_> {
    /// Says how to wake this worker when an order comes. Before the first order is taken.
    pub(crate) fn on_order(&self, wake: Wake) {
        let desk = (self.index - self.stage.first) as usize;
        let first = self.stage.desks[desk].wake.set(wake).is_ok();
        debug_assert!(first, "a worker says once how it is woken");
    }

    /// Wakes this worker, as an order would.
    pub(crate) fn wake(&self) {
        let desk = &self.stage.desks[(self.index - self.stage.first) as usize];
        if let Some(wake) = desk.wake.get() {
            let _lost = wake();
        }
    }

    /// The latest order, if it came after number `seen`, with its own number.
    pub(crate) fn order_after(&self, seen: u64) -> Option<(u64, Order)> {
        self.stage.order_after(seen)
    }

    /// Says that order `generation` is done.
    pub(crate) fn arrive(&self, generation: u64) {
        self.stage.arrive(self.index, generation);
    }

    /// Whether nothing more is to be sent: the window is over, or all requests were taken.
    pub(crate) fn is_over(&self, schedule: &Schedule, now_ns: u64) -> bool {
        now_ns >= schedule.window_end_ns || self.stage.is_spent()
    }

    /// Counts a connection that opened and was verified.
    pub(crate) fn count_open(&self) {
        self.shard.open();
        self.stage.count_open();
    }

    /// Counts a connection that had been lost and is tried again.
    pub(crate) fn count_open_again(&self) {
        self.shard.open_again();
        self.stage.count_open();
    }

    /// Counts the end of an open connection.
    pub(crate) fn count_close(&self) {
        self.shard.close();
        self.stage.count_close();
    }

    /// Runs one engine's worker, and leaves the stage however it ends.
    pub(crate) fn run(
        self,
        engine: impl FnOnce(&Worker<'_>) -> io::Result<WorkerSamples>,
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
        let stage = Stage::new(2, None);
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
        let stage = Stage::new(1, None);
        let worker =
            Worker { index: 0, workers: 1, options: &options, stage: &stage, shard: &live.shards()[0] };
        worker.count_open();
        worker.count_open();
        worker.count_close();
        assert_eq!((stage.live(), stage.peak_live()), (1, 2));
    }

    #[test]
    fn requests_are_taken_until_none_is_left_and_all_are_woken() {
        let woken = std::sync::Arc::new(AtomicU64::new(0));
        let (options, live) = (options(1), LiveCounters::new(1));
        let stage = Stage::new(1, Some(2));
        let worker =
            Worker { index: 0, workers: 1, options: &options, stage: &stage, shard: &live.shards()[0] };
        let count = std::sync::Arc::clone(&woken);
        worker.on_order(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }));
        let schedule = Schedule { begin_ns: 0, window_begin_ns: 0, window_end_ns: 100 };
        assert!(stage.take_request() && !worker.is_over(&schedule, 5) && worker.is_over(&schedule, 100));
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        assert!(stage.take_request() && worker.is_over(&schedule, 5));
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert!(!stage.take_request());
        let endless = Stage::new(1, None);
        assert!(endless.take_request() && !endless.is_spent());
    }

    #[test]
    fn a_request_is_kept_for_each_first_turn_until_it_was_had() {
        let stage = Stage::new(1, Some(4));
        stage.keep_first_turns(3);
        assert!(stage.take_first_turn(true) && !stage.is_free());
        // Three are left, and two of them are kept.
        assert!(stage.take_request() && !stage.take_request());
        assert!(!stage.take_first_turn(false), "this one is gone");
        assert!(stage.take_request() && !stage.take_request() && !stage.all_taken());
        assert!(stage.take_first_turn(true) && stage.is_free() && stage.all_taken());
        // Fewer requests than connections: the first come have them.
        let few = Stage::new(1, Some(2));
        few.keep_first_turns(3);
        assert!(few.take_first_turn(true) && !few.take_request() && few.take_first_turn(true));
        assert!(few.all_taken() && !few.take_first_turn(true));
        few.pass_first_turns(5);
        assert!(few.is_free());
    }
}

//! What the lanes of one worker share: what is said, the samples, the sockets to come, and how far everybody is.
//!
//! Samples are behind a few locks, each for some of the lanes: a set of them takes a megabyte, so there is not one per
//! connection. A lane brings several finished exchanges at a time. Must not wait for anything.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::arrivals::Arrivals;
use super::counts::Counts;
use crate::dial::{Dialer, Streak};
use crate::options::LoadOptions;
use crate::pacing::{Pace, nanoseconds, share};
use crate::protocol::{Reply, Script};
use crate::samples::{Times, WorkerSamples, record};
use crate::stage::{Schedule, Stage, Worker};

/// See the module.
pub(in crate::engines) struct Hub {
    pub(in crate::engines) stage: Arc<Stage>,
    pub(in crate::engines) options: LoadOptions,
    pub(in crate::engines) counts: Counts,
    pub(super) script: Script,
    /// How long a connect or a verifying echo may take.
    pub(super) verify_timeout_ns: u64,
    /// How long the reply to a request of the workload may take.
    pub(super) reply_timeout_ns: u64,
    asked_ns: Option<u64>,
    samples: Box<[Mutex<WorkerSamples>]>,
    /// For connections that are made again: they take the place of closed ones.
    dialers: Box<[Mutex<Dialer>]>,
    streak: Mutex<Streak>,
    gave_up: AtomicBool,
    /// Whether the lanes are to end, whatever the stage says.
    dismissed: AtomicBool,
    work: OnceLock<Work>,
    /// Attempts that opened or failed, and lanes that have done their work or ended.
    settled: AtomicU64,
    done: AtomicU64,
    /// Who is told when one of these goes up.
    coordinator: Thread,
    /// This worker's place among the others, and its share of the connections.
    place: (u32, u32),
    share: u64,
}

/// The workload, once it has begun.
struct Work {
    schedule: Schedule,
    arrivals: Option<Mutex<Arrivals>>,
    /// When an arrival was last sent for which a connection had been idle.
    caught_up_ns: AtomicU64,
}

/// An exchange of the workload that ended with a reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finished {
    pub(super) times: Times,
    pub(super) reply: Reply,
    pub(super) before: Before,
}

/// What went before a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    /// The connect(2) that it needed, in nanoseconds.
    pub(super) connect_ns: Option<u64>,
    /// How late it was sent for want of the client and not of an idle connection, in nanoseconds.
    pub(super) lag_ns: Option<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a lane that panicked left behind is as true as what it counted before.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// A hub with so many sets of samples, coordinated by the calling thread.
    ///
    /// # Errors
    /// Those of [`WorkerSamples::new`].
    pub(in crate::engines) fn new(worker: &Worker<'_>, shards: u32) -> io::Result<Self> {
        let Worker { options, index, workers, .. } = *worker;
        let failures = || worker.shard.failures();
        let samples = (0..shards)
            .map(|_| WorkerSamples::telling(failures()).map(Mutex::new))
            .collect::<io::Result<_>>()?;
        let (all, first) = (workers * shards, index * shards);
        let dialer =
            |shard| Mutex::new(Dialer::new(&Worker { index: first + shard, workers: all, ..*worker }));
        Ok(Self {
            stage: Arc::clone(worker.stage),
            options: options.clone(),
            counts: Counts::new(worker.shard.make_latencies(shards.max(1) as usize)),
            script: Script::new(options),
            verify_timeout_ns: nanoseconds(options.timeout),
            reply_timeout_ns: nanoseconds(options.reply_timeout()),
            asked_ns: options.delay_known().map(nanoseconds),
            samples,
            dialers: (0..shards).map(dialer).collect(),
            streak: Mutex::new(Streak::new(options.give_up)),
            gave_up: AtomicBool::new(false),
            dismissed: AtomicBool::new(false),
            work: OnceLock::new(),
            settled: AtomicU64::new(0),
            done: AtomicU64::new(0),
            coordinator: thread::current(),
            place: (index, workers),
            share: share(options.connections, index, workers),
        })
    }

    /// The workload begins.
    pub(in crate::engines) fn begin(&self, schedule: Schedule) {
        let (index, workers) = self.place;
        let pace = Pace::new(&self.options, index, workers, schedule.begin_ns);
        let arrivals =
            pace.arriving.map(|arriving| Mutex::new(Arrivals::new(arriving, self.reply_timeout_ns)));
        let work = Work { schedule, arrivals, caught_up_ns: AtomicU64::new(0) };
        let first = self.work.set(work).is_ok();
        debug_assert!(first, "a run has one workload");
    }

    /// Has the lanes end, also where the run goes on because their coordinator failed. They have to be called.
    pub(in crate::engines) fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Release);
    }

    /// Whether the lanes are to end.
    pub(super) fn is_closing(&self) -> bool {
        self.stage.is_closing() || self.dismissed.load(Ordering::Acquire)
    }

    /// The workload's schedule, once it has begun.
    pub(super) fn schedule(&self) -> Option<Schedule> {
        self.work.get().map(|work| work.schedule)
    }

    /// Whether nothing more is to be sent.
    pub(super) fn is_over(&self, schedule: &Schedule, now_ns: u64) -> bool {
        now_ns >= schedule.window_end_ns || self.stage.is_spent()
    }

    /// Acts on the open loop's requests; `None` where there are none.
    pub(super) fn arrivals<T>(&self, act: impl FnOnce(&mut Arrivals) -> T) -> Option<T> {
        let arrivals = self.work.get()?.arrivals.as_ref()?;
        Some(act(&mut lock(arrivals)))
    }

    /// How late an arrival is sent for want of the client, and not of an idle connection; `None` where it waited for
    /// the latter only. What was due before the client had caught up waited for the client until then.
    pub(super) fn lag_ns(&self, was_idle: bool, due_ns: u64, now_ns: u64) -> Option<u64> {
        let caught_up_ns = &self.work.get()?.caught_up_ns;
        if was_idle {
            caught_up_ns.fetch_max(now_ns, Ordering::Relaxed);
            return Some(now_ns.saturating_sub(due_ns));
        }
        let lag_ns = caught_up_ns.load(Ordering::Relaxed).saturating_sub(due_ns);
        (lag_ns > 0).then_some(lag_ns)
    }

    /// Counts what came due and was never sent, once nothing more is. With a fixed number of requests nothing was
    /// intended beyond it.
    pub(super) fn give_up_arrivals(&self) {
        let Some(schedule) = self.schedule().filter(|_| !self.stage.is_spent()) else { return };
        let now_ns = self.stage.now_ns();
        self.arrivals(|arrivals| arrivals.give_up(&schedule, now_ns));
    }

    /// Acts on a lane's samples.
    pub(super) fn with<T>(&self, lane: u32, act: impl FnOnce(&mut WorkerSamples) -> T) -> T {
        act(&mut lock(&self.samples[lane as usize % self.samples.len()]))
    }

    /// Counts one failure.
    pub(in crate::engines) fn failure(&self, lane: u32, phase: &'static str, errno: &str) {
        let (live, after) = self.now();
        self.with(lane, |samples| samples.failure(phase, errno, live, after));
    }

    /// Connections open in the whole run, and how long it has been going on.
    fn now(&self) -> (u64, Duration) {
        (self.stage.live(), Duration::from_nanos(self.stage.now_ns()))
    }

    /// Counts exchanges that ended with a reply.
    pub(super) fn count(&self, lane: u32, finished: &[Finished]) {
        let Some(schedule) = self.schedule().filter(|_| !finished.is_empty()) else { return };
        let live = self.stage.live();
        self.with(lane, |samples| {
            for Finished { times, reply, before } in finished {
                samples.requests_intended += u64::from(schedule.in_window(times.since_ns));
                before.count_into(samples, &schedule, times.since_ns, live);
                if let Some(errno) = samples.count_reply(&schedule, *times, reply, self.asked_ns) {
                    samples.failure("request", &errno, live, Duration::from_nanos(times.now_ns));
                }
            }
        });
    }

    /// Counts a request that failed.
    pub(super) fn count_failed(&self, lane: u32, since_ns: u64, before: Before) {
        let Some(schedule) = self.schedule() else { return };
        let counted = u64::from(schedule.in_window(since_ns));
        let live = self.stage.live();
        self.with(lane, |samples| {
            samples.requests_intended += counted;
            samples.requests_failed += counted;
            before.count_into(samples, &schedule, since_ns, live);
        });
    }

    /// Acts on the way to connections that take the place of closed ones.
    pub(super) fn dialer<T>(&self, lane: u32, act: impl FnOnce(&mut Dialer) -> T) -> T {
        act(&mut lock(&self.dialers[lane as usize % self.dialers.len()]))
    }

    /// An attempt opened.
    pub(super) fn opened(&self, lane: u32, connect_ns: u64) {
        lock(&self.streak).succeeded();
        let (live, after) = self.now();
        let is_slow = self.with(lane, |samples| {
            samples.opened += 1;
            samples.connected(connect_ns, live, after)
        });
        self.note(is_slow);
        self.stage.count_open();
        self.counts.of(lane).open();
    }

    /// An attempt failed; `connect_ns` if it had connected.
    pub(in crate::engines) fn attempt_failed(
        &self,
        lane: u32,
        phase: &'static str,
        errno: &str,
        connect_ns: Option<u64>,
    ) {
        if lock(&self.streak).failed(phase, errno) {
            self.give_up();
        }
        self.failure(lane, phase, errno);
        let (live, after) = self.now();
        let is_slow = self.with(lane, |samples| {
            samples.failed += 1;
            connect_ns.is_some_and(|ns| samples.connected(ns, live, after))
        });
        self.note(is_slow);
        self.counts.of(lane).fail();
    }

    /// A connect was slow, or not.
    fn note(&self, is_slow: bool) {
        if is_slow && lock(&self.streak).slow() {
            self.give_up();
        }
    }

    /// No more attempts are to be made.
    pub(in crate::engines) fn give_up(&self) {
        self.gave_up.store(true, Ordering::Relaxed);
    }

    /// Whether too many attempts failed in a row.
    pub(super) fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Relaxed)
    }

    /// One more attempt has opened or failed.
    pub(super) fn settle(&self) {
        self.settled.fetch_add(1, Ordering::Release);
        self.coordinator.unpark();
    }

    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// One more lane has done its work, or ended.
    pub(super) fn done(&self) {
        self.done.fetch_add(1, Ordering::Release);
        self.coordinator.unpark();
    }

    pub(super) fn lanes_done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// What all lanes counted, once they have ended.
    ///
    /// # Errors
    /// Those of [`WorkerSamples::merge`].
    pub(in crate::engines) fn collect(&self) -> io::Result<WorkerSamples> {
        let mut sum = WorkerSamples::new()?;
        for samples in &self.samples {
            sum.merge(&lock(samples))?;
        }
        self.arrivals(|arrivals| arrivals.count_into(&mut sum));
        sum.not_attempted = self.share.saturating_sub(sum.opened + sum.failed);
        debug_assert!(sum.adds_up(self.share), "unaccounted for: {sum:?}");
        Ok(sum)
    }
}

impl Before {
    fn count_into(self, samples: &mut WorkerSamples, schedule: &Schedule, since_ns: u64, live: u64) {
        if let Some(connect_ns) = self.connect_ns {
            samples.reopened += 1;
            samples.connected(connect_ns, live, Duration::from_nanos(since_ns.saturating_add(connect_ns)));
        }
        if let Some(lag_ns) = self.lag_ns.filter(|_| schedule.in_window(since_ns)) {
            record(&mut samples.schedule_lag, lag_ns);
        }
    }
}

//! The course of a run: ramp in steps, warm-up, window, drain, close. Pure of sockets: whatever the engine,
//! the conductor gives orders, waits until they are done, and keeps the time.

use std::io;
use std::panic;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use brink_host::descriptor_table;

use crate::board::Board;
use crate::engines::Engine;
use crate::live::LiveCounters;
use crate::options::{LoadOptions, Workload};
use crate::pacing::{nanoseconds, share};
use crate::samples::{Outcome, WorkerSamples};
use crate::stage::{Order, Schedule, Stage, Worker};
use crate::stop::Stop;

/// How long the conductor sleeps at most without looking at the stop flag.
const GLANCE: Duration = Duration::from_millis(50);

/// How long no connection may be open before what is left to send is given up. Connections that are made again are
/// tried ten times a second.
const DESERTED: Duration = Duration::from_secs(1);

/// How long the workers may take, at least, to end by themselves after the window, beside what two replies take; and
/// for each connection that one of them asks for its proof, one after the other.
const DRAIN_MIN: Duration = Duration::from_secs(10);
const PROOF: Duration = Duration::from_millis(20);

/// An open loop at random is never so many times its mean interval without an arrival.
const GAPS: f64 = 20.0;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connections are opened and verified.
    Ramp,
    /// The workload runs; its requests are not samples.
    Warmup,
    /// The workload runs and is measured.
    Window,
    /// Nothing new is sent; replies still come.
    Drain,
    /// Connections are closed.
    Close,
}

/// Is told about a run by the thread that called [`run`].
pub trait Observer {
    /// A phase begins. Should be quick: the run goes on meanwhile.
    fn phase(&mut self, phase: Phase);
    /// A step of the ramp is done. Nothing is under way, and nothing will be until this returns. Not called when
    /// a step left as many connections open as the one before: it would measure the same again.
    fn plateau(&mut self, connections_open: u64);
}

/// Runs one load and says what happened. Calls the observer on this thread. `live` has to be made for at
/// least [`Engine::workers`], which are never more than `options.threads`.
///
/// # Errors
/// `InvalidInput` for options that make no sense; whatever keeps a thread from starting, or all workers from
/// polling. A target that is not there is not an error but an outcome, and so is a worker that fails while others
/// measured something: the run ends early, a failure of phase "poll" says why, and the samples are kept.
pub fn run(
    engine: &Engine,
    options: &LoadOptions,
    stop: &Stop,
    live: &LiveCounters,
    observer: &mut dyn Observer,
) -> io::Result<Outcome> {
    options.check()?;
    run_until(engine, options, stop, live, observer, drain_max(engine, options))
}

/// [`run`], where the workers may take so long after the window.
fn run_until(
    engine: &Engine,
    options: &LoadOptions,
    stop: &Stop,
    live: &LiveCounters,
    observer: &mut dyn Observer,
    drain_max: Duration,
) -> io::Result<Outcome> {
    let workers = engine.workers(options);
    descriptor_table::make_room(options.connections);
    let stage = Stage::new(workers, options.requests);
    let crew = (0..workers).map(|_| engine.run).collect();
    let patience = patience(engine, options);
    let conductor = Conductor { stage: &stage, options, stop, live, observer, drain_max, patience };
    conductor.conduct_all(crew)
}

/// [`run`] where the workers of the engine are in other processes: one of `crew` for each, which does as it is told.
pub(crate) fn run_crew<W: FnOnce(&Worker<'_>) -> io::Result<WorkerSamples> + Send>(
    (engine, board, crew): (&Engine, Board, Vec<W>),
    options: &LoadOptions,
    stop: &Stop,
    live: &LiveCounters,
    observer: &mut dyn Observer,
) -> io::Result<Outcome> {
    options.check()?;
    let stage = Stage::on(board, crew.len() as u32, options.requests);
    let (drain_max, patience) = (drain_max(engine, options), patience(engine, options));
    Conductor { stage: &stage, options, stop, live, observer, drain_max, patience }.conduct_all(crew)
}

/// Most connections that take turns with one request at a time.
fn connections_per_turn(engine: &Engine, options: &LoadOptions) -> u32 {
    let at_once = engine.requests_at_once(options.threads).unwrap_or(u64::from(options.threads));
    u32::try_from(options.connections.div_ceil(at_once.max(1))).unwrap_or(u32::MAX)
}

/// How long the workers may take after the window to end by themselves.
fn drain_max(engine: &Engine, options: &LoadOptions) -> Duration {
    let proofs = PROOF.saturating_mul(connections_per_turn(engine, options));
    options.reply_timeout().saturating_mul(2).saturating_add(proofs.max(DRAIN_MIN))
}

/// How long nothing may be answered before there is no hope, where connections that are lost are made again: each
/// had two turns then.
fn patience(engine: &Engine, options: &LoadOptions) -> Option<Duration> {
    let pause = match options.workload {
        Workload::Churn { think } | Workload::Closed { think } => think,
        Workload::Open { rate_per_s, .. } => {
            Duration::try_from_secs_f64(GAPS / rate_per_s).unwrap_or(Duration::MAX)
        }
        Workload::Burst | Workload::Hold { .. } => Duration::ZERO,
    };
    let rounds =
        engine.requests_at_once(options.threads).map_or(1, |_| connections_per_turn(engine, options));
    let turn = options.timeout.saturating_add(options.reply_timeout()).saturating_add(pause);
    let patience = turn.saturating_mul(rounds).saturating_mul(2).saturating_add(DESERTED);
    options.reopens().then_some(patience)
}

/// Waits for workers to end.
pub(crate) fn join(
    handles: Vec<thread::ScopedJoinHandle<'_, io::Result<WorkerSamples>>>,
) -> Vec<io::Result<WorkerSamples>> {
    let end = |handle: thread::ScopedJoinHandle<'_, _>| {
        handle.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    };
    handles.into_iter().map(end).collect()
}

/// Adds up what the workers measured, each of which had a share of the connections. What a worker would have opened
/// that failed without samples counts as not attempted; where nobody has samples, the first error is all there is.
pub(crate) fn gather(
    workers: Vec<(u64, io::Result<WorkerSamples>)>,
    stage: &Stage,
) -> io::Result<WorkerSamples> {
    let count = workers.len();
    let (mut sum, mut first_error, mut failed) = (WorkerSamples::new()?, None, 0);
    for (share, worker) in workers {
        match worker {
            Ok(samples) => sum.merge(&samples)?,
            Err(error) => {
                failed += 1;
                sum.not_attempted += share;
                let after = Duration::from_nanos(stage.now_ns());
                sum.failure("poll", &brink_host::errno::name(&error), stage.live(), after);
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) if failed == count => Err(error),
        _ => Ok(sum),
    }
}

/// Dismisses the workers when dropped: also when a thread cannot be started or an observer panics, since the
/// scope waits for them all.
struct Dismissal<'a>(&'a Stage);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.publish(Order::Close);
    }
}

/// How a run went, as far as the conductor knows.
#[derive(Debug, Clone, Copy, Default)]
struct Course {
    opening: Duration,
    window_begin_ns: u64,
    window: Duration,
    interrupted: bool,
    cut_short: bool,
}

/// What the conductor waits for.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// All workers have done the latest order.
    AllArrived,
    /// The same; once it is asked for, with what is under way.
    AllArrivedOrEnough,
    /// The same, or an instant has come.
    AllArrivedBy { ns: u64 },
    /// An instant, in nanoseconds since the run began.
    At { ns: u64 },
    /// Whichever is first; what is left to send is given up where there is no hope.
    ArrivedOrAt { ns: u64 },
}

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    Done,
    /// Somebody asked to stop, or a worker failed.
    Halted,
}

struct Conductor<'a> {
    stage: &'a Arc<Stage>,
    options: &'a LoadOptions,
    stop: &'a Stop,
    live: &'a LiveCounters,
    observer: &'a mut dyn Observer,
    /// How long the workers may take after the window.
    drain_max: Duration,
    /// How long nothing may be answered where connections are made again.
    patience: Option<Duration>,
}

impl Conductor<'_> {
    /// Gives each worker a thread, conducts them, and adds up what they measured.
    fn conduct_all<W: FnOnce(&Worker<'_>) -> io::Result<WorkerSamples> + Send>(
        self,
        crew: Vec<W>,
    ) -> io::Result<Outcome> {
        let (stage, options) = (self.stage, self.options);
        let workers = crew.len() as u32;
        let Some(shards) = self.live.shards().get(..crew.len()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "live counters: fewer than workers"));
        };
        if options.workload == Workload::Burst {
            stage.keep_first_turns(options.connections);
        }
        let (course, samples) = thread::scope(|scope| {
            let dismissal = Dismissal(stage);
            let mut handles = Vec::with_capacity(crew.len());
            for ((index, shard), run) in (0..workers).zip(shards).zip(crew) {
                let worker = Worker { index, workers, options, stage, shard };
                let name = format!("brink-client-{index}");
                handles.push(thread::Builder::new().name(name).spawn_scoped(scope, move || worker.run(run))?);
            }
            let course = self.conduct();
            drop(dismissal);
            io::Result::Ok((course, join(handles)))
        })?;
        let shares = (0..workers).map(|index| share(options.connections, index, workers));
        let sum = gather(shares.zip(samples).collect(), stage)?;
        debug_assert!(sum.adds_up(options.connections), "connections or requests unaccounted for: {sum:?}");
        Ok(outcome(options, course, sum, stage))
    }

    fn conduct(mut self) -> Course {
        let mut course = Course::default();
        let mut waited = self.ramp(&mut course);
        let is_short = self.stage.live() < self.options.connections;
        if waited == Waited::Done && self.stage.live() > 0 && (self.options.works_when_short || !is_short) {
            waited = self.work(&mut course);
        }
        course.interrupted = waited == Waited::Halted;
        self.observer.phase(Phase::Close);
        course
    }

    fn ramp(&mut self, course: &mut Course) -> Waited {
        self.observer.phase(Phase::Ramp);
        let mut paused_at = None;
        for &goal in &self.options.plateaus {
            let begin = Instant::now();
            self.stage.publish(Order::Open { goal, begin_ns: self.stage.now_ns() });
            let waited = self.wait(Until::AllArrivedOrEnough);
            course.opening += begin.elapsed();
            if waited == Waited::Halted {
                return waited;
            }
            let live = self.stage.live();
            if paused_at != Some(live) {
                paused_at = Some(live);
                self.observer.plateau(live);
            }
            if self.stop.is_enough() {
                break;
            }
        }
        Waited::Done
    }

    fn work(&mut self, course: &mut Course) -> Waited {
        // The observer may take its time here, before the clock of the schedule starts; not later.
        self.observer.phase(Phase::Warmup);
        let begin_ns = self.stage.now_ns();
        let window_begin_ns = begin_ns.saturating_add(nanoseconds(self.options.warmup));
        let window_end_ns = window_begin_ns.saturating_add(nanoseconds(self.options.duration));
        self.stage.publish(Order::Work(Schedule { begin_ns, window_begin_ns, window_end_ns }));
        if self.wait(Until::At { ns: window_begin_ns }) == Waited::Halted {
            return Waited::Halted;
        }
        self.observer.phase(Phase::Window);
        course.window_begin_ns = window_begin_ns;
        let waited = self.wait(match self.options.requests {
            None => Until::At { ns: window_end_ns },
            Some(_) => Until::ArrivedOrAt { ns: window_end_ns },
        });
        let end_ns = self.stage.now_ns().min(window_end_ns);
        course.window = Duration::from_nanos(end_ns.saturating_sub(window_begin_ns));
        if waited == Waited::Halted {
            return waited;
        }
        self.observer.phase(Phase::Drain);
        let waited = self.wait(Until::AllArrivedBy {
            ns: self.stage.now_ns().saturating_add(nanoseconds(self.drain_max)),
        });
        if waited == Waited::Done && !self.stage.all_arrived() {
            course.cut_short = true;
            self.stage.cut_short();
        }
        waited
    }

    /// Sleeps, but for a glance at the stop flag now and then. A worker that arrives wakes it.
    fn wait(&self, mut until: Until) -> Waited {
        let mut hope = Hope::default();
        loop {
            if matches!(until, Until::AllArrivedOrEnough) && self.stop.is_enough() {
                self.stage.publish(Order::Enough);
                until = Until::AllArrived;
            }
            if self.stop.requested() || self.stage.any_gone() {
                return Waited::Halted;
            }
            let left = match until {
                Until::AllArrived
                | Until::AllArrivedOrEnough
                | Until::AllArrivedBy { .. }
                | Until::ArrivedOrAt { .. }
                    if self.stage.all_arrived() =>
                {
                    return Waited::Done;
                }
                Until::AllArrived | Until::AllArrivedOrEnough => GLANCE,
                Until::At { ns } | Until::AllArrivedBy { ns } | Until::ArrivedOrAt { ns } => {
                    match ns.saturating_sub(self.stage.now_ns()) {
                        0 => return Waited::Done,
                        left_ns => Duration::from_nanos(left_ns),
                    }
                }
            };
            if matches!(until, Until::ArrivedOrAt { .. }) {
                self.call_off_when_deserted(&mut hope);
            }
            thread::park_timeout(left.min(GLANCE));
        }
    }
}

impl Conductor<'_> {
    /// Requests whose number is fixed are given up where no connection is left to send them on; where lost
    /// connections are made again, also where nothing was answered for so long that each had two turns.
    fn call_off_when_deserted(&self, hope: &mut Hope) {
        let now = Instant::now();
        if self.stage.live() > 0 {
            hope.deserted_since = None;
        } else if now - *hope.deserted_since.get_or_insert(now) >= DESERTED {
            self.stage.call_off();
        }
        if let Some(patience) = self.patience {
            let completed = self.live.snapshot().completed;
            let (answered, since) = *hope.answered.get_or_insert((completed, now));
            if answered != completed {
                hope.answered = Some((completed, now));
            } else if now - since >= patience {
                self.stage.call_off();
            }
        }
    }
}

/// Whether anything may still be answered.
#[derive(Debug, Default)]
struct Hope {
    /// Since when no connection is open.
    deserted_since: Option<Instant>,
    /// Replies so far, and since when there are so many.
    answered: Option<(u64, Instant)>,
}

fn outcome(options: &LoadOptions, course: Course, mut samples: WorkerSamples, stage: &Stage) -> Outcome {
    // Of a fixed number those that were never sent were intended, too, unless somebody thought better of it; and of
    // an open loop that ended with its window no more than that number.
    if let Some(requests) = options.requests.filter(|_| !course.interrupted) {
        let sent = samples.requests_completed + samples.requests_failed;
        samples.requests_not_sent = requests.saturating_sub(sent);
        samples.requests_intended = sent + samples.requests_not_sent;
    }
    // With a fixed number of requests the window is what they took.
    let took = samples.last_reply_ns.checked_sub(course.window_begin_ns).map(Duration::from_nanos);
    let whole = took.filter(|_| options.requests.is_some() && stage.all_taken() && !course.interrupted);
    Outcome {
        requested: options.connections,
        peak_live: stage.peak_live(),
        opening: course.opening,
        window: whole.unwrap_or(course.window),
        makespan: whole,
        samples,
        interrupted: course.interrupted,
        cut_short: course.cut_short,
    }
}

#[cfg(test)]
#[path = "conduct_tests.rs"]
mod tests;

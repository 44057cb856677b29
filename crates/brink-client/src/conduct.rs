//! The course of a run: ramp in steps, warm-up, window, drain, close. Pure of sockets: whatever the engine,
//! the conductor gives orders, waits until they are done, and keeps the time.

use std::io;
use std::panic;
use std::thread;
use std::time::{Duration, Instant};

use crate::engines::Engine;
use crate::live::LiveCounters;
use crate::options::LoadOptions;
use crate::pacing::{nanoseconds, share};
use crate::samples::{Outcome, WorkerSamples};
use crate::stage::{Order, Schedule, Stage, Worker};
use crate::stop::Stop;

/// How long the conductor sleeps at most without looking at the stop flag.
const GLANCE: Duration = Duration::from_millis(50);

/// How long no connection may be open before what is left to send is given up. Connections of a churn that failed
/// are tried again ten times a second.
const DESERTED: Duration = Duration::from_secs(1);

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
/// least `options.threads` workers. There are never more workers than connections.
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
    if live.shards().len() < options.threads as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "live counters: fewer than threads"));
    }
    let workers = engine.workers(options);
    let stage = Stage::new(workers, options.requests);
    let (course, samples) = thread::scope(|scope| {
        let dismissal = Dismissal(&stage);
        let mut handles = Vec::with_capacity(workers as usize);
        for (index, shard) in (0..workers).zip(live.shards()) {
            let worker = Worker { index, workers, options, stage: &stage, shard };
            let name = format!("brink-client-{index}");
            handles
                .push(thread::Builder::new().name(name).spawn_scoped(scope, move || worker.run(engine.run))?);
        }
        let course = Conductor { stage: &stage, options, stop, observer }.conduct();
        drop(dismissal);
        let samples: Vec<io::Result<WorkerSamples>> = handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
            .collect();
        io::Result::Ok((course, samples))
    })?;
    let sum = gather(samples, options.connections, &stage)?;
    debug_assert!(sum.adds_up(options.connections), "connections or requests unaccounted for: {sum:?}");
    Ok(outcome(options, course, sum, &stage))
}

/// Adds up what the workers measured. What a worker would have opened that failed without samples counts as not
/// attempted; where nobody has samples, the first error is all there is.
fn gather(
    workers: Vec<io::Result<WorkerSamples>>,
    connections: u64,
    stage: &Stage,
) -> io::Result<WorkerSamples> {
    let count = workers.len() as u32;
    let (mut sum, mut first_error, mut failed) = (WorkerSamples::new()?, None, 0);
    for (index, worker) in (0..count).zip(workers) {
        match worker {
            Ok(samples) => sum.merge(&samples)?,
            Err(error) => {
                failed += 1;
                sum.not_attempted += share(connections, index, count);
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
}

/// What the conductor waits for.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// All workers have done the latest order.
    AllArrived,
    /// An instant, in nanoseconds since the run began.
    At { ns: u64 },
    /// Whichever of the two is first.
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
    stage: &'a Stage,
    options: &'a LoadOptions,
    stop: &'a Stop,
    observer: &'a mut dyn Observer,
}

impl Conductor<'_> {
    fn conduct(mut self) -> Course {
        let mut course = Course::default();
        let mut waited = self.ramp(&mut course);
        if waited == Waited::Done && self.stage.live() > 0 {
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
            let waited = self.wait(Until::AllArrived);
            course.opening += begin.elapsed();
            if waited == Waited::Halted {
                return waited;
            }
            let live = self.stage.live();
            if paused_at != Some(live) {
                paused_at = Some(live);
                self.observer.plateau(live);
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
        self.wait(Until::AllArrived)
    }

    /// Sleeps, but for a glance at the stop flag now and then. A worker that arrives wakes it.
    fn wait(&self, until: Until) -> Waited {
        let mut deserted_since = None;
        loop {
            if self.stop.requested() || self.stage.any_gone() {
                return Waited::Halted;
            }
            let left = match until {
                Until::AllArrived | Until::ArrivedOrAt { .. } if self.stage.all_arrived() => {
                    return Waited::Done;
                }
                Until::AllArrived => GLANCE,
                Until::At { ns } | Until::ArrivedOrAt { ns } => {
                    match ns.saturating_sub(self.stage.now_ns()) {
                        0 => return Waited::Done,
                        left_ns => Duration::from_nanos(left_ns),
                    }
                }
            };
            if matches!(until, Until::ArrivedOrAt { .. }) {
                self.call_off_when_deserted(&mut deserted_since);
            }
            thread::park_timeout(left.min(GLANCE));
        }
    }
}

impl Conductor<'_> {
    /// Requests whose number is fixed are given up where no connection is left to send them on.
    fn call_off_when_deserted(&self, since: &mut Option<Instant>) {
        if self.stage.live() > 0 {
            *since = None;
        } else if since.get_or_insert_with(Instant::now).elapsed() >= DESERTED {
            self.stage.call_off();
        }
    }
}

fn outcome(options: &LoadOptions, course: Course, samples: WorkerSamples, stage: &Stage) -> Outcome {
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
    }
}

#[cfg(test)]
#[path = "conduct_tests.rs"]
mod tests;

//! The conductor's side of a load in parts: a thread for each, which hands orders over and takes what comes back as a
//! worker's own. Must not decide anything that the conductor does not.

use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Job;
use super::said::{FromPart, SaidFailure, ToPart, Told};
use crate::board::Board;
use crate::conduct::{self, Observer};
use crate::live::{LatencyTable, LiveCounters, LiveSnapshot};
use crate::options::LoadOptions;
use crate::pacing::share;
use crate::samples::{Outcome, WorkerSamples};
use crate::stage::Worker;
use crate::stop::Stop;

/// A process that was started to be a part of a load, and has not been told which yet.
pub struct Part {
    /// What it reads.
    pub input: Box<dyn Write + Send + Sync>,
    /// What it says.
    pub output: Box<dyn BufRead + Send>,
    /// Waits for its end and says how it ended, where it said so not itself: `signal: 9 (SIGKILL)`.
    pub ended: Box<dyn FnOnce() -> String + Send>,
}

/// Runs one load in these processes, which have the board, and says what happened: [`run`](crate::run) for a load in
/// parts. `live` is made for as many as there are parts.
///
/// # Errors
/// As [`run`](crate::run). A part that dies on the way is not an error but ends the run early: what it had opened counts as
/// lost, a failure of phase "run" says how it ended.
pub fn lead(
    (engine, options): (&str, &LoadOptions),
    (board, parts): (Board, Vec<Part>),
    stop: &Stop,
    live: &LiveCounters,
    observer: &mut dyn Observer,
) -> io::Result<Outcome> {
    let job = Job {
        engine: engine.to_owned(),
        options: options.clone(),
        part: 0,
        parts: parts.len() as u32,
        epoch_ns: 0,
    };
    let engine = job.engine()?;
    let crew = parts.into_iter().map(|part| |worker: &Worker<'_>| relay(&job, worker, part)).collect();
    conduct::run_crew((engine, board, crew), options, stop, live, observer)
}

/// What orders go out through.
struct Orders {
    input: Box<dyn Write + Send + Sync>,
    /// Number of the last one that was handed over.
    seen: u64,
}

impl Orders {
    fn say(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.input.write_all(&bytes)?;
        self.input.flush()
    }
}

/// One part, from its job to its samples.
fn relay(job: &Job, worker: &Worker<'_>, part: Part) -> io::Result<WorkerSamples> {
    let Part { input, output, ended } = part;
    let stage = Arc::clone(worker.stage);
    let job = Job { part: worker.index, epoch_ns: stage.epoch_ns(), ..job.clone() };
    let mut orders = Orders { input, seen: 0 };
    // One that is gone already says nothing more, which is heard below.
    let _gone = orders.say(&job);
    let orders = Mutex::new(orders);
    let hand_over = move || {
        let mut orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
        match stage.order_after(orders.seen) {
            Some((number, order)) => {
                orders.seen = number;
                orders.say(&ToPart::Order(number, order))
            }
            None => orders.say(&ToPart::Wake),
        }
    };
    let _gone = hand_over();
    worker.on_order(Box::new(hand_over));
    // One may have come in between, which nobody was woken for.
    worker.wake();
    listen(worker, output, ended)
}

/// Takes what a part says until its samples come, or it is gone.
fn listen(
    worker: &Worker<'_>,
    mut output: Box<dyn BufRead + Send>,
    ended: Box<dyn FnOnce() -> String + Send>,
) -> io::Result<WorkerSamples> {
    let tables = worker.shard.make_latencies(1);
    let (mut line, mut last) = (String::new(), LiveSnapshot::default());
    loop {
        line.clear();
        if output.read_line(&mut line)? == 0 {
            return salvage(worker, last, &ended());
        }
        match serde_json::from_str(&line) {
            Ok(FromPart::Goes(told)) => last = take(worker, &tables[0], told),
            Ok(FromPart::Arrived(number, told)) => {
                last = take(worker, &tables[0], told);
                worker.arrive(number);
            }
            Ok(FromPart::Wake) => worker.stage.wake_all(),
            Ok(FromPart::Ended(measured)) => {
                // It has said the last: what its end took is the machine's.
                let samples = measured.samples();
                ended();
                return samples;
            }
            Ok(FromPart::Failed(why)) => return Err(io::Error::other(why)),
            Err(error) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a part said: {error}")));
            }
        }
    }
}

/// Shows what a part told as a worker's own counts.
fn take(worker: &Worker<'_>, table: &LatencyTable, told: Told) -> LiveSnapshot {
    worker.shard.set(told.counts);
    for (bucket, count) in told.latencies {
        table.add(bucket, count);
    }
    if !told.failures.is_empty() {
        let failures = told.failures.into_iter().map(SaidFailure::count).collect();
        worker.shard.failures().replace(failures);
    }
    told.counts
}

/// What is left of a part that died: the counts that it told last. What it held open is lost with it.
fn salvage(worker: &Worker<'_>, last: LiveSnapshot, how: &str) -> io::Result<WorkerSamples> {
    let mut samples = WorkerSamples::telling(worker.shard.failures())?;
    let share = share(worker.options.connections, worker.index, worker.workers);
    samples.opened = last.opened;
    samples.closed_early = last.opened;
    samples.failed = last.failed;
    samples.not_attempted = share.saturating_sub(last.opened + last.failed);
    let stage = worker.stage;
    let after = Duration::from_nanos(stage.now_ns());
    samples.failure("run", "died", stage.live(), after);
    samples.died.push(how.to_owned());
    stage.count_gone(last.live);
    Ok(samples)
}

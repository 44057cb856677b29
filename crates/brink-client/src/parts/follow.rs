//! A part's side of a load in parts: workers that follow orders which come from another process. Must not decide when
//! anything begins.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use brink_host::descriptor_table;

use super::said::{FromPart, Measured, SaidFailure, ToPart, Told};
use super::{Job, instant_of};
use crate::board::Board;
use crate::conduct::{gather, join};
use crate::live::{LatencyGauge, LiveCounters, LiveSnapshot};
use crate::pacing::share;
use crate::stage::{Order, Stage, Worker};

/// How often it tells how it goes, while something changes: as often as both ends are sampled.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Does what the first line of `input` says, and follows the orders after it until the last; says on `output` how it goes
/// and what was measured.
///
/// # Errors
/// When the job makes no sense, or nobody listens. What keeps it from running is said on `output`, too.
pub fn follow(
    mut input: impl BufRead + Send + 'static,
    output: &mut dyn Write,
    board: Board,
) -> io::Result<()> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let job: Job = serde_json::from_str(&line)?;
    let ran = run(&job, input, output, board);
    if let Err(error) = &ran {
        say(output, &FromPart::Failed(error.to_string()))?;
    }
    ran
}

fn run(
    job: &Job,
    input: impl BufRead + Send + 'static,
    output: &mut dyn Write,
    board: Board,
) -> io::Result<()> {
    let engine = job.engine()?;
    let options = &job.options;
    let each = job.workers_of_part(engine);
    let (first, workers) = (job.part * each, job.parts * each);
    let epoch = instant_of(job.epoch_ns).ok_or(io::ErrorKind::InvalidInput)?;
    descriptor_table::make_room(
        (first..first + each).map(|index| share(options.connections, index, workers)).sum(),
    );
    let live = LiveCounters::new(each);
    let stage = Stage::joined(epoch, board, first..first + each, options.requests.is_some());
    let is_news = Arc::new(AtomicBool::new(false));
    let (to_tell, this) = (Arc::clone(&is_news), thread::current());
    stage.on_wake_all(Box::new(move || {
        to_tell.store(true, Ordering::Release);
        this.unpark();
        Ok(())
    }));
    let ordered = Arc::clone(&stage);
    // Not waited for: it reads until the process ends.
    thread::Builder::new().name("orders".to_owned()).spawn(move || take_orders(input, &ordered))?;
    let samples = thread::scope(|scope| {
        let mut handles = Vec::with_capacity(each as usize);
        for (index, shard) in (first..first + each).zip(live.shards()) {
            let worker = Worker { index, workers, options, stage: &stage, shard };
            let name = format!("brink-client-{index}");
            let run = move || worker.run(engine.run);
            match thread::Builder::new().name(name).spawn_scoped(scope, run) {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    stage.publish(Order::Close);
                    return Err(error);
                }
            }
        }
        let told = Telling { stage: &stage, live: &live, is_news: &is_news }.until_closed(output);
        // Whoever does not listen any more is gone, and with it the run.
        stage.publish(Order::Close);
        let samples = join(handles);
        told.map(|()| samples)
    })?;
    let shares = (first..first + each).map(|index| share(options.connections, index, workers));
    let sum = gather(shares.zip(samples).collect(), &stage)?;
    say(output, &FromPart::Ended(Box::new(Measured::of(sum)?)))
}

/// Publishes what comes in. The end of it is the end of who conducts.
fn take_orders(input: impl BufRead, stage: &Stage) {
    for line in input.lines() {
        match line.map(|line| serde_json::from_str(&line)) {
            Ok(Ok(ToPart::Order(number, order))) => {
                stage.publish_as(number, order);
                if order == Order::Close {
                    return;
                }
            }
            Ok(Ok(ToPart::Wake)) => stage.wake_own(),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    stage.publish(Order::Close);
}

/// Tells how it goes.
struct Telling<'a> {
    stage: &'a Stage,
    live: &'a LiveCounters,
    is_news: &'a AtomicBool,
}

impl Telling<'_> {
    /// Until the last order has come, or a worker has failed.
    fn until_closed(self, output: &mut dyn Write) -> io::Result<()> {
        let mut gauge = LatencyGauge::default();
        let (mut arrived, mut last, mut failed) = (0, LiveSnapshot::default(), 0);
        let mut due = Instant::now() + TELL_EVERY;
        while !self.stage.is_closing() && !self.stage.any_gone() {
            if self.is_news.swap(false, Ordering::AcqRel) {
                say(output, &FromPart::Wake)?;
            }
            let number = self.stage.generation();
            let has_arrived = number > arrived && self.stage.all_arrived();
            if has_arrived || Instant::now() >= due {
                let counts = self.live.snapshot();
                let failures_in_all = self.live.failures_in_all();
                if has_arrived || counts != last || failures_in_all != failed {
                    let told = self.told(counts, &mut gauge, failures_in_all != failed);
                    (last, failed) = (counts, failures_in_all);
                    let line =
                        if has_arrived { FromPart::Arrived(number, told) } else { FromPart::Goes(told) };
                    say(output, &line)?;
                    arrived = if has_arrived { number } else { arrived };
                }
                due = Instant::now() + TELL_EVERY;
            }
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    fn told(&self, counts: LiveSnapshot, gauge: &mut LatencyGauge, has_failed: bool) -> Told {
        let failures = if has_failed { self.live.failures() } else { Vec::new() };
        Told {
            counts,
            latencies: self.live.latencies(gauge).by_bucket(),
            failures: failures.iter().map(SaidFailure::of).collect(),
        }
    }
}

fn say(output: &mut dyn Write, line: &FromPart) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    output.write_all(&bytes)?;
    output.flush()
}

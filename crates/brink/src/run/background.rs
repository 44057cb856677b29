//! A second client that loads the target while a case is measured: an engine of its own with workers, counters and
//! histograms of its own, on threads of its own. Must not touch anything of the load that is measured.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use brink_client::{Engine, LiveCounters, LoadOptions, Observer, Outcome, Phase, Stop};

/// Between two looks at whether it is there, or has ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long its connections are waited for, at most: two timeouts, and so much for each of them.
const PER_CONNECTION: Duration = Duration::from_millis(1);

/// What it is asked to do.
#[derive(Debug, Clone)]
pub struct Asked {
    /// By which engine.
    pub engine: &'static Engine,
    /// And what.
    pub options: LoadOptions,
}

/// What became of it.
pub struct Ended {
    /// By its engine; an error is what kept that from running.
    pub outcome: io::Result<Outcome>,
    /// Why it did not load the target as asked, beside what it counted.
    pub faults: Vec<String>,
}

/// A background that runs.
pub struct Background {
    thread: JoinHandle<io::Result<Outcome>>,
    stop: Stop,
    faults: Vec<String>,
}

impl Background {
    /// Begins to open its connections, and returns once they are there, or as many as there will be; or when `stop` is
    /// requested.
    ///
    /// # Errors
    /// When the thread cannot be made, pthread_create(3).
    pub fn start(asked: &Asked, stop: &Stop) -> io::Result<Self> {
        // It ends before the run that is measured does, so that the stop of that one is not its own.
        let own = Stop::new();
        let up = Arc::new(AtomicBool::new(false));
        let (engine, options) = (asked.engine, asked.options.clone());
        let (to_stop, is_up) = (own.clone(), Arc::clone(&up));
        let thread = std::thread::Builder::new().name("background".to_owned()).spawn(move || {
            let live = LiveCounters::new(engine.workers(&options));
            brink_client::run(engine, &options, &to_stop, &live, &mut Herald { is_up })
        })?;
        let mut background = Self { thread, stop: own, faults: Vec::new() };
        background.wait(&up, &asked.options, stop);
        Ok(background)
    }

    fn wait(&mut self, up: &AtomicBool, options: &LoadOptions, stop: &Stop) {
        let connections = u32::try_from(options.connections).unwrap_or(u32::MAX);
        let patience = (options.timeout * 2).saturating_add(PER_CONNECTION.saturating_mul(connections));
        let began = Instant::now();
        while !up.load(Ordering::Acquire) && !self.thread.is_finished() && !stop.requested() {
            if began.elapsed() >= patience {
                self.faults
                    .push(format!("its connections did not open within {:.1} s", patience.as_secs_f64()));
                return self.stop.request();
            }
            pause(LOOK_EVERY);
        }
    }

    /// Has it end now, with what is under way given up.
    pub fn cut_short(&self) {
        self.stop.request();
    }

    /// Waits for its last replies, as long as they may take; not any more once `stop` is requested.
    pub fn end(self, stop: &Stop) -> Ended {
        while !self.thread.is_finished() {
            if stop.requested() {
                self.stop.request();
            }
            pause(LOOK_EVERY);
        }
        let outcome = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of it panicked")));
        Ended { outcome, faults: self.faults }
    }
}

/// Says when the workload begins, or that there will be none.
struct Herald {
    is_up: Arc<AtomicBool>,
}

impl Observer for Herald {
    fn phase(&mut self, phase: Phase) {
        if phase != Phase::Ramp {
            self.is_up.store(true, Ordering::Release);
        }
    }

    fn plateau(&mut self, _connections_open: u64) {}
}

#[expect(clippy::disallowed_methods, reason = "waits for another thread, before or after what is measured")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

//! The thread that looks at both ends several times a second while a case runs, and keeps what
//! it saw. Must not decide when a run begins or ends.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use brink_results::schema::{PhaseMark, Plateau, SamplingCost, Usage};
use rustix::time::{ClockId, clock_gettime};

use super::{Ends, Look, lock, summed_if_many};

/// How long the first sample is waited for.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// What the sampling thread is told.
#[derive(Debug, PartialEq, Eq)]
enum Errand {
    /// Look now, out of turn.
    Look,
    /// End.
    End,
}

/// The thread that samples several times a second until it is dropped or collected.
pub struct Sampling {
    ends: Arc<Mutex<Ends>>,
    usage: Arc<Mutex<Usage>>,
    began: Instant,
    errands: mpsc::Sender<Errand>,
    thread: Option<JoinHandle<()>>,
}

impl Sampling {
    /// Begins, and returns once the first sample was taken and told: what that takes of memory is there before the
    /// first connection, and none of it is counted as theirs. `on_look` is called with each sample, the name of the phase, and the phases that began since the sample
    /// before.
    ///
    /// # Errors
    /// When the thread cannot be made, pthread_create(3).
    pub fn start(
        ends: Arc<Mutex<Ends>>,
        per_s: f64,
        mut on_look: impl FnMut(&Look, &str, &[PhaseMark]) + Send + 'static,
    ) -> std::io::Result<Self> {
        let began = lock(&ends).began();
        let usage = Arc::new(Mutex::new(Usage::default()));
        let (errands, errand) = mpsc::channel();
        let (took_first, first) = mpsc::channel();
        let (at, to) = (Arc::clone(&ends), Arc::clone(&usage));
        let interval = Duration::from_secs_f64(1.0 / per_s);
        let thread = std::thread::Builder::new().name("sampling".to_owned()).spawn(move || {
            let begun = Instant::now();
            let mut due = begun + interval;
            let mut marks_told = 0;
            let mut samples = 0;
            loop {
                let look = lock(&at).sample();
                let (phase, marks) = {
                    let mut usage = lock(&to);
                    add(&mut usage, &look);
                    let marks = usage.phases[marks_told..].to_vec();
                    marks_told = usage.phases.len();
                    let phase =
                        usage.phases.last().map_or_else(|| "start".to_owned(), |mark| mark.name.clone());
                    (phase, marks)
                };
                on_look(&look, &phase, &marks);
                samples += 1;
                lock(&to).sampling =
                    Some(SamplingCost { samples, cpu_s: own_cpu_s(), span_s: begun.elapsed().as_secs_f64() });
                let _nobody_waits_any_more = took_first.send(());
                let wait = due.saturating_duration_since(Instant::now());
                match errand.recv_timeout(wait) {
                    // Out of turn: the next one in turn stays due when it was.
                    Ok(Errand::Look) => {}
                    Err(RecvTimeoutError::Timeout) => due = (due + interval).max(Instant::now()),
                    Ok(Errand::End) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        // A target that is slow to tell is not waited for.
        let _late = first.recv_timeout(FIRST_WITHIN);
        Ok(Self { ends, usage, began, errands, thread: Some(thread) })
    }

    /// Notes that a part of the case begins, and has a sample taken at once, so that what the
    /// part used can be reckoned. Does not wait for it: the schedule of the load must not slip
    /// because a target is slow to tell.
    pub fn mark(&self, name: &str) {
        let t_s = self.began.elapsed().as_secs_f64();
        lock(&self.usage).phases.push(PhaseMark { name: name.to_owned(), t_s });
        let _sampling_ended = self.errands.send(Errand::Look);
    }

    /// Samples with all connections at rest.
    pub fn plateau(&self, connections: u64) -> Plateau {
        lock(&self.ends).plateau(connections)
    }

    /// Does something else with both ends, between two samples.
    pub fn with_ends<T>(&self, f: impl FnOnce(&mut Ends) -> T) -> T {
        f(&mut lock(&self.ends))
    }

    /// Ends the sampling and hands over what was seen, and whether it saw the run to its end.
    pub fn collect(mut self) -> (Usage, bool) {
        let whole = self.end();
        let mut usage = std::mem::take(&mut *lock(&self.usage));
        // Two threads add samples; a look that began first may be added second.
        for samples in [&mut usage.client, &mut usage.target] {
            samples.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        }
        for samples in [&mut usage.machine, &mut usage.target_machine] {
            samples.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        }
        (usage, whole)
    }

    /// Whether the thread ran until it was told to end.
    fn end(&mut self) -> bool {
        let _ended_already = self.errands.send(Errand::End);
        self.thread.take().is_none_or(|thread| thread.join().is_ok())
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.end();
    }
}

/// What this thread used of a CPU since it began.
fn own_cpu_s() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 * 1e-9
}

fn add(usage: &mut Usage, look: &Look) {
    usage.client.push(look.client.clone());
    usage.machine.push(look.machine.clone());
    let in_window = usage.phases.last().is_some_and(|mark| mark.name == "window");
    let target = look.target.clone();
    usage.target.extend(if in_window { target } else { target.map(summed_if_many) });
    usage.target_machine.extend(look.target_machine.clone());
}

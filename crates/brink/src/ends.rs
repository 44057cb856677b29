//! Looks at both ends of a running case: memory, threads, descriptors, CPU of the
//! client and the target, and the machines they are on. Several times a second,
//! and on demand when connections stand still.
//!
//! It must not disturb what it looks at: one thread, a few reads of /proc and one
//! request to the target's control plane for each sample.

use std::ops::RangeInclusive;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use brink_client::LiveCounters;
use brink_client::control::ControlClient;
use brink_host::usage::{self, ProcessSampler};
use brink_results::schema::{EndSample, MachineSample, PhaseMark, Plateau, Usage};
use brink_wire::control::{Counters, MachineUsage, ProcessUsage, Refusal, TargetUsage};

/// Pause between two looks at a target that is not at rest yet.
const SETTLE_PAUSE: Duration = Duration::from_millis(20);
/// A target that is not at rest by then is sampled all the same, and marked.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
/// How long a target is left alone after it did not answer.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// At rest: anonymous memory moved by no more than this between two looks.
const SETTLED_BYTES: u64 = 16 << 10;

/// Everything that is looked at.
pub struct Ends {
    began: Instant,
    client: ProcessSampler,
    live: Arc<LiveCounters>,
    target: Option<ControlClient>,
    same_machine: bool,
    first_counters: Option<Counters>,
    last_counters: Option<Counters>,
    patience: Duration,
    control_failures: u64,
    silent_until: Option<Instant>,
}

/// Both ends at one instant.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// The client's processes.
    pub client: EndSample,
    /// The target's processes, where it says.
    pub target: Option<EndSample>,
    /// The client's machine.
    pub machine: MachineSample,
    /// The target's machine, where it is another one.
    pub target_machine: Option<MachineSample>,
}

impl Look {
    /// The machine that the target is on, where that is known.
    pub fn of_target_machine(&self, same: bool) -> Option<MachineUsage> {
        let there = if same { Some(&self.machine) } else { self.target_machine.as_ref() };
        there.map(|sample| sample.usage.clone())
    }
}

impl Ends {
    /// Looks at this process and, through its control plane, at the target.
    pub fn new(
        began: Instant,
        live: Arc<LiveCounters>,
        target: Option<ControlClient>,
        same_machine: bool,
    ) -> Self {
        let client = ProcessSampler::own();
        Self {
            began,
            client,
            live,
            target,
            same_machine,
            first_counters: None,
            last_counters: None,
            patience: SETTLE_WITHIN,
            control_failures: 0,
            silent_until: None,
        }
    }

    /// One sample of everything.
    pub fn look(&mut self) -> Look {
        let t_s = self.began.elapsed().as_secs_f64();
        let live = self.live.snapshot();
        let client = EndSample {
            live: Some(live.live),
            requests: Some(live.completed),
            ..end_sample(t_s, &[self.client.sample()])
        };
        let machine = machine_sample(t_s, usage::machine());
        let mut look = Look { client, target: None, machine, target_machine: None };
        if let Some(usage) = self.ask() {
            let counters = usage.counters;
            look.target = Some(EndSample {
                live: Some(counters.live),
                requests: Some(counters.requests),
                ..end_sample(t_s, &usage.processes)
            });
            look.target_machine = (!self.same_machine).then(|| machine_sample(t_s, usage.machine));
            self.first_counters.get_or_insert_with(|| counters.clone());
            self.last_counters = Some(counters);
        }
        look
    }

    /// A target that did not answer is left alone for a while, so that the client's own samples go on.
    fn ask(&mut self) -> Option<TargetUsage> {
        let target = self.target.as_mut()?;
        if self.silent_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let answer = target.usage();
        self.silent_until = answer.is_err().then(|| Instant::now() + LEFT_ALONE);
        self.control_failures += u64::from(answer.is_err());
        answer.ok()
    }

    /// What the target counted since the first look, as of its last answer. A target that ran before
    /// has counted what others did to it, too; `live` alone is what it is now.
    pub fn counters(&self) -> Option<Counters> {
        Some(since(self.first_counters.as_ref()?, self.last_counters.as_ref()?))
    }

    /// Connections that the target had before the first of this run.
    fn strangers(&self) -> u64 {
        self.first_counters.as_ref().map_or(0, |counters| counters.live)
    }

    /// How often the control plane did not answer.
    pub fn control_failures(&self) -> u64 {
        self.control_failures
    }

    /// The target's control plane.
    pub fn control(&mut self) -> Option<&mut ControlClient> {
        self.target.as_mut()
    }

    /// Waits until the target holds `connections` more than before the run, answers nothing and keeps its
    /// memory, then samples everything.
    pub fn plateau(&mut self, connections: u64) -> Plateau {
        let until = Instant::now() + self.patience;
        let live = connections..=connections + self.strangers();
        let mut before = self.look();
        loop {
            pause(SETTLE_PAUSE);
            let now = self.look();
            let settled = at_rest(&before, &now, &live);
            if settled || Instant::now() >= until {
                if !settled {
                    // Whoever keeps it busy will do so at the next plateau, too.
                    self.patience = SETTLE_WITHIN / 8;
                }
                let Look { client, target, machine, target_machine } = now;
                return Plateau { connections, settled, client, target, machine, target_machine };
            }
            before = now;
        }
    }
}

/// Whether two looks, one after the other, show both ends at rest. A foreign target
/// cannot be seen; then only the client counts.
///
/// `live` is what the target may count: the connections of this run, and as many more as it had before.
fn at_rest(before: &Look, now: &Look, live: &RangeInclusive<u64>) -> bool {
    let steady = |a: &EndSample, b: &EndSample| {
        let moved = a.user_bytes.zip(b.user_bytes).map(|(a, b)| a.abs_diff(b));
        a.requests == b.requests && moved.is_none_or(|bytes| bytes <= SETTLED_BYTES)
    };
    let client = steady(&before.client, &now.client);
    match (&before.target, &now.target) {
        (Some(a), Some(b)) => {
            client && steady(a, b) && a.live == b.live && b.live.is_some_and(|count| live.contains(&count))
        }
        (None, None) => client,
        _ => false,
    }
}

/// What was counted between two looks.
fn since(first: &Counters, last: &Counters) -> Counters {
    let before = |refusal: &Refusal| {
        let same = |other: &&Refusal| other.phase == refusal.phase && other.error == refusal.error;
        first.refusals.iter().find(same).map_or(0, |other| other.count)
    };
    let refusals = last
        .refusals
        .iter()
        .map(|refusal| Refusal { count: refusal.count.saturating_sub(before(refusal)), ..refusal.clone() });
    Counters {
        accepted: last.accepted.saturating_sub(first.accepted),
        live: last.live,
        requests: last.requests.saturating_sub(first.requests),
        frame_errors: last.frame_errors.saturating_sub(first.frame_errors),
        refusals: refusals.filter(|refusal| refusal.count > 0).collect(),
    }
}

fn end_sample(t_s: f64, processes: &[ProcessUsage]) -> EndSample {
    let sum = |field: fn(&ProcessUsage) -> Option<u64>| processes.iter().map(field).sum::<Option<u64>>();
    EndSample {
        t_s,
        user_bytes: sum(|p| p.user_bytes),
        resident_bytes: sum(|p| p.resident_bytes),
        virtual_bytes: sum(|p| p.virtual_bytes),
        page_table_bytes: sum(|p| p.page_table_bytes),
        threads: sum(|p| p.threads),
        fds: sum(|p| p.fds),
        cpu_s: processes.iter().map(|p| p.cpu_s).sum(),
        live: None,
        requests: None,
    }
}

fn machine_sample(t_s: f64, usage: MachineUsage) -> MachineSample {
    MachineSample { t_s, kernel_bytes: usage.kernel_bytes(), usage }
}

#[expect(
    clippy::disallowed_methods,
    reason = "gives the target time to come to rest; nothing runs meanwhile"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

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
    /// Begins. `on_look` is called with each sample and the name of the phase.
    ///
    /// # Errors
    /// When the thread cannot be made, pthread_create(3).
    pub fn start(
        ends: Ends,
        per_s: f64,
        mut on_look: impl FnMut(&Look, &str) + Send + 'static,
    ) -> std::io::Result<Self> {
        let began = ends.began;
        let ends = Arc::new(Mutex::new(ends));
        let usage = Arc::new(Mutex::new(Usage::default()));
        let (errands, errand) = mpsc::channel();
        let (at, to) = (Arc::clone(&ends), Arc::clone(&usage));
        let interval = Duration::from_secs_f64(1.0 / per_s);
        let thread = std::thread::Builder::new().name("sampling".to_owned()).spawn(move || {
            let mut due = Instant::now() + interval;
            loop {
                let look = lock(&at).look();
                let phase = {
                    let mut usage = lock(&to);
                    add(&mut usage, &look);
                    usage.phases.last().map_or_else(|| "start".to_owned(), |mark| mark.name.clone())
                };
                on_look(&look, &phase);
                let wait = due.saturating_duration_since(Instant::now());
                match errand.recv_timeout(wait) {
                    // Out of turn: the next one in turn stays due when it was.
                    Ok(Errand::Look) => {}
                    Err(RecvTimeoutError::Timeout) => due = (due + interval).max(Instant::now()),
                    Ok(Errand::End) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
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
    pub fn collect(mut self) -> (Usage, Arc<Mutex<Ends>>, bool) {
        let whole = self.end();
        let mut usage = std::mem::take(&mut *lock(&self.usage));
        // Two threads add samples; a look that began first may be added second.
        for samples in [&mut usage.client, &mut usage.target] {
            samples.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        }
        for samples in [&mut usage.machine, &mut usage.target_machine] {
            samples.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        }
        (usage, Arc::clone(&self.ends), whole)
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

fn add(usage: &mut Usage, look: &Look) {
    usage.client.push(look.client.clone());
    usage.machine.push(look.machine.clone());
    usage.target.extend(look.target.clone());
    usage.target_machine.extend(look.target_machine.clone());
}

/// Locks; a thread that panicked while it held the lock left complete samples behind.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(live: u64, requests: u64, user_bytes: u64) -> Look {
        let target = EndSample {
            live: Some(live),
            requests: Some(requests),
            user_bytes: Some(user_bytes),
            ..EndSample::default()
        };
        Look { target: Some(target), ..Look::default() }
    }

    #[test]
    fn rest_needs_all_connections_no_requests_and_steady_memory() {
        let base = look(10, 5, 1 << 20);
        assert!(at_rest(&base, &look(10, 5, (1 << 20) + 4096), &(10..=10)));
        assert!(!at_rest(&base, &look(10, 5, 1 << 20), &(11..=11)), "one is missing");
        assert!(at_rest(&base, &look(10, 5, 1 << 20), &(8..=12)), "strangers may be among them");
        assert!(!at_rest(&base, &look(10, 6, 1 << 20), &(10..=10)), "it answers");
        assert!(!at_rest(&base, &look(10, 5, 2 << 20), &(10..=10)), "it grows");
        assert!(!at_rest(&base, &Look::default(), &(10..=10)), "it is gone");
        assert!(at_rest(&Look::default(), &Look::default(), &(10..=10)), "a foreign target cannot be seen");
    }

    #[test]
    fn counts_of_before_the_run_are_not_the_runs() {
        let refusal = |error: &str, count| Refusal { phase: "accept".into(), error: error.into(), count };
        let first = Counters {
            accepted: 5,
            requests: 9,
            refusals: vec![refusal("EMFILE", 7)],
            ..Counters::default()
        };
        let refusals = vec![refusal("EMFILE", 7), refusal("ENFILE", 2)];
        let last = Counters { accepted: 8, live: 3, requests: 10, refusals, ..Counters::default() };
        let run = since(&first, &last);
        assert_eq!((run.accepted, run.live, run.requests), (3, 3, 1));
        assert_eq!(run.refusals, [refusal("ENFILE", 2)]);
    }

    #[test]
    fn one_unknown_process_makes_the_sum_unknown() {
        let known = ProcessUsage { threads: Some(2), cpu_s: Some(0.5), ..ProcessUsage::default() };
        let sum = end_sample(0.0, &[known.clone(), known.clone()]);
        assert_eq!((sum.threads, sum.cpu_s, sum.fds), (Some(4), Some(1.0), None));
        assert_eq!(end_sample(0.0, &[known, ProcessUsage::default()]).threads, None);
    }
}

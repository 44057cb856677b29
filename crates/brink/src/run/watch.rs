//! One or more courses of the client engine over one target, with both ends looked at meanwhile. Must not decide how
//! many connections are opened, or judge what became of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brink_client::{Engine, LiveCounters, LiveSnapshot, LoadOptions, Observer, Outcome, Phase, Stop, parts};
use brink_results::schema::{End, Failure, PhaseMark, Plateau, Usage};

use super::background::{self, Background, Ended};
use super::witness::{Limits, Testimony, Witness};
use crate::audience::unix_s;
use crate::client_parts::{self, Crew};
use crate::ends::{Ends, Look, Sampling, lock};
use crate::progress::{Details, LatencySoFar, Snapshot};
use crate::reach::Reached;

/// The limits of both ends are read no more often than this while all goes well.
const READ_EVERY: Duration = Duration::from_secs(1);

/// What the phases of a course are called in the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// By what they are.
    Plain,
    /// A way up whose figures are not the result's: `climb` and `release`.
    Scouting,
}

impl Names {
    fn of(self, phase: Phase) -> &'static str {
        match (self, phase) {
            (Self::Plain, Phase::Ramp) => "ramp",
            (Self::Plain, Phase::Close) => "close",
            (Self::Scouting, Phase::Ramp) => "climb",
            (Self::Scouting, Phase::Close) => "release",
            (_, Phase::Warmup) => "warmup",
            (_, Phase::Window) => "window",
            (_, Phase::Drain) => "drain",
        }
    }
}

/// What became of one course.
pub struct Course {
    /// By the engine.
    pub outcome: Outcome,
    /// On the way up.
    pub plateaus: Vec<Plateau>,
    /// What became of the other load of the target, where one was begun.
    pub background: Option<Ended>,
}

/// What the engine is asked to do in one course, and what else loads the target meanwhile.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// By which engine.
    pub engine: &'a Engine,
    /// And what.
    pub options: &'a LoadOptions,
    /// In how many processes.
    pub processes: u32,
    /// The other load, from the warm-up on.
    pub background: Option<&'a background::Asked>,
}

/// Is told of each look at both ends while a course runs, on the thread that looks.
pub trait Onlooker: FnMut(&Look, &Snapshot) + Send + 'static {}

impl<F: FnMut(&Look, &Snapshot) + Send + 'static> Onlooker for F {}

/// See the module.
pub struct Watch {
    ends: Arc<Mutex<Ends>>,
    witness: Arc<Mutex<Witness>>,
    usage: Usage,
    is_whole: bool,
    samples_per_s: f64,
}

impl Watch {
    /// Looks at both ends for the first time.
    pub fn new(began: Instant, reached: &mut Reached, same_machine: bool, samples_per_s: f64) -> Self {
        let pid = reached.pid_here(same_machine);
        let witness = Witness::new(reached.address, pid);
        // The counters of a course take the place of these.
        let live = Arc::new(LiveCounters::new(0));
        let mut ends = Ends::new(began, live, reached.watch(), same_machine);
        let first = ends.look();
        let mut watch = Self {
            ends: Arc::new(Mutex::new(ends)),
            witness: Arc::new(Mutex::new(witness)),
            usage: Usage::default(),
            is_whole: true,
            samples_per_s,
        };
        lock(&watch.witness).look(&first, 0);
        watch.note_limits();
        watch
    }

    /// Runs one course.
    ///
    /// # Errors
    /// What kept the engine, or the sampling, from running.
    pub fn course(
        &mut self,
        task: Task<'_>,
        stop: &Stop,
        names: Names,
        onlooker: impl Onlooker,
    ) -> std::io::Result<Course> {
        let Task { engine, options, processes, .. } = task;
        // Before the first sample: what they take of memory by themselves is no connection's.
        let crew = (processes > 1).then(|| client_parts::start(processes)).transpose()?;
        let live = Arc::new(LiveCounters::new(match &crew {
            Some(crew) => crew.parts.len() as u32,
            None => engine.workers(options),
        }));
        let pids = crew.as_ref().map_or(&[][..], |crew| crew.pids.as_slice());
        lock(&self.ends).follow(Arc::clone(&live), pids);
        let look = self.looking(options.connections, Arc::clone(&live), onlooker);
        let sampling = Sampling::start(Arc::clone(&self.ends), self.samples_per_s, look)?;
        let mut watcher = Watcher {
            sampling: &sampling,
            witness: &self.witness,
            names,
            plateaus: Vec::new(),
            read: Instant::now(),
            was_read_at_the_top: false,
            beside: Beside { task, stop, is_due_to_end: false, running: None, failed: None },
        };
        let ran = match crew {
            Some(Crew { board, parts, .. }) => {
                parts::lead((engine.name, options), (board, parts), stop, &live, &mut watcher)
            }
            None => brink_client::run(engine, options, stop, &live, &mut watcher),
        };
        let Watcher { plateaus, beside, .. } = watcher;
        let background = beside.end();
        let (usage, whole) = sampling.collect();
        self.is_whole &= whole;
        append(&mut self.usage, usage);
        Ok(Course { outcome: ran?, plateaus, background })
    }

    /// What is done at each look: noted, and told on.
    fn looking(
        &self,
        requested: u64,
        live: Arc<LiveCounters>,
        mut onlooker: impl Onlooker,
    ) -> impl FnMut(&Look, &str, &[PhaseMark]) + Send + 'static {
        let (witness, ends) = (Arc::clone(&self.witness), Arc::clone(&self.ends));
        let mut telling = Telling {
            requested,
            live: Arc::clone(&live),
            last: None,
            lost: 0,
            failures: Failures::default(),
        };
        move |look, phase, marks| {
            let now = live.snapshot();
            let is_new = lock(&witness).look(look, now.failed);
            if is_new {
                let limits = Limits::of(&mut lock(&ends));
                lock(&witness).note_limits(limits);
            }
            let latency = {
                let ends = lock(&ends);
                let total = ends.latencies();
                LatencySoFar {
                    below_bounds: total.below_bounds(),
                    count: total.count(),
                    sum_s: total.sum_s(),
                }
            };
            let details = Details { unix_s: unix_s(), look: look.clone(), marks: marks.to_vec(), latency };
            let snapshot = telling.snapshot(now, phase, details);
            onlooker(look, &snapshot);
        }
    }

    /// Reads the limits of both ends now.
    fn note_limits(&mut self) {
        let limits = Limits::of(&mut lock(&self.ends));
        lock(&self.witness).note_limits(limits);
    }

    /// What was noted so far of the limits, and of the ports that were taken before.
    pub fn with_witness<T>(&self, look: impl FnOnce(&Witness) -> T) -> T {
        look(&lock(&self.witness))
    }

    /// Looks at both ends out of turn.
    pub fn look(&self) -> Look {
        let look = lock(&self.ends).look();
        lock(&self.witness).look(&look, 0);
        look
    }

    /// Looks at both ends and their limits before anything is opened. What was in use until now is not the run's, unless
    /// the target does not answer: then `false`.
    pub fn look_afresh(&mut self) -> bool {
        let (look, limits) = {
            let mut ends = lock(&self.ends);
            (ends.look(), Limits::of(&mut ends))
        };
        lock(&self.witness).begin_anew(&look, limits)
    }

    /// Does something with both ends, between two courses.
    pub fn with_ends<T>(&self, act: impl FnOnce(&mut Ends) -> T) -> T {
        act(&mut lock(&self.ends))
    }

    /// What was noted, at the end. `how`: in which words a target ended that was to live on.
    pub fn testify(&self, how: Option<&str>) -> Testimony {
        let look = lock(&self.ends).look();
        let mut witness = lock(&self.witness);
        witness.look(&look, 0);
        witness.testify(how)
    }

    /// Calls phases otherwise.
    pub fn rename(&mut self, names: &[(&str, &str)]) {
        for mark in &mut self.usage.phases {
            if let Some((_, name)) = names.iter().find(|(old, _)| *old == mark.name) {
                (*name).clone_into(&mut mark.name);
            }
        }
    }

    /// Samples of all courses, and whether the sampling saw them to their end.
    pub fn take_usage(&mut self) -> (Usage, bool) {
        (std::mem::take(&mut self.usage), self.is_whole)
    }
}

/// Makes snapshots of one course.
struct Telling {
    requested: u64,
    live: Arc<LiveCounters>,
    /// When the one before was made, connections opened by then, and requests answered.
    last: Option<(f64, u64, u64)>,
    /// Lost before the connections were closed.
    lost: u64,
    failures: Failures,
}

impl Telling {
    fn snapshot(&mut self, now: LiveSnapshot, phase: &str, details: Details) -> Snapshot {
        let look = &details.look;
        let t_s = look.client.t_s;
        let per_s = |count: u64, before: u64, since_s: f64| (count.saturating_sub(before)) as f64 / since_s;
        let (connects_per_s, requests_per_s) = match self.last.replace((t_s, now.opened, now.completed)) {
            Some((then_s, opened, completed)) if t_s > then_s => {
                (per_s(now.opened, opened, t_s - then_s), per_s(now.completed, completed, t_s - then_s))
            }
            _ => (0.0, 0.0),
        };
        if !matches!(phase, "close" | "release") {
            self.lost = now.opened.saturating_sub(now.live);
        }
        let target = look.target.as_ref();
        Snapshot {
            phase: phase.to_owned(),
            t_s,
            requested: self.requested,
            attempted: now.attempted,
            opened: now.opened,
            live: now.live,
            lost: self.lost,
            failed: now.failed,
            connects_per_s,
            requests: now.completed,
            requests_per_s,
            in_flight: now.in_flight,
            latency_p99_ns: look.client.latency_p99_ns,
            client_user_bytes: look.client.user_bytes,
            client_threads: look.client.threads,
            target_user_bytes: target.and_then(|target| target.user_bytes),
            target_threads: target.and_then(|target| target.threads),
            failures: self.failures.note(&self.live, look, now.live),
            details: Some(Box::new(details)),
        }
    }
}

/// What failed so far on both ends.
#[derive(Default)]
struct Failures {
    in_all: u64,
    client: Vec<Failure>,
    target: Vec<Failure>,
}

impl Failures {
    /// What the client counted is taken only where there is more of it than before: that takes locks.
    fn note(&mut self, live: &LiveCounters, look: &Look, connections: u64) -> Vec<Failure> {
        let in_all = live.failures_in_all();
        if in_all != self.in_all {
            self.in_all = in_all;
            let seen = live.failures().into_iter().map(|seen| Failure {
                end: End::Client,
                phase: seen.phase.to_owned(),
                errno: seen.errno,
                count: seen.count,
                first_at_connections: seen.first_at_connections,
            });
            self.client = seen.collect();
        }
        for refusal in &look.refusals {
            let known = self.target.iter_mut().find(|known| {
                (known.phase.as_str(), known.errno.as_str())
                    == (refusal.phase.as_str(), refusal.error.as_str())
            });
            match known {
                Some(known) => known.count = refusal.count,
                None => self.target.push(Failure {
                    end: End::Target,
                    phase: refusal.phase.clone(),
                    errno: refusal.error.clone(),
                    count: refusal.count,
                    first_at_connections: connections,
                }),
            }
        }
        self.client.iter().chain(&self.target).cloned().collect()
    }
}

fn append(usage: &mut Usage, more: Usage) {
    usage.client.extend(more.client);
    usage.target.extend(more.target);
    usage.machine.extend(more.machine);
    usage.target_machine.extend(more.target_machine);
    usage.phases.extend(more.phases);
    if let Some(cost) = more.sampling {
        let sum = usage.sampling.get_or_insert_default();
        sum.samples += cost.samples;
        sum.cpu_s += cost.cpu_s;
        sum.span_s += cost.span_s;
    }
}

/// Follows a course: marks its phases, samples its plateaus, and reads the limits where most of them is used.
struct Watcher<'a> {
    sampling: &'a Sampling,
    witness: &'a Mutex<Witness>,
    names: Names,
    plateaus: Vec<Plateau>,
    read: Instant,
    was_read_at_the_top: bool,
    beside: Beside<'a>,
}

/// The other load of the target: begun with all connections open and their memory sampled, ended with the window.
struct Beside<'a> {
    task: Task<'a>,
    stop: &'a Stop,
    /// Whether the window is over by its clock.
    is_due_to_end: bool,
    running: Option<Background>,
    failed: Option<Ended>,
}

impl Beside<'_> {
    fn phase(&mut self, phase: Phase) {
        match (phase, self.task.background) {
            (Phase::Warmup, Some(asked)) => match Background::start(asked, self.stop) {
                Ok(running) => self.running = Some(running),
                Err(error) => self.failed = Some(Ended { outcome: Err(error), faults: Vec::new() }),
            },
            // Its own window is as long, unless the last of a number of requests ended this one.
            (Phase::Drain, _) => self.is_due_to_end = self.task.options.requests.is_none(),
            _ => {}
        }
        if let (Phase::Drain | Phase::Close, false, Some(running)) =
            (phase, self.is_due_to_end, &self.running)
        {
            running.cut_short();
        }
    }

    fn end(self) -> Option<Ended> {
        self.running.map(|running| running.end(self.stop)).or(self.failed)
    }
}

impl Watcher<'_> {
    fn read_limits(&mut self) {
        let now = self.sampling.with_ends(Limits::of);
        lock(self.witness).note_limits(now);
        self.read = Instant::now();
    }
}

impl Observer for Watcher<'_> {
    fn phase(&mut self, phase: Phase) {
        self.beside.phase(phase);
        // With all connections open: before the requests, right after them, or where there are none.
        let is_top = matches!(phase, Phase::Warmup | Phase::Drain);
        if is_top || (phase == Phase::Close && !self.was_read_at_the_top) {
            self.read_limits();
            self.was_read_at_the_top = true;
        }
        self.sampling.mark(self.names.of(phase));
    }

    fn plateau(&mut self, connections_open: u64) {
        // After failures two plateaus can hold the same number; it is one point all the same.
        if self.plateaus.last().is_none_or(|last| last.connections < connections_open) {
            self.plateaus.push(self.sampling.plateau(connections_open));
        }
        // A target that dies on the way has said by then what it could.
        if self.read.elapsed() >= READ_EVERY {
            self.read_limits();
        }
    }
}

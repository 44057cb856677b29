//! What else tells causes apart, noted while a case runs, when only the moment shows it: how long the accept queue
//! was, whether the target was stopped or stood in line for a CPU, what its machine and its control groups counted,
//! and what of each limit was in use. Must not infer anything.

use std::net::SocketAddr;
use std::time::Instant;

use brink_host::classify::{Ended, TargetState};
use brink_host::connections::{self, PairUse};
use brink_host::descent::Descent;
use brink_host::usage::{self, MachineSampler, ProcessState};
use brink_results::schema::EndSample;
use brink_wire::control::{CgroupUsage, LimitReading, MachineUsage};

use crate::ends::{Ends, Look};

/// Processes of a target whose time in line for a CPU is read.
const PROCESSES_MAX: usize = 64;
/// The part of the memory that may still be missing.
const MEMORY_BACK: u64 = 200;
/// Seconds between two looks at it while all goes well.
const WAITED_EVERY_S: f64 = 2.0;
/// How many times as long as it took the tables of sockets are not read again.
const TABLES_REST: f64 = 100.0;
/// Of the time that passed, the share from which standing in line for a CPU says something.
const WAITED_SHARE_MIN: f64 = 0.5;

/// See the module.
pub struct Witness {
    address: SocketAddr,
    /// First process of the target, where it is on this machine.
    pid: Option<u32>,
    client: Counted,
    target: Option<Counted>,
    /// Before anything was opened.
    ports: Option<Vec<PairUse>>,
    accept_queue: Option<u64>,
    /// Most connections that the target counted as open.
    live: Option<u64>,
    /// Most threads that all its processes had.
    threads: Option<u64>,
    /// When the tables of sockets may be read again, in seconds since the case began.
    tables_due_s: f64,
    waited: Waited,
    limits: Limits,
    is_in_trouble: bool,
    was_alive: bool,
    /// Whether its first process was seen stopped.
    was_stopped: bool,
    /// Whether nobody listened at its address, once something had failed.
    was_deserted: bool,
}

/// What a machine and the control groups of one process on it count, from before the run on.
pub struct Counted {
    /// Where they can be read here, also after the process has ended.
    sampler: Option<MachineSampler>,
    before: MachineUsage,
    /// At the last look but one at which the process lived.
    alive: MachineUsage,
    now: MachineUsage,
}

impl Counted {
    /// Of a process of this machine, from now on.
    pub fn of(pid: u32) -> Self {
        let sampler = MachineSampler::of(pid);
        let before = sampler.sample();
        Self { sampler: Some(sampler), alive: before.clone(), now: before.clone(), before }
    }

    fn told(usage: MachineUsage) -> Self {
        Self { sampler: None, alive: usage.clone(), now: usage.clone(), before: usage }
    }

    /// Counts as of now, while the process is seen to live. What is counted from the look before this one on may be what
    /// ends it; what was counted earlier was somebody else's. Not from this one on: the kernel counts a kill a moment
    /// before the process is gone.
    pub fn lives(&mut self) {
        if let Some(sampler) = &self.sampler {
            self.alive = std::mem::replace(&mut self.now, sampler.sample());
        }
    }

    fn refresh(&mut self) {
        if let Some(sampler) = &self.sampler {
            self.now = sampler.sample();
        }
    }

    /// What was counted around its end.
    pub fn end(mut self) -> (MachineUsage, MachineUsage) {
        self.refresh();
        (self.alive, self.now)
    }
}

/// Limits of both ends with their use, each at its most.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// The client's.
    pub client: Vec<LimitReading>,
    /// The target's; empty where they cannot be told.
    pub target: Vec<LimitReading>,
}

impl Limits {
    /// As they are now. Takes up to tens of milliseconds.
    pub fn of(ends: &mut Ends) -> Self {
        Self { client: brink_host::limits::read(ends.fullest_of_client()), target: ends.target_limits() }
    }

    /// Of each limit the reading with more use. A target that does not answer any more keeps what it said before.
    fn note(&mut self, now: Self) {
        most_used(&mut self.client, now.client);
        most_used(&mut self.target, now.target);
    }
}

fn most_used(before: &mut Vec<LimitReading>, now: Vec<LimitReading>) {
    if before.is_empty() {
        *before = now;
        return;
    }
    for one in before {
        let Some(later) = now.iter().find(|other| other.name == one.name) else { continue };
        let is_more = later.used > one.used;
        if later.value.is_some() && (is_more || one.value.is_none()) {
            // A value that was not known then, or was lowered meanwhile, comes with its use.
            *one = later.clone();
        } else if is_more {
            one.used = later.used;
        }
    }
}

/// Time that the target's threads stood in line for a CPU, and ran, as of the last look before anything failed.
#[derive(Debug, Clone, Copy, Default)]
struct Waited {
    since: Option<Standing>,
    now: Option<Standing>,
}

/// How long the target's threads stood in line, and ran, in seconds, and when.
#[derive(Debug, Clone, Copy)]
struct Standing {
    t_s: f64,
    waited_s: f64,
    ran_s: f64,
}

impl Waited {
    /// Whether it is time to look again although nothing is wrong: each thread has a file of its own.
    fn is_due(self, t_s: f64) -> bool {
        self.now.is_none_or(|now| t_s - now.t_s >= WAITED_EVERY_S)
    }

    fn note(&mut self, is_in_trouble: bool, seen: Option<Standing>) {
        let Some(seen) = seen else { return };
        self.now = Some(seen);
        if !is_in_trouble || self.since.is_none() {
            self.since = Some(seen);
        }
    }

    /// Of the time that its threads could have run. One that hardly wants to run is not kept from it: unless it stood
    /// in line for half of the time that passed, that says nothing.
    fn ratio(self) -> Option<f64> {
        let (since, now) = (self.since?, self.now?);
        let (passed, waited, ran) =
            (now.t_s - since.t_s, now.waited_s - since.waited_s, now.ran_s - since.ran_s);
        let says = waited >= WAITED_SHARE_MIN * passed && ran >= 0.0 && passed > 0.0;
        says.then(|| waited / (waited + ran))
    }
}

/// What was noted.
pub struct Testimony {
    /// Of the target's process.
    pub target: TargetState,
    /// Limits, each at its most use.
    pub limits: Limits,
    /// What the target's machine counted, before and now, where that is known.
    pub target_machine: Option<(MachineUsage, MachineUsage)>,
    /// The same from shortly before the target ended, if it has.
    pub target_end: Option<(MachineUsage, MachineUsage)>,
    /// What the client's machine counted.
    pub client_machine: (MachineUsage, MachineUsage),
    /// Ports towards the target that others held before anything was opened, by source. `None`: not known.
    pub ports: Option<Vec<PairUse>>,
}

impl Testimony {
    /// The target had ended by itself, in these words.
    pub fn note_end(&mut self, how: &str) {
        self.target.ended = self.target.ended.or_else(|| Ended::parse(how));
    }

    /// What the control groups of the client counted, before and now.
    pub fn cgroup_of_client(&self) -> Option<(&CgroupUsage, &CgroupUsage)> {
        cgroup(&self.client_machine)
    }

    /// The same of the target, from shortly before it ended.
    pub fn cgroup_at_the_end(&self) -> Option<(&CgroupUsage, &CgroupUsage)> {
        cgroup(self.target_end.as_ref()?)
    }

    /// The same of the target.
    pub fn cgroup_of_target(&self) -> Option<(&CgroupUsage, &CgroupUsage)> {
        cgroup(self.target_machine.as_ref()?)
    }
}

fn cgroup((before, now): &(MachineUsage, MachineUsage)) -> Option<(&CgroupUsage, &CgroupUsage)> {
    before.cgroup.as_ref().zip(now.cgroup.as_ref())
}

impl Witness {
    /// Before anything is opened. `pid`: the target's first process, where it is on this machine.
    pub fn new(address: SocketAddr, pid: Option<u32>) -> Self {
        Self {
            address,
            pid,
            client: Counted::of(std::process::id()),
            target: pid.map(Counted::of),
            ports: connections::towards(address),
            accept_queue: None,
            live: None,
            threads: None,
            tables_due_s: 0.0,
            waited: Waited::default(),
            limits: Limits::default(),
            is_in_trouble: false,
            was_stopped: false,
            was_deserted: false,
            was_alive: pid.and_then(usage::state).is_some_and(|state| state != ProcessState::Ended),
        }
    }

    /// Ports towards the target that others held before anything was opened.
    pub fn ports(&self) -> Option<&[PairUse]> {
        self.ports.as_deref()
    }

    /// At each look at both ends. `failed`: connections that failed so far. Returns whether this is the first look
    /// since something failed: then the limits are worth reading.
    pub fn look(&mut self, look: &Look, failed: u64) -> bool {
        let is_due = self.is_in_trouble || self.waited.is_due(look.client.t_s);
        let pid = self.pid.filter(|_| is_due);
        let waits = pid.and_then(|pid| time_of(pid, look.target.as_ref()));
        let is_new = failed > 0 && !self.is_in_trouble;
        self.waited.note(self.is_in_trouble, waits);
        self.is_in_trouble |= failed > 0;
        let here = self.accept_queue_here(look);
        self.accept_queue = self.accept_queue.max(here).max(look.accept_queue);
        self.live = self.live.max(look.target.as_ref().and_then(|target| target.live));
        self.threads = self.threads.max(look.target.as_ref().and_then(|target| target.threads));
        self.note_life(look);
        match (&mut self.target, &look.target_machine) {
            (Some(counted), Some(told)) if counted.sampler.is_none() => counted.now = told.usage.clone(),
            (none @ None, Some(told)) => *none = Some(Counted::told(told.usage.clone())),
            _ => {}
        }
        is_new
    }

    /// The accept queue as the tables of sockets have it, for a target that does not say, or does not answer in trouble.
    ///
    /// Where no IPv6 socket listens the kernel looks through all sockets there are to find that out
    /// (net/ipv4/tcp_ipv4.c, established_get_first), which a million of them make long: it may take a hundredth of the
    /// time.
    fn accept_queue_here(&mut self, look: &Look) -> Option<u64> {
        let pid = self.pid.filter(|_| look.accept_queue.is_none() && look.client.t_s >= self.tables_due_s)?;
        let began = Instant::now();
        let here = connections::accept_queue(pid, self.address);
        self.was_deserted |= here.is_none()
            && self.is_in_trouble
            && connections::is_listening(pid, self.address) == Some(false);
        self.tables_due_s = look.client.t_s + TABLES_REST * began.elapsed().as_secs_f64();
        here
    }

    /// A process without memory of its own is about to be gone.
    fn note_life(&mut self, look: &Look) {
        let lives = look.target.as_ref().is_some_and(|target| target.user_bytes.is_some());
        if let Some(counted) = self.target.as_mut().filter(|_| lives) {
            counted.lives();
        }
        self.was_stopped |= self.pid.and_then(usage::state) == Some(ProcessState::Stopped);
    }

    /// Limits as they are now.
    pub fn note_limits(&mut self, now: Limits) {
        self.limits.note(now);
    }

    /// What was in use until now is forgotten, unless one that told of it before is silent now. Returns whether it was.
    pub fn begin_anew(&mut self, look: &Look, limits: Limits) -> bool {
        let is_silent = look.target.is_none() && self.threads.is_some()
            || limits.target.is_empty() && !self.limits.target.is_empty();
        if is_silent {
            return false;
        }
        (self.limits, self.live, self.threads) = (limits, None, None);
        self.look(look, 0);
        true
    }

    /// Whether nearly as much memory is available as before the first connection: a kernel takes its time to take back
    /// what thousands of threads had.
    pub fn is_memory_back(&self, look: &Look) -> bool {
        let then = self.client.before.available_bytes;
        then.zip(look.machine.usage.available_bytes)
            .is_none_or(|(then, now)| now >= then - then / MEMORY_BACK)
    }

    /// Limits of both ends, each at its most use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Most connections that the target counted as open so far.
    pub fn live(&self) -> Option<u64> {
        self.live
    }

    /// Most threads that all processes of the target had so far.
    pub fn threads(&self) -> Option<u64> {
        self.threads
    }

    /// First process of the target, where it is on this machine.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Whether the target's process, which lived when it was first looked at, is gone.
    pub fn is_gone(&self) -> bool {
        let state = self.pid.map(usage::state);
        self.was_alive && matches!(state, Some(None | Some(ProcessState::Ended)))
    }

    /// A process of the target that is stopped.
    pub fn stopped(&self) -> Option<u32> {
        self.pid.and_then(stopped)
    }

    /// At the end, before a target that brink started is stopped. `how`: in which words a target ended that was to
    /// live on.
    pub fn testify(&mut self, how: Option<&str>) -> Testimony {
        self.client.refresh();
        if let Some(target) = &mut self.target {
            target.refresh();
        }
        let stopped = self.pid.and_then(stopped);
        let target = TargetState {
            pid: stopped.or(self.pid),
            state: match stopped {
                Some(_) => Some(ProcessState::Stopped),
                None => self.pid.and_then(usage::state),
            },
            ended: how.and_then(Ended::parse),
            live: self.live,
            is_listening: match self.was_deserted {
                true => Some(false),
                false => self.pid.and_then(|pid| connections::is_listening(pid, self.address)),
            },
            accept_queue: self.accept_queue,
            was_stopped: self.was_stopped,
            run_wait_ratio: self.waited.ratio(),
            threads: self.threads,
        };
        let pair = |counted: &Counted| (counted.before.clone(), counted.now.clone());
        Testimony {
            target,
            limits: std::mem::take(&mut self.limits),
            target_machine: self.target.as_ref().map(pair),
            target_end: self.target.as_ref().map(|counted| (counted.alive.clone(), counted.now.clone())),
            client_machine: pair(&self.client),
            ports: self.ports.clone(),
        }
    }
}

/// The first process of a target that is stopped.
fn stopped(pid: u32) -> Option<u32> {
    let of_family = Descent::of(pid).refresh().iter().map(|kin| kin.pid).collect::<Vec<_>>();
    std::iter::once(pid).chain(of_family).find(|&pid| usage::state(pid) == Some(ProcessState::Stopped))
}

fn time_of(pid: u32, sample: Option<&EndSample>) -> Option<Standing> {
    let sample = sample?;
    let pids: Vec<u32> = match sample.workers.as_slice() {
        [] => vec![pid],
        workers => workers.iter().take(PROCESSES_MAX).map(|worker| worker.pid).collect(),
    };
    let waited_s = pids.into_iter().map(usage::run_wait_s).sum::<Option<f64>>()?;
    Some(Standing { t_s: sample.t_s, waited_s, ran_s: sample.cpu_s? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_where_most_of_it_is_used() {
        let reading = |name: &str, value, used| LimitReading {
            name: name.to_owned(),
            value,
            hard: None,
            used,
            source: String::new(),
            note: None,
        };
        let limits = |value, a, b| Limits {
            client: vec![],
            target: vec![reading("a", value, a), reading("b", value, b)],
        };
        let mut most = limits(Some(40), Some(13), Some(9));
        most.note(limits(Some(40), Some(40), None));
        let used: Vec<_> = most.target.iter().map(|reading| reading.used).collect();
        assert_eq!(used, [Some(40), Some(9)]);
        most.note(Limits::default());
        assert_eq!(most.target.len(), 2, "one that is gone keeps what it said");
        most.note(limits(None, Some(41), None));
        assert_eq!((most.target[0].value, most.target[0].used), (Some(40), Some(41)), "a value stays known");
        let mut unknown = limits(None, None, None);
        unknown.note(limits(Some(7), None, None));
        assert_eq!(unknown.target[0].value, Some(7));
    }

    #[test]
    fn time_in_line_counts_from_the_first_failure_on() {
        let mut waited = Waited::default();
        assert_eq!(waited.ratio(), None);
        let at = |t_s, waited_s, ran_s| Some(Standing { t_s, waited_s, ran_s });
        waited.note(false, at(1.0, 5.0, 10.0));
        waited.note(false, at(2.0, 6.0, 20.0));
        waited.note(true, at(6.0, 9.0, 21.0));
        assert_eq!(waited.ratio(), Some(0.75));
        waited.note(true, None);
        assert_eq!(waited.ratio(), Some(0.75));
        assert!(!waited.is_due(7.9) && waited.is_due(8.0));
        waited.note(true, at(9.0, 9.1, 21.0));
        assert_eq!(waited.ratio(), None, "it hardly wanted to run");
    }

    #[test]
    fn this_process_is_alive_and_counted() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut witness = Witness::new(listener.local_addr().unwrap(), Some(std::process::id()));
        assert!(!witness.look(&Look::default(), 0));
        assert!(witness.look(&Look::default(), 1), "it is new");
        assert!(!witness.look(&Look::default(), 2));
        let told = witness.testify(Some("signal: 9 (SIGKILL)"));
        assert_eq!((told.target.state, told.target.is_listening), (Some(ProcessState::Alive), Some(true)));
        assert_eq!((told.target.accept_queue, told.target.ended), (Some(0), Some(Ended::Signal(9))));
        assert!(told.target_machine.is_some() && told.client_machine.0.available_bytes.is_some());
    }
}

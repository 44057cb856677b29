//! How a target is looked at: through its control plane, through /proc, or not at all. Must not
//! keep samples or judge them.

use std::time::{Duration, Instant};

use brink_client::control::ControlClient;
use brink_host::usage::TreeSampler;
use brink_wire::control::{Counters, DeadWorker, LimitReading, MachineUsage, ProcessUsage};

/// How long a target is left alone after it did not answer.
const LEFT_ALONE: Duration = Duration::from_secs(5);

/// A target as far as it can be seen.
pub enum Watched {
    /// A foreign one, elsewhere or of an unknown process.
    Unseen,
    /// It tells about itself.
    Tells(Box<Teller>),
    /// It does not, but its processes are on this machine.
    Processes(Box<Processes>),
}

/// A target that tells about itself.
pub struct Teller {
    control: ControlClient,
    failures: u64,
    silent_until: Option<Instant>,
    departed: Departed,
    dead_workers: Vec<DeadWorker>,
}

/// A process of this machine, with what descends from it.
pub struct Processes {
    pid: u32,
    sampler: TreeSampler,
    /// The one with most descriptors, at the last look.
    busiest: u32,
}

/// A target at one instant.
#[derive(Debug, Default)]
pub struct Seen {
    /// Serving processes, one by one.
    pub processes: Vec<ProcessUsage>,
    /// CPU time of processes that have ended, in seconds: the sum over the living would fall without it.
    pub gone_cpu_s: f64,
    /// What it counted; a foreign target does not say.
    pub counters: Option<Counters>,
    /// Connections that wait to be accepted, as it says.
    pub accept_queue: Option<u64>,
    /// Its machine; known only where it tells.
    pub machine: Option<MachineUsage>,
}

impl Watched {
    /// A target with this control plane, else with this process on this machine.
    pub fn new(control: Option<ControlClient>, pid: Option<u32>) -> Self {
        match (control, pid) {
            (Some(control), _) => Self::Tells(Box::new(Teller {
                control,
                failures: 0,
                silent_until: None,
                departed: Departed::default(),
                dead_workers: Vec::new(),
            })),
            (None, Some(pid)) => {
                Self::Processes(Box::new(Processes { pid, sampler: TreeSampler::of(pid), busiest: pid }))
            }
            (None, None) => Self::Unseen,
        }
    }

    /// One look. `None`: it cannot be seen, did not answer, or has ended.
    pub fn look(&mut self) -> Option<Seen> {
        match self {
            Self::Unseen => None,
            Self::Tells(teller) => teller.look(),
            Self::Processes(processes) => processes.look(),
        }
    }

    /// Limits as its busiest process meets them; none where they cannot be told.
    pub fn limits(&mut self) -> Vec<LimitReading> {
        match self {
            Self::Unseen => Vec::new(),
            Self::Tells(teller) => teller.control.limits().unwrap_or_default(),
            Self::Processes(processes) => brink_host::limits::read(processes.busiest),
        }
    }

    /// Its control plane.
    pub fn control(&mut self) -> Option<&mut ControlClient> {
        match self {
            Self::Tells(teller) => Some(&mut teller.control),
            Self::Unseen | Self::Processes(_) => None,
        }
    }

    /// How often its control plane did not answer.
    pub fn control_failures(&self) -> u64 {
        match self {
            Self::Tells(teller) => teller.failures,
            Self::Unseen | Self::Processes(_) => 0,
        }
    }

    /// Serving processes that it says have died.
    pub fn dead_workers(&self) -> &[DeadWorker] {
        match self {
            Self::Tells(teller) => &teller.dead_workers,
            Self::Unseen | Self::Processes(_) => &[],
        }
    }
}

impl Teller {
    /// A target that did not answer is left alone for a while, so that the client's own samples go on.
    fn look(&mut self) -> Option<Seen> {
        if self.silent_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let answer = self.control.usage();
        self.silent_until = answer.is_err().then(|| Instant::now() + LEFT_ALONE);
        self.failures += u64::from(answer.is_err());
        let usage = answer.ok()?;
        let gone_cpu_s = self.departed.note(&usage.processes);
        self.dead_workers = usage.dead_workers;
        Some(Seen {
            processes: usage.processes,
            gone_cpu_s,
            counters: Some(usage.counters),
            accept_queue: usage.accept_queue,
            machine: Some(usage.machine),
        })
    }
}

impl Processes {
    fn look(&mut self) -> Option<Seen> {
        let processes = self.sampler.sample();
        self.busiest =
            processes.iter().max_by_key(|process| process.fds).map_or(self.pid, |process| process.pid);
        let gone_cpu_s = self.sampler.gone_cpu_s();
        (!processes.is_empty()).then_some(Seen {
            processes,
            gone_cpu_s,
            counters: None,
            accept_queue: None,
            machine: None,
        })
    }
}

/// CPU time of processes that are no longer told of.
#[derive(Debug, Default)]
struct Departed {
    last: Vec<(u32, f64)>,
    cpu_s: f64,
}

impl Departed {
    fn note(&mut self, now: &[ProcessUsage]) -> f64 {
        let gone = |pid: u32| now.iter().all(|process| process.pid != pid);
        self.cpu_s += self.last.iter().filter(|(pid, _)| gone(*pid)).map(|(_, cpu_s)| cpu_s).sum::<f64>();
        // Of one that is just ending its time is not known any more, but it was.
        let before = |pid: u32| self.last.iter().find(|(known, _)| *known == pid).map(|(_, cpu_s)| *cpu_s);
        let known =
            |process: &ProcessUsage| Some((process.pid, process.cpu_s.or_else(|| before(process.pid))?));
        let now = now.iter().filter_map(known).collect();
        self.last = now;
        self.cpu_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_of_a_worker_that_died_stays_in_the_sum() {
        let process = |pid, cpu_s| ProcessUsage { pid, cpu_s: Some(cpu_s), ..ProcessUsage::default() };
        let mut departed = Departed::default();
        assert_eq!(departed.note(&[process(1, 1.0), process(2, 2.0)]), 0.0);
        assert_eq!(departed.note(&[process(1, 1.5)]), 2.0);
        assert_eq!(departed.note(&[process(1, 1.5), process(2, 0.1)]), 2.0, "another under the same pid");
        let ending = ProcessUsage { pid: 2, ..ProcessUsage::default() };
        assert_eq!(departed.note(&[process(1, 1.5), ending]), 2.0, "neither gone nor known");
        assert_eq!(departed.note(&[]), 3.6);
    }

    #[test]
    fn a_process_of_this_machine_is_seen_without_its_help() {
        let mut watched = Watched::new(None, Some(std::process::id()));
        let seen = watched.look().unwrap();
        assert_eq!(seen.processes[0].pid, std::process::id());
        assert!(seen.processes[0].user_bytes.is_some() && seen.counters.is_none());
        assert!(watched.limits().iter().any(|limit| limit.name == "rlimit.nofile" && limit.value.is_some()));
        assert!(Watched::new(None, None).look().is_none());
    }
}

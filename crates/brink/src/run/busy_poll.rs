//! How long workers of the client stay awake where nobody said it. Pure.
//!
//! An open loop is to send on time, and what it takes to wake up would be in each of its latencies. Staying awake takes
//! CPU time, so only a client that has CPUs to itself does it unasked.

use std::time::Duration;

use brink_host::cpus;
use brink_results::case::{Case, Workload};
use brink_results::schema::EndFacts;

/// Longer than a reply takes to come on one machine, or in one network; at 1,000 requests/s a worker does not sleep at all.
const UNASKED: Duration = Duration::from_millis(1);

/// What this process is given of its machine.
pub struct Given {
    /// CPUs that share a core with those that it is pinned to, these included.
    cores: Vec<usize>,
    /// Whether a control group bounds its CPU time.
    has_quota: bool,
    /// Whether a thread that does not sleep keeps its others from running.
    is_realtime: bool,
}

impl Given {
    /// As it is now.
    pub fn of(case: &Case, client: &EndFacts) -> Self {
        Self {
            cores: cpus::with_siblings(case.load.cpus.as_deref().unwrap_or_default()),
            has_quota: client.machine.cpu_quota.is_some(),
            is_realtime: cpus::is_realtime(),
        }
    }
}

/// What is asked, else what suits the case. `shares_machine`: whether both ends are under one kernel, where that is known.
pub fn resolve(
    case: &Case,
    given: &Given,
    target: Option<&EndFacts>,
    shares_machine: Option<bool>,
) -> Duration {
    match case.load.busy_poll_ns {
        Some(ns) => Duration::from_nanos(ns),
        None if suits(case, given, target, shares_machine) => UNASKED,
        None => Duration::ZERO,
    }
}

/// Whether the client sends by a schedule, and has a CPU for each worker that it shares with nobody: it was given them,
/// the target has none of their cores, there is no other load, and no quota.
fn suits(case: &Case, given: &Given, target: Option<&EndFacts>, shares_machine: Option<bool>) -> bool {
    let load = &case.load;
    let can = brink_client::find(&load.engine).is_some_and(|engine| engine.can_busy_poll);
    let by_schedule = matches!(load.workload, Workload::Open { .. }) && load.background.is_none();
    let own = load.cpus.as_ref().map_or(0, |cpus| cpus.len() as u64);
    let is_apart = match (shares_machine, target) {
        (Some(false), _) => true,
        (Some(true), Some(target)) => {
            let theirs = &target.machine.cpus_allowed;
            !theirs.is_empty() && given.cores.iter().all(|cpu| !theirs.contains(cpu))
        }
        _ => false,
    };
    can && by_schedule && own >= load.threads_in_all() && is_apart && !given.has_quota && !given.is_realtime
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{self, Machine};
    use crate::sweep_file;

    fn target(cpus: &[usize]) -> EndFacts {
        let mut machine = brink_host::machine::read();
        machine.cpus_allowed = cpus.to_vec();
        EndFacts { machine, limits: Vec::new(), work_error_ratio: None }
    }

    const OWN: &str = "rate = 100\nthreads = 1\ncpus = \"0\"\n";
    const ALONE: Given = Given { cores: Vec::new(), has_quota: false, is_realtime: false };

    fn resolved(load: &str, given: Given, of_target: &[usize], shares_machine: Option<bool>) -> u64 {
        let text = format!("name = \"x\"\n[[target]]\nmodel = \"mio\"\n[load]\nconnections = 5\n{load}");
        let machine = Machine { cpus_allowed: vec![0, 1, 2], ports: None, limits: Vec::new() };
        let case = plan::sweep(&sweep_file::parse(&text).unwrap(), &machine).unwrap().remove(0);
        let given = Given {
            cores: if given.cores.is_empty() {
                case.load.cpus.clone().unwrap_or_default()
            } else {
                given.cores
            },
            ..given
        };
        resolve(&case, &given, Some(&target(of_target)), shares_machine).as_micros() as u64
    }

    #[test]
    fn an_open_loop_on_cpus_of_its_own_stays_awake() {
        assert_eq!(resolved(OWN, ALONE, &[1, 2], Some(true)), 1_000);
        assert_eq!(resolved(OWN, ALONE, &[0, 1, 2], Some(false)), 1_000, "the target's CPUs are elsewhere");
    }

    #[test]
    fn whoever_shares_a_cpu_sleeps() {
        assert_eq!(resolved(OWN, ALONE, &[0, 1], Some(true)), 0, "with the target");
        assert_eq!(
            resolved(OWN, Given { cores: vec![0, 1], ..ALONE }, &[1], Some(true)),
            0,
            "a core with it"
        );
        assert_eq!(resolved(OWN, ALONE, &[], Some(true)), 0, "with a target of which that is not known");
        assert_eq!(resolved(OWN, ALONE, &[1], None), 0, "with one that may be here");
        assert_eq!(resolved(OWN, Given { has_quota: true, ..ALONE }, &[1], Some(true)), 0, "with a quota");
        assert_eq!(
            resolved(OWN, Given { is_realtime: true, ..ALONE }, &[1], Some(true)),
            0,
            "with its sampler"
        );
        assert_eq!(
            resolved("rate = 100\nthreads = 2\ncpus = \"0\"\n", ALONE, &[1], Some(true)),
            0,
            "workers"
        );
        assert_eq!(resolved("rate = 100\n", ALONE, &[1], Some(true)), 0, "with anybody");
        assert_eq!(resolved("threads = 1\ncpus = \"0\"\n", ALONE, &[1], Some(true)), 0, "a closed loop");
        let tokio = format!("{OWN}engine = \"tokio\"\n");
        assert_eq!(resolved(&tokio, ALONE, &[1], Some(true)), 0, "an engine that cannot");
    }

    #[test]
    fn what_is_asked_is_done() {
        assert_eq!(resolved("busy_poll = \"20us\"\n", ALONE, &[0], None), 20);
        assert_eq!(resolved(&format!("{OWN}busy_poll = \"0s\"\n"), ALONE, &[1], Some(true)), 0);
    }
}

//! How long workers of the client stay awake where nobody said it. Pure.
//!
//! An open loop is to send on time, and what it takes to wake up would be in each of its latencies. Staying awake takes
//! CPU time, so only a client that has CPUs to itself does it unasked.

use std::time::Duration;

use brink_results::case::{Case, Workload};
use brink_results::schema::EndFacts;

/// Longer than a reply takes to come on one machine, or in one network; at 1,000 requests/s a worker does not sleep at all.
const UNASKED: Duration = Duration::from_millis(1);

/// What is asked, else what suits the case. `shares_machine`: whether both ends are under one kernel, where that is known.
pub fn resolve(
    case: &Case,
    client: &EndFacts,
    target: Option<&EndFacts>,
    shares_machine: Option<bool>,
) -> Duration {
    let load = &case.load;
    match load.busy_poll_ns {
        Some(ns) => Duration::from_nanos(ns),
        None if suits(case, client, target, shares_machine) => UNASKED,
        None => Duration::ZERO,
    }
}

/// Whether the client sends by a schedule, and has a CPU for each worker that it shares with nobody: it was given them,
/// the target has none of them, there is no other load, and no quota.
fn suits(case: &Case, client: &EndFacts, target: Option<&EndFacts>, shares_machine: Option<bool>) -> bool {
    let load = &case.load;
    let can = brink_client::find(&load.engine).is_some_and(|engine| engine.can_busy_poll);
    let by_schedule = matches!(load.workload, Workload::Open { .. }) && load.background.is_none();
    let own = load.cpus.as_deref().unwrap_or_default();
    let workers = u64::from(load.threads) * u64::from(load.processes);
    let is_apart = match (shares_machine, target) {
        (Some(false), _) => true,
        (Some(true), Some(target)) => {
            let theirs = &target.machine.cpus_allowed;
            !theirs.is_empty() && own.iter().all(|cpu| !theirs.contains(cpu))
        }
        _ => false,
    };
    can && by_schedule && own.len() as u64 >= workers && is_apart && client.machine.cpu_quota.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{self, Machine};
    use crate::sweep_file;

    fn facts(cpus: &[usize], cpu_quota: Option<f64>) -> EndFacts {
        let mut machine = brink_host::machine::read();
        (machine.cpus_allowed, machine.cpu_quota) = (cpus.to_vec(), cpu_quota);
        EndFacts { machine, limits: Vec::new(), work_error_ratio: None }
    }

    fn resolved(load: &str, target: &[usize], quota: Option<f64>, shares_machine: Option<bool>) -> u64 {
        let text = format!("name = \"x\"\n[[target]]\nmodel = \"mio\"\n[load]\nconnections = 5\n{load}");
        let machine = Machine { cpus_allowed: vec![0, 1, 2], ports: None, limits: Vec::new() };
        let case = plan::sweep(&sweep_file::parse(&text).unwrap(), &machine).unwrap().remove(0);
        let busy_poll = resolve(&case, &facts(&[0, 1, 2], quota), Some(&facts(target, None)), shares_machine);
        busy_poll.as_micros() as u64
    }

    const OWN: &str = "rate = 100\nthreads = 1\ncpus = \"0\"\n";

    #[test]
    fn an_open_loop_on_cpus_of_its_own_stays_awake() {
        assert_eq!(resolved(OWN, &[1, 2], None, Some(true)), 1_000);
        assert_eq!(resolved(OWN, &[0, 1, 2], None, Some(false)), 1_000, "the target's CPUs are elsewhere");
    }

    #[test]
    fn whoever_shares_a_cpu_sleeps() {
        assert_eq!(resolved(OWN, &[0, 1], None, Some(true)), 0, "with the target");
        assert_eq!(resolved(OWN, &[], None, Some(true)), 0, "with a target of which that is not known");
        assert_eq!(resolved(OWN, &[1], None, None), 0, "with one that may be here");
        assert_eq!(resolved(OWN, &[1], Some(0.5), Some(true)), 0, "with a quota");
        assert_eq!(resolved("rate = 100\nthreads = 2\ncpus = \"0\"\n", &[1], None, Some(true)), 0, "workers");
        assert_eq!(resolved("rate = 100\n", &[1], None, Some(true)), 0, "with anybody");
        assert_eq!(resolved("threads = 1\ncpus = \"0\"\n", &[1], None, Some(true)), 0, "a closed loop");
        let tokio = format!("{OWN}engine = \"tokio\"\n");
        assert_eq!(resolved(&tokio, &[1], None, Some(true)), 0, "an engine that cannot");
    }

    #[test]
    fn what_is_asked_is_done() {
        assert_eq!(resolved("busy_poll = \"20us\"\n", &[0], None, None), 20);
        assert_eq!(resolved(&format!("{OWN}busy_poll = \"0s\"\n"), &[1], None, Some(true)), 0);
    }
}

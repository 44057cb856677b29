//! In how many processes each end runs: as asked, or as many as the limits of a process make necessary. Pure.

use brink_host::limits::{self, Scope};
use brink_results::case::{Case, LoadCase, Origin, TargetCase};
use brink_results::schema::End;

use super::{MANY, Machine, SAMPLES_PER_S_OF_MANY};
use crate::cli::Processes;
use crate::exit::Failure;
use crate::preflight::{self, Surroundings};

/// Most processes of an end, as the flag allows.
const PROCESSES_MAX: u64 = 1024;

/// What is left to the limits, and which thread counts were typed: those stay.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Auto {
    pub(super) client: bool,
    pub(super) target: bool,
    pub(super) client_threads_typed: bool,
    pub(super) target_threads_typed: bool,
}

/// The number that was asked; one where none was, or where it is left to the limits, which `share_out` then asks.
pub(super) fn number(asked: Option<Processes>) -> u32 {
    match asked {
        Some(Processes::Number(number)) => number,
        Some(Processes::Auto) | None => 1,
    }
}

/// The same for the client, never more than connections.
///
/// # Errors
/// A usage failure, naming the flag, for an engine that runs in one process.
pub(super) fn of_client(
    flag: &str,
    engine: &str,
    asked: Processes,
    connections: u64,
) -> Result<u32, Failure> {
    let number = number(Some(asked));
    if number > 1 && !is_shared(engine) {
        let can = brink_client::ENGINES.iter().filter(|row| brink_client::parts::can_be_shared(row));
        let can: Vec<_> = can.map(|row| row.name).collect();
        return Err(Failure::usage(format!(
            "{flag}: the engine `{engine}` runs in one process; in several can: {}",
            can.join(", ")
        )));
    }
    Ok(u64::from(number).min(connections) as u32)
}

fn is_shared(engine: &str) -> bool {
    brink_client::find(engine).is_some_and(brink_client::parts::can_be_shared)
}

/// Fills in the processes that are left to the limits: the fewest with which no limit of a process is short of the
/// connections. A limit that more processes do not help stays short, and preflight says so.
pub(super) fn share_out(case: &mut Case, auto: Auto, machine: &Machine) {
    if auto.client && is_shared(&case.load.engine) {
        let before = case.load.processes;
        case.load.processes = fewest(case, End::Client, machine);
        if !auto.client_threads_typed && case.load.processes > before {
            case.load.threads = (case.load.threads / case.load.processes).max(1);
        }
    }
    if auto.target && case.target.origin == Origin::Started {
        case.target.processes = fewest(case, End::Target, machine);
        let row = brink_target::find(&case.target.model);
        if let Some(row) = row.filter(|_| !auto.target_threads_typed && case.target.processes > 1) {
            let cpus = case.target.cpus.as_ref().map_or(machine.cpus_allowed.len(), Vec::len) as u32;
            case.target.threads = row.threads.default_for((cpus / case.target.processes).max(1));
        }
    }
}

/// What follows from the number of processes: each listens by itself, so that as many more connects may be under way as
/// there are pairs of them; and where there are many, sampling takes its time.
pub(super) fn adapt(load: &mut LoadCase, target: &TargetCase) {
    let pairs = load.processes.min(target.processes).max(1);
    load.connect_window = load.connect_window.saturating_mul(pairs);
    if load.processes + target.processes >= MANY {
        load.samples_per_s = load.samples_per_s.min(SAMPLES_PER_S_OF_MANY);
    }
}

/// The processes of an end.
fn of_end(case: &mut Case, end: End) -> &mut u32 {
    match end {
        End::Client => &mut case.load.processes,
        End::Target => &mut case.target.processes,
    }
}

fn fewest(case: &Case, end: End, machine: &Machine) -> u32 {
    let connections = case.load.connections;
    let most = PROCESSES_MAX.min(connections) as u32;
    let mut trial = case.clone();
    loop {
        let now = *of_end(&mut trial, end);
        let Some(carried) = carried_by_processes(&trial, end, machine).filter(|_| now < most) else {
            return now;
        };
        // What each has before its first connection, and how unevenly connections fall on them, asks for some more than
        // their share, which the next look tells.
        let needed = connections.saturating_mul(u64::from(now)).div_ceil(carried.max(1));
        *of_end(&mut trial, end) = needed.min(u64::from(most)).max(u64::from(now) + 1) as u32;
    }
}

/// Connections that the tightest limit of a process lets an end have, where that is short of what is asked.
fn carried_by_processes(case: &Case, end: End, machine: &Machine) -> Option<u64> {
    let around = Surroundings::before(case, &machine.limits, machine.cpus_allowed.len() as u32);
    let forecast = preflight::check(case, &around);
    let is_of_process = |name: &str| limits::find(name).is_some_and(|row| row.scope == Scope::Process);
    let short = forecast.all.iter().filter(|one| one.end == end && one.prediction.short);
    short
        .map(|one| &one.prediction)
        .filter(|one| is_of_process(one.limit))
        .map(|one| one.connections_max)
        .min()
}

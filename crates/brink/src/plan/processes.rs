//! In how many processes each end runs: as asked, or as many as the limits of a process make necessary. Pure.

use brink_results::case::{Case, LoadCase, Origin, TargetCase};
use brink_results::schema::End;

use super::{MANY, Machine, SAMPLES_PER_S_OF_MANY};
use crate::cli::Processes;
use crate::exit::Failure;
use crate::preflight::{self, Reckoned, Surroundings};

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

/// Connections that the tightest limit lets an end have which is short of what is asked, and would carry more with more
/// processes. Others, as ports, carry the same however many there are.
fn carried_by_processes(case: &Case, end: End, machine: &Machine) -> Option<u64> {
    let carried = |case: &Case| -> Vec<(&'static str, u64, bool)> {
        let around = Surroundings::before(case, &machine.limits, machine.cpus_allowed.len() as u32);
        let of_end = preflight::check(case, &around).all.into_iter().filter(|one| one.end == end);
        of_end.map(|Reckoned { prediction: p, .. }| (p.limit, p.connections_max, p.short)).collect()
    };
    let mut twice = case.clone();
    *of_end(&mut twice, end) *= 2;
    let with_twice = carried(&twice);
    let grows = |limit: &str, now: u64| {
        with_twice.iter().find(|(other, ..)| *other == limit).is_none_or(|(_, then, _)| *then > now)
    };
    let short = carried(case).into_iter().filter(|(limit, now, short)| *short && grows(limit, *now));
    short.map(|(_, now, _)| now).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use crate::sweep_file;
    use brink_wire::control::LimitReading;

    fn reading(name: &str, value: u64) -> LimitReading {
        let (source, note) = ("a test".to_owned(), None);
        LimitReading {
            name: name.to_owned(),
            value: Some(value),
            hard: Some(value),
            used: None,
            source,
            note,
        }
    }

    fn case(target: &str, load: &str, limits: Vec<LimitReading>) -> Case {
        let text = format!("name = \"x\"\n[[target]]\n{target}\n[load]\n{load}\nworkload = \"hold\"");
        let machine = Machine { cpus_allowed: vec![0, 1], ports: Some(28_232), limits };
        plan::sweep(&sweep_file::parse(&text).unwrap(), &machine).unwrap().remove(0)
    }

    const AUTO: &str = "processes = \"auto\"";

    #[test]
    fn as_many_as_the_limit_of_descriptors_needs_and_no_more() {
        let of = |connections: u64, nofile: u64| {
            let load = format!("{AUTO}\nconnections = {connections}");
            let case =
                case(&format!("model = \"mio\"\n{AUTO}"), &load, vec![reading("rlimit.nofile", nofile)]);
            (case.load.processes, case.target.processes)
        };
        assert_eq!(of(1_000, 20_000), (1, 1));
        assert_eq!(of(1_000_000, 20_000), (51, 52));
        assert_eq!(of(100, 1_000_000), (1, 1));
        let (client, target) = of(50_000, 1_024);
        assert!((50..=52).contains(&client) && (55..=60).contains(&target), "{client} {target}");
        // Where not even one connection fits into a process more of them do not help.
        assert_eq!(of(10, 5), (1, 1));
    }

    #[test]
    fn a_limit_that_more_processes_do_not_lift_makes_none() {
        let ports = vec![reading("net.ipv4.ip_local_port_range", 1_000), reading("rlimit.nofile", 100_000)];
        let load = format!("{AUTO}\nconnections = 5000\nsource_ip = [\"127.0.0.1\"]");
        let case = case("model = \"mio\"", &load, ports);
        assert_eq!(case.load.processes, 1);
    }

    #[test]
    fn threads_are_shared_out_by_mappings() {
        let limits = vec![reading("rlimit.nofile", 100_000), reading("vm.max_map_count", 65_530)];
        let load = format!("{AUTO}\nconnections = 40000");
        let case = case(&format!("model = \"threads\"\n{AUTO}"), &load, limits);
        assert!((3..=4).contains(&case.target.processes), "{}", case.target.processes);
        assert_eq!((case.load.processes, case.load.connect_window), (1, plan::CONNECT_WINDOW));
    }

    #[test]
    fn threads_that_were_typed_stay_and_others_share_the_cpus() {
        let load = |threads: &str| format!("{AUTO}\nconnections = 100000\n{threads}");
        let limits = || vec![reading("rlimit.nofile", 20_000)];
        let target = format!("model = \"mio\"\n{AUTO}\nthreads = 2");
        let typed = case(&target, &load("threads = 2"), limits());
        assert_eq!((typed.load.threads, typed.target.threads), (2, 2));
        let shared = case(&format!("model = \"mio\"\n{AUTO}"), &load(""), limits());
        assert_eq!((shared.load.threads, shared.target.threads), (1, 1));
        assert!(shared.load.connect_window > plan::CONNECT_WINDOW, "each process listens by itself");
    }
}

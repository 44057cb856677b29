//! Will a limit end the case before it reaches what it asks for? And when something
//! gave way: what does the evidence say it was (`cause`)?
//!
//! Pure arithmetic over readings that are handed in; the table of
//! limits and its rules live in `brink-host`.

use brink_host::limits::{self, Beside, LimitReading, Need, Prediction};
use brink_results::case::{Case, LoadCase, Origin, TargetCase};
use brink_results::schema::{End, Predicted};
use brink_wire::value::format_count;

mod cause;

pub use self::cause::{Evidence, client_death, failure_point};

/// Descriptors of a target before its first connection: three standard streams, listener and
/// control plane, epoll and wake-up descriptors of two runtimes, one spare, a reserve for reading /proc.
const TARGET_FDS_AT_START: u64 = 24;
/// Descriptors of a client before its first connection, without those of each worker.
const CLIENT_FDS_AT_START: u64 = 20;
/// Epoll and wake-up descriptors, on either end.
const FDS_PER_WORKER: u64 = 4;
/// Threads of either end beside its workers: main, signals, sampling or control plane, pipes.
const THREADS_AT_START: u64 = 6;
/// Stack of a thread of the client, where each connection has one.
const CLIENT_STACK_BYTES: u64 = 64 << 10;
/// The target's own bound where each of its workers serves one connection until that closes.
const POOL_WORKERS: &str = "target.pool_workers";
/// Mappings of a process before its first connection: program, libraries, heap, first stacks.
const MAPPINGS_AT_START: u64 = 80;

/// What preflight says of a case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forecast {
    /// The limit that would end it first, if any is known.
    pub predicted: Option<Predicted>,
    /// One line, where that limit is short of what the case asks for.
    pub short: Option<String>,
    /// What lifts each limit that is short: end, name, command.
    pub fixes: Vec<(End, &'static str, String)>,
}

/// Sets what a case needs against the limits of its ends. A target that brink is going to
/// start meets the limits of this process, which it inherits.
pub fn check(case: &Case, client: &[LimitReading], target: Option<&[LimitReading]>) -> Forecast {
    let mut all: Vec<(End, Prediction)> = Vec::new();
    let starts_here = case.target.origin == Origin::Started;
    let of_target = match target {
        Some(readings) => Some(readings),
        None if starts_here => Some(client),
        None => None,
    };
    if let Some(readings) = of_target {
        let need = target_need(case);
        all.extend(
            limits::predict(readings, limits::End::Target, &need).into_iter().map(|p| (End::Target, p)),
        );
    }
    let need = client_need(case, starts_here);
    all.extend(limits::predict(client, limits::End::Client, &need).into_iter().map(|p| (End::Client, p)));
    let own_bounds = own_bounds(case);
    all.extend(own_bounds.into_iter().map(|prediction| (End::Target, prediction)));
    let fix = |(end, p): &(End, Prediction)| Some((*end, p.limit, p.fix.clone()?));
    let fixes = all.iter().filter_map(fix).collect();
    let Some((end, first)) = all.into_iter().min_by_key(|(_, prediction)| prediction.connections_max) else {
        return Forecast::default();
    };
    let short = first.short.then(|| line(end, &first, case.load.connections));
    Forecast {
        predicted: Some(Predicted {
            limit: first.limit.to_owned(),
            end,
            at_connections: first.connections_max,
            limit_value: Some(first.value),
            fix: first.fix,
            lasting: first.lasting,
            estimated_from: None,
            short: first.short,
        }),
        short,
        fixes,
    }
}

/// What the target itself bounds.
fn own_bounds(case: &Case) -> Vec<Prediction> {
    let (target, connections) = (&case.target, case.load.connections);
    let bound = |limit, max: u64, fix: String| Prediction {
        limit,
        connections_max: max,
        value: max,
        used: None,
        needed: connections,
        short: max < connections,
        fix: Some(fix),
        lasting: None,
    };
    let max = target.connections_max.map(|max| {
        bound("target.max_connections", max, format!("start the target with --max-connections {connections}"))
    });
    let processes = u64::from(target.processes).max(1);
    let workers = workers_of_pool(target).map(|workers| {
        let flag = if target.origin == Origin::Started { "--target-threads" } else { "--threads" };
        let share = connections.div_ceil(processes);
        // The kernel spreads connections over processes by a hash: four standard deviations of a fair draw.
        let uneven = if processes > 1 { (4.0 * (share as f64).sqrt()).ceil() as u64 } else { 0 };
        let needed = (share + uneven).min(connections);
        let fix = format!("give the target {needed} workers with {flag} {needed} (threads in a sweep file)");
        bound(POOL_WORKERS, workers * processes, fix)
    });
    max.into_iter().chain(workers).collect()
}

/// Connections that each process of the target serves at once, where that is bounded.
pub fn workers_of_pool(target: &TargetCase) -> Option<u64> {
    brink_target::find(&target.model)?.connections_at_once(target.threads)
}

/// Stack of each thread that a connection or a request of it has to itself, where that is known.
pub fn stack_bytes(target: &TargetCase) -> Option<u64> {
    target.stack_bytes.or_else(|| brink_target::find(&target.model)?.runtime_stack_bytes())
}

/// Stack of each thread that a connection has to itself on the client.
pub fn client_stack_bytes(load: &LoadCase) -> Option<u64> {
    use brink_client::Threads::{PerConnection, Pool};
    let row = brink_client::find(&load.engine)?;
    matches!(row.threads, PerConnection | Pool { .. }).then_some(CLIENT_STACK_BYTES)
}

/// Connections that this client's own limits let it open. Ports count where sources are given; else as many addresses
/// are taken as are needed, where there are any. `None`: nothing bounds them.
pub fn client_max(case: &Case, readings: &[LimitReading], sources_are_given: bool) -> Option<u64> {
    let mut need = client_need(case, false);
    let is_free = !sources_are_given && !case.load.source_ips.is_empty();
    need.sources = if is_free { 0 } else { need.sources };
    let first = limits::predict(readings, limits::End::Client, &need).into_iter().next();
    first.map(|prediction| prediction.connections_max)
}

/// `rlimit.nofile = 1,024 on the target carries 1,000 of 10,000 connections: ulimit -n 10024`
fn line(end: End, prediction: &Prediction, connections: u64) -> String {
    let used = prediction.used.map_or(String::new(), |used| format!(", {} in use", format_count(used)));
    format!(
        "{} = {}{used} on the {} carries {} of {} connections; {}",
        prediction.limit,
        format_count(prediction.value),
        name(end),
        format_count(prediction.connections_max),
        format_count(connections),
        prediction
            .fix
            .as_ref()
            .map_or("nothing lifts it here".to_owned(), |fix| format!("to lift it: {fix}"))
    )
}

fn name(end: End) -> &'static str {
    match end {
        End::Client => "client",
        End::Target => "target",
    }
}

fn target_need(case: &Case) -> Need {
    let target = &case.target;
    let per_connection = target_threads_per_connection(case);
    Need {
        connections: case.load.connections,
        processes: u64::from(target.processes),
        fds_at_start: TARGET_FDS_AT_START + FDS_PER_WORKER * target_loops(case),
        fds_per_connection: 1,
        runtime_threads: target_runtime_threads(case),
        threads_per_connection: per_connection,
        stack_bytes: target.stack_bytes.unwrap_or(0),
        virtual_bytes_at_start: Some(256 << 20),
        mappings_at_start: MAPPINGS_AT_START,
        ..Need::default()
    }
}

fn client_need(case: &Case, target_is_here: bool) -> Need {
    let load = &case.load;
    let sources = load.source_ips.len().max(1) as u64;
    Need {
        connections: load.connections,
        processes: 1,
        fds_at_start: CLIENT_FDS_AT_START + FDS_PER_WORKER * client_loops(load),
        fds_per_connection: 1,
        runtime_threads: THREADS_AT_START + u64::from(load.threads),
        threads_per_connection: client_threads_per_connection(case),
        stack_bytes: CLIENT_STACK_BYTES,
        mappings_at_start: MAPPINGS_AT_START,
        sources,
        destinations: 1,
        beside: target_is_here.then(|| Beside {
            threads_at_start: target_runtime_threads(case),
            threads_per_connection: target_threads_per_connection(case),
            fds_per_connection: 1,
            ..Beside::default()
        }),
        ..Need::default()
    }
}

/// A pool with a worker for every connection makes them as connections come.
fn target_threads_per_connection(case: &Case) -> u64 {
    let Some(row) = brink_target::find(&case.target.model) else { return 0 };
    let at_once = row.connections_at_once(case.target.threads);
    u64::from(row.has_connection_thread() || at_once.is_some_and(|workers| workers >= share(case)))
}

/// Threads of a target that have descriptors of their own: those that wait for many connections at once.
fn target_loops(case: &Case) -> u64 {
    let row = brink_target::find(&case.target.model);
    let per_cpu = row.is_none_or(|row| row.threads == brink_target::Threads::PerCpu);
    if per_cpu { u64::from(case.target.threads) } else { 1 }
}

/// Threads of a target beside those of its connections. Those of a pool are made as they are needed.
fn target_runtime_threads(case: &Case) -> u64 {
    let threads = u64::from(case.target.threads);
    let row = brink_target::find(&case.target.model);
    let of_model = match row.map(|row| row.threads) {
        _ if target_threads_per_connection(case) > 0 => 1,
        Some(brink_target::Threads::Pool { .. }) => threads.min(share(case)),
        _ => threads,
    };
    THREADS_AT_START + of_model
}

/// Connections of one of the target's processes.
fn share(case: &Case) -> u64 {
    case.load.connections.div_ceil(u64::from(case.target.processes).max(1))
}

/// Threads of a client that have descriptors of their own: those of its pool block, and have none.
fn client_loops(load: &LoadCase) -> u64 {
    match brink_client::find(&load.engine).map(|row| row.threads) {
        Some(brink_client::Threads::Pool { .. }) => 1,
        _ => u64::from(load.threads),
    }
}

fn client_threads_per_connection(case: &Case) -> u64 {
    let row = brink_client::find(&case.load.engine);
    u64::from(row.is_some_and(|row| row.threads == brink_client::Threads::PerConnection))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{self, Machine};
    use crate::sweep_file;
    use brink_wire::value;

    fn case(connections: u64, model: &str) -> Case {
        let text =
            format!("name = \"x\"\n[[target]]\nmodel = \"{model}\"\n[load]\nconnections = {connections}\n");
        let machine = Machine { cpus_allowed: vec![0, 1], ports: Some(28_232) };
        plan::sweep(&sweep_file::parse(&text).unwrap(), &machine).unwrap().remove(0)
    }

    fn reading(name: &str, value: u64, used: Option<u64>) -> LimitReading {
        LimitReading {
            name: name.to_owned(),
            value: Some(value),
            hard: Some(value),
            used,
            source: String::new(),
            note: None,
        }
    }

    #[test]
    fn a_short_limit_is_named_with_its_end_and_what_lifts_it() {
        let forecast = check(&case(10_000, "mio"), &[reading("rlimit.nofile", 4096, None)], None);
        let predicted = forecast.predicted.unwrap();
        assert!(predicted.short && predicted.limit == "rlimit.nofile" && predicted.at_connections > 4000);
        let line = forecast.short.unwrap();
        for part in ["rlimit.nofile = 4,096", " of 10,000 connections", "to lift it: "] {
            assert!(line.contains(part), "{line}");
        }
        assert_eq!(check(&case(1_000, "mio"), &[reading("rlimit.nofile", 4096, None)], None).short, None);
    }

    #[test]
    fn threads_bind_only_the_model_that_has_one_each() {
        let limits = [reading("kernel.pid_max", 4096, Some(200))];
        assert!(check(&case(5_000, "threads"), &limits, None).short.is_some());
        assert!(check(&case(5_000, "mio"), &limits, None).short.is_none());
    }

    #[test]
    fn more_sources_mean_more_ports() {
        let ports = [reading("net.ipv4.ip_local_port_range", 28_232, None)];
        assert!(check(&case(60_000, "mio"), &ports, None).short.is_none(), "three addresses of 127/8");
        let mut one = case(60_000, "mio");
        one.load.source_ips.clear();
        assert!(check(&one, &ports, None).short.unwrap().contains("ip_local_port_range"));
    }

    #[test]
    fn threads_of_a_pool_have_no_descriptors_of_their_own() {
        let limits = [reading("rlimit.nofile", 20_000, None)];
        for (pool, number) in [("pool", "10k"), ("tokio-offload", "10k")] {
            let mut case = case(10_000, pool);
            case.target.threads = value::parse_count(number).unwrap() as u32;
            assert_eq!(check(&case, &limits, None).short, None, "{pool}");
        }
        let mut client = case(6_000, "mio");
        (client.load.engine, client.load.threads) = ("pool".to_owned(), 5_000);
        assert_eq!(check(&client, &limits, None).short, None);
    }

    #[test]
    fn a_pool_makes_no_more_threads_than_it_has_connections() {
        let limits = [reading("kernel.pid_max", 4_096, Some(200))];
        let mut case = case(100, "tokio-offload");
        case.target.threads = 10_000;
        assert_eq!(check(&case, &limits, None).short, None);
    }

    #[test]
    fn stacks_are_known_of_all_models_that_block() {
        let known = |model| stack_bytes(&case(5, model).target);
        assert_eq!((known("threads"), known("tokio-offload")), (Some(8 << 20), Some(2 << 20)));
        assert_eq!((known("mio"), known("tokio")), (None, None));
    }
}

//! Will a limit end the case before it reaches what it asks for? And when something
//! gave way: what does the evidence say it was?
//!
//! Pure arithmetic and inference over readings that are handed in; the table of
//! limits and its rules live in `brink-host`.

use brink_host::classify::{self, Observation};
use brink_host::limits::{self, Beside, LimitReading, Need, Prediction};
use brink_results::case::{Case, Origin};
use brink_results::schema::{Confidence, End, Failure, FailurePoint, Predicted};
use brink_wire::control::MachineUsage;
use brink_wire::value::format_count;

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
    let row = brink_target::find(&target.model);
    let processes = u64::from(target.processes).max(1);
    let workers = row.and_then(|row| row.connections_at_once(target.threads)).map(|workers| {
        let flag = if target.origin == Origin::Started { "--target-threads" } else { "--threads" };
        let needed = connections.div_ceil(processes);
        let fix = format!("give the target {needed} workers with {flag} {needed} (threads in a sweep file)");
        bound("target.pool_workers", workers * processes, fix)
    });
    max.into_iter().chain(workers).collect()
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
        fds_at_start: CLIENT_FDS_AT_START + FDS_PER_WORKER * u64::from(load.threads),
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
    let share = case.load.connections.div_ceil(u64::from(case.target.processes).max(1));
    u64::from(row.has_connection_thread() || at_once.is_some_and(|workers| workers >= share))
}

/// Threads of a target that have descriptors of their own: those that wait for many connections at once.
fn target_loops(case: &Case) -> u64 {
    let row = brink_target::find(&case.target.model);
    let per_cpu = row.is_none_or(|row| row.threads == brink_target::Threads::PerCpu);
    if per_cpu { u64::from(case.target.threads) } else { 1 }
}

/// Threads of a target beside those of its connections.
fn target_runtime_threads(case: &Case) -> u64 {
    let of_model = if target_threads_per_connection(case) == 0 { case.target.threads } else { 1 };
    THREADS_AT_START + u64::from(of_model)
}

fn client_threads_per_connection(case: &Case) -> u64 {
    let row = brink_client::find(&case.load.engine);
    u64::from(row.is_some_and(|row| row.threads == brink_client::Threads::PerConnection))
}

/// What was read when something gave way.
pub struct Evidence {
    /// The client's limits, with their use.
    pub client_limits: Vec<LimitReading>,
    /// The target's, where it says; empty otherwise.
    pub target_limits: Vec<LimitReading>,
    /// The target's machine before anything was opened, where it is known.
    pub machine_before: Option<MachineUsage>,
    /// The same machine afterwards.
    pub machine_after: Option<MachineUsage>,
    /// What arithmetic said beforehand.
    pub predicted: Option<Predicted>,
    /// Source addresses times destinations.
    pub address_pairs: u64,
    /// Backlog that the target asked of listen(2), where it says.
    pub backlog: Option<u64>,
    /// Connections asked for.
    pub connections: u64,
    /// Stack of a connection's thread on the target.
    pub stack_bytes: Option<u64>,
    /// What preflight said lifts each limit that is short: reckoned from the whole need.
    pub fixes: Vec<(End, &'static str, String)>,
}

/// Where the run gave way, from everything that failed in it. `None`: nothing did.
pub fn failure_point(failures: &[Failure], evidence: &Evidence) -> Option<FailurePoint> {
    let first = failures.iter().min_by_key(|failure| (rank(failure), failure.first_at_connections))?;
    let (end, readings) = match first.end {
        End::Client => (limits::End::Client, &evidence.client_limits),
        End::Target => (limits::End::Target, &evidence.target_limits),
    };
    let of_target = classify::is_about_target(end, &first.phase, &first.errno);
    let readings = if of_target { &evidence.target_limits } else { readings };
    let observation = Observation {
        connections_wanted: Some(evidence.connections),
        address_pairs: Some(evidence.address_pairs),
        backlog: evidence.backlog,
        stack_bytes: evidence.stack_bytes,
        ..Observation::new(end, &first.phase, &first.errno, first.first_at_connections)
    };
    let counters = evidence.machine_before.as_ref().zip(evidence.machine_after.as_ref());
    let inference = classify::classify(&observation, readings, counters);
    let at_connections = first.first_at_connections;
    let same = |fix: &&(End, &'static str, String)| fix.0 == first.end && Some(fix.1) == inference.limit;
    let reckoned = evidence.fixes.iter().find(same).map(|fix| fix.2.clone());
    let predicted = evidence.predicted.as_ref();
    Some(FailurePoint {
        at_connections,
        predicted_at: predicted.filter(|p| p.limit == inference.limit_name()).map(|p| p.at_connections),
        end: first.end,
        phase: first.phase.clone(),
        errno: first.errno.clone(),
        limit: inference.limit_name().to_owned(),
        limit_value: inference.limit_value,
        confidence: match inference.confidence {
            classify::Confidence::Confirmed => Confidence::Confirmed,
            classify::Confidence::Likely => Confidence::Likely,
            classify::Confidence::Unknown => Confidence::Unknown,
        },
        evidence: inference.evidence,
        // Address space is used by more than was reckoned with, so there what was seen goes first.
        fix: match inference.limit {
            Some("rlimit.as") => inference.fix.or(reckoned),
            _ => reckoned.or(inference.fix),
        },
    })
}

/// Causes before their consequences: the target's death, then what an end was refused by its own kernel comes before
/// what the other end then saw as a closed or silent connection.
fn rank(failure: &Failure) -> u8 {
    if failure.errno == "died" {
        return 0;
    }
    let own_kernel = matches!(failure.phase.as_str(), "socket" | "bind" | "register" | "accept" | "spawn");
    let of_kernel =
        failure.errno.starts_with('E') && !matches!(failure.errno.as_str(), "ECONNRESET" | "EPIPE");
    match (own_kernel, of_kernel) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{self, Machine};
    use crate::sweep_file;

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

    fn failure(end: End, phase: &str, errno: &str, at: u64) -> Failure {
        Failure { end, phase: phase.into(), errno: errno.into(), count: 3, first_at_connections: at }
    }

    fn evidence() -> Evidence {
        Evidence {
            client_limits: vec![reading("rlimit.nofile", 20_000, Some(500))],
            target_limits: vec![reading("rlimit.nofile", 1_024, Some(1_024))],
            machine_before: None,
            machine_after: None,
            predicted: None,
            address_pairs: 1,
            backlog: None,
            connections: 2_000,
            stack_bytes: None,
            fixes: vec![(End::Target, "rlimit.nofile", "raise it".to_owned())],
        }
    }

    #[test]
    fn the_cause_is_named_not_its_consequence() {
        let seen = [
            failure(End::Client, "verify", "closed", 1_000),
            failure(End::Target, "accept", "EMFILE", 1_000),
        ];
        let point = failure_point(&seen, &evidence()).unwrap();
        assert_eq!(
            (point.end, point.limit.as_str(), point.limit_value),
            (End::Target, "rlimit.nofile", Some(1_024))
        );
        assert_eq!(point.confidence, Confidence::Confirmed);
        assert_eq!(point.fix.as_deref(), Some("raise it"), "what preflight reckoned from the whole need");
    }

    #[test]
    fn a_refused_connection_names_no_limit() {
        let point =
            failure_point(&[failure(End::Client, "connect", "ECONNREFUSED", 7)], &evidence()).unwrap();
        assert_eq!((point.limit.as_str(), point.confidence), ("unknown", Confidence::Unknown));
        assert_eq!(failure_point(&[], &evidence()), None);
    }
}

//! When something gave way: what does the evidence say it was?
//!
//! Pure inference over readings that are handed in; the rules that hold for any program live in `brink-host`,
//! what is known only of a target is added here.

use brink_host::classify::{self, Inference, Observation};
use brink_host::limits::{self, LimitReading};
use brink_results::schema::{Confidence, End, Failure, FailurePoint, Predicted};
use brink_wire::control::MachineUsage;
use brink_wire::value::format_count;

use super::POOL_WORKERS;

const SOMAXCONN: &str = "net.core.somaxconn";

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
    /// Connections that each process of the target serves at once, where that is bounded.
    pub pool_workers: Option<u64>,
    /// Serving processes of the target.
    pub processes: u64,
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
    // A connect that nobody answers is the target's doing, and its machine's counters tell.
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
    let inference = workers_all_taken(first, evidence).unwrap_or_else(|| {
        of_unknown_backlog(classify::classify(&observation, readings, counters), first, evidence)
    });
    let at_connections = first.first_at_connections;
    let same = |fix: &&(End, &'static str, String)| {
        (fix.0 == first.end || fix.1 == POOL_WORKERS) && Some(fix.1) == inference.limit
    };
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

/// A connection that is accepted and never answered, while as many are served as the target's pool has workers:
/// each serves its connection until that closes, and the rest wait.
fn workers_all_taken(first: &Failure, evidence: &Evidence) -> Option<Inference> {
    let each = evidence.pool_workers?;
    let (processes, at) = (evidence.processes.max(1), first.first_at_connections);
    let all = each * processes;
    // The kernel spreads connections over processes unevenly: one is full before the others are.
    if first.phase != "verify" || first.errno != "timeout" || !(each..=all).contains(&at) {
        return None;
    }
    let confidence = if at == all { classify::Confidence::Confirmed } else { classify::Confidence::Likely };
    let of = if processes == 1 { String::new() } else { format!(" in each of {processes} processes") };
    let evidence = vec![
        format!("{} in phase {} with {} connections open", first.errno, first.phase, format_count(at)),
        format!(
            "the target has {} workers{of}, and each serves one connection until that closes",
            format_count(each)
        ),
    ];
    Some(Inference {
        limit: Some(POOL_WORKERS),
        limit_value: Some(all),
        confidence,
        evidence,
        fix: None,
        lasting: None,
    })
}

/// An accept queue is as long as the smaller of the backlog that its server asked for and net.core.somaxconn, listen(2).
/// A stranger does not say what it asked for; but a queue that fewer connections overflowed is its own.
fn of_unknown_backlog(mut inference: Inference, first: &Failure, evidence: &Evidence) -> Inference {
    let named = inference.limit.is_some_and(|limit| limit != SOMAXCONN);
    let overflowed = evidence.machine_before.as_ref().zip(evidence.machine_after.as_ref());
    let overflowed =
        overflowed.is_some_and(|(before, after)| before.listen_overflows < after.listen_overflows);
    if named || !overflowed || evidence.backlog.is_some() || first.phase != "connect" {
        return inference;
    }
    let reading = evidence.target_limits.iter().find(|reading| reading.name == SOMAXCONN);
    (inference.limit, inference.limit_value, inference.fix) = (None, None, None);
    match reading.and_then(|reading| reading.value).filter(|max| evidence.connections < *max) {
        Some(somaxconn) => {
            inference.limit = Some(classify::TARGET_BACKLOG);
            inference.confidence = classify::Confidence::Likely;
            inference.evidence.push(format!(
                "{} connections do not fill a queue of net.core.somaxconn, {}: the server asked for a shorter one",
                format_count(evidence.connections),
                format_count(somaxconn)
            ));
            inference.fix = Some("have the server ask listen(2) for a longer backlog".to_owned());
        }
        None => {
            inference.confidence = classify::Confidence::Unknown;
            let why = "the backlog that the server asked for is not known, and it may be shorter than net.core.somaxconn";
            inference.evidence.push(why.to_owned());
        }
    }
    inference
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
            pool_workers: None,
            processes: 1,
            fixes: vec![(End::Target, "rlimit.nofile", "raise it".to_owned())],
        }
    }

    #[test]
    fn a_pool_that_is_full_is_named_only_where_it_was_full() {
        let fix = (End::Target, POOL_WORKERS, "more workers".to_owned());
        let pool = Evidence { pool_workers: Some(32), fixes: vec![fix], ..evidence() };
        let point = |at, evidence: &Evidence| {
            failure_point(&[failure(End::Client, "verify", "timeout", at)], evidence).unwrap()
        };
        let full = point(32, &pool);
        assert_eq!((full.limit.as_str(), full.limit_value), (POOL_WORKERS, Some(32)));
        assert_eq!((full.confidence, full.fix.as_deref()), (Confidence::Confirmed, Some("more workers")));
        assert_eq!(point(31, &pool).limit, "unknown", "a worker was free");
        assert_eq!(point(32, &evidence()).limit, "unknown", "not a pool");
        let two = Evidence { processes: 2, ..pool };
        assert_eq!(point(50, &two).confidence, Confidence::Likely, "one of two may be full");
        assert_eq!(point(64, &two).confidence, Confidence::Confirmed);
        let reset = [failure(End::Client, "verify", "ECONNRESET", 32)];
        assert_eq!(failure_point(&reset, &two).unwrap().limit, "unknown");
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

    #[test]
    fn a_backlog_that_nobody_told_is_not_taken_for_somaxconn() {
        let machine = |listen_overflows| MachineUsage { listen_overflows, ..MachineUsage::default() };
        let timeout = [failure(End::Client, "connect", "timeout", 8)];
        let seen = |backlog, connections| Evidence {
            target_limits: vec![reading("net.core.somaxconn", 4_096, None)],
            machine_before: Some(machine(Some(0))),
            machine_after: Some(machine(Some(5))),
            backlog,
            connections,
            ..evidence()
        };
        let limit = |backlog, connections| failure_point(&timeout, &seen(backlog, connections)).unwrap();
        let short = limit(None, 8);
        assert_eq!((short.limit.as_str(), short.limit_value), ("target.backlog", None));
        assert!(short.fix.unwrap().contains("backlog"));
        let either = limit(None, 10_000);
        assert_eq!((either.limit.as_str(), either.fix), ("unknown", None));
        assert_eq!(limit(Some(4_096), 10_000).limit, "net.core.somaxconn");
    }
}

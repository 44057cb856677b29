//! When something gave way: what does the evidence say it was?
//!
//! Pure inference over readings that are handed in; the rules that hold for any program live in `brink-host`,
//! what is known only of a target is added here.

use std::net::IpAddr;

use brink_client::LoadOptions;
use brink_host::classify::{self, Ended, Inference, Observation};
use brink_host::connections::PairUse;
use brink_host::limits::{self, Binds, Group, LimitReading, OwnBounds};
use brink_results::case::Case;
use brink_results::schema::{Confidence, End, Failure, FailurePoint, Predicted};
use brink_wire::control::{Info, MachineUsage};
use brink_wire::value::format_count;

use super::{Fix, Forecast, POOL_WORKERS, of_host};
use crate::run::witness::Testimony;

const SOMAXCONN: &str = "net.core.somaxconn";
/// What lifts the backlog of a stranger, which has flags of its own.
const LONGER_BACKLOG: &str = "have the server ask listen(2) for a longer backlog";

/// What was read when something gave way.
pub struct Evidence {
    /// What was noted while it ran.
    pub testimony: Testimony,
    /// What the target bounds by itself, where it says.
    pub own_bounds: OwnBounds,
    /// What arithmetic said beforehand.
    pub predicted: Option<Predicted>,
    /// Source addresses that were asked for; empty: the kernel chose.
    pub sources: Vec<IpAddr>,
    /// Whether the target is at an address of loopback.
    pub is_loopback: bool,
    /// Connections asked for.
    pub connections: u64,
    /// Stack of a connection's thread on the target.
    pub target_stack_bytes: Option<u64>,
    /// The same on the client.
    pub client_stack_bytes: Option<u64>,
    /// Connections that each process of the target serves at once, where that is bounded.
    pub pool_workers: Option<u64>,
    /// Serving processes of the target.
    pub processes: u64,
    /// What preflight said lifts each limit that is short: reckoned from the whole need.
    pub fixes: Vec<Fix>,
}

impl Evidence {
    /// Of a case that ran.
    pub fn new(
        case: &Case,
        options: &LoadOptions,
        info: Option<&Info>,
        forecast: Forecast,
        testimony: Testimony,
    ) -> Self {
        let processes = u64::from(case.target.processes).max(1);
        let pool_workers = super::workers_of_pool(&case.target);
        let own_bounds = OwnBounds {
            connections_max: info.and_then(|info| info.connections_max),
            pool_workers: pool_workers.map(|each| each.saturating_mul(processes)),
            // A stranger does not say, even where its process can be looked at.
            backlog: info.map(|info| u64::from(info.backlog)),
            live: testimony.target.live,
            accept_queue: testimony.target.accept_queue,
        };
        Self {
            testimony,
            own_bounds,
            predicted: forecast.predicted,
            sources: options.sources.clone(),
            is_loopback: options.target.ip().is_loopback(),
            connections: options.connections,
            target_stack_bytes: super::stack_bytes(&case.target),
            client_stack_bytes: super::client_stack_bytes(&case.load),
            pool_workers,
            processes,
            fixes: forecast.fixes,
        }
    }

    /// Readings of an end, with what a target bounds by itself. Of a target on this machine that cannot be looked at
    /// they are those that all of the machine shares.
    fn readings(&self, of_target: bool) -> Vec<LimitReading> {
        let limits = &self.testimony.limits;
        if !of_target {
            return limits.client.clone();
        }
        let shared = |reading: &&LimitReading| {
            let row = limits::find(&reading.name);
            row.is_some_and(|row| matches!(row.group, Group::Machine | Group::Network))
        };
        let readings = match limits.target.as_slice() {
            [] if self.is_loopback => limits.client.iter().filter(shared).cloned().collect(),
            known => known.to_vec(),
        };
        limits::with_own_bounds(readings, &self.own_bounds)
    }

    /// What the target's machine counted.
    fn counters(&self) -> Option<(&MachineUsage, &MachineUsage)> {
        let here = Some(&self.testimony.client_machine).filter(|_| self.is_loopback);
        self.testimony.target_machine.as_ref().or(here).map(|(before, now)| (before, now))
    }

    /// The pair of addresses with most ports taken by others before the run, of those that were used.
    fn fullest_pair(&self) -> Option<&PairUse> {
        let pairs = self.testimony.ports.as_ref()?;
        let is_used = |pair: &&PairUse| self.sources.is_empty() || self.sources.contains(&pair.source);
        pairs.iter().filter(is_used).max_by_key(|pair| pair.ports_taken())
    }
}

/// Where the run gave way, from everything that failed in it. `None`: nothing did.
pub fn failure_point(failures: &[Failure], evidence: &Evidence) -> Option<FailurePoint> {
    let first = failures.iter().min_by_key(|failure| (rank(failure), failure.first_at_connections))?;
    let inference = infer(first, evidence);
    let end = end_of(first, &inference, evidence.predicted.as_ref());
    let same = |fix: &&Fix| fix.end == end && Some(fix.limit) == inference.limit;
    let reckoned = evidence.fixes.iter().find(same);
    let predicted = evidence.predicted.as_ref().filter(|predicted| predicted.limit == inference.limit_name());
    Some(point(first, end, inference, predicted.map(|predicted| predicted.at_connections), reckoned))
}

/// Observation and inference together. `reckoned`: what lifts the limit as far as all that is asked needs.
fn point(
    first: &Failure,
    end: End,
    inference: Inference,
    predicted_at: Option<u64>,
    reckoned: Option<&Fix>,
) -> FailurePoint {
    FailurePoint {
        at_connections: first.first_at_connections,
        predicted_at,
        end,
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
        fix: reckoned.map(|fix| fix.live.clone()).or(inference.fix),
        lasting: reckoned.and_then(|fix| fix.lasting.clone()).or(inference.lasting),
    }
}

/// What ended a client that left nothing but its failure. `how` ends with the words of its exit status.
pub fn client_death(
    failure: &Failure,
    predicted: Option<&Predicted>,
    limits: &[LimitReading],
    (before, now): &(MachineUsage, MachineUsage),
    how: &str,
) -> FailurePoint {
    let status = ["signal:", "exit status:"].iter().find_map(|begin| how.find(begin));
    let observation = Observation {
        ended: status.and_then(|at| Ended::parse(&how[at..])),
        cgroup: before.cgroup.as_ref().zip(now.cgroup.as_ref()),
        ..Observation::new(limits::End::Client, &failure.phase, &failure.errno, failure.first_at_connections)
    };
    let inference = classify::classify(&observation, limits, Some((before, now)));
    let predicted = predicted.filter(|predicted| predicted.limit == inference.limit_name());
    point(failure, End::Client, inference, predicted.map(|predicted| predicted.at_connections), None)
}

/// The end that gave way. Where it was seen, unless what gave way is known to be the target's; of a limit that binds
/// both in one network, the end that it was said of.
fn end_of(first: &Failure, inference: &Inference, predicted: Option<&Predicted>) -> End {
    let row = inference.limit.and_then(limits::find);
    let is_shared = row.is_some_and(|row| row.group == Group::Network && row.binds == Binds::Both);
    if let Some(predicted) = predicted.filter(|one| is_shared && inference.limit == Some(one.limit.as_str()))
    {
        return predicted.end;
    }
    let of_target = classify::is_about_target(of_host(first.end), &first.phase, &first.errno);
    match inference.limit {
        // Rules of a filter may be on either end, or between them.
        Some(limit) if of_target && limit != classify::FIREWALL => End::Target,
        _ => first.end,
    }
}

fn infer(first: &Failure, evidence: &Evidence) -> Inference {
    let end = of_host(first.end);
    // A connect that nobody answers is the target's doing, and its machine's counters tell.
    let of_target = classify::is_about_target(end, &first.phase, &first.errno) || end == limits::End::Target;
    let is_death = first.errno == "died";
    let testimony = &evidence.testimony;
    let pair = evidence.fullest_pair();
    let words = pair.map(|pair| format!("{} to {}", pair.source, pair.destination));
    let observation = Observation {
        connections_wanted: Some(evidence.connections),
        address_pairs: Some(evidence.sources.len().max(1) as u64),
        backlog: evidence.own_bounds.backlog,
        stack_bytes: if of_target { evidence.target_stack_bytes } else { evidence.client_stack_bytes },
        ports_taken: testimony.ports.as_ref().map(|_| pair.map_or(0, PairUse::ports_taken)),
        ports_time_wait: pair.map(|pair| pair.time_wait),
        time_wait_is_free: pair.and_then(|pair| pair.time_wait_is_free),
        pair: words.as_deref(),
        cgroup: match (of_target, is_death) {
            (true, true) => testimony.cgroup_at_the_end(),
            (true, false) => testimony.cgroup_of_target(),
            (false, _) => testimony.cgroup_of_client(),
        },
        target: testimony.target,
        ..Observation::new(end, &first.phase, &first.errno, first.first_at_connections)
    };
    let readings = evidence.readings(of_target);
    let at_the_end = testimony.target_end.as_ref().map(|(before, now)| (before, now));
    let counters = if is_death && of_target { at_the_end } else { evidence.counters() };
    workers_all_taken(first, evidence).unwrap_or_else(|| {
        let inference = classify::classify(&observation, &readings, counters);
        let mut inference = of_unknown_backlog(inference, first, evidence, &readings);
        if evidence.own_bounds.backlog.is_none() && inference.limit == Some(classify::TARGET_BACKLOG) {
            (inference.fix, inference.lasting) = (Some(LONGER_BACKLOG.to_owned()), None);
        }
        inference
    })
}

/// Of a target of several processes: a connection that is accepted and never answered, while as many are served as the
/// target's pool has workers: each serves its connection until that closes, and the rest wait.
fn workers_all_taken(first: &Failure, evidence: &Evidence) -> Option<Inference> {
    let each = evidence.pool_workers.filter(|_| evidence.processes > 1)?;
    let (processes, at) = (evidence.processes, first.first_at_connections);
    let all = each * processes;
    // The kernel spreads connections over processes unevenly: one is full before the others are.
    if first.phase != "verify" || first.errno != "timeout" || !(each..=all).contains(&at) {
        return None;
    }
    let confidence = if at == all { classify::Confidence::Confirmed } else { classify::Confidence::Likely };
    let evidence = vec![
        format!("{} in phase {} with {} connections open", first.errno, first.phase, format_count(at)),
        format!(
            "the target has {} workers in each of {processes} processes, and each serves one connection until that closes",
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
fn of_unknown_backlog(
    mut inference: Inference,
    first: &Failure,
    evidence: &Evidence,
    readings: &[LimitReading],
) -> Inference {
    let overflowed =
        evidence.counters().is_some_and(|(before, after)| before.listen_overflows < after.listen_overflows);
    // A queue that nobody was ever seen in is another socket's.
    let is_empty = evidence.own_bounds.accept_queue == Some(0);
    let is_known = inference.limit.is_some() || evidence.own_bounds.backlog.is_some() || is_empty;
    if is_known || !overflowed || first.phase != "connect" {
        return inference;
    }
    let somaxconn = readings.iter().find(|reading| reading.name == SOMAXCONN).and_then(|one| one.value);
    let Some(somaxconn) = somaxconn.filter(|max| evidence.connections < *max) else { return inference };
    inference.limit = Some(classify::TARGET_BACKLOG);
    inference.limit_value = None;
    inference.confidence = classify::Confidence::Likely;
    inference.evidence.push(format!(
        "{} connections do not fill a queue of net.core.somaxconn, {}: the server asked for a shorter one",
        format_count(evidence.connections),
        format_count(somaxconn)
    ));
    inference
}

/// Causes before their consequences: an end's death, then what an end was refused by its own kernel comes before
/// what the other end then saw as a closed or silent connection, and that before what was only slow.
fn rank(failure: &Failure) -> u8 {
    match failure.errno.as_str() {
        "died" => return 0,
        "slow" => return 4,
        _ => {}
    }
    let own_kernel =
        matches!(failure.phase.as_str(), "socket" | "bind" | "register" | "accept" | "spawn" | "memory");
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
    use crate::preflight::tests::reading;
    use crate::run::witness::Limits;
    use brink_host::classify::TargetState;

    fn failure(end: End, phase: &str, errno: &str, at: u64) -> Failure {
        Failure { end, phase: phase.into(), errno: errno.into(), count: 3, first_at_connections: at }
    }

    fn fix(limit: &'static str, live: &str) -> Fix {
        Fix { end: End::Target, limit, live: live.to_owned(), lasting: None }
    }

    fn evidence() -> Evidence {
        let limits = Limits {
            client: vec![reading("rlimit.nofile", 20_000, Some(500))],
            target: vec![reading("rlimit.nofile", 1_024, Some(1_024))],
        };
        Evidence {
            testimony: Testimony {
                target: TargetState::default(),
                limits,
                target_machine: None,
                target_end: None,
                client_machine: Default::default(),
                ports: None,
            },
            own_bounds: OwnBounds::default(),
            predicted: None,
            sources: Vec::new(),
            is_loopback: true,
            connections: 2_000,
            target_stack_bytes: None,
            client_stack_bytes: None,
            pool_workers: None,
            processes: 1,
            fixes: vec![fix("rlimit.nofile", "raise it")],
        }
    }

    #[test]
    fn a_pool_that_is_full_is_named_only_where_it_was_full() {
        let fix = fix(POOL_WORKERS, "more workers");
        let bounds = |workers, live| OwnBounds { pool_workers: Some(workers), live, ..OwnBounds::default() };
        let pool = |live| {
            let mut seen = Evidence { own_bounds: bounds(32, live), fixes: vec![fix.clone()], ..evidence() };
            seen.testimony.target.live = live;
            seen
        };
        let point = |at, evidence: &Evidence| {
            failure_point(&[failure(End::Client, "verify", "timeout", at)], evidence).unwrap()
        };
        let full = point(32, &pool(Some(32)));
        assert_eq!((full.limit.as_str(), full.limit_value, full.end), (POOL_WORKERS, Some(32), End::Target));
        assert_eq!((full.confidence, full.fix.as_deref()), (Confidence::Confirmed, Some("more workers")));
        assert_eq!(point(31, &pool(Some(31))).limit, "unknown", "a worker was free");
        assert_eq!(point(32, &evidence()).limit, "unknown", "not a pool");
        let two =
            Evidence { processes: 2, pool_workers: Some(32), own_bounds: bounds(64, None), ..evidence() };
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
        let seen = |backlog, connections| {
            let mut seen = Evidence { connections, ..evidence() };
            seen.own_bounds.backlog = backlog;
            seen.testimony.limits.target = vec![reading("net.core.somaxconn", 4_096, None)];
            seen.testimony.target_machine = Some((machine(Some(0)), machine(Some(5))));
            failure_point(&timeout, &seen).unwrap()
        };
        let short = seen(None, 8);
        assert_eq!((short.limit.as_str(), short.limit_value), ("target.backlog", None));
        assert!(short.end == End::Target && short.fix.unwrap().contains("backlog"));
        assert_eq!(seen(None, 10_000).limit, "unknown");
        assert_eq!(seen(Some(4_096), 10_000).limit, "net.core.somaxconn");
    }

    #[test]
    fn a_stranger_on_loopback_shares_what_the_machine_shares() {
        let mut seen = evidence();
        seen.testimony.limits.target.clear();
        seen.testimony.limits.client.push(reading("net.core.somaxconn", 4_096, None));
        let names: Vec<_> = seen.readings(true).into_iter().map(|one| one.name).collect();
        assert!(names.contains(&"net.core.somaxconn".to_owned()), "{names:?}");
        assert!(!names.contains(&"rlimit.nofile".to_owned()), "that of another process: {names:?}");
        seen.is_loopback = false;
        assert!(seen.readings(true).iter().all(|one| one.name != "net.core.somaxconn"));
    }

    #[test]
    fn what_is_only_slow_comes_last() {
        let slow = failure(End::Client, "connect", "slow", 5);
        let seen = [slow.clone(), failure(End::Target, "accept", "EMFILE", 1_000)];
        assert_eq!(failure_point(&seen, &evidence()).unwrap().errno, "EMFILE");
        assert_eq!(failure_point(&[slow], &evidence()).unwrap().at_connections, 5);
    }
}

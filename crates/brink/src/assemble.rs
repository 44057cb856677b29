//! From what the engine counted and what the samples saw to the result of a case.
//!
//! Pure: no sockets, no clock. Everything it needs is handed in.

use brink_client::{FailureCount, Outcome};
use brink_results::case::{Case, Workload};
use brink_results::schema::{
    Background, CaseResult, Connections, End, EndFacts, Facts, Failure, FailurePoint, LatencyFrom,
    MemoryPerConnection, Plateau, Predicted, PredictedMemory, RESULT_SCHEMA, Requests, Usage, Validity,
    Verdict,
};
use brink_results::{hdr, memory, verdict};
use brink_wire::control::{Counters, Refusal};

use crate::run::background::Ended;

/// What is known of a case before and beside its measurement.
pub struct Context {
    /// The resolved case.
    pub case: Case,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// The client's machine and limits.
    pub client: EndFacts,
    /// The target's, where it says.
    pub target: Option<EndFacts>,
    /// What arithmetic said beforehand.
    pub predicted: Option<Predicted>,
    /// And what the connections take of memory.
    pub predicted_memory: Option<PredictedMemory>,
    /// Whether the target fills in how long it waited. One that only echoes does not wait at all.
    pub target_waits: bool,
}

/// What was measured.
pub struct Measured {
    /// By the engine.
    pub outcome: Outcome,
    /// By the samples.
    pub usage: Usage,
    /// On the way up.
    pub plateaus: Vec<Plateau>,
    /// By the target.
    pub counters: Option<Counters>,
    /// Of the other load of the target, where one was begun.
    pub background: Option<Ended>,
    /// Why figures are missing or weak.
    pub remarks: Vec<String>,
    /// What cut it short.
    pub interrupted: Option<String>,
    /// Whether that was the end of the target.
    pub target_died: bool,
    /// What is known of its edge beside this.
    pub beside: Beside,
}

/// What another way up says of the edge.
#[derive(Default)]
pub struct Beside {
    /// What gave way that neither end counted.
    pub extra: Option<Failure>,
    /// The outcome whose failures are those of the edge, where that is another one.
    pub edge: Option<Outcome>,
}

impl Context {
    /// Whether both ends are under one kernel. `None`: the target does not say, or a kernel does not.
    pub fn shared_machine(&self) -> Option<bool> {
        let target = self.target.as_ref()?;
        let (client, target) = (self.client.machine.boot_id.as_ref()?, target.machine.boot_id.as_ref()?);
        Some(client == target)
    }

    fn facts(&self) -> Facts {
        let shared_machine = self.shared_machine();
        let shared_cpus = match (&self.target, shared_machine) {
            (Some(target), Some(true)) => {
                let here = self.case.load.cpus.as_ref().unwrap_or(&self.client.machine.cpus_allowed);
                let there = &target.machine.cpus_allowed;
                here.iter().filter(|cpu| there.contains(cpu)).copied().collect()
            }
            _ => Vec::new(),
        };
        Facts {
            client: self.client.clone(),
            target: self.target.clone(),
            shared_machine,
            shared_cpus,
            brink_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn empty(self, validity: Validity) -> CaseResult {
        CaseResult {
            schema: RESULT_SCHEMA.to_owned(),
            started: self.started.clone(),
            facts: self.facts(),
            validity,
            connections: Connections {
                requested: self.case.load.connections,
                not_attempted: self.case.load.connections,
                ..Connections::default()
            },
            requests: Requests::default(),
            latency_ns: None,
            delay_error_ns: None,
            schedule_lag_ns: None,
            makespan_ns: None,
            usage: Usage::default(),
            memory_per_connection: MemoryPerConnection::default(),
            failures: Vec::new(),
            failure_point: None,
            predicted: self.predicted,
            predicted_memory: self.predicted_memory,
            refused: false,
            interrupted: false,
            ceiling: None,
            background: None,
            slo: Vec::new(),
            target_counters: None,
            case: self.case,
        }
    }

    /// The result of a case that did not come to a measurement.
    pub fn failed(self, reason: impl Into<String>) -> CaseResult {
        self.empty(Validity { verdict: Verdict::Failed, reasons: vec![reason.into()] })
    }

    /// The result of a case that was measured, whole or in part. `failure_point` is found
    /// from the failures, with the context's help, by the caller.
    pub fn measured(
        self,
        measured: Measured,
        failure_point: impl FnOnce(&[Failure]) -> Option<FailurePoint>,
    ) -> CaseResult {
        let Measured { outcome, usage, plateaus, counters, background, beside, .. } = measured;
        let (mut remarks, interrupted, target_died) =
            (measured.remarks, measured.interrupted, measured.target_died);
        let window = u64::from(self.case.load.connect_window);
        let target_waits = self.target_waits;
        let edge = beside.edge.as_ref().unwrap_or(&outcome);
        let mut failures = failures(edge, counters.as_ref(), target_died, window);
        failures.extend(beside.extra);
        let mut result = self.empty(Validity { verdict: Verdict::Valid, reasons: Vec::new() });
        result.failure_point = failure_point(&failures);
        let (memory, missing) = memory::memory_per_connection(plateaus, result.facts.shared_machine);
        remarks.extend(missing);
        result.memory_per_connection = memory;
        result.connections = connections(&outcome);
        result.requests = requests(&outcome, &result.case, target_waits);
        let from = latency_from(result.case.load.workload);
        match hdr::latency(&outcome.samples.latency, from) {
            Ok(latency) => result.latency_ns = latency,
            Err(error) => {
                remarks.push(format!("latency_ns is null: its histogram cannot be written: {error}"))
            }
        }
        result.delay_error_ns = hdr::delay_error(&outcome.samples.delay_error);
        result.schedule_lag_ns = hdr::delay_error(&outcome.samples.schedule_lag);
        result.makespan_ns = outcome.makespan.and_then(|makespan| u64::try_from(makespan.as_nanos()).ok());
        result.background = background.map(|ended| of_background(ended, &result.case, target_waits));
        result.usage = usage;
        result.failures = failures;
        result.target_counters = counters;
        let input =
            verdict::Input { result: &result, interrupted: interrupted.as_deref(), missing: &remarks };
        result.validity = verdict::judge(input);
        result
    }
}

/// What became of the other load of the target.
fn of_background(ended: Ended, case: &Case, target_waits: bool) -> Background {
    let Ended { outcome, mut faults } = ended;
    let Some(load) = case.load.of_background() else { return Background::default() };
    let requested = load.connections;
    let case = Case { load, ..case.clone() };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            faults.push(format!("it could not run: {error}"));
            let connections = Connections { requested, not_attempted: requested, ..Connections::default() };
            return Background { connections, faults, ..Background::default() };
        }
    };
    let latency_ns = hdr::latency(&outcome.samples.latency, latency_from(case.load.workload));
    if let Err(error) = &latency_ns {
        faults.push(format!("its latencies cannot be written: {error}"));
    }
    if outcome.cut_short {
        faults.push("what was under way when its window ended was not answered in time".to_owned());
    }
    Background {
        connections: connections(&outcome),
        requests: requests(&outcome, &case, target_waits),
        latency_ns: latency_ns.unwrap_or_default(),
        failures: failures_of_client(&outcome, u64::from(case.load.connect_window)),
        faults,
    }
}

fn connections(outcome: &Outcome) -> Connections {
    let opening_s = outcome.opening.as_secs_f64();
    let samples = &outcome.samples;
    Connections {
        requested: outcome.requested,
        opened: samples.opened,
        failed: samples.failed,
        not_attempted: samples.not_attempted,
        closed_early: samples.closed_early,
        live_at_end: samples.live_at_end,
        peak_live: outcome.peak_live,
        reopened: samples.reopened,
        connect_per_s: (opening_s > 0.0 && samples.opened > 0).then(|| samples.opened as f64 / opening_s),
        connect_latency_ns: hdr::connect_latency(&samples.connect_latency),
    }
}

fn requests(outcome: &Outcome, case: &Case, target_waits: bool) -> Requests {
    let window_s = outcome.window.as_secs_f64();
    let makes_requests = !matches!(case.load.workload, Workload::Hold { heartbeat_ns: None });
    let samples = &outcome.samples;
    Requests {
        intended: samples.requests_intended,
        completed: samples.requests_completed,
        failed: samples.requests_failed,
        non_2xx: samples.requests_non_2xx,
        not_sent: samples.requests_not_sent,
        backlog_peak: samples.backlog_peak,
        per_s: (window_s > 0.0 && makes_requests).then(|| samples.completed_in_window as f64 / window_s),
        per_s_intended: match case.load.workload {
            Workload::Open { rate_per_s, .. } => Some(rate_per_s),
            _ => None,
        },
        per_s_ceiling: ceiling(case, samples.opened, target_waits),
        window_s,
    }
}

/// What the arithmetic of the workload allows: open connections / (delay + think time), no more than those waits
/// that target and engine can have going at once / delay; one request per heartbeat; the rate of an open loop.
/// Nothing where neither waits, where the target's wait is unknown, or where all goes out at once. Heartbeats come by
/// the client's clock alone.
fn ceiling(case: &Case, connections: u64, target_waits: bool) -> Option<f64> {
    if let Workload::Hold { heartbeat_ns } = case.load.workload {
        return Some(connections as f64 / (heartbeat_ns? as f64 / 1e9));
    }
    let delay_s = match case.delay_of_path_ns().or(case.load.delay_ns) {
        _ if !target_waits => return None,
        Some(ns) => ns as f64 / 1e9,
        None if brink_target::find(&case.target.model).is_none() => return None,
        None => case.target.delay.mean().as_secs_f64(),
    };
    let target = brink_target::find(&case.target.model);
    let waits = target.and_then(|row| row.waits_at_once(case.target.threads));
    let waits = waits.map(|waits| waits * u64::from(case.target.processes));
    let lanes = brink_client::find(&case.load.engine).and_then(|row| row.requests_at_once(case.load.threads));
    let at_once = waits.into_iter().chain(lanes).min().map_or(f64::INFINITY, |at_once| at_once as f64);
    let per_s = |think_ns: u64| {
        let cycle_s = delay_s + think_ns as f64 / 1e9;
        let by_connections = if cycle_s > 0.0 { connections as f64 / cycle_s } else { f64::INFINITY };
        let by_waits = if delay_s > 0.0 { at_once / delay_s } else { f64::INFINITY };
        by_connections.min(by_waits)
    };
    let ceiling = match case.load.workload {
        Workload::Closed { think_ns } | Workload::Churn { think_ns } => per_s(think_ns),
        Workload::Open { rate_per_s, .. } => per_s(0).min(rate_per_s),
        Workload::Hold { .. } | Workload::Burst => return None,
    };
    ceiling.is_finite().then_some(ceiling)
}

/// Where the clock of a request starts.
fn latency_from(workload: Workload) -> LatencyFrom {
    match workload {
        Workload::Open { .. } => LatencyFrom::Due,
        Workload::Churn { .. } => LatencyFrom::Connect,
        Workload::Hold { .. } | Workload::Closed { .. } | Workload::Burst => LatencyFrom::Sent,
    }
}

/// The failures of both ends, as they were observed.
fn failures(outcome: &Outcome, counters: Option<&Counters>, target_died: bool, window: u64) -> Vec<Failure> {
    let reached = |first: u64| reached(outcome, window, first);
    let client = failures_of_client(outcome, window);
    let first_of_client = |is_it: &dyn Fn(&FailureCount) -> bool| {
        let seen = outcome.samples.failures.iter().filter(|failure| is_it(failure));
        seen.map(|failure| failure.first_at_connections).min()
    };
    // The target refuses what the client then sees fail: the client knows at how many. A limit that both ends meet it sees
    // by the same name; a connect that was slow is none that was refused.
    let seen_at = |refusal: &Refusal| {
        let same = |failure: &FailureCount| {
            (failure.phase, failure.errno.as_str()) == (refusal.phase.as_str(), refusal.error.as_str())
        };
        let any = || first_of_client(&|failure: &FailureCount| failure.errno != "slow");
        first_of_client(&same).or_else(any).map_or(outcome.peak_live, reached)
    };
    let target = counters.into_iter().flat_map(|counters| &counters.refusals).map(|refusal| Failure {
        end: End::Target,
        phase: refusal.phase.clone(),
        errno: refusal.error.clone(),
        count: refusal.count,
        first_at_connections: seen_at(refusal),
    });
    let death = target_died.then(|| Failure {
        end: End::Target,
        phase: "run".to_owned(),
        errno: "died".to_owned(),
        count: 1,
        first_at_connections: outcome.peak_live,
    });
    client.into_iter().chain(target).chain(death).collect()
}

/// What the client saw fail.
pub fn failures_of_client(outcome: &Outcome, window: u64) -> Vec<Failure> {
    let seen = outcome.samples.failures.iter().map(|failure| Failure {
        end: End::Client,
        phase: failure.phase.to_owned(),
        errno: failure.errno.clone(),
        count: failure.count,
        first_at_connections: reached(outcome, window, failure.first_at_connections),
    });
    seen.collect()
}

/// While opening, up to `window` connections are under way beyond those that are verified: a limit met then let them
/// in, and the count it was met at is the one that was reached.
fn reached(outcome: &Outcome, window: u64, first: u64) -> u64 {
    let is_at_peak = first <= outcome.peak_live && outcome.peak_live <= first.saturating_add(window);
    if is_at_peak { outcome.peak_live } else { first }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::{self, Machine};
    use crate::sweep_file;

    fn case(load: &str) -> Case {
        let text = format!(
            "name = \"x\"\n[[target]]\nmodel = \"mio\"\ndelay = \"100ms\"\n[load]\nconnections = 50\n{load}"
        );
        let machine = Machine { cpus_allowed: vec![0, 1], ports: None, limits: Vec::new() };
        plan::sweep(&sweep_file::parse(&text).unwrap(), &machine).unwrap().remove(0)
    }

    #[test]
    fn a_refusal_is_where_the_client_saw_it() {
        let mut samples = brink_client::WorkerSamples::new().unwrap();
        let seen = [
            ("connect", "slow", 7),
            ("verify", "timeout", 50),
            ("register", "ENOSPC", 90),
            ("verify", "closed", 95),
        ];
        for (phase, errno, at) in seen {
            samples.failure(phase, errno, at, Duration::ZERO);
        }
        let outcome = Outcome {
            requested: 200,
            samples,
            peak_live: 120,
            opening: Duration::ZERO,
            window: Duration::ZERO,
            makespan: None,
            interrupted: false,
            cut_short: false,
        };
        let refused = |phase: &str, error: &str| {
            let refusal = Refusal { phase: phase.to_owned(), error: error.to_owned(), count: 3 };
            let counters = Counters { refusals: vec![refusal], ..Counters::default() };
            let all = failures(&outcome, Some(&counters), false, 0);
            all.iter().find(|failure| failure.end == End::Target).unwrap().first_at_connections
        };
        assert_eq!(refused("register", "ENOSPC"), 90, "both ends meet it");
        assert_eq!(refused("accept", "EMFILE"), 50, "the first that failed");
    }

    #[test]
    fn the_ceiling_is_arithmetic() {
        assert_eq!(ceiling(&case(""), 50, true), Some(500.0));
        assert_eq!(ceiling(&case("think = \"400ms\""), 50, true), Some(100.0));
        assert_eq!(ceiling(&case("delay = \"1s\""), 50, true), Some(50.0));
        assert_eq!(ceiling(&case("delay = \"0s\""), 50, true), None);
        assert_eq!(ceiling(&case("workload = \"hold\""), 50, true), None);
        assert_eq!(ceiling(&case("workload = \"hold\"\nheartbeat = \"10s\""), 50, true), Some(5.0));
        let mut stranger = case("workload = \"hold\"\nheartbeat = \"10s\"");
        stranger.target.model = "foreign".to_owned();
        assert_eq!(ceiling(&stranger, 50, false), Some(5.0), "whatever the target does");
        assert_eq!(ceiling(&case(""), 50, false), None, "one that does not wait");
    }
}

//! From what the engine counted and what the samples saw to the result of a case.
//!
//! Pure: no sockets, no clock. Everything it needs is handed in.

use brink_client::Outcome;
use brink_results::case::{Case, Workload};
use brink_results::schema::{
    CaseResult, Connections, End, EndFacts, Facts, Failure, FailurePoint, LatencyFrom, MemoryPerConnection,
    Plateau, Predicted, RESULT_SCHEMA, Requests, Usage, Validity, Verdict,
};
use brink_results::{hdr, memory, verdict};
use brink_wire::control::Counters;

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
    /// Why figures are missing or weak.
    pub remarks: Vec<String>,
    /// What cut it short.
    pub interrupted: Option<String>,
    /// Whether that was the end of the target.
    pub target_died: bool,
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
            makespan_ns: None,
            usage: Usage::default(),
            memory_per_connection: MemoryPerConnection::default(),
            failures: Vec::new(),
            failure_point: None,
            predicted: self.predicted,
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
        let Measured { outcome, usage, plateaus, counters, mut remarks, interrupted, target_died } = measured;
        let window = u64::from(self.case.load.connect_window);
        let target_waits = self.target_waits;
        let failures = failures(&outcome, counters.as_ref(), target_died, window);
        let mut result = self.empty(Validity { verdict: Verdict::Valid, reasons: Vec::new() });
        result.failure_point = failure_point(&failures);
        let (memory, missing) = memory::memory_per_connection(plateaus, result.facts.shared_machine);
        remarks.extend(missing);
        result.memory_per_connection = memory;
        result.connections = connections(&outcome);
        result.requests = requests(&outcome, &result.case, target_waits);
        match hdr::latency(&outcome.latency, LatencyFrom::Sent) {
            Ok(latency) => result.latency_ns = latency,
            Err(error) => {
                remarks.push(format!("latency_ns is null: its histogram cannot be written: {error}"))
            }
        }
        result.delay_error_ns = hdr::delay_error(&outcome.delay_error);
        result.usage = usage;
        result.failures = failures;
        result.target_counters = counters;
        let input =
            verdict::Input { result: &result, interrupted: interrupted.as_deref(), missing: &remarks };
        result.validity = verdict::judge(input);
        result
    }
}

fn connections(outcome: &Outcome) -> Connections {
    let opening_s = outcome.opening.as_secs_f64();
    Connections {
        requested: outcome.requested,
        opened: outcome.opened,
        failed: outcome.failed,
        not_attempted: outcome.not_attempted,
        closed_early: outcome.closed_early,
        live_at_end: outcome.live_at_end,
        peak_live: outcome.peak_live,
        connect_per_s: (opening_s > 0.0 && outcome.opened > 0).then(|| outcome.opened as f64 / opening_s),
        connect_latency_ns: hdr::connect_latency(&outcome.connect_latency),
    }
}

fn requests(outcome: &Outcome, case: &Case, target_waits: bool) -> Requests {
    let window_s = outcome.window.as_secs_f64();
    let makes_requests = !matches!(case.load.workload, Workload::Hold { heartbeat_ns: None });
    Requests {
        intended: outcome.requests_intended,
        completed: outcome.requests_completed,
        failed: outcome.requests_failed,
        per_s: (window_s > 0.0 && makes_requests).then(|| outcome.completed_in_window as f64 / window_s),
        per_s_ceiling: ceiling(case, outcome.opened).filter(|_| target_waits),
        window_s,
    }
}

/// What the arithmetic of the workload allows: open connections / (delay + think time), or one
/// request per heartbeat. Nothing where neither waits, or where the target's wait is unknown.
fn ceiling(case: &Case, connections: u64) -> Option<f64> {
    let delay_s = match case.load.delay_ns {
        Some(ns) => ns as f64 / 1e9,
        None if case.target.model == "foreign" => return None,
        None => case.target.delay.mean().as_secs_f64(),
    };
    let cycle_s = match case.load.workload {
        Workload::Closed { think_ns } => delay_s + think_ns as f64 / 1e9,
        Workload::Hold { heartbeat_ns } => heartbeat_ns? as f64 / 1e9,
    };
    (cycle_s > 0.0).then(|| connections as f64 / cycle_s)
}

/// The failures of both ends, as they were observed.
fn failures(outcome: &Outcome, counters: Option<&Counters>, target_died: bool, window: u64) -> Vec<Failure> {
    // While opening, up to `window` connections are under way beyond those that are verified: a
    // limit met then let them in, and the count it was met at is the one that was reached.
    let reached = |first: u64| {
        if first <= outcome.peak_live && outcome.peak_live <= first + window {
            outcome.peak_live
        } else {
            first
        }
    };
    let client = outcome.failures.iter().map(|failure| Failure {
        end: End::Client,
        phase: failure.phase.to_owned(),
        errno: failure.errno.clone(),
        count: failure.count,
        first_at_connections: reached(failure.first_at_connections),
    });
    let first_client = outcome.failures.iter().map(|failure| failure.first_at_connections).min();
    let target = counters.into_iter().flat_map(|counters| &counters.refusals).map(|refusal| Failure {
        end: End::Target,
        phase: refusal.phase.clone(),
        errno: refusal.error.clone(),
        count: refusal.count,
        // The target refuses what the client then sees fail: the client knows at how many.
        first_at_connections: first_client.map_or(outcome.peak_live, reached),
    });
    let death = target_died.then(|| Failure {
        end: End::Target,
        phase: "run".to_owned(),
        errno: "died".to_owned(),
        count: 1,
        first_at_connections: outcome.peak_live,
    });
    client.chain(target).chain(death).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{self, Machine};
    use crate::sweep_file;

    fn case(load: &str) -> Case {
        let text = format!(
            "name = \"x\"\n[[target]]\nmodel = \"mio\"\ndelay = \"100ms\"\n[load]\nconnections = 50\n{load}"
        );
        let machine = Machine { cpus_allowed: vec![0, 1], ports: None };
        plan::sweep(&sweep_file::parse(&text).unwrap(), &machine).unwrap().remove(0)
    }

    #[test]
    fn the_ceiling_is_arithmetic() {
        assert_eq!(ceiling(&case(""), 50), Some(500.0));
        assert_eq!(ceiling(&case("think = \"400ms\""), 50), Some(100.0));
        assert_eq!(ceiling(&case("delay = \"1s\""), 50), Some(50.0));
        assert_eq!(ceiling(&case("delay = \"0s\""), 50), None);
        assert_eq!(ceiling(&case("workload = \"hold\""), 50), None);
        assert_eq!(ceiling(&case("workload = \"hold\"\nheartbeat = \"10s\""), 50), Some(5.0));
    }
}

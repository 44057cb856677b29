//! Runs one case: reaches the target, opens the connections, loads them, samples
//! both ends, stops the target, and puts the result together.
//!
//! A case that fails is a result too; only what never began has none.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::assemble::{Context, Measured};
use crate::ends::{Ends, Look, Sampling, lock};
use crate::options;
use crate::plan;
use crate::preflight::{self, Standing, Surroundings};
use crate::progress::Snapshot;
use crate::reach::{self, Permission, Reached};
use crate::target_process::Ending;
use brink_client::{LiveCounters, LoadOptions, Observer, Outcome, Phase, ProbeError};
use brink_results::case::{Case, Protocol};
use brink_results::schema::{CaseResult, EndFacts, Plateau};
use brink_wire::control::{DeadWorker, LimitReading};
use brink_wire::value::format_cpus;

/// How a case is run, beside what the case itself says.
pub struct Settings {
    /// Refuse a case that a limit is known to end early.
    pub preflight: bool,
    /// Who may be loaded.
    pub permission: Permission,
    /// Asks the run to finish with what it has.
    pub stop: brink_client::Stop,
}

/// Why a case has no measurement.
pub enum NotRun {
    /// A limit is in the way; nothing was opened.
    Refused(Box<Context>, String),
    /// The target could not be reached, or is no target.
    Unreachable(Box<Context>, String),
    /// The machine refused what the run itself needs.
    Broken(Box<Context>, String),
}

const ONLY_ECHOES: &str = "the target only echoes: the delay asked has no effect, and there is no ceiling";
const REFUSED: &str = "refused before it started: ";

/// Whether this is the result of a case that preflight refused.
pub fn was_refused(result: &CaseResult) -> bool {
    result.validity.reasons.first().is_some_and(|reason| reason.starts_with(REFUSED))
}

impl NotRun {
    /// Why.
    pub fn line(&self) -> &str {
        match self {
            Self::Refused(_, why) | Self::Unreachable(_, why) | Self::Broken(_, why) => why,
        }
    }

    /// As a result that says why.
    pub fn into_result(self) -> CaseResult {
        match self {
            Self::Refused(context, why) => context.failed(format!("{REFUSED}{why}")),
            Self::Unreachable(context, why) | Self::Broken(context, why) => context.failed(why),
        }
    }
}

/// Runs a case. `on_snapshot` is called several times a second from another thread.
///
/// # Errors
/// [`NotRun`], with which a failed result can still be written.
pub fn run(
    mut case: Case,
    settings: &Settings,
    on_snapshot: impl FnMut(&Snapshot) + Send + 'static,
) -> Result<CaseResult, NotRun> {
    let began = Instant::now();
    let mut context = context(&case);
    let client_limits = context.client.limits.clone();
    let cpus = context.client.machine.cpus_allowed.len() as u32;
    let before = preflight::check(&case, &Surroundings::before(&case, &client_limits, cpus));
    context.predicted.clone_from(&before.predicted);
    if let Some(why) = before.short.filter(|_| settings.preflight) {
        return Err(NotRun::Refused(Box::new(context), why));
    }
    let mut reached = match reach::reach(&mut case, &settings.permission) {
        Ok(reached) => reached,
        Err(why) => return Err(NotRun::Unreachable(Box::new(context), why)),
    };
    if case.load.protocol == Protocol::Frame && reached.info.is_some() {
        // Only now it is known which of brink's own targets runs there.
        case.load.protocol = plan::of_model(&case.target.model);
    }
    context.case = case;
    if let Some(facts) = &reached.facts {
        context.target = Some(facts.clone());
        let after =
            preflight::check(&context.case, &of_running(&context, &reached, &client_limits, &facts.limits));
        context.predicted.clone_from(&after.predicted);
        if let Some(why) = after.short.filter(|_| settings.preflight) {
            return Err(NotRun::Refused(Box::new(context), why));
        }
    }
    // After the target was started, which would inherit it; before the engine makes its threads.
    if let Some(cpus) = &context.case.load.cpus
        && let Err(error) = brink_host::cpus::pin(cpus)
    {
        let why = format!("the client cannot be pinned to CPUs {}: {error}", format_cpus(cpus));
        return Err(NotRun::Broken(Box::new(context), why));
    }
    let options = match options::of_case(&context.case, reached.address, reached.info.as_ref()) {
        Ok(options) => options,
        Err(why) => return Err(NotRun::Broken(Box::new(context), why)),
    };
    match probe(&context.case, &options, &mut reached) {
        Ok(waits) => context.target_waits = waits,
        Err(why) => return Err(NotRun::Unreachable(Box::new(context), why)),
    }
    measure(context, reached, &options, settings, began, on_snapshot)
}

/// What is known of a case before it runs.
pub fn context(case: &Case) -> Context {
    Context {
        case: case.clone(),
        started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        client: EndFacts {
            machine: brink_host::machine::read(),
            limits: brink_host::limits::read(std::process::id()),
            work_error_ratio: None,
        },
        target: None,
        predicted: None,
        target_waits: true,
    }
}

/// One connection and one echo, before thousands are opened. Whether the target waits as it is asked.
fn probe(case: &Case, options: &LoadOptions, reached: &mut Reached) -> Result<bool, String> {
    if let Some(how) = reached.died() {
        return Err(format!("the target ended before it was loaded: {how}"));
    }
    match brink_client::probe(options) {
        Ok(probe) => Ok(probe.answers_as_brink),
        // A target may be full already: that is a finding of the run, not a reason against it.
        Err(ProbeError::ClosedAtOnce { .. }) if case.target.connections_max.is_some() => Ok(true),
        Err(error) => {
            let usage = reached.control.as_mut().and_then(|control| control.usage().ok());
            let refusals = usage.into_iter().flat_map(|usage| usage.counters.refusals);
            let counted: Vec<_> = refusals.map(|r| format!("{} {} {}", r.count, r.phase, r.error)).collect();
            Err(match counted.as_slice() {
                [] => error.to_string(),
                counted => format!("{error}; the target counts {}", counted.join(", ")),
            })
        }
    }
}

/// What a forecast is made of once the target runs.
fn of_running<'a>(
    context: &Context,
    reached: &'a Reached,
    client: &'a [LimitReading],
    target: &'a [LimitReading],
) -> Surroundings<'a> {
    let pid = reached.sampled.or(reached.info.as_ref().and_then(|info| info.ready.workers.first().copied()));
    let shares_machine = context.shared_machine();
    Surroundings {
        client: Standing { readings: client, is_running: true },
        target: Some(Standing { readings: target, is_running: true }),
        info: reached.info.as_ref(),
        shares_machine,
        shares_user: pid.filter(|_| shares_machine == Some(true)).and_then(brink_host::limits::shares_user),
        ..Surroundings::before(&context.case, client, context.client.machine.cpus_allowed.len() as u32)
    }
}

fn measure(
    mut context: Context,
    mut reached: Reached,
    options: &LoadOptions,
    settings: &Settings,
    began: Instant,
    on_snapshot: impl FnMut(&Snapshot) + Send + 'static,
) -> Result<CaseResult, NotRun> {
    let broken = |context, what: &str, error: &dyn std::fmt::Display| {
        NotRun::Broken(Box::new(context), format!("{what}: {error}"))
    };
    let Some(engine) = brink_client::find(&context.case.load.engine) else {
        let why = format!("no engine `{}`", context.case.load.engine);
        return Err(NotRun::Broken(Box::new(context), why));
    };
    let live = Arc::new(LiveCounters::new(engine.workers(options)));
    let same_machine = context.shared_machine() == Some(true);
    let mut ends = Ends::new(began, Arc::clone(&live), reached.watch(), same_machine);
    let machine_before = ends.look().of_target_machine(same_machine);
    let snapshots = snapshots(options.connections, Arc::clone(&live), on_snapshot);
    let sampling = match Sampling::start(ends, context.case.load.samples_per_s, snapshots) {
        Ok(sampling) => sampling,
        Err(error) => return Err(broken(context, "cannot start sampling", &error)),
    };
    let standing = sampling.with_ends(limits_of);
    let ports = brink_host::connections::towards(reached.address);
    let around = Surroundings {
        ports: ports.as_deref(),
        listening_ports: brink_host::connections::ephemeral_ports_listened_on(),
        ..of_running(&context, &reached, &standing.client, &standing.target)
    };
    let now = preflight::check(&context.case, &around);
    context.predicted.clone_from(&now.predicted);
    let mut watcher = Watcher { sampling: &sampling, plateaus: Vec::new(), opened: None };
    let ran = brink_client::run(engine, options, &settings.stop, &live, &mut watcher);
    let (plateaus, opened) = (watcher.plateaus, watcher.opened);
    let (usage, ends, sampled) = sampling.collect();
    let mut ends = lock(&ends);
    let last = ends.look();
    // Use of limits counts while the connections are open; a run that never got there has only this.
    let Limits { client: client_limits, target: target_limits } =
        opened.unwrap_or_else(|| limits_of(&mut ends));
    let (counters, silent) = (ends.counters(), ends.control_failures());
    let dead_workers = ends.dead_workers().to_vec();
    let remark = reached.remark.take();
    // A stranger does not say, even where its process can be looked at.
    let backlog = reached.info.as_ref().map(|info| u64::from(info.backlog));
    let ending = reached.end(ends.control());
    let outcome = match ran {
        Ok(outcome) => outcome,
        Err(error) => return Err(broken(context, "the client engine cannot run", &error)),
    };
    let mut remarks = remarks(&outcome, ending.as_ref(), silent, &dead_workers);
    remarks.extend(remark);
    if !sampled {
        remarks.push("the sampling thread ended early, so the samples are not complete".to_owned());
    }
    if !context.target_waits && options.delay.is_some_and(|delay| !delay.is_zero()) {
        remarks.push(ONLY_ECHOES.to_owned());
    }
    let evidence = preflight::Evidence {
        client_limits,
        target_limits,
        machine_before,
        machine_after: last.of_target_machine(same_machine),
        predicted: context.predicted.clone(),
        stack_bytes: preflight::stack_bytes(&context.case.target),
        pool_workers: preflight::workers_of_pool(&context.case.target),
        processes: context.case.target.processes.into(),
        fixes: now.fixes.into_iter().map(|fix| (fix.end, fix.limit, fix.live)).collect(),
        address_pairs: options.sources.len().max(1) as u64,
        backlog,
        connections: options.connections,
    };
    let measured = Measured {
        remarks,
        interrupted: interrupted(&outcome, ending.as_ref()),
        target_died: matches!(ending, Some(Ending::Died(_))),
        outcome,
        usage,
        plateaus,
        counters,
    };
    Ok(context.measured(measured, |failures| preflight::failure_point(failures, &evidence)))
}

/// What the progress line is told, made from each look at both ends.
fn snapshots(
    requested: u64,
    live: Arc<LiveCounters>,
    mut on_snapshot: impl FnMut(&Snapshot) + Send + 'static,
) -> impl FnMut(&Look, &str) + Send + 'static {
    let mut last: Option<(f64, u64)> = None;
    move |look, phase| {
        let now = live.snapshot();
        let t_s = look.client.t_s;
        let requests_per_s = match last.replace((t_s, now.completed)) {
            Some((t_before, before)) if t_s > t_before => (now.completed - before) as f64 / (t_s - t_before),
            _ => 0.0,
        };
        on_snapshot(&Snapshot {
            phase: phase.to_owned(),
            t_s,
            requested,
            live: now.live,
            failed: now.failed,
            requests: now.completed,
            requests_per_s,
            client_user_bytes: look.client.user_bytes,
            target_user_bytes: look.target.as_ref().and_then(|target| target.user_bytes),
            target_threads: look.target.as_ref().and_then(|target| target.threads),
        });
    }
}

/// Follows the run: marks its phases and samples its plateaus.
struct Watcher<'a> {
    sampling: &'a Sampling,
    plateaus: Vec<Plateau>,
    /// Limits with all connections open, each at its most use: before the requests and right after them.
    opened: Option<Limits>,
}

impl Observer for Watcher<'_> {
    fn phase(&mut self, phase: Phase) {
        if matches!(phase, Phase::Warmup | Phase::Drain) {
            let now = self.sampling.with_ends(limits_of);
            self.opened = Some(match self.opened.take() {
                Some(before) => before.most_used(now),
                None => now,
            });
        }
        self.sampling.mark(match phase {
            Phase::Ramp => "ramp",
            Phase::Warmup => "warmup",
            Phase::Window => "window",
            Phase::Drain => "drain",
            Phase::Close => "close",
        });
    }

    fn plateau(&mut self, connections_open: u64) {
        // After failures two plateaus can hold the same number; it is one point all the same.
        if self.plateaus.last().is_none_or(|last| last.connections < connections_open) {
            self.plateaus.push(self.sampling.plateau(connections_open));
        }
    }
}

/// Limits of both ends at one instant, with their use.
struct Limits {
    client: Vec<LimitReading>,
    target: Vec<LimitReading>,
}

impl Limits {
    /// Of each limit the reading with more use. A target that does not answer any more keeps what it said before.
    fn most_used(self, now: Self) -> Self {
        let most = |before: Vec<LimitReading>, now: Vec<LimitReading>| {
            let used_more = |one: &LimitReading| {
                now.iter().find(|other| other.name == one.name && other.used > one.used).cloned()
            };
            before.into_iter().map(|one| used_more(&one).unwrap_or(one)).collect()
        };
        Self { client: most(self.client, now.client), target: most(self.target, now.target) }
    }
}

fn limits_of(ends: &mut Ends) -> Limits {
    Limits { client: brink_host::limits::read(std::process::id()), target: ends.target_limits() }
}

fn remarks(
    outcome: &Outcome,
    ending: Option<&Ending>,
    silent: u64,
    dead_workers: &[DeadWorker],
) -> Vec<String> {
    let mut remarks = Vec::new();
    if silent > 0 {
        remarks.push(format!(
            "the target's control plane did not answer {silent} times, and was then left alone for 5 s each"
        ));
    }
    if outcome.samples.heartbeats_skipped > 0 {
        remarks.push(format!(
            "{} heartbeats were not sent, because the one before was unanswered",
            outcome.samples.heartbeats_skipped
        ));
    }
    if outcome.samples.requests_abandoned > 0 {
        remarks.push(format!(
            "{} requests were left unanswered when it was stopped",
            outcome.samples.requests_abandoned
        ));
    }
    for worker in dead_workers {
        remarks.push(format!("worker {} of the target died: {}", worker.pid, worker.how));
    }
    if ending == Some(&Ending::Killed) {
        remarks.push("the target did not stop in time when told to, and was killed".to_owned());
    }
    remarks
}

fn interrupted(outcome: &Outcome, ending: Option<&Ending>) -> Option<String> {
    if let Some(Ending::Died(how)) = ending {
        return Some(format!("the target died during the run: {how}"));
    }
    if outcome.cut_short {
        return Some(
            "what was under way when the window ended was not answered in time, and was given up".to_owned(),
        );
    }
    outcome.interrupted.then(|| "stopped before its end; what was measured until then is here".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_where_most_of_it_is_used() {
        let reading = |name: &str, used| LimitReading {
            name: name.to_owned(),
            value: Some(40),
            hard: None,
            used,
            source: String::new(),
            note: None,
        };
        let limits = |a, b| Limits { client: vec![], target: vec![reading("a", a), reading("b", b)] };
        let most = limits(Some(13), Some(9)).most_used(limits(Some(40), None));
        let used: Vec<_> = most.target.iter().map(|reading| reading.used).collect();
        assert_eq!(used, [Some(40), Some(9)]);
        let gone = Limits { client: vec![], target: vec![] };
        assert_eq!(limits(Some(1), None).most_used(gone).target.len(), 2);
    }
}

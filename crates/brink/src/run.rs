//! Runs one case: reaches the target, opens the connections, loads them, samples
//! both ends, stops the target, and puts the result together.
//!
//! A case that fails is a result too; only what never began has none.

pub mod background;
mod busy_poll;
mod easing;
mod watch;
pub mod witness;

use std::time::{Instant, SystemTime};

use crate::assemble::{Beside, Context, Measured};
use crate::case_process::{self, Death};
use crate::options;
use crate::plan;
use crate::preflight::{self, Forecast, Standing, Surroundings};
use crate::progress::Snapshot;
use crate::reach::{self, Permission, Reached};
use crate::target_process::Ending;
use brink_client::{Engine, LoadOptions, Outcome, ProbeError};
use brink_host::connections;
use brink_results::case::{Case, Protocol};
use brink_results::schema::{CaseResult, End, EndFacts, Failure, Predicted, Usage};
use brink_wire::control::{DeadWorker, Info, LimitReading};
use brink_wire::value::format_cpus;
use serde::{Deserialize, Serialize};

use self::busy_poll::Given;
pub use self::watch::{Course, Names, Task, Watch};

/// How a case is run, beside what the case itself says.
pub struct Settings {
    /// Refuse a case that a limit is known to end early.
    pub preflight: bool,
    /// Who may be loaded.
    pub permission: Permission,
    /// Asks the run to finish with what it has.
    pub stop: brink_client::Stop,
}

/// What is known of a case before its first connection: all that is left of it, should its process die.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Preamble {
    /// With what the target said of itself.
    pub case: Case,
    /// The target's machine and limits, where it says.
    pub target: Option<EndFacts>,
    /// What arithmetic says.
    pub predicted: Option<Predicted>,
}

/// What a run tells on its way.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// Once, before the first connection.
    Preamble(&'a Preamble),
    /// Several times a second, from another thread.
    Snapshot(&'a Snapshot),
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

/// Of a process that nobody could wait for.
const GONE: &str = "its process is gone, and how it ended is not known";
const ONLY_ECHOES: &str = "the target only echoes: the delay asked has no effect, and there is no ceiling";

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
            Self::Refused(context, why) => {
                CaseResult { refused: true, ..context.failed(format!("refused before it started: {why}")) }
            }
            Self::Unreachable(context, why) | Self::Broken(context, why) => context.failed(why),
        }
    }
}

/// Whether an end tracks the connections that are made.
#[derive(Clone, Copy)]
struct Tracked {
    client: bool,
    target: bool,
}

/// A case whose target was reached and answers. Nothing was measured yet.
pub struct Prepared {
    /// What is known of the case.
    pub context: Context,
    /// Its target.
    pub reached: Reached,
    /// What the client is asked to do.
    pub options: LoadOptions,
    /// And by which engine.
    pub engine: &'static Engine,
    /// What another client is asked to do meanwhile.
    pub background: Option<background::Asked>,
    /// What arithmetic says of it.
    pub forecast: Forecast,
    /// When the case began.
    pub began: Instant,
}

/// Runs a case, and tells how it goes.
///
/// # Errors
/// [`NotRun`], with which a failed result can still be written.
pub fn run(
    case: Case,
    settings: &Settings,
    mut tell: impl FnMut(News<'_>) + Send + 'static,
) -> Result<CaseResult, NotRun> {
    let mut prepared = prepare(case, settings)?;
    let mut watch = prepared.watch();
    prepared.forecast(&mut watch, Some(&settings.stop).filter(|_| settings.preflight));
    if let Some(why) = prepared.forecast.short.clone().filter(|_| settings.preflight) {
        return Err(NotRun::Refused(Box::new(prepared.context), why));
    }
    tell(News::Preamble(&prepared.preamble()));
    let onlooker = move |_: &_, snapshot: &_| tell(News::Snapshot(snapshot));
    let background = prepared.background.as_ref();
    let processes = prepared.context.case.load.processes;
    let task = Task { engine: prepared.engine, options: &prepared.options, processes, background };
    let course = watch.course(task, &settings.stop, Names::Plain, onlooker);
    match course {
        Ok(course) => Ok(finish(prepared, watch, course, Beside::default())),
        Err(error) => Err(prepared.broken(&error)),
    }
}

/// Reaches the target, and asks whether a limit is in the way.
///
/// # Errors
/// [`NotRun`], as long as nothing was opened.
pub fn prepare(mut case: Case, settings: &Settings) -> Result<Prepared, NotRun> {
    let began = Instant::now();
    let mut context = context(&case);
    let mut forecast = before(&context);
    if settings.preflight {
        forecast = easing::wait(forecast, &settings.stop, || {
            context.client.limits = own_limits();
            Some(before(&context))
        });
    }
    context.predicted.clone_from(&forecast.predicted);
    if let Some(why) = forecast.short.clone().filter(|_| settings.preflight) {
        return Err(NotRun::Refused(Box::new(context), why));
    }
    let mut reached = match reach::reach(&mut case, &settings.permission) {
        Ok(reached) => reached,
        Err(why) => return Err(NotRun::Unreachable(Box::new(context), why)),
    };
    if case.load.protocol == Protocol::Frame && reached.info.is_some() {
        // Only now it is known which of brink's own targets runs there.
        case.load.protocol = plan::of_model(&case.target.model);
        if let Some(background) = &mut case.load.background {
            background.protocol = case.load.protocol.clone();
        }
    }
    context.case = case;
    if let Some(facts) = &reached.facts {
        context.target = Some(facts.clone());
        let busy = reached.busy().unwrap_or_default();
        forecast = after(&context, &reached, busy);
        if settings.preflight {
            forecast = easing::wait(forecast, &settings.stop, || {
                let (limits, busy) = (reached.limits()?, reached.busy()?);
                context.client.limits = own_limits();
                context.target.as_mut()?.limits = limits;
                Some(after(&context, &reached, busy))
            });
        }
        context.predicted.clone_from(&forecast.predicted);
        if let Some(why) = forecast.short.clone().filter(|_| settings.preflight) {
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
    let engine = match engine(&context.case.load.engine) {
        Ok(engine) => engine,
        Err(why) => return Err(NotRun::Broken(Box::new(context), why)),
    };
    let given = Given::of(&context.case, &context.client);
    let shared = context.shared_machine();
    let busy_poll = busy_poll::resolve(&context.case, &given, context.target.as_ref(), shared);
    let options = LoadOptions { busy_poll, ..options };
    let background = match beside(&context.case, &options, reached.info.as_ref()) {
        Ok(background) => background,
        Err(why) => return Err(NotRun::Broken(Box::new(context), why)),
    };
    match probe(&context.case, &options, &mut reached) {
        Ok(waits) => context.target_waits = waits,
        Err(why) => return Err(NotRun::Unreachable(Box::new(context), why)),
    }
    Ok(Prepared { context, reached, options, engine, background, forecast, began })
}

fn own_limits() -> Vec<LimitReading> {
    brink_host::limits::read(std::process::id())
}

/// What arithmetic says before the target is reached.
fn before(context: &Context) -> Forecast {
    let untracked = preflight::untracked(&context.client.limits);
    let cpus = context.client.machine.cpus_allowed.len() as u32;
    preflight::check(&context.case, &Surroundings::before(&context.case, &untracked, cpus))
}

/// What it says of a target that was reached. `busy`: connections and threads that the target has already.
fn after(context: &Context, reached: &Reached, busy: (u64, Option<u64>)) -> Forecast {
    let (strangers, target_threads) = busy;
    let client = preflight::untracked(&context.client.limits);
    let target = context.target.as_ref().map(|facts| preflight::untracked(&facts.limits)).unwrap_or_default();
    let running = of_running(context, reached, &client, &target);
    preflight::check(&context.case, &Surroundings { strangers, target_threads, ..running })
}

fn engine(name: &str) -> Result<&'static Engine, String> {
    brink_client::find(name).ok_or_else(|| format!("no engine `{name}`"))
}

/// What the other client is asked to do, where there is one.
fn beside(
    case: &Case,
    measured: &LoadOptions,
    info: Option<&Info>,
) -> Result<Option<background::Asked>, String> {
    let Some(load) = case.load.of_background() else { return Ok(None) };
    let engine = engine(&load.engine)?;
    let case = Case { load, ..case.clone() };
    let options = options::of_case(&case, measured.target, info)?;
    // Its connections are told from the others.
    let options = LoadOptions { first_connection_id: measured.connections, ..options };
    Ok(Some(background::Asked { engine, options }))
}

impl Prepared {
    /// Begins to look at both ends.
    pub fn watch(&mut self) -> Watch {
        let same_machine = self.context.shared_machine() == Some(true);
        let per_s = self.context.case.load.samples_per_s;
        Watch::new(self.began, &mut self.reached, same_machine, per_s)
    }

    /// Reckons again with what is in use now, right before the first connection. `waits`: for what comes free,
    /// unless that is asked to stop.
    pub fn forecast(&mut self, watch: &mut Watch, waits: Option<&brink_client::Stop>) {
        // Whether connections are tracked shows in the one that was just made; entries of before go meanwhile.
        let is_tracked = watch.with_witness(|witness| self.is_tracked(witness.limits()));
        let mut forecast = self.reckon(watch, is_tracked);
        if let Some(stop) = waits {
            forecast =
                easing::wait(forecast, stop, || watch.look_afresh().then(|| self.reckon(watch, is_tracked)));
        }
        self.context.predicted.clone_from(&forecast.predicted);
        self.context.predicted_memory.clone_from(&forecast.memory);
        self.forecast = forecast;
    }

    fn is_tracked(&self, now: &witness::Limits) -> Tracked {
        let of_target = self.context.target.as_ref().map_or(&[][..], |facts| facts.limits.as_slice());
        Tracked {
            client: preflight::is_tracked(&self.context.client.limits, &now.client),
            target: preflight::is_tracked(of_target, &now.target),
        }
    }

    fn reckon(&self, watch: &Watch, is_tracked: Tracked) -> Forecast {
        let (limits, ports, live, threads) = watch.with_witness(|witness| {
            let ports = witness.ports().map(<[_]>::to_vec);
            (witness.limits().clone(), ports, witness.live(), witness.threads())
        });
        let as_tracked = |limits: Vec<_>, is| if is { limits } else { preflight::untracked(&limits) };
        let client = as_tracked(limits.client, is_tracked.client);
        let target = as_tracked(limits.target, is_tracked.target);
        let around = Surroundings {
            ports: ports.as_deref(),
            listening_ports: connections::ephemeral_ports_listened_on(),
            strangers: live.unwrap_or(0),
            target_threads: threads,
            ..of_running(&self.context, &self.reached, &client, &target)
        };
        preflight::check(&self.context.case, &around)
    }

    /// What is known before the first connection.
    pub fn preamble(&self) -> Preamble {
        Preamble {
            case: self.context.case.clone(),
            target: self.context.target.clone(),
            predicted: self.context.predicted.clone(),
        }
    }

    /// The client itself could not run.
    pub fn broken(self, error: &std::io::Error) -> NotRun {
        NotRun::Broken(Box::new(self.context), format!("the client cannot run: {error}"))
    }
}

/// Stops a target that was started, and puts the result of one course together.
pub fn finish(prepared: Prepared, mut watch: Watch, course: Course, beside: Beside) -> CaseResult {
    let Prepared { context, mut reached, options, forecast, .. } = prepared;
    let died = reached.died().or_else(|| {
        let is_gone = watch.with_witness(witness::Witness::is_gone);
        is_gone.then(|| GONE.to_owned())
    });
    let (counters, silent, dead_workers) = watch.with_ends(|ends| {
        let dead_workers = ends.dead_workers().to_vec();
        (ends.counters(), ends.control_failures(), dead_workers)
    });
    let how = died.as_deref().or_else(|| dead_workers.first().map(|worker| worker.how.as_str()));
    let mut testimony = watch.testify(how);
    let remark = reached.remark.take();
    let info = reached.info.take();
    let ending = watch.with_ends(|ends| reached.end(ends.control()));
    // A large process takes its time to end: it may not have been over when it was looked at.
    let died = died.or_else(|| match &ending {
        Some(Ending::Died(how)) => Some(how.clone()),
        _ => None,
    });
    if let Some(how) = &died {
        testimony.note_end(how);
    }
    let (usage, sampled) = watch.take_usage();
    let busy_poll_ns = u64::try_from(options.busy_poll.as_nanos()).unwrap_or(u64::MAX);
    let usage = Usage { busy_poll_ns: Some(busy_poll_ns), ..usage };
    let Course { outcome, plateaus, background } = course;
    let mut remarks = remarks(&outcome, ending.as_ref(), silent, &dead_workers);
    remarks.extend(remark);
    if !sampled {
        remarks.push("the sampling thread ended early, so the samples are not complete".to_owned());
    }
    if !context.target_waits && options.delay.is_some_and(|delay| !delay.is_zero()) {
        remarks.push(ONLY_ECHOES.to_owned());
    }
    let evidence = preflight::Evidence::new(&context.case, &options, info.as_ref(), forecast, testimony);
    let measured = Measured {
        remarks,
        interrupted: interrupted(&outcome, died.as_deref()),
        target_died: died.is_some(),
        outcome,
        usage,
        plateaus,
        counters,
        background,
        beside,
    };
    context.measured(measured, |failures| preflight::failure_point(failures, &evidence))
}

/// What is known of a case before it runs.
pub fn context(case: &Case) -> Context {
    Context {
        case: case.clone(),
        started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        client: EndFacts {
            machine: brink_host::machine::read(),
            limits: own_limits(),
            work_error_ratio: None,
        },
        target: None,
        predicted: None,
        predicted_memory: None,
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

/// What a forecast is made of once the target runs. `target`: its limits, empty where they cannot be told.
fn of_running<'a>(
    context: &Context,
    reached: &'a Reached,
    client: &'a [LimitReading],
    target: &'a [LimitReading],
) -> Surroundings<'a> {
    let shares_machine = context.shared_machine();
    let pid = reached.pid_here(shares_machine == Some(true));
    let running = |readings| Standing { readings, is_running: true };
    Surroundings {
        client: running(client),
        target: (!target.is_empty()).then(|| running(target)),
        info: reached.info.as_ref(),
        shares_machine,
        shares_user: pid.and_then(brink_host::limits::shares_user),
        ..Surroundings::before(&context.case, client, context.client.machine.cpus_allowed.len() as u32)
    }
}

/// The result of a case whose client ended without one: what it said on its way, and what ended it.
pub fn of_dead_client(
    case: &Case,
    death: Death,
    preamble: Option<Preamble>,
    snapshots: &[Snapshot],
) -> CaseResult {
    let mut known = context(case);
    if let Some(preamble) = preamble {
        known =
            Context { case: preamble.case, target: preamble.target, predicted: preamble.predicted, ..known };
    }
    let mut result = known.failed(death.how.clone());
    let Some((last, counted)) = snapshots.last().zip(death.counted) else { return result };
    let most = snapshots.iter().map(|snapshot| snapshot.live).max().unwrap_or(0);
    let requested = result.connections.requested;
    let failed = last.failed.min(requested - most.min(requested));
    let seen = &mut result.connections;
    (seen.opened, seen.closed_early, seen.peak_live) = (most, most, most);
    (seen.failed, seen.not_attempted) = (failed, requested.saturating_sub(most + failed));
    result.usage.client = case_process::samples(snapshots);
    let failure = Failure {
        end: End::Client,
        phase: "run".to_owned(),
        errno: "died".to_owned(),
        count: 1,
        first_at_connections: most,
    };
    let predicted = result.predicted.as_ref();
    result.failure_point =
        Some(preflight::client_death(&failure, predicted, &death.limits, &counted, &death.how));
    if let Some(point) = &mut result.failure_point {
        point.evidence.push("the count of connections is the last that the client told".to_owned());
    }
    result.failures = vec![failure];
    result
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
    for how in &outcome.samples.died {
        remarks.push(format!("a process of the client died: {how}"));
    }
    for worker in dead_workers {
        remarks.push(format!("worker {} of the target died: {}", worker.pid, worker.how));
    }
    if ending == Some(&Ending::Killed) {
        remarks.push("the target did not stop in time when told to, and was killed".to_owned());
    }
    remarks
}

fn interrupted(outcome: &Outcome, died: Option<&str>) -> Option<String> {
    if let Some(how) = died {
        return Some(format!("the target died during the run: {how}"));
    }
    if outcome.cut_short {
        return Some(
            "what was under way when the window ended was not answered in time, and was given up".to_owned(),
        );
    }
    outcome.interrupted.then(|| "stopped before its end; what was measured until then is here".to_owned())
}

//! Runs one case: reaches the target, opens the connections, loads them, samples
//! both ends, stops the target, and puts the result together.
//!
//! A case that fails is a result too; only what never began has none.

pub mod background;
mod busy_poll;
mod easing;
mod prepared;
mod watch;
pub mod witness;

use std::time::{Duration, SystemTime};

use crate::assemble::{Beside, Context, Measured};
use crate::case_process::{self, Death};
use crate::plan;
use crate::preflight;
use crate::progress::Snapshot;
use crate::reach::Permission;
use crate::target_process::Ending;
use brink_client::Outcome;
use brink_results::case::Case;
use brink_results::schema::{CaseResult, End, EndFacts, Failure, Predicted, Usage};
use brink_wire::control::{DeadWorker, LimitReading};
use serde::{Deserialize, Serialize};

pub use self::prepared::{Prepared, prepare};
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
    let Course { outcome, plateaus, background } = course;
    let in_vain = Duration::from_nanos(outcome.samples.polled_in_vain_ns);
    let usage = Usage {
        busy_poll_ns: Some(plan::ns(options.busy_poll)),
        polled_in_vain_s: (!options.busy_poll.is_zero()).then_some(in_vain.as_secs_f64()),
        ..usage
    };
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

/// The limits of this process, with what is in use of them now.
fn own_limits() -> Vec<LimitReading> {
    brink_host::limits::read(std::process::id())
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

//! What comes before the first connection: the target is reached, it is asked whether a limit is in the way, and one
//! connection is tried. Must not measure anything.

use std::time::Instant;

use crate::assemble::Context;
use crate::options;
use crate::plan;
use crate::preflight::{self, Forecast, Standing, Surroundings};
use crate::reach::{self, Reached};
use brink_client::{Engine, LoadOptions, ProbeError, Stop};
use brink_host::connections;
use brink_results::case::{Case, Protocol};
use brink_wire::control::{Info, LimitReading};
use brink_wire::value::format_cpus;

use super::busy_poll::{self, Given};
use super::{NotRun, Preamble, Settings, Watch, background, context, easing, own_limits, witness};

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

/// Whether an end tracks the connections that are made.
#[derive(Clone, Copy)]
struct Tracked {
    client: bool,
    target: bool,
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
    pub fn forecast(&mut self, watch: &mut Watch, waits: Option<&Stop>) {
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

//! A plan that is only asked about: the case that its flags describe, and how far the limits carry it. Must not
//! open a connection.

use std::path::Path;

use brink_host::connections;
use brink_results::case::Case;
use brink_results::schema::End;
use brink_results::store;
use clap::Parser;

use super::Seen;
use crate::cli::{Cli, Command, LimitsArgs};
use crate::exit::Failure;
use crate::plan::{self, Machine};
use crate::preflight::{self, Forecast, Reckoned, Slopes, Standing, Surroundings, Unknown};
use crate::reach;

/// How far the limits carry a plan.
pub struct Fit {
    /// What is asked about.
    pub case: Case,
    /// What arithmetic says.
    pub forecast: Forecast,
    /// Where the target is, in words.
    pub target_is: String,
}

impl Fit {
    /// Whether no limit is known to be short.
    pub fn fits(&self) -> bool {
        self.forecast.short.is_none()
    }

    /// All of that end, the tightest first.
    pub fn of(&self, end: End) -> impl Iterator<Item = &Reckoned> {
        self.forecast.all.iter().filter(move |one| one.end == end)
    }

    /// What could not be reckoned at that end.
    pub fn unknown_of(&self, end: End) -> impl Iterator<Item = &Unknown> {
        self.forecast.unknown.iter().filter(move |one| one.end == end)
    }
}

/// The case that is asked about, if any is.
///
/// # Errors
/// Those of the same flags of `brink load`.
pub fn case(args: &LimitsArgs, machine: &Machine, seen: &Seen) -> Result<Option<Case>, Failure> {
    let Some(connections) = args.connections else { return Ok(None) };
    let runs = seen.target.as_ref().filter(|_| args.model.model.is_none());
    let mut flags = vec![("--connections", connections.to_string())];
    flags.extend(args.engine.clone().map(|engine| ("--engine", engine)));
    flags.extend(args.threads.map(|threads| ("--threads", threads.to_string())));
    flags.extend(args.client_processes.map(|processes| ("--processes", processes.to_string())));
    flags.extend(args.source_ip.iter().map(|ip| ("--source-ip", ip.to_string())));
    if let Some(target) = runs {
        check_running(args)?;
        // One that is known by its pid alone is on this machine; where it answers is of no account then.
        let address = target.address.map_or_else(|| "127.0.0.1:1".to_owned(), |address| address.to_string());
        flags.push(("--target", address));
    } else {
        flags.extend(of_model(args));
    }
    let mut case = plan::load(&as_load(flags)?, machine).map_err(|failure| Failure {
        line: failure
            .line
            .replace("--processes", "--client-processes")
            .replace("--target-processes", "--processes"),
        ..failure
    })?;
    if let Some(info) = runs.and_then(|target| target.info.as_ref()) {
        reach::complete(&mut case, info);
    }
    if args.source_ip.is_empty() && seen.shares_machine() == Some(false) {
        // Addresses of loopback reach nobody else.
        case.load.source_ips.clear();
    }
    Ok(Some(case))
}

/// Flags of a target that the plan starts, as `load` calls them.
fn of_model(args: &LimitsArgs) -> Vec<(&'static str, String)> {
    let own = &args.model;
    let flags = [
        ("--model", own.model.clone()),
        ("--stack-size", own.stack_size.map(|bytes| format!("{bytes}B"))),
        ("--backlog", own.backlog.map(|backlog| backlog.to_string())),
        ("--max-connections", own.max_connections.map(|max| max.to_string())),
        ("--target-threads", args.target_threads.map(|threads| threads.to_string())),
        ("--target-processes", args.processes.map(|processes| processes.to_string())),
    ];
    flags.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect()
}

/// The flags of a `load`, so that both commands say the same of the same flags.
fn as_load(flags: Vec<(&str, String)>) -> Result<crate::cli::LoadArgs, Failure> {
    let words = ["brink", "load", "--workload=hold"].map(str::to_owned).into_iter();
    let words = words.chain(flags.into_iter().map(|(flag, value)| format!("{flag}={value}")));
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Load(load)) => Ok(*load),
        Ok(_) => Err(Failure::failed("these are no flags of a load")),
        Err(error) => Err(Failure::usage(error.to_string().lines().collect::<Vec<_>>().join(" "))),
    }
}

/// What a target that runs says of itself is not for flags to say.
fn check_running(args: &LimitsArgs) -> Result<(), Failure> {
    let given = [
        ("--stack-size", args.model.stack_size.is_some()),
        ("--backlog", args.model.backlog.is_some()),
        ("--max-connections", args.model.max_connections.is_some()),
        ("--target-threads", args.target_threads.is_some()),
        ("--processes", args.processes.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Failure::usage(format!(
            "{flag}: the target that runs has its own; with --model the plan starts another one in its place"
        ))),
        None => Ok(()),
    }
}

/// Reckons how far the limits carry the case.
///
/// # Errors
/// A usage failure for a folder of results that cannot be read, or holds nothing of this model and engine.
pub fn fit(args: &LimitsArgs, case: Case, machine: &Machine, seen: &Seen) -> Result<Fit, Failure> {
    let slopes = args.measured.as_deref().map(|folder| slopes(folder, &case)).transpose()?;
    let cpus = machine.cpus_allowed.len() as u32;
    let is_running = args.model.model.is_none() && seen.target.is_some();
    // Who starts another one in its place has no connections of it in the way.
    let running = seen.target.as_ref().filter(|_| is_running);
    let ports = running.and_then(|target| target.address).and_then(connections::towards);
    let mut around = Surroundings {
        ports: ports.as_deref(),
        listening_ports: connections::ephemeral_ports_listened_on(),
        slopes: slopes.as_ref(),
        ..Surroundings::before(&case, &seen.client, cpus)
    };
    if let Some(target) = &seen.target {
        around.target = Some(Standing { readings: &target.limits, is_running });
        around.info = target.info.as_ref();
        around.shares_machine = seen.shares_machine();
        around.shares_user = target.pid.and_then(brink_host::limits::shares_user);
        around.strangers = running.map_or(0, |target| target.strangers);
    }
    let forecast = preflight::check(&case, &around);
    let target_is = match (&seen.target, is_running) {
        (Some(target), true) => target.name.clone(),
        (Some(target), false) => format!("model {}, started where {} runs", case.target.model, target.name),
        (None, _) => format!("model {}, started on this machine", case.target.model),
    };
    Ok(Fit { case, forecast, target_is })
}

fn slopes(folder: &Path, case: &Case) -> Result<Slopes, Failure> {
    let run = store::read_run(folder).map_err(|error| Failure::usage(format!("--measured: {error}")))?;
    let slopes = Slopes::of(&run.results);
    if slopes.has_target(case) || slopes.has_client(case) {
        return Ok(slopes);
    }
    Err(Failure::usage(format!(
        "--measured: {} has no memory per connection of the model `{}` nor of the engine `{}`",
        folder.display(),
        case.target.model,
        case.load.engine
    )))
}

impl Seen {
    /// Whether both ends are under one kernel. One known by its pid alone is on this machine.
    pub fn shares_machine(&self) -> Option<bool> {
        let Some(info) = self.target.as_ref().and_then(|target| target.info.as_ref()) else {
            return Some(true);
        };
        let own = brink_host::machine::read().boot_id?;
        Some(info.machine.boot_id.as_ref()? == &own)
    }
}

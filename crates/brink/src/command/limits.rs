//! `brink limits`: what this machine permits, and how far that carries a plan. Opens no connection but to a control
//! plane, and changes nothing.

mod json;
mod plan;
mod table;

use std::net::SocketAddr;

use brink_client::control::ControlClient;
use brink_host::limits::{Group, LIMITS, Limit, LimitReading};
use brink_results::schema::End;
use brink_wire::control::Info;

use crate::cli::{Format, LimitsArgs};
use crate::command;
use crate::exit::{Code, Failure};
use crate::preflight;
use crate::reach;

/// The limits of both ends.
pub struct Seen {
    /// As this process meets them.
    pub client: Vec<LimitReading>,
    /// The target's, where one was named.
    pub target: Option<Target>,
}

impl Seen {
    /// Which end this machine is, where that is said.
    fn end_here(&self) -> Option<End> {
        self.target.as_ref().map(|_| End::Client)
    }
}

/// A target that was named.
pub struct Target {
    /// How it was named, for headings.
    pub name: String,
    /// As its process meets them.
    pub limits: Vec<LimitReading>,
    /// What it says of itself; one known by its pid says nothing.
    pub info: Option<Info>,
    /// Connections that it has already.
    pub strangers: u64,
    /// Where it answers.
    pub address: Option<SocketAddr>,
    /// Its process on this machine.
    pub pid: Option<u32>,
}

/// Prints the limits, or what a plan needs of them.
///
/// # Errors
/// A usage failure for flags that do not go together; exit code 4 where the plan does not fit.
pub fn run(args: &LimitsArgs) -> Result<(), Failure> {
    let machine = command::machine()?;
    check(args)?;
    // As a run would: it raises its soft limit to the hard one before anything else.
    brink_host::rlimit::raise_nofile().map_err(|error| Failure::failed(format!("rlimit.nofile: {error}")))?;
    let seen = Seen { client: brink_host::limits::read(std::process::id()), target: target(args)? };
    let Some(case) = plan::case(args, &machine, &seen)? else {
        return command::print(&match args.format {
            Format::Text => table::all(&seen),
            Format::Json => json::all(&seen, None)?,
        });
    };
    let fit = plan::fit(args, case, &machine, &seen)?;
    command::print(&match args.format {
        Format::Text => table::plan(&fit),
        Format::Json => json::all(&seen, Some(&fit))?,
    })?;
    if fit.fits() { Ok(()) } else { Err(Failure::said(Code::Refused)) }
}

/// A plan is asked for with `--connections`; what only a plan uses is an error without.
fn check(args: &LimitsArgs) -> Result<(), Failure> {
    let token_was_typed = args.token.is_some() && std::env::var_os("BRINK_TOKEN").is_none();
    if token_was_typed && args.target.is_none() && args.control.is_none() {
        return Err(Failure::usage(
            "--token: only with a target that runs: name it with --target or --control",
        ));
    }
    if args.connections.is_some() {
        return Ok(());
    }
    let given = [
        ("--model", args.model.model.is_some()),
        ("--stack-size", args.model.stack_size.is_some()),
        ("--backlog", args.model.backlog.is_some()),
        ("--max-connections", args.model.max_connections.is_some()),
        ("--processes", args.processes.is_some()),
        ("--target-threads", args.target_threads.is_some()),
        ("--engine", args.engine.is_some()),
        ("--threads", args.threads.is_some()),
        ("--source-ip", !args.source_ip.is_empty()),
        ("--measured", args.measured.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => {
            Err(Failure::usage(format!("{flag}: of a plan; say with --connections how many it is to carry")))
        }
        None => Ok(()),
    }
}

fn target(args: &LimitsArgs) -> Result<Option<Target>, Failure> {
    if let Some(pid) = args.pid {
        brink_host::descent::check_readable(pid)
            .map_err(|error| Failure::usage(format!("--pid {pid}: {error}")))?;
        let address = args.target.as_deref().map(|at| resolve("--target", at)).transpose()?;
        return Ok(Some(Target {
            name: format!("process {pid}"),
            limits: brink_host::limits::read(pid),
            info: None,
            strangers: 0,
            address,
            pid: Some(pid),
        }));
    }
    let (at, flag) = match (&args.control, &args.target) {
        (Some(control), _) => (resolve("--control", control)?, "--control"),
        (None, Some(target)) => {
            let at = resolve("--target", target)?;
            let port = at.port().checked_add(1).ok_or_else(|| {
                Failure::usage(
                    "--target: there is no port after 65535: name the control plane with --control",
                )
            })?;
            (SocketAddr::new(at.ip(), port), "--target")
        }
        (None, None) => return Ok(None),
    };
    let told =
        ControlClient::connect(at, args.token.as_deref(), reach::CONTROL_WITHIN).and_then(|mut plane| {
            let info = plane.info()?;
            Ok((plane.limits()?, plane.usage()?.counters.live, info))
        });
    let (limits, strangers, info) = told.map_err(|error| {
        let instead = if flag == "--target" {
            "; name its control plane with --control, or its process with --pid"
        } else {
            ""
        };
        Failure::failed(format!("{flag}: {error}{instead}"))
    })?;
    let address = match args.target.as_deref() {
        Some(target) => resolve("--target", target)?,
        None => info.ready.address,
    };
    let bounds = preflight::bounds_of(&info, strangers);
    Ok(Some(Target {
        name: format!("{}, model {}", info.ready.address, info.ready.model),
        limits: brink_host::limits::with_own_bounds(limits, &bounds),
        strangers,
        address: Some(address),
        pid: info.ready.workers.first().copied(),
        info: Some(info),
    }))
}

fn resolve(flag: &str, address: &str) -> Result<SocketAddr, Failure> {
    reach::resolve(flag, address).map_err(Failure::usage)
}

/// The rows that bind an end, with what was read of each, in the order they are shown. No end: this machine alone,
/// where either may run, so all but what a target bounds by itself.
fn rows_of(
    readings: &[LimitReading],
    end: Option<End>,
) -> impl Iterator<Item = (&'static Limit, &LimitReading)> {
    let binds = move |row: &&Limit| match end {
        Some(end) => row.binds.includes(preflight::of_host(end)),
        None => row.group != Group::Target,
    };
    LIMITS
        .iter()
        .filter(binds)
        .filter_map(|row| Some((row, readings.iter().find(|reading| reading.name == row.name)?)))
}

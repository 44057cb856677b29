//! The flags of `brink load` to a case. Pure.

use brink_results::case::{Case, Close, LoadCase, Origin, TargetCase};
use brink_wire::delay::Delay;

use super::protocol::ProtocolAsked;
use super::workload::WorkloadAsked;
use super::{
    Asked, ENGINE_DEFAULT, MODEL_DEFAULT, Machine, command_label, is_loopback, is_loopback_v4, ns, started,
    worker_threads,
};
use crate::cli::{CloseName, LoadArgs};
use crate::exit::Failure;
use crate::location::Location;

/// The case that the flags of `brink load` describe.
///
/// # Errors
/// A usage failure when flags contradict one another.
pub fn load(args: &LoadArgs, machine: &Machine) -> Result<Case, Failure> {
    let location = args.url.as_ref().or(args.target.as_ref());
    let is_own = location.is_none() && args.command.is_none();
    let resolved = WorkloadAsked {
        kind: args.workload,
        connections: args.connections,
        think: args.think,
        heartbeat: args.heartbeat,
        rate_per_s: args.rate,
        arrivals: args.arrivals,
        seed: args.seed,
        requests: args.requests,
        duration: args.duration,
        warmup: args.warmup,
    }
    .resolve("--")?;
    let delay_asked = match args.delay {
        None => None,
        Some(Delay::Fixed(delay)) => Some(delay),
        Some(_) if is_own => None,
        Some(delay) => {
            return Err(Failure::usage(format!(
                "--delay {delay}: a request can ask for a fixed wait only; start the target with this --delay instead"
            )));
        }
    };
    let target = load_target(args, location, delay_asked.is_none(), machine)?;
    let http = location.and_then(|location| location.http.as_ref());
    let (protocol, payload_bytes) = ProtocolAsked {
        model: is_own.then_some(target.model.as_str()),
        http,
        method: args.method.as_deref(),
        headers: &args.header,
        send: args.send.as_deref(),
        expect: args.expect.as_deref(),
        payload: args.payload,
        asks: args.delay.is_some() || args.work.is_some(),
    }
    .resolve("--")?;
    let address = location.map(|location| location.address.as_str());
    let asked = Asked {
        connections: args.connections,
        delay: args.delay.unwrap_or(Delay::ZERO),
        delay_asked,
        workload: resolved,
        engine: args.engine.clone().unwrap_or_else(|| ENGINE_DEFAULT.to_owned()),
        protocol,
        payload_bytes,
        threads_flag: "--threads",
        loopback: address.is_none_or(is_loopback),
        loopback_v4: address.is_none_or(is_loopback_v4),
        threads: args.threads,
        cpus: args.cpus.as_ref().map(|cpus| cpus.0.clone()),
        source_ips: args.source_ip.clone(),
    };
    asked.check_sources("--source-ip", address)?;
    Ok(Case {
        name: match target.origin {
            Origin::Started => format!("{}-c{}", target.model, args.connections),
            Origin::Address { .. } | Origin::Command { .. } => format!("target-c{}", args.connections),
        },
        repeat: 1,
        target,
        load: LoadCase {
            work_us: args.work,
            connect_rate_per_s: args.connect_rate,
            timeout_ns: ns(args.timeout),
            close: match args.close {
                CloseName::Rst => Close::Rst,
                CloseName::Fin => Close::Fin,
            },
            ..asked.load_case(machine)?
        },
    })
}

fn load_target(
    args: &LoadArgs,
    location: Option<&Location>,
    delay_is_targets: bool,
    machine: &Machine,
) -> Result<TargetCase, Failure> {
    let own = &args.model;
    if location.is_some() || args.command.is_some() {
        let given = [
            ("--model", own.model.is_some()),
            ("--stack-size", own.stack_size.is_some()),
            ("--backlog", own.backlog.is_some()),
            ("--max-connections", own.max_connections.is_some()),
            ("--target-threads", args.target_threads.is_some()),
            ("--target-processes", args.target_processes.is_some()),
            ("--target-cpus", args.target_cpus.is_some()),
        ];
        if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
            return Err(Failure::usage(format!(
                "{flag}: only for a target of brink's own, not for another server"
            )));
        }
        let (label, origin) = match (location, &args.command) {
            (Some(location), None) => {
                let address = location.address.clone();
                let (control, pid) = (args.control.clone(), args.pid);
                (address.clone(), Origin::Address { address, control, pid })
            }
            (None, Some(command)) => {
                (command_label(command), Origin::Command { command: command.clone(), port: None })
            }
            _ => {
                return Err(Failure::usage(
                    "--command: not with an address: brink starts it on a port of its own",
                ));
            }
        };
        let mut target = started("foreign", label, None, 1, machine);
        target.origin = origin;
        return Ok(target);
    }
    let given =
        [("--control", args.control.is_some()), ("--pid", args.pid.is_some()), ("--external", args.external)];
    if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!(
            "{flag}: only with a server that runs already: name it with --target or a URL"
        )));
    }
    let model = own.model.as_deref().unwrap_or(MODEL_DEFAULT);
    let cpus = args.target_cpus.as_ref().map(|cpus| cpus.0.clone());
    let mut target = started(model, model.to_owned(), cpus, args.target_processes.unwrap_or(1), machine);
    target.threads =
        worker_threads(model, "--target-threads", args.target_threads)?.unwrap_or(target.threads);
    target.backlog = own.backlog.unwrap_or(target.backlog);
    target.connections_max = own.max_connections;
    if delay_is_targets {
        target.delay = args.delay.unwrap_or(Delay::ZERO);
    }
    match (own.stack_size, &mut target.stack_bytes) {
        (Some(asked), Some(bytes)) => *bytes = asked,
        (Some(_), None) => {
            return Err(Failure::usage(format!(
                "--stack-size: the model `{model}` has no blocking threads of its own"
            )));
        }
        (None, _) => {}
    }
    Ok(target)
}

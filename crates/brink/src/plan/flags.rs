//! The flags of `brink load` to a case. Pure.

use brink_results::case::{Case, Close, LoadCase, Origin, TargetCase, Workload};
use brink_wire::delay::Delay;

use super::{
    Asked, ENGINE_DEFAULT, MODEL_DEFAULT, Machine, is_loopback, is_loopback_v4, ns, started, worker_threads,
};
use crate::cli::{CloseName, LoadArgs, WorkloadName};
use crate::exit::Failure;

/// The case that the flags of `brink load` describe.
///
/// # Errors
/// A usage failure when flags contradict one another.
pub fn load(args: &LoadArgs, machine: &Machine) -> Result<Case, Failure> {
    let workload = match (args.workload, args.heartbeat) {
        (WorkloadName::Closed, Some(_)) => {
            return Err(Failure::usage("--heartbeat: only with --workload hold"));
        }
        (WorkloadName::Hold, _) if !args.think.is_zero() => {
            return Err(Failure::usage("--think: only with --workload closed"));
        }
        (WorkloadName::Closed, None) => Workload::Closed { think_ns: ns(args.think) },
        (WorkloadName::Hold, heartbeat) => Workload::Hold { heartbeat_ns: heartbeat.map(ns) },
    };
    let delay_asked = match args.delay {
        None => None,
        Some(Delay::Fixed(delay)) => Some(delay),
        Some(_) if args.target.is_none() => None,
        Some(delay) => {
            return Err(Failure::usage(format!(
                "--delay {delay}: a request can ask for a fixed wait only; start the target with this --delay instead"
            )));
        }
    };
    let asked = Asked {
        connections: args.connections,
        delay: args.delay.unwrap_or(Delay::ZERO),
        delay_asked,
        warmup: args.warmup,
        loopback: args.target.as_deref().is_none_or(is_loopback),
        loopback_v4: args.target.as_deref().is_none_or(is_loopback_v4),
        threads: args.threads,
        cpus: args.cpus.as_ref().map(|cpus| cpus.0.clone()),
        source_ips: args.source_ip.clone(),
    };
    asked.check_sources("--source-ip", args.target.as_deref())?;
    let target = load_target(args, delay_asked.is_none(), machine)?;
    Ok(Case {
        name: match target.origin {
            Origin::Started => format!("{}-c{}", target.model, args.connections),
            Origin::Address { .. } => format!("target-c{}", args.connections),
        },
        repeat: 1,
        target,
        load: LoadCase {
            engine: args.engine.clone().unwrap_or_else(|| ENGINE_DEFAULT.to_owned()),
            workload,
            payload_bytes: args.payload,
            work_us: args.work,
            connect_rate_per_s: args.connect_rate,
            duration_ns: ns(args.duration),
            timeout_ns: ns(args.timeout),
            close: match args.close {
                CloseName::Rst => Close::Rst,
                CloseName::Fin => Close::Fin,
            },
            ..asked.load_case(machine)
        },
    })
}

fn load_target(args: &LoadArgs, delay_is_targets: bool, machine: &Machine) -> Result<TargetCase, Failure> {
    let own = &args.model;
    if let Some(address) = &args.target {
        let given = [
            ("--model", own.model.is_some()),
            ("--stack-size", own.stack_size.is_some()),
            ("--backlog", own.backlog.is_some()),
            ("--max-connections", own.max_connections.is_some()),
        ];
        if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
            return Err(Failure::usage(format!(
                "{flag}: the target at {address} runs already; this belongs to `brink target`"
            )));
        }
        let mut target = started("foreign", address.clone(), None, machine);
        target.origin = Origin::Address { address: address.clone(), control: args.control.clone() };
        return Ok(target);
    }
    let model = own.model.as_deref().unwrap_or(MODEL_DEFAULT);
    let cpus = args.target_cpus.as_ref().map(|cpus| cpus.0.clone());
    let mut target = started(model, model.to_owned(), cpus, machine);
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
                "--stack-size: the model `{model}` has no thread per connection"
            )));
        }
        (None, _) => {}
    }
    Ok(target)
}

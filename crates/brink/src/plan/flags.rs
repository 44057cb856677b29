//! The flags of `brink load` to a case. Pure.

use std::time::Duration;

use brink_results::case::{Case, ClimbCase, Close, LoadCase, Origin, TargetCase, Workload};
use brink_wire::delay::Delay;

use super::background::{self, Beside};
use super::busy_poll;
use super::processes::{self, Auto};
use super::protocol::ProtocolAsked;
use super::workload::{Resolved, WorkloadAsked};
use super::{
    Asked, ENGINE_DEFAULT, MODEL_DEFAULT, Machine, command_label, is_loopback, is_loopback_v4, ns, started,
    worker_threads,
};
use crate::cli::{
    CeilingArgs, ClientArgs, CloseName, LoadArgs, Processes, SpeakArgs, WhereArgs, WorkloadName,
};
use crate::exit::Failure;
use crate::location::Location;
use crate::sweep_file::BackgroundTable;

/// Looks at both ends per second while a ceiling is searched: memory must not run out between two of them.
const CEILING_SAMPLES_PER_S: f64 = 10.0;
/// Heartbeats of all connections per second, at most, while an edge is held: what is looked for is how many there can be,
/// not how many can be served. With more connections each comes more rarely.
const HEARTBEATS_PER_S_MAX: u64 = 50_000;
/// How long one way up may take where nothing is named: as the flag.
const CLIMB_WITHIN: Duration = Duration::from_secs(600);

/// The case that the flags of `brink load` describe.
///
/// # Errors
/// A usage failure when flags contradict one another.
pub fn load(args: &LoadArgs, machine: &Machine) -> Result<Case, Failure> {
    let workload = WorkloadAsked {
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
    let flags = Flags {
        at: &args.at,
        says: &args.says,
        client: &args.client,
        connections: args.connections,
        workload,
        delay: args.delay,
        work_us: args.work,
        timeout: args.timeout,
        background: args.background.as_ref(),
    };
    flags.case(machine)
}

/// The case that the flags of `brink ceiling` describe, with so many connections at most.
///
/// # Errors
/// A usage failure when flags contradict one another.
pub fn ceiling(args: &CeilingArgs, stop_at: u64, machine: &Machine) -> Result<Case, Failure> {
    let workload = WorkloadAsked {
        kind: Some(WorkloadName::Hold),
        connections: stop_at,
        heartbeat: Some(args.heartbeat),
        duration: Some(args.hold),
        warmup: Some(Duration::ZERO),
        ..WorkloadAsked::default()
    }
    .resolve("--")?;
    let flags = Flags {
        at: &args.at,
        says: &args.says,
        client: &args.client,
        connections: stop_at,
        workload,
        delay: None,
        work_us: None,
        timeout: args.timeout,
        background: None,
    };
    let mut case = flags.case(machine)?;
    case.name = format!("ceiling-{}", case.target.model);
    let load = &mut case.load;
    climb(load, Some(args.climb_within), args.memory_floor);
    load.connect_window = args.connect_window.unwrap_or(load.connect_window);
    Ok(case)
}

/// Makes a load one that looks for the edge. `within`: how long one way up may take.
pub(super) fn climb(load: &mut LoadCase, within: Option<Duration>, memory_floor_bytes: Option<u64>) {
    load.plateaus = steps(load.connections);
    load.samples_per_s = CEILING_SAMPLES_PER_S;
    if let Workload::Hold { heartbeat_ns: Some(heartbeat_ns) } = &mut load.workload {
        let slowest_ns = load.connections.saturating_mul(1_000_000_000 / HEARTBEATS_PER_S_MAX);
        *heartbeat_ns = (*heartbeat_ns).max(slowest_ns);
    }
    let within_ns = ns(within.unwrap_or(CLIMB_WITHIN));
    load.climb = Some(ClimbCase { within_ns, memory_floor_bytes });
}

/// Counts at which the way up pauses, six in each decade: whatever the ceiling, there are some below it.
fn steps(stop_at: u64) -> Vec<u64> {
    let decades = (1..=9).map(|exponent| 10_u64.pow(exponent));
    let all = decades.flat_map(|decade| [10, 15, 20, 30, 50, 70].map(|tenths| decade * tenths / 10));
    all.take_while(|&step| step < stop_at).chain([stop_at]).collect()
}

/// Flags that `load` and `ceiling` have in common.
struct Flags<'a> {
    at: &'a WhereArgs,
    says: &'a SpeakArgs,
    client: &'a ClientArgs,
    connections: u64,
    workload: Resolved,
    delay: Option<Delay>,
    work_us: Option<u32>,
    timeout: Duration,
    background: Option<&'a BackgroundTable>,
}

impl Flags<'_> {
    fn case(self, machine: &Machine) -> Result<Case, Failure> {
        let Self { at, says, client, .. } = self;
        let location = at.url.as_ref().or(at.target.as_ref());
        let is_own = location.is_none() && at.command.is_none();
        let delay_asked = match self.delay {
            None => None,
            Some(Delay::Fixed(delay)) => Some(delay),
            Some(_) if is_own => None,
            Some(delay) => {
                return Err(Failure::usage(format!(
                    "--delay {delay}: a request can ask for a fixed wait only; start the target with this --delay instead"
                )));
            }
        };
        let target = load_target(at, location, self.delay.filter(|_| delay_asked.is_none()), machine)?;
        let http = location.and_then(|location| location.http.as_ref());
        let speaks = ProtocolAsked {
            model: is_own.then_some(target.model.as_str()),
            http,
            method: says.method.as_deref(),
            headers: &says.header,
            send: says.send.as_deref(),
            expect: says.expect.as_deref(),
            payload: says.payload,
            asks: self.delay.is_some() || self.work_us.is_some(),
        };
        let (protocol, payload_bytes) = speaks.resolve("--")?;
        let address = location.map(|location| location.address.as_str());
        let asked = Asked {
            connections: self.connections,
            delay: self.delay.unwrap_or(Delay::ZERO),
            delay_asked,
            workload: self.workload,
            engine: client.engine.clone().unwrap_or_else(|| ENGINE_DEFAULT.to_owned()),
            protocol,
            payload_bytes,
            threads_flag: "--threads",
            loopback: address.is_none_or(is_loopback),
            loopback_v4: address.is_none_or(is_loopback_v4),
            threads: client.threads,
            processes: client.processes.unwrap_or(Processes::Number(1)),
            cpus: client.cpus.as_ref().map(|cpus| cpus.0.clone()),
            busy_poll: client.busy_poll,
            source_ips: client.source_ip.clone(),
        };
        asked.check_sources("--source-ip", address)?;
        let mut load = LoadCase {
            work_us: self.work_us,
            connect_rate_per_s: client.connect_rate,
            timeout_ns: ns(self.timeout),
            close: match client.close {
                CloseName::Rst => Close::Rst,
                CloseName::Fin => Close::Fin,
            },
            ..asked.load_case(machine)?
        };
        if let Some(table) = self.background {
            let beside = Beside { protocol: speaks, delay: None, load: &load };
            load.background = Some(background::resolve(table, beside, "--background: ")?);
        }
        let mut case = Case {
            name: match target.origin {
                Origin::Started => format!("{}-c{}", target.model, self.connections),
                Origin::Address { .. } | Origin::Command { .. } => format!("target-c{}", self.connections),
            },
            repeat: 1,
            target,
            load,
        };
        let auto = Auto {
            client: client.processes == Some(Processes::Auto),
            target: at.target_processes == Some(Processes::Auto),
            client_threads_typed: client.threads.is_some(),
            target_threads_typed: at.target_threads.is_some(),
        };
        processes::share_out(&mut case, auto, machine);
        processes::adapt(&mut case.load, &case.target);
        busy_poll::check("--busy-poll", &case.load, machine)?;
        Ok(case)
    }
}

fn load_target(
    at: &WhereArgs,
    location: Option<&Location>,
    delay: Option<Delay>,
    machine: &Machine,
) -> Result<TargetCase, Failure> {
    let own = &at.model;
    if location.is_some() || at.command.is_some() {
        let given = [
            ("--model", own.model.is_some()),
            ("--stack-size", own.stack_size.is_some()),
            ("--backlog", own.backlog.is_some()),
            ("--max-connections", own.max_connections.is_some()),
            ("--target-threads", at.target_threads.is_some()),
            ("--target-processes", at.target_processes.is_some()),
            ("--target-cpus", at.target_cpus.is_some()),
        ];
        if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
            return Err(Failure::usage(format!(
                "{flag}: only for a target of brink's own, not for another server"
            )));
        }
        let (label, origin) = match (location, &at.command) {
            (Some(location), None) => {
                let address = location.address.clone();
                let (control, pid) = (at.control.clone(), at.pid);
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
        [("--control", at.control.is_some()), ("--pid", at.pid.is_some()), ("--external", at.external)];
    if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!(
            "{flag}: only with a server that runs already: name it with --target or a URL"
        )));
    }
    let model = own.model.as_deref().unwrap_or(MODEL_DEFAULT);
    let cpus = at.target_cpus.as_ref().map(|cpus| cpus.0.clone());
    let processes = processes::number(at.target_processes);
    let mut target = started(model, model.to_owned(), cpus, processes, machine);
    target.threads = worker_threads(model, "--target-threads", at.target_threads)?.unwrap_or(target.threads);
    target.backlog = own.backlog.unwrap_or(target.backlog);
    target.connections_max = own.max_connections;
    target.delay = delay.unwrap_or(Delay::ZERO);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_up_to_the_end_whatever_it_is() {
        assert_eq!(steps(1), [1]);
        assert_eq!(steps(10), [10]);
        assert_eq!(steps(100), [10, 15, 20, 30, 50, 70, 100]);
        let all = steps(u64::from(u32::MAX));
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]) && all.len() > 40);
    }
}

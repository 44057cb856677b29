//! A sweep file to cases: every target at every step, repeated and shuffled. Pure.

use std::time::Duration;

use brink_results::case::{Case, Close, LoadCase, Origin, TargetCase};
use brink_wire::delay::Delay;
use brink_wire::value::format_duration;

use super::background::{self, Beside};
use super::busy_poll;
use super::flags;
use super::processes::{self, Auto};
use super::protocol::ProtocolAsked;
use super::workload::WorkloadAsked;
use super::{
    Asked, ENGINE_DEFAULT, Machine, command_label, is_loopback, is_loopback_v4, ns, started, worker_threads,
};
use crate::cli::{CloseName, Processes, WorkloadName};
use crate::exit::Failure;
use crate::location::{HttpPlace, Location};
use crate::sweep_file::{Kind, LoadTable, StepTable, SweepFile, TargetTable, Typed};

/// How long a connect or a reply may take where nothing is named.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// The same where an edge is looked for, how long the connections are held there, and how often each echoes meanwhile:
/// as the flags of `brink ceiling`.
const TIMEOUT_OF_CLIMB: Duration = Duration::from_secs(5);
const HOLD_OF_CLIMB: Duration = Duration::from_secs(5);
const HEARTBEAT_OF_CLIMB: Duration = Duration::from_secs(1);

/// How often each case is run where nothing is named: the fewest runs of which an interval can be told that is of use.
pub(super) const REPEATS_DEFAULT: u32 = 3;

/// The cases of a sweep file: every target at every step, `repeats` times.
///
/// Each repeat is a block that holds every case once, in an order drawn by the seed: the steps, and at each step the
/// targets one right after the other. What the machine does meanwhile (it warms up, others use it) meets all targets
/// alike: a randomised complete block design, NIST/SEMATECH e-Handbook of Statistical Methods, 5.3.3.2.
///
/// # Errors
/// A usage failure when a value makes no sense together with another.
pub fn sweep(file: &SweepFile, machine: &Machine) -> Result<Vec<Case>, Failure> {
    let mut random = fastrand::Rng::with_seed(file.seed);
    let mut steps = steps(file);
    let mut targets: Vec<&TargetTable> = file.target.iter().collect();
    let mut cases = Vec::new();
    for repeat in 1..=file.repeats.as_ref().map_or(REPEATS_DEFAULT, |repeats| repeats.0) {
        random.shuffle(&mut steps);
        for step in &steps {
            random.shuffle(&mut targets);
            for target in &targets {
                cases.push(sweep_case(file, target, step, repeat, machine)?);
            }
        }
    }
    let mut names: Vec<_> = cases.iter().map(|case| case.name.clone()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Failure::usage(format!(
            "two cases are both called `{}`: give their [[target]] tables a `label` of their own, or leave the repeated step out",
            pair[0]
        )));
    }
    Ok(cases)
}

fn steps(file: &SweepFile) -> Vec<StepTable> {
    let Some(connections) = &file.load.connections else {
        return file.step.clone();
    };
    let step = |connections| StepTable {
        connections,
        engine: None,
        delay: None,
        rate: None,
        requests: None,
        payload: None,
        warmup: None,
        duration: None,
    };
    connections.all().into_iter().map(step).collect()
}

fn engine<'a>(step: &'a StepTable, load: &'a LoadTable) -> &'a str {
    step.engine.as_ref().or(load.engine.as_ref()).map_or(ENGINE_DEFAULT, |engine| engine.0.as_str())
}

fn sweep_case(
    file: &SweepFile,
    target: &TargetTable,
    step: &StepTable,
    repeat: u32,
    machine: &Machine,
) -> Result<Case, Failure> {
    let load = &file.load;
    let delay = step.delay.or(target.delay).unwrap_or(Delay::ZERO);
    let place = place(target)?;
    let address = target.address.as_ref().map(|location| location.0.address.as_str());
    let target_case = sweep_target(target, &place, delay, machine)?;
    let connections = step.connections.0;
    let rate = step.rate.or(load.rate).map(|rate| rate.0);
    check_climb(load)?;
    let workload = WorkloadAsked {
        kind: load.workload.or(load.climb.then_some(WorkloadName::Hold)),
        connections,
        think: load.think.as_ref().map(|time| time.0),
        heartbeat: load.heartbeat.as_ref().map(|time| time.0).or(load.climb.then_some(HEARTBEAT_OF_CLIMB)),
        rate_per_s: rate,
        arrivals: load.arrivals,
        seed: load.seed,
        requests: step.requests.as_ref().or(load.requests.as_ref()).map(|count| count.0),
        duration: named(&step.duration, &load.duration).or(load.climb.then_some(HOLD_OF_CLIMB)),
        warmup: named(&step.warmup, &load.warmup).or(load.climb.then_some(Duration::ZERO)),
    }
    .resolve("")?;
    let is_own = target.model.is_some();
    // A server that brink does not make cannot be told a delay of its own: each request asks for it, also of the
    // models beside it, so that all bear the same load.
    let all_are_own = file.target.iter().all(|target| target.model.is_some());
    let delay_asked = match (load.delay.as_ref().map(|delay| delay.0), delay) {
        (Some(asked), _) => Some(asked),
        (None, Delay::Fixed(delay)) if !all_are_own && !delay.is_zero() => Some(delay),
        (None, Delay::Uniform(..) | Delay::Exponential(_)) if !is_own => {
            return Err(Failure::usage(format!(
                "delay = \"{delay}\": a request can ask for a fixed wait only, and only a `model` can be given another"
            )));
        }
        (None, _) => None,
    };
    let (send, expect) = match (&target.send, &target.expect) {
        (None, None) if !is_own && place.http.is_none() => (&load.send, &load.expect),
        own => own,
    };
    let headers = headers(target)?;
    let speaks = ProtocolAsked {
        model: target.model.as_ref().map(|model| model.0.as_str()),
        http: place.http.as_ref(),
        method: target.method.as_ref().map(|method| method.0.as_str()),
        headers: &headers,
        send: send.as_ref().map(|bytes| bytes.0.as_str()),
        expect: expect.as_ref().map(|bytes| bytes.0.as_str()),
        payload: step.payload.as_ref().or(load.payload.as_ref()).map(|size| size.0),
        asks: delay_asked.is_some() || load.work.is_some(),
    };
    let (protocol, payload_bytes) = speaks.resolve("")?;
    let asked = Asked {
        connections,
        delay,
        delay_asked,
        workload,
        engine: engine(step, load).to_owned(),
        protocol,
        payload_bytes,
        threads_flag: "threads",
        loopback: address.is_none_or(is_loopback),
        loopback_v4: address.is_none_or(is_loopback_v4),
        threads: load.threads.as_ref().map(|threads| threads.0),
        processes: load.processes.as_ref().map_or(Processes::Number(1), |count| count.0),
        cpus: load.cpus.as_ref().map(|cpus| cpus.0.0.clone()),
        busy_poll: load.busy_poll.as_ref().map(|time| time.0),
        source_ips: load.source_ip.clone(),
    };
    asked.check_sources("source_ip", address)?;
    let timeout_default = if load.climb { TIMEOUT_OF_CLIMB } else { TIMEOUT_DEFAULT };
    let mut load_case = LoadCase {
        work_us: load.work.as_ref().map(|work| work.0),
        connect_rate_per_s: load.connect_rate.as_ref().map(|rate| rate.0 as f64),
        timeout_ns: ns(load.timeout.as_ref().map_or(timeout_default, |time| time.0)),
        close: match load.close {
            Some(CloseName::Fin) => Close::Fin,
            Some(CloseName::Rst) | None => Close::Rst,
        },
        ..asked.load_case(machine)?
    };
    if load.climb {
        let within = load.climb_within.as_ref().map(|time| time.0);
        flags::climb(&mut load_case, within, load.memory_floor.as_ref().map(|size| size.0));
    }
    if let Some(table) = &load.background {
        // What each request must ask for instead of the target's own wait, these must, too.
        let delay = delay_asked.filter(|_| load.delay.is_none());
        let beside = Beside { protocol: speaks, delay, load: &load_case };
        load_case.background = Some(background::resolve(table, beside, "[load.background]: ")?);
    }
    let mut case = Case {
        name: case_name(&target_case.label, step, &steps(file), repeat),
        repeat,
        target: target_case,
        load: load_case,
    };
    let is_auto = |asked: Option<Processes>| asked == Some(Processes::Auto);
    let auto = Auto {
        client: is_auto(load.processes.as_ref().map(|count| count.0)),
        target: is_auto(target.processes.as_ref().map(|count| count.0)),
        client_threads_typed: load.threads.is_some(),
        target_threads_typed: target.threads.is_some(),
    };
    processes::share_out(&mut case, auto, machine);
    processes::adapt(&mut case.load, &case.target);
    busy_poll::check("busy_poll", &case.load, machine)?;
    Ok(case)
}

fn named<K: Kind<Value = Duration>>(step: &Option<Typed<K>>, load: &Option<Typed<K>>) -> Option<Duration> {
    step.as_ref().or(load.as_ref()).map(|time| time.0)
}

/// What does not go together with looking for an edge, or only with that.
fn check_climb(load: &LoadTable) -> Result<(), Failure> {
    let only = [("climb_within", load.climb_within.is_some()), ("memory_floor", load.memory_floor.is_some())];
    if let Some((key, _)) = only.iter().find(|(_, given)| *given && !load.climb) {
        return Err(Failure::usage(format!("{key}: only with climb = true")));
    }
    let is_other = load.workload.is_some_and(|workload| workload != WorkloadName::Hold);
    let never = [
        ("workload", is_other),
        ("rate", load.rate.is_some()),
        ("requests", load.requests.is_some()),
        ("background", load.background.is_some()),
    ];
    match never.iter().find(|(_, given)| *given && load.climb) {
        Some((key, _)) => Err(Failure::usage(format!(
            "{key}: not with climb = true, which opens connections and holds them"
        ))),
        None => Ok(()),
    }
}

/// How a target comes to be, and what HTTP asks for there.
struct Place {
    origin: Origin,
    http: Option<HttpPlace>,
}

fn place(target: &TargetTable) -> Result<Place, Failure> {
    if let Some(location) = &target.address {
        let Location { address, http } = location.0.clone();
        let control = target.control.as_ref().map(|control| control.0.clone());
        let pid = target.pid.as_ref().map(|pid| pid.0);
        return Ok(Place { origin: Origin::Address { address, control, pid }, http });
    }
    let Some(command) = target.command.as_ref().map(|command| command.0.clone()) else {
        return Ok(Place { origin: Origin::Started, http: None });
    };
    let Some(url) = &target.url else {
        return Ok(Place { origin: Origin::Command { command, port: None }, http: None });
    };
    let wrong = |line: String| Failure::usage(format!("url = \"{url}\": {line}"));
    let location: Location = url.replace("{port}", "1").parse().map_err(wrong)?;
    if !is_loopback(&location.address) {
        return Err(wrong("what brink starts serves on this machine: write 127.0.0.1".to_owned()));
    }
    let takes_port = command.contains("{port}");
    if takes_port != url.contains("{port}") {
        return Err(wrong("{port} must stand in both `command` and `url`, or in neither".to_owned()));
    }
    let port = location.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    Ok(Place { origin: Origin::Command { command, port: port.filter(|_| !takes_port) }, http: location.http })
}

fn headers(target: &TargetTable) -> Result<Vec<(String, String)>, Failure> {
    let read = |header: &String| {
        crate::cli::header(header).map_err(|line| Failure::usage(format!("header: {line}")))
    };
    target.header.iter().map(read).collect()
}

/// A target that serves beside a sweep.
///
/// # Errors
/// A usage failure when its values make no sense together.
pub(super) fn served(target: &TargetTable, machine: &Machine) -> Result<TargetCase, Failure> {
    sweep_target(target, &place(target)?, target.delay.unwrap_or(Delay::ZERO), machine)
}

fn sweep_target(
    target: &TargetTable,
    place: &Place,
    delay: Delay,
    machine: &Machine,
) -> Result<TargetCase, Failure> {
    let model = target.model.as_ref().map_or("foreign", |model| model.0.as_str());
    let origin = place.origin.clone();
    let unnamed = match &origin {
        Origin::Started => model.to_owned(),
        Origin::Address { address, .. } => address.clone(),
        Origin::Command { command, .. } => command_label(command),
    };
    let label = target.label.as_ref().map_or(unnamed, |label| label.0.clone());
    let cpus = target.cpus.as_ref().map(|cpus| cpus.0.0.clone());
    let processes = processes::number(target.processes.as_ref().map(|count| count.0));
    let mut case = started(model, label, cpus, processes, machine);
    case.threads = worker_threads(model, "threads", target.threads.as_ref().map(|threads| threads.0))?
        .unwrap_or(case.threads);
    case.delay = if origin == Origin::Started { delay } else { Delay::ZERO };
    case.origin = origin;
    case.work_us = target.work.as_ref().map_or(0, |work| work.0);
    case.backlog = target.backlog.as_ref().map_or(case.backlog, |backlog| backlog.0);
    case.connections_max = target.max_connections.as_ref().map(|count| count.0);
    match (&target.stack_size, &mut case.stack_bytes) {
        (Some(stack), Some(bytes)) => *bytes = stack.0,
        (Some(_), None) => {
            return Err(Failure::usage(format!(
                "stack_size: the model `{model}` has no blocking threads of its own"
            )));
        }
        (None, _) => {}
    }
    Ok(case)
}

/// `threads-c10000-r1`, and as much more of the step as tells it from the others.
fn case_name(label: &str, step: &StepTable, all: &[StepTable], repeat: u32) -> String {
    let time = |time: Option<Duration>| time.map(format_duration);
    let tags = |step: &StepTable| {
        [
            Some(format!("c{}", step.connections.0)),
            step.engine.as_ref().map(|engine| format!("e{}", engine.0)),
            step.payload.as_ref().map(|payload| format!("p{}", payload.0)),
            step.delay.map(|delay| format!("d{delay}")),
            step.rate.map(|rate| format!("r{}", rate.0)),
            step.requests.as_ref().map(|count| format!("n{}", count.0)),
            time(step.duration.as_ref().map(|time| time.0)).map(|time| format!("t{time}")),
            time(step.warmup.as_ref().map(|time| time.0)).map(|time| format!("w{time}")),
        ]
    };
    let own = tags(step);
    let alone = |len: usize| all.iter().filter(|other| tags(other)[..len] == own[..len]).count() == 1;
    let enough = (1..=own.len()).find(|&len| alone(len)).unwrap_or(own.len());
    let mut name = label.to_owned();
    for tag in own[..enough].iter().flatten() {
        name += &format!("-{tag}");
    }
    name += &format!("-r{repeat}");
    let fit = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.' { c } else { '_' };
    name.chars().map(fit).collect()
}

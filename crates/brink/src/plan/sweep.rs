//! A sweep file to cases: every target at every step, repeated and shuffled. Pure.

use std::time::Duration;

use brink_results::case::{Case, Close, LoadCase, Origin, Workload};
use brink_wire::delay::Delay;
use brink_wire::value::format_duration;

use super::{Asked, ENGINE_DEFAULT, Machine, is_loopback, is_loopback_v4, ns, started, worker_threads};
use crate::exit::Failure;
use crate::sweep_file::{CloseKind, LoadTable, StepTable, SweepFile, TargetTable, WorkloadKind};

/// The cases of a sweep file: every target at every step, `repeats` times, shuffled by the seed.
///
/// # Errors
/// A usage failure when a value makes no sense together with another.
pub fn sweep(file: &SweepFile, machine: &Machine) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    for repeat in 1..=file.repeats.as_ref().map_or(1, |repeats| repeats.0) {
        for step in steps(file) {
            for target in &file.target {
                cases.push(sweep_case(file, target, &step, repeat, machine)?);
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
    fastrand::Rng::with_seed(file.seed).shuffle(&mut cases);
    Ok(cases)
}

fn steps(file: &SweepFile) -> Vec<StepTable> {
    let Some(connections) = &file.load.connections else {
        return file.step.clone();
    };
    let step =
        |connections| StepTable { connections, delay: None, payload: None, warmup: None, duration: None };
    connections.all().into_iter().map(step).collect()
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
    let model = target.model.as_ref().map_or("foreign", |model| model.0.as_str());
    let address = target.address.as_ref().map(|address| address.0.as_str());
    let label = target.label.as_ref().map_or(address.unwrap_or(model), |label| label.0.as_str()).to_owned();
    let asked = Asked {
        connections: step.connections.0,
        delay,
        delay_asked: load.delay.as_ref().map(|delay| delay.0),
        warmup: step.warmup.as_ref().or(load.warmup.as_ref()).map(|time| time.0),
        loopback: address.is_none_or(is_loopback),
        loopback_v4: address.is_none_or(is_loopback_v4),
        threads: load.threads.as_ref().map(|threads| threads.0),
        cpus: load.cpus.as_ref().map(|cpus| cpus.0.0.clone()),
        source_ips: load.source_ip.clone(),
    };
    asked.check_sources("source_ip", address)?;
    let payload = step.payload.as_ref().or(load.payload.as_ref()).map_or(64, |size| size.0);
    let duration =
        step.duration.as_ref().or(load.duration.as_ref()).map_or(Duration::from_secs(10), |time| time.0);
    let mut target_case = started(model, label, target.cpus.as_ref().map(|cpus| cpus.0.0.clone()), machine);
    if let Some(address) = address {
        let control = target.control.as_ref().map(|control| control.0.clone());
        target_case.origin = Origin::Address { address: address.to_owned(), control };
    }
    target_case.threads = worker_threads(model, "threads", target.threads.as_ref().map(|threads| threads.0))?
        .unwrap_or(target_case.threads);
    target_case.delay = delay;
    target_case.work_us = target.work.as_ref().map_or(0, |work| work.0);
    target_case.backlog = target.backlog.as_ref().map_or(target_case.backlog, |backlog| backlog.0);
    target_case.connections_max = target.max_connections.as_ref().map(|count| count.0);
    match (&target.stack_size, &mut target_case.stack_bytes) {
        (Some(stack), Some(bytes)) => *bytes = stack.0,
        (Some(_), None) => {
            return Err(Failure::usage(format!(
                "stack_size: the model `{model}` has no thread per connection"
            )));
        }
        (None, _) => {}
    }
    Ok(Case {
        name: case_name(&target_case.label, step, &steps(file), repeat),
        repeat,
        target: target_case,
        load: LoadCase {
            engine: load.engine.as_ref().map_or(ENGINE_DEFAULT, |engine| engine.0.as_str()).to_owned(),
            workload: workload(load)?,
            payload_bytes: payload,
            work_us: load.work.as_ref().map(|work| work.0),
            connect_rate_per_s: load.connect_rate.as_ref().map(|rate| rate.0 as f64),
            duration_ns: ns(duration),
            timeout_ns: ns(load.timeout.as_ref().map_or(Duration::from_secs(10), |time| time.0)),
            close: match load.close {
                Some(CloseKind::Fin) => Close::Fin,
                Some(CloseKind::Rst) | None => Close::Rst,
            },
            ..asked.load_case(machine)
        },
    })
}

fn workload(load: &LoadTable) -> Result<Workload, Failure> {
    let needs =
        |key: &str, kind: &str| Err(Failure::usage(format!("{key}: only with workload = \"{kind}\"")));
    match load.workload.unwrap_or(WorkloadKind::Closed) {
        WorkloadKind::Closed if load.heartbeat.is_some() => needs("heartbeat", "hold"),
        WorkloadKind::Hold if load.think.is_some() => needs("think", "closed"),
        WorkloadKind::Closed => {
            Ok(Workload::Closed { think_ns: load.think.as_ref().map_or(0, |time| ns(time.0)) })
        }
        WorkloadKind::Hold => {
            Ok(Workload::Hold { heartbeat_ns: load.heartbeat.as_ref().map(|time| ns(time.0)) })
        }
    }
}

/// `threads-c10000-r1`, and as much more of the step as tells it from the others.
fn case_name(label: &str, step: &StepTable, all: &[StepTable], repeat: u32) -> String {
    let time = |time: Option<Duration>| time.map(format_duration);
    let tags = |step: &StepTable| {
        [
            Some(format!("c{}", step.connections.0)),
            step.payload.as_ref().map(|payload| format!("p{}", payload.0)),
            step.delay.map(|delay| format!("d{delay}")),
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

//! From what was typed to a list of cases with nothing left open.
//!
//! Pure: what it must know of the machine comes in as [`Machine`].

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use brink_results::case::{Case, Close, LoadCase, Origin, TargetCase, Workload};
use brink_wire::delay::Delay;

use crate::cli::{CloseName, LoadArgs, WorkloadName};
use crate::exit::Failure;
use crate::sweep_file::{CloseKind, LoadTable, StepTable, SweepFile, TargetTable, WorkloadKind};

/// Model of a target that is started without naming one.
pub const MODEL_DEFAULT: &str = "tokio";
/// Engine where none is named.
pub const ENGINE_DEFAULT: &str = "mio";
/// Stack of a connection's thread where none is named: the usual RLIMIT_STACK, which
/// glibc takes for threads, see pthread_create(3).
pub const STACK_BYTES_DEFAULT: u64 = 8 << 20;
/// Backlog where none is named: the default of net.core.somaxconn since Linux 5.4.
pub const BACKLOG_DEFAULT: u32 = 4096;
/// Connections under way at once while opening: the oldest usual backlog, 128 (listen(2)).
pub const CONNECT_WINDOW: u32 = 128;
/// Samples of both ends per second.
pub const SAMPLES_PER_S: f64 = 5.0;
const PLATEAUS: u64 = 8;

/// What a plan needs to know of the machine it is made on.
#[derive(Debug, Clone)]
pub struct Machine {
    /// CPUs that this process may run on.
    pub cpus_allowed: Vec<usize>,
    /// Ports that the kernel gives out to one (source, destination) pair.
    pub ports: Option<u64>,
}

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
    let time = |time: Option<Duration>| time.map(brink_wire::value::format_duration);
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

/// Worker threads as asked, unless the model makes its threads from its connections.
///
/// # Errors
/// A usage failure that names the flag.
pub fn worker_threads(model: &str, flag: &str, asked: Option<u32>) -> Result<Option<u32>, Failure> {
    let per_connection = brink_target::find(model).is_some_and(|row| row.has_connection_thread);
    if per_connection && asked.is_some() {
        return Err(Failure::usage(format!(
            "{flag}: the model `{model}` has a thread per connection, and one that accepts; it takes no number"
        )));
    }
    Ok(if per_connection { Some(1) } else { asked })
}

/// A target of this model with everything at its default.
fn started(model: &str, label: String, cpus: Option<Vec<usize>>, machine: &Machine) -> TargetCase {
    let row = brink_target::find(model);
    let threads = cpus.as_ref().map_or(machine.cpus_allowed.len(), Vec::len) as u32;
    TargetCase {
        label,
        origin: Origin::Started,
        model: model.to_owned(),
        processes: 1,
        threads: threads.max(1),
        cpus,
        delay: Delay::ZERO,
        work_us: 0,
        stack_bytes: row.filter(|row| row.has_connection_thread).map(|_| STACK_BYTES_DEFAULT),
        backlog: BACKLOG_DEFAULT,
        connections_max: None,
    }
}

/// What flags and file have in common.
struct Asked {
    connections: u64,
    delay: Delay,
    delay_asked: Option<Duration>,
    warmup: Option<Duration>,
    loopback: bool,
    loopback_v4: bool,
    threads: Option<u32>,
    cpus: Option<Vec<usize>>,
    source_ips: Vec<IpAddr>,
}

impl Asked {
    /// A source address must be of the target's family. A name is not looked up here.
    fn check_sources(&self, flag: &str, address: Option<&str>) -> Result<(), Failure> {
        let target = address.unwrap_or("127.0.0.1:1").parse::<SocketAddr>();
        let Ok(target) = target else { return Ok(()) };
        match self.source_ips.iter().find(|source| source.is_ipv4() != target.is_ipv4()) {
            Some(source) => Err(Failure::usage(format!(
                "{flag}: {source} cannot reach {}: both must be IPv4 or both IPv6",
                address.unwrap_or("a target on 127.0.0.1")
            ))),
            None => Ok(()),
        }
    }

    fn load_case(self, machine: &Machine) -> LoadCase {
        let cpus = self.cpus.as_ref().map_or(machine.cpus_allowed.len(), Vec::len);
        let threads_default = if self.loopback && self.cpus.is_none() { cpus / 2 } else { cpus };
        let threads = u64::from(self.threads.unwrap_or(threads_default.max(1) as u32)).min(self.connections);
        let one_delay = self.delay_asked.unwrap_or(self.delay.mean());
        let source_ips = match self.source_ips {
            none if none.is_empty() && self.loopback_v4 => loopback_sources(self.connections, machine.ports),
            given => given,
        };
        LoadCase {
            engine: String::new(),
            connections: self.connections,
            workload: Workload::Closed { think_ns: 0 },
            payload_bytes: 0,
            delay_ns: self.delay_asked.map(ns),
            work_us: None,
            threads: threads as u32,
            cpus: self.cpus,
            connect_rate_per_s: None,
            connect_window: CONNECT_WINDOW,
            source_ips,
            warmup_ns: ns(self.warmup.unwrap_or(one_delay.max(Duration::from_secs(1)))),
            duration_ns: 0,
            timeout_ns: 0,
            close: Close::Rst,
            plateaus: plateaus(self.connections),
            samples_per_s: SAMPLES_PER_S,
        }
    }
}

/// Source addresses out of 127/8, as many as the ports of one pair make necessary; none
/// where one is enough. ip(7): the whole of 127/8 is local.
fn loopback_sources(connections: u64, ports: Option<u64>) -> Vec<IpAddr> {
    let per_source = ports.unwrap_or(28_000).max(1);
    // Listeners on ports of the range, and whoever else connects, take some on each address.
    let per_source = per_source - (per_source / 20).min(256);
    if connections <= per_source {
        return Vec::new();
    }
    let count = connections.div_ceil(per_source).min(65_000) as u32;
    (0..count).map(|n| IpAddr::from((0x7f00_0001_u32 + n).to_be_bytes())).collect()
}

/// Eight counts, evenly spread up to all connections; fewer where there are fewer connections.
fn plateaus(connections: u64) -> Vec<u64> {
    let mut counts: Vec<_> = (1..=PLATEAUS).map(|k| (connections * k).div_ceil(PLATEAUS)).collect();
    counts.dedup();
    counts
}

/// Whether an address as typed is on loopback. A name other than `localhost` is not taken for it.
pub fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_canonical().is_loopback(),
        Err(_) => address.rsplit_once(':').is_some_and(|(host, _)| host == "localhost"),
    }
}

fn is_loopback_v4(address: &str) -> bool {
    is_loopback(address) && !address.starts_with('[')
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep_file;

    fn machine() -> Machine {
        Machine { cpus_allowed: vec![0, 1], ports: Some(28_232) }
    }

    fn plan(text: &str) -> Vec<Case> {
        sweep(&sweep_file::parse(text).unwrap(), &machine()).unwrap()
    }

    const FILE: &str = r#"
        name = "x"
        repeats = 2
        [[target]]
        model = "threads"
        stack_size = "64KiB"
        [[target]]
        model = "mio"
        [[step]]
        connections = 10
        delay = "1ms"
        [[step]]
        connections = "10k"
        delay = "2s"
    "#;

    #[test]
    fn every_target_at_every_step_and_repeat() {
        let cases = plan(FILE);
        let mut names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_ne!(names[..2], ["threads-c10-r1", "mio-c10-r1"], "the seed shuffles");
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "mio-c10-r1",
                "mio-c10-r2",
                "mio-c10000-r1",
                "mio-c10000-r2",
                "threads-c10-r1",
                "threads-c10-r2",
                "threads-c10000-r1",
                "threads-c10000-r2"
            ]
        );
        assert_eq!(cases, plan(FILE), "the same seed, the same order");
        let case = cases.iter().find(|case| case.name == "threads-c10000-r1").unwrap();
        assert_eq!(case.target.stack_bytes, Some(64 << 10));
        assert_eq!(case.target.delay.to_string(), "2s");
        assert_eq!(case.load.warmup_ns, 2_000_000_000, "at least one delay");
        assert_eq!(case.load.threads, 1, "half of the CPUs: the target needs the other");
        assert_eq!(case.load.plateaus, [1250, 2500, 3750, 5000, 6250, 7500, 8750, 10_000]);
    }

    #[test]
    fn a_name_says_as_much_as_tells_steps_apart() {
        let text = "name=\"x\"\n[[target]]\nmodel=\"mio\"\n[[step]]\nconnections=5\ndelay=\"1ms\"\n[[step]]\nconnections=5\ndelay=\"10ms\"\n[[step]]\nconnections=6\n";
        let mut names: Vec<_> = plan(text).into_iter().map(|case| case.name).collect();
        names.sort_unstable();
        assert_eq!(names, ["mio-c5-d10ms-r1", "mio-c5-d1ms-r1", "mio-c6-r1"]);
    }

    #[test]
    fn a_source_of_another_family_is_a_usage_error() {
        let text = "name=\"x\"\n[[target]]\nmodel=\"mio\"\n[load]\nconnections=5\nsource_ip=[\"::1\"]\n";
        let failure = sweep(&sweep_file::parse(text).unwrap(), &machine()).unwrap_err();
        assert!(failure.line.contains("::1") && failure.code == crate::exit::Code::Usage, "{failure}");
    }

    #[test]
    fn two_cases_of_one_name_are_refused() {
        let text =
            "name=\"x\"\n[[target]]\nmodel=\"mio\"\n[[target]]\nmodel=\"mio\"\n[load]\nconnections=1\n";
        let failure = sweep(&sweep_file::parse(text).unwrap(), &machine()).unwrap_err();
        assert!(failure.line.contains("`mio-c1-r1`"), "{failure}");
    }

    #[test]
    fn plateaus_of_few_connections_are_fewer() {
        assert_eq!(plateaus(1), [1]);
        assert_eq!(plateaus(3), [1, 2, 3]);
        assert_eq!(plateaus(10), [2, 3, 4, 5, 7, 8, 9, 10]);
    }

    #[test]
    fn sources_only_where_ports_run_out() {
        assert!(loopback_sources(19_000, Some(28_232)).is_empty());
        assert!(loopback_sources(27_976, Some(28_232)).is_empty());
        let two: Vec<IpAddr> = loopback_sources(27_977, Some(28_232));
        assert_eq!(two, ["127.0.0.1".parse::<IpAddr>().unwrap(), "127.0.0.2".parse().unwrap()]);
    }

    #[test]
    fn loopback_is_told_from_the_address() {
        for yes in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:7000"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["10.0.0.1:1", "[fe80::1]:1", "example:1", "127.0.0.1"] {
            assert!(!is_loopback(no), "{no}");
        }
    }
}

//! From what was typed to a list of cases with nothing left open.
//!
//! Pure: what it must know of the machine comes in as [`Machine`].

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use brink_results::case::{Close, LoadCase, Origin, Protocol, TargetCase};
use brink_wire::control::LimitReading;
use brink_wire::delay::Delay;

use crate::cli::Processes;
use crate::exit::Failure;

mod background;
mod busy_poll;
mod claims;
mod flags;
mod processes;
mod protocol;
mod sweep;
mod workload;

pub use claims::claims;
pub use flags::{ceiling, load};
pub use protocol::of_model;
pub use sweep::sweep;

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
/// The same where an end is many processes, each of which has to be asked.
const SAMPLES_PER_S_OF_MANY: f64 = 1.0;
/// Processes of both ends from which they are many.
pub const MANY: u32 = 16;
const PLATEAUS: u64 = 8;

/// What a plan needs to know of the machine it is made on.
#[derive(Debug, Clone)]
pub struct Machine {
    /// CPUs that this process may run on.
    pub cpus_allowed: Vec<usize>,
    /// Ports that the kernel gives out to one (source, destination) pair.
    pub ports: Option<u64>,
    /// Limits of this process, which those that it starts inherit.
    pub limits: Vec<LimitReading>,
}

/// Worker threads as asked, unless the model makes its threads from its connections.
///
/// # Errors
/// A usage failure that names the flag.
pub fn worker_threads(model: &str, flag: &str, asked: Option<u32>) -> Result<Option<u32>, Failure> {
    let Some(row) = brink_target::find(model).filter(|row| !row.threads.takes_number()) else {
        return Ok(asked);
    };
    if asked.is_some() {
        let why = if row.has_connection_thread() {
            "has a thread per connection, and one that accepts"
        } else {
            "has exactly one thread"
        };
        return Err(Failure::usage(format!("{flag}: the model `{model}` {why}; it takes no number")));
    }
    Ok(None)
}

/// Threads of the engine as asked, or as many as it takes by itself: `cpus` is what it may use.
///
/// # Errors
/// A usage failure that names the flag.
fn engine_threads(engine: &str, flag: &str, asked: Option<u32>, cpus: u32) -> Result<u32, Failure> {
    let Some(row) = brink_client::find(engine) else {
        return Err(Failure::failed(format!("no engine `{engine}`")));
    };
    match asked {
        Some(_) if !row.threads.takes_number() => {
            let why = match row.threads {
                brink_client::Threads::One => "has exactly one thread",
                _ => "has a thread per connection",
            };
            Err(Failure::usage(format!("{flag}: the engine `{engine}` {why}; it takes no number")))
        }
        Some(asked) => Ok(asked),
        None => Ok(row.threads.default_for(cpus)),
    }
}

/// A target of this model with everything at its default.
fn started(
    model: &str,
    label: String,
    cpus: Option<Vec<usize>>,
    processes: u32,
    machine: &Machine,
) -> TargetCase {
    let row = brink_target::find(model);
    let cpus_in_all = cpus.as_ref().map_or(machine.cpus_allowed.len(), Vec::len) as u32;
    // All processes have all CPUs, and share them.
    let threads = row.map_or(cpus_in_all, |row| row.threads.default_for((cpus_in_all / processes).max(1)));
    TargetCase {
        label,
        origin: Origin::Started,
        model: model.to_owned(),
        processes,
        threads: threads.max(1),
        cpus,
        delay: Delay::ZERO,
        work_us: 0,
        stack_bytes: row.filter(|row| row.has_own_stacks).map(|_| STACK_BYTES_DEFAULT),
        backlog: BACKLOG_DEFAULT,
        connections_max: None,
    }
}

/// What flags and file have in common.
struct Asked {
    connections: u64,
    delay: Delay,
    delay_asked: Option<Duration>,
    workload: workload::Resolved,
    engine: String,
    protocol: Protocol,
    payload_bytes: u32,
    threads_flag: &'static str,
    loopback: bool,
    loopback_v4: bool,
    threads: Option<u32>,
    processes: Processes,
    cpus: Option<Vec<usize>>,
    busy_poll: Option<Duration>,
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

    /// # Errors
    /// A usage failure for threads that the engine does not take.
    fn load_case(self, machine: &Machine) -> Result<LoadCase, Failure> {
        let cpus = self.cpus.as_ref().map_or(machine.cpus_allowed.len(), Vec::len);
        let flag = self.threads_flag.replace("threads", "processes");
        let processes = processes::of_client(&flag, &self.engine, self.processes, self.connections)?;
        let threads_default = if self.loopback && self.cpus.is_none() { cpus / 2 } else { cpus };
        let threads_default = threads_default / processes as usize;
        let threads =
            engine_threads(&self.engine, self.threads_flag, self.threads, threads_default.max(1) as u32)?;
        let threads = u64::from(threads).min(self.connections / u64::from(processes));
        let one_delay = self.delay_asked.unwrap_or(self.delay.mean());
        let source_ips = match self.source_ips {
            none if none.is_empty() && self.loopback_v4 => loopback_sources(self.connections, machine.ports),
            given => given,
        };
        let workload = self.workload;
        Ok(LoadCase {
            engine: self.engine,
            connections: self.connections,
            workload: workload.workload,
            protocol: self.protocol,
            requests: workload.requests,
            seed: workload.seed,
            payload_bytes: self.payload_bytes,
            delay_ns: self.delay_asked.map(ns),
            work_us: None,
            threads: threads as u32,
            processes,
            cpus: self.cpus,
            busy_poll_ns: self.busy_poll.map(ns),
            connect_rate_per_s: None,
            connect_window: CONNECT_WINDOW,
            source_ips,
            warmup_ns: ns(workload.warmup.unwrap_or(one_delay.max(Duration::from_secs(1)))),
            duration_ns: ns(workload.duration),
            timeout_ns: 0,
            close: Close::Rst,
            plateaus: plateaus(self.connections),
            samples_per_s: SAMPLES_PER_S,
            background: None,
            climb: None,
        })
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
    // With room to spare: where nearly all ports of a pair are taken, the kernel searches long for one that is not.
    let with_room = (per_source - per_source / 4).max(1);
    let count = connections.div_ceil(with_room).min(65_000) as u32;
    (0..count).map(|n| IpAddr::from((0x7f00_0001_u32 + n).to_be_bytes())).collect()
}

/// Eight counts, evenly spread up to all connections; fewer where there are fewer connections.
fn plateaus(connections: u64) -> Vec<u64> {
    let mut counts: Vec<_> = (1..=PLATEAUS).map(|k| (connections * k).div_ceil(PLATEAUS)).collect();
    counts.dedup();
    counts
}

/// Label of a command that has none: its program, without the folders.
pub fn command_label(command: &str) -> String {
    let word = command.split_whitespace().next().unwrap_or_default();
    word.rsplit('/').next().unwrap_or_default().trim_matches(['\'', '"']).chars().take(60).collect()
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

/// In nanoseconds; 584 years are as good as more.
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep_file;
    use brink_results::case::Case;

    fn machine() -> Machine {
        Machine { cpus_allowed: vec![0, 1], ports: Some(28_232), limits: Vec::new() }
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
        assert!(
            names[..4].iter().all(|name| name.ends_with("-r1")),
            "a repeat has every case once: {names:?}"
        );
        let step = |name: &str| name.split('-').nth(1).map(str::to_owned);
        for pair in names.chunks(2) {
            assert_eq!(step(pair[0]), step(pair[1]), "targets at one step follow each other: {names:?}");
        }
        let first_of = |seed: u64| {
            plan(&FILE.replace("repeats = 2", &format!("repeats = 2\nseed = {seed}")))[0].name.clone()
        };
        let firsts: std::collections::BTreeSet<String> = (1..=20).map(first_of).collect();
        assert_eq!(firsts.len(), 4, "the seed shuffles steps and targets");
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
        let text = "name=\"x\"\nrepeats=1\n[[target]]\nmodel=\"mio\"\n[[step]]\nconnections=5\ndelay=\"1ms\"\n[[step]]\nconnections=5\ndelay=\"10ms\"\n[[step]]\nconnections=6\n";
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

//! The command line as typed: flags and their values, nothing resolved yet.
//!
//! Defaults that depend on the machine or on other flags are filled in by `plan`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use brink_wire::delay::Delay;
use brink_wire::frame::{DELAY_NS_MAX, PAYLOAD_LEN_MAX, WORK_US_MAX};
use brink_wire::value;

use crate::nearest;

/// Threads or async? Measured on this machine, with real connections.
#[derive(Debug, Parser)]
#[command(name = "brink", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an echo server in one of the concurrency models
    Target(TargetArgs),
    /// Open connections to a target, load it, and measure both ends
    Load(Box<LoadArgs>),
    /// Run every case of a sweep file, print the answer, write the report
    Sweep(SweepArgs),
    /// Print the cases of a sweep file, fully resolved, without running them
    Plan(PlanArgs),
    /// Draw the report of a results folder again
    Report(ReportArgs),
    /// Run one resolved case (used by `sweep`, so that each case has a client process of its own)
    #[command(hide = true)]
    RunCase(RunCaseArgs),
}

/// Flags of a target, wherever it is started from.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Concurrency model: threads, tokio, mio [default: tokio]
    #[arg(long, value_parser = model_name)]
    pub model: Option<String>,
    /// Stack of each connection's thread, for models that have one [default: 8MiB]
    #[arg(long, value_name = "SIZE", value_parser = stack_size)]
    pub stack_size: Option<u64>,
    /// Backlog asked of listen(2); the kernel cuts it to net.core.somaxconn [default: 4096]
    #[arg(long, value_name = "N", value_parser = backlog)]
    pub backlog: Option<u32>,
    /// Refuse connections past this many [default: no bound of its own]
    #[arg(long, value_name = "N", value_parser = count_above_zero)]
    pub max_connections: Option<u64>,
}

/// `brink target`
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// The model and what belongs to it.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Where to echo; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000", value_parser = socket_address)]
    pub listen: SocketAddr,
    /// Where the control plane listens [default: the echo port + 1]
    #[arg(long, value_name = "ADDR", value_parser = socket_address, conflicts_with = "no_control")]
    pub control: Option<SocketAddr>,
    /// Run without a control plane
    #[arg(long)]
    pub no_control: bool,
    /// Secret that the control plane asks for; needed where it is not on loopback
    #[arg(long, env = "BRINK_TOKEN", hide_env_values = true, value_parser = token)]
    pub token: Option<String>,
    /// Wait before each reply: 100ms, 50ms..150ms or exp:100ms
    #[arg(long, default_value = "0s")]
    pub delay: Delay,
    /// CPU work before each reply, for requests that ask for none
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = work_us)]
    pub work: u32,
    /// Worker threads of the model [default: one for each allowed CPU]
    #[arg(short, long, value_name = "N", value_parser = threads)]
    pub threads: Option<u32>,
    /// CPUs to run on: 0 or 0,2 or 0-3
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub cpus: Option<Cpus>,
    /// End when the process with this pid, which must be the parent, is gone
    #[arg(long, hide = true)]
    pub parent: Option<u32>,
}

/// `brink load`
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Echo address of a target that runs already; without it brink starts its own
    #[arg(long, value_name = "ADDR", value_parser = host_and_port)]
    pub target: Option<String>,
    /// Its control plane [default: the echo port + 1]
    #[arg(long, value_name = "ADDR", value_parser = host_and_port, requires = "target")]
    pub control: Option<String>,
    /// Secret of its control plane
    #[arg(long, env = "BRINK_TOKEN", hide_env_values = true, value_parser = token)]
    pub token: Option<String>,
    /// Load a target that is not on this machine and has no brink control plane: only your own!
    #[arg(long, requires = "target")]
    pub external: bool,
    /// Model of the target that brink starts.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Worker threads of the target that brink starts
    #[arg(long, value_name = "N", value_parser = threads, conflicts_with = "target")]
    pub target_threads: Option<u32>,
    /// CPUs of the target that brink starts
    #[arg(long, value_name = "LIST", value_parser = cpus, conflicts_with = "target")]
    pub target_cpus: Option<Cpus>,
    /// Client engine: mio [default: mio]
    #[arg(long, value_parser = engine_name)]
    pub engine: Option<String>,
    /// Connections, in all
    #[arg(short, long, value_name = "N", default_value = "100", value_parser = count_above_zero)]
    pub connections: u64,
    /// Measuring window
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration_above_zero)]
    pub duration: Duration,
    /// Work before the window begins [default: 1s, or one delay where that is longer]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub warmup: Option<Duration>,
    /// What the connections do: closed (next request after the reply) or hold (stay idle)
    #[arg(long, value_enum, default_value_t = WorkloadName::Closed)]
    pub workload: WorkloadName,
    /// closed: wait between a reply and the next request
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub think: Duration,
    /// hold: echo once in this time on each connection [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = duration_above_zero)]
    pub heartbeat: Option<Duration>,
    /// Wait that each request asks of the target [default: the target's own]
    #[arg(long)]
    pub delay: Option<Delay>,
    /// CPU work that each request asks of the target [default: the target's own]
    #[arg(long, value_name = "TIME", value_parser = work_us)]
    pub work: Option<u32>,
    /// Bytes of a request, beside the 40-byte header: 1B to 1MiB
    #[arg(long, value_name = "SIZE", default_value = "64B", value_parser = payload)]
    pub payload: u32,
    /// Connections to open per second, at most [default: as fast as the target takes them]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub connect_rate: Option<f64>,
    /// Threads of the client engine [default: half of the allowed CPUs where both ends share a machine, else all]
    #[arg(short, long, value_name = "N", value_parser = threads)]
    pub threads: Option<u32>,
    /// CPUs of the client: 0 or 0,2 or 0-3
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub cpus: Option<Cpus>,
    /// Source address; repeat it for more ports [default: the kernel's choice; on loopback as many as are needed]
    #[arg(long, value_name = "IP")]
    pub source_ip: Vec<IpAddr>,
    /// A connect or a reply that takes longer than this, on top of the delay, has failed
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration_above_zero)]
    pub timeout: Duration,
    /// How connections are closed
    #[arg(long, value_enum, default_value_t = CloseName::Rst)]
    pub close: CloseName,
    /// Run even if a limit is known to be in the way, to see what happens there
    #[arg(long)]
    pub no_preflight: bool,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Folder for the result and the report; it must not hold a run already [default: none is written]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `brink sweep`
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The sweep file
    pub file: PathBuf,
    /// Folder for results and report; it must not hold a run already [default: results/<date>-<name>, numbered if taken]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Run cases even if a limit is known to be in the way
    #[arg(long)]
    pub no_preflight: bool,
    /// What to print on stdout: text, or json (one object: the plan and all results)
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `brink plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The sweep file
    pub file: PathBuf,
    /// What to print on stdout: text, or json with every resolved field
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,
}

/// `brink report`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A folder that a run was written to
    pub folder: PathBuf,
    /// Where to write the page [default: report.html in that folder]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Also write each plot as a stand-alone SVG into this folder
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
}

/// `brink run-case`: the case comes on stdin, progress goes to stdout, the result into a file.
#[derive(Debug, Args)]
pub struct RunCaseArgs {
    /// Folder for the result.
    #[arg(long)]
    pub out: PathBuf,
    /// Number of the case in its plan.
    #[arg(long)]
    pub number: usize,
    /// Run it even if a limit is known to be in the way.
    #[arg(long)]
    pub no_preflight: bool,
    /// End when this process, which must be the parent, is gone.
    #[arg(long)]
    pub parent: u32,
}

/// `--workload`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WorkloadName {
    /// Next request after the reply.
    Closed,
    /// Idle connections.
    Hold,
}

/// `--close`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CloseName {
    /// By RST: no TIME_WAIT is left behind.
    Rst,
    /// By FIN.
    Fin,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object and nothing else.
    Json,
}

/// A list of CPUs. A type of its own, since clap takes a plain `Vec` for a repeated flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus(pub Vec<usize>);

/// Reads `--cpus`.
pub fn cpus(text: &str) -> Result<Cpus, String> {
    value::parse_cpus(text).map(Cpus)
}

/// Reads a model by name.
pub fn model_name(text: &str) -> Result<String, String> {
    let names: Vec<_> = brink_target::MODELS.iter().map(|model| model.name).collect();
    known("model", text, &names)
}

/// Reads an engine by name.
pub fn engine_name(text: &str) -> Result<String, String> {
    let names: Vec<_> = brink_client::ENGINES.iter().map(|engine| engine.name).collect();
    known("engine", text, &names)
}

/// Reads `--payload`.
pub fn payload(text: &str) -> Result<u32, String> {
    let bytes = value::parse_bytes(text)?;
    if !(1..=PAYLOAD_LEN_MAX as u64).contains(&bytes) {
        return Err(format!("a payload of {bytes} bytes is out of bounds: 1B to 1MiB are allowed"));
    }
    Ok(bytes as u32)
}

/// Reads `--work` into microseconds.
pub fn work_us(text: &str) -> Result<u32, String> {
    let work = value::parse_duration(text)?;
    let us = u32::try_from(work.as_micros()).ok().filter(|&us| us <= WORK_US_MAX);
    us.ok_or_else(|| format!("`{text}` is too much work for one request: at most 1m"))
}

/// Reads a count that may not be zero.
pub fn count_above_zero(text: &str) -> Result<u64, String> {
    match value::parse_count(text)? {
        0 => Err("0 is too few: at least 1".to_owned()),
        n if n > 100_000_000 => Err(format!("{n} is too many: at most 100m")),
        n => Ok(n),
    }
}

/// Reads a duration that may not be zero.
pub fn duration_above_zero(text: &str) -> Result<Duration, String> {
    match value::parse_duration(text)? {
        Duration::ZERO => Err(format!("`{text}` is too short: it must be more than zero")),
        d if d > Duration::from_secs(7 * 24 * 3600) => Err(format!("`{text}` is too long: at most 168h")),
        d => Ok(d),
    }
}

/// Reads a duration that may be zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    match value::parse_duration(text)? {
        Duration::ZERO => Ok(Duration::ZERO),
        _ => duration_above_zero(text),
    }
}

/// Reads a wait that a request asks for.
pub fn wait(text: &str) -> Result<Duration, String> {
    let wait = value::parse_duration(text)?;
    if wait > Duration::from_nanos(DELAY_NS_MAX) {
        return Err(format!("`{text}` waits too long: at most 1h"));
    }
    Ok(wait)
}

/// Reads a number of threads.
pub fn threads(text: &str) -> Result<u32, String> {
    match value::parse_count(text)? {
        n @ 1..=1024 => Ok(n as u32),
        n => Err(format!("{n} is out of bounds: 1 to 1024 are allowed")),
    }
}

/// Reads a backlog of listen(2).
pub fn backlog(text: &str) -> Result<u32, String> {
    match value::parse_count(text)? {
        n @ 1..=1_048_576 => Ok(n as u32),
        n => Err(format!("{n} is out of bounds: 1 to 1048576 are allowed")),
    }
}

/// Reads how often a case is run.
pub fn repeats(text: &str) -> Result<u32, String> {
    match value::parse_count(text)? {
        n @ 1..=1000 => Ok(n as u32),
        n => Err(format!("{n} is out of bounds: 1 to 1000 are allowed")),
    }
}

/// Reads `host:port`.
pub fn host_and_port(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(port) if port > 0 => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not an address with a port, as in 127.0.0.1:7000 or host:7000")),
    }
}

/// Reads a name for tables and files.
pub fn label(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| !c.is_control()) && text.chars().count() <= 60;
    if plain && !text.trim().is_empty() {
        Ok(text.to_owned())
    } else {
        Err("a label has 1 to 60 characters, none of them a control character".to_owned())
    }
}

/// Reads a rate per second.
pub fn rate(text: &str) -> Result<f64, String> {
    count_above_zero(text).map(|rate| rate as f64)
}

/// Reads `--stack-size`. 16 KiB is `PTHREAD_STACK_MIN` on x86_64, see pthread_attr_setstacksize(3);
/// aarch64 has 128 KiB.
pub fn stack_size(text: &str) -> Result<u64, String> {
    let min = if cfg!(target_arch = "aarch64") { 128 << 10 } else { 16 << 10 };
    let bytes = value::parse_bytes(text)?;
    if !(min..=1 << 30).contains(&bytes) {
        return Err(format!(
            "a stack of {bytes} bytes is out of bounds: {}KiB to 1GiB are allowed",
            min >> 10
        ));
    }
    Ok(bytes)
}

fn known(kind: &str, text: &str, names: &[&str]) -> Result<String, String> {
    if names.contains(&text) { Ok(text.to_owned()) } else { Err(nearest::unknown(kind, text, names)) }
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not an address with a port, as in 127.0.0.1:7000 or [::]:7000"))
}

fn token(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic());
    if plain && !text.is_empty() {
        Ok(text.to_owned())
    } else {
        Err("a token is printable ASCII without blanks, at least one character".to_owned())
    }
}

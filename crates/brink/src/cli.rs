//! The command line as typed: flags and their values, nothing resolved yet.
//!
//! Defaults that depend on the machine or on other flags are filled in by `plan`.

mod choices;
mod examples;
mod groups;
mod help;
mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use brink_results::gate::Rule;
use brink_wire::delay::Delay;

use crate::location::Location;
use crate::sweep_file::BackgroundTable;

pub use choices::*;
pub use examples::of as examples_of;
pub use groups::*;
pub use help::{definition, parse};
pub use values::*;

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
    /// Open connections until something gives way, and say what: which limit, on which end, and what lifts it
    Ceiling(Box<CeilingArgs>),
    /// Run every case of a sweep file, print the answer, write the report
    Sweep(SweepArgs),
    /// Print the cases of a sweep file or a claims file, fully resolved, without running them
    Plan(PlanArgs),
    /// Draw the report of a results folder again
    Report(ReportArgs),
    /// Compare two runs case by case, and hold them against gates
    Compare(CompareArgs),
    /// Put claims to the test: run the experiments of a claims file, and judge each claim by its rules
    Claims(ClaimsArgs),
    /// Which model for a workload, from what `brink claims` measured on this machine
    Advise(AdviseArgs),
    /// Show the limits of this machine and of a target; with --connections what a plan needs of each
    Limits(LimitsArgs),
    /// Print the JSON Schema of what brink writes
    Schema(SchemaArgs),
    /// Print what makes a shell complete brink's commands, flags and values
    Completions(CompletionsArgs),
    /// Print brink(1), or write a manual page of each command into a folder
    Man(ManArgs),
    /// Run bare sleepers, a thread or a task each, without an engine (a program of a claims file)
    #[command(hide = true)]
    Bare(BareArgs),
    /// Run one resolved case (used by `sweep`, so that each case has a client process of its own)
    #[command(hide = true)]
    RunCase(RunCaseArgs),
    /// Be one of the processes of a client (used by --processes)
    #[command(hide = true)]
    RunPart(RunPartArgs),
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
    /// Threads of the model in each process [default: one for each allowed CPU; pool: 32, tokio-offload: 512]
    #[arg(short, long, value_name = "N", value_parser = threads)]
    pub threads: Option<u32>,
    /// Processes that share the port (SO_REUSEPORT), each running the model [default: 1]
    #[arg(long, value_name = "P", value_parser = processes)]
    pub processes: Option<u32>,
    /// Share the port with other processes (used by the supervisor of --processes)
    #[arg(long, hide = true)]
    pub shares_port: bool,
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
    /// What is loaded.
    #[command(flatten)]
    pub at: WhereArgs,
    /// Connections, in all
    #[arg(short, long, value_name = "N", default_value = "100", value_parser = count_above_zero)]
    pub connections: u64,
    /// Measuring window [default: 10s; with --requests as long as they take, an hour at most]
    #[arg(short, long, value_name = "TIME", value_parser = duration_above_zero)]
    pub duration: Option<Duration>,
    /// Requests, in all, instead of a duration [burst: one for each connection]
    #[arg(short = 'n', long, value_name = "N", value_parser = count_above_zero)]
    pub requests: Option<u64>,
    /// Requests due per second, in all: makes it an open loop, whose latency counts from when they are due
    #[arg(short, long, value_name = "N", value_parser = request_rate)]
    pub rate: Option<f64>,
    /// open: when requests come due
    #[arg(long, value_enum)]
    pub arrivals: Option<ArrivalsName>,
    /// open: seed of Poisson arrivals [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Work before the window begins [default: 1s, or one delay where that is longer; none with --requests]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub warmup: Option<Duration>,
    /// What the connections do [default: closed, or open with --rate]
    #[arg(long, value_enum)]
    pub workload: Option<WorkloadName>,
    /// closed, churn: wait between a reply and the next request
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub think: Option<Duration>,
    /// hold: echo once in this time on each connection [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = duration_above_zero)]
    pub heartbeat: Option<Duration>,
    /// Wait that each request asks of the target [default: the target's own]
    #[arg(long)]
    pub delay: Option<Delay>,
    /// CPU work that each request asks of the target [default: the target's own]
    #[arg(long, value_name = "TIME", value_parser = work_us)]
    pub work: Option<u32>,
    /// Load the target a second time while it is measured: 'connections=1,rate=2,work=200ms'; the keys are connections,
    /// workload, rate, arrivals, think, delay, work, payload, engine and timeout [default: no other load]
    #[arg(long, value_name = "LOAD", value_parser = crate::sweep_file::parse_background)]
    pub background: Option<BackgroundTable>,
    /// What is said.
    #[command(flatten)]
    pub says: SpeakArgs,
    /// The end that connects.
    #[command(flatten)]
    pub client: ClientArgs,
    /// A connect or a reply that takes longer than this, on top of the delay, has failed
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration_above_zero)]
    pub timeout: Duration,
    /// Run even if a limit is known to be in the way, to see what happens there
    #[arg(long)]
    pub no_preflight: bool,
    /// What the run must keep to, as in 'p99 < 5ms'; repeat it for more. Exit code 3 where it does not
    #[arg(long, value_name = "RULE", value_parser = crate::gate_file::rule)]
    pub slo: Vec<Rule>,
    /// Who follows it.
    #[command(flatten)]
    pub follow: FollowArgs,
    /// Write latencies as a HdrHistogram log, a line per case and repeat
    #[arg(long, value_name = "FILE")]
    pub hdr_log: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = ResultFormat::Text)]
    pub format: ResultFormat,
    /// Folder for the result and the report; it must not hold a run already [default: none is written]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `brink ceiling`
#[derive(Debug, Args)]
pub struct CeilingArgs {
    /// What is loaded.
    #[command(flatten)]
    pub at: WhereArgs,
    /// Stop at this many connections, if nothing gave way before [default: a little more than this client's own limits
    /// let it open]
    #[arg(long, value_name = "N", value_parser = count_above_zero)]
    pub stop_at: Option<u64>,
    /// Stop while this much memory is still available on the machine of either end, or in the client's own control group
    /// [default: a sixteenth of the machine's, 256MiB at least; of a control group at most an eighth of its limit]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory_floor: Option<u64>,
    /// Give up a way up that takes longer than this
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration_above_zero)]
    pub climb_within: Duration,
    /// Hold the connections at the edge for so long
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration_above_zero)]
    pub hold: Duration,
    /// While they are held, echo once in this time on each
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration_above_zero)]
    pub heartbeat: Duration,
    /// Connects and first echoes under way at once [default: 128]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub connect_window: Option<u32>,
    /// What is said.
    #[command(flatten)]
    pub says: SpeakArgs,
    /// The end that connects.
    #[command(flatten)]
    pub client: ClientArgs,
    /// A connect or a reply that takes longer than this has failed
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration_above_zero)]
    pub timeout: Duration,
    /// Who follows it.
    #[command(flatten)]
    pub follow: FollowArgs,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = ResultFormat::Text)]
    pub format: ResultFormat,
    /// Folder for the result and the report; it must not hold a run already [default: none is written]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `brink sweep`
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The sweep file
    #[arg(required_unless_present = "resume")]
    pub file: Option<PathBuf>,
    /// Folder for results and report; it must not hold a run already [default: results/<date>-<name>, numbered if taken]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the sweep in this folder where it was stopped: with the cases that have no result, were cut short, or
    /// were refused because of a limit
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "out"])]
    pub resume: Option<PathBuf>,
    /// Run cases even if a limit is known to be in the way
    #[arg(long)]
    pub no_preflight: bool,
    /// File of rules that every case must keep to, as in configs/gate.toml. Exit code 3 where one does not
    #[arg(long, value_name = "FILE")]
    pub gate: Option<PathBuf>,
    /// Who follows it.
    #[command(flatten)]
    pub follow: FollowArgs,
    /// Secret that --metrics asks for
    #[arg(long, env = "BRINK_TOKEN", hide_env_values = true, value_parser = token)]
    pub token: Option<String>,
    /// Write latencies as a HdrHistogram log, a line per case and repeat
    #[arg(long, value_name = "FILE")]
    pub hdr_log: Option<PathBuf>,
    /// What to print on stdout; json is one object: the plan and all results
    #[arg(long, value_enum, default_value_t = ResultFormat::Text)]
    pub format: ResultFormat,
}

/// `brink claims`
#[derive(Debug, Args)]
pub struct ClaimsArgs {
    /// The claims file
    #[arg(required_unless_present = "resume")]
    pub file: Option<PathBuf>,
    /// Fewer cases and shorter windows, as the file says
    #[arg(long, conflicts_with = "resume")]
    pub quick: bool,
    /// Folder for results and report; it must not hold a run already [default: results/<date>-<name>, numbered if taken]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the run in this folder where it was stopped
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "out"])]
    pub resume: Option<PathBuf>,
    /// Take over what this folder has of the same cases and programs, measured on this machine, and run only the others
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub from: Option<PathBuf>,
    /// Run cases even if a limit is known to be in the way
    #[arg(long)]
    pub no_preflight: bool,
    /// Who follows it.
    #[command(flatten)]
    pub follow: FollowArgs,
    /// Secret that --metrics asks for
    #[arg(long, env = "BRINK_TOKEN", hide_env_values = true, value_parser = token)]
    pub token: Option<String>,
    /// What to print on stdout; json is one object: the claims as they were judged
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `brink advise`
#[derive(Debug, Args)]
pub struct AdviseArgs {
    /// Connections, each of which asks again as soon as it has its reply
    #[arg(short, long, value_name = "N", value_parser = count_above_zero)]
    pub connections: u64,
    /// What each request waits for: a database, another service [default: 0s]
    #[arg(long, value_name = "TIME", default_value = "0s", hide_default_value = true, value_parser = wait)]
    pub delay: Duration,
    /// CPU work of each request [default: 0us]
    #[arg(long, value_name = "TIME", default_value = "0us", hide_default_value = true, value_parser = work_us)]
    pub work: u32,
    /// The wait is in a library that blocks its thread
    #[arg(long)]
    pub blocking: bool,
    /// What the server may take of memory [default: no bound]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// Folder of a run of `brink claims` [default: the last one under results/]
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `brink compare`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// What is compared with: a results folder, a result file, or - for what `--format json` prints, on stdin
    #[arg(value_name = "BASELINE")]
    pub baseline: PathBuf,
    /// What is compared, likewise; without it the first is held against the gates alone
    #[arg(value_name = "CANDIDATE")]
    pub candidate: Option<PathBuf>,
    /// File of rules that every case must keep to, as in configs/gate.toml. Exit code 3 where one does not
    #[arg(long, value_name = "FILE")]
    pub gate: Option<PathBuf>,
    /// Exit code 3, too, where any comparison says worse
    #[arg(long)]
    pub fail_on_worse: bool,
    /// Call no difference what is below this, whatever its interval
    #[arg(long, value_name = "PERCENT", default_value = "3%", value_parser = percent)]
    pub threshold: f64,
    /// Use invalid results of cases that have no valid one
    #[arg(long)]
    pub allow_invalid: bool,
    /// Compare cases of one name all the same that ask different questions (another delay, payload, ..)
    #[arg(long)]
    pub as_is: bool,
    /// Every measure, not only those that say most
    #[arg(long)]
    pub all: bool,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = CompareFormat::Text)]
    pub format: CompareFormat,
}

/// `brink plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The sweep file, or a claims file
    pub file: PathBuf,
    /// Of a claims file: what --quick would run
    #[arg(long)]
    pub quick: bool,
    /// What to print on stdout: text, or json with every resolved field
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,
}

/// `brink report`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A folder that a run was written to
    pub folder: PathBuf,
    /// Where to write it [default: the page to report.html in that folder, a table to stdout]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What to make of the results
    #[arg(long, value_enum, default_value_t = ReportFormat::Html)]
    pub format: ReportFormat,
    /// Also write each plot as a stand-alone SVG into this folder
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// Also write the latencies as a HdrHistogram log, a line per case and repeat
    #[arg(long, value_name = "FILE")]
    pub hdr_log: Option<PathBuf>,
    /// Also write each plot as a PNG into this folder, of twice the size
    #[arg(long, value_name = "DIR")]
    pub png: Option<PathBuf>,
}

/// `brink limits`
#[derive(Debug, Args)]
pub struct LimitsArgs {
    /// Echo address of a target that runs: its limits too, through its control plane at the next port
    #[arg(long, value_name = "ADDR", value_parser = host_and_port)]
    pub target: Option<String>,
    /// Control plane of a target that runs [default: the port after --target]
    #[arg(long, value_name = "ADDR", value_parser = host_and_port, conflicts_with = "pid")]
    pub control: Option<String>,
    /// Secret of the target's control plane
    #[arg(long, env = "BRINK_TOKEN", hide_env_values = true, value_parser = token)]
    pub token: Option<String>,
    /// Any process of this machine as the target: its limits by what /proc says
    #[arg(long, value_name = "PID", value_parser = pid)]
    pub pid: Option<u32>,
    /// Model of the target that the plan starts: here, or where --target runs.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Connections that the plan asks for, in all
    #[arg(short, long, value_name = "N", value_parser = count_above_zero)]
    pub connections: Option<u64>,
    /// Processes of the target; auto: as many as its limits make necessary [default: 1]
    #[arg(long, value_name = "P", value_parser = processes_or_auto)]
    pub processes: Option<Processes>,
    /// Processes of the client, likewise [default: 1]
    #[arg(long, value_name = "P", value_parser = processes_or_auto)]
    pub client_processes: Option<Processes>,
    /// Worker threads of the target
    #[arg(long, value_name = "N", value_parser = threads)]
    pub target_threads: Option<u32>,
    /// Client engine [default: mio]
    #[arg(long, value_parser = engine_names())]
    pub engine: Option<String>,
    /// Threads of the client engine
    #[arg(short, long, value_name = "N", value_parser = threads)]
    pub threads: Option<u32>,
    /// Source address; repeat it for more ports [default: the kernel's choice; on loopback as many as are needed]
    #[arg(long, value_name = "IP")]
    pub source_ip: Vec<IpAddr>,
    /// Results folder of a sweep, for what a connection takes of memory [default: documented figures]
    #[arg(long, value_name = "DIR")]
    pub measured: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `brink schema`
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of what; without it the names are listed
    #[arg(value_parser = schema_names())]
    pub name: Option<String>,
}

/// `brink completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: ShellName,
}

/// `brink man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for brink.1 and a page of each command; without it brink(1) is printed
    pub dir: Option<PathBuf>,
}

/// `brink bare`
#[derive(Debug, Args)]
pub struct BareArgs {
    /// What each of them is
    #[arg(long, value_enum)]
    pub way: BareWay,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value = "1000", value_parser = sleepers)]
    pub sleepers: u64,
    /// How long each waits; with --echo what its frame asks the target to wait
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = wait)]
    pub wait: Duration,
    /// Measure memory instead: make them in steps, and hold all of them for so long
    #[arg(long, value_name = "TIME", value_parser = wait)]
    pub hold: Option<Duration>,
    /// Each connects there, sends one frame and gets it back
    #[arg(long, value_name = "ADDR", value_parser = socket_address)]
    pub echo: Option<SocketAddr>,
    /// Stack of a thread
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = stack_size)]
    pub stack_size: u64,
}

/// `brink run-case`: the case comes on stdin, progress goes to stdout, the result into a file.
#[derive(Debug, Args)]
pub struct RunCaseArgs {
    /// Folder for the result; without one it goes to stdout.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// How to look for the edge, in JSON: then the case is a ceiling's.
    #[arg(long)]
    pub climb: Option<String>,
    /// Number of the case in its plan.
    #[arg(long, default_value = "1")]
    pub number: usize,
    /// Run it even if a limit is known to be in the way.
    #[arg(long)]
    pub no_preflight: bool,
    /// End when this process, which must be the parent, is gone.
    #[arg(long)]
    pub parent: u32,
}

/// `brink run-part`: its part of a load comes on stdin, with the orders; how it goes and what was measured goes to stdout.
#[derive(Debug, Args)]
pub struct RunPartArgs {
    /// Descriptor of the counts that all parts share.
    #[arg(long)]
    pub board: i32,
    /// End when this process, which must be the parent, is gone.
    #[arg(long)]
    pub parent: u32,
}

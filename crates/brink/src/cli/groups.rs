//! Flags that several commands have: of a target, of where it is, of the client, of what it speaks, of who follows a run.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use super::*;

/// Flags of a target, wherever it is started from.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Concurrency model [default: tokio]
    #[arg(long, value_parser = model_names())]
    pub model: Option<String>,
    /// Stack of each thread that serves connections, for models of blocking threads [default: 8MiB]
    #[arg(long, value_name = "SIZE", value_parser = stack_size)]
    pub stack_size: Option<u64>,
    /// Backlog asked of listen(2); the kernel cuts it to net.core.somaxconn [default: 4096]
    #[arg(long, value_name = "N", value_parser = backlog)]
    pub backlog: Option<u32>,
    /// Refuse connections past this many [default: no bound of its own]
    #[arg(long, value_name = "N", value_parser = count_above_zero)]
    pub max_connections: Option<u64>,
}

/// What is loaded: a target of brink's own, or anybody's server.
#[derive(Debug, Args)]
pub struct WhereArgs {
    /// Server to load: http://host/path, tcp://host:port of an echo server or (with --send) of any other
    #[arg(value_name = "URL", value_parser = location, conflicts_with = "target")]
    pub url: Option<Location>,
    /// Echo address of a target that runs already; without it brink starts its own
    #[arg(long, value_name = "ADDR", value_parser = location)]
    pub target: Option<Location>,
    /// Its control plane [default: the echo port + 1]
    #[arg(long, value_name = "ADDR", value_parser = host_and_port)]
    pub control: Option<String>,
    /// Its process on this machine, to be sampled with its children
    #[arg(long, value_name = "PID", value_parser = pid)]
    pub pid: Option<u32>,
    /// Start this server and load it; {port} stands for a free port
    #[arg(long, value_name = "COMMAND", value_parser = command, conflicts_with_all = ["target", "control", "pid"])]
    pub command: Option<String>,
    /// Secret of its control plane
    #[arg(long, env = "BRINK_TOKEN", hide_env_values = true, value_parser = token)]
    pub token: Option<String>,
    /// Load a target that is not on this machine and has no brink control plane: only your own!
    #[arg(long)]
    pub external: bool,
    /// Model of the target that brink starts.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Worker threads of the target that brink starts
    #[arg(long, value_name = "N", value_parser = threads)]
    pub target_threads: Option<u32>,
    /// Processes of the target that brink starts, sharing its port; auto: as many as its limits make necessary [default: 1]
    #[arg(long, value_name = "P", value_parser = processes_or_auto)]
    pub target_processes: Option<Processes>,
    /// CPUs of the target that brink starts
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub target_cpus: Option<Cpus>,
}

/// The end that connects.
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// Client engine [default: mio]
    #[arg(long, value_parser = engine_names())]
    pub engine: Option<String>,
    /// Connections to open per second, at most [default: as fast as the target takes them]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub connect_rate: Option<f64>,
    /// Threads of the client engine, in each process [default: half of the allowed CPUs where both ends share a machine, else all; pool: 20]
    #[arg(short, long, value_name = "N", value_parser = threads)]
    pub threads: Option<u32>,
    /// Processes of the client, each with its share of the connections; auto: as many as its limits make necessary
    /// [default: 1]
    #[arg(long, value_name = "P", value_parser = processes_or_auto)]
    pub processes: Option<Processes>,
    /// CPUs of the client: 0 or 0,2 or 0-3
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub cpus: Option<Cpus>,
    /// How long a worker asks the kernel again and again before it sleeps, and before a request is due: takes CPU time, and
    /// keeps what waking up takes out of the figures. 0s: not at all [default: 1ms for an open loop with --cpus of its own,
    /// else 0s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub busy_poll: Option<Duration>,
    /// Source address; repeat it for more ports [default: the kernel's choice; on loopback as many as are needed]
    #[arg(long, value_name = "IP")]
    pub source_ip: Vec<IpAddr>,
    /// How connections are closed
    #[arg(long, value_enum, default_value_t = CloseName::Rst)]
    pub close: CloseName,
}

/// What is said on a connection.
#[derive(Debug, Args)]
pub struct SpeakArgs {
    /// Bytes of a request, beside the 40-byte header; of its body over HTTP: 1B to 1MiB [default: 64B]
    #[arg(long, value_name = "SIZE", value_parser = payload)]
    pub payload: Option<u32>,
    /// HTTP: method; POST, PUT and PATCH have a body of --payload bytes [default: GET]
    #[arg(long, value_name = "METHOD", value_parser = method)]
    pub method: Option<String>,
    /// HTTP: one more header, as 'Name: value'; repeat it for more
    #[arg(short = 'H', long, value_name = "HEADER", value_parser = header)]
    pub header: Vec<(String, String)>,
    /// Send these bytes instead of a frame (\r, \n, \t, \0, \\ and \xNN are understood); needs --expect
    #[arg(long, value_name = "BYTES", value_parser = escaped, requires = "expect")]
    pub send: Option<String>,
    /// Expect exactly these bytes as the reply to --send
    #[arg(long, value_name = "BYTES", value_parser = escaped, requires = "send")]
    pub expect: Option<String>,
}

/// Who follows a run while it goes on.
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Write what is seen while it runs, one JSON object a line; - is stdout, and the answer then goes to stderr
    #[arg(long, value_name = "FILE")]
    pub ndjson: Option<PathBuf>,
    /// Serve /metrics for Prometheus while it runs; port 0 takes a free one. Not on loopback it needs --token
    #[arg(long, value_name = "ADDR", value_parser = socket_address)]
    pub metrics: Option<SocketAddr>,
}

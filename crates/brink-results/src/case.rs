//! A case: one target under one load, with nothing left open. A plan is a list of
//! them, `brink plan` prints them, and every result embeds its own.
//!
//! No field means "the default": a default is written out when the plan is made.
//! `None` is used only where a thing truly is absent (no rate bound, no pinning).

use serde::{Deserialize, Serialize};

use brink_wire::delay::Delay;

/// One target under one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Case {
    /// Unique in its plan, fit for a file name: `threads-c10000-r1`.
    pub name: String,
    /// Which repeat of the same case, from 1.
    pub repeat: u32,
    /// The end that echoes.
    pub target: TargetCase,
    /// The end that connects.
    pub load: LoadCase,
}

/// The end that echoes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TargetCase {
    /// Name in tables and plots.
    pub label: String,
    /// How it comes to be.
    pub origin: Origin,
    /// Model by name; what the target itself said for one already running; `foreign` for a stranger.
    pub model: String,
    /// Serving processes.
    pub processes: u32,
    /// Threads that run the model in each process. For `threads`: those that accept.
    pub threads: u32,
    /// CPUs it is pinned to.
    pub cpus: Option<Vec<usize>>,
    /// Its own wait, for requests that ask for none.
    pub delay: Delay,
    /// Its own CPU work, in microseconds, for requests that ask for none.
    pub work_us: u32,
    /// Stack of a connection's thread, in bytes; null for models that have no such thread.
    pub stack_bytes: Option<u64>,
    /// Asked of listen(2).
    pub backlog: u32,
    /// Its own bound on connections.
    pub connections_max: Option<u64>,
}

/// How a target comes to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Started by brink for this case, on this machine, and stopped after it.
    Started,
    /// Already running at this address.
    Address {
        /// Where it answers, host:port.
        address: String,
        /// Its control plane, if it was named.
        control: Option<String>,
        /// Its process on this machine, which is sampled together with its children.
        #[serde(default)]
        pid: Option<u32>,
    },
    /// Any server, started by brink for this case with this command, and stopped after it.
    Command {
        /// Words as sh(1) would split them, without expansions; `{port}` stands for a free port.
        command: String,
        /// Where it listens, if it does not take a port.
        #[serde(default)]
        port: Option<u16>,
    },
}

/// The end that connects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoadCase {
    /// Client engine by name.
    pub engine: String,
    /// Connections in all.
    pub connections: u64,
    /// What is done with them.
    pub workload: Workload,
    /// What is spoken on them.
    #[serde(default)]
    pub protocol: Protocol,
    /// Requests in all, after the warm-up; null: as many as the window takes. `duration_ns` then bounds the time.
    #[serde(default)]
    pub requests: Option<u64>,
    /// Of random arrivals.
    #[serde(default)]
    pub seed: u64,
    /// Bytes after the 40-byte header.
    pub payload_bytes: u32,
    /// Wait that each request asks for, in nanoseconds; null: the target's own applies.
    pub delay_ns: Option<u64>,
    /// CPU work that each request asks for, in microseconds; null: the target's own applies.
    pub work_us: Option<u32>,
    /// Threads of the engine, in each process.
    pub threads: u32,
    /// Processes of the client, each with its share of the connections.
    #[serde(default = "one")]
    pub processes: u32,
    /// CPUs it is pinned to.
    pub cpus: Option<Vec<usize>>,
    /// How long a worker of the client that has nothing to do asks the kernel again and again before it sleeps, and how long
    /// before something is due it begins to, in nanoseconds; 0: it sleeps at once; null: as suits the case, which
    /// `usage.busy_poll_ns` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_poll_ns: Option<u64>,
    /// Connections started per second, at most; null: as fast as the target takes them.
    pub connect_rate_per_s: Option<f64>,
    /// Connections that may be under way at once while opening: below the usual listen backlogs.
    pub connect_window: u32,
    /// Source addresses, in order; empty: the kernel chooses.
    pub source_ips: Vec<std::net::IpAddr>,
    /// Work before measuring begins, in nanoseconds.
    pub warmup_ns: u64,
    /// Measuring window, in nanoseconds.
    pub duration_ns: u64,
    /// A connect or a reply that takes longer has failed, in nanoseconds. Comes on top of the delay asked.
    pub timeout_ns: u64,
    /// How connections are closed.
    pub close: Close,
    /// Counts of open connections at which memory is sampled on the way up. The last is `connections`.
    pub plateaus: Vec<u64>,
    /// Samples of both ends per second.
    pub samples_per_s: f64,
    /// Another load of the same target while this one is measured; none: there is no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<BackgroundCase>,
    /// The connections are opened until something gives way, as `brink ceiling` does: `connections` is then where it
    /// stops. None: as many are opened as are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub climb: Option<ClimbCase>,
}

/// A second client that loads the target from the warm-up to the end of the window. What is not here it has in common
/// with the load that is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackgroundCase {
    /// Client engine by name.
    pub engine: String,
    /// Connections in all, beside those that are measured.
    pub connections: u64,
    /// What is done with them.
    pub workload: Workload,
    /// What is spoken on them.
    pub protocol: Protocol,
    /// Of random arrivals.
    pub seed: u64,
    /// Bytes after the 40-byte header.
    pub payload_bytes: u32,
    /// Wait that each request asks for, in nanoseconds; null: the target's own applies.
    pub delay_ns: Option<u64>,
    /// CPU work that each request asks for, in microseconds; null: the target's own applies.
    pub work_us: Option<u32>,
    /// Threads of the engine.
    pub threads: u32,
    /// A connect or a reply that takes longer has failed, in nanoseconds. Comes on top of the delay asked.
    pub timeout_ns: u64,
}

/// How an edge is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClimbCase {
    /// How long one way up may take, in nanoseconds.
    pub within_ns: u64,
    /// Memory that is to stay available, in bytes; null: a part of the machine's.
    pub memory_floor_bytes: Option<u64>,
}

/// What is done with the connections once they are open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Workload {
    /// Keep them idle; each is verified by an echo after opening and again before closing.
    Hold {
        /// Each connection echoes once in this time, in nanoseconds; null: not at all.
        heartbeat_ns: Option<u64>,
    },
    /// One request outstanding per connection: the next after the reply and the think time.
    Closed {
        /// Between a reply and the next request, in nanoseconds.
        think_ns: u64,
    },
    /// Requests come due by a schedule, whatever the target does; each goes out on the next idle connection, and
    /// its latency counts from when it was due.
    Open {
        /// Requests per second, over all connections.
        rate_per_s: f64,
        /// When they come due.
        arrivals: Arrivals,
    },
    /// `requests` of them at once, over all connections, each taking its next as its reply comes: how long until
    /// the last reply.
    Burst,
    /// Each connection connects, makes one request and closes, over and over.
    Churn {
        /// Between a close and the next connect, in nanoseconds.
        think_ns: u64,
    },
}

/// When the requests of an open loop come due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly spaced.
    Fixed,
    /// Independent of one another, at this mean rate.
    Poisson,
}

/// What is spoken on the connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Protocol {
    /// brink's frame; any server that sends back what it gets will do.
    #[default]
    Frame,
    /// HTTP/1.1 over connections that are kept alive.
    Http {
        /// `GET`, `POST`, ..
        method: String,
        /// Path and query.
        path: String,
        /// The Host header.
        host: String,
        /// More headers, name and value.
        headers: Vec<(String, String)>,
        /// Whether requests have a body of `payload_bytes`.
        body: bool,
        /// Whether the reply's body must be that of the request.
        echoes: bool,
    },
    /// Fixed bytes out, fixed bytes back.
    Bytes {
        /// What is sent, with `\r`, `\n`, `\t`, `\0`, `\` and `\xNN` for what cannot be typed.
        send: String,
        /// What must come back, written likewise.
        expect: String,
    },
}

/// Clients were one process before they could be several.
fn one() -> u32 {
    1
}

/// brink's own HTTP target.
const HTTP_MODEL: &str = "hyper";

impl Case {
    /// The wait that each request asks for, in nanoseconds. `None` where it is drawn at random.
    #[must_use]
    pub fn asked_delay_ns(&self) -> Option<u64> {
        match (self.delay_of_path_ns().or(self.load.delay_ns), self.target.delay) {
            (Some(ns), _) => Some(ns),
            (None, Delay::Fixed(delay)) => u64::try_from(delay.as_nanos()).ok(),
            (None, _) => None,
        }
    }

    /// The wait in nanoseconds that the path `/delay/S` asks of brink's own HTTP target, whatever else is asked.
    #[must_use]
    pub fn delay_of_path_ns(&self) -> Option<u64> {
        let Protocol::Http { path, .. } = &self.load.protocol else { return None };
        let path = path.split('?').next().unwrap_or_default();
        let seconds: f64 = path.strip_prefix("/delay/")?.parse().ok()?;
        let is_own = self.target.model == HTTP_MODEL && (0.0..=3600.0).contains(&seconds);
        is_own.then_some((seconds * 1e9).round() as u64)
    }
}

impl LoadCase {
    /// Threads of the engine, in all processes.
    #[must_use]
    pub fn threads_in_all(&self) -> u64 {
        u64::from(self.threads) * u64::from(self.processes)
    }

    /// The background as a load of its own, beside which there is no other.
    #[must_use]
    pub fn of_background(&self) -> Option<Self> {
        let own = self.background.clone()?;
        Some(Self {
            engine: own.engine,
            connections: own.connections,
            workload: own.workload,
            protocol: own.protocol,
            requests: None,
            seed: own.seed,
            payload_bytes: own.payload_bytes,
            delay_ns: own.delay_ns,
            work_us: own.work_us,
            threads: own.threads,
            processes: 1,
            timeout_ns: own.timeout_ns,
            plateaus: vec![own.connections],
            busy_poll_ns: Some(0),
            background: None,
            climb: None,
            ..self.clone()
        })
    }
}

impl Workload {
    /// The name used on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold { .. } => "hold",
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::Burst => "burst",
            Self::Churn { .. } => "churn",
        }
    }
}

/// How the client closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// By RST (`SO_LINGER` 0, socket(7)): no TIME_WAIT is left for the next run to trip over.
    Rst,
    /// By FIN.
    Fin,
}

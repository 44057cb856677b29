//! What a run is asked to do. Fully resolved: nothing here means "default".
//!
//! Must not open or measure anything.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use brink_wire::frame::{DELAY_NS_MAX, PAYLOAD_LEN_MAX, WORK_US_MAX};

/// What the connections do once they are open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Workload {
    /// Stay open, idle but for a heartbeat: one request per connection and interval, spread evenly over it.
    Hold {
        /// Between two heartbeats of one connection. `None`: silence.
        heartbeat: Option<Duration>,
    },
    /// The next request follows the reply, after a pause. Latency counts from the send, so a stalled target
    /// makes fewer requests, not longer queues: closed loop.
    Closed {
        /// Between a reply and the next request.
        think: Duration,
    },
    /// Requests come due by a schedule, whatever the target does. Each goes out on the next connection that is
    /// idle, and its latency counts from when it was due, so that a stalled target makes long latencies: open loop.
    Open {
        /// Requests per second, over all connections. Above 0.
        rate_per_s: f64,
        /// When they come due.
        arrivals: Arrivals,
    },
    /// [`LoadOptions::requests`] at once, over all connections, each taking its next as its reply comes. No connection
    /// has a second while another that is open waits for its first.
    Burst,
    /// Each connection connects, makes one request and closes, over and over. Latency counts from the connect.
    Churn {
        /// Between a close and the next connect.
        think: Duration,
    },
}

/// When the requests of an open loop come due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrivals {
    /// Evenly spaced.
    Fixed,
    /// As a Poisson process: the time between two is exponentially distributed.
    Poisson,
}

/// What is spoken on the connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// brink's frame.
    Frame,
    /// HTTP/1.1.
    Http(HttpRequest),
    /// Fixed bytes out, fixed bytes back.
    Bytes {
        /// What is sent. Not empty.
        send: Vec<u8>,
        /// What must come back. Not empty.
        expect: Vec<u8>,
    },
}

/// The request of an HTTP load, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// Request line and headers, up to and with the empty line. Its Content-Length is `payload_bytes` where it has
    /// a body.
    pub head: Vec<u8>,
    /// The same for the echo that verifies a connection, which asks for no wait and no work.
    pub verify_head: Vec<u8>,
    /// Whether the payload follows the head.
    pub has_body: bool,
    /// Whether the reply's body must be that of the request.
    pub echoes: bool,
    /// Whether it is a HEAD, whose reply has no body.
    pub is_head: bool,
}

/// How connections are closed at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Close {
    /// By RST: nothing stays behind.
    Rst,
    /// By FIN: this end keeps a TIME_WAIT socket per connection for a minute.
    Fin,
}

/// One run of load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoadOptions {
    /// Where the target echoes.
    pub target: SocketAddr,
    /// How many connections, over all workers. At least 1.
    pub connections: u64,
    /// What they do.
    pub workload: Workload,
    /// What is spoken on them.
    pub protocol: Protocol,
    /// Requests sent in all, over all workers, from the window's begin on. `None`: as many as the window takes. The
    /// run then ends with the last reply, or with the window, whichever is first. At least 1 for a burst.
    pub requests: Option<u64>,
    /// Of random arrivals.
    pub seed: u64,
    /// Payload of each frame, verifying echoes included. At most 1 MiB.
    pub payload_bytes: u32,
    /// Wait asked with each request. `None`: the target's own.
    pub delay: Option<Duration>,
    /// The target's own wait where it is known and always the same. Only used, when `delay` is `None`, as what
    /// `delay_error` compares with.
    pub delay_asked: Option<Duration>,
    /// CPU work asked with each request, in microseconds. `None`: the target's own.
    pub work_us: Option<u32>,
    /// Threads, where the engine takes a number of them. At least 1.
    pub threads: u32,
    /// How long a worker of the engine `mio` that has nothing to do asks the kernel again and again before it sleeps, and
    /// how long before something is due it begins to. Zero: it sleeps at once. The others always do.
    pub busy_poll: Duration,
    /// Connection attempts per second over all workers. `None`: as fast as `connect_window` lets them.
    pub connect_rate_per_s: Option<f64>,
    /// Connects and their verifying echoes under way at once, over all workers; at least one per worker.
    pub connect_window: u32,
    /// Connections from which on they are opened one at a time by each worker, to find an edge. `None`: never.
    pub fine_from: Option<u64>,
    /// When to stop trying.
    pub give_up: GiveUp,
    /// Whether the workload runs although not all connections opened.
    pub works_when_short: bool,
    /// Source addresses, taken in turn. Empty: the kernel chooses.
    pub sources: Vec<IpAddr>,
    /// Load before the window; its requests are not samples.
    pub warmup: Duration,
    /// Length of the window.
    pub duration: Duration,
    /// How long a connect, a verifying echo or a reply may take, on top of the delay that is expected. What
    /// takes longer has failed and its connection is closed, also when the answer comes before the silence is
    /// noticed: late by an eighth of this and a few milliseconds, more with more than 16,384 connections per
    /// worker and a timeout of a few milliseconds.
    pub timeout: Duration,
    /// The longest wait of the target that is expected.
    pub delay_expected_max: Duration,
    /// The mean wait of the target that is expected: first requests are spread over it.
    pub delay_expected_mean: Duration,
    /// How connections are closed.
    pub close: Close,
    /// Counts of connections to pause at on the way up. Ascending; the last is `connections`.
    pub plateaus: Vec<u64>,
    /// Identity of the first connection; connection i of this run is this plus i. Goes, with its low 32 bits,
    /// into the sequence numbers, and moves the first local port, so that several clients differ.
    pub first_connection_id: u64,
}

/// When a worker stops trying to open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveUp {
    /// After this many failures of one kind (phase and errno) in a row. At least 1.
    pub failures: u32,
    /// After this many in a row of those that take long to fail: nobody answered in time. At least 1.
    pub timeouts: u32,
    /// After this many connects in all that took [`SLOW`](crate::samples::SLOW) or longer. `None`: never.
    pub slow: Option<u32>,
}

impl Default for GiveUp {
    /// What is refused a hundred times running is refused, and a machine out of descriptors must not be hammered.
    fn default() -> Self {
        Self { failures: 100, timeouts: 100, slow: None }
    }
}

impl LoadOptions {
    /// Checks what the type cannot say.
    ///
    /// # Errors
    /// `InvalidInput`, naming the field and what is allowed.
    pub fn check(&self) -> io::Result<()> {
        let ascending = self.plateaus.windows(2).all(|pair| pair[0] < pair[1]);
        let family = self.sources.iter().all(|source| source.is_ipv4() == self.target.is_ipv4());
        let delay_max = Duration::from_nanos(DELAY_NS_MAX);
        let rules = [
            (self.connections >= 1, "connections: at least 1"),
            (self.connections <= u64::from(u32::MAX), "connections: at most 4,294,967,295 in one run"),
            (self.threads >= 1, "threads: at least 1"),
            (self.connect_window >= 1, "connect_window: at least 1"),
            (self.give_up.failures.min(self.give_up.timeouts) >= 1, "give_up: at least 1 failure"),
            (self.payload_bytes as usize <= PAYLOAD_LEN_MAX, "payload_bytes: at most 1 MiB"),
            (
                self.connect_rate_per_s.is_none_or(|rate| rate.is_finite() && rate > 0.0),
                "connect_rate_per_s: above 0",
            ),
            (self.delay.is_none_or(|delay| delay <= delay_max), "delay: at most 1h"),
            (self.work_us.is_none_or(|work| work <= WORK_US_MAX), "work_us: at most one minute"),
            (!self.timeout.is_zero(), "timeout: above 0"),
            (self.heartbeat_is_positive(), "heartbeat: above 0"),
            (self.rate_is_positive(), "rate_per_s: above 0"),
            (self.requests != Some(0), "requests: at least 1"),
            (self.workload != Workload::Burst || self.requests.is_some(), "requests: a burst needs a number"),
            (self.bytes_are_there(), "protocol: bytes to send and to expect"),
            (ascending && self.plateaus.first() != Some(&0), "plateaus: ascending, from 1 on"),
            (self.plateaus.last() == Some(&self.connections), "plateaus: the last one is `connections`"),
            (family, "sources: of the same address family as the target"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(io::Error::new(io::ErrorKind::InvalidInput, *rule)),
            None => Ok(()),
        }
    }

    /// The wait that each request is known to ask for, if it is known.
    #[must_use]
    pub fn delay_known(&self) -> Option<Duration> {
        self.delay.or(self.delay_asked)
    }

    /// How long the reply to a request of the workload may take.
    #[must_use]
    pub fn reply_timeout(&self) -> Duration {
        self.timeout.saturating_add(self.delay_expected_max.max(self.delay.unwrap_or(Duration::ZERO)))
    }

    /// Whether a connection is closed after each request and made again for the next.
    #[must_use]
    pub fn churns(&self) -> bool {
        matches!(self.workload, Workload::Churn { .. })
    }

    /// Whether a connection is made again for the next request that the server closes in good order, and a while
    /// after it was lost in any other way: HTTP servers close when they like (RFC 9112, section 9), and only a hold is
    /// about the connections themselves.
    #[must_use]
    pub fn reopens(&self) -> bool {
        let holds = matches!(self.workload, Workload::Hold { .. });
        !holds && (self.churns() || matches!(self.protocol, Protocol::Http(_)))
    }

    fn rate_is_positive(&self) -> bool {
        !matches!(self.workload, Workload::Open { rate_per_s, .. } if !(rate_per_s.is_finite() && rate_per_s > 0.0))
    }

    fn bytes_are_there(&self) -> bool {
        !matches!(&self.protocol, Protocol::Bytes { send, expect } if send.is_empty() || expect.is_empty())
    }

    fn heartbeat_is_positive(&self) -> bool {
        !matches!(self.workload, Workload::Hold { heartbeat: Some(Duration::ZERO) })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn options(connections: u64) -> LoadOptions {
        LoadOptions {
            target: SocketAddr::from(([127, 0, 0, 1], 1)),
            connections,
            workload: Workload::Hold { heartbeat: None },
            protocol: Protocol::Frame,
            requests: None,
            seed: 1,
            payload_bytes: 64,
            delay: None,
            delay_asked: None,
            work_us: None,
            threads: 1,
            busy_poll: Duration::ZERO,
            connect_rate_per_s: None,
            connect_window: 16,
            fine_from: None,
            give_up: GiveUp::default(),
            works_when_short: true,
            sources: Vec::new(),
            warmup: Duration::ZERO,
            duration: Duration::ZERO,
            timeout: Duration::from_secs(5),
            delay_expected_max: Duration::ZERO,
            delay_expected_mean: Duration::ZERO,
            close: Close::Rst,
            plateaus: vec![connections],
            first_connection_id: 0,
        }
    }

    #[test]
    fn refuses_each_wrong_value_by_name() {
        assert!(options(10).check().is_ok());
        type Change = fn(&mut LoadOptions);
        let open = |rate_per_s| Workload::Open { rate_per_s, arrivals: Arrivals::Fixed };
        assert!(LoadOptions { workload: open(0.5), ..options(1) }.check().is_ok());
        let wrong: [(&str, Change); 13] = [
            ("connections", |o| o.connections = 0),
            ("threads", |o| o.threads = 0),
            ("connect_window", |o| o.connect_window = 0),
            ("payload_bytes", |o| o.payload_bytes = (1 << 20) + 1),
            ("connect_rate_per_s", |o| o.connect_rate_per_s = Some(0.0)),
            ("timeout", |o| o.timeout = Duration::ZERO),
            ("heartbeat", |o| o.workload = Workload::Hold { heartbeat: Some(Duration::ZERO) }),
            ("rate_per_s", |o| o.workload = Workload::Open { rate_per_s: 0.0, arrivals: Arrivals::Fixed }),
            ("requests: at least", |o| o.requests = Some(0)),
            ("requests: a burst", |o| o.workload = Workload::Burst),
            ("protocol", |o| o.protocol = Protocol::Bytes { send: vec![1], expect: Vec::new() }),
            ("plateaus", |o| o.plateaus = vec![5, 3, 10]),
            ("sources", |o| o.sources = vec![IpAddr::from([0_u16; 8])]),
        ];
        for (name, change) in wrong {
            let mut wrong = options(10);
            change(&mut wrong);
            assert!(wrong.check().unwrap_err().to_string().starts_with(name), "{name}");
        }
    }

    #[test]
    fn a_reply_may_take_the_delay_and_the_timeout() {
        let asked = LoadOptions { delay: Some(Duration::from_secs(2)), ..options(1) };
        assert_eq!(asked.reply_timeout(), Duration::from_secs(7));
        assert_eq!(asked.delay_known(), Some(Duration::from_secs(2)));
    }
}

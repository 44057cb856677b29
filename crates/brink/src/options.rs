//! From a resolved case and its target to what the client is asked to do. Pure.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use brink_client::{GiveUp, HttpRequest, LoadOptions};
use brink_results::case::{Arrivals, Case, Close, LoadCase, Protocol, Workload};
use brink_wire::control::Info;
use brink_wire::delay::Delay;
use brink_wire::escape::parse_escaped;
use brink_wire::http_reply::{DELAY_HEADER, WORK_HEADER};

/// What the client is asked to do. `info`: what the target says of itself.
///
/// # Errors
/// A line, if the case holds bytes that nobody could have planned.
pub fn of_case(case: &Case, target: SocketAddr, info: Option<&Info>) -> Result<LoadOptions, String> {
    let load = &case.load;
    let own_delay = info.map(|info| info.delay);
    let of_path = case.delay_of_path_ns().map(Duration::from_nanos);
    let asked = load.delay_ns.map(Duration::from_nanos);
    let fixed = own_delay.filter(|delay| delay.mean() == delay.max()).map(|delay| delay.max());
    let of =
        |pick: fn(Delay) -> Duration| of_path.or(asked).or(own_delay.map(pick)).unwrap_or(Duration::ZERO);
    Ok(LoadOptions {
        target,
        connections: load.connections,
        workload: workload(load.workload),
        protocol: protocol(load, info.is_some())?,
        requests: load.requests,
        seed: load.seed,
        payload_bytes: load.payload_bytes,
        delay: asked.filter(|_| of_path.is_none()),
        delay_asked: of_path.or(fixed),
        work_us: load.work_us,
        threads: load.threads,
        busy_poll: Duration::from_nanos(load.busy_poll_ns.unwrap_or(0)),
        connect_rate_per_s: load.connect_rate_per_s,
        connect_window: load.connect_window,
        fine_from: None,
        give_up: GiveUp::default(),
        works_when_short: true,
        sources: load.source_ips.clone(),
        warmup: Duration::from_nanos(load.warmup_ns),
        duration: Duration::from_nanos(load.duration_ns),
        timeout: Duration::from_nanos(load.timeout_ns),
        delay_expected_max: of(|delay| delay.max()),
        delay_expected_mean: of(|delay| delay.mean()),
        close: match load.close {
            Close::Rst => brink_client::Close::Rst,
            Close::Fin => brink_client::Close::Fin,
        },
        plateaus: load.plateaus.clone(),
        first_connection_id: 0,
    })
}

fn workload(workload: Workload) -> brink_client::Workload {
    match workload {
        Workload::Hold { heartbeat_ns } => {
            brink_client::Workload::Hold { heartbeat: heartbeat_ns.map(Duration::from_nanos) }
        }
        Workload::Closed { think_ns } => {
            brink_client::Workload::Closed { think: Duration::from_nanos(think_ns) }
        }
        Workload::Open { rate_per_s, arrivals } => brink_client::Workload::Open {
            rate_per_s,
            arrivals: match arrivals {
                Arrivals::Fixed => brink_client::Arrivals::Fixed,
                Arrivals::Poisson => brink_client::Arrivals::Poisson,
            },
        },
        Workload::Burst => brink_client::Workload::Burst,
        Workload::Churn { think_ns } => {
            brink_client::Workload::Churn { think: Duration::from_nanos(think_ns) }
        }
    }
}

fn protocol(load: &LoadCase, is_brink: bool) -> Result<brink_client::Protocol, String> {
    Ok(match &load.protocol {
        Protocol::Frame => brink_client::Protocol::Frame,
        Protocol::Bytes { send, expect } => {
            brink_client::Protocol::Bytes { send: parse_escaped(send)?, expect: parse_escaped(expect)? }
        }
        Protocol::Http { method, body, echoes, .. } => {
            let asks = [(DELAY_HEADER, load.delay_ns), (WORK_HEADER, load.work_us.map(u64::from))];
            // The echo that verifies a connection asks a brink target for no wait and no work; another server has
            // not asked for any of these headers.
            let verifies = asks.map(|(name, asked)| (name, asked.is_some() || is_brink));
            let asks = asks.into_iter().filter_map(|(name, asked)| Some((name, asked?)));
            let verifies = verifies.into_iter().filter_map(|(name, said)| said.then_some((name, 0)));
            brink_client::Protocol::Http(HttpRequest {
                head: head(load, asks),
                verify_head: head(load, verifies),
                has_body: *body,
                echoes: *echoes,
                is_head: method == "HEAD",
            })
        }
    })
}

/// Request line and headers, with the empty line. Connections of HTTP/1.1 are kept alive without being asked to.
fn head<'a>(load: &LoadCase, asks: impl Iterator<Item = (&'a str, u64)>) -> Vec<u8> {
    let Protocol::Http { method, path, host, headers, body, .. } = &load.protocol else { return Vec::new() };
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a String cannot fail.
        let _written = write!(text, "{name}: {value}\r\n");
    };
    let named = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if !named("user-agent") {
        line("User-Agent", &concat!("brink/", env!("CARGO_PKG_VERSION")));
    }
    if !named("accept") {
        line("Accept", &"*/*");
    }
    for (name, value) in headers {
        line(name, value);
    }
    for (name, value) in asks {
        line(name, &value);
    }
    if *body {
        line("Content-Length", &load.payload_bytes);
    }
    text.push_str("\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{self, Machine};
    use crate::sweep_file;

    fn options(target: &str, load: &str) -> LoadOptions {
        let text = format!("name = \"x\"\n[[target]]\n{target}\n[load]\nconnections = 5\n{load}");
        let machine = Machine { cpus_allowed: vec![0, 1], ports: None, limits: Vec::new() };
        let case = plan::sweep(&sweep_file::parse(&text).unwrap(), &machine).unwrap().remove(0);
        of_case(&case, SocketAddr::from(([127, 0, 0, 1], 9)), None).unwrap()
    }

    fn head_of(options: &LoadOptions) -> (String, String) {
        let brink_client::Protocol::Http(http) = &options.protocol else { panic!("not HTTP") };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&http.head), text(&http.verify_head))
    }

    #[test]
    fn an_http_request_is_written_once() {
        let web = options("address = \"http://a:81/x?y\"\nheader = [\"X-A: b\"]", "");
        let (head, verify) = head_of(&web);
        let agent = concat!("User-Agent: brink/", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            head,
            format!("GET /x?y HTTP/1.1\r\nHost: a:81\r\n{agent}\r\nAccept: */*\r\nX-A: b\r\n\r\n")
        );
        assert_eq!(head, verify);
        let own = options("model = \"hyper\"", "delay = \"1ms\"\npayload = 7");
        let (head, verify) = head_of(&own);
        assert!(head.starts_with("POST /echo HTTP/1.1\r\n"), "{head}");
        assert!(head.ends_with("brink-delay-ns: 1000000\r\nContent-Length: 7\r\n\r\n"), "{head}");
        assert!(verify.contains("brink-delay-ns: 0\r\n"), "{verify}");
    }

    #[test]
    fn fixed_bytes_are_unescaped() {
        let redis = options("address = \"127.0.0.1:1\"\nsend = 'PING\\r\\n'\nexpect = '+PONG\\r\\n'", "");
        let expected =
            brink_client::Protocol::Bytes { send: b"PING\r\n".to_vec(), expect: b"+PONG\r\n".to_vec() };
        assert_eq!((redis.protocol, redis.payload_bytes), (expected, 0));
    }
}

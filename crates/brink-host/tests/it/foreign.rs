//! A server that says nothing when it has no more descriptors, found by its address and named by its pid.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use brink_host::classify::{Confidence, Inference, Observation, TargetState, classify};
use brink_host::connections::{accept_queue, listener_pids};
use brink_host::limits::{self, End};

const ROLE: &str = "BRINK_TEST_FOREIGN";

/// Accepts what it can and says when that ends, as asyncio does in its log; the rest stays in the queue.
#[test]
fn serves() {
    let Ok(connections) = std::env::var(ROLE) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Not by println!, which the test harness may keep to itself.
    let mut said = std::io::stderr();
    writeln!(said, "{}", listener.local_addr().unwrap()).unwrap();
    let mut held = Vec::new();
    let wanted: usize = connections.parse().unwrap();
    while held.len() < wanted {
        match listener.accept() {
            Ok((stream, _)) => held.push(stream),
            Err(error) => {
                writeln!(said, "{}", brink_host::errno::name(&error)).unwrap();
                break;
            }
        }
    }
    if held.len() == wanted {
        writeln!(said, "all").unwrap();
    }
    let _until_closed = std::io::stdin().read_line(&mut String::new());
}

/// The server in a process of its own, with as many descriptors as told, and connections to it.
struct Server {
    child: Child,
    address: SocketAddr,
    /// What it said when it took no more.
    ended: String,
    connections: Vec<TcpStream>,
}

impl Server {
    fn start(descriptors: u32, connections: usize) -> Self {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -n {descriptors} && exec \"$0\" --exact foreign::serves --nocapture"))
            .arg(std::env::current_exe().unwrap())
            .env(ROLE, connections.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address: SocketAddr = lines.next().unwrap().unwrap().parse().unwrap();
        let connections = (0..connections).map(|_| TcpStream::connect(address).unwrap()).collect();
        let ended = lines.next().unwrap().unwrap();
        Self { child, address, ended, connections }
    }

    /// What a client that waits for an answer would be told.
    fn inference(&self) -> Option<Inference> {
        let found = listener_pids(self.address).ok()?;
        assert_eq!((&found.pids[..], found.top), (&[self.child.id()][..], Some(self.child.id())));
        let pid = found.top?;
        let observation = Observation {
            connections_wanted: Some(200),
            target: TargetState {
                pid: Some(pid),
                accept_queue: accept_queue(pid, self.address),
                ..TargetState::default()
            },
            ..Observation::new(End::Client, "verify", "timeout", self.connections.len() as u64)
        };
        Some(classify(&observation, &limits::read(pid), None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}

#[test]
fn stuck_at_the_servers_ulimit() {
    let server = Server::start(60, 80);
    assert_eq!(server.ended, "EMFILE");
    let Some(got) = server.inference() else {
        eprintln!("skipped: who listens where may not be seen here");
        return;
    };
    assert_eq!((got.limit, got.limit_value), (Some("rlimit.nofile"), Some(60)), "{:#?}", got.evidence);
    assert_eq!(got.confidence, Confidence::Confirmed, "{:#?}", got.evidence);
}

#[test]
fn a_server_with_room_is_not_blamed() {
    let server = Server::start(200, 80);
    assert_eq!(server.ended, "all");
    let named = server.inference().and_then(|got| got.limit);
    assert_eq!(named, None);
}

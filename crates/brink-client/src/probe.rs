//! One blocking connection and one exchange: is there a target, and does it speak what we do?
//!
//! Must not be used for measuring: it sends once, from a thread that may be scheduled late.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use brink_wire::frame::HEADER_LEN;
use brink_wire::value::format_duration;

use crate::options::{LoadOptions, Protocol};
use crate::protocol::{Asked, Decoder, Fed, Kind, Reply, Script};

/// A target that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// It filled in how long it waited, as only a brink target does.
    pub answers_as_brink: bool,
    /// HTTP status.
    pub status: Option<u16>,
    /// From the send to the full reply.
    pub rtt: Duration,
}

/// Why there is no target to put load on. Displays as one line with the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeError {
    /// Nothing listens there.
    Refused(SocketAddr),
    /// connect(2) failed otherwise, by errno.
    ConnectFailed(SocketAddr, String),
    /// It closes or resets the connection before it answers.
    ClosedAtOnce(SocketAddr),
    /// It answers with other bytes than were expected.
    Unexpected {
        /// Where.
        address: SocketAddr,
        /// What differs, and what was expected.
        detail: String,
    },
    /// Nothing came in time: no connection, or no (full) reply.
    Timeout {
        /// Where.
        address: SocketAddr,
        /// What did not come: `connection` or `reply`.
        awaited: &'static str,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// Something on this side failed, by errno.
    Other(SocketAddr, String),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(address) => write!(f, "{address}: connection refused: nothing listens there"),
            Self::ConnectFailed(address, errno) => write!(f, "{address}: cannot connect ({errno})"),
            Self::ClosedAtOnce(address) => write!(f, "{address}: closes the connection before it answers"),
            Self::Unexpected { address, detail } => write!(f, "{address}: answers, but {detail}"),
            Self::Timeout { address, awaited, timeout } => {
                write!(f, "{address}: no {awaited} within {}", format_duration(*timeout))
            }
            Self::Other(address, errno) => write!(f, "{address}: cannot probe ({errno})"),
        }
    }
}

impl std::error::Error for ProbeError {}

/// Connects and makes one exchange, without delay or work where that can be said. The options' timeout bounds the
/// connect, and again the exchange.
///
/// # Errors
/// [`ProbeError`]; a payload above 1 MiB is refused by a brink target, and so is found out here as that.
pub fn probe(options: &LoadOptions) -> Result<Probe, ProbeError> {
    let (target, timeout) = (options.target, options.timeout);
    let timed_out = |awaited| ProbeError::Timeout { address: target, awaited, timeout };
    let stream = TcpStream::connect_timeout(&target, timeout).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => ProbeError::Refused(target),
        io::ErrorKind::TimedOut => timed_out("connection"),
        _ => ProbeError::ConnectFailed(target, brink_host::errno::name(&error)),
    })?;
    let other = |error: io::Error| ProbeError::Other(target, brink_host::errno::name(&error));
    stream.set_nodelay(true).map_err(other)?;
    stream.set_write_timeout(Some(timeout)).map_err(other)?;
    let script = Script::new(options);
    let asked = Asked { kind: Kind::Verify, sequence: 1 };
    let mut header = [0; HEADER_LEN];
    let (head, body) = script.request(asked, &mut header);
    let request = [head, body].concat();
    let expected: &[u8] = match &options.protocol {
        Protocol::Frame => &request,
        Protocol::Bytes { expect, .. } => expect,
        Protocol::Http(_) => &[],
    };
    let begin = Instant::now();
    let answer = thread::scope(|scope| {
        // Written from a thread of its own: the echo of a large frame comes while it is still being sent. A
        // failure to write shows as a missing reply.
        let (writer, request) = (&stream, &request);
        thread::Builder::new().spawn_scoped(scope, move || {
            let mut writer = writer;
            let _shows_as_no_reply = writer.write_all(request);
        })?;
        let answer = read_reply(&stream, &script, asked, expected, begin + timeout);
        // Ends a writer that is stuck; a socket that is closed already is just as well.
        let _closed = stream.shutdown(Shutdown::Both);
        io::Result::Ok(answer)
    })
    .map_err(other)?;
    match answer {
        Answer::Complete(reply) => Ok(Probe {
            answers_as_brink: reply.waited_ns.is_some(),
            status: reply.status,
            rtt: begin.elapsed(),
        }),
        Answer::Closed => Err(ProbeError::ClosedAtOnce(target)),
        Answer::Unexpected { fault, at } => {
            Err(ProbeError::Unexpected { address: target, detail: detail(&options.protocol, fault, at) })
        }
        Answer::Late => Err(timed_out("reply")),
        Answer::Failed(error) => Err(other(error)),
    }
}

/// What came back.
enum Answer {
    Complete(Reply),
    Closed,
    /// By the name of the failure, and the first byte that differs where bytes are compared.
    Unexpected {
        fault: &'static str,
        at: usize,
    },
    Late,
    Failed(io::Error),
}

/// What was expected, and what came instead.
fn detail(protocol: &Protocol, fault: &str, at: usize) -> String {
    let place = format!("first difference at byte {at}");
    match (protocol, fault) {
        (_, "unexpected_bytes") => "with more bytes than were expected".to_owned(),
        (Protocol::Frame, _) => {
            format!("not with the bytes sent ({place}): not an echo server")
        }
        (Protocol::Http(_), "mismatch") => "not with the body that was sent".to_owned(),
        (Protocol::Http(_), "not_http") => "not in HTTP/1".to_owned(),
        (Protocol::Http(_), "http_head_too_long") => "with a head that is too long".to_owned(),
        (Protocol::Http(_), _) => "with a body that is not delimited as HTTP/1.1 asks".to_owned(),
        (Protocol::Bytes { .. }, _) => format!("not with the bytes expected ({place})"),
    }
}

fn read_reply(
    mut stream: &TcpStream,
    script: &Script,
    asked: Asked,
    expected: &[u8],
    deadline: Instant,
) -> Answer {
    let mut partial: Option<Box<Decoder>> = None;
    let mut buffer = [0; 16 * 1024];
    let mut got = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Answer::Late;
        }
        let len = match stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut buffer)) {
            Ok(0) => {
                return match partial.as_deref_mut().map(|partial| script.closed(partial, asked)) {
                    Some(Ok(Some(reply))) => Answer::Complete(reply),
                    Some(Err(fault)) => Answer::Unexpected { fault, at: got },
                    _ => Answer::Closed,
                };
            }
            Ok(len) => len,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Answer::Late,
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => return Answer::Closed,
                _ => return Answer::Failed(error),
            },
        };
        match script.feed(&mut partial, asked, &buffer[..len]) {
            Ok(Fed::Partial) => got += len,
            Ok(Fed::Complete { consumed, reply }) if consumed == len => return Answer::Complete(reply),
            Ok(Fed::Complete { .. }) => return Answer::Unexpected { fault: "unexpected_bytes", at: got },
            Err(fault) => {
                let left = &expected[got.min(expected.len())..];
                let same = buffer[..len].iter().zip(left).take_while(|(came, sent)| came == sent).count();
                return Answer::Unexpected { fault, at: got + same };
            }
        }
    }
}

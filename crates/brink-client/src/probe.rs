//! One blocking connection and one echo: is there a target, and does it speak our frame?
//!
//! Must not be used for measuring: it sends once, from a thread that may be scheduled late.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use brink_wire::frame::Header;
use brink_wire::payload::Payload;
use brink_wire::reply_decoder::{Expected, Progress, ReplyDecoder, ReplyError};
use brink_wire::value::format_duration;

/// A target that echoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// It filled in how long it waited, as only a brink target does.
    pub answers_as_brink: bool,
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
    /// It closes or resets the connection before it echoes.
    ClosedAtOnce(SocketAddr),
    /// It answers with other bytes.
    NotAnEcho {
        /// Where.
        address: SocketAddr,
        /// What differs.
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
            Self::ClosedAtOnce(address) => write!(f, "{address}: closes the connection before it echoes"),
            Self::NotAnEcho { address, detail } => {
                write!(f, "{address}: answers, but not with the bytes sent ({detail}): not an echo server")
            }
            Self::Timeout { address, awaited, timeout } => {
                write!(f, "{address}: no {awaited} within {}", format_duration(*timeout))
            }
            Self::Other(address, errno) => write!(f, "{address}: cannot probe ({errno})"),
        }
    }
}

impl std::error::Error for ProbeError {}

/// Connects and echoes one frame of `payload_bytes`, without delay or work. `timeout` bounds the connect, and
/// again the echo.
///
/// # Errors
/// [`ProbeError`]; a payload above 1 MiB is refused by a brink target, and so is found out here as that.
pub fn probe(target: SocketAddr, payload_bytes: u32, timeout: Duration) -> Result<Probe, ProbeError> {
    let timed_out = |awaited| ProbeError::Timeout { address: target, awaited, timeout };
    let stream = TcpStream::connect_timeout(&target, timeout).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => ProbeError::Refused(target),
        io::ErrorKind::TimedOut => timed_out("connection"),
        _ => ProbeError::ConnectFailed(target, brink_host::errno::name(&error)),
    })?;
    let other = |error: io::Error| ProbeError::Other(target, brink_host::errno::name(&error));
    stream.set_nodelay(true).map_err(other)?;
    stream.set_write_timeout(Some(timeout)).map_err(other)?;
    let payload = Payload::new(payload_bytes as usize);
    let request =
        Header { payload_len: payload_bytes, work_us: 0, sequence: 1, delay_ns: 0, waited_ns: None };
    let mut frame = request.encode().to_vec();
    frame.extend_from_slice(payload.of(request.sequence));
    let begin = Instant::now();
    let replied = thread::scope(|scope| {
        // Written from a thread of its own: the echo of a large frame comes while it is still being sent. A
        // failure to write shows as a missing reply.
        let (writer, frame) = (&stream, &frame);
        thread::Builder::new().spawn_scoped(scope, move || {
            let mut writer = writer;
            let _shows_as_no_reply = writer.write_all(frame);
        })?;
        let replied = read_reply(&stream, Expected { request, payload: &payload }, frame, begin + timeout);
        // Ends a writer that is stuck; a socket that is closed already is just as well.
        let _closed = stream.shutdown(Shutdown::Both);
        io::Result::Ok(replied)
    })
    .map_err(other)?;
    match replied {
        Reply::Verified { waited_ns } => {
            Ok(Probe { answers_as_brink: waited_ns.is_some(), rtt: begin.elapsed() })
        }
        Reply::Closed => Err(ProbeError::ClosedAtOnce(target)),
        Reply::Differs(detail) => Err(ProbeError::NotAnEcho { address: target, detail }),
        Reply::Late => Err(timed_out("reply")),
        Reply::Failed(error) => Err(other(error)),
    }
}

enum Reply {
    Verified { waited_ns: Option<u64> },
    Closed,
    Differs(String),
    Late,
    Failed(io::Error),
}

fn read_reply(mut stream: &TcpStream, expected: Expected<'_>, sent: &[u8], deadline: Instant) -> Reply {
    let mut decoder = ReplyDecoder::default();
    let mut buffer = [0; 16 * 1024];
    let mut got = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Reply::Late;
        }
        let len = match stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut buffer)) {
            Ok(0) => return Reply::Closed,
            Ok(len) => len,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Reply::Late,
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => return Reply::Closed,
                _ => return Reply::Failed(error),
            },
        };
        match decoder.feed(&buffer[..len], expected) {
            Ok(Progress::Partial) => got += len,
            Ok(Progress::Complete { consumed, waited_ns }) if consumed == len => {
                return Reply::Verified { waited_ns };
            }
            Ok(Progress::Complete { .. }) => return Reply::Differs("more bytes than were sent".to_owned()),
            Err(ReplyError::Mismatch { at }) => {
                return Reply::Differs(format!("first difference at byte {at}"));
            }
            Err(ReplyError::Frame(_)) => {
                let sent = &sent[got.min(sent.len())..];
                let same = buffer[..len].iter().zip(sent).take_while(|(came, sent)| came == sent).count();
                return Reply::Differs(format!("first difference at byte {}", got + same));
            }
        }
    }
}

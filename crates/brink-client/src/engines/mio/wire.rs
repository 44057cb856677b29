//! Sends requests and checks replies on a worker's connections, through buffers that all of them share.
//!
//! Must not decide what follows a reply or a loss, and must not read a clock.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::TcpStream;

use brink_wire::frame::HEADER_LEN;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::connection::Connection;
use crate::options::LoadOptions;
use crate::protocol::{Asked, Fed, Kind, Reply, Script};

/// One read takes at most this much: a worker's only receive buffer.
const READ_BYTES: usize = 64 * 1024;
/// Requests up to this size are put together and sent as one piece; larger ones go out in two.
const COMPOSE_BYTES: usize = 16 * 1024;

/// A worker's buffers, and what it says.
#[derive(Debug)]
pub(super) struct Wire {
    read_buffer: Box<[u8]>,
    compose_buffer: Vec<u8>,
    script: Script,
    verify_len: usize,
    work_len: usize,
    known: Known,
}

/// The reply that came last, where the next one may be the same to the byte, as those of most HTTP servers are within a
/// second: then it need not be taken apart.
#[derive(Debug, Default)]
struct Known {
    bytes: Vec<u8>,
    reply: Reply,
}

/// Replies up to this size are known again.
const KNOWN_BYTES_MAX: usize = 1024;

impl Known {
    /// What these bytes are, if they are those that came last.
    fn reply(&self, bytes: &[u8]) -> Option<Reply> {
        (!bytes.is_empty() && self.bytes == bytes).then_some(self.reply)
    }

    /// These came in one piece, and are a whole reply.
    fn note(&mut self, bytes: &[u8], reply: Reply) {
        if bytes.len() <= KNOWN_BYTES_MAX {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
            self.reply = reply;
        }
    }
}

/// What reading led to. Both can be: a reply, and then the end.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The reply is complete and as expected.
    pub(super) replied: Option<Reply>,
    /// The connection is of no more use, and why: an errno by name or a name of our own.
    pub(super) lost: Option<String>,
}

/// What [`Received::lost`] says where the peer sent its FIN.
pub(super) const CLOSED: &str = "closed";
/// What it says where bytes came that nothing asked for.
pub(super) const UNEXPECTED: &str = "unexpected_bytes";

impl Wire {
    pub(super) fn new(options: &LoadOptions) -> Self {
        let script = Script::new(options);
        let (verify_len, work_len) = (script.request_len(Kind::Verify), script.request_len(Kind::Work));
        Self {
            read_buffer: vec![0; READ_BYTES].into_boxed_slice(),
            compose_buffer: Vec::with_capacity(verify_len.max(work_len).min(COMPOSE_BYTES)),
            script,
            verify_len,
            work_len,
            known: Known { bytes: Vec::with_capacity(KNOWN_BYTES_MAX), ..Known::default() },
        }
    }

    fn request_len(&self, kind: Kind) -> usize {
        match kind {
            Kind::Verify => self.verify_len,
            Kind::Work => self.work_len,
        }
    }

    /// Whether all of the request under way was written.
    pub(super) fn is_sent(&self, connection: &Connection) -> bool {
        connection.written as usize == self.request_len(connection.state.kind())
    }

    /// Writes as much of the request under way as the socket takes. The rest goes out when it is writable again.
    pub(super) fn send(&mut self, connection: &mut Connection, id: u64) -> io::Result<()> {
        let len = self.request_len(connection.state.kind());
        let mut header = [0; HEADER_LEN];
        let (head, body) = self.script.request(asked(connection, id), &mut header);
        let Some(mut socket) = connection.socket.as_ref() else {
            return Err(ErrorKind::NotConnected.into());
        };
        while (connection.written as usize) < len {
            let written = connection.written as usize;
            let result = if body.is_empty() {
                write(socket, &head[written..])
            } else if written == 0 && len <= COMPOSE_BYTES {
                self.compose_buffer.clear();
                self.compose_buffer.extend_from_slice(head);
                self.compose_buffer.extend_from_slice(body);
                write(socket, &self.compose_buffer)
            } else {
                let begin = IoSlice::new(&head[written.min(head.len())..]);
                let rest = IoSlice::new(&body[written.saturating_sub(head.len())..]);
                socket.write_vectored(&[begin, rest])
            };
            match result {
                Ok(len) => connection.written += len as u32,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what there is. A read that does not fill the buffer has drained the socket (epoll(7), questions and
    /// answers, 9), so that no second one is needed to hear EAGAIN; only where the kernel already said that the
    /// peer `closed` is the end read for.
    pub(super) fn receive(&mut self, connection: &mut Connection, id: u64, closed: bool) -> Received {
        let mut received = Received::default();
        loop {
            let Some(socket) = connection.socket.as_ref() else { return received };
            let len = match recv(socket, &mut self.read_buffer[..], RecvFlags::empty()) {
                Ok((0, _)) => return self.ended(connection, id, received),
                Ok((len, _)) => len,
                Err(Errno::AGAIN) => return received,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    received.lost = Some(brink_host::errno::name(&error.into()));
                    return received;
                }
            };
            if received.replied.is_some() || !connection.state.awaits_reply() {
                received.lost = Some(UNEXPECTED.to_owned());
                return received;
            }
            received = self.check(connection, id, len);
            if received.lost.is_some() {
                return received;
            }
            if len < self.read_buffer.len() && !closed {
                return received;
            }
        }
    }

    /// The peer sent its FIN: the end of the connection, and of a reply that nothing else ends.
    fn ended(&mut self, connection: &mut Connection, id: u64, mut received: Received) -> Received {
        let request = asked(connection, id);
        let partial = connection.partial.as_deref_mut().filter(|_| received.replied.is_none());
        match partial.map(|partial| self.script.closed(partial, request)) {
            Some(Ok(Some(reply))) if self.is_sent(connection) || self.script.may_come_early(&reply) => {
                connection.partial = None;
                received.replied = Some(reply);
            }
            Some(Err(fault)) => received.lost = Some(fault.to_owned()),
            _ => received.lost = Some(CLOSED.to_owned()),
        }
        received
    }

    /// Checks the first `len` bytes of the read buffer as the next of the reply.
    fn check(&mut self, connection: &mut Connection, id: u64, len: usize) -> Received {
        let may_be_known = connection.partial.is_none() && self.script.repeats() && self.is_sent(connection);
        if may_be_known && let Some(reply) = self.known.reply(&self.read_buffer[..len]) {
            return Received { replied: Some(reply), lost: None };
        }
        let request = asked(connection, id);
        let fed = self.script.feed(&mut connection.partial, request, &self.read_buffer[..len]);
        if let Ok(Fed::Complete { consumed, reply }) = fed
            && may_be_known
            && consumed == len
        {
            self.known.note(&self.read_buffer[..len], reply);
        }
        let (replied, lost) = match fed {
            Ok(Fed::Partial) => (None, None),
            Ok(Fed::Complete { reply, .. })
                if !self.is_sent(connection) && !self.script.may_come_early(&reply) =>
            {
                (None, Some(UNEXPECTED))
            }
            Ok(Fed::Complete { consumed, mut reply }) => {
                connection.partial = None;
                // What is left of a request that was answered early cannot be told from the next one.
                reply.close |= !self.is_sent(connection);
                (Some(reply), (consumed < len).then_some(UNEXPECTED))
            }
            Err(fault) => (None, Some(fault)),
        };
        Received { replied, lost: lost.map(str::to_owned) }
    }
}

/// write(2) by itself: the C library's is a cancellation point (pthreads(7)), which takes more of a short message than
/// composing it does.
fn write(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(socket, bytes, SendFlags::NOSIGNAL)?)
}

/// The request that a connection has under way. The identity's low 32 bits go above its count of requests.
fn asked(connection: &Connection, id: u64) -> Asked {
    Asked { kind: connection.state.kind(), sequence: (id << 32) | u64::from(connection.requests) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_known_again_only_if_every_byte_is_the_same() {
        let reply = Reply { status: Some(200), ..Reply::default() };
        let mut known = Known::default();
        assert_eq!(known.reply(b""), None);
        known.note(b"HTTP/1.1 200 OK", reply);
        assert_eq!(known.reply(b"HTTP/1.1 200 OK"), Some(reply));
        assert_eq!((known.reply(b"HTTP/1.1 200 OK\r"), known.reply(b"HTTP/1.1 500 OK")), (None, None));
        known.note(&[7; KNOWN_BYTES_MAX + 1], Reply::default());
        assert_eq!(known.reply(b"HTTP/1.1 200 OK"), Some(reply), "too long to be kept");
    }
}

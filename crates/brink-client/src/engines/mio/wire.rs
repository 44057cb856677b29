//! Sends frames and checks replies on a worker's connections, through buffers that all of them share.
//!
//! Must not decide what follows a reply or a loss, and must not read a clock.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use brink_wire::frame::{DELAY_OF_TARGET, HEADER_LEN, Header, WORK_OF_TARGET};
use brink_wire::payload::Payload;
use brink_wire::reply_decoder::{Expected, Progress, ReplyDecoder, ReplyError};

use super::connection::{Connection, State};
use crate::options::LoadOptions;
use crate::pacing::nanoseconds;

/// One read takes at most this much: a worker's only receive buffer.
const READ_BYTES: usize = 64 * 1024;
/// Frames up to this size are put together and sent as one piece; larger ones go out as header and payload.
const COMPOSE_BYTES: usize = 16 * 1024;

/// A worker's buffers, and what its frames say.
#[derive(Debug)]
pub(super) struct Wire {
    read_buffer: Box<[u8]>,
    compose_buffer: Vec<u8>,
    payload: Payload,
    verify: Header,
    request: Header,
}

/// What reading led to. Both can be: a reply, and then the end.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The reply is complete and verified; inside, the wait that the target says happened.
    pub(super) replied: Option<Option<u64>>,
    /// The connection is of no more use, and why: an errno by name or a name of our own.
    pub(super) lost: Option<String>,
}

impl Wire {
    pub(super) fn new(options: &LoadOptions) -> Self {
        let payload_len = options.payload_bytes;
        Self {
            read_buffer: vec![0; READ_BYTES].into_boxed_slice(),
            compose_buffer: Vec::with_capacity((HEADER_LEN + payload_len as usize).min(COMPOSE_BYTES)),
            payload: Payload::new(payload_len as usize),
            verify: Header { payload_len, work_us: 0, sequence: 0, delay_ns: 0, waited_ns: None },
            request: Header {
                payload_len,
                work_us: options.work_us.unwrap_or(WORK_OF_TARGET),
                sequence: 0,
                delay_ns: options.delay.map_or(DELAY_OF_TARGET, nanoseconds),
                waited_ns: None,
            },
        }
    }

    /// The frame that a connection has under way. The identity's low 32 bits go above its count of frames.
    fn header(&self, connection: &Connection, id: u64) -> Header {
        let template = if connection.state == State::Requested { self.request } else { self.verify };
        Header { sequence: (id << 32) | u64::from(connection.frames), ..template }
    }

    /// Whether all of the frame under way was written.
    pub(super) fn is_sent(&self, connection: &Connection) -> bool {
        connection.written as usize == self.request.frame_len()
    }

    /// Writes as much of the frame under way as the socket takes. The rest goes out when it is writable again.
    pub(super) fn send(&mut self, connection: &mut Connection, id: u64) -> io::Result<()> {
        let header = self.header(connection, id);
        let (frame_len, payload) = (header.frame_len(), self.payload.of(header.sequence));
        let Some(mut socket) = connection.socket.as_ref() else {
            return Err(ErrorKind::NotConnected.into());
        };
        let head = header.encode();
        while (connection.written as usize) < frame_len {
            let written = connection.written as usize;
            let result = if written == 0 && frame_len <= COMPOSE_BYTES {
                self.compose_buffer.clear();
                self.compose_buffer.extend_from_slice(&head);
                self.compose_buffer.extend_from_slice(payload);
                socket.write(&self.compose_buffer)
            } else {
                let head = IoSlice::new(&head[written.min(HEADER_LEN)..]);
                let body = IoSlice::new(&payload[written.saturating_sub(HEADER_LEN)..]);
                socket.write_vectored(&[head, body])
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
            let Some(mut socket) = connection.socket.as_ref() else { return received };
            let len = match socket.read(&mut self.read_buffer) {
                Ok(0) => {
                    received.lost = Some("closed".to_owned());
                    return received;
                }
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return received,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    received.lost = Some(brink_host::errno::name(&error));
                    return received;
                }
            };
            if received.replied.is_some() || !connection.state.awaits_reply() {
                received.lost = Some("unexpected_bytes".to_owned());
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

    /// Checks the first `len` bytes of the read buffer as the next of the reply.
    fn check(&mut self, connection: &mut Connection, id: u64, len: usize) -> Received {
        let expected = Expected { request: self.header(connection, id), payload: &self.payload };
        let bytes = &self.read_buffer[..len];
        let progress = match connection.partial.as_mut() {
            Some(decoder) => decoder.feed(bytes, expected),
            None => {
                let mut decoder = ReplyDecoder::default();
                let progress = decoder.feed(bytes, expected);
                if progress == Ok(Progress::Partial) {
                    connection.partial = Some(Box::new(decoder));
                }
                progress
            }
        };
        let (replied, lost) = match progress {
            Ok(Progress::Partial) => (None, None),
            // Nobody can echo what was not sent yet.
            Ok(Progress::Complete { .. }) if !self.is_sent(connection) => (None, Some("unexpected_bytes")),
            Ok(Progress::Complete { consumed, waited_ns }) => {
                connection.partial = None;
                (Some(waited_ns), (consumed < len).then_some("unexpected_bytes"))
            }
            Err(ReplyError::Frame(_)) => (None, Some("not_a_frame")),
            Err(ReplyError::Mismatch { .. }) => (None, Some("mismatch")),
        };
        Received { replied, lost: lost.map(str::to_owned) }
    }
}

//! One exchange on one connection: a request goes out, its reply comes back and is checked.
//!
//! Must not decide what follows.

use std::io::{self, ErrorKind, IoSlice};

use brink_wire::frame::HEADER_LEN;

use super::connection::Connection;
use super::wait::{Interest, Signal, Wait, Woken};
use super::{Fault, Lane};
use crate::protocol::{Asked, Fed, Kind, Reply, Script};

/// One read takes this much at first: what a frame with a small payload needs. It is on the stack, which a thread
/// per connection pays for by the page.
const ROOM_BYTES: usize = 2 * 1024;
/// Where that was filled, more is read at once.
const ROOM_LARGE_BYTES: usize = 16 * 1024;

/// A reply that came in time.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// When it was complete.
    pub(super) now_ns: u64,
    /// Whether bytes followed that nothing asked for.
    pub(super) is_followed: bool,
}

impl<W: Wait> Lane<W> {
    /// Makes one exchange, which may take `timeout_ns`.
    pub(super) async fn exchange(
        &mut self,
        slot: usize,
        kind: Kind,
        timeout_ns: u64,
    ) -> Result<Answer, Fault> {
        let until_ns = self.now_ns().saturating_add(timeout_ns);
        let id = self.id(slot);
        let (hub, wait) = (&*self.hub, &self.wait);
        let connection = &mut self.connections[slot];
        connection.requests = connection.requests.wrapping_add(1);
        connection.written = 0;
        let asked = Asked { kind, sequence: (id << 32) | u64::from(connection.requests) };
        let mut is_broken = false;
        loop {
            let is_sent = match send::<W>(connection, &hub.script, asked) {
                Ok(is_sent) => is_sent,
                // What a server said before it closed can still be read.
                Err(error) if !is_broken && is_end(&error) => {
                    is_broken = true;
                    true
                }
                Err(error) => return Err(error.into()),
            };
            let Some(socket) = connection.socket.as_ref() else { return Err(Fault::Lost("closed".into())) };
            let interest = if is_sent { Interest::Read } else { Interest::Both };
            match wait.wait(Some((socket, interest)), Some(until_ns), Signal::Close).await? {
                Woken::Ready => {}
                Woken::Called if hub.is_closing() => return Err(Fault::Closing),
                Woken::Called => continue,
                Woken::Time => return Err(Fault::Lost("timeout".into())),
            }
            if let Some((mut reply, is_followed)) = receive::<W>(connection, &hub.script, asked)? {
                let is_sent = is_sent && !is_broken;
                if !is_sent && !hub.script.may_come_early(&reply) {
                    return Err(Fault::Lost("unexpected_bytes".into()));
                }
                // What is left of a request that was answered early cannot be told from the next one.
                reply.close |= !is_sent;
                let now_ns = hub.stage.now_ns();
                if now_ns > until_ns {
                    return Err(Fault::Lost("timeout".into()));
                }
                return Ok(Answer { reply, now_ns, is_followed });
            }
        }
    }
}

/// Writes what the socket takes; returns whether that was all.
fn send<W: Wait>(connection: &mut Connection<W::Socket>, script: &Script, asked: Asked) -> io::Result<bool> {
    let Some(socket) = connection.socket.as_ref() else { return Err(ErrorKind::NotConnected.into()) };
    let len = script.request_len(asked.kind);
    let mut header = [0; HEADER_LEN];
    let (head, body) = script.request(asked, &mut header);
    while (connection.written as usize) < len {
        let written = connection.written as usize;
        let head_left = IoSlice::new(&head[written.min(head.len())..]);
        let body_left = IoSlice::new(&body[written.saturating_sub(head.len())..]);
        let both = [head_left, body_left];
        let pieces = if body.is_empty() { &both[..1] } else { &both[..] };
        match W::write(socket, pieces) {
            Ok(len) => connection.written += len as u32,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Whether a write failed because the peer has closed.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// What a read led to.
enum Read {
    /// There was nothing, or nothing more.
    Drained,
    /// The room was filled: there may be more.
    Filled,
    /// The reply, and whether bytes followed.
    Complete(Reply, bool),
}

/// Reads what there is of the reply.
fn receive<W: Wait>(
    connection: &mut Connection<W::Socket>,
    script: &Script,
    asked: Asked,
) -> Result<Option<(Reply, bool)>, Fault> {
    let mut read = take::<W>(connection, script, asked, &mut [0; ROOM_BYTES])?;
    if matches!(read, Read::Filled) {
        read = receive_large::<W>(connection, script, asked)?;
    }
    match read {
        Read::Complete(reply, is_followed) => Ok(Some((reply, is_followed))),
        Read::Drained | Read::Filled => Ok(None),
    }
}

/// Apart, so that its stack is only touched where replies are large.
#[inline(never)]
fn receive_large<W: Wait>(
    connection: &mut Connection<W::Socket>,
    script: &Script,
    asked: Asked,
) -> Result<Read, Fault> {
    let mut room = [0; ROOM_LARGE_BYTES];
    loop {
        match take::<W>(connection, script, asked, &mut room)? {
            Read::Filled => {}
            read => return Ok(read),
        }
    }
}

/// One read, checked as the next of the reply.
fn take<W: Wait>(
    connection: &mut Connection<W::Socket>,
    script: &Script,
    asked: Asked,
    room: &mut [u8],
) -> Result<Read, Fault> {
    let Some(socket) = connection.socket.as_ref() else { return Err(Fault::Lost("closed".into())) };
    let len = match W::read(socket, room) {
        Ok(0) => return end(connection, script, asked),
        Ok(len) => len,
        Err(error) if would_block(&error) => return Ok(Read::Drained),
        Err(error) => return Err(error.into()),
    };
    let fed = script.feed(&mut connection.partial, asked, &room[..len]);
    match fed.map_err(|fault| Fault::Lost(fault.into()))? {
        Fed::Partial if len < room.len() => Ok(Read::Drained),
        Fed::Partial => Ok(Read::Filled),
        Fed::Complete { consumed, reply } => {
            connection.partial = None;
            Ok(Read::Complete(reply, consumed < len))
        }
    }
}

/// The peer sent its FIN: the end of the connection, and of a reply that nothing else ends.
fn end<S>(connection: &mut Connection<S>, script: &Script, asked: Asked) -> Result<Read, Fault> {
    let partial = connection.partial.as_deref_mut();
    match partial.map(|partial| script.closed(partial, asked)) {
        Some(Ok(Some(reply))) => {
            connection.partial = None;
            Ok(Read::Complete(reply, false))
        }
        Some(Err(fault)) => Err(Fault::Lost(fault.into())),
        Some(Ok(None)) | None => Err(Fault::Lost("closed".into())),
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

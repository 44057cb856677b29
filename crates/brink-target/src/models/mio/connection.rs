//! One connection of a worker: as small as it can be while idle, and how far it can
//! get with what its socket gives.
//!
//! Edge-triggered, registered once. So a socket is read until a read comes back short,
//! which says that it is drained (epoll(7)); `unread` remembers that it was not, while a
//! request waits or a reply is stuck. Must not know the poll, nor other connections.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use brink_wire::frame::{Scan, reply_in_place, scan};
use brink_wire::frame_buffer::FrameBuffer;

use super::timers::{Timers, now_ns};
use crate::asked::Draws;
use crate::context::Context;

/// Read at once, by all connections of a worker, into one buffer.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Reads of one connection before others get their turn.
const READS_IN_A_ROW: u32 = 16;
/// Storage of finished requests that a worker keeps for the next ones: one of the largest, or
/// some thousand small ones.
const POOL_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a worker's connections share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) context: Arc<Context>,
    pub(super) shard: usize,
    pub(super) timers: Timers,
    draws: Draws,
    scratch: Box<[u8]>,
    pool: Pool,
}

/// What is to become of a connection for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing to do until its socket or its timer says so.
    Keep,
    /// It has more to do, and has had its turn.
    Again,
    /// It is at its end.
    Close,
}

/// A connection. Idle, it is these 16 bytes and nothing else.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// The socket may hold bytes (or the end) that were not read.
    unread: bool,
    /// The client has sent its FIN: a short read does not mean drained, the end is to be read yet.
    ending: bool,
    busy: Option<Box<Busy>>,
}

/// A request or reply that is partly there.
#[derive(Debug, Default)]
struct Busy {
    /// From the first byte of the frame in hand; it never holds more than that frame and one read.
    buffer: FrameBuffer,
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Receiving,
    /// The frame at the front waits for its timer.
    Waiting { id: u32, work_us: u32, begun_ns: u64 },
    /// The frame at the front is a reply, of which this much has been written.
    Writing { written: usize },
}

/// Why a connection got no further.
enum Stuck {
    /// It needs bytes from the socket.
    Hungry,
    /// Its timer or the socket's send buffer must move first.
    Blocked,
    Closed,
}

impl Desk {
    pub(super) fn new(context: Arc<Context>, shard: usize) -> io::Result<Self> {
        Ok(Self {
            context,
            shard,
            timers: Timers::new()?,
            draws: Draws::new(shard as u64),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            pool: Pool::default(),
        })
    }

    fn answered(&self, requests: u64) {
        self.context.counters.answered(self.shard, requests);
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, unread: false, ending: false, busy: None }
    }

    /// The socket has become readable.
    pub(super) fn readable(&mut self, ending: bool) {
        self.unread = true;
        self.ending |= ending;
    }

    /// Whether its wait `id` is still on.
    pub(super) fn waits_for(&self, id: u32) -> bool {
        matches!(&self.busy, Some(busy) if matches!(busy.state, State::Waiting { id: own, .. } if own == id))
    }

    /// Whether any wait is on.
    pub(super) fn waits(&self) -> bool {
        matches!(&self.busy, Some(busy) if matches!(busy.state, State::Waiting { .. }))
    }

    /// Its timer came due: the reply is made. Does nothing if it does not wait.
    pub(super) fn due(&mut self, desk: &Desk) {
        let Some(busy) = &mut self.busy else { return };
        let State::Waiting { work_us, begun_ns, .. } = busy.state else { return };
        let waited_ns = now_ns() - begun_ns;
        let done = desk.context.work.run(work_us, &desk.context.stop);
        if let (true, Ok(Some((_, frame)))) = (done, busy.buffer.frame()) {
            reply_in_place(frame, waited_ns);
            busy.state = State::Writing { written: 0 };
        }
    }

    /// Reads, answers and writes as far as it goes. `key` is what its timer is to be known by.
    pub(super) fn drive(&mut self, desk: &mut Desk, key: u32) -> Fate {
        let mut reads = 0;
        loop {
            if let Some(busy) = &mut self.busy {
                match busy.advance(&self.stream, desk, key) {
                    Stuck::Hungry => {}
                    Stuck::Blocked => return Fate::Keep,
                    Stuck::Closed => return Fate::Close,
                }
                if busy.buffer.is_empty() {
                    desk.pool.put(self.busy.take());
                }
            }
            if !self.unread {
                return Fate::Keep;
            }
            if reads == READS_IN_A_ROW {
                return Fate::Again;
            }
            reads += 1;
            if self.read(desk) == Fate::Close {
                return Fate::Close;
            }
        }
    }

    /// One read: into the frame in hand, or into the shared buffer and straight back.
    fn read(&mut self, desk: &mut Desk) -> Fate {
        let room = match &mut self.busy {
            Some(busy) => busy.buffer.spare(),
            None => &mut desk.scratch[..],
        };
        let (room_len, read) = (room.len(), (&self.stream).read(room));
        let len = match read {
            Ok(0) => return Fate::Close,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unread = false;
                return Fate::Keep;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Fate::Keep,
            Err(error) => {
                desk.context.note("read", &error);
                return Fate::Close;
            }
        };
        self.unread = len == room_len || self.ending;
        match &mut self.busy {
            Some(busy) => {
                busy.buffer.filled(len);
                Fate::Keep
            }
            None => self.echo_straight(desk, len),
        }
    }

    /// Answers what can be answered at once from the shared buffer, in one write; the rest,
    /// from the first frame that must wait or is not whole, gets a buffer of its own.
    fn echo_straight(&mut self, desk: &mut Desk, len: usize) -> Fate {
        let (mut ready, mut frames, mut wrong) = (0, 0, None);
        while ready < len {
            match scan(&desk.scratch[ready..len]) {
                Ok(Scan::Complete { header }) if desk.context.own.at_once(&header) => {
                    reply_in_place(&mut desk.scratch[ready..], 0);
                    ready += header.frame_len();
                    frames += 1;
                }
                Ok(_) => break,
                Err(error) => {
                    wrong = Some(error);
                    break;
                }
            }
        }
        let mut written = 0;
        if ready > 0 {
            match write(&self.stream, &desk.scratch[..ready]) {
                Ok(len) => written = len,
                Err(error) => {
                    desk.context.note("write", &error);
                    return Fate::Close;
                }
            }
        }
        if written == ready {
            desk.answered(frames);
            if let Some(error) = wrong {
                desk.context.counters.frame_error(desk.shard, error);
                return Fate::Close;
            }
        }
        if written < ready || ready < len {
            // Rubbish after a reply that is stuck is found again behind it.
            self.keep_rest(desk, written, ready, len);
        }
        Fate::Keep
    }

    /// Keeps `scratch[written..len]`, of which up to `ready` are replies, from a frame's start on.
    fn keep_rest(&mut self, desk: &mut Desk, written: usize, ready: usize, len: usize) {
        let mut from = ready;
        let mut state = State::Receiving;
        if written < ready {
            // Replies behind the one that is stuck pass as requests that are answered at once,
            // which changes no byte of them; only those before it are counted here.
            let mut done = 0;
            from = 0;
            while let Ok(Scan::Complete { header }) = scan(&desk.scratch[from..ready]) {
                if from + header.frame_len() > written {
                    break;
                }
                from += header.frame_len();
                done += 1;
            }
            desk.answered(done);
            state = State::Writing { written: written - from };
        }
        let mut busy = desk.pool.take();
        busy.state = state;
        let mut rest = &desk.scratch[from..len];
        while !rest.is_empty() {
            let room = busy.buffer.spare();
            let part = rest.len().min(room.len());
            room[..part].copy_from_slice(&rest[..part]);
            busy.buffer.filled(part);
            rest = &rest[part..];
        }
        self.busy = Some(busy);
    }
}

impl Busy {
    /// Writes and answers the frames at hand, one after the other.
    fn advance(&mut self, stream: &TcpStream, desk: &mut Desk, key: u32) -> Stuck {
        loop {
            if let State::Waiting { .. } = self.state {
                return Stuck::Blocked;
            }
            let (header, frame) = match self.buffer.frame() {
                Ok(Some(found)) => found,
                Ok(None) => return Stuck::Hungry,
                Err(error) => {
                    desk.context.counters.frame_error(desk.shard, error);
                    return Stuck::Closed;
                }
            };
            let State::Writing { written } = &mut self.state else {
                let asked = desk.context.own.asked(&header, &mut desk.draws);
                if asked.delay.is_zero() {
                    if !desk.context.work.run(asked.work_us, &desk.context.stop) {
                        return Stuck::Closed;
                    }
                    reply_in_place(frame, 0);
                    self.state = State::Writing { written: 0 };
                } else {
                    let begun_ns = now_ns();
                    let id = desk.timers.start(key, begun_ns, asked.delay);
                    self.state = State::Waiting { id, work_us: asked.work_us, begun_ns };
                }
                continue;
            };
            match write(stream, &frame[*written..]) {
                Ok(len) => *written += len,
                Err(error) => {
                    desk.context.note("write", &error);
                    return Stuck::Closed;
                }
            }
            if *written < frame.len() {
                return Stuck::Blocked;
            }
            self.buffer.consume(header.frame_len());
            self.state = State::Receiving;
            desk.answered(1);
        }
    }
}

/// Writes what the socket takes now, which may be nothing. Less than all means that its send
/// buffer is full, and that it will tell when it is not (epoll(7)).
fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Storage given back by connections that are idle again.
#[derive(Debug, Default)]
struct Pool {
    #[expect(clippy::vec_box, reason = "the box itself goes back and forth between pool and connection")]
    free: Vec<Box<Busy>>,
    bytes: usize,
}

impl Pool {
    fn take(&mut self) -> Box<Busy> {
        let Some(busy) = self.free.pop() else { return Box::default() };
        self.bytes -= cost(&busy);
        busy
    }

    /// Keeps an empty one, unless enough are kept.
    fn put(&mut self, busy: Option<Box<Busy>>) {
        let Some(mut busy) = busy else { return };
        busy.state = State::Receiving;
        if self.bytes + cost(&busy) <= POOL_BYTES_MAX {
            self.bytes += cost(&busy);
            self.free.push(busy);
        }
    }
}

fn cost(busy: &Busy) -> usize {
    size_of::<Busy>() + busy.buffer.capacity()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_16_bytes_also_in_the_slab() {
        /// As slab has it.
        enum Entry {
            _Vacant(usize),
            _Occupied(Connection),
        }
        assert_eq!(size_of::<Connection>(), 16);
        assert_eq!(size_of::<Entry>(), 16);
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut pool = Pool::default();
        for _ in 0..100_000 {
            let mut busy = Box::<Busy>::default();
            busy.buffer.spare();
            pool.put(Some(busy));
        }
        assert!(pool.bytes <= POOL_BYTES_MAX);
        assert!(pool.free.len() < 20_000);
        while !pool.free.is_empty() {
            pool.take();
        }
        assert_eq!(pool.bytes, 0);
    }
}

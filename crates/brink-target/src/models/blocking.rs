//! What the models with blocking threads share: one connection served by one thread, and
//! the list of those that are being served, so that a stop can reach their threads.
//!
//! The connection loop keeps next to nothing on its stack, so that what an idle thread
//! costs is the thread. Must not make threads, nor know who does.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use brink_wire::frame::reply_in_place;
use brink_wire::frame_buffer::FrameBuffer;
use slab::Slab;

use crate::asked::Draws;
use crate::context::Open;
use crate::stop::Stop;

/// How long the threads have to end once stopped.
const END_MAX: Duration = Duration::from_secs(2);

/// Serves one connection on the calling thread, to its end.
pub(super) fn serve_here(stream: TcpStream, open: Open, here: &Here) {
    let stream = Arc::new(stream);
    let key = here.0.enter(&stream);
    if !open.context().stop.requested() {
        converse(&stream, &open);
    }
    drop(open);
    here.0.leave(key);
}

/// Answers requests until either side has had enough.
fn converse(mut stream: &TcpStream, open: &Open) {
    let context = open.context();
    let mut buffer = FrameBuffer::new();
    let mut draws = Draws::new(open.shard() as u64);
    loop {
        match answer_all(stream, &mut buffer, &mut draws, open) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return context.note("write", &error),
        }
        match stream.read(buffer.spare()) {
            Ok(0) => return,
            Ok(len) => buffer.filled(len),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return context.note("read", &error),
        }
    }
}

/// Answers what has arrived. Returns whether the connection goes on.
fn answer_all(
    mut stream: &TcpStream,
    buffer: &mut FrameBuffer,
    draws: &mut Draws,
    open: &Open,
) -> io::Result<bool> {
    let context = open.context();
    loop {
        let (header, frame) = match buffer.frame() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(true),
            Err(error) => {
                context.counters.frame_error(open.shard(), error);
                return Ok(false);
            }
        };
        let asked = context.own.asked(&header, draws);
        let Some(waited) = wait(asked.delay, &context.stop) else { return Ok(false) };
        if !context.work.run(asked.work_us, &context.stop) {
            return Ok(false);
        }
        reply_in_place(frame, waited.as_nanos() as u64);
        stream.write_all(frame)?;
        buffer.consume(header.frame_len());
        open.answered();
    }
}

/// Blocks this thread for `delay`, as `thread::sleep` would (both are one timed wait in the
/// kernel), but so that a stop can end it. Returns what it really took; `None` when stopped.
fn wait(delay: Duration, stop: &Stop) -> Option<Duration> {
    if delay.is_zero() {
        return Some(Duration::ZERO);
    }
    let begun = Instant::now();
    loop {
        let waited = begun.elapsed();
        if waited >= delay {
            return Some(waited);
        }
        if stop.requested() {
            return None;
        }
        thread::park_timeout(delay - waited);
    }
}

/// The connections being served. Locked only when one begins or ends. It shares the socket
/// instead of duplicating the descriptor, because descriptors are what a target runs out of.
#[derive(Debug, Default)]
pub(super) struct Registry {
    open: Mutex<Slab<Entry>>,
    /// Threads that were begun and have not left, also those that serve nothing just now.
    threads: AtomicUsize,
    left: Condvar,
}

/// Counts one thread of the registry until dropped, also one that could not be made.
pub(super) struct Here(Arc<Registry>);

impl Here {
    pub(super) fn enter(registry: &Arc<Registry>) -> Self {
        registry.threads.fetch_add(1, Relaxed);
        Self(Arc::clone(registry))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        if self.0.threads.fetch_sub(1, AcqRel) == 1 {
            // Under the lock, so that `end` cannot miss it between its look and its wait.
            let _open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.left.notify_all();
        }
    }
}

#[derive(Debug)]
struct Entry {
    stream: Arc<TcpStream>,
    thread: Thread,
}

impl Registry {
    /// Threads begun and not ended.
    pub(super) fn threads(&self) -> u64 {
        self.threads.load(Relaxed) as u64
    }

    /// Wakes every connection's thread, whatever it waits for, and waits for all threads to leave.
    /// The stop must have been requested: who begins only now must see that it need not.
    pub(super) fn end(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, entry) in open.iter() {
            // It fails only where the client has gone, which ends the thread just as well.
            let _gone = entry.stream.shutdown(Shutdown::Both);
            entry.thread.unpark();
        }
        let some_left = |_: &mut Slab<Entry>| self.threads.load(Acquire) > 0;
        let waited = self.left.wait_timeout_while(open, END_MAX, some_left);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn enter(&self, stream: &Arc<TcpStream>) -> usize {
        let entry = Entry { stream: Arc::clone(stream), thread: thread::current() };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(entry)
    }

    fn leave(&self, key: usize) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = open.remove(key);
        drop(open);
        drop(entry);
    }
}

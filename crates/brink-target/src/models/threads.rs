//! A blocking thread per connection: the classic server.
//!
//! The thread that calls [`serve`] accepts; every connection then reads, waits, works
//! and writes on a thread of its own. The connection loop keeps next to nothing on its
//! stack, so that what an idle thread costs is the thread.

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

use crate::acceptor::{Acceptor, Sockets};
use crate::asked::Draws;
use crate::context::{Context, Open, Place, Serve};
use crate::headroom::Headroom;
use crate::stop::Stop;

/// How long the connections' threads have to end once stopped.
const END_MAX: Duration = Duration::from_secs(2);

pub(super) fn serve(serve: Serve<'_>) -> io::Result<()> {
    let context = Context::new(&serve);
    let registry = Arc::new(Registry::default());
    let stack_bytes = usize::try_from(serve.options.stack_bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "stack size is over the address space"))?;
    let mut headroom = Headroom::new()?;
    let mut served = Ok(());
    for listener in serve.listeners {
        let mut acceptor = Acceptor::new(listener, Sockets::Blocking, serve.counters.clone())?;
        served = acceptor.accept_until(serve.stop, "spawn", |stream, number| {
            let place = Place::of_admitted(&context);
            headroom.check(serve.options.stack_bytes, registry.threads.load(Relaxed) as u64)?;
            begin(stream, place, number, stack_bytes, &registry)
        });
    }
    // A connection that begins only now must see that it need not.
    serve.stop.request();
    registry.end();
    served
}

/// Starts a connection's thread. On an error the connection has been closed.
fn begin(
    stream: TcpStream,
    place: Place,
    number: u32,
    stack_bytes: usize,
    registry: &Arc<Registry>,
) -> io::Result<()> {
    let here = Here::enter(registry);
    let run = move || {
        let open = place.open(number);
        let stream = Arc::new(stream);
        let key = here.0.enter(&stream);
        if !open.context().stop.requested() {
            converse(&stream, &open);
        }
        drop(open);
        here.0.leave(key);
    };
    thread::Builder::new().stack_size(stack_bytes).spawn(run).map(drop)
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

/// The open connections, so that a stop can reach their threads. Locked only when one
/// opens or closes. It shares the socket instead of duplicating the descriptor, because
/// descriptors are what a target runs out of.
#[derive(Debug, Default)]
struct Registry {
    open: Mutex<Slab<Entry>>,
    /// Threads that were begun and have not left, those not yet in `open` included.
    threads: AtomicUsize,
    left: Condvar,
}

/// Counts one thread of the registry until dropped, also one that could not be made.
struct Here(Arc<Registry>);

impl Here {
    fn enter(registry: &Arc<Registry>) -> Self {
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

    /// Wakes every connection's thread, whatever it waits for, and waits for them to leave.
    fn end(&self) {
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
}

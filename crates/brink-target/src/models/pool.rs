//! A pool of blocking threads: each serves one connection until that closes, and the rest
//! wait for their turn, accepted and unanswered. What a thread pool executor does where
//! each connection is one job.
//!
//! As there, threads are made one by one as connections come and none is idle, and stay.
//! The queue has no bound of its own: what waits in it holds a descriptor, and those are bounded.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use brink_host::headroom::Headroom;

use super::blocking::{Here, Registry, serve_here};
use crate::acceptor::{Acceptor, Sockets};
use crate::context::{Context, Open, Place, Serve};
/// The most that Python's ThreadPoolExecutor chooses by itself, min(32, CPUs + 4). Not less on
/// a machine with few CPUs, because these threads wait rather than compute.
pub(super) const WORKERS_DEFAULT: u32 = 32;

pub(super) fn serve(serve: Serve<'_>) -> io::Result<()> {
    let context = Context::new(&serve);
    let stack_bytes = serve.options.stack_len()?;
    let mut headroom = Headroom::new()?;
    let pool = Arc::new(Pool::default());
    let registry = Arc::new(Registry::default());
    let mut served = Ok(());
    for listener in serve.listeners {
        let mut acceptor = Acceptor::new(listener, Sockets::Blocking, serve.counters.clone())?;
        served = acceptor.accept_until(serve.stop, "spawn", |stream, number| {
            let place = Place::of_admitted(&context);
            let workers = registry.threads();
            if workers < u64::from(serve.options.threads) && !pool.has_idle() {
                headroom.check(serve.options.stack_bytes, workers)?;
                return begin(stream, place, number, stack_bytes, &pool, &registry);
            }
            pool.put(stream, place.open(number));
            Ok(())
        });
    }
    serve.stop.request();
    pool.end();
    registry.end();
    served
}

/// Starts a worker, whose first connection this is. On an error the connection has been closed.
fn begin(
    stream: TcpStream,
    place: Place,
    number: u32,
    stack_bytes: usize,
    pool: &Arc<Pool>,
    registry: &Arc<Registry>,
) -> io::Result<()> {
    let here = Here::enter(registry);
    let pool = Arc::clone(pool);
    let run = move || {
        serve_here(stream, place.open(number), &here);
        while let Some(Waiting { stream, open }) = pool.take() {
            serve_here(stream, open, &here);
        }
    };
    thread::Builder::new().name("pool-worker".to_owned()).stack_size(stack_bytes).spawn(run).map(drop)
}

/// An accepted connection that no worker has come to yet.
#[derive(Debug)]
struct Waiting {
    stream: TcpStream,
    open: Open,
}

/// What workers take from. Locked when a connection begins or ends, never for a request.
#[derive(Debug, Default)]
struct Pool {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// First come, first served.
    waiting: VecDeque<Waiting>,
    /// Workers that wait for a connection.
    idle: usize,
    ended: bool,
}

impl Pool {
    /// Whether a worker is idle that no waiting connection has a claim on.
    fn has_idle(&self) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.idle > queue.waiting.len()
    }

    fn put(&self, stream: TcpStream, open: Open) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.push_back(Waiting { stream, open });
        self.changed.notify_one();
    }

    /// Waits for the next connection; `None` once all is to end.
    fn take(&self) -> Option<Waiting> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.idle += 1;
        let mut queue = self
            .changed
            .wait_while(queue, |queue| queue.waiting.is_empty() && !queue.ended)
            .unwrap_or_else(PoisonError::into_inner);
        queue.idle -= 1;
        queue.waiting.pop_front()
    }

    /// Closes what waits, and lets idle workers go.
    fn end(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.ended = true;
        let unserved = std::mem::take(&mut queue.waiting);
        self.changed.notify_all();
        drop(queue);
        drop(unserved);
    }
}

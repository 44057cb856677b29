//! Tasks on one thread whose wait and work block a thread of tokio's pool (`spawn_blocking`):
//! what `run_in_executor` and `asyncio.to_thread` do. A request that asks for neither stays
//! on the one thread.
//!
//! The wait that a reply tells of includes the time until a thread of the pool was free.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use brink_host::headroom::Headroom;

use super::conversation::{Conduct, block, converse};
use super::runtime::{one_thread, serve_on_one_thread};
use crate::asked::Asked;
use crate::context::{Context, Open, Serve};
/// As many as tokio itself allows (`max_blocking_threads`).
pub(super) const THREADS_DEFAULT: u32 = 512;
/// Threads of the pool stay, as those of Python's executors do. It also keeps one there always:
/// tokio panics where it can make no thread and has none (runtime/blocking/pool.rs); with one,
/// what finds no thread waits for it.
const KEEP_ALIVE: Duration = Duration::from_secs(365 * 24 * 3600);
/// A new thread of the pool that has not begun by then was refused, or the machine is busy: then it is tried out.
const LATE: Duration = Duration::from_millis(50);
/// What tokio gives a thread (`thread_stack_size`).
pub(super) const STACK_BYTES: u64 = 2 * 1024 * 1024;

pub(super) fn serve(serve: Serve<'_>) -> io::Result<()> {
    let runtime = one_thread()
        .max_blocking_threads(serve.options.threads as usize)
        .thread_keep_alive(KEEP_ALIVE)
        .thread_stack_size(STACK_BYTES as usize)
        .thread_name("offload")
        .build()?;
    // In a task, so that tokio's panic for want of a first thread becomes an error.
    let first = runtime.block_on(runtime.spawn(async { tokio::task::spawn_blocking(|| ()).await }));
    if !matches!(first, Ok(Ok(()))) {
        return Err(io::Error::other("cannot make the first thread of the pool that requests wait on"));
    }
    let offload = Offload(Arc::new(Pool {
        threads_max: serve.options.threads.into(),
        state: Mutex::new(State { under_way: 0, threads: 1, headroom: Headroom::new()? }),
    }));
    serve_on_one_thread(serve, runtime, |stream, open| {
        drop(tokio::spawn(converse(offload.clone(), stream, open)));
    })
}

/// Waits and works on the pool.
#[derive(Clone)]
struct Offload(Arc<Pool>);

/// Reckons the pool's threads, which tokio does not tell, so that none is asked of it that
/// would end the process (`headroom`).
struct Pool {
    threads_max: u64,
    /// Only the runtime's one thread locks it, so nobody ever waits for it.
    state: Mutex<State>,
}

struct State {
    under_way: u64,
    threads: u64,
    headroom: Headroom,
}

/// A request that is on the pool, or waits for a thread of it.
struct UnderWay<'a>(&'a Pool);

impl Pool {
    /// With whether tokio will try to make a thread for it.
    fn enter(&self) -> io::Result<(UnderWay<'_>, bool)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (state.under_way + 1).min(self.threads_max);
        let grows = wanted > state.threads;
        if grows {
            let threads = state.threads;
            state.headroom.check(STACK_BYTES, threads)?;
            state.threads = wanted;
        }
        state.under_way += 1;
        Ok((UnderWay(self), grows))
    }
}

/// Counts the refusal of a thread, which tokio passes over: what wanted it then waits for another one. It does not
/// tell, so it is seen by asking the kernel for a thread once more.
fn note_refused_thread(context: &Context) {
    let again = thread::Builder::new().name("offload-trial".to_owned()).stack_size(STACK_BYTES as usize);
    if let Err(error) = again.spawn(|| ()) {
        context.note("spawn", &error);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
    }
}

impl Conduct for Offload {
    fn must_wait(&self, asked: Asked) -> bool {
        !asked.delay.is_zero() || asked.work_us > 0
    }

    /// Waits for a thread of the pool that waits and works.
    async fn wait(&self, asked: Asked, open: &Open) -> Option<u64> {
        let context = open.shared_context();
        let (_under_way, grows) = match self.0.enter() {
            Ok(entered) => entered,
            Err(error) => {
                context.note("spawn", &error);
                return None;
            }
        };
        let begun = Instant::now();
        let on_the_pool = tokio::task::spawn_blocking(move || {
            if grows && begun.elapsed() > LATE {
                note_refused_thread(&context);
            }
            block(asked.delay, &context)?;
            let waited_ns = if asked.delay.is_zero() { 0 } else { begun.elapsed().as_nanos() as u64 };
            context.work.run(asked.work_us, &context.stop).then_some(waited_ns)
        });
        // It ends without a value only when the runtime ends first.
        on_the_pool.await.ok()?
    }

    /// Was done on the pool.
    fn work(&self, _: u32, _: &Open) -> bool {
        true
    }
}

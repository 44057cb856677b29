//! One connection as a task: what the frame-speaking models on tokio share. They differ in
//! how a request's wait and work are done, which is a [`Conduct`].
//!
//! The future is kept small, and an idle connection holds no buffer: it has one while there is something in it, of those
//! that its thread keeps at hand. Must not accept, nor make a runtime.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::time::{Duration, Instant};

use brink_wire::frame::{FrameError, reply_in_place};
use brink_wire::frame_buffer::FrameBuffer;
use tokio::net::TcpStream;

use crate::asked::{Asked, Draws};
use crate::context::{Context, Open};

/// How a model waits and works for one request.
pub(super) trait Conduct: Send + Sync + 'static {
    /// Whether there is anything to be awaited before the reply.
    fn must_wait(&self, asked: Asked) -> bool {
        !asked.delay.is_zero()
    }

    /// Waits. Returns what it really took, in nanoseconds; `None` when the connection is to be closed without
    /// a reply, because the target ends or the model had no room (which it has counted).
    fn wait(&self, asked: Asked, open: &Open) -> impl Future<Output = Option<u64>> + Send;

    /// Works, on the runtime's thread. Returns whether all was done, which it is unless the target ends.
    fn work(&self, work_us: u32, open: &Open) -> bool {
        open.context().work.run(work_us, &open.context().stop)
    }
}

/// Answers requests until either side has had enough.
///
/// Written as a block because an `async fn` keeps its arguments twice, and each byte of this
/// future is paid for by each connection.
#[expect(clippy::manual_async_fn, reason = "the future is smaller this way")]
pub(super) fn converse<C: Conduct>(
    conduct: C,
    stream: TcpStream,
    open: Open,
) -> impl Future<Output = ()> + Send {
    async move {
        let mut buffer = FrameBuffer::new();
        let mut draws = Draws::new(open.shard() as u64);
        loop {
            loop {
                // Only what is needed later is kept across a wait: it counts for every idle connection.
                let Due { delay_ns, work_us, frame_len } = match next(&mut buffer, &mut draws, &open) {
                    Ok(Some(found)) => found,
                    Ok(None) => break,
                    Err(error) => return open.context().counters.frame_error(open.shard(), error),
                };
                let mut waited_ns = 0;
                if conduct.must_wait(asked(delay_ns, work_us)) {
                    let Some(ns) = conduct.wait(asked(delay_ns, work_us), &open).await else { return };
                    waited_ns = ns;
                }
                if !conduct.work(work_us, &open) {
                    return;
                }
                reply_in_place(buffer.front(frame_len as usize), waited_ns);
                let mut written = 0;
                while written < frame_len {
                    match stream.try_write(&buffer.front(frame_len as usize)[written as usize..]) {
                        Ok(0) => return,
                        Ok(len) => written += len as u32,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            if let Err(error) = poll_fn(|task| stream.poll_write_ready(task)).await {
                                return open.context().note("write", &error);
                            }
                        }
                        Err(error) => return open.context().note("write", &error),
                    }
                }
                buffer.consume(frame_len as usize);
                open.answered();
            }
            // Readiness first, room second: a connection that waits for its next request holds no buffer.
            if buffer.is_empty() {
                put_back(std::mem::take(&mut buffer));
            }
            if let Err(error) = poll_fn(|task| stream.poll_read_ready(task)).await {
                return open.context().note("read", &error);
            }
            if buffer.capacity() == 0 {
                buffer = at_hand();
            }
            match stream.try_read(buffer.spare()) {
                Ok(0) => return,
                Ok(len) => buffer.filled(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return open.context().note("read", &error),
            }
        }
    }
}

/// How many empty buffers a thread keeps, and of which size at most, in bytes: with what it keeps at all, which is 1 MiB,
/// it serves those whose requests overlap without asking the allocator.
const AT_HAND_MAX: usize = 64;
const AT_HAND_LEN_MAX: usize = 16 * 1024;

thread_local! {
    static AT_HAND: RefCell<Vec<FrameBuffer>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, of this thread's if there is one.
fn at_hand() -> FrameBuffer {
    AT_HAND.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives an empty buffer to whoever reads next on this thread; a large one, and one too many, to the allocator.
fn put_back(buffer: FrameBuffer) {
    if buffer.capacity() > 0 && buffer.capacity() <= AT_HAND_LEN_MAX {
        AT_HAND.with_borrow_mut(|kept| {
            if kept.len() < AT_HAND_MAX {
                kept.push(buffer);
            }
        });
    }
}

/// What the next whole frame asks for, and how long it is: in half the room of [`Asked`] and a length.
struct Due {
    delay_ns: u64,
    work_us: u32,
    frame_len: u32,
}

fn asked(delay_ns: u64, work_us: u32) -> Asked {
    Asked { delay: Duration::from_nanos(delay_ns), work_us }
}

/// The next whole frame, if it has arrived.
fn next(buffer: &mut FrameBuffer, draws: &mut Draws, open: &Open) -> Result<Option<Due>, FrameError> {
    let Some((header, frame)) = buffer.frame()? else { return Ok(None) };
    let Asked { delay, work_us } = open.context().own.asked(&header, draws);
    // The longest wait is an hour.
    Ok(Some(Due { delay_ns: delay.as_nanos() as u64, work_us, frame_len: frame.len() as u32 }))
}

/// As an async program should: the runtime's timer waits, and its thread works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Async;

impl Conduct for Async {
    fn wait(&self, asked: Asked, _: &Open) -> impl Future<Output = Option<u64>> + Send {
        // In a box: the timer is large, and its place in the task would be paid for by every connection that waits for
        // nothing. It counts whole milliseconds and rounds up.
        Box::pin(async move {
            let begun = Instant::now();
            tokio::time::sleep(asked.delay).await;
            Some(begun.elapsed().as_nanos() as u64)
        })
    }
}

/// Blocks the calling thread for `delay`. Returns what it really took, in nanoseconds; `None` when
/// stopped meanwhile. One timed wait in the kernel, as `thread::sleep` is, that a stop can end.
pub(super) fn block(delay: Duration, context: &Context) -> Option<u64> {
    if delay.is_zero() {
        return Some(0);
    }
    let begun = Instant::now();
    match context.stop.wait(delay) {
        Ok(true) => None,
        Ok(false) => Some(begun.elapsed().as_nanos() as u64),
        Err(error) => {
            context.note("wait", &error);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<C: Conduct, F>(_: fn(C, TcpStream, Open) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_task_is_small() {
        // With the 104 bytes that tokio adds it is 256: a cell is a multiple of 128 (tokio, runtime/task/core.rs), so
        // that eight bytes more cost each connection 128.
        let bytes = size_of_output(converse::<Async>);
        assert!(bytes <= 152, "{bytes}");
    }
}

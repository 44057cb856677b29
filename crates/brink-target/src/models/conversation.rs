//! One connection as a task: what the frame-speaking models on tokio share. They differ in
//! how a request's wait and work are done, which is a [`Conduct`].
//!
//! The future is kept small, and an idle connection holds no more than what the frames it
//! has seen made [`FrameBuffer`] keep. Must not accept, nor make a runtime.

use std::future::poll_fn;
use std::io;
use std::time::{Duration, Instant};

use brink_wire::frame::reply_in_place;
use brink_wire::frame_buffer::FrameBuffer;
use tokio::io::AsyncWriteExt;
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
#[expect(clippy::manual_async_fn, reason = "the future is 56 bytes smaller this way")]
pub(super) fn converse<C: Conduct>(
    conduct: C,
    mut stream: TcpStream,
    open: Open,
) -> impl Future<Output = ()> + Send {
    async move {
        let mut buffer = FrameBuffer::new();
        let mut draws = Draws::new(open.shard() as u64);
        loop {
            loop {
                let (header, frame) = match buffer.frame() {
                    Ok(Some(found)) => found,
                    Ok(None) => break,
                    Err(error) => return open.context().counters.frame_error(open.shard(), error),
                };
                // Only what is needed later is kept across a wait: it counts for every idle connection.
                let asked = open.context().own.asked(&header, &mut draws);
                let work_us = asked.work_us;
                let mut waited_ns = 0;
                if conduct.must_wait(asked) {
                    let Some(ns) = conduct.wait(asked, &open).await else { return };
                    waited_ns = ns;
                }
                if !conduct.work(work_us, &open) {
                    return;
                }
                reply_in_place(frame, waited_ns);
                if let Err(error) = stream.write_all(frame).await {
                    return open.context().note("write", &error);
                }
                let len = frame.len();
                buffer.consume(len);
                open.answered();
            }
            // Readiness first, room second: a connection that has sent nothing holds no buffer.
            if let Err(error) = poll_fn(|task| stream.poll_read_ready(task)).await {
                return open.context().note("read", &error);
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

/// As an async program should: the runtime's timer waits, and its thread works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Async;

impl Conduct for Async {
    fn wait(&self, asked: Asked, _: &Open) -> impl Future<Output = Option<u64>> + Send {
        // Half the size of a Duration; the longest wait is an hour.
        let delay_ns = asked.delay.as_nanos() as u64;
        async move {
            // The runtime's timer counts whole milliseconds and rounds up.
            let begun = Instant::now();
            tokio::time::sleep(Duration::from_nanos(delay_ns)).await;
            Some(begun.elapsed().as_nanos() as u64)
        }
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
        // Most of it is tokio's timer, which only a waiting request uses.
        let bytes = size_of_output(converse::<Async>);
        assert!(bytes <= 320, "{bytes}");
    }
}

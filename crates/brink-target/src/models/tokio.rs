//! A task per connection on tokio's multi-thread runtime: the usual async server.
//!
//! The task's future is kept small and an idle connection holds no more than what the
//! frames it has seen made [`FrameBuffer`] keep.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brink_wire::frame::reply_in_place;
use brink_wire::frame_buffer::FrameBuffer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::acceptor::{Acceptor, Sockets};
use crate::asked::{Asked, Draws};
use crate::context::{Context, Open, Place, Serve};

/// How long the runtime's threads have to end once stopped: tasks that work look at the
/// stop every millisecond, all others are dropped where they wait.
const END_MAX: Duration = Duration::from_millis(900);

pub(super) fn serve(serve: Serve<'_>) -> io::Result<()> {
    let context = Context::new(&serve);
    let threads = serve.options.threads as usize;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("tokio-worker")
        .enable_all()
        .build()?;
    let mut served = Ok(());
    for listener in serve.listeners {
        // Accepting has this thread to itself, as it has where a program's main task accepts.
        let _entered = runtime.enter();
        let mut acceptor = Acceptor::new(listener, Sockets::Nonblocking, serve.counters.clone())?;
        served =
            acceptor.accept_until(serve.stop, "register", |stream, number| begin(stream, number, &context));
    }
    runtime.shutdown_timeout(END_MAX);
    served
}

/// Starts a connection's task. On an error the connection has been closed.
fn begin(stream: std::net::TcpStream, number: u32, context: &Arc<Context>) -> io::Result<()> {
    let place = Place::of_admitted(context);
    let stream = TcpStream::from_std(stream)?;
    tokio::spawn(converse(stream, place.open(number)));
    Ok(())
}

/// Answers requests until either side has had enough.
///
/// Written as a block because an `async fn` keeps its arguments twice, and each byte of this
/// future is paid for by each connection.
#[expect(clippy::manual_async_fn, reason = "the future is 56 bytes smaller this way")]
fn converse(mut stream: TcpStream, open: Open) -> impl Future<Output = ()> {
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
                let Asked { delay, work_us } = open.context().own.asked(&header, &mut draws);
                let mut waited_ns = 0;
                if !delay.is_zero() {
                    // The runtime's timer counts whole milliseconds and rounds up.
                    let begun = Instant::now();
                    tokio::time::sleep(delay).await;
                    waited_ns = begun.elapsed().as_nanos() as u64;
                }
                if !open.context().work.run(work_us, &open.context().stop) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<F>(_: fn(TcpStream, Open) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_task_is_small() {
        // Most of it is tokio's timer, which only a waiting request uses.
        let bytes = size_of_output(converse);
        assert!(bytes <= 320, "{bytes}");
    }
}

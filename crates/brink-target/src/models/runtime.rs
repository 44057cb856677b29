//! What the models on tokio share around their connections: accepting, beginning a
//! connection's task, and ending the runtime. Must not know what a task does.

use std::io;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::acceptor::{Accepted, Acceptor, Sockets};
use crate::context::{Context, Open, Place, Serve};

/// How long the runtime's threads have to end once stopped: tasks that work look at the
/// stop every millisecond, all others are dropped where they wait.
const END_MAX: Duration = Duration::from_millis(900);
/// Connections accepted on the one thread before others get their turn: asyncio's default
/// backlog is 100, which it accepts in a row too.
const ACCEPTS_IN_A_ROW: u32 = 64;

/// Serves on a multi-thread runtime; the calling thread accepts. `begin` makes a connection's task.
pub(super) fn serve_on_many_threads(serve: Serve<'_>, begin: impl Fn(TcpStream, Open)) -> io::Result<()> {
    let context = Context::new(&serve);
    let threads = serve.options.threads as usize;
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("tokio-worker")
        .enable_all()
        .build()?;
    let mut served = Ok(());
    for listener in serve.listeners {
        // Accepting has this thread to itself, as it has where a program's main task accepts.
        let _entered = runtime.enter();
        let mut acceptor = Acceptor::new(listener, Sockets::Nonblocking, serve.counters.clone())?;
        served = acceptor.accept_until(serve.stop, "register", |stream, number| {
            let place = Place::of_admitted(&context);
            begin(TcpStream::from_std(stream)?, place.open(number));
            Ok(())
        });
    }
    runtime.shutdown_timeout(END_MAX);
    served
}

/// A runtime for [`serve_on_one_thread`], to which a model may add.
pub(super) fn one_thread() -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    builder
}

/// Serves on the calling thread alone, which also accepts. `begin` makes a connection's task.
pub(super) fn serve_on_one_thread(
    serve: Serve<'_>,
    runtime: Runtime,
    begin: impl Fn(TcpStream, Open),
) -> io::Result<()> {
    let mut served = Ok(());
    let context = Context::new(&serve);
    for listener in serve.listeners {
        let acceptor = Acceptor::new(listener, Sockets::Nonblocking, serve.counters.clone())?;
        served = runtime.block_on(accept_until(acceptor, &context, &begin));
    }
    runtime.shutdown_timeout(END_MAX);
    served
}

/// As [`Acceptor::accept_until`], in a task of the runtime that serves.
#[expect(
    deprecated,
    reason = "its replacement is unsafe; here the descriptors' owners are what is registered"
)]
async fn accept_until(
    acceptor: Acceptor,
    context: &std::sync::Arc<Context>,
    begin: &impl Fn(TcpStream, Open),
) -> io::Result<()> {
    let mut acceptor = AsyncFd::with_interest(acceptor, Interest::READABLE)?;
    let stopped = AsyncFd::with_interest(context.stop.clone(), Interest::READABLE)?;
    let mut accepted: u32 = 0;
    while !context.stop.requested() {
        let mut ready = tokio::select! {
            _stopped = stopped.readable() => break,
            ready = acceptor.readable_mut() => ready?,
        };
        let mut pause = None;
        for _ in 0..ACCEPTS_IN_A_ROW {
            match ready.get_inner_mut().accept() {
                Accepted::Connection(stream) => {
                    let place = Place::of_admitted(context);
                    match TcpStream::from_std(stream) {
                        Ok(stream) => begin(stream, place.open(accepted)),
                        Err(error) => pause = ready.get_inner_mut().refused("register", &error),
                    }
                    accepted = accepted.wrapping_add(1);
                }
                Accepted::Drained => {
                    ready.clear_ready();
                    break;
                }
                Accepted::Pause(time) => pause = Some(time),
            }
            if pause.is_some() {
                break;
            }
        }
        drop(ready);
        match pause {
            None => tokio::task::yield_now().await,
            Some(pause) => tokio::select! {
                _stopped = stopped.readable() => break,
                () = tokio::time::sleep(pause) => {}
            },
        }
    }
    Ok(())
}

//! The engine with a task per connection on tokio's multi-thread runtime: what an async test client does.
//!
//! What is due is kept by the runtime's timer, which counts whole milliseconds and rounds up: requests go out up to a
//! millisecond late. Must not block a thread of the runtime.

use std::future::pending;
use std::io::{self, IoSlice};
use std::net::TcpStream as StdTcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::tokio::io::{Interest as Readiness, Ready};
use ::tokio::net::TcpStream;
use ::tokio::runtime::{Builder, Runtime};
use ::tokio::select;
use ::tokio::sync::Notify;
use ::tokio::time::{Instant, timeout_at};
use rustix::net::{RecvFlags, recv};

use super::lanes::Lane;
use super::lanes::coordinate::{Lanes, coordinate};
use super::lanes::hub::Hub;
use super::lanes::opening::Dialing;
use super::lanes::wait::{Interest, Signal, Wait, Woken};
use crate::samples::WorkerSamples;
use crate::stage::Worker;

/// Later than any run ends.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The one worker, from its start to its samples.
pub(super) fn run(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
    let hub = Arc::new(Hub::new(worker, super::threads::shards())?);
    let threads = worker.options.threads as usize;
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_io().enable_time().build()?;
    let calls = Arc::new(Calls::default());
    let lanes = worker.options.connections as u32;
    let coordinated =
        coordinate(worker, &hub, &mut Tasks { runtime: &runtime, hub: &hub, calls: &calls, lanes });
    // Every task is dropped where it stands, and its lane counted.
    drop(runtime);
    if let Err(error) = coordinated {
        hub.failure(0, "poll", &brink_host::errno::name(&error));
    }
    worker.shard.set(hub.counts.sums());
    hub.collect()
}

struct Tasks<'a> {
    runtime: &'a Runtime,
    hub: &'a Arc<Hub>,
    calls: &'a Arc<Calls>,
    lanes: u32,
}

impl Lanes for Tasks<'_> {
    fn room(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn start(&mut self, index: u32, dialing: Dialing) -> io::Result<()> {
        let wait = Yielding { hub: Arc::clone(self.hub), calls: Arc::clone(self.calls) };
        let lane = Lane::new(Arc::clone(self.hub), wait, index, self.lanes);
        drop(self.runtime.spawn(lane.live(dialing)));
        Ok(())
    }

    fn call(&self, signal: Signal) -> io::Result<()> {
        self.calls.call(signal);
        Ok(())
    }
}

/// A signal that tasks wait for.
#[derive(Debug, Default)]
struct Call {
    given: AtomicBool,
    notify: Notify,
}

impl Call {
    fn give(&self) {
        self.given.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    async fn heard(&self) {
        // It hears what is given from here on; what was given before is looked at next.
        let notified = self.notify.notified();
        if !self.given.load(Ordering::Acquire) {
            notified.await;
        }
    }
}

/// The signals. The end of the run is none: it drops the tasks, so that no wait for a reply has to listen.
#[derive(Debug, Default)]
struct Calls {
    begin: Call,
    free: Call,
    over: Call,
}

impl Calls {
    fn call(&self, signal: Signal) {
        match signal {
            Signal::Begin => self.begin.give(),
            Signal::Free => self.free.give(),
            Signal::Over => self.over.give(),
            Signal::Close => {}
        }
    }

    async fn heard(&self, signal: Signal) {
        match signal {
            Signal::Begin => self.begin.heard().await,
            Signal::Free => self.free.heard().await,
            Signal::Over => self.over.heard().await,
            Signal::Close => pending().await,
        }
    }
}

/// Waits of a task.
struct Yielding {
    hub: Arc<Hub>,
    calls: Arc<Calls>,
}

impl Wait for Yielding {
    type Socket = TcpStream;

    fn adopt(&self, stream: StdTcpStream) -> io::Result<TcpStream> {
        TcpStream::from_std(stream)
    }

    async fn wait(
        &self,
        socket: Option<(&TcpStream, Interest)>,
        until_ns: Option<u64>,
        signal: Signal,
    ) -> io::Result<Woken> {
        let until = until_ns.and_then(|until_ns| self.hub.stage.instant(until_ns));
        let until = until.unwrap_or_else(|| std::time::Instant::now() + NEVER);
        // Nothing is named before it is awaited: a future keeps what was moved out of a name, and each byte of it is
        // paid for by each connection.
        timeout_at(Instant::from_std(until), async {
            select! {
                biased;
                ready = readiness_of(socket) => ready.map(|_| Woken::Ready),
                () = self.calls.heard(signal) => Ok(Woken::Called),
            }
        })
        .await
        .unwrap_or(Ok(Woken::Time))
    }

    fn read(socket: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
        // A read that does not fill the room has drained the socket (epoll(7), questions and answers, 9). Saying so
        // from within makes the runtime forget the readiness that this read used, and no other.
        let mut len = 0;
        let read = socket.try_io(Readiness::READABLE, || {
            (_, len) = recv(socket, &mut *room, RecvFlags::empty())?;
            if len > 0 && len < room.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(len) }
        });
        if len > 0 { Ok(len) } else { read }
    }

    fn write(socket: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        socket.try_write_vectored(pieces)
    }

    fn take_error(socket: &TcpStream) -> io::Result<Option<io::Error>> {
        socket.take_error()
    }
}

async fn readiness_of(socket: Option<(&TcpStream, Interest)>) -> io::Result<Ready> {
    match socket {
        Some((socket, interest)) => socket.ready(readiness(interest)).await,
        None => pending().await,
    }
}

fn readiness(interest: Interest) -> Readiness {
    match interest {
        Interest::Read => Readiness::READABLE,
        Interest::Write => Readiness::WRITABLE,
        Interest::Both => Readiness::READABLE | Readiness::WRITABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<F>(_: fn(Lane<Yielding>, Dialing) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_task_is_small() {
        let bytes = size_of_output(Lane::<Yielding>::live);
        // A third of it is what waiting takes: a timer, a readiness, a signal.
        assert!(bytes <= 1280, "{bytes}");
    }

    #[test]
    fn a_call_is_heard_before_and_after_it_was_given() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let calls = Calls::default();
        runtime.block_on(async {
            ::tokio::join!(calls.heard(Signal::Begin), async { calls.call(Signal::Begin) });
            calls.heard(Signal::Begin).await;
        });
    }
}

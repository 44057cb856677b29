//! The control plane: what a target tells about itself over HTTP, on a thread and port of
//! its own, so that asking does not disturb serving. What it tells comes from [`Answers`]:
//! of one process that serves, or of a supervisor that asks several.
//!
//! Must not touch the model's connections.

mod answer;
mod metrics;
mod own;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use brink_wire::control::{Info, LimitReading, TargetUsage};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use self::answer::Desk;
pub(crate) use self::own::OwnProcess;
use crate::stop::Stop;

/// Waiting clients of the control plane: a handful is plenty.
const BACKLOG: u32 = 64;
/// Connections held at once; for the next the one goes whose last request is longest ago. So many who ask nothing,
/// or read no answer, keep nobody from being told.
const CONNECTIONS_MAX: usize = 64;
/// After a failed accept: the process is out of descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);
/// For answers under way when the target ends.
const END_MAX: Duration = Duration::from_millis(250);
/// For the one thread on which answers are made that block: always.
const KEEP_ALIVE: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a control plane tells. Asked from one thread at a time.
pub trait Answers: Send + Sync + 'static {
    /// `GET /v1/info`.
    fn info(&self) -> Info;
    /// `GET /v1/usage` and `/metrics`.
    fn usage(&self) -> TargetUsage;
    /// `GET /v1/limits`.
    fn limits(&self) -> Vec<LimitReading>;
    /// Whether making an answer may block (on other processes, say). It is then made on a second
    /// thread, so that other clients are served meanwhile; else on the one that serves them.
    fn may_block(&self) -> bool {
        true
    }
}

/// Bound, not yet serving.
#[derive(Debug)]
pub struct ControlPlane {
    listener: TcpListener,
    address: SocketAddr,
}

/// Serving.
#[derive(Debug)]
pub struct Running {
    ending: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl ControlPlane {
    /// Binds and listens; clients wait until it is started.
    ///
    /// # Errors
    /// What the kernel says where an address cannot be bound, `EADDRINUSE` above all.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let mut listeners = brink_host::socket::listen(address, BACKLOG, 1)?;
        let listener = listeners.pop().ok_or_else(|| io::Error::other("no listener was made"))?;
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// Where it listens, with the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to serve on a thread of its own. With a `token`, whoever does not present it is told
    /// nothing. `POST /v1/stop` requests `stop`.
    ///
    /// # Errors
    /// If a thread or the runtime's descriptors cannot be had.
    pub fn start(self, answers: Arc<dyn Answers>, token: Option<String>, stop: &Stop) -> io::Result<Running> {
        self.serve(Desk::new(answers, token, stop))
    }

    /// Begins to serve, on a thread of its own, nothing but `/metrics`, made anew for each who asks by `metrics`, which
    /// must not block. For a program that is no target.
    ///
    /// # Errors
    /// If a thread or the runtime's descriptors cannot be had.
    pub fn start_metrics(
        self,
        metrics: impl Fn() -> String + Send + Sync + 'static,
        token: Option<String>,
    ) -> io::Result<Running> {
        self.serve(Desk::of_metrics(Box::new(metrics), token))
    }

    fn serve(self, desk: Desk) -> io::Result<Running> {
        let may_block = desk.may_block();
        let desk = Arc::new(desk);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .thread_keep_alive(KEEP_ALIVE)
            .thread_name("control-answers")
            .enable_all()
            .build()?;
        if may_block {
            // Made now, since later tokio would panic where it cannot be; in a task, for the same reason.
            let first = runtime.block_on(runtime.spawn(async { tokio::task::spawn_blocking(|| ()).await }));
            if !matches!(first, Ok(Ok(()))) {
                return Err(io::Error::other("cannot make the thread of the control plane's answers"));
            }
        }
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener)?
        };
        let (ending, ended) = watch::channel(false);
        let serve = move || {
            runtime.block_on(serve(&listener, &desk, ended));
            // An answer that still blocks ends with the process.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("control".to_owned()).spawn(serve)?;
        Ok(Running { ending, thread })
    }
}

impl Running {
    /// Lets answers under way finish, within a quarter of a second, and ends.
    ///
    /// # Errors
    /// If its thread panicked.
    pub fn end(self) -> io::Result<()> {
        self.ending.send_replace(true);
        self.thread.join().map_err(|_| io::Error::other("the control plane's thread panicked"))
    }
}

/// One connection: its task, and which of all requests was its last one, by their order.
struct Held {
    task: AbortHandle,
    last: Arc<AtomicU64>,
}

async fn serve(listener: &tokio::net::TcpListener, desk: &Arc<Desk>, ending: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut held: Vec<Held> = Vec::new();
    let order = Arc::new(AtomicU64::new(0));
    let mut ended = ending.clone();
    loop {
        tokio::select! {
            _ = ended.wait_for(|&ended| ended) => break,
            Some(_) = connections.join_next() => held.retain(|one| !one.task.is_finished()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    make_room(&mut held);
                    let last = Arc::new(AtomicU64::new(order.fetch_add(1, Ordering::Relaxed)));
                    let asked = { let (order, last) = (Arc::clone(&order), Arc::clone(&last));
                        move || last.store(order.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed) };
                    let task = connections.spawn(converse(stream, Arc::clone(desk), ending.clone(), asked));
                    held.push(Held { task, last });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // Whoever is not done by then is cut off with the process.
    let _late = tokio::time::timeout(END_MAX, all_ended).await;
}

fn make_room(held: &mut Vec<Held>) {
    if held.len() < CONNECTIONS_MAX {
        return;
    }
    let last = |(_, one): &(usize, &Held)| one.last.load(Ordering::Relaxed);
    if let Some((at, _)) = held.iter().enumerate().min_by_key(last) {
        held.swap_remove(at).task.abort();
    }
}

async fn converse(
    stream: TcpStream,
    desk: Arc<Desk>,
    mut ended: watch::Receiver<bool>,
    asked: impl Fn() + Send,
) {
    let service = service_fn(|request| {
        asked();
        let desk = Arc::clone(&desk);
        async move { Ok::<_, std::convert::Infallible>(desk.answer(&request).await) }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    // An error here is the client's: it sent no HTTP, or left. There is nobody to tell.
    tokio::select! {
        _done = connection.as_mut() => return,
        _ = ended.wait_for(|&ended| ended) => connection.as_mut().graceful_shutdown(),
    }
    let _done = connection.await;
}

//! The control plane: what a target tells about itself over HTTP, on a thread and port of
//! its own, so that asking does not disturb serving.
//!
//! Must not touch the model's connections; it reads counters and /proc.

mod answer;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use brink_wire::control::Ready;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::answer::Desk;
use crate::counters::Counters;
use crate::options::Options;
use crate::stop::Stop;

/// Waiting clients of the control plane: a handful is plenty.
const BACKLOG: u32 = 64;
/// Connections served at once; the next waits until one closes.
const CONNECTIONS_MAX: usize = 64;
/// After a failed accept: the process is out of descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);
/// For answers under way when the target ends.
const END_MAX: Duration = Duration::from_millis(250);

/// Bound, not yet serving.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    listener: TcpListener,
    address: SocketAddr,
}

/// Serving.
#[derive(Debug)]
pub(crate) struct Running {
    ending: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl ControlPlane {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let mut listeners = brink_host::socket::listen(address, BACKLOG, 1)?;
        let listener = listeners.pop().ok_or_else(|| io::Error::other("no listener was made"))?;
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to serve on a thread of its own.
    pub(crate) fn start(
        self,
        options: &Options,
        ready: &Ready,
        counters: &Counters,
        stop: &Stop,
    ) -> io::Result<Running> {
        let desk = Arc::new(Desk::new(options, ready, counters, stop));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener)?
        };
        let (ending, ended) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || runtime.block_on(serve(&listener, &desk, ended)))?;
        Ok(Running { ending, thread })
    }
}

impl Running {
    /// Lets answers under way finish, and ends.
    pub(crate) fn end(self) -> io::Result<()> {
        self.ending.send_replace(true);
        self.thread.join().map_err(|_| io::Error::other("the control plane's thread panicked"))
    }
}

async fn serve(listener: &tokio::net::TcpListener, desk: &Arc<Desk>, ending: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut ended = ending.clone();
    loop {
        let has_room = connections.len() < CONNECTIONS_MAX;
        tokio::select! {
            _ = ended.wait_for(|&ended| ended) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(desk), ending.clone()));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // Whoever is not done by then is cut off with the process.
    let _late = tokio::time::timeout(END_MAX, all_ended).await;
}

async fn converse(stream: TcpStream, desk: Arc<Desk>, mut ended: watch::Receiver<bool>) {
    let service = service_fn(|request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, std::convert::Infallible>(desk.answer(&request)) }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    // An error here is the client's: it sent no HTTP, or left. There is nobody to tell.
    tokio::select! {
        _done = connection.as_mut() => return,
        _ = ended.wait_for(|&ended| ended) => connection.as_mut().graceful_shutdown(),
    }
    let _done = connection.await;
}

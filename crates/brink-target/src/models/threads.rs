//! A blocking thread per connection: the classic server.
//!
//! The thread that calls [`serve`] accepts; every connection then reads, waits, works
//! and writes on a thread of its own (`blocking`).

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use brink_host::headroom::Headroom;

use super::blocking::{Here, Registry, serve_here};
use crate::acceptor::{Acceptor, Sockets};
use crate::context::{Context, Place, Serve};
pub(super) fn serve(serve: Serve<'_>) -> io::Result<()> {
    let context = Context::new(&serve);
    let registry = Arc::new(Registry::default());
    let stack_bytes = serve.options.stack_len()?;
    let mut headroom = Headroom::new()?;
    let mut served = Ok(());
    for listener in serve.listeners {
        let mut acceptor = Acceptor::new(listener, Sockets::Blocking, serve.counters.clone())?;
        served = acceptor.accept_until(serve.stop, "spawn", |stream, number| {
            let place = Place::of_admitted(&context);
            headroom.check(serve.options.stack_bytes, registry.threads())?;
            begin(stream, place, number, stack_bytes, &registry)
        });
    }
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
    let run = move || serve_here(stream, place.open(number), &here);
    thread::Builder::new().stack_size(stack_bytes).spawn(run).map(drop)
}

//! A target from binding to its end. What it serves is the model's affair, what it
//! tells is the control plane's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use brink_host::socket;
use brink_wire::control::{self, Ready};

use crate::context::Serve;
use crate::control::{ControlPlane, OwnProcess};
use crate::counters::Counters;
use crate::options::Options;
use crate::stop::Stop;
use crate::work::Work;

/// Binds, calls `on_ready` once connections will be answered, and serves until `stop` is
/// requested (by the caller or through the control plane). Returns what was counted.
///
/// # Errors
/// `InvalidInput` for options that contradict themselves; what the kernel said, with the
/// address, when one cannot be bound; what a model cannot go on without.
pub fn run(
    options: &Options,
    stop: &Stop,
    on_ready: &mut dyn FnMut(&Ready),
) -> io::Result<control::Counters> {
    options.check()?;
    // Before threads share it: a table of descriptors that grows while it serves holds up whoever accepts.
    brink_host::descriptor_table::make_room(options.connections_max.unwrap_or(u64::MAX));
    let listeners = if options.model.has_listener_per_thread { options.threads as usize } else { 1 };
    let listen = if options.shares_port { socket::listen_beside } else { socket::listen };
    let listeners = listen(options.listen, options.backlog, listeners)
        .map_err(|error| cannot_listen("cannot listen", options.listen, &error))?;
    let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
    let address = match listeners.first() {
        Some(listener) => listener.local_addr()?,
        None => return Err(io::Error::other("no listener was made")),
    };
    let control = options
        .control
        .map(|at| {
            ControlPlane::bind(at).map_err(|error| cannot_listen("control plane cannot listen", at, &error))
        })
        .transpose()?;
    let pid = std::process::id();
    let ready = Ready {
        address,
        control: control.as_ref().map(ControlPlane::address),
        pid,
        workers: vec![pid],
        model: options.model.name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let counters = Counters::new(options.connections_max);
    let work = Work::calibrate();
    let control = control
        .map(|plane| {
            let own = OwnProcess::new(options, &ready, &counters, work, &listeners);
            plane.start(Arc::new(own), options.token.clone(), stop)
        })
        .transpose()?;
    on_ready(&ready);
    let served = (options.model.serve)(Serve { listeners, stop, counters: &counters, options, work });
    let ended = control.map_or(Ok(()), crate::control::Running::end);
    served.and(ended)?;
    Ok(counters.read())
}

/// Keeps the kind, and says what was tried.
fn cannot_listen(what: &str, address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} on {address}: {error}"))
}

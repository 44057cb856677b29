//! `brink target --processes P`: several processes that serve one port. This one only supervises:
//! it holds the port, starts the workers, tells about all of them, notices when one dies, and ends
//! them. It starts none again: a result must not hide that a worker died.

mod crew;
mod desk;
mod tally;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brink_target::control::{ControlPlane, Running};
use brink_target::{Options, Stop};
use brink_wire::control::{Counters, Ready};

use self::crew::Crew;
use self::desk::Desk;
use self::worker::Worker;

/// For workers to end in good order: less than whoever started this process waits for it.
const STOP_WITHIN: Duration = Duration::from_secs(3);
/// For killed ones to be gone.
const KILL_WITHIN: Duration = Duration::from_secs(1);
/// Just so that the wait has an end that an instant can express.
const LONG: Duration = Duration::from_secs(3600);

/// Holds the port, starts `processes` workers of `options`, calls `on_ready` once all of them serve, and
/// supervises them until `stop` is requested. Returns what they counted, as of their last answers.
///
/// To be called on a thread that lives as long as the workers should: they end with it.
///
/// # Errors
/// What the kernel said, with the address, when one cannot be bound; that a worker did not come up; that
/// all of them have died.
pub fn run(
    options: &Options,
    processes: u32,
    stop: &Stop,
    on_ready: &mut dyn FnMut(&Ready),
) -> io::Result<Counters> {
    options.check()?;
    let port = brink_host::socket::hold(options.listen)
        .map_err(|error| explained("cannot listen", options.listen, &error))?;
    let address = port.address()?;
    let plane = options
        .control
        .map(|at| {
            ControlPlane::bind(at).map_err(|error| explained("control plane cannot listen", at, &error))
        })
        .transpose()?;
    let workers = worker::start_all(&share(options, processes, address))?;
    let ready = Ready {
        address,
        control: plane.as_ref().map(ControlPlane::address),
        pid: std::process::id(),
        workers: workers.iter().map(Worker::pid).collect(),
        model: options.model.name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let crew = Arc::new(Crew::new(workers));
    crew.watch(stop)?;
    let start = |plane: ControlPlane| {
        let desk = Desk::new(Arc::clone(&crew), &ready, options.connections_max)?;
        plane.start(Arc::new(desk), options.token.clone(), stop)
    };
    let running = plane.map(start).transpose()?;
    on_ready(&ready);
    while !stop.wait(LONG)? {}
    // Asked while they can still answer.
    let (_, counters) = crew.ask();
    let all_died = crew.end(Instant::now() + STOP_WITHIN, KILL_WITHIN);
    running.map_or(Ok(()), Running::end)?;
    // The port is held until nobody serves on it.
    drop(port);
    match all_died {
        true => Err(io::Error::other(format!("all {processes} workers have died"))),
        false => Ok(counters),
    }
}

/// What each of the workers is asked to be.
///
/// The bound on connections is divided, rounded up: together they hold at least as many as asked, and at
/// most one more for each but the first. Since the kernel spreads connections by a hash of their addresses,
/// not by room, a worker can refuse while another has places left.
fn share(options: &Options, processes: u32, address: SocketAddr) -> Vec<Options> {
    let mut each = options.clone();
    each.listen = address;
    each.shares_port = true;
    each.token = None;
    each.control = options.control.map(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
    each.connections_max = options.connections_max.map(|max| max.div_ceil(u64::from(processes.max(1))));
    vec![each; processes as usize]
}

/// Keeps the kind, and says what was tried.
fn explained(what: &str, address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} on {address}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brink_wire::delay::Delay;

    #[test]
    fn workers_share_the_port_and_the_bound_and_keep_no_secret() {
        let options = Options {
            model: brink_target::find("mio").unwrap(),
            listen: "127.0.0.1:0".parse().unwrap(),
            control: Some("0.0.0.0:7001".parse().unwrap()),
            token: Some("secret".to_owned()),
            threads: 2,
            delay: Delay::ZERO,
            work_us: 5,
            stack_bytes: 1 << 20,
            backlog: 128,
            connections_max: Some(10),
            shares_port: false,
        };
        let address = "127.0.0.1:7000".parse().unwrap();
        let each = share(&options, 3, address);
        assert_eq!(each.len(), 3);
        for worker in &each {
            assert_eq!((worker.listen, worker.shares_port, worker.connections_max), (address, true, Some(4)));
            assert!(worker.control.unwrap().ip().is_loopback() && worker.token.is_none());
            assert!(worker.check().is_ok());
        }
        let unwatched = Options { control: None, connections_max: None, ..options };
        let each = share(&unwatched, 2, address);
        assert!(each.iter().all(|worker| worker.control.is_none() && worker.connections_max.is_none()));
    }
}

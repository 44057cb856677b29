//! The engine that scales: one epoll loop per worker, connections packed in one array, buffers shared by all.
//!
//! A socket is registered once, edge-triggered, and never again. There is no timer per connection: first
//! requests and heartbeats come from a cursor, pauses from a FIFO queue, timeouts from a sweep that looks at
//! a few connections per tick; one timer per worker rings for what is due first. Must not decide when phases
//! begin; the orders say so.

mod alarm;
mod connecting;
mod connection;
mod exchange;
mod linger;
mod opening;
mod sweep;
mod wire;
mod working;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::mio::{Events, Poll, Registry, Token, Waker};

use crate::dial::Dialer;

use crate::live::LatencyTable;
use crate::options::Close;
use crate::pacing::share;
use crate::samples::WorkerSamples;
use crate::stage::{Order, Worker};
use alarm::Alarm;
use connection::{Connection, State};
use linger::Linger;
use opening::Opening;
use sweep::Sweep;
use wire::Wire;
use working::Work;

/// Events taken per call of epoll_wait(2).
const EVENTS: usize = 1024;
/// Attempts, or requests that came due, made before events are looked at again: what a reply waits for at most.
const BATCH: u32 = 32;
/// The token of the waker; connections have their place as token.
const WAKE: Token = Token(usize::MAX);
/// The token of the alarm.
const RING: Token = Token(usize::MAX - 1);

/// One worker, from its start to its samples.
pub(super) fn run(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
    run_polling(worker, Poll::poll)
}

/// [`run`], with `wait` for events. When that fails there is nothing more to learn: the worker ends, and its
/// samples with the failure in them are what it measured until then.
fn run_polling(
    worker: &Worker<'_>,
    mut wait: impl FnMut(&mut Poll, &mut Events, Option<Duration>) -> io::Result<()>,
) -> io::Result<WorkerSamples> {
    let mut poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKE)?;
    worker.on_order(Box::new(move || waker.wake()));
    let mut events = Events::with_capacity(EVENTS);
    let mut driver = Driver::new(*worker, poll.registry())?;
    loop {
        if driver.obey() {
            return Ok(driver.close());
        }
        let waited = driver.step().and_then(|timeout| wait(&mut poll, &mut events, timeout));
        match waited {
            Ok(()) => driver.linger.heard(!events.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                driver.count_failure("poll", &brink_host::errno::name(&error));
                return Ok(driver.close());
            }
        }
        for event in &events {
            match event.token() {
                WAKE => {}
                RING => driver.alarm.rang(),
                _ => driver.on_event(event),
            }
        }
    }
}

/// A worker's connections and all it knows about them.
struct Driver<'a> {
    worker: Worker<'a>,
    connections: Vec<Connection>,
    registry: Registry,
    dialer: Dialer,
    wire: Wire,
    samples: WorkerSamples,
    /// This worker's only one, for who looks meanwhile.
    latencies: Arc<[LatencyTable]>,
    opening: Opening,
    work: Option<Work>,
    sweep: Sweep,
    alarm: Alarm,
    linger: Linger,
    /// Number of the latest order, and whether it is done.
    order: u64,
    arrived: bool,
}

impl<'a> Driver<'a> {
    fn new(worker: Worker<'a>, registry: &Registry) -> io::Result<Self> {
        let options = worker.options;
        let share = share(options.connections, worker.index, worker.workers);
        Ok(Self {
            worker,
            // The whole share at once: pages are touched as connections come, and nothing is ever moved.
            connections: Vec::with_capacity(share as usize),
            registry: registry.try_clone()?,
            dialer: Dialer::new(&worker),
            wire: Wire::new(options),
            samples: WorkerSamples::telling(worker.shard.failures())?,
            latencies: worker.shard.make_latencies(1),
            opening: Opening::new(&worker),
            work: None,
            sweep: Sweep::new(options, share),
            alarm: Alarm::new(worker.stage, registry, RING)?,
            linger: Linger::new(options.busy_poll),
            order: 0,
            arrived: true,
        })
    }

    /// Takes the latest order, if there is one; `true` when it is to close.
    fn obey(&mut self) -> bool {
        let Some((number, order)) = self.worker.order_after(self.order) else { return false };
        (self.order, self.arrived) = (number, false);
        match order {
            Order::Wait => {}
            Order::Open { goal, begin_ns } => self.opening.raise(&self.worker, goal, begin_ns),
            Order::Enough => self.opening.give_up(),
            Order::Work(schedule) => {
                self.work = Some(Work::new(&self.worker, schedule, self.connections.len()));
            }
            Order::Close => return true,
        }
        false
    }

    /// Does what is due, says when the order is done, and returns how long to sleep at most. The alarm rings for
    /// what comes due meanwhile; only the sweep, which may be late, is left to the coarse timeout.
    fn step(&mut self) -> io::Result<Option<Duration>> {
        let now_ns = self.worker.stage.now_ns();
        let vain_ns = self.linger.begin(now_ns);
        if vain_ns > 0 && self.is_at_work(now_ns) {
            self.samples.polled_in_vain_ns += vain_ns;
        }
        let due_ns = if self.opening.wants_more() {
            self.open_more(now_ns)
        } else if self.work.is_some() {
            self.go_on(now_ns)
        } else {
            None
        };
        let sweep_ns = self.sweep(now_ns);
        if !self.arrived && self.is_done(now_ns) {
            self.arrived = true;
            self.worker.arrive(self.order);
        }
        let now_ns = self.worker.stage.now_ns();
        match due_ns {
            Some(due_ns) if due_ns <= now_ns => return Ok(Some(Duration::ZERO)),
            _ if self.linger.stays_awake(now_ns, due_ns) => return Ok(Some(Duration::ZERO)),
            Some(due_ns) => self.alarm.arm(self.linger.wakes_ns(due_ns))?,
            None => {}
        }
        Ok(sweep_ns.map(|sweep_ns| Duration::from_nanos(sweep_ns.saturating_sub(now_ns))))
    }

    fn is_done(&mut self, now_ns: u64) -> bool {
        let connections = self.connections.len();
        let worked = self.work.as_ref().is_none_or(|work| {
            let is_over = self.worker.is_over(&work.schedule, now_ns);
            is_over && work.outstanding == 0 && work.is_proved(connections)
        });
        let worked = worked && !self.owes_arrival();
        if worked {
            self.give_up_arrivals(now_ns);
        }
        self.opening.is_done() && worked
    }

    /// Makes attempts as far as rate and window let it; returns when the next is due. Where the window is
    /// what holds it up, an event will tell.
    fn open_more(&mut self, mut now_ns: u64) -> Option<u64> {
        for _ in 0..BATCH {
            if !self.opening.wants_more() || self.opening.is_full() {
                return None;
            }
            if let Some(pacer) = self.opening.pacer.as_mut() {
                let due_ns = pacer.due_ns(self.opening.attempted);
                if due_ns > now_ns {
                    return Some(due_ns);
                }
                pacer.take(self.opening.attempted, now_ns);
            }
            now_ns = self.attempt(now_ns);
        }
        Some(now_ns)
    }

    /// Looks at some connections whether what is under way takes too long. Returns when to come again.
    fn sweep(&mut self, now_ns: u64) -> Option<u64> {
        let outstanding = self.work.as_ref().map_or(0, |work| work.outstanding);
        if self.opening.under_way == 0 && outstanding == 0 {
            return None;
        }
        if now_ns < self.sweep.due_ns {
            return Some(self.sweep.due_ns);
        }
        for _ in 0..self.sweep.tick(now_ns, self.connections.len()) {
            let slot = self.sweep.take(self.connections.len());
            if self.is_overdue(slot, now_ns) {
                self.lose(slot, "timeout");
            }
        }
        Some(self.sweep.due_ns)
    }

    /// Whether what is under way on a connection has taken longer than it may.
    fn is_overdue(&self, slot: usize, now_ns: u64) -> bool {
        let connection = &self.connections[slot];
        let timeout_ns = match connection.state {
            State::Closed | State::Parked | State::Idle => return false,
            State::Requested => self.sweep.reply_timeout_ns,
            State::Connecting | State::Reopening | State::Verifying | State::FinalVerifying => {
                self.sweep.verify_timeout_ns
            }
        };
        now_ns.saturating_sub(connection.since_ns) > timeout_ns
    }

    /// Closes everything and returns the samples. What is under way is abandoned, which only an interruption
    /// leaves to do: attempts count as not made, requests as not intended. Where the run was cut short, what is not
    /// there has timed out.
    fn close(mut self) -> WorkerSamples {
        let Worker { options, index, workers, .. } = self.worker;
        if self.worker.stage.is_cut_short() {
            self.time_out();
        }
        self.give_up_arrivals(self.worker.stage.now_ns());
        for slot in 0..self.connections.len() {
            let state = self.connections[slot].state;
            if state.is_open() {
                self.samples.live_at_end += 1;
                self.worker.count_close();
            }
            if state.has_request() {
                self.worker.shard.settle(false);
                if self.is_counted(self.clock_ns(slot)) {
                    self.samples.requests_intended -= 1;
                    self.samples.requests_abandoned += 1;
                }
            }
            self.drop_socket(slot);
        }
        let requested = share(options.connections, index, workers);
        self.samples.not_attempted = requested - self.opening.attempted + u64::from(self.opening.under_way);
        debug_assert!(self.samples.adds_up(requested), "unaccounted for: {:?}", self.samples);
        self.samples
    }

    /// Closes a connection's socket, if it has one. epoll(7) forgets a socket that is closed.
    fn drop_socket(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        connection.state = State::Closed;
        connection.partial = None;
        if let Some(socket) = connection.socket.take()
            && self.worker.options.close == Close::Rst
        {
            // If the option cannot be set, the connection ends by FIN: it ends, that is what counts here.
            let _fin = brink_host::socket::set_reset_on_close(&socket);
        }
    }

    /// The identity of a connection.
    fn id(&self, slot: usize) -> u64 {
        let place = slot as u64 * u64::from(self.worker.workers) + u64::from(self.worker.index);
        self.worker.options.first_connection_id.wrapping_add(place)
    }
}

#[cfg(test)]
#[path = "mio/driver_tests.rs"]
mod tests;

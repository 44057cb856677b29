//! A fixed number of lanes, each on a thread of its own and with its share of the connections, that follow the orders
//! together and share one hub. Must not touch a connection, and must not make a thread later.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use brink_host::headroom::Headroom;

use super::Lane;
use super::blocking::{Bells, Blocking, block};
use super::hub::Hub;
use super::opening::dial;
use super::ramp::Ramp;
use super::signals::Signals;
use super::wait::{Signal, Wait};
use crate::dial::Dialer;
use crate::engines::threads::{STACK_BYTES, shards};
use crate::samples::WorkerSamples;
use crate::stage::{Order, Worker};

/// How often the live counters are shown.
const SHOW: Duration = Duration::from_millis(100);

/// The one worker, from its start to its samples, with so many lanes.
///
/// Where there is no room for a thread, or it cannot be made, that is a failure in phase `spawn`, and no connection is
/// opened: fewer lanes would be another load. Those that were made stay until the end of the run, so that what they
/// use can be seen.
///
/// # Errors
/// What keeps anything from being made.
pub(in crate::engines) fn run(worker: &Worker<'_>, lanes: u32) -> io::Result<WorkerSamples> {
    let hub = Arc::new(Hub::new(worker, shards().min(lanes))?);
    let bells = Bells::new()?;
    let mut headroom = Headroom::new()?;
    let post = Post::new();
    let this = thread::current();
    worker.on_order(Box::new(move || {
        this.unpark();
        Ok(())
    }));
    let followed = thread::scope(|scope| {
        let mut crew = Crew { worker, hub: &hub, bells: &bells, post: &post, lanes, made: 0 };
        let _dismissal = Dismissal(crew);
        while crew.made < lanes {
            let (index, lane) = (crew.made, crew);
            let live = move || lane.lane(index);
            let spawn = |()| thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, live);
            let room = headroom.check(STACK_BYTES as u64, u64::from(index));
            if let Err(error) = room.and_then(spawn) {
                hub.give_up();
                hub.counts.of(index).attempt();
                hub.attempt_failed(index, "spawn", &brink_host::errno::name(&error), None);
                break;
            }
            crew.made += 1;
        }
        crew.follow_orders()
    });
    if let Err(error) = followed {
        hub.failure(0, "poll", &brink_host::errno::name(&error));
    }
    worker.shard.set(hub.counts.sums());
    hub.collect()
}

/// What the lanes share beside the hub.
#[derive(Clone, Copy)]
struct Crew<'a> {
    worker: &'a Worker<'a>,
    hub: &'a Arc<Hub>,
    bells: &'a Bells,
    post: &'a Post,
    lanes: u32,
    /// Lanes that could be made.
    made: u32,
}

/// Has all lanes end when dropped: the scope waits for them, also where a thread could not be made.
struct Dismissal<'a>(Crew<'a>);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.hub.give_up_arrivals();
        self.0.hub.dismiss();
        self.0.post.publish(u64::MAX, Order::Close);
        // A bell that cannot be rung leaves nothing to be done.
        let _lost = self.0.bells.ring(Signal::Close);
    }
}

impl Crew<'_> {
    /// Passes the orders on and says when all have done them, until that is to close or a lane has failed.
    fn follow_orders(self) -> io::Result<()> {
        let (mut seen, mut arrived, mut works, mut signals) = (0, true, false, Signals::default());
        loop {
            if let Some((number, order)) = self.worker.order_after(seen) {
                (seen, arrived) = (number, false);
                match order {
                    Order::Close => return Ok(()),
                    // The lanes see it on their way up, and are done with that.
                    Order::Enough => {
                        self.hub.give_up();
                        continue;
                    }
                    Order::Work(schedule) => {
                        self.hub.begin(schedule);
                        works = true;
                    }
                    Order::Wait | Order::Open { .. } => {}
                }
                self.post.publish(number, order);
            }
            if works {
                signals.give(&self.hub.stage, |signal| self.bells.ring(signal))?;
            }
            if self.post.is_lost() {
                // It said why; what was measured until then is kept.
                return Ok(());
            }
            self.worker.shard.set(self.hub.counts.sums());
            if !arrived && self.post.done() == u64::from(self.made) {
                arrived = true;
                if works {
                    self.hub.give_up_arrivals();
                }
                self.worker.shard.set(self.hub.counts.sums());
                self.worker.arrive(seen);
            }
            thread::park_timeout(SHOW);
        }
    }

    /// The life of a lane, on its thread.
    fn lane(self, index: u32) {
        let _leaving = Leaving(self.post);
        let worker = Worker { index, workers: self.lanes, ..*self.worker };
        let wait = Blocking::new(Arc::clone(self.hub), self.bells);
        let mut lane = Lane::new(Arc::clone(self.hub), wait, index, self.lanes);
        if let Err(error) = block(lane.obey(&worker, self.post)) {
            self.hub.failure(index, "poll", &brink_host::errno::name(&error));
        }
    }
}

impl<W: Wait> Lane<W> {
    /// Does as it is ordered until that is to close.
    async fn obey(&mut self, worker: &Worker<'_>, post: &Post) -> io::Result<()> {
        let (mut ramp, mut dialer, mut seen) = (Ramp::new(worker), Dialer::new(worker), 0);
        loop {
            let (number, order) = post.order_after(seen);
            seen = number;
            match order {
                Order::Wait | Order::Enough => {}
                Order::Open { goal, begin_ns } => {
                    ramp.raise(goal, begin_ns);
                    self.go_up(&mut ramp, &mut dialer).await?;
                }
                Order::Work(schedule) => self.work(schedule).await?,
                Order::Close => return Ok(()),
            }
            post.count_done();
        }
    }

    /// Opens the connections of a ramp, one after the other.
    async fn go_up(&mut self, ramp: &mut Ramp, dialer: &mut Dialer) -> io::Result<()> {
        while let Some(due_ns) = ramp.due_ns().filter(|_| !self.hub.gave_up() && !self.hub.is_closing()) {
            let now_ns = self.now_ns();
            if due_ns > now_ns {
                self.wait.wait(None, Some(due_ns), Signal::Close).await?;
                continue;
            }
            ramp.take(now_ns);
            self.hub.counts.of(self.index).attempt();
            match dial(&self.hub, dialer) {
                Ok(dialing) => self.open(dialing).await,
                Err((phase, errno)) => {
                    // Its place stays empty: a connection's identity is its place.
                    self.connections.push(super::Connection::gone());
                    self.hub.attempt_failed(self.index, phase, &errno, None);
                }
            }
        }
        Ok(())
    }
}

/// Where the orders lie that the lanes follow, and how many have done the latest.
struct Post {
    latest: Mutex<(u64, Order)>,
    changed: Condvar,
    done: AtomicU64,
    lost: AtomicBool,
    coordinator: Thread,
}

impl Post {
    fn new() -> Self {
        Self {
            latest: Mutex::new((0, Order::Wait)),
            changed: Condvar::new(),
            done: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            coordinator: thread::current(),
        }
    }

    /// Gives all lanes an order. Those before are done, or it is to close.
    fn publish(&self, number: u64, order: Order) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        self.done.store(0, Ordering::Release);
        *latest = (number, order);
        self.changed.notify_all();
    }

    /// The latest order and its number, once it came after number `seen`.
    fn order_after(&self, seen: u64) -> (u64, Order) {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *self.changed.wait_while(latest, |latest| latest.0 == seen).unwrap_or_else(PoisonError::into_inner)
    }

    fn count_done(&self) {
        self.done.fetch_add(1, Ordering::AcqRel);
        self.coordinator.unpark();
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Whether a lane has ended, which before the order to close means that it failed.
    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// Says that a lane has ended, however it does.
struct Leaving<'a>(&'a Post);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.lost.store(true, Ordering::Release);
        self.0.coordinator.unpark();
    }
}

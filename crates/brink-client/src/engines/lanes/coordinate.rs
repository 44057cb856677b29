//! One worker whose connections are lanes of their own: starts them at the pace that was asked, passes the orders on
//! to all at once, and says when they are done. Must not touch a connection that was started.

use std::io;
use std::thread;
use std::time::Duration;

use super::hub::Hub;
use super::opening::{Dialing, dial};
use super::ramp::Ramp;
use super::signals::Signals;
use super::wait::Signal;
use crate::dial::Dialer;
use crate::stage::{Order, Schedule, Worker};

/// How often the live counters are shown.
const SHOW: Duration = Duration::from_millis(100);
/// Attempts made before anything else is looked at.
const BATCH: u32 = 64;

/// What an engine does for its coordinator.
pub(in crate::engines) trait Lanes {
    /// Whether there is room for one more lane.
    ///
    /// # Errors
    /// What starting one would fail with.
    fn room(&mut self) -> io::Result<()>;

    /// Starts the lane of connection `index`.
    ///
    /// # Errors
    /// Whatever kept it from starting: the lane was dropped.
    fn start(&mut self, index: u32, dialing: Dialing) -> io::Result<()>;

    /// Gives a signal to all lanes.
    ///
    /// # Errors
    /// Where they cannot be reached.
    fn call(&self, signal: Signal) -> io::Result<()>;
}

/// Follows the orders until that is to close. Lanes that were started may still run then.
///
/// # Errors
/// Where the lanes cannot be reached.
pub(in crate::engines) fn coordinate(
    worker: &Worker<'_>,
    hub: &Hub,
    lanes: &mut dyn Lanes,
) -> io::Result<()> {
    let this = thread::current();
    worker.on_order(Box::new(move || {
        this.unpark();
        Ok(())
    }));
    let ramp = Ramp::new(worker);
    let dialer = Dialer::new(worker);
    let mut coordinator =
        Coordinator { worker, hub, lanes, ramp, dialer, started: 0, signals: Signals::default() };
    let closed = coordinator.follow_orders();
    hub.give_up_arrivals();
    // Whatever happened: no lane is left waiting.
    hub.dismiss();
    coordinator.lanes.call(Signal::Close).and(closed)
}

struct Coordinator<'a> {
    worker: &'a Worker<'a>,
    hub: &'a Hub,
    lanes: &'a mut dyn Lanes,
    ramp: Ramp,
    dialer: Dialer,
    /// Lanes.
    started: u64,
    signals: Signals,
}

impl Coordinator<'_> {
    fn follow_orders(&mut self) -> io::Result<()> {
        let (mut seen, mut arrived, mut work) = (0, true, None);
        loop {
            if let Some((number, order)) = self.worker.order_after(seen) {
                (seen, arrived) = (number, false);
                match order {
                    Order::Wait => {}
                    Order::Open { goal, begin_ns } => self.ramp.raise(goal, begin_ns),
                    Order::Enough => self.hub.give_up(),
                    Order::Work(schedule) => {
                        self.hub.begin(schedule);
                        // What has no lane has no turn.
                        self.hub.stage.pass_first_turns(self.worker.options.connections - self.started);
                        self.lanes.call(Signal::Begin)?;
                        work = Some(schedule);
                    }
                    Order::Close => return Ok(()),
                }
            }
            let due_ns = self.go_up();
            if work.is_some() {
                self.signals.give(&self.hub.stage, |signal| self.lanes.call(signal))?;
            }
            if !arrived && self.is_done(work) {
                arrived = true;
                if work.is_some() {
                    self.hub.give_up_arrivals();
                }
                self.worker.shard.set(self.hub.counts.sums());
                self.worker.arrive(seen);
            }
            self.worker.shard.set(self.hub.counts.sums());
            let end_ns = work.map(|schedule| schedule.window_end_ns);
            self.sleep(due_ns, end_ns);
        }
    }

    /// Starts as many lanes as may be; returns when the next may be, if time alone brings that.
    fn go_up(&mut self) -> Option<u64> {
        for _ in 0..BATCH {
            let due_ns = self.ramp.due_ns().filter(|_| !self.hub.gave_up())?;
            let now_ns = self.hub.stage.now_ns();
            if due_ns > now_ns {
                return Some(due_ns);
            }
            if self.ramp.attempted - self.hub.settled() >= self.ramp.window() {
                return None;
            }
            let index = self.ramp.attempted as u32;
            self.ramp.take(now_ns);
            self.hub.counts.of(index).attempt();
            if let Err((phase, errno)) = self.attempt(index) {
                self.hub.attempt_failed(index, phase, &errno, None);
            }
        }
        Some(0)
    }

    /// Makes one attempt, as far as it can be made here.
    fn attempt(&mut self, index: u32) -> Result<(), (&'static str, String)> {
        let spawn = |error: io::Error| ("spawn", brink_host::errno::name(&error));
        let dialing = match self.lanes.room() {
            Ok(()) => dial(self.hub, &mut self.dialer),
            Err(error) => Err(spawn(error)),
        };
        // A lane settles its attempt itself, also when it is dropped before it began.
        match dialing {
            Ok(dialing) => {
                self.started += 1;
                self.lanes.start(index, dialing).map_err(spawn)
            }
            Err(failed) => {
                self.hub.settle();
                Err(failed)
            }
        }
    }

    /// Whether the latest order is done.
    fn is_done(&self, work: Option<Schedule>) -> bool {
        let is_up = self.ramp.due_ns().is_none() || self.hub.gave_up();
        let is_settled = self.hub.settled() == self.ramp.attempted;
        let has_worked = work.is_none_or(|schedule| {
            let is_over = self.worker.is_over(&schedule, self.hub.stage.now_ns());
            is_over && self.hub.lanes_done() == self.started
        });
        is_up && is_settled && has_worked
    }

    /// Sleeps until an order comes, a lane is done, or one of these instants.
    fn sleep(&self, due_ns: Option<u64>, end_ns: Option<u64>) {
        let now_ns = self.hub.stage.now_ns();
        let next_ns = due_ns.into_iter().chain(end_ns.filter(|&end_ns| end_ns > now_ns)).min();
        let left = next_ns.map_or(SHOW, |next_ns| Duration::from_nanos(next_ns.saturating_sub(now_ns)));
        if !left.is_zero() {
            thread::park_timeout(left.min(SHOW));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engines::lanes::Lane;
    use crate::engines::lanes::blocking::{Bells, Blocking};
    use crate::live::LiveCounters;
    use crate::options::{LoadOptions, tests::options};
    use crate::samples::WorkerSamples;
    use crate::stage::Stage;

    /// An engine that has room for so many lanes, and cannot start them.
    struct Unable {
        room: u64,
        hub: Arc<Hub>,
        bells: Bells,
    }

    impl Lanes for Unable {
        fn room(&mut self) -> io::Result<()> {
            self.room = self.room.checked_sub(1).ok_or_else(|| io::Error::from_raw_os_error(12))?;
            Ok(())
        }

        fn start(&mut self, index: u32, _: Dialing) -> io::Result<()> {
            drop(Lane::new(
                Arc::clone(&self.hub),
                Blocking::new(Arc::clone(&self.hub), &self.bells),
                index,
                1,
            ));
            Err(io::Error::from_raw_os_error(11))
        }

        fn call(&self, signal: Signal) -> io::Result<()> {
            self.bells.ring(signal)
        }
    }

    fn run(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
        let hub = Arc::new(Hub::new(worker, 2)?);
        coordinate(worker, &hub, &mut Unable { room: 7, hub: Arc::clone(&hub), bells: Bells::new()? })?;
        worker.shard.set(hub.counts.sums());
        hub.collect()
    }

    #[test]
    fn lanes_that_cannot_be_started_are_counted_and_given_up_on() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let options = LoadOptions { target: listener.local_addr().unwrap(), ..options(500) };
        let (live, stage) = (LiveCounters::new(1), Stage::new(1, None));
        let worker =
            Worker { index: 0, workers: 1, options: &options, stage: &stage, shard: &live.shards()[0] };
        stage.publish(Order::Open { goal: 500, begin_ns: 0 });
        let samples = thread::scope(|scope| {
            let running = scope.spawn(move || worker.run(run));
            while !stage.all_arrived() {
                thread::park_timeout(Duration::from_millis(1));
            }
            stage.publish(Order::Close);
            running.join().unwrap().unwrap()
        });
        let failures: Vec<_> =
            samples.failures.iter().map(|f| (f.phase, f.errno.as_str(), f.count)).collect();
        assert_eq!(failures, [("spawn", "EAGAIN", 7), ("spawn", "ENOMEM", 100)]);
        assert_eq!((samples.failed, samples.not_attempted), (107, 393));
        assert_eq!((live.snapshot().attempted, live.snapshot().failed), (107, 107));
    }
}

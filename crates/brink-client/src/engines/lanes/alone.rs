//! A lane that is a worker of its own, on the worker's thread. Must not know how many others there are.

use std::io;
use std::sync::Arc;

use super::Lane;
use super::blocking::{Bell, Blocking, block};
use super::hub::Hub;
use super::opening::dial;
use super::ramp::Ramp;
use super::wait::{Signal, Wait};
use crate::dial::Dialer;
use crate::samples::WorkerSamples;
use crate::stage::{Order, Worker};

/// One worker, from its start to its samples.
pub(in crate::engines) fn run(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
    let hub = Arc::new(Hub::new(worker, 1)?);
    let bell = Arc::new(Bell::new()?);
    let ringing = Arc::clone(&bell);
    worker.on_order(Box::new(move || ringing.ring()));
    let wait = Blocking::alone(Arc::clone(&hub), &bell, worker.shard);
    let mut lane = Lane::new(Arc::clone(&hub), wait, worker.index, worker.workers);
    if let Err(error) = block(obey(&mut lane, worker)) {
        // There is nothing to be learned any more; what was measured until then is kept.
        hub.failure(worker.index, "poll", &brink_host::errno::name(&error));
    }
    hub.give_up_arrivals();
    drop(lane);
    worker.shard.set(hub.counts.sums());
    hub.collect()
}

/// Does as it is ordered until that is to close.
async fn obey<W: Wait>(lane: &mut Lane<W>, worker: &Worker<'_>) -> io::Result<()> {
    let (mut ramp, mut dialer, mut seen) = (Ramp::new(worker), Dialer::new(worker), 0);
    loop {
        let Some((number, order)) = worker.order_after(seen) else {
            lane.wait.wait(None, None, Signal::Close).await?;
            continue;
        };
        seen = number;
        match order {
            Order::Wait => {}
            Order::Open { goal, begin_ns } => {
                ramp.raise(goal, begin_ns);
                lane.go_up(&mut ramp, &mut dialer).await?;
            }
            Order::Work(schedule) => {
                lane.hub.begin(schedule);
                lane.work(schedule).await?;
                if !lane.hub.is_closing() {
                    lane.hub.give_up_arrivals();
                }
            }
            Order::Close => return Ok(()),
        }
        if !lane.hub.is_closing() {
            worker.shard.set(lane.hub.counts.sums());
            worker.arrive(seen);
        }
    }
}

impl<W: Wait> Lane<W> {
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

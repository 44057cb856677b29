//! The engine with a blocking thread per connection: what a test with many threads does.
//!
//! A thread's stack is 64 KiB of address space, of which an exchange touches a few pages. All threads wait for the
//! workload on one eventfd(2), so that one write wakes them together. Must not exceed the memory maps of the process.

use std::io;
use std::sync::Arc;
use std::thread::{self, Scope};

use brink_host::headroom::Headroom;

use super::lanes::Lane;
use super::lanes::blocking::{Bells, Blocking, block};
use super::lanes::coordinate::{Lanes, coordinate};
use super::lanes::hub::Hub;
use super::lanes::opening::Dialing;
use super::lanes::wait::Signal;
use crate::samples::WorkerSamples;
use crate::stage::Worker;

/// Address space of a thread's stack: a checked exchange takes some 8 KiB of it, with a large payload some 24 KiB.
pub(super) const STACK_BYTES: usize = 64 * 1024;
/// Sets of samples: threads that run at once seldom want the same.
const SHARDS_MAX: u32 = 16;

/// The one worker, from its start to its samples.
pub(super) fn run(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
    let hub = Arc::new(Hub::new(worker, shards())?);
    let bells = Bells::new()?;
    let headroom = Headroom::new()?;
    let coordinated = thread::scope(|scope| {
        let _dismissal = Dismissal(&hub, &bells);
        let lanes = worker.options.connections as u32;
        let mut threads = Threads { scope, hub: &hub, bells: &bells, lanes, headroom, started: 0 };
        coordinate(worker, &hub, &mut threads)
    });
    if let Err(error) = coordinated {
        hub.failure(0, "poll", &brink_host::errno::name(&error));
    }
    worker.shard.set(hub.counts.sums());
    hub.collect()
}

/// Has all threads end when dropped: the scope waits for them, also where their coordinator failed or panicked.
struct Dismissal<'a>(&'a Hub, &'a Bells);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.dismiss();
        // A bell that cannot be rung leaves nothing to be done.
        let _lost = self.1.ring(Signal::Close);
    }
}

/// Sets of samples for as many lanes as can run at once.
pub(super) fn shards() -> u32 {
    thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32).min(SHARDS_MAX)
}

struct Threads<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    hub: &'env Arc<Hub>,
    bells: &'env Bells,
    lanes: u32,
    headroom: Headroom,
    /// Threads that were begun, those that have ended included: so many there are at most.
    started: u64,
}

impl Lanes for Threads<'_, '_> {
    fn room(&mut self) -> io::Result<()> {
        self.headroom.check(STACK_BYTES as u64, self.started)
    }

    fn start(&mut self, index: u32, dialing: Dialing) -> io::Result<()> {
        let wait = Blocking::new(Arc::clone(self.hub), self.bells);
        let lane = Lane::new(Arc::clone(self.hub), wait, index, self.lanes);
        let live = move || block(lane.live(dialing));
        self.started += 1;
        thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(self.scope, live).map(drop)
    }

    fn call(&self, signal: Signal) -> io::Result<()> {
        self.bells.ring(signal)
    }
}

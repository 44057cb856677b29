//! What the engines share that make one exchange at a time: a lane drives some connections, waits until the next is
//! due, sends, waits for the reply, and goes on.
//!
//! A lane is written once, as a future. Where its waits block ([`blocking`]) it is an ordinary thread; where they
//! yield it is a task. A lane learns what became of a connection when its turn comes; one that has a single
//! connection also while it rests. Must not know which engine it belongs to.

mod arrivals;
pub(super) mod blocking;
mod connection;
pub(super) mod coordinate;
mod counts;
pub(super) mod crew;
mod exchange;
pub(super) mod hub;
pub(super) mod opening;
mod ramp;
mod signals;
mod turns;
pub(super) mod wait;
mod working;

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use crate::options::{Close, Workload};
use crate::stage::Schedule;
use connection::{Connection, Standing};
use hub::{Finished, Hub};
use opening::Dialing;
use wait::{Signal, Wait};

/// Finished exchanges that a lane keeps before it takes the lock of its samples.
const FINISHED_MAX: usize = 8;

/// Why an exchange did not end with a reply.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// The run ends: whatever was under way is abandoned.
    Closing,
    /// The connection is of no more use: an errno by name, or a name of our own.
    Lost(Cow<'static, str>),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Lost(brink_host::errno::name(&error).into())
    }
}

/// Connections that take turns. When it is dropped they are closed and counted, wherever they were: that is how a
/// run ends.
pub(super) struct Lane<W: Wait> {
    hub: Arc<Hub>,
    wait: W,
    /// Which lane, of how many: connection i of the run belongs to lane `i % lanes`, at place `i / lanes`.
    index: u32,
    lanes: u32,
    connections: Vec<Connection<W::Socket>>,
    /// Not yet among the samples. Holds no memory before the first.
    finished: Vec<Finished>,
    /// Where the clock of the request under way started.
    under_way: Option<u64>,
    /// Whether its attempt was counted as settled, and its work as done.
    settled: bool,
    done: bool,
    /// First turns of a burst that its connections have not had.
    first_turns: u32,
}

impl<W: Wait> Lane<W> {
    /// A lane without connections.
    pub(super) fn new(hub: Arc<Hub>, wait: W, index: u32, lanes: u32) -> Self {
        let share = crate::pacing::share(hub.options.connections, index, lanes);
        let first_turns = if hub.options.workload == Workload::Burst { share as u32 } else { 0 };
        Self {
            hub,
            wait,
            index,
            lanes,
            connections: Vec::with_capacity(share as usize),
            finished: Vec::new(),
            under_way: None,
            settled: false,
            done: false,
            first_turns,
        }
    }

    fn now_ns(&self) -> u64 {
        self.hub.stage.now_ns()
    }

    /// The identity of a connection.
    fn id(&self, slot: usize) -> u64 {
        let place = slot as u64 * u64::from(self.lanes) + u64::from(self.index);
        self.hub.options.first_connection_id.wrapping_add(place)
    }

    /// Whether nothing more is to be sent.
    fn is_over(&self, schedule: &Schedule) -> bool {
        self.hub.is_closing() || self.hub.is_over(schedule, self.now_ns())
    }

    fn is_gone(&self) -> bool {
        self.connections.iter().all(|connection| connection.standing == Standing::Gone)
    }

    /// Waits for an instant or a signal. A lane's only connection is watched meanwhile.
    async fn rest(&mut self, until_ns: Option<u64>, signal: Signal) -> io::Result<()> {
        let only = match self.connections.as_slice() {
            [only] => only.socket.as_ref().map(|socket| (socket, wait::Interest::Read)),
            _ => None,
        };
        if self.wait.wait(only, until_ns, signal).await? == wait::Woken::Ready {
            self.look(0);
        }
        Ok(())
    }

    /// Looks at what the peer did to an idle connection. One that it closed in good order is made again when it is
    /// needed, where the workload is not about the connections themselves.
    fn look(&mut self, slot: usize) {
        let Some(socket) = self.connections[slot].socket.as_ref() else { return };
        let mut byte = [0];
        match W::read(socket, &mut byte) {
            Ok(0) => self.peer_closed(slot),
            Ok(_) => self.peer_failed(slot, "unexpected_bytes"),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => self.peer_failed(slot, &brink_host::errno::name(&error)),
        }
    }

    /// The peer does something wrong to an idle connection. One that waits for its turn is made again then, and not
    /// also a while after it was lost, which would be a turn too many.
    fn peer_failed(&mut self, slot: usize, errno: &str) {
        if self.is_made_again() {
            self.drop_socket(slot);
            self.hub.failure(self.index, "idle", errno);
        } else {
            self.lose(slot, "idle", errno);
        }
    }

    /// Whether connections that are lost are made again.
    fn is_made_again(&self) -> bool {
        self.hub.options.reopens() && self.hub.schedule().is_some()
    }

    /// The peer closes an idle connection in good order.
    fn peer_closed(&mut self, slot: usize) {
        if self.hub.options.reopens() {
            self.drop_socket(slot);
        } else {
            self.lose(slot, "idle", "closed");
        }
    }

    /// An open connection is of no more use. Where connections are made again it is tried again later.
    fn lose(&mut self, slot: usize, phase: &'static str, errno: &str) {
        self.drop_socket(slot);
        let standing = if self.is_made_again() { Standing::Down } else { Standing::Gone };
        self.connections[slot].standing = standing;
        self.hub.with(self.index, |samples| samples.closed_early += 1);
        self.hub.failure(self.index, phase, errno);
        self.hub.stage.count_close();
        self.hub.counts.of(self.index).close();
    }

    /// Closes a connection's socket, if it has one.
    fn drop_socket(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        connection.partial = None;
        if let Some(socket) = connection.socket.take()
            && self.hub.options.close == Close::Rst
        {
            // If the option cannot be set, the connection ends by FIN: it ends, that is what counts here.
            let _fin = brink_host::socket::set_reset_on_close(&socket);
        }
    }

    /// Counts a finished exchange, at the latest when as many are there as are kept.
    fn finish(&mut self, finished: Finished) {
        if self.finished.capacity() == 0 {
            self.finished.reserve_exact(FINISHED_MAX);
        }
        self.finished.push(finished);
        if self.finished.len() >= FINISHED_MAX {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.hub.count(self.index, &self.finished);
        self.finished.clear();
    }

    fn mark_settled(&mut self) {
        if !self.settled {
            self.settled = true;
            self.hub.settle();
        }
    }

    fn mark_done(&mut self) {
        if !self.done {
            self.done = true;
            self.hub.done();
        }
    }
}

impl<W: Wait> Drop for Lane<W> {
    /// What is under way is abandoned, which only an interruption leaves to do: attempts count as not made, requests
    /// as not intended. Where the run was cut short, what is not there has timed out.
    fn drop(&mut self) {
        self.flush();
        self.hub.stage.pass_first_turns(u64::from(self.first_turns));
        if self.hub.stage.is_cut_short() {
            self.time_out();
        }
        let counts = self.hub.counts.of(self.index);
        let mut live = 0;
        for connection in self.connections.iter().filter(|connection| connection.standing == Standing::Open) {
            debug_assert!(connection.requests > 0, "open, and never verified");
            counts.close();
            self.hub.stage.count_close();
            live += 1;
        }
        let abandoned = self.under_way.take();
        if abandoned.is_some() {
            counts.give_up();
        }
        let counted =
            abandoned.zip(self.hub.schedule()).is_some_and(|(since_ns, work)| work.in_window(since_ns));
        self.hub.with(self.index, |samples| {
            samples.live_at_end += live;
            samples.requests_abandoned += u64::from(counted);
        });
        (0..self.connections.len()).for_each(|slot| self.drop_socket(slot));
        self.mark_settled();
        self.mark_done();
    }
}

impl<W: Wait> Lane<W> {
    /// The run is cut short: a request under way, and the proofs of a hold that are not there, have failed.
    fn time_out(&mut self) {
        if let Some(since_ns) = self.under_way.take() {
            self.hub.counts.of(self.index).give_up();
            self.hub.count_failed(self.index, since_ns, hub::Before::default());
            self.hub.failure(self.index, "request", "timeout");
        }
        let holds = matches!(self.hub.options.workload, Workload::Hold { .. });
        for slot in 0..self.connections.len() {
            let connection = &self.connections[slot];
            if holds && connection.standing == Standing::Open && !connection.is_proved {
                self.lose(slot, "final_verify", "timeout");
            }
        }
    }

    /// The life of a lane that has one connection: opens it, waits for the workload, takes part in it, and waits for
    /// the end of the run.
    ///
    /// Written as a block because an `async fn` keeps its arguments twice, and each byte of this future is paid for
    /// by each connection.
    #[expect(clippy::manual_async_fn, reason = "the future is smaller this way")]
    pub(super) fn live(mut self, dialing: Dialing) -> impl Future<Output = ()> + Send {
        async move {
            self.open(dialing).await;
            self.mark_settled();
            if let Err(error) = self.live_on().await {
                // There is nothing to be learned any more; what was measured until then is kept.
                self.hub.failure(self.index, "poll", &brink_host::errno::name(&error));
            }
        }
    }

    async fn live_on(&mut self) -> io::Result<()> {
        let schedule = loop {
            match self.hub.schedule() {
                _ if self.is_gone() || self.hub.is_closing() => return Ok(()),
                Some(schedule) => break schedule,
                None => self.rest(None, Signal::Begin).await?,
            }
        };
        self.work(schedule).await?;
        self.mark_done();
        while !self.hub.is_closing() {
            self.wait.wait(None, None, Signal::Close).await?;
        }
        Ok(())
    }
}

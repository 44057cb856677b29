//! The workload on a lane's connections: which is due when, and what follows a reply. Must not touch a socket.

use std::collections::VecDeque;
use std::io;

use super::connection::Standing;
use super::exchange::Answer;
use super::hub::{Before, Finished};
use super::turns::Turns;
use super::wait::{Signal, Wait};
use super::{Fault, Lane};
use crate::options::Workload;
use crate::pacing::Pace;
use crate::protocol::Kind;
use crate::samples::Times;
use crate::stage::Schedule;

/// A connection that was idle for so long is looked at before its next request: the peer may have closed it.
const LOOK_AFTER_NS: u64 = 1_000_000;

impl<W: Wait> Lane<W> {
    /// Runs the workload until nothing more is to be sent and nothing is under way; in a hold, has each connection
    /// prove that it is alive. Returns early when the run ends.
    pub(super) async fn work(&mut self, schedule: Schedule) -> io::Result<()> {
        match self.hub.options.workload {
            Workload::Open { .. } => self.work_on_arrivals(schedule).await?,
            _ => self.work_in_turns(schedule).await?,
        }
        self.flush();
        if matches!(self.hub.options.workload, Workload::Hold { .. }) {
            self.prove().await;
        }
        Ok(())
    }

    async fn work_in_turns(&mut self, schedule: Schedule) -> io::Result<()> {
        let mut turns = self.turns(&schedule);
        while !self.is_over(&schedule) {
            let due_ns = turns.due_ns().map_or(schedule.window_end_ns, |ns| ns.min(schedule.window_end_ns));
            if due_ns > self.now_ns() {
                self.rest(Some(due_ns), Signal::Over).await?;
                continue;
            }
            let Some(turn) = turns.take() else { continue };
            // The share may be larger than what was attempted: where all is refused, trying ends.
            let Some(connection) = self.connections.get(turn.slot) else { continue };
            if turn.is_visit && connection.idle_ns > turn.due_ns && connection.standing != Standing::Gone {
                // It came due while the one before was not answered.
                let counted = u64::from(schedule.in_window(turn.due_ns));
                self.hub.with(self.index, |samples| samples.heartbeats_skipped += counted);
                continue;
            }
            if !self.is_usable(turn.slot) {
                continue;
            }
            let now_ns = self.now_ns();
            self.request(turn.slot, &schedule, now_ns, None).await;
            match self.connections[turn.slot].standing {
                Standing::Gone => {}
                Standing::Open => turns.answered(turn.slot, self.connections[turn.slot].idle_ns),
                Standing::Down => turns.rest(turn.slot, self.now_ns()),
            }
        }
        Ok(())
    }

    fn turns(&self, schedule: &Schedule) -> Turns {
        let pace = Pace::new(&self.hub.options, self.index, self.lanes, schedule.begin_ns);
        Turns::new(pace.cursor, pace.after_reply, self.connections.len())
    }

    /// Each connection in turn takes the next request that comes due, the one that has been idle longest first.
    async fn work_on_arrivals(&mut self, schedule: Schedule) -> io::Result<()> {
        let mut idle: VecDeque<usize> = (0..self.connections.len()).collect();
        while !self.is_over(&schedule) {
            let next = idle.front().copied();
            let Some(slot) = next.filter(|&slot| self.connections[slot].standing != Standing::Gone) else {
                if idle.pop_front().is_none() {
                    self.rest(Some(schedule.window_end_ns), Signal::Over).await?;
                }
                continue;
            };
            let now_ns = self.now_ns();
            let taken = self.hub.arrivals(|arrivals| arrivals.take(&schedule, now_ns)).flatten();
            let Some(due_ns) = taken else {
                self.rest(Some(schedule.window_end_ns), Signal::Over).await?;
                continue;
            };
            if !self.rest_until(due_ns, slot).await? || !self.is_usable(slot) {
                self.hub.arrivals(|arrivals| arrivals.put_back(due_ns));
                continue;
            }
            let now_ns = self.now_ns();
            let lag_ns = (self.connections[slot].idle_ns <= due_ns).then(|| now_ns.saturating_sub(due_ns));
            self.request(slot, &schedule, due_ns, lag_ns).await;
            idle.rotate_left(1);
        }
        Ok(())
    }

    /// Rests until a request of the window is due. Returns whether it can be sent; also where the window has ended
    /// meanwhile, since it is only late by what this engine's timer is.
    async fn rest_until(&mut self, due_ns: u64, slot: usize) -> io::Result<bool> {
        loop {
            let is_over = self.hub.is_closing() || self.hub.stage.is_spent();
            if is_over || self.connections[slot].standing == Standing::Gone {
                return Ok(false);
            }
            if due_ns <= self.now_ns() {
                return Ok(true);
            }
            self.rest(Some(due_ns), Signal::Over).await?;
        }
    }

    /// Whether a connection can carry a request, which may have to make it again.
    fn is_usable(&mut self, slot: usize) -> bool {
        // A churn closes it anyway.
        let is_old = self.now_ns().saturating_sub(self.connections[slot].idle_ns) >= LOOK_AFTER_NS;
        if is_old && !self.hub.options.churns() {
            self.look(slot);
        }
        self.connections[slot].standing != Standing::Gone
    }

    /// Makes one request of the workload whose clock started at `clock_ns`, unless all that were to be sent were.
    async fn request(&mut self, slot: usize, schedule: &Schedule, clock_ns: u64, lag_ns: Option<u64>) {
        if schedule.in_window(clock_ns) && !self.hub.stage.take_request() {
            return;
        }
        if self.connections[slot].standing == Standing::Down {
            self.revive(slot);
        }
        self.under_way = Some(clock_ns);
        self.hub.counts.of(self.index).send();
        let mut before = Before { connect_ns: None, lag_ns };
        match self.carry(slot, &mut before).await {
            Ok(answer) => {
                self.under_way = None;
                self.hub.counts.of(self.index).settle(true);
                self.connections[slot].idle_ns = answer.now_ns;
                let times = Times { since_ns: clock_ns, now_ns: answer.now_ns };
                self.finish(Finished { times, reply: answer.reply, before });
                self.after_answer(slot, &answer);
            }
            Err((phase, Fault::Lost(errno))) => {
                self.under_way = None;
                self.hub.counts.of(self.index).settle(false);
                self.hub.count_failed(self.index, clock_ns, before);
                self.lose(slot, phase, &errno);
            }
            // It is still under way, and abandoned when the lane is dropped.
            Err((_, Fault::Closing)) => {}
        }
    }

    /// Connects, if that is to be done, and makes the exchange.
    async fn carry(&mut self, slot: usize, before: &mut Before) -> Result<Answer, (&'static str, Fault)> {
        if self.hub.options.churns() || self.connections[slot].socket.is_none() {
            before.connect_ns = Some(self.reopen(slot).await?);
        }
        let timeout_ns = self.hub.reply_timeout_ns;
        self.exchange(slot, Kind::Work, timeout_ns).await.map_err(|fault| ("request", fault))
    }

    /// A connection that was lost is tried again: until that fails, too, it counts as open.
    fn revive(&mut self, slot: usize) {
        self.connections[slot].standing = Standing::Open;
        self.hub.with(self.index, |samples| samples.closed_early -= 1);
        self.hub.stage.count_open();
        self.hub.counts.of(self.index).open_again();
    }

    /// What an answer means for its connection.
    pub(super) fn after_answer(&mut self, slot: usize, answer: &Answer) {
        if answer.is_followed {
            self.lose(slot, "idle", "unexpected_bytes");
        } else if answer.reply.close {
            self.peer_closed(slot);
        }
    }

    /// Has each connection prove by an echo that it is alive.
    async fn prove(&mut self) {
        for slot in 0..self.connections.len() {
            if self.hub.is_closing() {
                return;
            }
            if self.connections[slot].standing != Standing::Open {
                continue;
            }
            let timeout_ns = self.hub.verify_timeout_ns;
            match self.exchange(slot, Kind::Verify, timeout_ns).await {
                Ok(answer) => self.after_answer(slot, &answer),
                Err(Fault::Lost(errno)) => self.lose(slot, "final_verify", &errno),
                Err(Fault::Closing) => return,
            }
        }
    }
}

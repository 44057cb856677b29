//! The workload on a lane's connections: which is due when, and what follows a reply. Must not touch a socket.

use std::collections::VecDeque;
use std::io;

use super::connection::Standing;
use super::exchange::Answer;
use super::hub::{Before, Finished};
use super::turns::{REST, Turns};
use super::wait::{Signal, Wait};
use super::{Fault, Lane};
use crate::options::Workload;
use crate::pacing::{Pace, nanoseconds};
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
            let is_free = self.hub.stage.is_free();
            let due_ns = turns.due_ns(is_free).unwrap_or(u64::MAX).min(schedule.window_end_ns);
            if due_ns > self.now_ns() {
                let waits = !is_free && turns.is_any_denied();
                self.rest(Some(due_ns), if waits { Signal::Free } else { Signal::Over }).await?;
                continue;
            }
            let Some(turn) = turns.take(is_free) else { continue };
            let is_first = turn.is_visit && self.first_turns > 0;
            // The share may be larger than what was attempted: where all is refused, trying ends.
            let Some(connection) = self.connections.get(turn.slot) else {
                self.pass_first_turn(is_first);
                continue;
            };
            if turn.is_visit
                && !is_first
                && connection.idle_ns > turn.due_ns
                && connection.standing != Standing::Gone
            {
                // It came due while the one before was not answered.
                let counted = u64::from(schedule.in_window(turn.due_ns));
                self.hub.with(self.index, |samples| samples.heartbeats_skipped += counted);
                continue;
            }
            if !self.is_usable(turn.slot) {
                self.pass_first_turn(is_first);
                continue;
            }
            let now_ns = self.now_ns();
            if !self.take_request(schedule.in_window(now_ns), is_first) {
                turns.deny(turn.slot, turn.due_ns);
                continue;
            }
            self.request(turn.slot, now_ns, None).await;
            match self.connections[turn.slot].standing {
                Standing::Gone => {}
                Standing::Open => turns.answered(turn.slot, self.connections[turn.slot].idle_ns),
                Standing::Down => turns.rest(turn.slot, self.now_ns()),
            }
        }
        Ok(())
    }

    /// Takes what a request needs whose clock starts now; only those of the window are counted.
    fn take_request(&mut self, is_counted: bool, is_first: bool) -> bool {
        if !is_counted {
            self.pass_first_turn(is_first);
            return true;
        }
        if is_first {
            self.first_turns -= 1;
            return self.hub.stage.take_first_turn(true);
        }
        self.hub.stage.take_request()
    }

    /// A first turn that needs no request any more.
    fn pass_first_turn(&mut self, is_first: bool) {
        if is_first {
            self.first_turns -= 1;
            self.hub.stage.take_first_turn(false);
        }
    }

    fn turns(&self, schedule: &Schedule) -> Turns {
        let pace = Pace::new(&self.hub.options, self.index, self.lanes, schedule.begin_ns);
        Turns::new(pace.cursor, pace.after_reply, self.connections.len())
    }

    /// Each connection in turn takes the next request that comes due, the one that has been idle longest first.
    async fn work_on_arrivals(&mut self, schedule: Schedule) -> io::Result<()> {
        let mut idle: VecDeque<usize> = (0..self.connections.len()).collect();
        let mut resting: VecDeque<(u64, usize)> = VecDeque::new();
        while !self.is_over(&schedule) {
            let now_ns = self.now_ns();
            while let Some(&(_, slot)) = resting.front().filter(|&&(until_ns, _)| until_ns <= now_ns) {
                resting.pop_front();
                self.revive(slot);
                self.connections[slot].idle_ns = now_ns;
                idle.push_back(slot);
            }
            let next = idle.front().copied();
            let Some(slot) = next.filter(|&slot| self.connections[slot].standing == Standing::Open) else {
                if idle.pop_front().is_none() {
                    let rested_ns = resting.front().map_or(u64::MAX, |&(until_ns, _)| until_ns);
                    self.rest(Some(rested_ns.min(schedule.window_end_ns)), Signal::Over).await?;
                }
                continue;
            };
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
            let was_idle = self.connections[slot].idle_ns <= due_ns;
            let lag_ns = self.hub.lag_ns(was_idle, due_ns, now_ns);
            if !self.take_request(schedule.in_window(due_ns), false) {
                continue;
            }
            self.request(slot, due_ns, lag_ns).await;
            idle.pop_front();
            match self.connections[slot].standing {
                Standing::Gone => {}
                Standing::Open => idle.push_back(slot),
                Standing::Down => {
                    resting.push_back((self.now_ns().saturating_add(nanoseconds(REST)), slot));
                }
            }
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

    /// Makes one request of the workload whose clock started at `clock_ns`.
    async fn request(&mut self, slot: usize, clock_ns: u64, lag_ns: Option<u64>) {
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
                if self.hub.options.churns() {
                    self.drop_socket(slot);
                }
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
            self.connections[slot].is_proved = true;
        }
    }
}

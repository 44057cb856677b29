//! The workload on a worker's connections: which request is due when, on which connection, and what follows a reply.
//!
//! Must not touch a socket, and must not decide when phases begin.

use std::collections::VecDeque;
use std::time::Duration;

use super::connection::State;
use super::{BATCH, Driver};
use crate::options::Workload;
use crate::pacing::{AfterReply, Cursor, Pace, nanoseconds, share};
use crate::protocol::Reply;
use crate::samples::{Times, record};
use crate::stage::{Schedule, Worker};

/// How long a connection rests that was lost and is made again: a server that refuses, or ports that are used up,
/// must not be hammered.
const REST: Duration = Duration::from_millis(100);

/// The workload under way.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) schedule: Schedule,
    pace: Pace,
    /// Connections that pause, and when their next request is due.
    thinking: VecDeque<(u64, u32)>,
    /// Connections that were lost and are tried again, and when.
    resting: VecDeque<(u64, u32)>,
    /// Burst: connections whose next request is kept for somebody else's first turn.
    denied: VecDeque<u32>,
    /// Open loop: connections without a request, the one that has been so longest first.
    idle: VecDeque<u32>,
    /// Open loop: when the request under way on each connection was due.
    due_ns: Vec<u64>,
    /// Open loop: when an arrival was last sent for which a connection had been idle. What was due before that and
    /// was not sent by then waited for the client first, whatever it waited for after.
    caught_up_ns: u64,
    /// Requests, or final verifying echoes, that are not answered yet.
    pub(super) outstanding: u32,
    /// Connections that were asked for the final proof so far.
    proved: usize,
}

/// What is due first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The cursor's next connection.
    Visit,
    /// The connection that has thought longest.
    Thought,
    /// The connection that has rested longest.
    Rested,
    /// The next arrival, on an idle connection.
    Arrival,
    /// The connection that was denied a request first.
    Denied,
}

impl Work {
    /// The workload of a worker that holds `connections`, all of them free.
    pub(super) fn new(worker: &Worker<'_>, schedule: Schedule, connections: usize) -> Self {
        let Worker { options, index, workers, .. } = *worker;
        let pace = Pace::new(options, index, workers, schedule.begin_ns);
        let thinkers = match pace.after_reply {
            AfterReply::SendAfter { .. } => connections,
            AfterReply::Rest | AfterReply::Send => 0,
        };
        let is_open_loop = pace.arriving.is_some();
        let places = share(options.connections, index, workers) as u32;
        Self {
            schedule,
            thinking: VecDeque::with_capacity(thinkers),
            resting: VecDeque::new(),
            denied: VecDeque::new(),
            idle: if is_open_loop { (0..places).collect() } else { VecDeque::new() },
            due_ns: if is_open_loop { vec![0; connections] } else { Vec::new() },
            caught_up_ns: 0,
            outstanding: 0,
            proved: 0,
            pace,
        }
    }

    /// Nothing is due but the next request of a connection that thinks.
    #[cfg(test)]
    pub(super) fn think_until(&mut self, due_ns: u64, slot: u32) {
        self.pace.cursor = None;
        self.thinking.push_back((due_ns, slot));
    }

    /// The connection that has been idle longest is given something to do.
    #[cfg(test)]
    pub(super) fn take_idle(&mut self) {
        self.idle.pop_front();
    }

    /// Whether every connection that there is was asked for its proof, where that is asked at all.
    pub(super) fn is_proved(&self, connections: usize) -> bool {
        !self.pace.final_verify || self.proved == connections
    }

    /// What is due first that no reply brings about, and when. `is_free`: nothing is kept for first turns any more.
    fn first_due(&self, is_free: bool) -> Option<(u64, Due)> {
        let visit = self.pace.cursor.as_ref().and_then(Cursor::due_ns).map(|ns| (ns, Due::Visit));
        let thought = self.thinking.front().map(|&(ns, _)| (ns, Due::Thought));
        let rested = self.resting.front().map(|&(ns, _)| (ns, Due::Rested));
        // Where no connection is idle, the reply that makes one idle takes what is due.
        let arriving = self.pace.arriving.as_ref().filter(|_| !self.idle.is_empty());
        let arrival = arriving.map(|arriving| (arriving.due_ns(), Due::Arrival));
        let denied = self.denied.front().filter(|_| is_free).map(|_| (0, Due::Denied));
        [visit, thought, rested, arrival, denied].into_iter().flatten().min_by_key(|&(ns, _)| ns)
    }
}

impl Driver<'_> {
    /// Sends what came due; when all is sent, has each connection of a hold prove that it is alive. Returns when to
    /// come again.
    pub(super) fn go_on(&mut self, now_ns: u64) -> Option<u64> {
        let schedule = self.work.as_ref()?.schedule;
        if self.worker.is_over(&schedule, now_ns) {
            return (self.send_owed(now_ns) || self.prove()).then_some(now_ns);
        }
        let end_ns = schedule.window_end_ns;
        for _ in 0..BATCH {
            let is_free = self.worker.stage.is_free();
            let first = self.work.as_ref().and_then(|work| work.first_due(is_free));
            let Some((due_ns, due)) = first.filter(|&(due_ns, _)| due_ns < end_ns) else {
                return Some(end_ns);
            };
            if due_ns > now_ns {
                return Some(due_ns);
            }
            self.send_due(due);
        }
        Some(now_ns)
    }

    /// Sends some of what came due before the window ended and found a connection idle: that it is not sent yet is the
    /// client's lateness, and is measured as that. Returns whether more is owed.
    fn send_owed(&mut self, now_ns: u64) -> bool {
        for _ in 0..BATCH {
            if !self.owes_arrival() {
                return false;
            }
            self.send_arrival(now_ns);
        }
        self.owes_arrival()
    }

    /// Whether an arrival of the window is not sent although a connection is idle. Replies make none idle any more
    /// once the window is over, so no more are owed than were idle then.
    pub(super) fn owes_arrival(&mut self) -> bool {
        let is_due = self.work.as_ref().is_some_and(|work| {
            work.pace.arriving.as_ref().is_some_and(|next| next.due_ns() < work.schedule.window_end_ns)
        });
        is_due && !self.worker.stage.is_spent() && self.is_any_idle()
    }

    /// Sends the one request that is due first and that no reply brought about.
    fn send_due(&mut self, due: Due) {
        let now_ns = self.worker.stage.now_ns();
        let Some(work) = self.work.as_mut() else { return };
        let slot = match due {
            Due::Arrival => return self.send_arrival(now_ns),
            Due::Rested => {
                let rested = work.resting.pop_front();
                return rested.into_iter().for_each(|(_, slot)| self.revive(slot as usize, now_ns));
            }
            Due::Visit => work.pace.cursor.as_mut().map(Cursor::take),
            Due::Thought => work.thinking.pop_front().map(|(_, slot)| slot as usize),
            Due::Denied => work.denied.pop_front().map(|slot| slot as usize),
        };
        let Some(slot) = slot else { return };
        let schedule = work.schedule;
        let is_first = due == Due::Visit && self.worker.options.workload == Workload::Burst;
        // The share may be larger than what was attempted: a worker gives up when all is refused.
        match self.connections.get(slot).map(|connection| connection.state) {
            Some(state) if state.is_free() && !self.worker.is_over(&schedule, now_ns) => {
                self.request_in_turn(slot, is_first, now_ns, now_ns);
            }
            _ if is_first => {
                self.worker.stage.take_first_turn(false);
            }
            Some(State::Requested) if schedule.in_window(now_ns) => self.samples.heartbeats_skipped += 1,
            _ => {}
        }
    }

    /// Sends the arrival that is due on the connection that has been idle longest.
    pub(super) fn send_arrival(&mut self, now_ns: u64) {
        let Some(work) = self.work.as_mut() else { return };
        let Some(slot) = work.idle.pop_front() else { return };
        let slot = slot as usize;
        // Some were lost while they were idle, or never came up.
        if !self.connections.get(slot).is_some_and(|connection| connection.state.is_free()) {
            return;
        }
        let Some(due_ns) = self.take_arrival(now_ns) else {
            // What came due was too old, or is not due yet.
            self.idle(slot);
            return;
        };
        self.request_late(slot, due_ns, now_ns);
    }

    /// Sends an arrival for which a connection was idle: what it is late is the schedule's lag.
    fn request_late(&mut self, slot: usize, due_ns: u64, now_ns: u64) {
        if let Some(work) = self.work.as_mut() {
            work.caught_up_ns = now_ns;
        }
        if self.request(slot, due_ns, now_ns) && self.is_counted(due_ns) {
            record(&mut self.samples.schedule_lag, now_ns.saturating_sub(due_ns));
        }
    }

    /// Sends an arrival that had to wait for a connection. What it waited before that for a client that was late is the
    /// schedule's lag, too.
    fn request_after_wait(&mut self, slot: usize, due_ns: u64, now_ns: u64) {
        let caught_up_ns = self.work.as_ref().map_or(0, |work| work.caught_up_ns);
        let lag_ns = caught_up_ns.saturating_sub(due_ns);
        if self.request(slot, due_ns, now_ns) && lag_ns > 0 && self.is_counted(due_ns) {
            record(&mut self.samples.schedule_lag, lag_ns);
        }
    }

    /// Whether a connection of an open loop has nothing to do. Whoever is idle was so before the next arrival came
    /// due.
    fn is_any_idle(&mut self) -> bool {
        let Some(work) = self.work.as_mut() else { return false };
        while let Some(&slot) = work.idle.front() {
            if self.connections.get(slot as usize).is_some_and(|connection| connection.state.is_free()) {
                return true;
            }
            // It was lost while it was idle, or never came up.
            work.idle.pop_front();
        }
        false
    }

    /// A connection of an open loop has nothing to do.
    fn idle(&mut self, slot: usize) {
        if let Some(work) = self.work.as_mut() {
            work.idle.push_back(slot as u32);
        }
    }

    /// Takes the arrival that is due, if one is. Those that have waited longer than a reply may take are dropped,
    /// which bounds how far behind the schedule anything is sent.
    fn take_arrival(&mut self, now_ns: u64) -> Option<u64> {
        let work = self.work.as_mut()?;
        let (schedule, arriving) = (work.schedule, work.pace.arriving.as_mut()?);
        self.samples.backlog_peak = self.samples.backlog_peak.max(arriving.backlog(now_ns).saturating_sub(1));
        while arriving.due_ns() <= now_ns && arriving.due_ns() < schedule.window_end_ns {
            let due_ns = arriving.take();
            if now_ns - due_ns <= self.sweep.reply_timeout_ns {
                return Some(due_ns);
            }
            count_not_sent(&mut self.samples, &schedule, due_ns);
        }
        None
    }

    /// Counts what came due before `now_ns` and was never sent, once nothing more is sent.
    pub(super) fn give_up_arrivals(&mut self, now_ns: u64) {
        let Some(work) = self.work.as_mut() else { return };
        let schedule = work.schedule;
        let Some(mut arriving) = work.pace.arriving.take() else { return };
        // With a fixed number of requests nothing was intended beyond it.
        if self.worker.stage.is_spent() {
            return;
        }
        let end_ns = now_ns.min(schedule.window_end_ns);
        let mut backlog = 0;
        while arriving.due_ns() < end_ns {
            backlog += 1;
            count_not_sent(&mut self.samples, &schedule, arriving.take());
        }
        self.samples.backlog_peak = self.samples.backlog_peak.max(backlog);
    }

    /// Begins a request of the workload whose clock starts at `clock_ns`, unless all that were to be sent were.
    /// Returns whether it did.
    pub(super) fn request(&mut self, slot: usize, clock_ns: u64, now_ns: u64) -> bool {
        self.request_in_turn(slot, false, clock_ns, now_ns)
    }

    /// The same, where it may be the first turn of a connection in a burst.
    fn request_in_turn(&mut self, slot: usize, is_first: bool, clock_ns: u64, now_ns: u64) -> bool {
        let (stage, counted) = (self.worker.stage, self.is_counted(clock_ns));
        let is_taken =
            if is_first { stage.take_first_turn(counted) } else { counted && stage.take_request() };
        if counted && !is_taken {
            if let Some(work) = self.work.as_mut().filter(|_| !stage.is_spent()) {
                work.denied.push_back(slot as u32);
            }
            return false;
        }
        let Some(work) = self.work.as_mut() else { return false };
        work.outstanding += 1;
        if let Some(due_ns) = work.due_ns.get_mut(slot) {
            *due_ns = clock_ns;
        }
        self.samples.requests_intended += u64::from(counted);
        self.worker.shard.send();
        if self.worker.options.churns() || self.connections[slot].state == State::Parked {
            self.reopen(slot, now_ns);
        } else {
            self.connections[slot].begin(State::Requested, now_ns);
            self.send(slot);
        }
        true
    }

    /// What follows a reply, on a connection that can carry another request.
    pub(super) fn after_reply(&mut self, slot: usize, now_ns: u64) {
        if self.worker.options.churns() {
            self.park(slot);
        }
        let Some(work) = self.work.as_mut() else { return };
        let is_over = self.worker.is_over(&work.schedule, now_ns);
        match work.pace.after_reply {
            AfterReply::Send if !is_over => {
                self.request(slot, now_ns, now_ns);
            }
            AfterReply::SendAfter { think_ns } => {
                work.thinking.push_back((now_ns.saturating_add(think_ns), slot as u32));
            }
            AfterReply::Rest if work.pace.arriving.is_some() && !is_over => self.serve(slot, now_ns),
            AfterReply::Rest | AfterReply::Send => {}
        }
    }

    /// A connection of an open loop is free: it takes the arrival that is due, or is idle.
    fn serve(&mut self, slot: usize, now_ns: u64) {
        match self.take_arrival(now_ns) {
            // It has waited longer than this connection was busy.
            Some(due_ns) if self.is_any_idle() => self.request_late(slot, due_ns, now_ns),
            Some(due_ns) => self.request_after_wait(slot, due_ns, now_ns),
            None => self.idle(slot),
        }
    }

    /// A connection that was lost is tried again, where they are made again.
    pub(super) fn try_again_later(&mut self, slot: usize) {
        let now_ns = self.worker.stage.now_ns();
        if let Some(work) = self.work.as_mut().filter(|_| self.worker.options.reopens()) {
            work.resting.push_back((now_ns.saturating_add(nanoseconds(REST)), slot as u32));
        }
    }

    /// Tries a lost connection again: until that fails, too, it counts as open.
    fn revive(&mut self, slot: usize, now_ns: u64) {
        if self.work.as_ref().is_none_or(|work| self.worker.is_over(&work.schedule, now_ns)) {
            return;
        }
        self.samples.closed_early -= 1;
        self.worker.count_open_again();
        self.connections[slot].state = State::Parked;
        if self.work.as_ref().is_some_and(|work| work.pace.arriving.is_some()) {
            self.serve(slot, now_ns);
        } else {
            self.request(slot, now_ns, now_ns);
        }
    }

    /// Where the clock of a connection's request started.
    pub(super) fn clock_ns(&self, slot: usize) -> u64 {
        let due_ns = self.work.as_ref().and_then(|work| work.due_ns.get(slot));
        due_ns.copied().unwrap_or(self.connections[slot].since_ns)
    }

    /// Whether a request whose clock started then is a sample.
    pub(super) fn is_counted(&self, clock_ns: u64) -> bool {
        self.work.as_ref().is_some_and(|work| work.schedule.in_window(clock_ns))
    }

    /// Whether it is the window, and not all of its requests were taken.
    pub(super) fn is_at_work(&self, now_ns: u64) -> bool {
        self.is_counted(now_ns) && !self.worker.stage.is_spent()
    }

    pub(super) fn count_reply(&mut self, clock_ns: u64, now_ns: u64, reply: &Reply) {
        let Some(work) = self.work.as_mut() else { return };
        work.outstanding -= 1;
        let asked_ns = self.worker.options.delay_known().map(nanoseconds);
        let times = Times { since_ns: clock_ns, now_ns };
        if let Some(errno) = self.samples.count_reply(&work.schedule, times, reply, asked_ns) {
            self.count_failure("request", &errno);
        }
    }

    /// Asks connections for the final proof, a bounded number at a time, once all replies are in. Returns
    /// whether there is more to ask for at once.
    fn prove(&mut self) -> bool {
        for _ in 0..BATCH {
            let Some(work) = self.work.as_mut() else { return false };
            let answered = work.proved > 0 || work.outstanding == 0;
            let all = work.proved == self.connections.len();
            if !work.pace.final_verify || !answered || all || work.outstanding >= self.opening.window {
                return false;
            }
            let slot = work.proved;
            work.proved += 1;
            if self.connections[slot].state == State::Idle {
                work.outstanding += 1;
                let now_ns = self.worker.stage.now_ns();
                self.connections[slot].begin(State::FinalVerifying, now_ns);
                self.send(slot);
            }
        }
        true
    }

    /// The run is cut short: requests under way, and the proofs of a hold that are not there, have failed.
    pub(super) fn time_out(&mut self) {
        let Some(work) = self.work.as_ref() else { return };
        let unproved = if work.pace.final_verify { work.proved } else { usize::MAX };
        for slot in 0..self.connections.len() {
            match self.connections[slot].state {
                State::Requested | State::Reopening | State::FinalVerifying => self.lose(slot, "timeout"),
                State::Idle if slot >= unproved => {
                    self.lose_in(slot, State::FinalVerifying.phase(), "timeout")
                }
                _ => {}
            }
        }
    }

    pub(super) fn settle(&mut self) {
        if let Some(work) = self.work.as_mut() {
            work.outstanding -= 1;
        }
    }
}

fn count_not_sent(samples: &mut crate::samples::WorkerSamples, schedule: &Schedule, due_ns: u64) {
    let counted = u64::from(schedule.in_window(due_ns));
    samples.requests_intended += counted;
    samples.requests_not_sent += counted;
}

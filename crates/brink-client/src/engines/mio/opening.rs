//! The way up: how many attempts are made, their rate and window, and when to give up.
//!
//! Must not touch a socket.

use crate::dial::Streak;
use crate::pacing::{Pacer, share};
use crate::stage::Worker;

/// Where a worker is on its way up.
#[derive(Debug)]
pub(super) struct Opening {
    /// Attempts to make so far, of the worker's share.
    pub(super) goal: u64,
    /// The same for all workers together.
    goal_of_all: u64,
    /// Attempts made.
    pub(super) attempted: u64,
    /// Attempts neither opened nor failed yet.
    pub(super) under_way: u32,
    /// Most attempts under way at once, where it is not fine.
    pub(super) window: u32,
    /// Attempts of the worker's share from which on there is one at a time.
    fine_from: u64,
    /// Spreads attempts where a rate was asked.
    pub(super) pacer: Option<Pacer>,
    gave_up: bool,
    streak: Streak,
}

impl Opening {
    pub(super) fn new(worker: &Worker<'_>) -> Self {
        let window = share(u64::from(worker.options.connect_window), worker.index, worker.workers).max(1);
        Self {
            goal: 0,
            goal_of_all: 0,
            attempted: 0,
            under_way: 0,
            window: window as u32,
            fine_from: worker
                .options
                .fine_from
                .map_or(u64::MAX, |from| share(from, worker.index, worker.workers)),
            pacer: None,
            gave_up: false,
            streak: Streak::new(worker.options.give_up),
        }
    }

    /// Goes on to `goal` attempts, from `now_ns` on.
    pub(super) fn raise(&mut self, worker: &Worker<'_>, goal: u64, now_ns: u64) {
        match (&mut self.pacer, worker.options.connect_rate_per_s) {
            (Some(pacer), _) => pacer.resume(self.goal_of_all, now_ns),
            (none, rate) => {
                *none = rate.map(|rate| Pacer::new(rate, worker.index, worker.workers, now_ns));
            }
        }
        self.goal_of_all = goal;
        self.goal = share(goal, worker.index, worker.workers);
    }

    /// Whether there is anything left to try.
    pub(super) fn wants_more(&self) -> bool {
        self.attempted < self.goal && !self.gave_up
    }

    /// Whether as many attempts are under way as may be at once.
    pub(super) fn is_full(&self) -> bool {
        let window = if self.attempted >= self.fine_from { 1 } else { self.window };
        self.under_way >= window
    }

    /// No more are to be made.
    pub(super) fn give_up(&mut self) {
        self.gave_up = true;
    }

    /// A connect was slow.
    pub(super) fn slow(&mut self) {
        self.gave_up |= self.streak.slow();
    }

    /// Whether every attempt so far has opened or failed, and no more follow.
    pub(super) fn is_done(&self) -> bool {
        !self.wants_more() && self.under_way == 0
    }

    /// An attempt was verified: whatever went wrong before, it works.
    pub(super) fn succeeded(&mut self) {
        self.under_way -= 1;
        self.streak.succeeded();
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, phase: &'static str, errno: &str) {
        self.under_way -= 1;
        self.gave_up |= self.streak.failed(phase, errno);
    }

    /// One more attempt is made.
    pub(super) fn attempt(&mut self) {
        self.attempted += 1;
        self.under_way += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::LiveCounters;
    use crate::options::LoadOptions;
    use crate::options::tests::options;
    use crate::stage::Stage;

    fn check(check: impl FnOnce(&mut Opening)) {
        let (options, live, stage) = (options(10_000), LiveCounters::new(1), Stage::new(1, None));
        let worker =
            Worker { index: 0, workers: 1, options: &options, stage: &stage, shard: &live.shards()[0] };
        let mut opening = Opening::new(&worker);
        opening.raise(&worker, 10_000, 0);
        opening.under_way = 1_000;
        check(&mut opening);
    }

    #[test]
    fn gives_up_after_a_hundred_failures_of_one_kind_in_a_row() {
        check(|opening| {
            for _ in 0..99 {
                opening.failed("socket", "EMFILE");
            }
            assert!(opening.wants_more());
            opening.failed("socket", "EMFILE");
            assert!(!opening.wants_more());
            assert!(!opening.is_done(), "some are still under way");
        });
    }

    #[test]
    fn goes_on_while_some_succeed_or_failures_differ() {
        check(|opening| {
            for _ in 0..99 {
                opening.failed("connect", "ECONNREFUSED");
            }
            opening.succeeded();
            for _ in 0..99 {
                opening.failed("connect", "ECONNREFUSED");
            }
            opening.failed("connect", "EADDRNOTAVAIL");
            for _ in 0..99 {
                opening.failed("verify", "EADDRNOTAVAIL");
            }
            assert!(opening.wants_more());
        });
    }

    #[test]
    fn a_ramp_of_many_goals_has_one_schedule() {
        // The goals of 8 connections in eight steps, and of 4; at 1/s, ten milliseconds after what they follow.
        for (connections, workers) in [(8, 1), (8, 3), (4, 4)] {
            let options = LoadOptions { connect_rate_per_s: Some(1.0), ..options(connections) };
            let (live, stage) = (LiveCounters::new(workers), Stage::new(workers, None));
            let worker = |index| {
                let shard = &live.shards()[index as usize];
                Worker { index, workers, options: &options, stage: &stage, shard }
            };
            let mut openings: Vec<_> = (0..workers).map(|index| Opening::new(&worker(index))).collect();
            let (mut now_ns, mut at_s) = (0, Vec::new());
            for goal in 1..=connections {
                for (index, opening) in (0..workers).zip(&mut openings) {
                    opening.raise(&worker(index), goal, now_ns);
                }
                let next = openings.iter_mut().filter(|opening| opening.wants_more()).collect::<Vec<_>>();
                let [opening] = next.try_into().expect("one worker's turn");
                let pacer = opening.pacer.as_mut().unwrap();
                let due_ns = pacer.due_ns(opening.attempted);
                pacer.take(opening.attempted, due_ns);
                opening.attempted += 1;
                at_s.push(due_ns as f64 / 1e9);
                now_ns = due_ns + 10_000_000;
            }
            let expected: Vec<_> = (0..connections).map(|second| second as f64).collect();
            assert_eq!(at_s, expected, "{connections} connections, {workers} workers");
        }
    }
}

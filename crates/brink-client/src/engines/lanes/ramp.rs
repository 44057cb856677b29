//! When the next attempt of the way up is due, and when to stop trying. Must not make one.

use crate::pacing::{Pacer, share};
use crate::stage::Worker;

/// A worker's way up.
#[derive(Debug)]
pub(super) struct Ramp {
    index: u32,
    workers: u32,
    rate_per_s: Option<f64>,
    pacer: Option<Pacer>,
    /// Attempts to make so far, of the worker's share; and of all workers together.
    goal: u64,
    goal_of_all: u64,
    /// Attempts made.
    pub(super) attempted: u64,
    window: u64,
    /// Attempts of the worker's share from which on there is one at a time.
    fine_from: u64,
}

impl Ramp {
    pub(super) fn new(worker: &Worker<'_>) -> Self {
        let Worker { index, workers, options, .. } = *worker;
        Self {
            index,
            workers,
            rate_per_s: options.connect_rate_per_s,
            pacer: None,
            goal: 0,
            goal_of_all: 0,
            attempted: 0,
            window: share(u64::from(options.connect_window), index, workers).max(1),
            fine_from: options.fine_from.map_or(u64::MAX, |from| share(from, index, workers)),
        }
    }

    /// Goes on to `goal` attempts of all workers, from `begin_ns` on.
    pub(super) fn raise(&mut self, goal: u64, begin_ns: u64) {
        match (&mut self.pacer, self.rate_per_s) {
            (Some(pacer), _) => pacer.resume(self.goal_of_all, begin_ns),
            (none, rate) => {
                *none = rate.map(|rate| Pacer::new(rate, self.index, self.workers, begin_ns));
            }
        }
        self.goal_of_all = goal;
        self.goal = share(goal, self.index, self.workers);
    }

    /// Most attempts under way at once.
    pub(super) fn window(&self) -> u64 {
        if self.attempted >= self.fine_from { 1 } else { self.window }
    }

    /// When the next attempt is due, if there is one.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let wanted = self.attempted < self.goal;
        wanted.then(|| self.pacer.as_ref().map_or(0, |pacer| pacer.due_ns(self.attempted)))
    }

    /// An attempt is made.
    pub(super) fn take(&mut self, now_ns: u64) {
        if let Some(pacer) = &mut self.pacer {
            pacer.take(self.attempted, now_ns);
        }
        self.attempted += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::LiveCounters;
    use crate::options::{LoadOptions, tests::options};
    use crate::stage::Stage;

    #[test]
    fn a_ramp_of_many_goals_has_one_schedule_and_no_pause_is_made_up_for() {
        let options = LoadOptions { connect_rate_per_s: Some(1.0), ..options(4) };
        let (live, stage) = (LiveCounters::new(1), Stage::new(1, None));
        let worker =
            Worker { index: 0, workers: 1, options: &options, stage: &stage, shard: &live.shards()[0] };
        let mut ramp = Ramp::new(&worker);
        assert_eq!(ramp.due_ns(), None);
        let mut at_s = Vec::new();
        for goal in 1..=4 {
            // Ten milliseconds after the last goal was reached.
            ramp.raise(goal, at_s.last().map_or(0, |s| s * 1_000_000_000 + 10_000_000));
            let due_ns = ramp.due_ns().unwrap();
            ramp.take(due_ns);
            assert_eq!(ramp.due_ns(), None);
            at_s.push(due_ns / 1_000_000_000);
        }
        assert_eq!(at_s, [0, 1, 2, 3]);
    }
}

//! The requests of an open loop that came due and that lanes take: one queue for all lanes of a worker, kept as the
//! schedule alone. Must not read a clock.

use crate::pacing::Arriving;
use crate::samples::WorkerSamples;
use crate::stage::Schedule;

/// What came due, or will.
#[derive(Debug)]
pub(super) struct Arrivals {
    arriving: Arriving,
    /// Taken, and not sent after all.
    returned: Vec<u64>,
    /// How late a request may be sent.
    patience_ns: u64,
    /// Of the window: due, and too old when somebody was idle, or never taken.
    not_sent: u64,
    backlog_peak: u64,
}

impl Arrivals {
    pub(super) fn new(arriving: Arriving, patience_ns: u64) -> Self {
        Self { arriving, returned: Vec::new(), patience_ns, not_sent: 0, backlog_peak: 0 }
    }

    /// Takes the next request, which may be due later: returns when. `None` when no more follow. Those that have
    /// waited longer than a reply may take are dropped, which bounds how far behind the schedule anything is sent.
    pub(super) fn take(&mut self, schedule: &Schedule, now_ns: u64) -> Option<u64> {
        // The one that is taken does not wait.
        self.backlog_peak = self.backlog_peak.max(self.arriving.backlog(now_ns).saturating_sub(1));
        loop {
            let due_ns = match self.returned.pop() {
                Some(due_ns) => due_ns,
                None if self.arriving.due_ns() < schedule.window_end_ns => self.arriving.take(),
                None => return None,
            };
            if now_ns.saturating_sub(due_ns) <= self.patience_ns {
                return Some(due_ns);
            }
            self.not_sent += u64::from(schedule.in_window(due_ns));
        }
    }

    /// A request that was taken is not sent by who took it.
    pub(super) fn put_back(&mut self, due_ns: u64) {
        self.returned.push(due_ns);
    }

    /// Counts what came due before `now_ns` and was never sent, now that nothing more is.
    pub(super) fn give_up(&mut self, schedule: &Schedule, now_ns: u64) {
        let end_ns = now_ns.min(schedule.window_end_ns);
        let counts = |due_ns: u64| u64::from(due_ns < end_ns && schedule.in_window(due_ns));
        self.not_sent += self.returned.drain(..).map(counts).sum::<u64>();
        let mut backlog = 0;
        while self.arriving.due_ns() < end_ns {
            backlog += 1;
            self.not_sent += counts(self.arriving.take());
        }
        self.backlog_peak = self.backlog_peak.max(backlog);
    }

    /// Adds what was counted here.
    pub(super) fn count_into(&self, samples: &mut WorkerSamples) {
        samples.requests_intended += self.not_sent;
        samples.requests_not_sent += self.not_sent;
        samples.backlog_peak += self.backlog_peak;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Arrivals as Kind;

    const SCHEDULE: Schedule = Schedule { begin_ns: 0, window_begin_ns: 3_000, window_end_ns: 10_000 };

    /// One request due each microsecond.
    fn arrivals(patience_ns: u64) -> Arrivals {
        Arrivals::new(Arriving::new(Kind::Fixed, 1e6, (0, 1), 1, 0), patience_ns)
    }

    fn counted(arrivals: &Arrivals) -> (u64, u64) {
        let mut samples = WorkerSamples::new().unwrap();
        arrivals.count_into(&mut samples);
        assert_eq!(samples.requests_intended, samples.requests_not_sent);
        (samples.requests_not_sent, samples.backlog_peak)
    }

    #[test]
    fn each_is_taken_once_until_the_window_ends() {
        let mut arrivals = arrivals(u64::MAX);
        let taken: Vec<_> = std::iter::from_fn(|| arrivals.take(&SCHEDULE, 0)).collect();
        assert_eq!(taken, (0..10).map(|k| k * 1_000).collect::<Vec<_>>());
        arrivals.give_up(&SCHEDULE, u64::MAX);
        assert_eq!(counted(&arrivals), (0, 0));
    }

    #[test]
    fn the_old_ones_are_dropped_and_those_of_the_window_counted() {
        let mut arrivals = arrivals(1_500);
        assert_eq!(arrivals.take(&SCHEDULE, 6_000), Some(5_000));
        // Due at 3 and 4; of the seven that were due, one was taken.
        assert_eq!(counted(&arrivals), (2, 6));
    }

    #[test]
    fn what_nobody_took_before_the_end_is_backlog() {
        let mut arrivals = arrivals(u64::MAX);
        arrivals.give_up(&SCHEDULE, u64::MAX);
        assert_eq!(counted(&arrivals), (7, 10));
    }

    #[test]
    fn what_is_given_up_came_due_before_the_end() {
        let mut left = arrivals(u64::MAX);
        assert_eq!(left.take(&SCHEDULE, 0), Some(0));
        let last = (1..10).map(|_| left.take(&SCHEDULE, 0)).last().unwrap().unwrap();
        left.put_back(last);
        left.give_up(&SCHEDULE, u64::MAX);
        assert_eq!(counted(&left), (1, 0));
        let mut cut = arrivals(u64::MAX);
        cut.give_up(&SCHEDULE, 4_500);
        assert_eq!(counted(&cut), (2, 5), "due at 3 and 4");
    }
}

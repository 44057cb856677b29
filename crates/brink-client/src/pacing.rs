//! When the next attempt or request is due, as values: no clock is read and nothing is sent here.
//!
//! A workload is a [`Pace`]: who starts (a [`Cursor`] over the connections) and what follows a reply.
//! All times are nanoseconds since the run began.

use std::time::Duration;

use crate::options::{Arrivals, LoadOptions, Workload};

/// How far behind its schedule a pacer may be and still catch up: what a busy machine makes a thread wait for
/// its turn. More than that is not made up for, so that a stall is never followed by a burst.
const CATCH_UP_NS: u64 = 10_000_000;

/// Spreads events evenly at a rate, split over the workers: worker i takes every n-th event. One schedule for
/// the whole ramp; a pause moves what is left of it.
#[derive(Debug, Clone)]
pub struct Pacer {
    step_ns: f64,
    index: u32,
    workers: u32,
    /// When the event of ordinal 0 was due, had there been no pauses.
    begin_ns: f64,
}

impl Pacer {
    /// A pacer for one worker; the first event of all workers is due at `begin_ns`.
    #[must_use]
    pub fn new(rate_per_s: f64, index: u32, workers: u32, begin_ns: u64) -> Self {
        Self { step_ns: 1e9 / rate_per_s, index, workers, begin_ns: begin_ns as f64 }
    }

    /// When this worker's event number `k` (from 0) is due.
    #[must_use]
    pub fn due_ns(&self, k: u64) -> u64 {
        let ordinal = k as f64 * f64::from(self.workers) + f64::from(self.index);
        (self.begin_ns + ordinal * self.step_ns) as u64
    }

    /// This worker's event number `k` happens at `now_ns`. What it is late beyond what may be caught up
    /// moves the schedule.
    pub fn take(&mut self, k: u64, now_ns: u64) {
        let late_ns = now_ns.saturating_sub(self.due_ns(k).saturating_add(CATCH_UP_NS));
        self.begin_ns += late_ns as f64;
    }

    /// After a pause that ended at `now_ns`, before which the first `taken` events of all workers were due: the
    /// next one, whoever's it is, is due when it was, or now where the pause took longer. The same instant for
    /// all workers keeps them in step.
    pub fn resume(&mut self, taken: u64, now_ns: u64) {
        let next_ns = (self.begin_ns + taken as f64 * self.step_ns) as u64;
        self.begin_ns += now_ns.saturating_sub(next_ns) as f64;
    }
}

/// Visits one worker's connections in turn, all workers' together spread evenly over each period. This is all
/// the timer that first requests and heartbeats need: no state per connection.
#[derive(Debug, Clone)]
pub struct Cursor {
    begin_ns: u64,
    period_ns: u64,
    connections: u64,
    index: u64,
    workers: u64,
    share: u64,
    visits: u64,
    rounds: Option<u64>,
    /// Visits that come due together.
    group: u64,
}

/// Heartbeats of one worker that come due together, at most; and the connections of a worker for each of them: with a few
/// connections they are spread evenly, with many in a thousand small groups. A heartbeat that comes alone wakes both ends
/// for itself, which is most of what it costs.
const GROUP_MAX: u64 = 16;
const CONNECTIONS_PER_GROUPED: u64 = 1_024;

impl Cursor {
    /// When the next visit is due; `None` when there is none.
    #[must_use]
    pub fn due_ns(&self) -> Option<u64> {
        if self.share == 0 {
            return None;
        }
        let (round, k) = (self.visits / self.share, self.visits % self.share);
        let k = k - k % self.group;
        if self.rounds.is_some_and(|rounds| round >= rounds) {
            return None;
        }
        let global = u128::from(k * self.workers + self.index);
        let within = u128::from(self.period_ns) * global / u128::from(self.connections);
        Some(self.begin_ns.saturating_add(round.saturating_mul(self.period_ns)).saturating_add(within as u64))
    }

    /// The connection that is visited, as its place in the worker's share, and moves on.
    pub fn take(&mut self) -> usize {
        let k = self.visits % self.share.max(1);
        self.visits += 1;
        k as usize
    }
}

/// When the requests of an open loop come due, for one worker. Whoever is idle takes the next: as many as are due
/// and not taken are the backlog, which so needs no memory.
#[derive(Debug, Clone)]
pub struct Arriving {
    kind: Arrivals,
    /// Of this worker, for random arrivals; of all workers, for even ones.
    step_ns: f64,
    index: u64,
    workers: u64,
    begin_ns: f64,
    taken: u64,
    random: fastrand::Rng,
    /// When the next one is due, since the begin.
    next_ns: f64,
}

impl Arriving {
    /// Arrivals of worker `index` of `workers`, that together make `rate_per_s`, from `begin_ns` on.
    #[must_use]
    pub fn new(
        kind: Arrivals,
        rate_per_s: f64,
        (index, workers): (u32, u32),
        seed: u64,
        begin_ns: u64,
    ) -> Self {
        let step_ns = 1e9 / rate_per_s;
        let mut arriving = Self {
            kind,
            step_ns: match kind {
                Arrivals::Fixed => step_ns,
                // Independent Poisson processes add up to one of the summed rate.
                Arrivals::Poisson => step_ns * f64::from(workers),
            },
            index: u64::from(index),
            workers: u64::from(workers),
            begin_ns: begin_ns as f64,
            taken: 0,
            // Neighbouring seeds of a generator of this kind (wyrand) give unrelated sequences.
            random: fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(index)),
            next_ns: 0.0,
        };
        arriving.advance();
        arriving
    }

    /// When the next one is due.
    #[must_use]
    pub fn due_ns(&self) -> u64 {
        (self.begin_ns + self.next_ns) as u64
    }

    /// Takes it: returns when it was due.
    pub fn take(&mut self) -> u64 {
        let due_ns = self.due_ns();
        self.taken += 1;
        self.advance();
        due_ns
    }

    fn advance(&mut self) {
        self.next_ns = match self.kind {
            Arrivals::Fixed => (self.taken * self.workers + self.index) as f64 * self.step_ns,
            // The inverse of the exponential's distribution function; 1 - f64() is never 0.
            Arrivals::Poisson => self.next_ns - self.step_ns * (1.0 - self.random.f64()).ln(),
        };
    }

    /// How many are due at `now_ns` and not taken, counted up to the mean for random ones.
    #[must_use]
    pub fn backlog(&self, now_ns: u64) -> u64 {
        let due_ns = self.due_ns();
        if now_ns < due_ns {
            return 0;
        }
        let step_ns = match self.kind {
            Arrivals::Fixed => self.step_ns * self.workers as f64,
            Arrivals::Poisson => self.step_ns,
        };
        1 + ((now_ns - due_ns) as f64 / step_ns) as u64
    }
}

/// What follows a verified reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterReply {
    /// Nothing: the cursor comes round again.
    Rest,
    /// The next request, in the same event.
    Send,
    /// The next request, so much later. The pause is the same for all, so a FIFO queue is a timer queue.
    SendAfter {
        /// The pause.
        think_ns: u64,
    },
}

/// A workload as pacing.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Starts requests.
    pub cursor: Option<Cursor>,
    /// Starts requests on whatever connection is idle.
    pub arriving: Option<Arriving>,
    /// Goes on from a reply.
    pub after_reply: AfterReply,
    /// Whether each connection has to prove at the end that it is alive, by an echo.
    pub final_verify: bool,
}

impl Pace {
    /// The pacing of one worker's share, from `begin_ns` on.
    #[must_use]
    pub fn new(options: &LoadOptions, index: u32, workers: u32, begin_ns: u64) -> Self {
        let share = share(options.connections, index, workers);
        let cursor = |period: Duration, rounds: Option<u64>| Cursor {
            begin_ns,
            period_ns: nanoseconds(period),
            connections: options.connections,
            index: u64::from(index),
            workers: u64::from(workers),
            share,
            visits: 0,
            rounds,
            group: rounds.map_or((share / CONNECTIONS_PER_GROUPED).clamp(1, GROUP_MAX), |_| 1),
        };
        match options.workload {
            Workload::Hold { heartbeat } => Self {
                cursor: heartbeat.map(|period| cursor(period, None)),
                arriving: None,
                after_reply: AfterReply::Rest,
                final_verify: true,
            },
            Workload::Open { rate_per_s, arrivals } => Self {
                cursor: None,
                arriving: Some(Arriving::new(arrivals, rate_per_s, (index, workers), options.seed, begin_ns)),
                after_reply: AfterReply::Rest,
                final_verify: false,
            },
            Workload::Burst => Self {
                cursor: Some(cursor(Duration::ZERO, Some(1))),
                arriving: None,
                after_reply: AfterReply::Send,
                final_verify: false,
            },
            Workload::Closed { think } | Workload::Churn { think } => {
                // Spread over one turn of a connection, so that a delay does not herd them; within the warm-up,
                // so that all take part from the window's begin on.
                let turn = options.delay_expected_mean.saturating_add(think);
                let after_reply = match nanoseconds(think) {
                    0 => AfterReply::Send,
                    think_ns => AfterReply::SendAfter { think_ns },
                };
                Self {
                    cursor: Some(cursor(turn.min(options.warmup), Some(1))),
                    arriving: None,
                    after_reply,
                    final_verify: false,
                }
            }
        }
    }
}

/// How many of the first `goal` connections belong to worker `index`: connection i belongs to worker
/// `i % workers`, at place `i / workers`.
#[must_use]
pub fn share(goal: u64, index: u32, workers: u32) -> u64 {
    let (index, workers) = (u64::from(index), u64::from(workers));
    goal / workers + u64::from(goal % workers > index)
}

/// A duration in nanoseconds, at most 584 years.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::options;

    #[test]
    fn heartbeats_of_many_connections_come_in_small_groups_and_all_within_the_period() {
        for (connections, workers, group) in [(100, 1, 1), (2_047, 1, 1), (4_096, 2, 2), (1_000_000, 51, 16)]
        {
            let workload = Workload::Hold { heartbeat: Some(Duration::from_secs(40)) };
            let options = LoadOptions { workload, ..options(connections) };
            let share = share(connections, 0, workers);
            let mut cursor = Pace::new(&options, 0, workers, 5).cursor.unwrap();
            let mut due = Vec::new();
            for k in 0..share {
                due.push(cursor.due_ns().unwrap());
                assert_eq!(cursor.take() as u64, k);
            }
            assert!(due.is_sorted() && due[0] == 5 && *due.last().unwrap() < 40_000_000_005);
            assert_eq!(cursor.due_ns(), Some(40_000_000_005), "the next round begins a period later");
            due.dedup();
            assert_eq!(due.len() as u64, share.div_ceil(group), "{connections} in {workers}");
        }
    }

    #[test]
    fn workers_together_make_the_rate() {
        let mut pacers = [Pacer::new(1e3, 0, 2, 5_000_000), Pacer::new(1e3, 1, 2, 5_000_000)];
        let mut due = Vec::new();
        for turn in 0..6 {
            let (pacer, k) = (&mut pacers[turn % 2], turn as u64 / 2);
            due.push(pacer.due_ns(k));
            pacer.take(k, pacer.due_ns(k));
        }
        assert_eq!(due, [5_000_000, 6_000_000, 7_000_000, 8_000_000, 9_000_000, 10_000_000]);
    }

    /// When the attempts are made, in ms, of a ramp with a goal at each attempt and a pause after each goal.
    fn ramp_with_pauses(rate_per_s: f64, attempts: u64, workers: u32, pause_ms: u64) -> Vec<u64> {
        let mut pacers: Vec<_> =
            (0..workers).map(|index| Pacer::new(rate_per_s, index, workers, 0)).collect();
        let (mut now_ns, mut at_ms) = (0, Vec::new());
        for ordinal in 0..attempts {
            if ordinal > 0 {
                now_ns += pause_ms * 1_000_000;
                pacers.iter_mut().for_each(|pacer| pacer.resume(ordinal, now_ns));
            }
            let (turn, k) = ((ordinal % u64::from(workers)) as usize, ordinal / u64::from(workers));
            now_ns = pacers[turn].due_ns(k).max(now_ns);
            pacers[turn].take(k, now_ns);
            at_ms.push(now_ns / 1_000_000);
        }
        at_ms
    }

    #[test]
    fn a_rate_is_that_of_the_whole_ramp_however_it_is_shared_and_paused() {
        for workers in [1, 3, 4, 8] {
            for pause_ms in [0, 1, 100, 999] {
                let expected: Vec<_> = (0..8).map(|second| second * 1_000).collect();
                assert_eq!(ramp_with_pauses(1.0, 8, workers, pause_ms), expected, "{workers}, {pause_ms} ms");
            }
            assert_eq!(ramp_with_pauses(1.0, 4, workers, 1_500), [0, 1_500, 3_000, 4_500], "{workers}");
        }
    }

    #[test]
    fn a_long_pause_is_not_followed_by_a_burst_of_all_workers() {
        let mut pacers: Vec<_> = (0..4).map(|index| Pacer::new(1e3, index, 4, 0)).collect();
        pacers.iter_mut().for_each(|pacer| pacer.resume(6, 9_000_000_000));
        // Ordinals 6 and 7 are the second of workers 2 and 3; 8 and 9 the third of workers 0 and 1.
        let next = [(2, 1), (3, 1), (0, 2), (1, 2)].map(|(worker, k): (usize, u64)| pacers[worker].due_ns(k));
        assert_eq!(next, [9_000_000_000, 9_001_000_000, 9_002_000_000, 9_003_000_000]);
    }

    #[test]
    fn a_stall_is_not_followed_by_a_burst() {
        let mut pacer = Pacer::new(1e3, 0, 1, 0);
        let now_ns = 60_000_000_000;
        let mut made_up = 0;
        while pacer.due_ns(made_up) <= now_ns {
            pacer.take(made_up, now_ns);
            made_up += 1;
        }
        assert_eq!(made_up, 11);
    }

    #[test]
    fn heartbeats_are_spread_over_the_interval_round_by_round() {
        let heartbeat = Some(Duration::from_nanos(1000));
        let held = LoadOptions { workload: Workload::Hold { heartbeat }, ..options(5) };
        let mut visits = Vec::new();
        for index in 0..2 {
            let mut cursor = Pace::new(&held, index, 2, 100).cursor.unwrap();
            for _ in 0..6 {
                let due_ns = cursor.due_ns().unwrap();
                visits.push((due_ns, cursor.take() * 2 + index as usize));
            }
        }
        visits.sort_unstable();
        let first: Vec<_> = visits.iter().take(10).copied().collect();
        let expected: Vec<_> = (0..10).map(|i| (100 + 200 * i as u64, i % 5)).collect();
        assert_eq!(first, expected);
    }

    #[test]
    fn a_closed_workload_starts_each_connection_once_within_the_warmup() {
        let closed = LoadOptions {
            workload: Workload::Closed { think: Duration::from_nanos(30) },
            delay_expected_mean: Duration::from_nanos(70),
            warmup: Duration::from_nanos(50),
            ..options(5)
        };
        let pace = Pace::new(&closed, 0, 1, 0);
        assert_eq!(pace.after_reply, AfterReply::SendAfter { think_ns: 30 });
        let mut cursor = pace.cursor.unwrap();
        let mut due = Vec::new();
        while let Some(due_ns) = cursor.due_ns() {
            due.push((due_ns, cursor.take()));
        }
        assert_eq!(due, [(0, 0), (10, 1), (20, 2), (30, 3), (40, 4)]);
        let busy = LoadOptions { workload: Workload::Closed { think: Duration::ZERO }, ..closed };
        assert_eq!(Pace::new(&busy, 0, 1, 0).after_reply, AfterReply::Send);
    }

    #[test]
    fn even_arrivals_of_all_workers_make_the_rate() {
        let mut due = Vec::new();
        for index in 0..3 {
            let mut arriving = Arriving::new(Arrivals::Fixed, 1e3, (index, 3), 1, 5_000_000);
            due.extend((0..4).map(|_| arriving.take()));
        }
        due.sort_unstable();
        let expected: Vec<_> = (0..12).map(|k| 5_000_000 + k * 1_000_000).collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn random_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() {
        let mut gaps = Vec::new();
        for index in 0..2 {
            let mut arriving = Arriving::new(Arrivals::Poisson, 1e3, (index, 2), 7, 0);
            let due: Vec<_> = (0..20_000).map(|_| arriving.take()).collect();
            gaps.extend(due.windows(2).map(|pair| (pair[1] - pair[0]) as f64));
            assert_ne!(due, {
                let mut other = Arriving::new(Arrivals::Poisson, 1e3, (index, 2), 8, 0);
                (0..20_000).map(|_| other.take()).collect::<Vec<_>>()
            });
        }
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        // Two workers of 500/s each: gaps of 2 ms on the mean, and as much of standard deviation.
        assert!(
            (mean / 2e6 - 1.0).abs() < 0.02 && (deviation / mean - 1.0).abs() < 0.03,
            "{mean} {deviation}"
        );
    }

    #[test]
    fn the_backlog_is_what_is_due_and_not_taken() {
        let mut arriving = Arriving::new(Arrivals::Fixed, 1e3, (0, 1), 1, 1_000_000);
        assert_eq!(
            (arriving.backlog(0), arriving.backlog(1_000_000), arriving.backlog(4_500_000)),
            (0, 1, 4)
        );
        arriving.take();
        assert_eq!(arriving.backlog(4_500_000), 3);
    }

    #[test]
    fn shares_add_up() {
        for (goal, workers) in [(0, 1), (1, 4), (10, 3), (12, 4), (10_000, 7)] {
            let shares: Vec<_> = (0..workers).map(|index| share(goal, index, workers)).collect();
            assert_eq!(shares.iter().sum::<u64>(), goal);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}

//! What a worker counted, how workers' counts are merged, and what a run returns.
//!
//! Must not be shared while it is written: each worker owns its own, and they are merged once, at the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::live::{self, LiveFailures};
use crate::protocol::Reply;
use crate::stage::Schedule;

/// The longest time a histogram tells apart: one hour, in nanoseconds. Longer ones count as that.
const HISTOGRAM_NS_MAX: u64 = 3_600_000_000_000;
/// Significant digits of a histogram.
const HISTOGRAM_DIGITS: u8 = 3;

/// A connect that takes this long was dropped and sent again: TCP repeats a SYN after a second (RFC 6298, 2;
/// include/net/tcp.h, TCP_TIMEOUT_INIT), never sooner, and no path in use is that long.
pub const SLOW: Duration = Duration::from_millis(990);

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureCount {
    /// What was being done: `socket`, `bind`, `connect`, `register` (epoll_ctl(2)), `verify`, `request`,
    /// `final_verify`, `idle` when the peer acted on a connection from which nothing was awaited, or `run` when a
    /// process of the client died (`died`).
    pub phase: &'static str,
    /// Errno by name (`ECONNREFUSED`), or: `closed` (the peer sent FIN), `mismatch` (other bytes came back),
    /// `not_a_frame`, `timeout`, `unexpected_bytes` (bytes that no request asked for), or `slow` (a connect that
    /// took [`SLOW`] or longer, and no failure).
    pub errno: String,
    /// How often.
    pub count: u64,
    /// Connections of this run that were open, over all workers, when it happened first.
    pub first_at_connections: u64,
    /// When it happened first, since the run began.
    pub first_after: Duration,
}

/// What a run did.
///
/// Always: `requested = opened + failed + not_attempted`, `opened = closed_early + live_at_end`,
/// `requests_intended = requests_completed + requests_failed + requests_not_sent`.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Connections asked for.
    pub requested: u64,
    /// What all workers counted.
    pub samples: WorkerSamples,
    /// Most connections open at one time.
    pub peak_live: u64,
    /// Time spent opening, pauses on plateaus left out.
    pub opening: Duration,
    /// Length of the window. Shorter than asked when interrupted, or when the number of requests was fixed and all
    /// were answered.
    pub window: Duration,
    /// From the window's begin to the last reply, where the number of requests was fixed and all were sent.
    pub makespan: Option<Duration>,
    /// Whether somebody asked it to stop early.
    pub interrupted: bool,
    /// Whether what followed the window took so long that it was not waited for: the requests and the final proofs
    /// that were not there by then have failed, with errno `timeout`.
    pub cut_short: bool,
}

/// What one worker, or all of them, counted.
#[derive(Debug, Clone)]
pub struct WorkerSamples {
    /// Connections that opened and echoed once.
    pub opened: u64,
    /// Attempts that failed, in whatever phase up to the verifying echo.
    pub failed: u64,
    /// Connections not tried, or given up on while under way: the run was stopped, or each worker stops
    /// trying after 100 failures of one kind in a row.
    pub not_attempted: u64,
    /// Opened, and lost before the end.
    pub closed_early: u64,
    /// Opened, and open when the closing began; for `Hold`, each proved it by an echo unless interrupted.
    pub live_at_end: u64,
    /// Times that a connection which had opened was closed in good order and opened again.
    pub reopened: u64,
    /// From connect(2) to connected, in nanoseconds, for each connect that succeeded.
    pub connect_latency: Histogram<u64>,
    /// From where the clock of a request starts (see [`Workload`](crate::Workload)) to the full verified reply, in
    /// nanoseconds, for each request of the window.
    pub latency: Histogram<u64>,
    /// |waited - asked| in nanoseconds, for requests of the window, where both are known.
    pub delay_error: Histogram<u64>,
    /// How late requests of an open loop were sent for want of the client, and not of an idle connection, in
    /// nanoseconds: a connection was idle when they came due, or others were idle and the client had not yet looked.
    pub schedule_lag: Histogram<u64>,
    /// Requests sent, or due, within the window.
    pub requests_intended: u64,
    /// Those that were answered as they should be.
    pub requests_completed: u64,
    /// Those that were sent and failed.
    pub requests_failed: u64,
    /// Of the failed, those answered with a status outside 200..=299.
    pub requests_non_2xx: u64,
    /// Those that were due and never sent: no connection was idle within the timeout, or before the window ended. Of
    /// a fixed number all that were not sent, unless the run was interrupted.
    pub requests_not_sent: u64,
    /// Requests of the window left unanswered by an interruption; not counted as intended.
    pub requests_abandoned: u64,
    /// Most requests that were due and waited for an idle connection, at one time; of all workers, the sum of each
    /// one's most.
    pub backlog_peak: u64,
    /// Heartbeats that came due within the window while the one before was still unanswered; not sent.
    pub heartbeats_skipped: u64,
    /// Replies that arrived within the window, whenever their request was sent: throughput.
    pub completed_in_window: u64,
    /// When the last reply to a request of the window arrived, in nanoseconds since the run began; 0: none did.
    pub last_reply_ns: u64,
    /// Time within the window in which workers asked for events in vain instead of sleeping
    /// ([`LoadOptions::busy_poll`](crate::LoadOptions::busy_poll)), in nanoseconds; without what others had of the CPU then.
    pub polled_in_vain_ns: u64,
    /// What failed, by phase and errno.
    pub failures: Vec<FailureCount>,
    /// Of a load in parts: how each process ended that did so before its time.
    pub died: Vec<String>,
    /// Who is told of failures while the run goes on.
    told: Option<Arc<LiveFailures>>,
}

/// When a request happened, in nanoseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Where its clock started: due, sent, or connect.
    pub since_ns: u64,
    /// When its reply was complete.
    pub now_ns: u64,
}

impl WorkerSamples {
    /// Nothing counted yet. Histograms begin small, 16 KiB, and grow by 8 KiB for each doubling of the longest time:
    /// nothing is allocated for a request, and at most 31 times in a run. Made at full size, four of them would
    /// be a MiB of zeros that are written.
    ///
    /// # Errors
    /// Only if the digits above were impossible.
    pub fn new() -> io::Result<Self> {
        let histogram = || {
            Histogram::new(HISTOGRAM_DIGITS).map_err(|error| io::Error::other(format!("histogram: {error}")))
        };
        Ok(Self {
            opened: 0,
            failed: 0,
            not_attempted: 0,
            closed_early: 0,
            live_at_end: 0,
            reopened: 0,
            connect_latency: histogram()?,
            latency: histogram()?,
            delay_error: histogram()?,
            schedule_lag: histogram()?,
            requests_intended: 0,
            requests_completed: 0,
            requests_failed: 0,
            requests_non_2xx: 0,
            requests_not_sent: 0,
            requests_abandoned: 0,
            backlog_peak: 0,
            heartbeats_skipped: 0,
            completed_in_window: 0,
            last_reply_ns: 0,
            polled_in_vain_ns: 0,
            failures: Vec::new(),
            died: Vec::new(),
            told: None,
        })
    }

    /// [`new`](Self::new), where failures are told of as they are counted.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub(crate) fn telling(failures: Arc<LiveFailures>) -> io::Result<Self> {
        Ok(Self { told: Some(failures), ..Self::new()? })
    }

    /// Counts a reply that came in time. `asked_ns`: the wait that was asked, if it is known. Returns a failure to
    /// be counted where it is no success.
    #[must_use]
    pub fn count_reply(
        &mut self,
        schedule: &Schedule,
        times: Times,
        reply: &Reply,
        asked_ns: Option<u64>,
    ) -> Option<String> {
        let counted = schedule.in_window(times.since_ns);
        if let Some(status) = reply.failed_status() {
            self.requests_failed += u64::from(counted);
            self.requests_non_2xx += u64::from(counted);
            self.last_reply_ns = self.last_reply_ns.max(if counted { times.now_ns } else { 0 });
            return Some(format!("http_{status}"));
        }
        if counted {
            self.requests_completed += 1;
            self.last_reply_ns = self.last_reply_ns.max(times.now_ns);
            record(&mut self.latency, times.now_ns.saturating_sub(times.since_ns));
            if let Some((waited_ns, asked_ns)) = reply.waited_ns.zip(asked_ns) {
                record(&mut self.delay_error, waited_ns.abs_diff(asked_ns));
            }
        }
        self.completed_in_window += u64::from(schedule.in_window(times.now_ns));
        None
    }

    /// Counts a connect(2) that ended well, `after` the run's begin, with `live` connections open in the whole run.
    /// Returns whether it was slow.
    pub fn connected(&mut self, connect_ns: u64, live: u64, after: Duration) -> bool {
        record(&mut self.connect_latency, connect_ns);
        let is_slow = Duration::from_nanos(connect_ns) >= SLOW;
        if is_slow {
            self.failure("connect", "slow", live, after);
        }
        is_slow
    }

    /// Counts one failure, `after` the run's begin, with `live` connections open in the whole run.
    pub fn failure(&mut self, phase: &'static str, errno: &str, live: u64, after: Duration) {
        live::count_in(&mut self.failures, phase, errno, live, after);
        if let Some(told) = &self.told {
            told.count(phase, errno, live, after);
        }
    }

    /// Adds what another worker counted.
    ///
    /// # Errors
    /// If its histograms have other digits.
    pub fn merge(&mut self, other: &Self) -> io::Result<()> {
        self.opened += other.opened;
        self.failed += other.failed;
        self.not_attempted += other.not_attempted;
        self.closed_early += other.closed_early;
        self.live_at_end += other.live_at_end;
        self.reopened += other.reopened;
        self.requests_non_2xx += other.requests_non_2xx;
        self.requests_not_sent += other.requests_not_sent;
        self.backlog_peak += other.backlog_peak;
        self.last_reply_ns = self.last_reply_ns.max(other.last_reply_ns);
        self.requests_intended += other.requests_intended;
        self.requests_completed += other.requests_completed;
        self.requests_failed += other.requests_failed;
        self.requests_abandoned += other.requests_abandoned;
        self.heartbeats_skipped += other.heartbeats_skipped;
        self.completed_in_window += other.completed_in_window;
        self.polled_in_vain_ns += other.polled_in_vain_ns;
        live::merge(&mut self.failures, &other.failures);
        self.died.extend_from_slice(&other.died);
        for (sum, part) in [
            (&mut self.connect_latency, &other.connect_latency),
            (&mut self.latency, &other.latency),
            (&mut self.delay_error, &other.delay_error),
            (&mut self.schedule_lag, &other.schedule_lag),
        ] {
            sum.add(part).map_err(|error| io::Error::other(format!("merging histograms: {error}")))?;
        }
        Ok(())
    }

    /// Whether `requested` connections and all requests are accounted for.
    #[must_use]
    pub fn adds_up(&self, requested: u64) -> bool {
        requested == self.opened + self.failed + self.not_attempted
            && self.opened == self.closed_early + self.live_at_end
            && self.requests_intended
                == self.requests_completed + self.requests_failed + self.requests_not_sent
    }
}

/// Records a time. One that is longer than an hour counts as that.
pub(crate) fn record(histogram: &mut Histogram<u64>, ns: u64) {
    if histogram.record(ns.min(HISTOGRAM_NS_MAX)).is_err() {
        // Had it no room to grow, which it always has.
        histogram.saturating_record(ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_counts_and_histograms_and_keeps_the_first_failure() {
        let mut sum = WorkerSamples::new().unwrap();
        sum.opened = 3;
        record(&mut sum.latency, 1_000);
        let after = Duration::from_millis;
        sum.failure("connect", "ECONNREFUSED", 9, after(20));
        let mut other = WorkerSamples::new().unwrap();
        other.opened = 4;
        other.requests_intended = 7;
        record(&mut other.latency, 2_000);
        other.failure("connect", "ECONNREFUSED", 5, after(10));
        other.failure("connect", "ECONNREFUSED", 2, after(30));
        other.failure("verify", "closed", 1, after(40));
        sum.merge(&other).unwrap();
        assert_eq!((sum.opened, sum.requests_intended, sum.latency.len()), (7, 7, 2));
        let expected = [("connect", "ECONNREFUSED", 3, 5, after(10)), ("verify", "closed", 1, 1, after(40))];
        let found = sum
            .failures
            .iter()
            .map(|f| (f.phase, f.errno.as_str(), f.count, f.first_at_connections, f.first_after));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn histograms_keep_three_digits_up_to_an_hour_and_no_more() {
        let mut samples = WorkerSamples::new().unwrap();
        let small = samples.latency.distinct_values();
        record(&mut samples.latency, 1_000_000);
        assert!(samples.latency.equivalent_range(1_000_000) <= 1_000);
        record(&mut samples.latency, u64::MAX);
        record(&mut samples.latency, 0);
        assert!(
            samples.latency.max() >= HISTOGRAM_NS_MAX && samples.latency.max() < HISTOGRAM_NS_MAX / 100 * 101
        );
        assert_eq!((samples.latency.len(), samples.latency.min()), (3, 0));
        assert!(small * 8 <= 16 * 1024, "{small} counters at the begin");
        assert!(samples.latency.distinct_values() * 8 < 300 * 1024);
    }

    #[test]
    fn adding_up_is_checked() {
        let mut samples = WorkerSamples::new().unwrap();
        samples.opened = 2;
        samples.live_at_end = 2;
        assert!(samples.adds_up(2) && !samples.adds_up(3));
        samples.requests_intended = 1;
        assert!(!samples.adds_up(2));
    }
}

//! The lines that a conductor and a part of a load exchange. Must not read or write one.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use serde::{Deserialize, Serialize};

use crate::live::LiveSnapshot;
use crate::samples::{FailureCount, WorkerSamples};
use crate::stage::Order;

/// What a part is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ToPart {
    /// The latest order, with its number.
    Order(u64, Order),
    /// Something changed on the board that somebody may wait for.
    Wake,
}

/// What a part says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromPart {
    /// All of its workers have done the order of that number.
    Arrived(u64, Told),
    /// How it goes.
    Goes(Told),
    /// Something changed on the board that the workers of other parts may wait for.
    Wake,
    /// It has closed its connections: what its workers measured. Nothing follows.
    Ended(Box<Measured>),
    /// It could not run. Nothing follows.
    Failed(String),
}

/// What is told while it goes on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Counts since the run began.
    pub(super) counts: LiveSnapshot,
    /// How many requests took how long since the last time: bucket and count.
    pub(super) latencies: Vec<(u32, u32)>,
    /// What failed since the run began; empty where nothing more failed since the last time.
    pub(super) failures: Vec<SaidFailure>,
}

/// [`FailureCount`] as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SaidFailure {
    phase: Cow<'static, str>,
    errno: String,
    count: u64,
    first_at_connections: u64,
    first_after: Duration,
}

/// Phases by name. Every engine counts failures in these.
const PHASES: &[&str] = &[
    "socket",
    "bind",
    "connect",
    "register",
    "verify",
    "request",
    "final_verify",
    "idle",
    "poll",
    "spawn",
    "run",
];

impl SaidFailure {
    pub(super) fn of(failure: &FailureCount) -> Self {
        Self {
            phase: failure.phase.into(),
            errno: failure.errno.clone(),
            count: failure.count,
            first_at_connections: failure.first_at_connections,
            first_after: failure.first_after,
        }
    }

    pub(super) fn count(self) -> FailureCount {
        FailureCount {
            phase: PHASES.iter().copied().find(|known| *known == self.phase).unwrap_or("unknown"),
            errno: self.errno,
            count: self.count,
            first_at_connections: self.first_at_connections,
            first_after: self.first_after,
        }
    }
}

/// [`WorkerSamples`] as they are written: histograms in their V2 encoding.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    counts: [u64; COUNTS],
    histograms: [Vec<u8>; HISTOGRAMS],
    failures: Vec<SaidFailure>,
}

const COUNTS: usize = 17;
const HISTOGRAMS: usize = 4;

/// The counts of samples, in one order for both ways.
fn counts(samples: &mut WorkerSamples) -> [&mut u64; COUNTS] {
    [
        &mut samples.opened,
        &mut samples.failed,
        &mut samples.not_attempted,
        &mut samples.closed_early,
        &mut samples.live_at_end,
        &mut samples.reopened,
        &mut samples.requests_intended,
        &mut samples.requests_completed,
        &mut samples.requests_failed,
        &mut samples.requests_non_2xx,
        &mut samples.requests_not_sent,
        &mut samples.requests_abandoned,
        &mut samples.backlog_peak,
        &mut samples.heartbeats_skipped,
        &mut samples.completed_in_window,
        &mut samples.last_reply_ns,
        &mut samples.polled_in_vain_ns,
    ]
}

fn histograms(samples: &mut WorkerSamples) -> [&mut Histogram<u64>; HISTOGRAMS] {
    [&mut samples.connect_latency, &mut samples.latency, &mut samples.delay_error, &mut samples.schedule_lag]
}

impl Measured {
    /// # Errors
    /// For counts above `i64::MAX`.
    pub(super) fn of(mut samples: WorkerSamples) -> io::Result<Self> {
        let mut encoded: [Vec<u8>; HISTOGRAMS] = Default::default();
        for (bytes, histogram) in encoded.iter_mut().zip(histograms(&mut samples)) {
            V2Serializer::new().serialize(histogram, bytes).map_err(|error| broken(&error))?;
        }
        let failures = samples.failures.iter().map(SaidFailure::of).collect();
        let counts = counts(&mut samples).map(|count| *count);
        Ok(Self { counts, histograms: encoded, failures })
    }

    /// # Errors
    /// For bytes that are no histogram.
    pub(super) fn samples(self) -> io::Result<WorkerSamples> {
        let mut samples = WorkerSamples::new()?;
        for (count, said) in counts(&mut samples).into_iter().zip(self.counts) {
            *count = said;
        }
        for (histogram, bytes) in histograms(&mut samples).into_iter().zip(&self.histograms) {
            let said: Histogram<u64> =
                Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| broken(&error))?;
            histogram.add(said).map_err(|error| broken(&error))?;
        }
        samples.failures = self.failures.into_iter().map(SaidFailure::count).collect();
        Ok(samples)
    }
}

fn broken(error: &dyn std::fmt::Debug) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("histogram: {error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_as_they_were_sent() {
        let mut samples = WorkerSamples::new().unwrap();
        for (n, count) in (1..).zip(counts(&mut samples)) {
            *count = n;
        }
        for (n, histogram) in (1..).zip(histograms(&mut samples)) {
            histogram.record_n(1_000_000 * n, n).unwrap();
        }
        let after = Duration::from_millis(5);
        for phase in PHASES {
            samples.failure(phase, "EMFILE", 7, after);
        }
        let line = serde_json::to_string(&Measured::of(samples.clone()).unwrap()).unwrap();
        let mut read = serde_json::from_str::<Measured>(&line).unwrap().samples().unwrap();
        assert_eq!(counts(&mut read).map(|count| *count), counts(&mut samples).map(|count| *count));
        assert_eq!(histograms(&mut read).map(|h| h.clone()), histograms(&mut samples).map(|h| h.clone()));
        assert_eq!(read.failures, samples.failures);
    }

    #[test]
    fn what_is_no_histogram_is_an_error() {
        let mut said = Measured::of(WorkerSamples::new().unwrap()).unwrap();
        said.histograms[1] = vec![1, 2, 3];
        assert!(said.samples().is_err());
    }
}

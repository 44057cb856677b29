//! Looks at both ends of a running case: memory, threads, descriptors, CPU of the
//! client and the target, and the machines they are on. Several times a second,
//! and on demand when connections stand still.
//!
//! It must not disturb what it looks at: one thread, a few reads of /proc and one
//! request to the target's control plane for each sample.

mod parts;
mod sampling;
mod watched;

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use brink_client::control::ControlClient;
use brink_client::{Latencies, LatencyGauge, LiveCounters};
use brink_host::usage::{MachineSampler, ProcessSampler};
use brink_results::schema::{EndSample, MachineSample, Plateau};
use brink_wire::control::{Counters, DeadWorker, LimitReading, MachineUsage, ProcessUsage, Refusal};
use serde::{Deserialize, Serialize};

use self::parts::Parts;
pub use self::sampling::Sampling;
pub use self::watched::Watched;
use crate::plan::MANY;

/// Pause between two looks at a target that is not at rest yet.
const SETTLE_PAUSE: Duration = Duration::from_millis(20);
/// A target that is not at rest by then is sampled all the same, and marked.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
/// At rest: anonymous memory moved by no more than this between two looks.
const SETTLED_BYTES: u64 = 16 << 10;

/// Everything that is looked at.
pub struct Ends {
    began: Instant,
    client: ProcessSampler,
    parts: Parts,
    machine: MachineSampler,
    live: Arc<LiveCounters>,
    latencies: LatencyGauge,
    target: Watched,
    same_machine: bool,
    first_counters: Option<Counters>,
    last_counters: Option<Counters>,
    patience: Duration,
}

/// Both ends at one instant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// The client's processes.
    pub client: EndSample,
    /// The target's processes, where it says.
    pub target: Option<EndSample>,
    /// Connections that wait to be accepted, as the target says.
    pub accept_queue: Option<u64>,
    /// The client's machine.
    pub machine: MachineSample,
    /// The target's machine, where it is another one.
    pub target_machine: Option<MachineSample>,
    /// What the target refused since the first look, as it says.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
}

impl Ends {
    /// Looks at this process and, as far as it can be seen, at the target.
    pub fn new(began: Instant, live: Arc<LiveCounters>, target: Watched, same_machine: bool) -> Self {
        let client = ProcessSampler::own().without_switches();
        Self {
            began,
            client,
            parts: Parts::default(),
            machine: MachineSampler::own(),
            live,
            latencies: LatencyGauge::default(),
            target,
            same_machine,
            first_counters: None,
            last_counters: None,
            patience: SETTLE_WITHIN,
        }
    }

    /// Another way up begins, which is counted here. `parts`: the client's other processes, by pid.
    pub fn follow(&mut self, live: Arc<LiveCounters>, parts: &[u32]) {
        self.parts.follow(parts);
        self.live = live;
        self.latencies = LatencyGauge::default();
        self.patience = SETTLE_WITHIN;
    }

    /// When the case began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// One sample of everything, in turn: with how long requests took since the one before.
    pub fn sample(&mut self) -> Look {
        // Before the target is asked, which takes its time: as near to the count of requests as can be.
        let latencies = self.live.latencies(&mut self.latencies);
        let mut look = self.look();
        look.client.latency_p99_ns = latencies.quantile_ns(0.99);
        look
    }

    /// How long requests took since this way up began, as of the last sample.
    pub fn latencies(&self) -> &Latencies {
        self.latencies.total()
    }

    /// One sample of everything.
    pub fn look(&mut self) -> Look {
        let t_s = self.began.elapsed().as_secs_f64();
        let live = self.live.snapshot();
        let client = EndSample {
            live: Some(live.live),
            requests: Some(live.completed),
            in_flight: Some(live.in_flight),
            ..self.client_sample(t_s)
        };
        let machine = machine_sample(t_s, self.machine.sample());
        let mut look = Look { client, machine, ..Look::default() };
        let Some(seen) = self.target.look() else { return look };
        let mut target = end_sample(t_s, &seen.processes);
        target.cpu_s = target.cpu_s.map(|cpu_s| cpu_s + seen.gone_cpu_s);
        target.live = seen.counters.as_ref().map(|counters| counters.live);
        target.requests = seen.counters.as_ref().map(|counters| counters.requests);
        if seen.processes.len() > 1 {
            target.workers = seen.processes;
        }
        look.target = Some(target);
        look.accept_queue = seen.accept_queue;
        look.target_machine =
            seen.machine.filter(|_| !self.same_machine).map(|usage| machine_sample(t_s, usage));
        if let Some(counters) = seen.counters {
            self.first_counters.get_or_insert_with(|| counters.clone());
            self.last_counters = Some(counters);
            look.refusals = self.counters().map(|counters| counters.refusals).unwrap_or_default();
        }
        look
    }

    /// This process and, where the client is several, the others.
    fn client_sample(&mut self, t_s: f64) -> EndSample {
        let processes: Vec<_> = std::iter::once(self.client.sample()).chain(self.parts.look()).collect();
        let sample = end_sample(t_s, &processes);
        let cpu_s = sample.cpu_s.map(|cpu_s| cpu_s + self.parts.gone_cpu_s());
        EndSample { cpu_s, ..sample }
    }

    /// The process of the client that meets the limits of a process first: this one, or the fullest of the others.
    pub fn fullest_of_client(&self) -> u32 {
        self.parts.fullest().unwrap_or_else(std::process::id)
    }

    /// What the target counted since the first look, as of its last answer. A target that ran before
    /// has counted what others did to it, too; `live` alone is what it is now.
    pub fn counters(&self) -> Option<Counters> {
        Some(since(self.first_counters.as_ref()?, self.last_counters.as_ref()?))
    }

    /// Connections that the target had before the first of this run.
    pub fn strangers(&self) -> u64 {
        self.first_counters.as_ref().map_or(0, |counters| counters.live)
    }

    /// How often the control plane did not answer.
    pub fn control_failures(&self) -> u64 {
        self.target.control_failures()
    }

    /// The target's control plane.
    pub fn control(&mut self) -> Option<&mut ControlClient> {
        self.target.control()
    }

    /// The target's limits with their use, as its busiest process meets them; empty where they cannot be told.
    pub fn target_limits(&mut self) -> Vec<LimitReading> {
        self.target.limits()
    }

    /// Serving processes of the target that ended although nobody asked them to, as of its last answer.
    pub fn dead_workers(&self) -> &[DeadWorker] {
        self.target.dead_workers()
    }

    /// Waits until the target holds `connections` more than before the run, answers nothing and keeps its
    /// memory, then samples everything.
    pub fn plateau(&mut self, connections: u64) -> Plateau {
        let until = Instant::now() + self.patience;
        let live = connections..=connections + self.strangers();
        let mut before = self.look();
        loop {
            pause(SETTLE_PAUSE);
            let now = self.look();
            let settled = at_rest(&before, &now, &live);
            if settled || Instant::now() >= until {
                if !settled {
                    // Whoever keeps it busy will do so at the next plateau, too.
                    self.patience = SETTLE_WITHIN / 8;
                }
                let Look { client, target, machine, target_machine, .. } = now;
                // The sum is what a slope is made of.
                let target = target.map(summed_if_many);
                return Plateau { connections, settled, client, target, machine, target_machine };
            }
            before = now;
        }
    }
}

/// The sum alone of processes that are many: one by one they would be most of a result.
fn summed_if_many(mut sample: EndSample) -> EndSample {
    if sample.workers.len() >= MANY as usize {
        sample.workers = Vec::new();
    }
    sample
}

/// Whether two looks, one after the other, show both ends at rest. Of a foreign target only memory
/// can be seen, or nothing; then that, or only the client, counts.
///
/// `live` is what the target may count: the connections of this run, and as many more as it had before.
fn at_rest(before: &Look, now: &Look, live: &RangeInclusive<u64>) -> bool {
    let steady = |a: &EndSample, b: &EndSample| {
        let moved = a.user_bytes.zip(b.user_bytes).map(|(a, b)| a.abs_diff(b));
        a.requests == b.requests && moved.is_none_or(|bytes| bytes <= SETTLED_BYTES)
    };
    let client = steady(&before.client, &now.client);
    match (&before.target, &now.target) {
        (Some(a), Some(b)) => {
            // A foreign target whose memory can be seen does not say how many it holds.
            let all_there = b.live.is_none_or(|count| live.contains(&count));
            client && steady(a, b) && a.live == b.live && all_there
        }
        (None, None) => client,
        _ => false,
    }
}

/// What was counted between two looks.
fn since(first: &Counters, last: &Counters) -> Counters {
    let before = |refusal: &Refusal| {
        let same = |other: &&Refusal| other.phase == refusal.phase && other.error == refusal.error;
        first.refusals.iter().find(same).map_or(0, |other| other.count)
    };
    let refusals = last
        .refusals
        .iter()
        .map(|refusal| Refusal { count: refusal.count.saturating_sub(before(refusal)), ..refusal.clone() });
    Counters {
        accepted: last.accepted.saturating_sub(first.accepted),
        live: last.live,
        requests: last.requests.saturating_sub(first.requests),
        frame_errors: last.frame_errors.saturating_sub(first.frame_errors),
        refusals: refusals.filter(|refusal| refusal.count > 0).collect(),
    }
}

fn end_sample(t_s: f64, processes: &[ProcessUsage]) -> EndSample {
    let sum = |field: fn(&ProcessUsage) -> Option<u64>| processes.iter().map(field).sum::<Option<u64>>();
    EndSample {
        t_s,
        user_bytes: sum(|p| p.user_bytes),
        resident_bytes: sum(|p| p.resident_bytes),
        virtual_bytes: sum(|p| p.virtual_bytes),
        page_table_bytes: sum(|p| p.page_table_bytes),
        threads: sum(|p| p.threads),
        fds: sum(|p| p.fds),
        cpu_s: processes.iter().map(|p| p.cpu_s).sum(),
        live: None,
        requests: None,
        in_flight: None,
        latency_p99_ns: None,
        workers: Vec::new(),
    }
}

fn machine_sample(t_s: f64, usage: MachineUsage) -> MachineSample {
    MachineSample { t_s, kernel_bytes: usage.kernel_bytes(), usage }
}

#[expect(
    clippy::disallowed_methods,
    reason = "gives the target time to come to rest; nothing runs meanwhile"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Locks; a thread that panicked while it held the lock left complete samples behind.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(live: u64, requests: u64, user_bytes: u64) -> Look {
        let target = EndSample {
            live: Some(live),
            requests: Some(requests),
            user_bytes: Some(user_bytes),
            ..EndSample::default()
        };
        Look { target: Some(target), ..Look::default() }
    }

    #[test]
    fn rest_needs_all_connections_no_requests_and_steady_memory() {
        let base = look(10, 5, 1 << 20);
        assert!(at_rest(&base, &look(10, 5, (1 << 20) + 4096), &(10..=10)));
        assert!(!at_rest(&base, &look(10, 5, 1 << 20), &(11..=11)), "one is missing");
        assert!(at_rest(&base, &look(10, 5, 1 << 20), &(8..=12)), "strangers may be among them");
        assert!(!at_rest(&base, &look(10, 6, 1 << 20), &(10..=10)), "it answers");
        assert!(!at_rest(&base, &look(10, 5, 2 << 20), &(10..=10)), "it grows");
        assert!(!at_rest(&base, &Look::default(), &(10..=10)), "it is gone");
        assert!(at_rest(&Look::default(), &Look::default(), &(10..=10)), "a foreign target cannot be seen");
        let foreign = |user_bytes| {
            let target = EndSample { user_bytes: Some(user_bytes), ..EndSample::default() };
            Look { target: Some(target), ..Look::default() }
        };
        assert!(
            at_rest(&foreign(1 << 20), &foreign(1 << 20), &(10..=10)),
            "it does not say how many it holds"
        );
        assert!(!at_rest(&foreign(1 << 20), &foreign(2 << 20), &(10..=10)), "its memory can be seen to grow");
        assert!(!at_rest(&foreign(1 << 20), &look(10, 5, 1 << 20), &(10..=10)));
    }

    #[test]
    fn counts_of_before_the_run_are_not_the_runs() {
        let refusal = |error: &str, count| Refusal { phase: "accept".into(), error: error.into(), count };
        let first = Counters {
            accepted: 5,
            requests: 9,
            refusals: vec![refusal("EMFILE", 7)],
            ..Counters::default()
        };
        let refusals = vec![refusal("EMFILE", 7), refusal("ENFILE", 2)];
        let last = Counters { accepted: 8, live: 3, requests: 10, refusals, ..Counters::default() };
        let run = since(&first, &last);
        assert_eq!((run.accepted, run.live, run.requests), (3, 3, 1));
        assert_eq!(run.refusals, [refusal("ENFILE", 2)]);
    }

    #[test]
    fn one_unknown_process_makes_the_sum_unknown() {
        let known = ProcessUsage { threads: Some(2), cpu_s: Some(0.5), ..ProcessUsage::default() };
        let sum = end_sample(0.0, &[known.clone(), known.clone()]);
        assert_eq!((sum.threads, sum.cpu_s, sum.fds), (Some(4), Some(1.0), None));
        assert_eq!(end_sample(0.0, &[known, ProcessUsage::default()]).threads, None);
    }
}

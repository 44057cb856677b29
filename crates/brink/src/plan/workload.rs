//! What is asked of the connections: which of the values belong to which workload, and their defaults. Pure.

use std::time::Duration;

use brink_results::case::{Arrivals, Workload};

use super::ns;
use crate::cli::{ArrivalsName, WorkloadName};
use crate::exit::Failure;

/// Window where none is named.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);
/// What bounds the time of a fixed number of requests where no window is named.
const DURATION_OF_REQUESTS: Duration = Duration::from_secs(3600);

/// As typed.
#[derive(Debug, Clone, Default)]
pub(super) struct WorkloadAsked {
    pub(super) kind: Option<WorkloadName>,
    pub(super) connections: u64,
    pub(super) think: Option<Duration>,
    pub(super) heartbeat: Option<Duration>,
    pub(super) rate_per_s: Option<f64>,
    pub(super) arrivals: Option<ArrivalsName>,
    pub(super) seed: Option<u64>,
    pub(super) requests: Option<u64>,
    pub(super) duration: Option<Duration>,
    pub(super) warmup: Option<Duration>,
}

/// With nothing left open but the warm-up, whose default depends on the target's delay.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resolved {
    pub(super) workload: Workload,
    pub(super) requests: Option<u64>,
    pub(super) seed: u64,
    pub(super) duration: Duration,
    pub(super) warmup: Option<Duration>,
}

impl WorkloadAsked {
    /// Fills in what was not named. `prefix` is what flags have and keys of a file have not: `--`.
    ///
    /// # Errors
    /// A usage failure that names the value that does not belong to the workload.
    pub(super) fn resolve(&self, prefix: &str) -> Result<Resolved, Failure> {
        use WorkloadName::{Burst, Churn, Closed, Hold, Open};
        let kind = self.kind.unwrap_or(if self.rate_per_s.is_some() { Open } else { Closed });
        let only = |name: &str, kinds: &str| {
            Err(Failure::usage(format!("{prefix}{name}: only with {prefix}workload {kinds}")))
        };
        match kind {
            _ if self.think.is_some() && !matches!(kind, Closed | Churn) => {
                return only("think", "closed or churn");
            }
            _ if self.heartbeat.is_some() && kind != Hold => return only("heartbeat", "hold"),
            _ if self.rate_per_s.is_some() && kind != Open => return only("rate", "open"),
            _ if self.arrivals.is_some() && kind != Open => return only("arrivals", "open"),
            _ if self.seed.is_some() && kind != Open => return only("seed", "open"),
            Hold if self.requests.is_some() => return only("requests", "closed, open, burst or churn"),
            Burst if self.warmup.is_some_and(|warmup| !warmup.is_zero()) => {
                return only("warmup", "closed, open, churn or hold: a burst is the first that is asked");
            }
            _ => {}
        }
        let workload = match (kind, self.rate_per_s) {
            (Hold, _) => Workload::Hold { heartbeat_ns: self.heartbeat.map(ns) },
            (Closed, _) => Workload::Closed { think_ns: self.think.map_or(0, ns) },
            (Churn, _) => Workload::Churn { think_ns: self.think.map_or(0, ns) },
            (Burst, _) => Workload::Burst,
            (Open, Some(rate_per_s)) => Workload::Open {
                rate_per_s,
                arrivals: match self.arrivals {
                    Some(ArrivalsName::Poisson) => Arrivals::Poisson,
                    Some(ArrivalsName::Fixed) | None => Arrivals::Fixed,
                },
            },
            (Open, None) => {
                return Err(Failure::usage(format!(
                    "{prefix}workload open: needs a {prefix}rate of requests per second"
                )));
            }
        };
        let requests = self.requests.or((kind == Burst).then_some(self.connections));
        let whole = requests.is_some();
        Ok(Resolved {
            workload,
            requests,
            seed: self.seed.unwrap_or(1),
            duration: self.duration.unwrap_or(if whole { DURATION_OF_REQUESTS } else { DURATION_DEFAULT }),
            // Who asks for a number of requests means all of them.
            warmup: self.warmup.or(whole.then_some(Duration::ZERO)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: WorkloadName) -> WorkloadAsked {
        WorkloadAsked { kind: Some(kind), connections: 7, ..WorkloadAsked::default() }
    }

    #[test]
    fn a_rate_makes_an_open_loop_and_a_number_its_own_window() {
        let open = WorkloadAsked { rate_per_s: Some(5.0), ..WorkloadAsked::default() }.resolve("--").unwrap();
        assert_eq!(open.workload, Workload::Open { rate_per_s: 5.0, arrivals: Arrivals::Fixed });
        assert_eq!((open.requests, open.duration, open.warmup), (None, DURATION_DEFAULT, None));
        let burst = asked(WorkloadName::Burst).resolve("--").unwrap();
        assert_eq!((burst.requests, burst.duration), (Some(7), DURATION_OF_REQUESTS));
        assert_eq!(burst.warmup, Some(Duration::ZERO));
        let closed = WorkloadAsked { requests: Some(50), ..asked(WorkloadName::Closed) }.resolve("").unwrap();
        assert_eq!((closed.requests, closed.warmup), (Some(50), Some(Duration::ZERO)));
    }

    #[test]
    fn what_belongs_to_another_workload_is_named() {
        use WorkloadName::{Burst, Closed, Hold, Open};
        let second = Some(Duration::from_secs(1));
        let cases = [
            (WorkloadAsked { think: second, ..asked(Open) }, "--think: only with --workload closed or churn"),
            (WorkloadAsked { heartbeat: second, ..asked(Closed) }, "--heartbeat: only with --workload hold"),
            (WorkloadAsked { rate_per_s: Some(1.0), ..asked(Closed) }, "--rate: only with --workload open"),
            (WorkloadAsked { seed: Some(1), ..asked(Closed) }, "--seed: only with --workload open"),
            (WorkloadAsked { requests: Some(1), ..asked(Hold) }, "--requests: only with --workload closed,"),
            (WorkloadAsked { warmup: second, ..asked(Burst) }, "--warmup: only with"),
            (asked(Open), "--workload open: needs a --rate"),
        ];
        for (asked, line) in cases {
            let failure = asked.resolve("--").unwrap_err();
            assert!(failure.line.starts_with(line), "{}", failure.line);
        }
    }
}

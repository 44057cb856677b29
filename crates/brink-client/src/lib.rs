//! The load generator: opens connections, verifies each by an echo, runs a workload, and says what happened.
//!
//! Data flows one way: [`LoadOptions`] -> [`run`] (the conductor, which owns the phases) -> an [`Engine`]'s
//! workers (which own sockets and samples) -> [`Outcome`]. Workers share no lock and no sample.
//! Must not sample usage, judge validity or write files: the caller does.
#![forbid(unsafe_code)]

pub mod bare;
mod board;
mod conduct;
pub mod control;
mod dial;
pub mod engines;
mod live;
mod options;
pub mod pacing;
pub mod parts;
mod ports;
mod probe;
pub mod protocol;
mod samples;
mod stage;
mod stop;

pub use board::Board;
pub use conduct::{Observer, Phase, run};
pub use engines::{ENGINES, Engine, Threads, find};
pub use live::{Latencies, LatencyGauge, LatencyTable, LiveCounters, LiveFailures, LiveSnapshot, bounds_ns};
pub use options::{Arrivals, Close, GiveUp, HttpRequest, LoadOptions, Protocol, Workload};
pub use probe::{Probe, ProbeError, probe};
pub use protocol::Reply;
pub use samples::{FailureCount, Outcome, SLOW, Times, WorkerSamples};
pub use stage::{Schedule, Worker};
pub use stop::Stop;

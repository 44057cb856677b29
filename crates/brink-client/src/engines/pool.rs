//! The engine of a fixed number of threads: each takes turns with its share of the connections, and makes one request
//! at a time. What a program does whose blocking calls go through a pool.
//!
//! Must not make more threads than were asked.

use std::io;

use super::lanes::crew;
use crate::samples::WorkerSamples;
use crate::stage::Worker;

/// The one worker, from its start to its samples.
pub(super) fn run(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
    crew::run(worker, u64::from(worker.options.threads).min(worker.options.connections) as u32)
}

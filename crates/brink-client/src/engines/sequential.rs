//! The engine that makes one request at a time, over all connections: what a script does that a loop runs through.
//!
//! Must not send before the last reply has come.

use std::io;

use super::lanes::crew;
use crate::samples::WorkerSamples;
use crate::stage::Worker;

/// The one worker, from its start to its samples.
pub(super) fn run(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
    crew::run(worker, 1)
}

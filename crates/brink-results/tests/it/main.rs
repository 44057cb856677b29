//! Tests of the crate from outside: results in, verdicts, files, text, charts and report out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod answers;
mod backgrounds;
mod claims;
mod comparisons;
mod drawn;
mod fixtures;
mod hdr_logs;
mod large;
mod plots;
mod repeated;
mod samples;
mod schemas;
mod steadiness;
mod stored;
mod verdicts;
mod workload_verdicts;
mod workloads;

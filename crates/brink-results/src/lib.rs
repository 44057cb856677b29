//! What a run leaves behind, and what is made of it: schema, statistics, answer, charts, report.
//!
//! Reads result files only: no sockets, no /proc, and never a clock.
#![forbid(unsafe_code)]

pub mod case;
pub mod schema;

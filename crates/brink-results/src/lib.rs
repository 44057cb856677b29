//! What a run leaves behind, and what is made of it: schema, statistics, answer, charts, report.
//!
//! Reads result files only: no sockets, no /proc, and never a clock.
#![forbid(unsafe_code)]

pub mod answer;
pub mod case;
pub mod charts;
pub mod csv;
pub mod hdr;
pub mod memory;
pub mod report;
pub mod schema;
pub mod schemas;
pub mod slope;
pub mod store;
pub mod verdict;
pub mod window;

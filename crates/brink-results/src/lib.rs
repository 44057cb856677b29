//! What a run leaves behind, and what is made of it: schema, statistics, answer, charts, report.
//!
//! Reads result files only: no sockets, no /proc, and never a clock.
#![forbid(unsafe_code)]

pub mod answer;
pub mod case;
pub mod charts;
pub mod claims;
pub mod comparison;
pub mod csv;
pub mod gate;
pub mod hdr;
pub mod hdr_log;
pub mod measures;
pub mod memory;
pub mod repeats;
pub mod report;
pub mod schema;
pub mod schemas;
pub mod series;
pub mod slope;
pub mod statistics;
pub mod store;
pub mod verdict;
pub mod window;

//! The engine of a fixed number of threads: each takes turns with its share of the connections, and makes one request
//! at a time. What a program does whose blocking calls go through a pool.
//!
//! Must not make more threads than were asked.

pub(super) use super::lanes::alone::run;

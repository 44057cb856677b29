//! The engine that makes one request at a time, over all connections: what a script does that a loop runs through.
//!
//! Must not send before the last reply has come.

pub(super) use super::lanes::alone::run;

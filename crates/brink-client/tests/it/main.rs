//! The crate against small servers on loopback, well-behaved and not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod closing;
mod control;
mod edge;
mod engines;
mod load;
mod misbehaviour;
mod parts;
mod probe;
mod servers;
mod sharing;

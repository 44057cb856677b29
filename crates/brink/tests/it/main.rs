//! The program as a user meets it: the real binary, real sockets on loopback.
//!
//! Every target started here ends with the test that started it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod background;
mod bad_input;
mod bare;
mod by_hand;
mod ceiling;
mod claims;
mod climbs;
mod compare;
mod configs;
mod examples;
mod follow;
mod for_machines;
mod limits;
mod parts;
mod processes;
mod program;
mod readme;
mod resume;
mod shells;
mod signals;
mod smoke;
mod workloads;

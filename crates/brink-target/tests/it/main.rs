//! What every model must do, seen from outside: raw bytes in, raw bytes out, and what the
//! control plane says. Each test loops over `MODELS`, so that a new row is covered unasked.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod at_once;
mod bounds;
mod client;
mod control;
mod echo;
mod ends;
mod http;
mod outside;
mod target;
mod waits;

//! The echo server: one file per concurrency model, a table of them, and a control plane.
//!
//! [`run`] binds, starts the control plane, says that it is ready, and serves until
//! [`Stop`] is requested. A model only serves: it never binds, and never reads limits.
//! Workers share nothing but what is written once; a model that meets a limit goes on
//! with the connections it has, refuses the next one cleanly and counts the refusal.
#![forbid(unsafe_code)]

mod acceptor;
mod asked;
mod context;
pub mod control;
mod counters;
pub mod models;
mod options;
mod run;
mod stop;
mod work;

pub use context::Serve;
pub use counters::Counters;
pub use models::{AtOnce, MODELS, Model, Threads, Transport, find};
pub use options::Options;
pub use run::run;
pub use stop::Stop;
pub use work::Work;

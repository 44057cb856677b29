//! What a process and a machine use at one instant, by reads cheap enough to repeat
//! several times a second. A figure that cannot be read is `None`, never 0.
//!
//! Must not keep samples or compare them.

mod cgroup;
mod machine;
mod network;
mod process;
mod schedule;
mod tree;

pub use machine::{MachineSampler, machine};
pub(crate) use network::{conntrack, sockstat_of_tcp};
pub use process::ProcessSampler;
pub use schedule::{ProcessState, run_wait_s, state};
pub use tree::TreeSampler;

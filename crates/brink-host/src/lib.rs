//! What this machine permits, what it says when it refuses, and how it is asked:
//! limits, usage, machine facts, socket options, CPU affinity.
//!
//! Linux only. The one crate of the workspace with `unsafe` in it. It must not
//! know what a model, an engine or a sweep is, and must not print.

#[cfg(not(target_os = "linux"))]
compile_error!("brink measures Linux: it reads /proc and uses Linux socket options");

mod cgroup;
pub mod classify;
pub mod connections;
pub mod cpus;
pub mod descent;
pub mod descriptor_table;
pub mod errno;
pub mod headroom;
pub mod limits;
pub mod machine;
mod net_namespace;
pub mod parent;
pub mod ports;
mod proc_tree;
pub mod rlimit;
pub mod shared;
pub mod socket;
pub mod usage;

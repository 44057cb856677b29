//! Sockets and processes as the kernel really treats them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod causes;
mod descent;
mod descriptors;
mod foreign;
mod parent;
mod sockets;

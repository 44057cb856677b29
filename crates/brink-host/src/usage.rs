//! What a process and a machine use at one instant, by reads cheap enough to repeat
//! several times a second. A figure that cannot be read is `None`, never 0.
//!
//! Must not keep samples or compare them.

mod machine;
mod process;
mod tree;

pub use machine::machine;
pub use process::ProcessSampler;
pub use tree::TreeSampler;

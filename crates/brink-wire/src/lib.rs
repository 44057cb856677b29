//! The bytes both ends of brink agree on, and the words both ends use.
//!
//! Everything here is pure: no sockets, no files, no clock, no threads.
#![forbid(unsafe_code)]

pub mod control;
pub mod delay;
pub mod escape;
pub mod exposition;
pub mod frame;
pub mod frame_buffer;
pub mod http_reply;
pub mod payload;
pub mod reply_decoder;
pub mod value;

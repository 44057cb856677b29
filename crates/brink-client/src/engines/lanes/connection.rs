//! What a lane keeps per connection. Must not hold a buffer, a histogram or a timer.

use crate::protocol::Decoder;

/// How a connection is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Never opened, or lost for good.
    Gone,
    /// Verified, and not lost since. Without a socket it was closed in good order, and is made again when needed.
    Open,
    /// Lost, and tried again later.
    Down,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection<S> {
    pub(super) socket: Option<S>,
    /// The reply so far, only while it is partly there.
    pub(super) partial: Option<Box<Decoder>>,
    /// Since when nothing is under way, in nanoseconds since the run began.
    pub(super) idle_ns: u64,
    /// Requests begun so far; goes into the sequence number.
    pub(super) requests: u32,
    /// Bytes of the request under way that were written.
    pub(super) written: u32,
    pub(super) standing: Standing,
    /// Whether it proved at the end that it is alive, as far as it did.
    pub(super) is_proved: bool,
}

impl<S> Connection<S> {
    /// A connection that is not there.
    pub(super) fn gone() -> Self {
        Self {
            socket: None,
            partial: None,
            idle_ns: 0,
            requests: 0,
            written: 0,
            standing: Standing::Gone,
            is_proved: false,
        }
    }
}

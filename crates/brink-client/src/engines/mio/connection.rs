//! What the engine keeps per connection: as little as can be, since there may be a million.
//!
//! Must not hold a buffer, a histogram or a timer.

use std::net::TcpStream;

use brink_wire::reply_decoder::ReplyDecoder;

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Never opened, failed, or closed.
    Closed,
    /// connect(2) is under way.
    Connecting,
    /// Connected; its first echo is under way.
    Verifying,
    /// Open; nothing is under way.
    Idle,
    /// A request of the workload is under way.
    Requested,
    /// The echo that proves at the end that it is alive is under way.
    FinalVerifying,
}

impl State {
    /// The name of what is being done, as failures are counted by.
    pub(super) fn phase(self) -> &'static str {
        match self {
            Self::Closed | Self::Idle => "idle",
            Self::Connecting => "connect",
            Self::Verifying => "verify",
            Self::Requested => "request",
            Self::FinalVerifying => "final_verify",
        }
    }

    /// Whether a reply is awaited.
    pub(super) fn awaits_reply(self) -> bool {
        matches!(self, Self::Verifying | Self::Requested | Self::FinalVerifying)
    }

    /// Whether it counts as open: verified, and not closed since.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Idle | Self::Requested | Self::FinalVerifying)
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// `None` only when `Closed`.
    pub(super) socket: Option<TcpStream>,
    /// Frames begun so far; goes into the sequence number.
    pub(super) frames: u32,
    /// When what is under way began, in nanoseconds since the run began.
    pub(super) since_ns: u64,
    /// The reply so far, only while it is partly there.
    pub(super) partial: Option<Box<ReplyDecoder>>,
    /// Bytes of the frame under way that were written.
    pub(super) written: u32,
    /// Where it is.
    pub(super) state: State,
}

impl Connection {
    /// A connection that is not there.
    pub(super) const CLOSED: Self =
        Self { socket: None, frames: 0, since_ns: 0, partial: None, written: 0, state: State::Closed };

    /// Begins a new frame.
    pub(super) fn begin(&mut self, state: State, now_ns: u64) {
        self.frames = self.frames.wrapping_add(1);
        self.written = 0;
        self.state = state;
        self.since_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_32_bytes() {
        assert_eq!(size_of::<Connection>(), 32);
    }
}

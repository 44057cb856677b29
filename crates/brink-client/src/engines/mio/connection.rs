//! What the engine keeps per connection: as little as can be, since there may be a million.
//!
//! Must not hold a buffer, a histogram or a timer.

use std::net::TcpStream;

use crate::protocol::{Decoder, Kind};

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
    /// Closed in good order; its next request begins with a new connect(2).
    Parked,
    /// That connect(2) is under way.
    Reopening,
    /// A request of the workload is under way.
    Requested,
    /// The echo that proves at the end that it is alive is under way.
    FinalVerifying,
}

impl State {
    /// The name of what is being done, as failures are counted by.
    pub(super) fn phase(self) -> &'static str {
        match self {
            Self::Closed | Self::Idle | Self::Parked => "idle",
            Self::Connecting | Self::Reopening => "connect",
            Self::Verifying => "verify",
            Self::Requested => "request",
            Self::FinalVerifying => "final_verify",
        }
    }

    /// Whether a reply is awaited.
    pub(super) fn awaits_reply(self) -> bool {
        matches!(self, Self::Verifying | Self::Requested | Self::FinalVerifying)
    }

    /// Whether it counts as open: verified, and not lost since.
    pub(super) fn is_open(self) -> bool {
        match self {
            Self::Idle | Self::Parked | Self::Reopening | Self::Requested | Self::FinalVerifying => true,
            Self::Closed | Self::Connecting | Self::Verifying => false,
        }
    }

    /// Whether the next request can be sent.
    pub(super) fn is_free(self) -> bool {
        matches!(self, Self::Idle | Self::Parked)
    }

    /// Whether a request of the workload is under way, its connect(2) included.
    pub(super) fn has_request(self) -> bool {
        matches!(self, Self::Requested | Self::Reopening)
    }

    /// Which request is under way.
    pub(super) fn kind(self) -> Kind {
        if self == Self::Requested { Kind::Work } else { Kind::Verify }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// `None` only when `Closed` or `Parked`.
    pub(super) socket: Option<TcpStream>,
    /// Requests begun so far; goes into the sequence number.
    pub(super) requests: u32,
    /// When what is under way began, in nanoseconds since the run began.
    pub(super) since_ns: u64,
    /// The reply so far, only while it is partly there.
    pub(super) partial: Option<Box<Decoder>>,
    /// Bytes of the request under way that were written.
    pub(super) written: u32,
    /// Where it is.
    pub(super) state: State,
}

impl Connection {
    /// A connection that is not there.
    pub(super) const CLOSED: Self =
        Self { socket: None, requests: 0, since_ns: 0, partial: None, written: 0, state: State::Closed };

    /// Begins a new request.
    pub(super) fn begin(&mut self, state: State, now_ns: u64) {
        self.requests = self.requests.wrapping_add(1);
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

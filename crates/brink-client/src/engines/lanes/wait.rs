//! How a lane waits: the one thing that tells a thread from a task. Must not decide what is waited for.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::AsFd;

/// What a lane is called for, beside its socket and the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engines) enum Signal {
    /// The workload begins.
    Begin,
    /// Nothing is kept for first turns any more.
    Free,
    /// Nothing more is to be sent.
    Over,
    /// The run ends.
    Close,
}

/// What of a socket is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engines) enum Interest {
    /// Bytes, or the end.
    Read,
    /// Room, or a connect(2) that is over.
    Write,
    /// Either.
    Both,
}

/// Why a wait is over. What it says may be untrue, as with any readiness: whoever waits looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engines) enum Woken {
    /// The socket may have what was waited for.
    Ready,
    /// The time has come.
    Time,
    /// A signal was given.
    Called,
}

/// A way to wait, and sockets made for it.
pub(in crate::engines) trait Wait: Send + Sync {
    /// A nonblocking socket that can be waited for.
    type Socket: AsFd + Send + Sync;

    /// Makes a connecting or connected nonblocking socket one that can be waited for.
    ///
    /// # Errors
    /// Where readiness has to be asked for, those of epoll_ctl(2).
    fn adopt(&self, stream: TcpStream) -> io::Result<Self::Socket>;

    /// Waits for whichever comes first: readiness of a socket, an instant (in nanoseconds since the run began), a
    /// signal. A signal that was given stays given.
    ///
    /// # Errors
    /// Those of ppoll(2), or of the runtime.
    fn wait(
        &self,
        socket: Option<(&Self::Socket, Interest)>,
        until_ns: Option<u64>,
        signal: Signal,
    ) -> impl Future<Output = io::Result<Woken>> + Send;

    /// Reads what there is; `WouldBlock` where there is nothing.
    ///
    /// # Errors
    /// Those of recv(2).
    fn read(socket: &Self::Socket, room: &mut [u8]) -> io::Result<usize>;

    /// Writes what the socket takes; `WouldBlock` where it takes nothing.
    ///
    /// # Errors
    /// Those of sendmsg(2).
    fn write(socket: &Self::Socket, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// The error of a connect(2) that is over.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    fn take_error(socket: &Self::Socket) -> io::Result<Option<io::Error>>;
}

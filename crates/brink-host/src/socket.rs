//! Sockets as the kernel offers them: listening exclusively or on one port many times, and
//! the options that std and socket2 do not have. Must not connect, accept or choose.

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// `IP_LOCAL_PORT_RANGE` of include/uapi/linux/in.h, which libc does not name.
const IP_LOCAL_PORT_RANGE: libc::c_int = 51;

/// Listens on one address, with as many sockets as asked; with several, the kernel spreads
/// connections over them (socket(7), `SO_REUSEPORT`). Port 0 is resolved once for all.
/// The sockets are blocking and close on exec.
///
/// The first socket binds and listens without `SO_REUSEPORT`, which fails where anybody
/// listens already, even where both would have been allowed to share; only then is the
/// port opened to the others. Another process of the same user may join afterwards if it
/// sets `SO_REUSEPORT` itself.
///
/// The kernel cuts `backlog` to `net.core.somaxconn`, without a word (listen(2)).
///
/// # Errors
/// `EADDRINUSE` when somebody listens there, `EADDRNOTAVAIL` for an address that is not of
/// this machine, `EACCES` for a port below `net.ipv4.ip_unprivileged_port_start`,
/// `InvalidInput` for zero listeners or a backlog beyond what listen(2) takes.
pub fn listen(address: SocketAddr, backlog: u32, listeners: usize) -> io::Result<Vec<TcpListener>> {
    let backlog = i32::try_from(backlog)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "backlog: at most 2147483647"))?;
    if listeners == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "at least one listener"));
    }
    let first = bound(address, false)?;
    first.listen(backlog)?;
    if listeners > 1 {
        // Allowed after listen(2): the group is made when the second socket joins
        // (net/core/sock_reuseport.c, reuseport_add_sock).
        first.set_reuse_port(true)?;
    }
    let first = TcpListener::from(first);
    let address = first.local_addr()?;
    let mut sockets = Vec::with_capacity(listeners);
    sockets.push(first);
    for _ in 1..listeners {
        let socket = bound(address, true)?;
        socket.listen(backlog)?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

/// Listens on an address that other processes of this user listen on as well, with as many sockets
/// as asked, all with `SO_REUSEPORT` (socket(7)): the kernel spreads connections over all sockets of
/// all of them. Otherwise as [`listen`]; whether strangers are among the others is not looked at,
/// which is the business of whoever holds the port ([`hold`]).
///
/// # Errors
/// As [`listen`]; `EADDRINUSE` when somebody listens there who does not share.
pub fn listen_beside(address: SocketAddr, backlog: u32, listeners: usize) -> io::Result<Vec<TcpListener>> {
    let backlog = i32::try_from(backlog)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "backlog: at most 2147483647"))?;
    let mut address = address;
    let mut sockets = Vec::with_capacity(listeners);
    for _ in 0..listeners {
        let socket = bound(address, true)?;
        socket.listen(backlog)?;
        let listener = TcpListener::from(socket);
        address = listener.local_addr()?;
        sockets.push(listener);
    }
    match sockets.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::InvalidInput, "at least one listener")),
        false => Ok(sockets),
    }
}

/// A port that is taken, and gets no connections.
#[derive(Debug)]
pub struct Held {
    socket: Socket,
}

impl Held {
    /// Its address, with the port that port 0 was resolved to.
    ///
    /// # Errors
    /// What getsockname(2) says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?;
        address.as_socket().ok_or_else(|| io::Error::other("the socket has no internet address"))
    }
}

/// Takes a port for processes that will [`listen_beside`] one another: bound, but not listening, so that
/// no connection is queued where nobody accepts, and the port stays taken while they come and go.
///
/// Fails where anybody listens already, even where both would have been allowed to share.
///
/// # Errors
/// As [`listen`].
pub fn hold(address: SocketAddr) -> io::Result<Held> {
    // Listening for an instant without sharing is what finds out whether anybody else does: two
    // sockets that both share, or of which neither listens, do not get in each other's way.
    let probe = bound(address, false)?;
    probe.listen(1)?;
    let address = probe.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no internet address"))?;
    drop(probe);
    // With SO_REUSEADDR a socket that does not listen keeps nobody out who sets it, too. Without, what
    // is left in TIME_WAIT of a server that did not share the port is in the way.
    let strict = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    strict.set_reuse_port(true)?;
    match strict.bind(&address.into()) {
        Ok(()) => Ok(Held { socket: strict }),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(Held { socket: bound(address, true)? }),
        Err(error) => Err(error),
    }
}

/// What waits to be accepted from one listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Connections that wait.
    pub waiting: u64,
    /// What was asked of listen(2), cut to net.core.somaxconn; one more than that may wait.
    pub bound: u64,
}

/// The accept queue of a listening socket. Takes no descriptor.
///
/// Of a socket that listens, TCP_INFO tells these two in `tcpi_unacked` and `tcpi_sacked` (net/ipv4/tcp.c, tcp_get_info).
///
/// # Errors
/// What getsockopt(2) says; `InvalidInput` for a socket that does not listen.
pub fn accept_queue(listener: &impl AsFd) -> io::Result<AcceptQueue> {
    /// `TCP_LISTEN` of include/net/tcp_states.h.
    const LISTEN: u8 = 10;
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open, since it is borrowed; the pointers are to locals that outlive the call,
    // and the kernel writes at most `len` bytes, the size of the first one.
    let result = unsafe {
        libc::getsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all fields are integers, for which any bits are a value, and all of them were set to zero.
    let info = unsafe { info.assume_init() };
    if info.tcpi_state != LISTEN {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
    }
    Ok(AcceptQueue { waiting: info.tcpi_unacked.into(), bound: info.tcpi_sacked.into() })
}

fn bound(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Lets a restart bind while connections of the last run are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Narrows the ports that connect(2) tries on this socket: `IP_LOCAL_PORT_RANGE` (ip(7)),
/// for IPv4 and IPv6, since Linux 6.3. Bounds outside the machine's own range are ignored
/// by the kernel one by one; a 0 leaves that bound as it is.
///
/// # Errors
/// `ENOPROTOOPT` before Linux 6.3; `EINVAL` when `low` is above `high`.
pub fn set_local_port_range(socket: impl AsFd, low: u16, high: u16) -> io::Result<()> {
    let range = u32::from(high) << 16 | u32::from(low);
    set_ip_option(&socket, IP_LOCAL_PORT_RANGE, range)
}

/// Leaves the port to connect(2) when bind(2) names an address and port 0:
/// `IP_BIND_ADDRESS_NO_PORT` (ip(7)), since Linux 4.2. Without it bind(2) takes a port that
/// is free towards every destination.
///
/// # Errors
/// `ENOPROTOOPT` before Linux 4.2.
pub fn set_bind_address_no_port(socket: impl AsFd) -> io::Result<()> {
    set_ip_option(&socket, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Makes close(2) send RST and drop what is unsent, so that no TIME_WAIT is left behind:
/// `SO_LINGER` with zero seconds (socket(7)).
///
/// # Errors
/// What setsockopt(2) says.
pub fn set_reset_on_close(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))
}

fn set_ip_option(socket: &impl AsFd, option: libc::c_int, value: u32) -> io::Result<()> {
    let socket = socket.as_fd();
    // SAFETY: the pointer is to `value`, a local that outlives the call, and the length is
    // its size; the kernel only reads it. The descriptor is borrowed, hence open.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            (&raw const value).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

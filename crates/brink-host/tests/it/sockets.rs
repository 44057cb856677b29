//! Listening, and the options of connecting sockets.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use brink_host::socket::{
    hold, listen, listen_beside, set_bind_address_no_port, set_local_port_range, set_reset_on_close,
};
use socket2::{Domain, Protocol, Socket, Type};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Loopback of both families; IPv6 only where the machine has it.
fn loopbacks() -> Vec<SocketAddr> {
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    match TcpListener::bind(v6) {
        Ok(_) => vec![ANY_PORT, v6],
        Err(error) => {
            eprintln!("skipped: IPv6 half: {error}");
            vec![ANY_PORT]
        }
    }
}

fn errno_of(result: io::Result<impl Sized>) -> String {
    result.map_or_else(|error| brink_host::errno::name(&error), |_| "fine".to_owned())
}

#[test]
fn port_0_is_resolved_once_for_all() {
    for address in loopbacks() {
        let listeners = listen(address, 64, 4).unwrap();
        let addresses: Vec<_> = listeners.iter().map(|one| one.local_addr().unwrap()).collect();
        assert!(addresses.iter().all(|one| *one == addresses[0] && one.port() != 0), "{addresses:?}");
        for listener in &listeners {
            assert!(rustix_flags(listener), "close on exec");
        }
    }
}

fn rustix_flags(listener: &TcpListener) -> bool {
    rustix::io::fcntl_getfd(listener.as_fd()).unwrap().contains(rustix::io::FdFlags::CLOEXEC)
}

#[test]
fn an_address_in_use_is_refused_however_it_is_held() {
    for address in loopbacks() {
        for held in [1, 3] {
            let listeners = listen(address, 64, held).unwrap();
            let taken = listeners[0].local_addr().unwrap();
            for asked in [1, 2] {
                assert_eq!(errno_of(listen(taken, 64, asked)), "EADDRINUSE", "{held} held, {asked} asked");
            }
            drop(listeners);
            assert_eq!(errno_of(listen(taken, 64, 2)), "fine", "free again");
        }
        // Held by somebody who would share.
        let other = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).unwrap();
        other.set_reuse_address(true).unwrap();
        other.set_reuse_port(true).unwrap();
        other.bind(&address.into()).unwrap();
        other.listen(8).unwrap();
        let taken = other.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(errno_of(listen(taken, 64, 2)), "EADDRINUSE");
        assert_eq!(errno_of(listen(taken, 64, 1)), "EADDRINUSE");
    }
}

#[test]
fn connections_are_spread_over_all_listeners() {
    let listeners = listen(ANY_PORT, 1024, 4).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let clients: Vec<_> = (0..400).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut accepted = 0;
    for listener in &listeners {
        listener.set_nonblocking(true).unwrap();
        let mut of_this_one = 0;
        while let Ok((_stream, _)) = listener.accept() {
            of_this_one += 1;
        }
        // 400 hashed over 4: fewer than 20 on one has a chance below 1e-20.
        assert!(of_this_one >= 20, "{of_this_one} on one of four");
        accepted += of_this_one;
    }
    assert_eq!(accepted, clients.len());
}

#[test]
fn a_held_port_gets_no_connections_and_is_shared_by_those_beside() {
    for any in loopbacks() {
        let held = hold(any).unwrap();
        let address = held.address().unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(errno_of(TcpStream::connect(address)), "ECONNREFUSED", "nobody listens yet");
        let groups: Vec<_> = [2, 1].map(|count| listen_beside(address, 256, count).unwrap()).into();
        let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut accepted = 0;
        for listener in groups.iter().flatten() {
            assert_eq!(listener.local_addr().unwrap(), address);
            listener.set_nonblocking(true).unwrap();
            while let Ok((_stream, _)) = listener.accept() {
                accepted += 1;
            }
        }
        assert_eq!(accepted, clients.len(), "none waits where nobody accepts");
        assert_eq!(errno_of(hold(address)), "EADDRINUSE", "they listen, though they would share");
        drop(groups);
        assert_eq!(errno_of(TcpListener::bind(address)), "EADDRINUSE", "still held");
        drop(held);
        // Both ends of the connections go first, or TIME_WAIT would hold the port.
        drop(clients);
        // A process that another test is just starting has a copy of all sockets until its exec(3).
        let is_free = || errno_of(listen(address, 8, 1)) == "fine";
        assert!((0..100_000).any(|_| is_free() || {
            std::thread::yield_now();
            false
        }));
    }
    assert_eq!(listen_beside(ANY_PORT, 8, 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let taken = listen(ANY_PORT, 8, 1).unwrap().remove(0).local_addr();
    let other = listen(taken.unwrap(), 8, 1).unwrap().remove(0);
    let taken = other.local_addr().unwrap();
    assert_eq!(errno_of(listen_beside(taken, 8, 1)), "EADDRINUSE", "who listens there does not share");
    assert_eq!(errno_of(hold(taken)), "EADDRINUSE");
}

#[test]
fn listeners_are_blocking() {
    let listeners = listen(ANY_PORT, 8, 2).unwrap();
    for listener in &listeners {
        let flags = rustix::fs::fcntl_getfl(listener.as_fd()).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    }
}

#[test]
fn bad_arguments_are_errors() {
    assert_eq!(listen(ANY_PORT, 8, 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(listen(ANY_PORT, u32::MAX, 1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let not_ours = SocketAddr::from(([203, 0, 113, 1], 0));
    assert_eq!(errno_of(listen(not_ours, 8, 1)), "EADDRNOTAVAIL");
}

#[test]
fn a_port_window_is_kept_and_its_end_is_eaddrnotavail() {
    let Some((low, high)) = brink_host::ports::ephemeral_range() else {
        eprintln!("skipped: no ephemeral range to be read");
        return;
    };
    if high - low < 200 || !brink_host::ports::reserved().is_empty() {
        eprintln!("skipped: the ephemeral range is too small, or has holes");
        return;
    }
    for address in loopbacks() {
        let listener = listen(address, 64, 1).unwrap().remove(0);
        let address = listener.local_addr().unwrap();
        let (first, last) = (high - 40, high - 37);
        let mut open = Vec::new();
        let refused = loop {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            if let Err(error) = set_local_port_range(&socket, first, last) {
                assert_eq!(brink_host::errno::name(&error), "ENOPROTOOPT");
                eprintln!("skipped: no IP_LOCAL_PORT_RANGE before Linux 6.3");
                return;
            }
            set_reset_on_close(&socket).unwrap();
            match socket.connect(&address.into()) {
                Ok(()) => open.push(socket),
                Err(error) => break error,
            }
            assert!(open.len() <= 4, "four ports, four connections");
        };
        assert_eq!(brink_host::errno::name(&refused), "EADDRNOTAVAIL");
        assert!(!open.is_empty());
        for socket in &open {
            let port = socket.local_addr().unwrap().as_socket().unwrap().port();
            assert!((first..=last).contains(&port), "{port}");
        }
    }
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    assert_eq!(errno_of(set_local_port_range(&socket, 2000, 1000)), "EINVAL");
}

#[test]
fn the_port_is_left_to_connect() {
    let listener = listen(ANY_PORT, 8, 1).unwrap().remove(0);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    set_bind_address_no_port(&socket).unwrap();
    socket.bind(&ANY_PORT.into()).unwrap();
    assert_eq!(socket.local_addr().unwrap().as_socket().unwrap().port(), 0);
    socket.connect(&listener.local_addr().unwrap().into()).unwrap();
    assert_ne!(socket.local_addr().unwrap().as_socket().unwrap().port(), 0);
}

#[test]
fn closing_resets() {
    let listener = listen(ANY_PORT, 8, 1).unwrap().remove(0);
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    set_reset_on_close(&client).unwrap();
    drop(client);
    let error = accepted.read(&mut [0; 8]).unwrap_err();
    assert_eq!(brink_host::errno::name(&error), "ECONNRESET");
}

#[test]
fn a_listening_socket_tells_what_waits() {
    let listener = brink_host::socket::listen("127.0.0.1:0".parse().unwrap(), 9, 1).unwrap().remove(0);
    let at = listener.local_addr().unwrap();
    let queue = || brink_host::socket::accept_queue(&listener).unwrap();
    assert_eq!((queue().waiting, queue().bound), (0, 9));
    let clients: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(at).unwrap()).collect();
    assert_eq!(queue().waiting, 3);
    let _taken = listener.accept().unwrap();
    assert_eq!(queue().waiting, 2);
    assert!(brink_host::socket::accept_queue(&clients[0]).is_err(), "it does not listen");
}

//! A plain echo server on one epoll loop, for measuring the client against a process that costs little.
//! Usage: `echo [ADDRESS]`; prints the address it listens on. Returns bytes as they are, so it never fills in a
//! wait. Not a model: it refuses nothing and counts nothing.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    brink_host::rlimit::raise_nofile()?;
    let address = address.parse().map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
    let listener = brink_host::socket::listen(address, 4096, 1)?.remove(0);
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, Token(usize::MAX), Interest::READABLE)?;
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut free = Vec::new();
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; 64 * 1024]);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            let Token(place) = event.token();
            if place == usize::MAX {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let place = free.pop().unwrap_or_else(|| {
                        streams.push(None);
                        streams.len() - 1
                    });
                    poll.registry().register(&mut stream, Token(place), Interest::READABLE)?;
                    streams[place] = Some(stream);
                }
            } else if let Some(stream) = streams[place].as_mut()
                && !echo(stream, &mut buffer)
            {
                streams[place] = None;
                free.push(place);
            }
        }
    }
}

/// Returns whether the connection goes on.
fn echo(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    loop {
        match stream.read(buffer) {
            Ok(0) => return false,
            Ok(len) => {
                if stream.write_all(&buffer[..len]).is_err() {
                    return false;
                }
                if len < buffer.len() {
                    return true;
                }
            }
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

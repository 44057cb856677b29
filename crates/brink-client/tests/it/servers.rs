//! Small servers with one habit each. A server ends with the test's process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use brink_wire::frame::{HEADER_LEN, Header, reply_in_place};

/// Serves each connection by `serve` on a thread of its own.
pub fn start(serve: impl Fn(u64, TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || accept(&listener, serve));
    address
}

/// A listener that nobody accepts from yet.
pub fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).unwrap()
}

/// Accepts for ever.
pub fn accept(listener: &TcpListener, serve: impl Fn(u64, TcpStream) + Clone + Send + 'static) {
    for (count, stream) in listener.incoming().enumerate() {
        let (stream, serve) = (stream.unwrap(), serve.clone());
        stream.set_nodelay(true).unwrap();
        let serving = move || serve(count as u64, stream);
        thread::Builder::new().stack_size(128 * 1024).spawn(serving).unwrap();
    }
}

/// Returns every byte, in pieces as they come.
pub fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
}

/// Reads one frame; `None` when there is none any more.
pub fn frame(stream: &mut TcpStream) -> Option<(Header, Vec<u8>)> {
    let mut head = [0; HEADER_LEN];
    stream.read_exact(&mut head).ok()?;
    let header = Header::decode(&head).unwrap();
    let mut bytes = head.to_vec();
    bytes.resize(header.frame_len(), 0);
    stream.read_exact(&mut bytes[HEADER_LEN..]).ok()?;
    Some((header, bytes))
}

/// Answers as a brink target does that waits no time but says what it was asked plus 5 ns.
pub fn brink(mut stream: TcpStream) {
    while let Some((header, mut bytes)) = frame(&mut stream) {
        reply_in_place(&mut bytes, header.delay_ns.saturating_add(5));
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// Takes two connections, and listens no more.
pub fn takes_two() -> SocketAddr {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (first, _) = listener.accept().unwrap();
        thread::spawn(|| echo(first));
        let (second, _) = listener.accept().unwrap();
        // Before the second is verified: who connects again after that must be refused, not reset.
        drop(listener);
        echo(second);
    });
    address
}

/// An address where nothing listens.
pub fn nobody() -> SocketAddr {
    listener().local_addr().unwrap()
}

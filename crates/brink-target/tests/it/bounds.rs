//! What is over a bound is refused, counted, and harms nobody else.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use brink_target::{Options, Transport};
use brink_wire::frame::PAYLOAD_LEN_MAX;
use rustix::event::{PollFd, PollFlags, poll};

use crate::client::{Request, connect, expect_closed, request, request_with};
use crate::target::{Target, models, models_of, options, refused};

#[test]
fn what_is_no_frame_closes_its_connection() {
    for model in models_of(Transport::Frame) {
        let target = Target::of(model);
        let mut bystander = connect(target.ready.address);
        request(model.transport, 1, 64).echo(&mut bystander);

        let mut oversize = request(model.transport, 1, 0).bytes;
        oversize[8..12].copy_from_slice(&(PAYLOAD_LEN_MAX as u32 + 1).to_le_bytes());
        let mut version = request(model.transport, 1, 0).bytes;
        version[4] = 9;
        let cases: [(&[u8], &str); 4] = [
            (&oversize, "oversize"),
            (&version, "bad_version"),
            (b"GET / HTTP/1.1\r\n\r\n", "bad_magic"),
            (b"\0", "bad_magic"),
        ];
        for (n, (bytes, _)) in cases.iter().enumerate() {
            let mut stream = connect(target.ready.address);
            // Requests before the rubbish are answered, whether they wait or not.
            let delay_ns = if n % 2 == 0 { 0 } else { 1000 };
            let good = request_with(model.transport, 2, 64, delay_ns, 0);
            stream.write_all(&[&good.bytes, *bytes].concat()).unwrap();
            good.reply(&mut stream);
            expect_closed(&mut stream);
        }
        request(model.transport, 2, 64).echo(&mut bystander);
        let counters = target.counters_when(|c| c.live == 1 && c.requests == 6);
        assert_eq!((counters.frame_errors, counters.requests), (4, 6), "{}", model.name);
        let by_name = ["oversize", "bad_version", "bad_magic"].map(|name| refused(&counters, "frame", name));
        assert_eq!(by_name, [1, 1, 2], "{}: {:?}", model.name, counters.refusals);
    }
}

#[test]
fn the_bound_on_connections_refuses_and_recovers() {
    for model in models() {
        let target = Target::start(Options { connections_max: Some(3), ..options(model) });
        let mut streams: Vec<_> = (0..3).map(|_| connect(target.ready.address)).collect();
        for stream in &mut streams {
            request(model.transport, 1, 64).echo(stream);
        }
        for _ in 0..20 {
            expect_closed(&mut connect(target.ready.address));
        }
        let counters = target.usage().counters;
        assert_eq!(refused(&counters, "accept", "max_connections"), 20, "{}", model.name);
        assert_eq!((counters.accepted, counters.live), (3, 3), "{}", model.name);

        drop(streams.pop());
        target.counters_when(|c| c.live == 2);
        streams.push(connect(target.ready.address));
        for stream in &mut streams {
            request(model.transport, 2, 64).echo(stream);
        }
        expect_closed(&mut connect(target.ready.address));
    }
}

#[test]
fn a_slow_reader_gets_all_and_is_not_stored() {
    const FRAMES: u64 = 96;
    let kernel_bytes = 2 * (tcp_buffer_max("tcp_rmem") + tcp_buffer_max("tcp_wmem"));
    // A frame in hand, one read, and room for what differs between kernels.
    let bound = kernel_bytes + 8 * PAYLOAD_LEN_MAX;
    let whole = FRAMES as usize * PAYLOAD_LEN_MAX;
    if bound >= whole {
        eprintln!("skipped: this machine's socket buffers hold {kernel_bytes} bytes");
        return;
    }
    for model in models() {
        let target = Target::of(model);
        let mut stream = connect(target.ready.address);
        let requests: Vec<Request> = (0..3).map(|n| request(model.transport, n, PAYLOAD_LEN_MAX)).collect();
        let nth = |n: u64| &requests[n as usize % requests.len()];
        let sent = send_until_stuck(&mut stream, (0..FRAMES).map(|n| &nth(n).bytes[..]));
        assert!(sent < bound, "{}: it took {sent} bytes without a reply being read", model.name);

        let mut writing = stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                let frame_len = nth(0).bytes.len();
                let (first, offset) = ((sent / frame_len) as u64, sent % frame_len);
                writing.write_all(&nth(first).bytes[offset..]).unwrap();
                (first + 1..FRAMES).for_each(|n| writing.write_all(&nth(n).bytes).unwrap());
            });
            (0..FRAMES).for_each(|n| assert_eq!(nth(n).reply(&mut stream), 0));
        });
        target.counters_when(|c| c.requests == FRAMES);
    }
}

/// Writes until the socket takes nothing for a while. Returns how much it took.
fn send_until_stuck<'a>(stream: &mut TcpStream, frames: impl Iterator<Item = &'a [u8]>) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    'frames: for mut bytes in frames {
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(len) => {
                    sent += len;
                    bytes = &bytes[len..];
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let patience = Duration::from_millis(300).try_into().unwrap();
                    let mut fds = [PollFd::new(stream, PollFlags::OUT)];
                    if poll(&mut fds, Some(&patience)).unwrap() == 0 {
                        break 'frames;
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

fn tcp_buffer_max(name: &str) -> usize {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
    text.split_whitespace().nth(2).unwrap().parse().unwrap()
}

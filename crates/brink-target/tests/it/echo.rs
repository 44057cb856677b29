//! Frames of every size and cut come back whole and in order.

use std::io::Write;
use std::thread;

use brink_wire::frame::{HEADER_LEN, PAYLOAD_LEN_MAX};

use crate::client::{Request, connect, request, request_with};
use crate::target::{Target, models};

#[test]
fn payloads_around_every_buffer_size() {
    for model in models() {
        let target = Target::of(model);
        let mut stream = connect(target.ready.address);
        let mut sizes = vec![0, 1, PAYLOAD_LEN_MAX - 1, PAYLOAD_LEN_MAX];
        for size in [64, 128, 4096, 65536] {
            // Both the payload and the whole frame meet the buffer's end.
            for len in [size, size - HEADER_LEN] {
                sizes.extend([len - 1, len, len + 1]);
            }
        }
        sizes.extend([PAYLOAD_LEN_MAX - HEADER_LEN, 1, 64]);
        for (sequence, &size) in sizes.iter().enumerate() {
            request(model.transport, sequence as u64, size).echo(&mut stream);
        }
        let counters = target.counters_when(|c| c.requests == sizes.len() as u64);
        assert_eq!((counters.accepted, counters.frame_errors), (1, 0), "{}", model.name);
    }
}

#[test]
fn split_at_every_byte() {
    for model in models() {
        let target = Target::of(model);
        let mut stream = connect(target.ready.address);
        for delay_ns in [0, 1] {
            let request = request_with(model.transport, 9, 7, delay_ns, 0);
            for split in 1..request.bytes.len() {
                stream.write_all(&request.bytes[..split]).unwrap();
                // The target has taken the first part once another connection's echo, sent later, is back.
                request_with(model.transport, 1, 1, 0, 0).echo(&mut connect(target.ready.address));
                stream.write_all(&request.bytes[split..]).unwrap();
                request.reply(&mut stream);
            }
            for byte in &request.bytes {
                stream.write_all(std::slice::from_ref(byte)).unwrap();
            }
            request.reply(&mut stream);
        }
    }
}

#[test]
fn pipelined_frames_are_answered_in_order() {
    for model in models() {
        let target = Target::of(model);
        let mut stream = connect(target.ready.address);
        // Waits, work, none of both, and sizes that straddle the buffers, in every order.
        let requests: Vec<Request> = (0..100)
            .map(|n| {
                let delay_ns = if n % 7 == 3 { 200_000 } else { 0 };
                let work_us = if n % 11 == 5 { 20 } else { 0 };
                request_with(model.transport, n, (n as usize * 37) % 2000, delay_ns, work_us)
            })
            .collect();
        let bytes: Vec<u8> = requests.iter().flat_map(|r| r.bytes.iter().copied()).collect();
        for _ in 0..3 {
            let mut writing = stream.try_clone().unwrap();
            thread::scope(|scope| {
                scope.spawn(|| writing.write_all(&bytes).unwrap());
                for request in &requests {
                    request.reply(&mut stream);
                }
            });
        }
        target.counters_when(|c| c.requests == 300);
    }
}

#[test]
fn a_thousand_connections_each_echo() {
    for model in models() {
        let target = Target::of(model);
        let mut streams: Vec<_> = (0..1000).map(|_| connect(target.ready.address)).collect();
        for (n, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&request(model.transport, n as u64, 64).bytes).unwrap();
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            request(model.transport, n as u64, 64).reply(stream);
        }
        let counters = target.counters_when(|c| c.live == 1000 && c.requests == 1000);
        assert_eq!((counters.accepted, counters.refusals.len()), (1000, 0), "{}", model.name);
        drop(streams);
        target.counters_when(|c| c.live == 0);
    }
}

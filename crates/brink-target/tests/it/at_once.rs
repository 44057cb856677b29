//! What a model does beyond what it can have going at once, and with several on one port.

use std::io::Write;
use std::time::{Duration, Instant};

use brink_target::Options;

use crate::client::{connect, expect_closed, request, request_with};
use crate::target::{Target, models, options};

#[test]
fn connections_beyond_the_threads_wait_accepted_and_in_order() {
    for model in models().filter(|model| model.connections_at_once(2) == Some(2)) {
        let target = Target::start(Options { threads: 2, ..options(model) });
        let mut served: Vec<_> = (0..2).map(|_| connect(target.ready.address)).collect();
        for stream in &mut served {
            request(model.transport, 1, 64).echo(stream);
        }
        let mut queued: Vec<_> = (0..4).map(|_| connect(target.ready.address)).collect();
        for stream in &mut queued {
            stream.write_all(&request(model.transport, 2, 64).bytes).unwrap();
        }
        target.counters_when(|c| c.live == 6);
        // Those with a thread are answered all the while, and nobody else.
        for stream in &mut served {
            request(model.transport, 3, 64).echo(stream);
        }
        assert_eq!(target.counters_when(|c| c.requests >= 4).requests, 4, "{}", model.name);
        for mut stream in queued {
            drop(served.remove(0));
            request(model.transport, 2, 64).reply(&mut stream);
            served.push(stream);
        }
        // A request counts once its reply is written, which its client may see first.
        let counters = target.counters_when(|c| c.live == 2 && c.requests >= 8);
        assert_eq!((counters.accepted, counters.requests), (6, 8), "{}", model.name);
        // A stop closes those that wait too.
        let mut late = connect(target.ready.address);
        target.counters_when(|c| c.live == 3);
        target.stop.request();
        assert_eq!(target.end().live, 0, "{}", model.name);
        expect_closed(&mut late);
    }
}

#[test]
fn waits_beyond_what_goes_at_once_follow_one_another() {
    const WAIT: Duration = Duration::from_millis(20);
    for model in models() {
        let Some(at_once) = model.waits_at_once(2) else { continue };
        let target = Target::start(Options { threads: 2, ..options(model) });
        let begun = Instant::now();
        let waiting: Vec<_> = (0..=at_once)
            .map(|n| {
                let mut stream = connect(target.ready.address);
                let request = request_with(model.transport, n, 64, WAIT.as_nanos() as u64, 0);
                stream.write_all(&request.bytes).unwrap();
                (stream, request)
            })
            .collect();
        for (mut stream, request) in waiting {
            // Where a thread serves one connection, the next waits until that closes, here by going out of scope.
            assert!(request.reply(&mut stream) >= WAIT.as_nanos() as u64, "{}", model.name);
        }
        assert!(begun.elapsed() >= 2 * WAIT, "{}: {:?}", model.name, begun.elapsed());
    }
}

#[test]
fn two_targets_share_a_port() {
    for model in models() {
        let first = Target::start(Options { shares_port: true, ..options(model) });
        let listen = first.ready.address;
        let second = Target::start(Options { shares_port: true, listen, ..options(model) });
        assert_eq!(second.ready.address, listen);
        let mut streams: Vec<_> = (0..64).map(|_| connect(listen)).collect();
        for stream in &mut streams {
            request(model.transport, 1, 64).echo(stream);
        }
        // Each connection goes to either by chance: that all go one way has odds of 1 in 2^63.
        let live = [&first, &second].map(|target| target.usage().processes[0].live.unwrap());
        assert!(live[0] > 0 && live[1] > 0 && live[0] + live[1] == 64, "{}: {live:?}", model.name);
    }
}

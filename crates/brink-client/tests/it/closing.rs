//! Connections that are closed, by either end, and what every engine makes of it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use brink_client::{Arrivals, ENGINES, HttpRequest, LoadOptions, Protocol, Stop, Workload};

use crate::engines::{CHURN, LONG, echo_frames, failures, finishes, fixed, load, told};
use crate::load::{BUSY, options};
use crate::servers;

#[test]
fn a_churn_whose_server_falls_silent_ends() {
    for engine in ENGINES {
        // Connections come up, and connect again, but no request of the workload is answered.
        let target = servers::start(|count, mut stream| {
            echo_frames(&mut stream, if count < 2 { 1 } else { 0 });
            while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
        });
        let timeout = Duration::from_millis(50);
        let silent = LoadOptions { timeout, ..fixed(target, 2, CHURN, 1_000_000) };
        // Without an end: one that goes on hangs the test.
        let outcome = finishes(engine, &silent);
        assert_eq!((outcome.samples.requests_completed, outcome.makespan), (0, None), "{}", engine.name);
    }
}

#[test]
fn a_churn_closes_before_it_thinks() {
    for engine in ENGINES {
        let (closed, is_closed) = mpsc::channel();
        let target = servers::start(move |count, mut stream| {
            echo_frames(&mut stream, 1);
            // The first is closed when the second is made, in any case.
            if count == 1 {
                while matches!(stream.read(&mut [0; 16]), Ok(1..)) {}
                let _test_ended = closed.send(());
            }
        });
        let churn = LoadOptions { duration: LONG, ..options(target, 1, Workload::Churn { think: LONG }) };
        let churn = LoadOptions { warmup: Duration::ZERO, ..churn };
        let stop = Stop::new();
        let heard = thread::scope(|scope| {
            let loading = scope.spawn(|| load(engine, &churn, &stop));
            let heard = is_closed.recv_timeout(Duration::from_secs(20));
            stop.request();
            loading.join().unwrap();
            heard
        });
        assert_eq!(heard, Ok(()), "{}", engine.name);
    }
}

#[test]
fn a_refusal_that_is_followed_by_a_reset_is_a_reply() {
    let target = servers::start(|_, mut stream| {
        let refusal = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        // Closing with the body unread makes the kernel send a reset.
        if matches!(stream.read(&mut [0; 64]), Ok(1..)) {
            let _client_is_gone = stream.write_all(refusal);
        }
    });
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n".to_vec();
    let request =
        HttpRequest { verify_head: head.clone(), head, has_body: true, echoes: true, is_head: false };
    for engine in ENGINES {
        let protocol = Protocol::Http(request.clone());
        let large = LoadOptions { protocol, payload_bytes: 65_536, ..fixed(target, 2, BUSY, 40) };
        let outcome = finishes(engine, &large);
        let samples = &outcome.samples;
        assert_eq!(failures(&outcome), [("request", "http_413", 40)], "{}: {}", engine.name, told(&outcome));
        assert_eq!((samples.requests_failed, samples.live_at_end), (40, 2), "{}", engine.name);
    }
}

/// What a server does to the request that it does not answer.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Close,
    Reset,
    Silence,
    Garbage,
}

/// Answers `replies` requests of each connection, and meets the next as told.
fn ends_after(replies: usize, ending: Ending) -> SocketAddr {
    servers::start(move |_, mut stream| {
        let (mut request, mut answered) = ([0; REQUEST.len()], 0);
        while answered < replies && stream.read_exact(&mut request).is_ok() {
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
            answered += 1;
        }
        // A socket that is closed with bytes unread is reset.
        let read = if matches!(ending, Ending::Reset) { 1 } else { REQUEST.len() };
        if stream.read_exact(&mut request[..read]).is_ok() {
            match ending {
                Ending::Close | Ending::Reset => {}
                Ending::Silence => while matches!(stream.read(&mut request), Ok(1..)) {},
                Ending::Garbage => {
                    let _client_is_gone = stream.write_all(b"no http, and too long for that\r\n\r\n");
                    while matches!(stream.read(&mut request), Ok(1..)) {}
                }
            }
        }
    })
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

fn get(options: LoadOptions) -> LoadOptions {
    let (head, verify_head) = (REQUEST.to_vec(), REQUEST.to_vec());
    let request = HttpRequest { head, verify_head, has_body: false, echoes: false, is_head: false };
    LoadOptions { protocol: Protocol::Http(request), ..options }
}

#[test]
fn an_http_connection_that_is_lost_with_a_request_is_made_again() {
    let open = Workload::Open { rate_per_s: 500.0, arrivals: Arrivals::Fixed };
    let thinking = Workload::Closed { think: Duration::from_millis(1) };
    for engine in ENGINES {
        for (ending, errnos) in [
            (Ending::Close, &["closed", "ECONNRESET", "EPIPE"][..]),
            (Ending::Reset, &["closed", "ECONNRESET", "EPIPE"]),
            (Ending::Silence, &["timeout"]),
            (Ending::Garbage, &["not_http"]),
        ] {
            // How it ends is the same for all workloads.
            let workloads = [BUSY, thinking, open, Workload::Burst];
            let workloads = &workloads[..if matches!(ending, Ending::Close) { 4 } else { 1 }];
            for &workload in workloads {
                // Each connection is verified, answers two requests, and then not the third.
                let timeout =
                    Duration::from_millis(if matches!(ending, Ending::Silence) { 300 } else { 20_000 });
                let load = get(fixed(ends_after(3, ending), 2, workload, 12));
                let outcome = finishes(engine, &LoadOptions { timeout, ..load });
                let (samples, name) = (&outcome.samples, (engine.name, ending, workload));
                assert_eq!(samples.requests_intended, 12, "{name:?}: {}", told(&outcome));
                // Lost for good, the two connections would have answered four.
                assert!(samples.requests_completed > 4, "{name:?}: {}", told(&outcome));
                assert!(samples.reopened > 0, "{name:?}: {}", told(&outcome));
                for (phase, errno, _) in failures(&outcome) {
                    assert!(phase == "request" && errnos.contains(&errno), "{name:?}: {phase} {errno}");
                }
            }
        }
    }
}

#[test]
fn an_http_server_that_is_gone_for_good_ends_the_run() {
    for engine in ENGINES {
        for workload in [BUSY, Workload::Burst] {
            let listener = servers::listener();
            let target = listener.local_addr().unwrap();
            thread::spawn(move || {
                for stream in listener.incoming().take(2) {
                    let (mut stream, mut request) = (stream.unwrap(), [0; REQUEST.len()]);
                    thread::spawn(move || {
                        for _ in 0..3 {
                            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                            stream.read_exact(&mut request).and_then(|()| stream.write_all(answer)).unwrap();
                        }
                    });
                }
            });
            // Without an end: one that goes on hangs the test.
            let outcome = finishes(engine, &get(fixed(target, 2, workload, 1_000_000)));
            let (samples, name) = (&outcome.samples, (engine.name, workload));
            assert_eq!(samples.requests_completed, 4, "{name:?}: {}", told(&outcome));
            assert!(samples.requests_failed >= 2 && outcome.makespan.is_none(), "{name:?}");
            assert_eq!(samples.requests_intended, 1_000_000, "{name:?}");
            let sent = samples.requests_completed + samples.requests_failed;
            assert_eq!(samples.requests_not_sent, 1_000_000 - sent, "{name:?}: {}", told(&outcome));
        }
    }
}

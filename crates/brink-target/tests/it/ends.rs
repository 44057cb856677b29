//! How connections and targets end.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;

use brink_target::Stop;

use crate::client::{connect, expect_closed, request, request_with};
use crate::target::{Target, loopback, models, options};

const HOUR_NS: u64 = 3_600_000_000_000;

#[test]
fn half_close_is_answered_first() {
    for model in models() {
        let target = Target::of(model);
        for (delay_ns, rest_len) in [(0, 50), (5_000_000, 50), (5_000_000, 0)] {
            let mut stream = connect(target.ready.address);
            let requests = [1, 2, 3].map(|n| request_with(model.transport, n, 100, delay_ns, 0));
            stream.write_all(&requests.clone().map(|r| r.bytes).concat()).unwrap();
            stream.write_all(&requests[0].bytes[..rest_len]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            for request in &requests {
                request.reply(&mut stream);
            }
            expect_closed(&mut stream);
        }
        let counters = target.counters_when(|c| c.live == 0 && c.accepted == 3);
        assert_eq!((counters.requests, counters.frame_errors), (9, 0), "{}", model.name);
    }
}

#[test]
fn reset_in_the_middle_of_a_message() {
    for model in models() {
        let target = Target::of(model);
        let whole = request(model.transport, 1, 5000).bytes;
        let waiting = request_with(model.transport, 2, 10, HOUR_NS, 0).bytes;
        for sent in [&[][..], &whole[..20], &whole[..3000], &whole] {
            let mut stream = connect(target.ready.address);
            stream.write_all(sent).unwrap();
            brink_host::socket::set_reset_on_close(&stream).unwrap();
        }
        target.counters_when(|c| c.accepted == 4 && c.live == 0);
        if model.name == "mio" {
            // It alone sees a reset while a request waits; a thread or task finds out when it writes.
            let mut stream = connect(target.ready.address);
            stream.write_all(&waiting).unwrap();
            brink_host::socket::set_reset_on_close(&stream).unwrap();
            drop(stream);
            target.counters_when(|c| c.accepted == 5 && c.live == 0);
        }
        let mut stream = connect(target.ready.address);
        request(model.transport, 3, 64).echo(&mut stream);
        let counters = target.usage().counters;
        assert_eq!((counters.frame_errors, counters.refusals.len()), (0, 0), "{}", model.name);
    }
}

#[test]
fn stop_while_idle() {
    for model in models() {
        let target = Target::of(model);
        let mut streams: Vec<_> = (0..50).map(|_| connect(target.ready.address)).collect();
        for stream in &mut streams {
            request(model.transport, 1, 64).echo(stream);
        }
        target.stop.request();
        let counters = target.end();
        assert_eq!((counters.accepted, counters.live, counters.requests), (50, 0, 50), "{}", model.name);
        streams.iter_mut().for_each(expect_closed);
    }
}

#[test]
fn stop_without_any_connection() {
    for model in models() {
        let target = Target::of(model);
        target.stop.request();
        assert_eq!(target.end().accepted, 0);
    }
}

#[test]
fn stop_while_busy() {
    for model in models() {
        let target = Target::of(model);
        let mut streams: Vec<_> = (0..200).map(|_| connect(target.ready.address)).collect();
        for (n, stream) in streams.iter_mut().enumerate() {
            // An hour's wait, a minute's work, a message that is not whole, a reply nobody reads.
            let request = match n % 100 {
                0 => request_with(model.transport, 1, 64, 0, 60_000_000),
                n if n % 2 == 0 => request_with(model.transport, 1, 64, HOUR_NS, 0),
                _ => request(model.transport, 1, 100_000),
            };
            let sent = if n % 2 == 0 { request.bytes.len() } else { 60_000 };
            stream.write_all(&request.bytes[..sent]).unwrap();
        }
        target.stop.request();
        let counters = target.end();
        assert_eq!(counters.live, 0, "{}", model.name);
        assert_eq!(counters.requests, 0, "{}", model.name);
    }
}

#[test]
fn an_address_in_use_is_named() {
    for model in models() {
        let target = Target::of(model);
        let stop = Stop::new().unwrap();
        for control_is_taken in [false, true] {
            let mut again = options(model);
            let taken = if control_is_taken {
                again.control = target.ready.control;
                target.ready.control.unwrap()
            } else {
                again.listen = target.ready.address;
                target.ready.address
            };
            let error = brink_target::run(&again, &stop, &mut |_| panic!("ready")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{}", model.name);
            assert!(error.to_string().contains(&taken.to_string()), "{error}");
        }
    }
}

#[test]
fn bad_options_are_refused_before_binding() {
    for model in models() {
        let stop = Stop::new().unwrap();
        let none = brink_target::Options { threads: 0, ..options(model) };
        let open = brink_target::Options { control: Some(([0, 0, 0, 0], 0).into()), ..options(model) };
        let empty = brink_target::Options { token: Some(String::new()), ..options(model) };
        for bad in [none, open, empty] {
            let error = brink_target::run(&bad, &stop, &mut |_| panic!("ready")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        assert!(loopback().ip().is_loopback());
    }
}

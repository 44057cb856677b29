//! The probe against what may be at an address.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use brink_client::{LoadOptions, Probe, ProbeError, Protocol};

use crate::load::{HOLD, options};
use crate::servers;

const TIMEOUT: Duration = Duration::from_secs(20);

fn probe(target: std::net::SocketAddr, payload_bytes: u32, timeout: Duration) -> Result<Probe, ProbeError> {
    brink_client::probe(&LoadOptions { payload_bytes, timeout, ..options(target, 1, HOLD) })
}

#[test]
fn an_echo_server_answers_and_a_brink_target_is_known() {
    for payload_bytes in [0, 1, 64, 1 << 20] {
        let plain = servers::start(|_, stream| servers::echo(stream));
        assert!(!probe(plain, payload_bytes, TIMEOUT).unwrap().answers_as_brink);
        let brink = servers::start(|_, stream| servers::brink(stream));
        assert!(probe(brink, payload_bytes, TIMEOUT).unwrap().answers_as_brink);
    }
}

/// What the probe says about a server with this habit, without the address.
fn says(address: std::net::SocketAddr, timeout: Duration) -> String {
    let line = probe(address, 64, timeout).unwrap_err().to_string();
    line.strip_prefix(&format!("{address}: ")).unwrap().to_owned()
}

#[test]
fn each_stranger_is_told_in_one_line() {
    assert_eq!(says(servers::nobody(), TIMEOUT), "connection refused: nothing listens there");
    let closes = servers::start(|_, stream| drop(stream));
    assert_eq!(says(closes, TIMEOUT), "closes the connection before it answers");
    let banner = servers::start(|_, mut stream| {
        stream.write_all(b"SSH-2.0-nobody\r\n").unwrap();
        servers::frame(&mut stream);
    });
    let not_an_echo = |at| {
        format!("answers, but not with the bytes sent (first difference at byte {at}): not an echo server")
    };
    assert_eq!(says(banner, TIMEOUT), not_an_echo(0));
    for at in [2, 12, 40, 103] {
        let wrong = servers::start(move |_, mut stream| {
            let (_, mut bytes) = servers::frame(&mut stream).unwrap();
            bytes[at] ^= 1;
            stream.write_all(&bytes).unwrap();
            servers::frame(&mut stream);
        });
        assert_eq!(says(wrong, TIMEOUT), not_an_echo(at));
    }
    let (keep, _kept) = mpsc::channel();
    let silent = servers::start(move |_, stream| keep.send(stream).unwrap());
    assert_eq!(says(silent, Duration::from_millis(100)), "no reply within 100ms");
}

#[test]
fn fixed_bytes_are_told_from_others() {
    let server = || {
        servers::start(|_, mut stream| {
            let mut bytes = [0; 6];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(b"+PONG\r\n").unwrap();
            let _until_it_leaves = stream.read(&mut bytes);
        })
    };
    let ask = |expect: &[u8]| {
        let protocol = Protocol::Bytes { send: b"PING\r\n".to_vec(), expect: expect.to_vec() };
        brink_client::probe(&LoadOptions { protocol, timeout: TIMEOUT, ..options(server(), 1, HOLD) })
    };
    assert_eq!(ask(b"+PONG\r\n").unwrap().status, None);
    let other = ask(b"+POLO\r\n").unwrap_err().to_string();
    assert!(
        other.ends_with("answers, but not with the bytes expected (first difference at byte 3)"),
        "{other}"
    );
    let fewer = ask(b"+PON").unwrap_err().to_string();
    assert!(fewer.ends_with("answers, but with more bytes than were expected"), "{fewer}");
}

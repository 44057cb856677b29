//! What a model that speaks HTTP must do beside echoing.

use std::io::{Read, Write};
use std::net::TcpStream;

use brink_target::Transport;
use brink_wire::frame::PAYLOAD_LEN_MAX;

use crate::client::{HttpHead, connect, expect_closed, request, request_with};
use crate::target::{Target, models_of, refused};

/// Sends `head`, with the lines of a request as they are, and reads the reply.
fn ask(stream: &mut TcpStream, head: &str) -> (HttpHead, String) {
    stream.write_all(format!("{head}\r\nHost: target\r\n\r\n").as_bytes()).unwrap();
    let head = HttpHead::read(stream);
    let mut body = vec![0; head.body_len];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn what_is_no_http_closes_its_connection() {
    for model in models_of(Transport::Http) {
        let target = Target::of(model);
        let mut bystander = connect(target.ready.address);
        request(model.transport, 1, 64).echo(&mut bystander);
        let long_head = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 1 << 20]].concat();
        let cases: [(&[u8], &str); 5] = [
            (b"\0\0\0\0\r\n\r\n", "malformed"),
            (b"BRNK\x01\0\x28\0", "malformed"),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "malformed"),
            (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "malformed"),
            (&long_head, "head_too_large"),
        ];
        for (bytes, _) in cases {
            let mut stream = connect(target.ready.address);
            // A request before the rubbish is answered.
            let good = request_with(model.transport, 2, 64, 1000, 0);
            good.echo(&mut stream);
            // The client may be cut off while it still sends.
            let _sent = stream.write_all(bytes);
            let mut rest = Vec::new();
            if stream.read_to_end(&mut rest).is_ok() {
                let answer = String::from_utf8(rest).unwrap();
                assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
            }
        }
        request(model.transport, 3, 64).echo(&mut bystander);
        let counters = target.counters_when(|c| c.live == 1);
        let by_name = ["malformed", "head_too_large"].map(|name| refused(&counters, "http", name));
        assert_eq!(by_name, [4, 1], "{}: {:?}", model.name, counters.refusals);
    }
}

#[test]
fn too_much_is_refused_and_read_to_its_end() {
    for model in models_of(Transport::Http) {
        let target = Target::of(model);
        let mut stream = connect(target.ready.address);
        let len = PAYLOAD_LEN_MAX + 1;
        let head = format!("POST /echo HTTP/1.1\r\nHost: target\r\nContent-Length: {len}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &vec![7; len]].concat()).unwrap();
        let refusal = HttpHead::read(&mut stream);
        assert_eq!(refusal.status, 413);
        stream.read_exact(&mut vec![0; refusal.body_len]).unwrap();
        request(model.transport, 1, 64).echo(&mut stream);
        // Nobody waits for a body that the client holds back, nor for one without an end.
        for (len, expect) in [(len, "Expect: 100-continue\r\n"), (1 << 40, "")] {
            let mut stream = connect(target.ready.address);
            let head =
                format!("POST /echo HTTP/1.1\r\nHost: target\r\n{expect}Content-Length: {len}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let refusal = HttpHead::read(&mut stream);
            assert_eq!(refusal.status, 413);
            assert!(refusal.text.contains("connection: close"), "{}", refusal.text);
            stream.read_exact(&mut vec![0; refusal.body_len]).unwrap();
            expect_closed(&mut stream);
        }
        let counters = target.counters_when(|c| c.live == 1);
        assert_eq!(refused(&counters, "http", "oversize"), 3, "{:?}", counters.refusals);
    }
}

#[test]
fn paths_and_methods() {
    for model in models_of(Transport::Http) {
        let target = Target::of(model);
        // One connection for all: it is kept alive.
        let mut stream = connect(target.ready.address);
        for (head, status, part) in [
            ("GET / HTTP/1.1", 200, "/delay/S"),
            ("GET /bytes/70000 HTTP/1.1", 200, "bbbb"),
            ("GET /bytes/0 HTTP/1.1", 200, ""),
            ("GET /delay/0.001 HTTP/1.1", 200, "waited"),
            ("GET /echo HTTP/1.1", 200, ""),
            ("GET /nothing HTTP/1.1", 404, "GET /"),
            ("GET /delay/4000 HTTP/1.1", 400, "3600"),
            ("GET /bytes/x HTTP/1.1", 400, "67108864"),
            ("GET / HTTP/1.1\r\nbrink-delay-ns: soon", 400, "nanoseconds"),
            ("DELETE / HTTP/1.1", 405, "GET and HEAD"),
        ] {
            let (answer, body) = ask(&mut stream, head);
            assert_eq!((answer.status, body.contains(part)), (status, true), "{head}: {body}");
            assert!(answer.waited_ns.is_some(), "{head}");
        }
        assert!(ask(&mut stream, "GET /delay/0.003 HTTP/1.1").0.waited_ns >= Some(3_000_000));
        assert_eq!(ask(&mut stream, "GET /bytes/70000 HTTP/1.1").1.len(), 70_000);
        target.counters_when(|c| (c.accepted, c.requests) == (1, 12));
    }
}

#[test]
fn heads_chunks_and_closing() {
    for model in models_of(Transport::Http) {
        let target = Target::of(model);
        let mut stream = connect(target.ready.address);
        stream.write_all(b"HEAD /bytes/1000 HTTP/1.1\r\nHost: target\r\n\r\n").unwrap();
        assert_eq!(HttpHead::read(&mut stream).body_len, 1000);
        let chunked = "POST /echo HTTP/1.1\r\nHost: target\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3\r\nabc\r\n1\r\nd\r\n4\r\nefgh\r\n0\r\n\r\n";
        stream.write_all(chunked.as_bytes()).unwrap();
        let mut body = vec![0; HttpHead::read(&mut stream).body_len];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(body, b"abcdefgh");
        let (answer, _) = ask(&mut stream, "GET / HTTP/1.1\r\nConnection: close");
        assert!(answer.text.contains("connection: close"), "{}", answer.text);
        expect_closed(&mut stream);
        let mut old = connect(target.ready.address);
        assert_eq!(ask(&mut old, "GET / HTTP/1.0").0.status, 200);
        expect_closed(&mut old);
        let mut kept = connect(target.ready.address);
        for _ in 0..2 {
            assert_eq!(ask(&mut kept, "GET / HTTP/1.0\r\nConnection: keep-alive").0.status, 200);
        }
    }
}

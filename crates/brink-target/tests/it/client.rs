//! A client made of raw bytes: frames as `brink_wire` has them, and just enough HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use brink_wire::frame::{HEADER_LEN, Header};
use brink_wire::payload::Payload;

use crate::target::PATIENCE;

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One request and what its reply must be.
#[derive(Clone)]
pub struct Request {
    pub header: Header,
    pub bytes: Vec<u8>,
}

pub fn request(sequence: u64, payload_len: usize) -> Request {
    request_with(sequence, payload_len, 0, 0)
}

pub fn request_with(sequence: u64, payload_len: usize, delay_ns: u64, work_us: u32) -> Request {
    let header = Header { payload_len: payload_len as u32, work_us, sequence, delay_ns, waited_ns: None };
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(Payload::new(payload_len).of(sequence));
    Request { header, bytes }
}

impl Request {
    /// Reads the reply, checks every byte of it, and returns the wait it tells of.
    pub fn reply(&self, stream: &mut TcpStream) -> u64 {
        let mut reply = vec![0; self.bytes.len()];
        stream.read_exact(&mut reply).unwrap();
        let header = Header::decode(reply.first_chunk().unwrap()).unwrap();
        assert_eq!(Header { waited_ns: None, ..header }, self.header);
        assert!(reply[HEADER_LEN..] == self.bytes[HEADER_LEN..], "payload differs");
        header.waited_ns.expect("a reply says how long it waited")
    }

    pub fn echo(&self, stream: &mut TcpStream) -> u64 {
        stream.write_all(&self.bytes).unwrap();
        self.reply(stream)
    }
}

/// Reads to the end, which must come, by FIN or by RST, with nothing before it.
pub fn expect_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0; 64]) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("not closed: {other:?}"),
    }
}

/// A keep-alive HTTP connection.
pub struct Http {
    stream: BufReader<TcpStream>,
    pub token: Option<String>,
}

impl Http {
    pub fn to(address: SocketAddr) -> Self {
        Self { stream: BufReader::new(connect(address)), token: None }
    }

    pub fn get(&mut self, path: &str) -> String {
        let (status, body) = self.ask("GET", path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub fn ask(&mut self, method: &str, path: &str) -> (u16, String) {
        let token = self.token.as_ref().map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
        let text = format!("{method} {path} HTTP/1.1\r\nHost: target\r\n{token}Content-Length: 0\r\n\r\n");
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        let mut len = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                len = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }
}

//! A client made of raw bytes: requests as frames or as HTTP, whichever the target speaks.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use brink_target::Transport;
use brink_wire::frame::{DELAY_OF_TARGET, HEADER_LEN, Header, WORK_OF_TARGET};
use brink_wire::http_reply::{DELAY_HEADER, WAITED_HEADER, WORK_HEADER};
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
    header: Header,
    transport: Transport,
    pub bytes: Vec<u8>,
}

pub fn request(transport: Transport, sequence: u64, payload_len: usize) -> Request {
    request_with(transport, sequence, payload_len, 0, 0)
}

pub fn request_with(
    transport: Transport,
    sequence: u64,
    payload_len: usize,
    delay_ns: u64,
    work_us: u32,
) -> Request {
    let header = Header { payload_len: payload_len as u32, work_us, sequence, delay_ns, waited_ns: None };
    let mut bytes = match transport {
        Transport::Http => http_head(&header).into_bytes(),
        _ => header.encode().to_vec(),
    };
    bytes.extend_from_slice(Payload::new(payload_len).of(sequence));
    Request { header, transport, bytes }
}

fn http_head(header: &Header) -> String {
    let mut head = "POST /echo HTTP/1.1\r\nHost: target\r\n".to_owned();
    if header.delay_ns != DELAY_OF_TARGET {
        head += &format!("{DELAY_HEADER}: {}\r\n", header.delay_ns);
    }
    if header.work_us != WORK_OF_TARGET {
        head += &format!("{WORK_HEADER}: {}\r\n", header.work_us);
    }
    head + &format!("Content-Length: {}\r\n\r\n", header.payload_len)
}

impl Request {
    /// Bytes before the payload.
    pub fn head_len(&self) -> usize {
        self.bytes.len() - self.header.payload_len as usize
    }

    /// Reads the reply, checks every byte of it, and returns the wait it tells of.
    pub fn reply(&self, stream: &mut TcpStream) -> u64 {
        let waited_ns = match self.transport {
            Transport::Http => {
                let head = HttpHead::read(stream);
                assert_eq!((head.status, head.body_len), (200, self.header.payload_len as usize));
                head.waited_ns
            }
            _ => {
                let mut head = [0; HEADER_LEN];
                stream.read_exact(&mut head).unwrap();
                let header = Header::decode(&head).unwrap();
                assert_eq!(Header { waited_ns: None, ..header }, self.header);
                header.waited_ns
            }
        };
        let mut payload = vec![0; self.header.payload_len as usize];
        stream.read_exact(&mut payload).unwrap();
        assert!(payload == self.bytes[self.head_len()..], "payload differs");
        waited_ns.expect("a reply says how long it waited")
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

/// The head of a reply in HTTP, lower case.
pub struct HttpHead {
    pub status: u16,
    pub body_len: usize,
    pub waited_ns: Option<u64>,
    pub text: String,
}

impl HttpHead {
    pub fn read(stream: &mut impl Read) -> Self {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        let text = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
        let status = text.split(' ').nth(1).unwrap_or_else(|| panic!("{text:?}")).parse().unwrap();
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().parse::<u64>().unwrap())
        };
        let (body_len, waited_ns) = (of("content-length").unwrap_or(0) as usize, of(WAITED_HEADER));
        Self { status, body_len, waited_ns, text }
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
        let head = HttpHead::read(&mut self.stream);
        let mut body = vec![0; head.body_len];
        self.stream.read_exact(&mut body).unwrap();
        (head.status, String::from_utf8(body).unwrap())
    }
}

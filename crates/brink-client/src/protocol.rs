//! What is said on the connections, whatever the engine: the bytes of a request, and the check of what comes back.
//!
//! Must not touch a socket or a clock, and must not allocate per request.

use brink_wire::frame::{DELAY_OF_TARGET, HEADER_LEN, Header, WORK_OF_TARGET};
use brink_wire::http_reply::{HttpError, HttpExpected, HttpProgress, HttpReplyDecoder};
use brink_wire::payload::Payload;
use brink_wire::reply_decoder::{Expected, Progress, ReplyDecoder, ReplyError};

use crate::options::{HttpRequest, LoadOptions, Protocol};
use crate::pacing::nanoseconds;

/// Which of the two requests that a run makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The exchange that verifies a connection: it asks for no wait and no work, where that can be said.
    Verify,
    /// A request of the workload.
    Work,
}

/// What a run says and expects. Made once per worker.
#[derive(Debug)]
pub struct Script {
    spoken: Protocol,
    payload: Payload,
    verify: Header,
    work: Header,
}

/// One request on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Which request.
    pub kind: Kind,
    /// Its number, unique in the run: the connection's identity and its count of requests.
    pub sequence: u64,
}

/// A reply that is what was expected, or at least a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reply {
    /// The wait that the target says happened, in nanoseconds.
    pub waited_ns: Option<u64>,
    /// HTTP status.
    pub status: Option<u16>,
    /// The server closes this connection.
    pub close: bool,
}

impl Reply {
    /// The status, where it is none of 200..=299.
    #[must_use]
    pub fn failed_status(&self) -> Option<u16> {
        self.status.filter(|status| !(200..300).contains(status))
    }
}

/// What feeding bytes led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// All bytes were taken, and more are needed.
    Partial,
    /// The reply is complete.
    Complete {
        /// Bytes taken from the input; what is left belongs to nobody.
        consumed: usize,
        /// The reply.
        reply: Reply,
    },
}

/// The part of a reply that has arrived. Exists only while one is partly there.
#[derive(Debug)]
pub enum Decoder {
    /// Of a frame.
    Frame(ReplyDecoder),
    /// Of HTTP.
    Http(HttpReplyDecoder),
    /// Of fixed bytes: how many have come.
    Bytes(usize),
}

impl Script {
    /// What these options say.
    #[must_use]
    pub fn new(options: &LoadOptions) -> Self {
        let payload_len = options.payload_bytes;
        Self {
            spoken: options.protocol.clone(),
            payload: Payload::new(payload_len as usize),
            verify: Header { payload_len, work_us: 0, sequence: 0, delay_ns: 0, waited_ns: None },
            work: Header {
                payload_len,
                work_us: options.work_us.unwrap_or(WORK_OF_TARGET),
                sequence: 0,
                delay_ns: options.delay.map_or(DELAY_OF_TARGET, nanoseconds),
                waited_ns: None,
            },
        }
    }

    /// The bytes of a request: what it begins with, and what follows. `header` is room for the beginning.
    #[must_use]
    pub fn request<'a>(&'a self, asked: Asked, header: &'a mut [u8; HEADER_LEN]) -> (&'a [u8], &'a [u8]) {
        match &self.spoken {
            Protocol::Frame => {
                *header = self.header(asked).encode();
                (header, self.payload.of(asked.sequence))
            }
            Protocol::Http(http) => (head_of(http, asked.kind), self.body_of(http, asked)),
            Protocol::Bytes { send, .. } => (send, &[]),
        }
    }

    /// Bytes of a request.
    #[must_use]
    pub fn request_len(&self, kind: Kind) -> usize {
        match &self.spoken {
            Protocol::Frame => self.work.frame_len(),
            Protocol::Http(http) => {
                head_of(http, kind).len() + if http.has_body { self.payload.len() } else { 0 }
            }
            Protocol::Bytes { send, .. } => send.len(),
        }
    }

    /// Takes the next bytes of the reply to `asked`. `partial` is `None` before its first byte, and afterwards
    /// where the reply came in one piece.
    ///
    /// # Errors
    /// A name for failures, where the bytes cannot be the reply: `mismatch`, `not_a_frame`, `not_http`, ..
    pub fn feed(
        &self,
        partial: &mut Option<Box<Decoder>>,
        asked: Asked,
        input: &[u8],
    ) -> Result<Fed, &'static str> {
        let fed = match partial {
            Some(decoder) => return self.feed_decoder(decoder, asked, input),
            None => {
                let mut decoder = match self.spoken {
                    Protocol::Frame => Decoder::Frame(ReplyDecoder::default()),
                    Protocol::Http(_) => Decoder::Http(HttpReplyDecoder::default()),
                    Protocol::Bytes { .. } => Decoder::Bytes(0),
                };
                let fed = self.feed_decoder(&mut decoder, asked, input)?;
                if fed == Fed::Partial {
                    *partial = Some(Box::new(decoder));
                }
                fed
            }
        };
        Ok(fed)
    }

    /// Whether the same bytes are a good reply to every request: where none has to be the echo of its own.
    #[must_use]
    pub fn repeats(&self) -> bool {
        matches!(&self.spoken, Protocol::Http(http) if !http.echoes)
    }

    /// Whether a reply may come before all of its request was sent. Nobody can answer what was not sent yet, but an
    /// HTTP server that does not need the body (RFC 9112, section 9.3), or refuses it.
    #[must_use]
    pub fn may_come_early(&self, reply: &Reply) -> bool {
        match &self.spoken {
            Protocol::Http(http) => !http.echoes || reply.failed_status().is_some(),
            Protocol::Frame | Protocol::Bytes { .. } => false,
        }
    }

    /// The server has closed the connection: a reply that ends so is complete.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn closed(&self, partial: &mut Decoder, asked: Asked) -> Result<Option<Reply>, &'static str> {
        match (partial, &self.spoken) {
            (Decoder::Http(decoder), Protocol::Http(http)) => {
                let reply = decoder.closed(self.http_expected(http, asked)).map_err(http_fault)?;
                Ok(reply.map(|reply| Reply {
                    waited_ns: reply.waited_ns,
                    status: Some(reply.status),
                    close: true,
                }))
            }
            _ => Ok(None),
        }
    }

    fn feed_decoder(&self, decoder: &mut Decoder, asked: Asked, input: &[u8]) -> Result<Fed, &'static str> {
        match (decoder, &self.spoken) {
            (Decoder::Frame(decoder), _) => {
                let expected = Expected { request: self.header(asked), payload: &self.payload };
                match decoder.feed(input, expected) {
                    Ok(Progress::Partial) => Ok(Fed::Partial),
                    Ok(Progress::Complete { consumed, waited_ns }) => {
                        Ok(Fed::Complete { consumed, reply: Reply { waited_ns, ..Reply::default() } })
                    }
                    Err(ReplyError::Frame(_)) => Err("not_a_frame"),
                    Err(ReplyError::Mismatch { .. }) => Err("mismatch"),
                }
            }
            (Decoder::Http(decoder), Protocol::Http(http)) => {
                match decoder.feed(input, self.http_expected(http, asked)).map_err(http_fault)? {
                    HttpProgress::Partial => Ok(Fed::Partial),
                    HttpProgress::Complete { consumed, reply } => {
                        let (waited_ns, close) = (reply.waited_ns, reply.close);
                        let reply = Reply { waited_ns, status: Some(reply.status), close };
                        Ok(Fed::Complete { consumed, reply })
                    }
                }
            }
            (Decoder::Bytes(got), Protocol::Bytes { expect, .. }) => {
                let left = &expect[*got..];
                let len = left.len().min(input.len());
                if input[..len] != left[..len] {
                    return Err("mismatch");
                }
                *got += len;
                if *got < expect.len() {
                    return Ok(Fed::Partial);
                }
                Ok(Fed::Complete { consumed: len, reply: Reply::default() })
            }
            // A decoder is made by this script.
            (Decoder::Http(_) | Decoder::Bytes(_), _) => Err("mismatch"),
        }
    }

    fn header(&self, asked: Asked) -> Header {
        let template = match asked.kind {
            Kind::Verify => self.verify,
            Kind::Work => self.work,
        };
        Header { sequence: asked.sequence, ..template }
    }

    fn body_of<'a>(&'a self, http: &HttpRequest, asked: Asked) -> &'a [u8] {
        if http.has_body { self.payload.of(asked.sequence) } else { &[] }
    }

    fn http_expected<'a>(&'a self, http: &HttpRequest, asked: Asked) -> HttpExpected<'a> {
        let body = http.echoes.then(|| self.body_of(http, asked));
        HttpExpected { to_head: http.is_head, body }
    }
}

fn head_of(http: &HttpRequest, kind: Kind) -> &[u8] {
    match kind {
        Kind::Verify => &http.verify_head,
        Kind::Work => &http.head,
    }
}

fn http_fault(error: HttpError) -> &'static str {
    match error {
        HttpError::Head => "not_http",
        HttpError::HeadLen => "http_head_too_long",
        HttpError::Body => "http_body",
        HttpError::Mismatch { .. } => "mismatch",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::options;

    const ASKED: Asked = Asked { kind: Kind::Work, sequence: 7 };

    fn script(protocol: Protocol) -> Script {
        Script::new(&LoadOptions { protocol, payload_bytes: 5, ..options(1) })
    }

    fn http(has_body: bool, echoes: bool) -> Script {
        let head = b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n".to_vec();
        let verify_head = b"POST /?v HTTP/1.1\r\ncontent-length: 5\r\n\r\n".to_vec();
        script(Protocol::Http(HttpRequest { head, verify_head, has_body, echoes, is_head: false }))
    }

    fn sent(script: &Script, asked: Asked) -> Vec<u8> {
        let mut room = [0; HEADER_LEN];
        let (head, body) = script.request(asked, &mut room);
        [head, body].concat()
    }

    #[test]
    fn a_request_is_as_long_as_it_says() {
        let bytes = script(Protocol::Bytes { send: b"PING\r\n".to_vec(), expect: b"+PONG\r\n".to_vec() });
        for script in [script(Protocol::Frame), http(true, true), http(false, false), bytes] {
            for kind in [Kind::Verify, Kind::Work] {
                let asked = Asked { kind, ..ASKED };
                assert_eq!(sent(&script, asked).len(), script.request_len(kind), "{script:?}");
            }
        }
    }

    #[test]
    fn the_echo_is_the_reply_in_whatever_pieces() {
        let script = script(Protocol::Frame);
        let echo = sent(&script, ASKED);
        for size in 1..=echo.len() {
            let mut partial = None;
            let fed = echo.chunks(size).map(|chunk| script.feed(&mut partial, ASKED, chunk)).last().unwrap();
            assert!(matches!(fed, Ok(Fed::Complete { .. })), "{size}");
            assert_eq!(partial.is_some(), size < echo.len());
        }
        let other = Asked { sequence: 8, ..ASKED };
        assert_eq!(script.feed(&mut None, other, &echo), Err("mismatch"));
        assert_eq!(script.feed(&mut None, ASKED, b"HTTP"), Err("not_a_frame"));
    }

    #[test]
    fn http_replies_echo_or_not() {
        let echoed = sent(&http(true, true), ASKED)[38..].to_vec();
        let reply = |body: &[u8]| [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", body].concat();
        let good =
            Fed::Complete { consumed: 43, reply: Reply { waited_ns: None, status: Some(200), close: false } };
        assert_eq!(http(true, true).feed(&mut None, ASKED, &reply(&echoed)), Ok(good));
        assert_eq!(http(true, true).feed(&mut None, ASKED, &reply(b"other")), Err("mismatch"));
        assert_eq!(http(true, false).feed(&mut None, ASKED, &reply(b"other")), Ok(good));
        assert_eq!(http(true, false).feed(&mut None, ASKED, b"BRNK"), Err("not_http"));
        let mut partial = None;
        let open = http(false, false);
        assert_eq!(open.feed(&mut partial, ASKED, b"HTTP/1.0 500 Oops\r\n\r\nx"), Ok(Fed::Partial));
        let reply = open.closed(partial.as_mut().unwrap(), ASKED).unwrap().unwrap();
        assert_eq!((reply.failed_status(), reply.close), (Some(500), true));
    }

    #[test]
    fn fixed_bytes_are_compared() {
        let ping = script(Protocol::Bytes { send: b"PING\r\n".to_vec(), expect: b"+PONG\r\n".to_vec() });
        let complete = |consumed| Ok(Fed::Complete { consumed, reply: Reply::default() });
        assert_eq!(ping.feed(&mut None, ASKED, b"+PONG\r\nmore"), complete(7));
        assert_eq!(ping.feed(&mut None, ASKED, b"-ERR"), Err("mismatch"));
        let mut partial = None;
        assert_eq!(ping.feed(&mut partial, ASKED, b"+PO"), Ok(Fed::Partial));
        assert_eq!(ping.feed(&mut partial, ASKED, b"NG\r\n"), complete(4));
    }
}

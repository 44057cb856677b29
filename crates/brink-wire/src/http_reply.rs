//! The client's side of HTTP/1.1: follows a reply from its status line to its last byte as the bytes arrive,
//! without storing its body (RFC 9112, sections 4, 6 and 7).
//!
//! A decoder exists only while a reply is partly there, and allocates only where a head or a chunk's size line
//! arrives in pieces. Must not touch a socket.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Response, Status, parse_chunk_size};
use thiserror::Error;

/// Longest head, or trailer, of a reply.
pub const HEAD_LEN_MAX: usize = 64 * 1024;
/// Most headers of a reply.
const HEADERS_MAX: usize = 96;
/// Longest line with the size of a chunk, extensions included.
const LINE_LEN_MAX: usize = 1024;
/// In a reply of a brink target: the wait that really happened, in nanoseconds.
pub const WAITED_HEADER: &str = "brink-waited-ns";
/// In a request to a brink target: the wait asked, in nanoseconds.
pub const DELAY_HEADER: &str = "brink-delay-ns";
/// In a request to a brink target: the CPU work asked, in microseconds.
pub const WORK_HEADER: &str = "brink-work-us";

/// What a reply has to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpExpected<'a> {
    /// It answers a HEAD: it has no body, whatever its headers say.
    pub to_head: bool,
    /// Its body, if it is to be that of the request.
    pub body: Option<&'a [u8]>,
}

/// A reply that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// The server closes, or may close, this connection.
    pub close: bool,
    /// What [`WAITED_HEADER`] says.
    pub waited_ns: Option<u64>,
}

/// What feeding bytes led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpProgress {
    /// All bytes were taken, and more are needed.
    Partial,
    /// The reply is complete.
    Complete {
        /// Bytes taken from the input.
        consumed: usize,
        /// The reply.
        reply: HttpReply,
    },
}

/// Why bytes are not the reply that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HttpError {
    /// No HTTP/1 status line and headers.
    #[error("not an HTTP/1 reply")]
    Head,
    /// The head is longer, or has more headers, than is taken.
    #[error("the head of the reply is too long: at most {HEAD_LEN_MAX} bytes and {HEADERS_MAX} headers")]
    HeadLen,
    /// The body is not delimited as its headers say.
    #[error("the body of the reply is not delimited as HTTP/1.1 asks")]
    Body,
    /// The body is not that of the request.
    #[error("the body differs from what was sent, first at byte {at}")]
    Mismatch {
        /// Offset in the body.
        at: u64,
    },
}

/// The part of a reply that has arrived.
#[derive(Debug, Default)]
pub struct HttpReplyDecoder {
    state: State,
    /// A head, a line or a trailer that has not arrived in full.
    pending: Vec<u8>,
    reply: Option<HttpReply>,
    body_len: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// So many bytes of body are to come.
    Length {
        left: u64,
    },
    ChunkSize,
    ChunkData {
        left: u64,
    },
    /// The line end after a chunk's data, of which so many bytes have come.
    ChunkEnd {
        got: u8,
    },
    Trailer,
    UntilClose,
}

/// How a body is delimited.
enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

impl HttpReplyDecoder {
    /// Takes the next bytes of the reply.
    ///
    /// # Errors
    /// [`HttpError`] at the first bytes that cannot belong to it.
    pub fn feed(&mut self, input: &[u8], expected: HttpExpected<'_>) -> Result<HttpProgress, HttpError> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                State::Head => match self.head(rest, expected)? {
                    Some(len) => at += len,
                    None => return Ok(HttpProgress::Partial),
                },
                State::Length { left: 0 } => return self.complete(at, expected),
                State::Length { left } => {
                    let len = self.body(rest, left, expected)?;
                    at += len;
                    self.state = State::Length { left: left - len as u64 };
                    if at == input.len() && left > len as u64 {
                        return Ok(HttpProgress::Partial);
                    }
                }
                State::ChunkSize => match self.line(rest, LINE_LEN_MAX, chunk_size)? {
                    Some((len, 0)) => (at, self.state) = (at + len, State::Trailer),
                    Some((len, left)) => (at, self.state) = (at + len, State::ChunkData { left }),
                    None => return Ok(HttpProgress::Partial),
                },
                State::ChunkData { left: 0 } => self.state = State::ChunkEnd { got: 0 },
                State::ChunkData { left } => {
                    let len = self.body(rest, left, expected)?;
                    at += len;
                    self.state = State::ChunkData { left: left - len as u64 };
                    if at == input.len() {
                        return Ok(HttpProgress::Partial);
                    }
                }
                State::ChunkEnd { got: 2 } => self.state = State::ChunkSize,
                State::ChunkEnd { got } => match rest.first() {
                    Some(&byte) if byte == b"\r\n"[usize::from(got)] => {
                        (at, self.state) = (at + 1, State::ChunkEnd { got: got + 1 });
                    }
                    Some(_) => return Err(HttpError::Body),
                    None => return Ok(HttpProgress::Partial),
                },
                State::Trailer => match self.line(rest, HEAD_LEN_MAX, |line| Ok(line.len() as u64))? {
                    Some((len, 1 | 2)) => return self.complete(at + len, expected),
                    Some((len, _)) => at += len,
                    None => return Ok(HttpProgress::Partial),
                },
                State::UntilClose => {
                    self.body(rest, u64::MAX, expected)?;
                    return Ok(HttpProgress::Partial);
                }
            }
        }
    }

    /// The server has closed the connection: that ends a body that nothing else delimits.
    ///
    /// # Errors
    /// [`HttpError::Mismatch`] if the body should have been longer.
    pub fn closed(&mut self, expected: HttpExpected<'_>) -> Result<Option<HttpReply>, HttpError> {
        if self.state != State::UntilClose {
            return Ok(None);
        }
        self.complete(0, expected).map(|_| self.reply)
    }

    /// Whether nothing of a reply has come yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.state == State::Head && self.pending.is_empty()
    }

    /// Takes a head, or the part of it that is there. `Some`: how many of `rest` belonged to it.
    fn head(&mut self, rest: &[u8], expected: HttpExpected<'_>) -> Result<Option<usize>, HttpError> {
        let (seen, parsed) = if self.pending.is_empty() {
            (0, parse_head(rest, expected)?)
        } else {
            let seen = self.pending.len();
            self.pending.extend_from_slice(rest);
            (seen, parse_head(&self.pending, expected)?)
        };
        let Some((len, head)) = parsed else {
            if seen == 0 {
                self.pending.extend_from_slice(rest);
            }
            return if self.pending.len() > HEAD_LEN_MAX { Err(HttpError::HeadLen) } else { Ok(None) };
        };
        self.pending.clear();
        // An interim reply (1xx but 101) is followed by the real one.
        if let Some((reply, framing)) = head {
            self.reply = Some(reply);
            self.state = match framing {
                Framing::None => State::Length { left: 0 },
                Framing::Length(left) => State::Length { left },
                Framing::Chunked => State::ChunkSize,
                Framing::UntilClose => State::UntilClose,
            };
        }
        Ok(Some(len - seen))
    }

    /// Takes body bytes: `left` of them at most. Returns how many.
    fn body(&mut self, rest: &[u8], left: u64, expected: HttpExpected<'_>) -> Result<usize, HttpError> {
        let len = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        if let Some(whole) = self.body_expected(expected) {
            let begin = usize::try_from(self.body_len).map_or(whole.len(), |at| at.min(whole.len()));
            let sent = &whole[begin..];
            let same = rest[..len].iter().zip(sent).take_while(|(came, sent)| came == sent).count();
            if same < len {
                return Err(HttpError::Mismatch { at: self.body_len + same as u64 });
            }
        }
        self.body_len += len as u64;
        Ok(len)
    }

    /// Only the body of a success is an echo; that of an error says what was wrong.
    fn body_expected<'a>(&self, expected: HttpExpected<'a>) -> Option<&'a [u8]> {
        expected.body.filter(|_| self.reply.is_some_and(|reply| (200..300).contains(&reply.status)))
    }

    /// Takes a line, or the part of it that is there: its length in `rest`, and what `read` makes of it.
    fn line(
        &mut self,
        rest: &[u8],
        len_max: usize,
        read: impl Fn(&[u8]) -> Result<u64, HttpError>,
    ) -> Result<Option<(usize, u64)>, HttpError> {
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            self.pending.extend_from_slice(rest);
            return if self.pending.len() > len_max { Err(HttpError::Body) } else { Ok(None) };
        };
        let len = end + 1;
        let value = if self.pending.is_empty() {
            read(&rest[..len])?
        } else {
            self.pending.extend_from_slice(&rest[..len]);
            let value = read(&self.pending)?;
            self.pending.clear();
            value
        };
        Ok(Some((len, value)))
    }

    fn complete(&mut self, consumed: usize, expected: HttpExpected<'_>) -> Result<HttpProgress, HttpError> {
        if self.body_expected(expected).is_some_and(|body| body.len() as u64 != self.body_len) {
            return Err(HttpError::Mismatch { at: self.body_len });
        }
        self.reply.map(|reply| HttpProgress::Complete { consumed, reply }).ok_or(HttpError::Head)
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, HttpError> {
    // The parser takes a line without digits for a size of 0.
    if !line.first().is_some_and(u8::is_ascii_hexdigit) {
        return Err(HttpError::Body);
    }
    match parse_chunk_size(line) {
        Ok(Status::Complete((_, size))) => Ok(size),
        Ok(Status::Partial) | Err(_) => Err(HttpError::Body),
    }
}

type Head = Option<(HttpReply, Framing)>;

/// A head at the start of `bytes`, if all of it is there, and its length. Without content for an interim reply.
fn parse_head(bytes: &[u8], expected: HttpExpected<'_>) -> Result<Option<(usize, Head)>, HttpError> {
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADERS_MAX];
    let mut response = Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    let len = match parsed {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HttpError::HeadLen),
        Err(_) => return Err(HttpError::Head),
    };
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err(HttpError::Head);
    };
    if (100..200).contains(&status) && status != 101 {
        return Ok(Some((len, None)));
    }
    let mut reply = HttpReply { status, close: version == 0, waited_ns: None };
    let (mut length, mut coded, mut chunked) = (None, false, false);
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let value = number(header.value).ok_or(HttpError::Body)?;
            if length.replace(value).is_some_and(|other| other != value) {
                return Err(HttpError::Body);
            }
        } else if is("transfer-encoding") {
            coded = true;
            chunked = last_token(header.value).eq_ignore_ascii_case(b"chunked");
        } else if is("connection") {
            for token in header.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                if token.eq_ignore_ascii_case(b"close") {
                    reply.close = true;
                } else if token.eq_ignore_ascii_case(b"keep-alive") && version == 0 {
                    reply.close = false;
                }
            }
        } else if is(WAITED_HEADER) {
            reply.waited_ns = number(header.value);
        }
    }
    let framing = match (chunked, length) {
        _ if expected.to_head || matches!(status, 101 | 204 | 304) => Framing::None,
        (true, _) => Framing::Chunked,
        // A transfer coding overrides the length (RFC 9112, section 6.3).
        (false, Some(length)) if !coded => Framing::Length(length),
        (false, _) => Framing::UntilClose,
    };
    reply.close |= status == 101 || matches!(framing, Framing::UntilClose);
    Ok(Some((len, Some((reply, framing)))))
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

fn last_token(value: &[u8]) -> &[u8] {
    value.rsplit(|&byte| byte == b',').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: HttpExpected<'static> = HttpExpected { to_head: false, body: None };

    fn reply(status: u16, close: bool) -> HttpReply {
        HttpReply { status, close, waited_ns: None }
    }

    /// Feeds in chunks of every size; all must agree. The reply, and what was left over.
    fn feed(text: &str, expected: HttpExpected<'_>) -> Result<Option<(HttpReply, usize)>, HttpError> {
        let mut outcomes = Vec::new();
        for size in 1..=text.len() {
            let mut decoder = HttpReplyDecoder::default();
            let (mut outcome, mut fed) = (Ok(None), 0);
            for chunk in text.as_bytes().chunks(size) {
                match decoder.feed(chunk, expected) {
                    Ok(HttpProgress::Partial) => fed += chunk.len(),
                    Ok(HttpProgress::Complete { consumed, reply }) => {
                        outcome = Ok(Some((reply, text.len() - fed - consumed)));
                        break;
                    }
                    Err(error) => {
                        outcome = Err(error);
                        break;
                    }
                }
            }
            outcomes.push(outcome);
        }
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{text:?}: {outcomes:?}");
        outcomes.pop().unwrap()
    }

    #[test]
    fn content_length_and_what_follows() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP";
        assert_eq!(feed(text, NOTHING), Ok(Some((reply(200, false), 4))));
        assert_eq!(feed(&text[..40], NOTHING), Ok(None));
        assert_eq!(
            feed("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", NOTHING).unwrap().unwrap().0.status,
            404
        );
    }

    #[test]
    fn chunked_with_extensions_and_trailer() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 3\r\n\r\n\
                    5;a=b\r\nhello\r\n0a\r\n0123456789\r\n0\r\nX: y\r\n\r\nrest";
        assert_eq!(feed(text, NOTHING), Ok(Some((reply(200, false), 4))));
        let body = HttpExpected { to_head: false, body: Some(b"hello0123456789") };
        assert_eq!(feed(text, body), Ok(Some((reply(200, false), 4))));
        let other = HttpExpected { to_head: false, body: Some(b"hello0123x56789") };
        assert_eq!(feed(text, other), Err(HttpError::Mismatch { at: 9 }));
        let longer = HttpExpected { to_head: false, body: Some(b"hello0123456789!") };
        assert_eq!(feed(text, longer), Err(HttpError::Mismatch { at: 15 }));
        for bad in ["x\r\n", "5\r\nhelloX", "5\r\nhello\rX", "\r\n"] {
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{bad}");
            assert_eq!(feed(&text, NOTHING), Err(HttpError::Body), "{bad:?}");
        }
    }

    #[test]
    fn bodies_that_are_not_there() {
        for head in ["204 No Content\r\n", "304 Not Modified\r\nContent-Length: 9\r\n"] {
            let outcome = feed(&format!("HTTP/1.1 {head}\r\n"), NOTHING).unwrap().unwrap();
            assert_eq!((outcome.0.close, outcome.1), (false, 0));
        }
        let to_head = HttpExpected { to_head: true, body: None };
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(feed(text, to_head), Ok(Some((reply(200, false), 0))));
        assert_eq!(feed(text, NOTHING), Ok(None));
    }

    #[test]
    fn until_close() {
        let text = "HTTP/1.0 200 OK\r\nServer: x\r\n\r\nsome bytes";
        assert_eq!(feed(text, NOTHING), Ok(None));
        let coded = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(feed(coded, NOTHING), Ok(None));
        let mut decoder = HttpReplyDecoder::default();
        assert_eq!(decoder.closed(NOTHING), Ok(None));
        decoder.feed(text.as_bytes(), NOTHING).unwrap();
        assert_eq!(decoder.closed(NOTHING), Ok(Some(reply(200, true))));
        let echo = HttpExpected { to_head: false, body: Some(b"some bytes and more") };
        assert_eq!(decoder.closed(echo), Err(HttpError::Mismatch { at: 10 }));
    }

    #[test]
    fn who_closes() {
        let close = |head: &str| {
            feed(&format!("{head}\r\nContent-Length: 0\r\n\r\n"), NOTHING).unwrap().unwrap().0.close
        };
        assert!(!close("HTTP/1.1 200 OK"));
        assert!(close("HTTP/1.1 200 OK\r\nConnection: foo, Close"));
        assert!(close("HTTP/1.0 200 OK"));
        assert!(!close("HTTP/1.0 200 OK\r\nconnection: keep-alive"));
    }

    #[test]
    fn interim_replies_are_passed_over_and_the_wait_is_read() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                    HTTP/1.1 200 OK\r\nBrink-Waited-Ns: 42\r\nContent-Length: 1\r\n\r\nx";
        let expected = HttpReply { status: 200, close: false, waited_ns: Some(42) };
        assert_eq!(feed(text, NOTHING), Ok(Some((expected, 0))));
    }

    #[test]
    fn rubbish_is_refused() {
        assert_eq!(feed("SSH-2.0-x\r\n\r\n", NOTHING), Err(HttpError::Head));
        for length in ["-1", "x", "1, 1", "", "18446744073709551616"] {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(feed(&text, NOTHING), Err(HttpError::Body), "{length}");
        }
        let two = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(feed(two, NOTHING), Err(HttpError::Body));
        let mut decoder = HttpReplyDecoder::default();
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_LEN_MAX));
        assert_eq!(decoder.feed(long.as_bytes(), NOTHING), Err(HttpError::HeadLen));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(HttpReplyDecoder::default().feed(many.as_bytes(), NOTHING), Err(HttpError::HeadLen));
    }
}

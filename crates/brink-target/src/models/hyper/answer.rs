//! Answers one HTTP request: takes its body where that is wanted, waits, works, replies.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use brink_wire::http_reply::WAITED_HEADER;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::request::{Content, Refusal, Wanted};
use crate::context::Open;
use crate::models::conversation::{Async, Conduct};

/// Largest body that is echoed: that of a frame, 1 MiB.
const ECHO_BYTES_MAX: usize = brink_wire::frame::PAYLOAD_LEN_MAX;
/// Of a body that is too large so much is read and thrown away, so that the client has sent all
/// and reads the refusal; of a larger one it may only see the connection close.
const DISCARDED_BYTES_MAX: u64 = 16 << 20;
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

const GUIDE: &str = "\
brink target, model hyper
GET  /delay/S   answers after S seconds (0 to 3600, fractions allowed)
GET  /bytes/N   N bytes (0 to 67108864)
POST /echo      the body comes back (at most 1 MiB)
Any request may carry brink-delay-ns: N and brink-work-us: N; each answer carries brink-waited-ns: N.
";

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub(super) struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection ends without an answer")
    }
}

impl Error for Ended {}

/// Answers. The request counts as answered once its answer is made.
pub(super) async fn answer(
    wanted: Result<Wanted, Refusal>,
    body: Incoming,
    open: Arc<Open>,
) -> Result<Response<Answer>, Ended> {
    let response = match wanted {
        Err(refusal) => refused(refusal),
        Ok(wanted) => {
            let body = match wanted.content {
                Content::Echo => take(body, wanted.expects_continue, &open).await?,
                _ => Taken::Whole(Bytes::new()),
            };
            match body {
                Taken::TooLarge { is_read } => too_large(is_read, &open),
                Taken::Whole(body) => {
                    let mut waited_ns = 0;
                    if Async.must_wait(wanted.asked) {
                        waited_ns = Async.wait(wanted.asked, &open).await.ok_or(Ended)?;
                    }
                    if !Async.work(wanted.asked.work_us, &open) {
                        return Err(Ended);
                    }
                    answered(wanted.content, body, waited_ns)
                }
            }
        }
    };
    open.answered();
    Ok(response)
}

/// What came of reading a body.
enum Taken {
    Whole(Bytes),
    TooLarge {
        /// The client has sent it all, so that the connection can go on.
        is_read: bool,
    },
}

/// Reads a body that is to be echoed. A body in one piece is not copied.
async fn take(mut body: Incoming, expects_continue: bool, open: &Open) -> Result<Taken, Ended> {
    let announced = body.size_hint().lower();
    if announced > ECHO_BYTES_MAX as u64 && (expects_continue || announced > DISCARDED_BYTES_MAX) {
        return Ok(Taken::TooLarge { is_read: false });
    }
    let (mut first, mut rest, mut len) = (Bytes::new(), Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        // Trailers are no part of the body.
        let Ok(data) = frame.map_err(|error| broken(&error, open))?.into_data() else { continue };
        len += data.len() as u64;
        if len > DISCARDED_BYTES_MAX {
            return Ok(Taken::TooLarge { is_read: false });
        }
        if len > ECHO_BYTES_MAX as u64 {
            rest = Vec::new();
        } else if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.reserve(announced as usize);
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    if len > ECHO_BYTES_MAX as u64 {
        return Ok(Taken::TooLarge { is_read: true });
    }
    Ok(Taken::Whole(if rest.is_empty() { first } else { rest.into() }))
}

/// A body that did not come whole: counted if it was no HTTP, not if the client has just gone.
fn broken(error: &hyper::Error, open: &Open) -> Ended {
    use io::ErrorKind::{InvalidData, InvalidInput};
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if cause.is_some_and(|cause| matches!(cause.kind(), InvalidData | InvalidInput)) {
        open.context().counters.refuse("http", "malformed");
    }
    Ended
}

fn answered(content: Content, body: Bytes, waited_ns: u64) -> Response<Answer> {
    let (content_type, body) = match content {
        Content::Guide => (TEXT, Answer::Whole(Bytes::from_static(GUIDE.as_bytes()))),
        Content::Waited => (TEXT, Answer::Whole(Bytes::from_static(b"waited\n"))),
        Content::Bytes(bytes) => (BYTES, Answer::Pattern(bytes)),
        Content::Echo => (BYTES, Answer::Whole(body)),
    };
    let mut response = Response::new(body);
    let waited = if waited_ns == 0 { HeaderValue::from_static("0") } else { waited_ns.into() };
    response.headers_mut().insert(WAITED_HEADER, waited);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn refused(refusal: Refusal) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Bytes::from_static(refusal.line.as_bytes())));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(WAITED_HEADER, HeaderValue::from_static("0"));
    headers.insert(header::CONTENT_TYPE, TEXT);
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn too_large(is_read: bool, open: &Open) -> Response<Answer> {
    open.context().counters.refuse("http", "oversize");
    let line = "/echo takes at most 1048576 bytes\n";
    let mut response = refused(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, line });
    if !is_read {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// These bytes.
    Whole(Bytes),
    /// So many bytes, made as they are sent.
    Pattern(u64),
}

static PATTERN: [u8; 64 * 1024] = [b'b'; 64 * 1024];

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut *self {
            Self::Whole(bytes) => std::mem::take(bytes),
            Self::Pattern(left) => {
                let len = (*left).min(PATTERN.len() as u64);
                *left -= len;
                Bytes::from_static(&PATTERN[..len as usize])
            }
        };
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Pattern(left) => *left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_the_length_it_says() {
        for len in [0, 1, 65_535, 65_536, 65_537, 200_000] {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let answer = Answer::Pattern(len);
            assert_eq!(answer.size_hint().exact(), Some(len));
            let got = runtime.block_on(answer.collect()).unwrap().to_bytes();
            assert_eq!(got.len() as u64, len);
        }
    }
}

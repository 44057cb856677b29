//! What one HTTP request wants: its path, method and head, read and checked. Pure.

use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode};

use brink_wire::frame::{DELAY_NS_MAX, DELAY_OF_TARGET, WORK_OF_TARGET, WORK_US_MAX};
use brink_wire::http_reply::{DELAY_HEADER, WORK_HEADER};

use crate::asked::{Asked, Draws, Own};

/// Most that `/bytes/N` gives: 64 MiB.
const BYTES_MAX: u64 = 64 << 20;
/// Longest that `/delay/S` waits.
const DELAY_S_MAX: f64 = 3600.0;

/// A request that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) content: Content,
    pub(super) asked: Asked,
    /// The client holds its body back until it is told to go on (`Expect: 100-continue`).
    pub(super) expects_continue: bool,
}

/// What is in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// What there is here.
    Guide,
    /// The request's own body.
    Echo,
    /// So many bytes.
    Bytes(u64),
    /// A word, after the wait.
    Waited,
}

/// Why a request cannot be answered, in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) line: &'static str,
}

const NOT_FOUND: Refusal =
    Refusal { status: StatusCode::NOT_FOUND, line: "there is no such path here; GET / says what there is\n" };
const METHOD: Refusal =
    Refusal { status: StatusCode::METHOD_NOT_ALLOWED, line: "this path takes GET and HEAD only\n" };
const BYTES: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    line: "/bytes/N takes a whole number of bytes from 0 to 67108864\n",
};
const DELAY: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    line: "/delay/S takes seconds from 0 to 3600, such as 0.25\n",
};
const DELAY_VALUE: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    line: "brink-delay-ns takes a whole number of nanoseconds from 0 to 3600000000000\n",
};
const WORK_VALUE: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    line: "brink-work-us takes a whole number of microseconds from 0 to 60000000\n",
};

/// Reads all but the body.
pub(super) fn wanted<B>(request: &Request<B>, own: &Own, draws: &mut Draws) -> Result<Wanted, Refusal> {
    let path = request.uri().path();
    let mut delay_of_path = None;
    let content = if path == "/echo" {
        Content::Echo
    } else if path == "/" {
        Content::Guide
    } else if let Some(bytes) = path.strip_prefix("/bytes/") {
        Content::Bytes(bytes.parse().ok().filter(|&bytes| bytes <= BYTES_MAX).ok_or(BYTES)?)
    } else if let Some(seconds) = path.strip_prefix("/delay/") {
        delay_of_path = Some(delay_ns(seconds).ok_or(DELAY)?);
        Content::Waited
    } else {
        return Err(NOT_FOUND);
    };
    if content != Content::Echo && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(METHOD);
    }
    let headers = request.headers();
    let delay_ns = number(headers, DELAY_HEADER, DELAY_OF_TARGET, DELAY_NS_MAX).ok_or(DELAY_VALUE)?;
    let work_us = number(headers, WORK_HEADER, WORK_OF_TARGET.into(), WORK_US_MAX.into());
    // It fits: both the bound and the default are of this size.
    let work_us = u32::try_from(work_us.ok_or(WORK_VALUE)?).map_err(|_| WORK_VALUE)?;
    let asked = own.filled_in(delay_of_path.unwrap_or(delay_ns), work_us, draws);
    let expects_continue =
        headers.get("expect").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    Ok(Wanted { content, asked, expects_continue })
}

/// Decimal seconds, without sign or exponent.
fn delay_ns(seconds: &str) -> Option<u64> {
    if !seconds.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds: f64 = seconds.parse().ok().filter(|&seconds| seconds <= DELAY_S_MAX)?;
    Some((seconds * 1e9).round() as u64)
}

/// A number in a header; where there is none, or all ones, `of_target`.
fn number(headers: &HeaderMap, name: &str, of_target: u64, max: u64) -> Option<u64> {
    let Some(value) = headers.get(name) else { return Some(of_target) };
    let value = value.to_str().ok()?.parse().ok()?;
    (value <= max || value == of_target).then_some(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use brink_wire::delay::Delay;

    use super::*;

    fn read(method: &str, path: &str, headers: &[(&'static str, &str)]) -> Result<Wanted, Refusal> {
        let own = Own { delay: Delay::Fixed(Duration::from_millis(5)), work_us: 9 };
        let mut request = Request::builder().method(method).uri(path);
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        wanted(&request.body(()).unwrap(), &own, &mut Draws::new(0))
    }

    fn content(path: &str) -> Result<Content, Refusal> {
        read("GET", path, &[]).map(|wanted| wanted.content)
    }

    #[test]
    fn paths() {
        assert_eq!(content("/"), Ok(Content::Guide));
        assert_eq!(content("/echo?x=1"), Ok(Content::Echo));
        assert_eq!(content("/bytes/67108864"), Ok(Content::Bytes(BYTES_MAX)));
        for wrong in ["67108865", "", "-1", "1.5", "x", "1/2"] {
            assert_eq!(content(&format!("/bytes/{wrong}")), Err(BYTES), "{wrong}");
        }
        for wrong in ["3600.1", "", ".", "-1", "nan", "1e3", "1..2"] {
            assert_eq!(content(&format!("/delay/{wrong}")), Err(DELAY), "{wrong}");
        }
        for wrong in ["/nothing", "/bytes", "/delay", "//", "/echo/"] {
            assert_eq!(content(wrong), Err(NOT_FOUND), "{wrong}");
        }
    }

    #[test]
    fn methods() {
        for path in ["/", "/bytes/1", "/delay/1"] {
            assert_eq!(read("POST", path, &[]), Err(METHOD), "{path}");
            assert!(read("HEAD", path, &[]).is_ok(), "{path}");
        }
        for method in ["GET", "POST", "PUT", "PATCH"] {
            assert!(read(method, "/echo", &[]).is_ok(), "{method}");
        }
    }

    #[test]
    fn the_path_goes_before_the_head_and_that_before_the_target() {
        let asked = |path: &str, headers: &[(&'static str, &str)]| {
            let asked = read("GET", path, headers).unwrap().asked;
            (asked.delay.as_nanos(), asked.work_us)
        };
        let head = [("brink-delay-ns", "7"), ("brink-work-us", "3")];
        assert_eq!(asked("/", &[]), (5_000_000, 9));
        assert_eq!(asked("/", &head), (7, 3));
        assert_eq!(asked("/delay/0.1", &head), (100_000_000, 3));
        assert_eq!(asked("/delay/0", &[]), (0, 9));
        let all_ones = [("brink-delay-ns", "18446744073709551615"), ("brink-work-us", "4294967295")];
        assert_eq!(asked("/", &all_ones), (5_000_000, 9));
    }

    #[test]
    fn what_is_over_a_bound_is_named() {
        for wrong in ["3600000000001", "-1", "", "x", "1.5"] {
            assert_eq!(read("GET", "/", &[("brink-delay-ns", wrong)]), Err(DELAY_VALUE), "{wrong}");
        }
        for wrong in ["60000001", "4294967296", "-1", ""] {
            assert_eq!(read("GET", "/", &[("brink-work-us", wrong)]), Err(WORK_VALUE), "{wrong}");
        }
    }
}

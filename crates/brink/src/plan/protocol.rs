//! What is spoken with a target: frames, HTTP, or fixed bytes. Pure.

use brink_results::case::Protocol;
use brink_target::Transport;

use crate::exit::Failure;
use crate::location::HttpPlace;

/// Payload where none is named.
const PAYLOAD_DEFAULT: u32 = 64;

/// What a model of brink's own speaks: frames, or the echo of its HTTP server.
pub fn of_model(model: &str) -> Protocol {
    match brink_target::find(model).map(|row| row.transport) {
        Some(Transport::Http) => Protocol::Http {
            method: "POST".to_owned(),
            path: "/echo".to_owned(),
            host: "127.0.0.1".to_owned(),
            headers: Vec::new(),
            body: true,
            echoes: true,
        },
        _ => Protocol::Frame,
    }
}

/// As typed.
#[derive(Debug, Clone, Default)]
pub(super) struct ProtocolAsked<'a> {
    /// The model that brink starts; `None`: somebody's server.
    pub(super) model: Option<&'a str>,
    pub(super) http: Option<&'a HttpPlace>,
    pub(super) method: Option<&'a str>,
    pub(super) headers: &'a [(String, String)],
    pub(super) send: Option<&'a str>,
    pub(super) expect: Option<&'a str>,
    pub(super) payload: Option<u32>,
    /// Whether a request asks for a wait or work.
    pub(super) asks: bool,
}

impl ProtocolAsked<'_> {
    /// The protocol, and the bytes of payload. `prefix` is what flags have and keys of a file have not: `--`.
    ///
    /// # Errors
    /// A usage failure that names what does not go together.
    pub(super) fn resolve(&self, prefix: &str) -> Result<(Protocol, u32), Failure> {
        let wrong = |line: String| Err(Failure::usage(format!("{prefix}{line}")));
        let http_only = [("method", self.method.is_some()), ("header", !self.headers.is_empty())];
        if let Some((name, _)) = http_only.iter().find(|(_, given)| *given && self.http.is_none()) {
            return wrong(format!("{name}: only with a server at an http:// address"));
        }
        match (self.send, self.expect) {
            (None, None) => {}
            (Some(send), Some(expect)) => return self.bytes(prefix, send, expect),
            (Some(_), None) => return wrong(format!("send: needs {prefix}expect, too")),
            (None, Some(_)) => return wrong(format!("expect: needs {prefix}send, too")),
        }
        if let Some(place) = self.http {
            return self.http(prefix, place);
        }
        let payload = self.payload.unwrap_or(PAYLOAD_DEFAULT);
        Ok((self.model.map_or(Protocol::Frame, of_model), payload))
    }

    fn bytes(&self, prefix: &str, send: &str, expect: &str) -> Result<(Protocol, u32), Failure> {
        let wrong = |line: String| Err(Failure::usage(format!("{prefix}{line}")));
        if let Some(model) = self.model {
            return wrong(format!(
                "send: a target of brink's own (`{model}`) answers frames, not other bytes"
            ));
        }
        if self.http.is_some() {
            return wrong("send: not with an http:// address: write tcp://".to_owned());
        }
        if self.payload.is_some() {
            return wrong(format!("payload: not with {prefix}send, which says all the bytes"));
        }
        if self.asks {
            return wrong(format!("delay or {prefix}work: cannot be asked for in the bytes of {prefix}send"));
        }
        Ok((Protocol::Bytes { send: send.to_owned(), expect: expect.to_owned() }, 0))
    }

    fn http(&self, prefix: &str, place: &HttpPlace) -> Result<(Protocol, u32), Failure> {
        let method = self.method.unwrap_or("GET");
        let body = matches!(method, "POST" | "PUT" | "PATCH");
        if self.payload.is_some() && !body {
            return Err(Failure::usage(format!(
                "{prefix}payload: a {method} has no body; {prefix}method POST, PUT or PATCH have one"
            )));
        }
        let named = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let headers = self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
        let protocol = Protocol::Http {
            method: method.to_owned(),
            path: place.path.clone(),
            host: named.map_or_else(|| place.host.clone(), |(_, value)| value.clone()),
            headers: headers.cloned().collect(),
            body,
            echoes: false,
        };
        Ok((protocol, if body { self.payload.unwrap_or(PAYLOAD_DEFAULT) } else { 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> HttpPlace {
        HttpPlace { host: "a".to_owned(), path: "/x".to_owned() }
    }

    #[test]
    fn follows_from_model_and_address() {
        let own =
            |model| ProtocolAsked { model: Some(model), ..ProtocolAsked::default() }.resolve("--").unwrap();
        assert_eq!(own("mio"), (Protocol::Frame, 64));
        assert!(matches!(own("hyper"), (Protocol::Http { echoes: true, body: true, .. }, 64)));
        let place = place();
        let headers = [("HOST".to_owned(), "b".to_owned()), ("X".to_owned(), "y".to_owned())];
        let web = ProtocolAsked { http: Some(&place), headers: &headers, ..ProtocolAsked::default() };
        let (Protocol::Http { method, host, headers, body, .. }, 0) = web.resolve("--").unwrap() else {
            panic!("not HTTP without a body")
        };
        assert_eq!((method.as_str(), host.as_str(), headers.len(), body), ("GET", "b", 1, false));
        let post = ProtocolAsked { method: Some("POST"), ..web };
        assert_eq!(post.resolve("--").unwrap().1, 64);
    }

    #[test]
    fn says_what_does_not_go_together() {
        let place = place();
        let none = ProtocolAsked::default();
        let bytes = ProtocolAsked { send: Some("x"), expect: Some("y"), ..none.clone() };
        assert!(matches!(bytes.resolve("--"), Ok((Protocol::Bytes { .. }, 0))));
        let cases = [
            (ProtocolAsked { send: Some("x"), ..none.clone() }, "--send: needs --expect"),
            (ProtocolAsked { method: Some("GET"), ..none.clone() }, "--method: only with"),
            (ProtocolAsked { model: Some("mio"), ..bytes.clone() }, "--send: a target of brink's own"),
            (ProtocolAsked { http: Some(&place), ..bytes.clone() }, "--send: not with an http://"),
            (ProtocolAsked { payload: Some(5), ..bytes.clone() }, "--payload: not with --send"),
            (ProtocolAsked { asks: true, ..bytes.clone() }, "--delay or --work"),
            (
                ProtocolAsked { http: Some(&place), payload: Some(5), ..none.clone() },
                "--payload: a GET has no body",
            ),
        ];
        for (asked, line) in cases {
            let failure = asked.resolve("--").unwrap_err();
            assert!(failure.line.starts_with(line), "{}", failure.line);
        }
    }
}

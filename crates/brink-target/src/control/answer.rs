//! What the control plane answers to one request. No sockets here.

use std::sync::Arc;

use brink_wire::exposition;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::{Answers, metrics};
use crate::stop::Stop;

type Answer = Response<Full<Bytes>>;

const JSON: &str = "application/json";

/// All that the answers are made of.
pub(super) struct Desk {
    tells: Tells,
    token: Option<String>,
}

/// Whose answers they are.
enum Tells {
    /// A target's: the whole control plane.
    Target { answers: Arc<dyn Answers>, may_block: bool, stop: Stop },
    /// Only `/metrics`, as this makes them.
    Metrics(Box<dyn Fn() -> String + Send + Sync>),
}

impl Desk {
    pub(super) fn new(answers: Arc<dyn Answers>, token: Option<String>, stop: &Stop) -> Self {
        let tells = Tells::Target { may_block: answers.may_block(), answers, stop: stop.clone() };
        Self { tells, token }
    }

    pub(super) fn of_metrics(metrics: Box<dyn Fn() -> String + Send + Sync>, token: Option<String>) -> Self {
        Self { tells: Tells::Metrics(metrics), token }
    }

    /// Whether making an answer may block.
    pub(super) fn may_block(&self) -> bool {
        matches!(self.tells, Tells::Target { may_block: true, .. })
    }

    pub(super) async fn answer<B>(&self, request: &Request<B>) -> Answer {
        if !self.is_authorized(request.headers().get(header::AUTHORIZATION)) {
            let mut answer = error(StatusCode::UNAUTHORIZED, "this control plane needs its token");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return answer;
        }
        match &self.tells {
            Tells::Target { answers, may_block, stop } => of_target(request, answers, *may_block, stop).await,
            Tells::Metrics(metrics) => match request.uri().path() {
                "/metrics" if request.method() == Method::GET => {
                    respond(StatusCode::OK, exposition::CONTENT_TYPE, metrics())
                }
                "/metrics" => not_allowed(&Method::GET),
                _ => error(StatusCode::NOT_FOUND, "there is only /metrics here"),
            },
        }
    }

    fn is_authorized(&self, presented: Option<&HeaderValue>) -> bool {
        let Some(token) = &self.token else { return true };
        let presented = presented.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        presented.is_some_and(|presented| same(presented, token.as_bytes()))
    }
}

async fn of_target<B>(
    request: &Request<B>,
    answers: &Arc<dyn Answers>,
    may_block: bool,
    stop: &Stop,
) -> Answer {
    let (allowed, tell): (_, fn(&dyn Answers) -> Answer) = match request.uri().path() {
        "/v1/info" => (Method::GET, |answers| ok_json(&answers.info())),
        "/v1/usage" => (Method::GET, |answers| ok_json(&answers.usage())),
        "/v1/limits" => (Method::GET, |answers| ok_json(&answers.limits())),
        "/v1/stop" => (Method::POST, |_| ok_json(&json!({ "stopping": true }))),
        "/metrics" => (Method::GET, |answers| {
            respond(StatusCode::OK, exposition::CONTENT_TYPE, metrics::render(&answers.usage()))
        }),
        _ => return error(StatusCode::NOT_FOUND, "there is no such thing here"),
    };
    if request.method() != allowed {
        return not_allowed(&allowed);
    }
    if allowed == Method::POST {
        stop.request();
        return tell(&**answers);
    }
    if !may_block {
        return tell(&**answers);
    }
    let answers = Arc::clone(answers);
    let told = tokio::task::spawn_blocking(move || tell(&*answers)).await;
    told.unwrap_or_else(|problem| error(StatusCode::INTERNAL_SERVER_ERROR, &problem.to_string()))
}

fn not_allowed(allowed: &Method) -> Answer {
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "this takes another method");
    if let Ok(value) = HeaderValue::from_str(allowed.as_str()) {
        answer.headers_mut().insert(header::ALLOW, value);
    }
    answer
}

/// Compares without telling by its time how much was right. The length may be told.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b))) == 0
}

fn ok_json(body: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(bytes) => respond(StatusCode::OK, JSON, bytes),
        Err(problem) => error(StatusCode::INTERNAL_SERVER_ERROR, &problem.to_string()),
    }
}

fn error(status: StatusCode, line: &str) -> Answer {
    respond(status, JSON, json!({ "error": line }).to_string())
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        assert!(same(b"secret", b"secret"));
        for wrong in [&b"secreT"[..], b"secre", b"secrets", b""] {
            assert!(!same(wrong, b"secret"));
        }
    }
}

//! What the control plane answers to one request. No sockets here.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use brink_host::usage::ProcessSampler;
use brink_wire::control::{Info, Machine, Ready, TargetUsage};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use crate::counters::Counters;
use crate::options::Options;
use crate::stop::Stop;

type Answer = Response<Full<Bytes>>;

const JSON: &str = "application/json";
/// Of Prometheus' text exposition format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All that the answers are made of.
#[derive(Debug)]
pub(super) struct Desk {
    options: Options,
    ready: Ready,
    machine: Machine,
    counters: Counters,
    stop: Stop,
    sampler: Mutex<ProcessSampler>,
}

impl Desk {
    pub(super) fn new(options: &Options, ready: &Ready, counters: &Counters, stop: &Stop) -> Self {
        Self {
            options: options.clone(),
            ready: ready.clone(),
            machine: brink_host::machine::read(),
            counters: counters.clone(),
            stop: stop.clone(),
            sampler: Mutex::new(ProcessSampler::own()),
        }
    }

    pub(super) fn answer<B>(&self, request: &Request<B>) -> Answer {
        if !self.is_authorized(request.headers().get(header::AUTHORIZATION)) {
            let mut answer = error(StatusCode::UNAUTHORIZED, "this control plane needs its token");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return answer;
        }
        let (allowed, act): (_, fn(&Self) -> Answer) = match request.uri().path() {
            "/v1/info" => (Method::GET, |desk| ok_json(&desk.info())),
            "/v1/usage" => (Method::GET, |desk| ok_json(&desk.usage())),
            "/v1/limits" => (Method::GET, |desk| ok_json(&brink_host::limits::read(desk.ready.pid))),
            "/v1/stop" => (Method::POST, |desk| {
                desk.stop.request();
                ok_json(&json!({ "stopping": true }))
            }),
            "/metrics" => (Method::GET, |desk| respond(StatusCode::OK, METRICS, metrics(&desk.usage()))),
            _ => return error(StatusCode::NOT_FOUND, "there is no such thing here"),
        };
        if request.method() != allowed {
            let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "this takes another method");
            if let Ok(value) = HeaderValue::from_str(allowed.as_str()) {
                answer.headers_mut().insert(header::ALLOW, value);
            }
            return answer;
        }
        act(self)
    }

    fn is_authorized(&self, presented: Option<&HeaderValue>) -> bool {
        let Some(token) = &self.options.token else { return true };
        let presented = presented.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        presented.is_some_and(|presented| same(presented, token.as_bytes()))
    }

    fn info(&self) -> Info {
        let options = &self.options;
        Info {
            ready: self.ready.clone(),
            processes: 1,
            threads: options.model_threads(),
            delay: options.delay,
            work_us: options.work_us,
            stack_bytes: options.model.has_connection_thread.then_some(options.stack_bytes),
            backlog: options.backlog,
            connections_max: options.connections_max,
            machine: self.machine.clone(),
            limits: brink_host::limits::read(self.ready.pid),
        }
    }

    fn usage(&self) -> TargetUsage {
        let process = self.sampler.lock().unwrap_or_else(PoisonError::into_inner).sample();
        TargetUsage {
            processes: vec![process],
            machine: brink_host::usage::machine(),
            counters: self.counters.read(),
        }
    }
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

/// The counters and the process in Prometheus' text format. A figure that could not be read is left out.
fn metrics(usage: &TargetUsage) -> String {
    let mut out = String::new();
    let counters = &usage.counters;
    let process = usage.processes.first();
    let bytes = |value: Option<u64>| value.map(|value| value as f64);
    for (name, kind, value) in [
        ("brink_target_accepted_total", "counter", Some(counters.accepted as f64)),
        ("brink_target_connections", "gauge", Some(counters.live as f64)),
        ("brink_target_requests_total", "counter", Some(counters.requests as f64)),
        ("brink_target_frame_errors_total", "counter", Some(counters.frame_errors as f64)),
        ("brink_target_user_bytes", "gauge", bytes(process.and_then(|p| p.user_bytes))),
        ("process_resident_memory_bytes", "gauge", bytes(process.and_then(|p| p.resident_bytes))),
        ("process_virtual_memory_bytes", "gauge", bytes(process.and_then(|p| p.virtual_bytes))),
        ("process_open_fds", "gauge", bytes(process.and_then(|p| p.fds))),
        ("process_threads", "gauge", bytes(process.and_then(|p| p.threads))),
        ("process_cpu_seconds_total", "counter", process.and_then(|p| p.cpu_s)),
    ] {
        if let Some(value) = value {
            push(&mut out, format_args!("# TYPE {name} {kind}\n{name} {value}\n"));
        }
    }
    push(&mut out, format_args!("# TYPE brink_target_refusals_total counter\n"));
    for refusal in &counters.refusals {
        // Both labels come from fixed sets of plain words, so nothing is to be escaped.
        push(
            &mut out,
            format_args!(
                "brink_target_refusals_total{{phase=\"{}\",error=\"{}\"}} {}\n",
                refusal.phase, refusal.error, refusal.count
            ),
        );
    }
    out
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String has no way to fail.
    let written = out.write_fmt(line);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use brink_wire::control::{Counters, Refusal};

    #[test]
    fn tokens() {
        assert!(same(b"secret", b"secret"));
        for wrong in [&b"secreT"[..], b"secre", b"secrets", b""] {
            assert!(!same(wrong, b"secret"));
        }
    }

    #[test]
    fn metrics_leave_out_what_is_unknown() {
        let refusals = vec![Refusal { phase: "accept".into(), error: "EMFILE".into(), count: 3 }];
        let counters = Counters { accepted: 7, live: 5, refusals, ..Counters::default() };
        let text = metrics(&TargetUsage { counters, ..TargetUsage::default() });
        assert!(text.contains("\nbrink_target_connections 5\n"), "{text}");
        assert!(text.contains("{phase=\"accept\",error=\"EMFILE\"} 3\n"), "{text}");
        assert!(!text.contains("process_"), "{text}");
    }
}

//! HTTP/1.0 and 1.1 through hyper, a task per connection on tokio's multi-thread runtime:
//! an ordinary HTTP service, for every HTTP client there is.
//!
//! Connections are hyper's affair and are left as it has them by default, its buffers
//! included. What is asked for is read in `request`, and answered in `answer`.

mod answer;
mod request;

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::runtime::serve_on_many_threads;
use crate::asked::Draws;
use crate::context::{Open, Serve};

pub(super) fn serve(serve: Serve<'_>) -> io::Result<()> {
    serve_on_many_threads(serve, |stream, open| drop(tokio::spawn(converse(stream, open))))
}

/// Answers requests until either side has had enough.
async fn converse(stream: TcpStream, open: Open) {
    let open = Arc::new(open);
    let of_service = Arc::clone(&open);
    // Borrowed while a request is read, never across a wait.
    let draws = RefCell::new(Draws::new(open.shard() as u64));
    let service = service_fn(move |request: Request<Incoming>| {
        let wanted = request::wanted(&request, &of_service.context().own, &mut draws.borrow_mut());
        answer::answer(wanted, request.into_body(), Arc::clone(&of_service))
    });
    // Who has said all and closed its half still gets its answers.
    let served = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        note(&open, &error);
    }
}

/// Counts why a connection ended, unless the client has just gone.
fn note(open: &Open, error: &hyper::Error) {
    let context = open.context();
    if error.is_parse() {
        let name = if error.is_parse_too_large() { "head_too_large" } else { "malformed" };
        context.counters.refuse("http", name);
    } else if let Some(error) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        // hyper reads and writes in one, and does not tell which of them failed.
        context.note("read", error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<A, B, F>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    fn size_of_answer<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_task_is_small_beside_hypers_buffers() {
        // hyper keeps the room of an answer in the making too, on the heap.
        let bytes = [size_of_output(converse), size_of_answer(answer::answer)];
        assert!(bytes[0] <= 1024 && bytes[1] <= 400, "{bytes:?}");
    }
}

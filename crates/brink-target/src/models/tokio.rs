//! A task per connection on tokio's multi-thread runtime: the usual async server.

use std::io;

use super::conversation::{Async, converse};
use super::runtime::serve_on_many_threads;
use crate::context::Serve;

pub(super) fn serve(serve: Serve<'_>) -> io::Result<()> {
    serve_on_many_threads(serve, |stream, open| drop(tokio::spawn(converse(Async, stream, open))))
}

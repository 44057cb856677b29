//! A task per connection on one thread, which also accepts: what asyncio and Node.js are.

use std::io;

use super::conversation::{Async, converse};
use super::runtime::{one_thread, serve_on_one_thread};
use crate::context::Serve;

pub(super) fn serve(serve: Serve<'_>) -> io::Result<()> {
    let runtime = one_thread().build()?;
    serve_on_one_thread(serve, runtime, |stream, open| drop(tokio::spawn(converse(Async, stream, open))))
}

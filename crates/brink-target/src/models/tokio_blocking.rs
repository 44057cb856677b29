//! The anti-pattern: tasks on one thread whose wait blocks that thread, as `time.sleep` does
//! inside an `async def`. While one request waits nobody is answered, accepted or closed.

use std::io;

use super::conversation::{Conduct, block, converse};
use super::runtime::{one_thread, serve_on_one_thread};
use crate::asked::Asked;
use crate::context::{Open, Serve};

pub(super) fn serve(serve: Serve<'_>) -> io::Result<()> {
    let runtime = one_thread().build()?;
    serve_on_one_thread(serve, runtime, |stream, open| drop(tokio::spawn(converse(Blocking, stream, open))))
}

/// Waits on the runtime's own thread.
#[derive(Debug, Clone, Copy)]
struct Blocking;

impl Conduct for Blocking {
    async fn wait(&self, asked: Asked, open: &Open) -> Option<u64> {
        block(asked.delay, open.context())
    }
}

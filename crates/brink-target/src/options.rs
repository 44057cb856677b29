//! What a target is asked to be. Checking it is pure.

use std::io;
use std::net::SocketAddr;

use brink_wire::delay::Delay;

use crate::models::Model;

/// Everything [`run`](crate::run) needs, with nothing left open.
#[derive(Debug, Clone)]
pub struct Options {
    /// How connections are served.
    pub model: &'static Model,
    /// Where it echoes; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Where its control plane listens; `None`: it has none.
    pub control: Option<SocketAddr>,
    /// What the control plane's clients must present. Needed where it is not on loopback.
    pub token: Option<String>,
    /// Threads that run the model. `threads` has one that accepts, whatever this says.
    pub threads: u32,
    /// Wait where a request asks for the target's own.
    pub delay: Delay,
    /// CPU work where a request asks for the target's own, in microseconds.
    pub work_us: u32,
    /// Stack of a connection's thread, in bytes, for models that have one.
    pub stack_bytes: u64,
    /// Asked of listen(2).
    pub backlog: u32,
    /// Its own bound on connections.
    pub connections_max: Option<u64>,
}

impl Options {
    /// Says in one line what cannot be served.
    ///
    /// # Errors
    /// `InvalidInput` for options that contradict themselves, `Unsupported` for a model that
    /// this machine lacks.
    pub fn check(&self) -> io::Result<()> {
        let wrong = |line: String| Err(io::Error::new(io::ErrorKind::InvalidInput, line));
        if self.threads == 0 {
            return wrong("a target needs at least one thread".to_owned());
        }
        if self.token.as_deref() == Some("") {
            return wrong("the control plane's token is empty".to_owned());
        }
        if let (Some(control), None) = (self.control, &self.token)
            && !control.ip().is_loopback()
        {
            return wrong(format!(
                "control plane on {control}, which is not loopback: anybody could stop this target; give it a token"
            ));
        }
        (self.model.available)().map_err(|line| io::Error::new(io::ErrorKind::Unsupported, line))
    }

    /// Threads that the model really runs on, apart from those of connections.
    pub(crate) fn model_threads(&self) -> u32 {
        if self.model.has_connection_thread { 1 } else { self.threads }
    }
}

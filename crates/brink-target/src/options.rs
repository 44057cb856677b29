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
    /// Threads that run the model. Means nothing to a model that takes no number of them.
    pub threads: u32,
    /// Wait where a request asks for the target's own.
    pub delay: Delay,
    /// CPU work where a request asks for the target's own, in microseconds.
    pub work_us: u32,
    /// Stack of a thread that blocks, in bytes, for models that have own stacks.
    pub stack_bytes: u64,
    /// Asked of listen(2).
    pub backlog: u32,
    /// Its own bound on connections.
    pub connections_max: Option<u64>,
    /// Whether other processes serve the same port (SO_REUSEPORT). An address in use is then no
    /// error, so whoever starts them must have made sure that the port is theirs.
    pub shares_port: bool,
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
        if self.model.threads.takes_number() { self.threads } else { 1 }
    }

    /// The stack of a thread as the standard library takes it.
    ///
    /// # Errors
    /// `InvalidInput` where this machine's addresses cannot count it.
    pub(crate) fn stack_len(&self) -> io::Result<usize> {
        usize::try_from(self.stack_bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "stack size is over the address space"))
    }
}

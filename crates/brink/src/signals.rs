//! SIGINT and SIGTERM: the first one asks the run to finish with what it has, the
//! second one ends the program as if nobody had listened.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::exit::Code;

/// The signal that came, if one did.
#[derive(Debug, Clone, Default)]
pub struct Caught(Arc<AtomicI32>);

impl Caught {
    /// The signal, by number.
    pub fn signal(&self) -> Option<i32> {
        Some(self.0.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }

    /// The exit code that goes with the signal.
    pub fn code(&self) -> Option<Code> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            SIGTERM => Some(Code::Terminated),
            _ => Some(Code::Interrupted),
        }
    }
}

/// Calls `on_first` when the first signal comes.
///
/// # Errors
/// When the handler cannot be installed, sigaction(2).
pub fn listen(mut on_first: impl FnMut(i32) + Send + 'static) -> io::Result<Caught> {
    let caught = Caught::default();
    let seen = caught.clone();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if seen.0.swap(signal, Ordering::AcqRel) == 0 {
                on_first(signal);
            } else if emulate_default_handler(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(caught)
}

//! SIGINT and SIGTERM: the first one asks the run to finish with what it has, the
//! second one, unless it comes with the first, ends the program as if nobody had listened.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::exit::Code;

/// Signals that come so close together are one.
const AT_ONCE: Duration = Duration::from_millis(500);

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
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            let since = first.get_or_insert_with(Instant::now).elapsed();
            if seen.0.swap(signal, Ordering::AcqRel) == 0 {
                on_first(signal);
            } else if since < AT_ONCE {
                // One wish, told to the process and to its group: timeout(1) does so.
            } else if emulate_default_handler(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(caught)
}

//! The descriptor limit of this process: reading it and raising it.
//! Must not lower anything, nor raise a hard limit.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A soft limit that was raised, in descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// Before.
    pub from: u64,
    /// Now: the hard limit. `u64::MAX` where that is unlimited.
    pub to: u64,
}

/// Raises the soft limit on descriptors to the hard one: getrlimit(2), `RLIMIT_NOFILE`.
/// `None` when there is nothing to raise. Children inherit it.
///
/// # Errors
/// What setrlimit(2) says; a soft limit up to the hard one needs no rights.
pub fn raise_nofile() -> io::Result<Option<Raised>> {
    let limit = getrlimit(Resource::Nofile);
    let Some(from) = limit.current else { return Ok(None) };
    if limit.maximum.is_some_and(|hard| hard <= from) {
        return Ok(None);
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(Some(Raised { from, to: limit.maximum.unwrap_or(u64::MAX) }))
}

/// Soft and hard limit on descriptors of this process. `None`: unlimited.
#[must_use]
pub fn nofile() -> (Option<u64>, Option<u64>) {
    let limit = getrlimit(Resource::Nofile);
    (limit.current, limit.maximum)
}

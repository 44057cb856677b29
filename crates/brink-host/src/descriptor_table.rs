//! Room in this process's table of descriptors, made before it is needed.
//!
//! The table doubles as descriptors are used, and where threads share it each doubling waits for all of them to be out of
//! the old one: a grace period of RCU, some 15 ms during which the thread that opens stands still (fs/file.c,
//! `expand_fdtable`). From 64 to 20,000 descriptors that is nine times, a quarter of the time that opening them takes.
//! Must not change a limit, nor keep anything open.

use std::io;

use rustix::io::fcntl_dupfd_cloexec;

/// Makes room for `more` descriptors beside those in use, as far as the soft limit and `TABLE_MAX` allow, all at once: at
/// no cost where no thread was made yet, else for one grace period. Takes a pointer and two bits of kernel memory for each.
/// Where there is no room to be had (fcntl(2), `F_DUPFD`), the table grows as it is used, and what cannot be opened is told then.
pub fn make_room(more: u64) {
    let (soft, _) = crate::rlimit::nofile();
    let wanted = more.saturating_add(OWN).min(TABLE_MAX).min(soft.unwrap_or(TABLE_MAX));
    let Some(last) = wanted.checked_sub(1).and_then(|last| i32::try_from(last).ok()) else { return };
    // Standard error is open in any program: the standard library opens /dev/null in its place where it is not.
    let _grows_as_it_is_used = fcntl_dupfd_cloexec(io::stderr(), last);
}

/// What a process of brink uses itself, generously.
const OWN: u64 = 64;
/// Beyond that doublings are rare enough: 16 ms of the two seconds that twice as many take. It is half a MiB.
const TABLE_MAX: u64 = 65_536;

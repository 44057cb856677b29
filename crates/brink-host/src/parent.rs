//! Dying with the process that started this one. Must not be used by a process
//! that people start by hand.

use std::io;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Has the kernel kill this process (SIGKILL) when its parent ends, however it ends:
/// prctl(2), `PR_SET_PDEATHSIG`. Then checks that the parent is still `parent_pid`,
/// since a parent that ended before the call sends no signal any more.
///
/// "Parent" is the *thread* that made this process: that thread has to live as long
/// as the child should. Threads of this process made before or after do not matter.
///
/// # Errors
/// `NotFound` when the parent is gone already: the caller should end too.
pub fn die_with_parent(parent_pid: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = getppid().map_or(0, |pid| Pid::as_raw(Some(pid)));
    if u32::try_from(parent) == Ok(parent_pid) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("the parent, process {parent_pid}, has ended already"),
    ))
}

//! Dying with the process that started this one: by its own wish, or by that of its
//! parent. Must not be used by a process that people start by hand.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

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

/// Starts a command that knows nothing of this, and has the kernel kill it (SIGKILL) when this
/// process ends, however it ends: prctl(2), `PR_SET_PDEATHSIG`, set between fork(2) and execve(2).
///
/// As with [`die_with_parent`], it is the calling *thread* that has to live as long as the child
/// should. The kernel clears the setting when the child executes a set-user-ID program or one with
/// capabilities of its own, and the children of the child do not inherit it: when this process is
/// killed by SIGKILL, those are left to notice the end of theirs. Whoever ends in good order should
/// end them, too: [`Descent::kill`](crate::descent::Descent::kill).
///
/// # Errors
/// What `Command::spawn` says; `ESRCH` when this process ended meanwhile, which nobody sees.
pub fn spawn_tied(command: &mut Command) -> io::Result<Child> {
    let parent = rustix::process::getpid();
    let tie = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // One that ended before the call above sends no signal any more.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    };
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe work
    // is allowed (signal-safety(7)). It makes two system calls, prctl and getppid, takes no lock, and
    // does not allocate: what it captures is one integer, and both kinds of error that it can return
    // are an errno inside an io::Error, which is kept in the value itself.
    unsafe { command.pre_exec(tie) };
    command.spawn()
}

//! Whether a process gets to run: its state, and how long its threads stood in line for a CPU.
//! Must not judge how long is too long.

use std::fs;

use crate::proc_tree::ProcTree;

/// Threads whose waits are summed at most; beyond it costs more than it tells.
const THREADS_READ_MAX: usize = 1_000;

/// State of a process, as proc_pid_stat(5) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessState {
    /// Runs or sleeps, as servers do: R, S, D, I.
    Alive,
    /// Stopped by a signal or a debugger: T, t. It does nothing until SIGCONT.
    Stopped,
    /// Ended and not waited for: Z, X.
    Ended,
}

/// State of the process, which is that of its first thread. `None`: there is none, or it may not be seen.
#[must_use]
pub fn state(pid: u32) -> Option<ProcessState> {
    state_in(&ProcTree::of(pid))
}

/// Seconds that the threads that live now have stood in line for a CPU since each began (second figure of
/// /proc/PID/task/TID/schedstat). `None` where the kernel does not count it, and with too many threads.
/// Two of these and the time between them tell how many threads on average stood in line.
#[must_use]
pub fn run_wait_s(pid: u32) -> Option<f64> {
    run_wait_in(&ProcTree::of(pid))
}

fn state_in(tree: &ProcTree) -> Option<ProcessState> {
    let stat = fs::read(tree.process_path("stat")).ok()?;
    // The name before it is in parentheses and may hold any bytes, parentheses too.
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    match stat.get(name_end + 2)? {
        b'T' | b't' => Some(ProcessState::Stopped),
        b'Z' | b'X' | b'x' => Some(ProcessState::Ended),
        b'R' | b'S' | b'D' | b'I' | b'P' | b'K' | b'W' => Some(ProcessState::Alive),
        _ => None,
    }
}

fn run_wait_in(tree: &ProcTree) -> Option<f64> {
    let mut nanoseconds = 0_u64;
    let mut threads = 0;
    for entry in fs::read_dir(tree.process_path("task")).ok()? {
        // A thread may end between the listing and the reading: it is not live then.
        let Ok(text) = fs::read_to_string(entry.ok()?.path().join("schedstat")) else { continue };
        nanoseconds = nanoseconds.saturating_add(text.split_whitespace().nth(1)?.parse().ok()?);
        threads += 1;
        if threads > THREADS_READ_MAX {
            return None;
        }
    }
    (threads > 0).then_some(nanoseconds as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    #[test]
    fn states_are_told_whatever_the_name() {
        for (stat, state) in [
            ("7 (x) T 1 2", Some(ProcessState::Stopped)),
            ("7 (x) t 1 2", Some(ProcessState::Stopped)),
            ("7 (a) T (b) S 1 2", Some(ProcessState::Alive)),
            ("7 (x) R 1 2", Some(ProcessState::Alive)),
            ("7 (x) Z 1 2", Some(ProcessState::Ended)),
            ("7 (x)", None),
            ("7 (x) ? 1", None),
            ("", None),
        ] {
            let (_dir, tree) = fixture(&[("proc/7/stat", stat)]);
            assert_eq!(state_in(&tree), state, "{stat}");
        }
    }

    #[test]
    fn waits_of_all_threads_are_summed() {
        let (_dir, tree) = fixture(&[
            ("proc/7/task/7/schedstat", "5 1500000000 3\n"),
            ("proc/7/task/8/schedstat", "5 500000000 3\n"),
        ]);
        assert_eq!(run_wait_in(&tree), Some(2.0));
        let (_dir, tree) = fixture(&[("proc/7/task/7/schedstat", "5 x 3\n")]);
        assert_eq!(run_wait_in(&tree), None);
        let (_dir, tree) = fixture(&[]);
        assert_eq!((run_wait_in(&tree), state_in(&tree)), (None, None));
    }

    #[test]
    fn this_process_is_alive() {
        assert_eq!(state(std::process::id()), Some(ProcessState::Alive));
    }
}

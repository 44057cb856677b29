//! A mark in the environment of a started command, by which those are found that left its family:
//! a server that goes into the background forks, and its parent ends before anybody looked.
//!
//! What clears its environment (`env -i`) loses the mark. Must not be relied on for a process that still has its parent.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

const NAME: &str = "BRINK_COMMAND_MARK";
/// Looks, of which the last two must find nobody: while a process executes a program its environment is empty.
const LOOKS_MAX: usize = 8;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What no other process has in its environment.
#[derive(Debug)]
pub struct Mark(String);

impl Mark {
    /// A new one.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self(format!("{}-{now}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Gives it to a command and all that it starts.
    pub fn put(&self, command: &mut Command) {
        command.env(NAME, &self.0);
    }

    /// Kills whoever has it; how many those were.
    pub fn kill(&self) -> usize {
        let mut killed = 0;
        let mut quiet = 0;
        for _ in 0..LOOKS_MAX {
            match self.kill_once() {
                0 => quiet += 1,
                found => (killed, quiet) = (killed + found, 0),
            }
            if quiet == 2 {
                break;
            }
            super::pause(LOOK_EVERY);
        }
        killed
    }

    fn kill_once(&self) -> usize {
        let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
        let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter_map(Pid::from_raw).filter(|pid| self.kill_if_marked(*pid)).count()
    }

    /// Held by its descriptor, so that nobody else can get the number between look and signal.
    fn kill_if_marked(&self, pid: Pid) -> bool {
        let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let marked = format!("{NAME}={}", self.0);
        environment.split(|byte| *byte == 0).any(|entry| entry == marked.as_bytes())
            && pidfd_send_signal(held, Signal::KILL).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn only_who_has_the_mark_is_killed() {
        let (ours, other) = (Mark::new(), Mark::new());
        let start = |mark: &Mark| {
            let mut command = Command::new("sleep");
            mark.put(&mut command);
            command.arg("600").spawn().unwrap()
        };
        let (mut marked, mut stranger) = (start(&ours), start(&other));
        assert!(ours.kill() >= 1);
        assert_eq!(marked.wait().unwrap().signal(), Some(9));
        assert!(stranger.try_wait().unwrap().is_none(), "it has another mark");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}

//! A process and everything that descends from it: found through /proc, followed while it
//! lives, ended when asked.
//!
//! A process is known by its pid *and* the time it began, so a pid that is given to another
//! process later is never taken for the one before. Must not sample what processes use.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::proc_tree::ProcTree;

/// All of /proc is looked through again after this time, whatever the kernel says of new pids.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// For killed ones to be gone. One that waits on a disk, say, takes as long as that does.
const GONE_WITHIN: Duration = Duration::from_secs(1);
/// Times that what was born while its parent was being ended is looked for.
const ROUNDS_MAX: usize = 8;

/// One process of a [`Descent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kin {
    /// Its pid.
    pub pid: u32,
    /// When it began, in clock ticks since boot: field 22 of proc_pid_stat(5).
    pub start_ticks: u64,
}

/// A process, its children, theirs, and so on.
///
/// Children are found by their parent's pid in /proc/*/stat. One that was seen once stays known
/// until it ends, also after its parent ended and init took it over. One whose parent ended
/// before it was ever seen cannot be found: it looks like anybody's.
#[derive(Debug)]
pub struct Descent {
    tree: ProcTree,
    members: Vec<Kin>,
    newest_pid: Option<u64>,
    looked: Option<Instant>,
}

impl Descent {
    /// From this process downwards. Empty if it is not there, has ended, or may not be seen
    /// (the `hidepid` option of proc(5)).
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self::in_tree(ProcTree::own(), pid)
    }

    pub(crate) fn in_tree(tree: ProcTree, pid: u32) -> Self {
        let root = Stat::read(&tree, pid).filter(Stat::lives);
        let members = root.map(|stat| Kin { pid, start_ticks: stat.start_ticks });
        Self { tree, members: members.into_iter().collect(), newest_pid: None, looked: None }
    }

    /// Those that live now, parents before their children as they were found.
    ///
    /// Where the newest pid that the kernel gave out (the last word of /proc/loadavg) is still the
    /// one of the last time, nobody was born, and only the known ones are looked at: one small
    /// file each. Otherwise, and once a second in any case, one file of each process of the machine.
    pub fn refresh(&mut self) -> &[Kin] {
        // Before looking, so that who is born meanwhile makes a difference next time.
        let newest = newest_pid(&self.tree);
        let recent = self.looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN);
        if recent && newest.is_some() && newest == self.newest_pid {
            self.forget_ended(&HashMap::new());
        } else {
            self.newest_pid = newest;
            self.look_through();
        }
        &self.members
    }

    fn look_through(&mut self) {
        self.looked = Some(Instant::now());
        let all: HashMap<u32, Stat> = self
            .tree
            .pids()
            .into_iter()
            .filter_map(|pid| Some((pid, Stat::read(&self.tree, pid)?)))
            .collect();
        self.forget_ended(&all);
        let mut children: HashMap<u32, Vec<Kin>> = HashMap::new();
        for (&pid, stat) in all.iter().filter(|(_, stat)| stat.lives()) {
            let kin = Kin { pid, start_ticks: stat.start_ticks };
            children.entry(stat.parent).or_default().push(kin);
        }
        // What is pushed is itself visited later on, so this reaches grandchildren.
        let mut next = 0;
        while let Some(&parent) = self.members.get(next) {
            next += 1;
            let Some(mut born) = children.remove(&parent.pid) else { continue };
            born.retain(|kin| !self.members.contains(kin) && kin.start_ticks >= parent.start_ticks);
            // The parent's pid may have gone to a stranger between reading the one and the other.
            if !born.is_empty() && self.is_alive(parent) {
                born.sort_by_key(|kin| (kin.start_ticks, kin.pid));
                self.members.append(&mut born);
            }
        }
    }

    /// Forgets members that have ended. `seen` spares reading again what was just read.
    fn forget_ended(&mut self, seen: &HashMap<u32, Stat>) {
        let tree = &self.tree;
        self.members.retain(|kin| match seen.get(&kin.pid) {
            Some(stat) => stat.is(*kin),
            None => Stat::read(tree, kin.pid).is_some_and(|stat| stat.is(*kin)),
        });
    }

    fn is_alive(&self, kin: Kin) -> bool {
        Stat::read(&self.tree, kin.pid).is_some_and(|stat| stat.is(kin))
    }

    /// Kills (SIGKILL) all that live, and those born meanwhile, and waits until they have ended, at
    /// most a second. Returns how many were killed. What is not this user's to kill is left alone.
    ///
    /// A pidfd (pidfd_open(2), Linux 5.3) is taken and the begin of the process compared
    /// *afterwards*, so that no stranger with the same pid can be hit; before Linux 5.3 there is
    /// a gap of microseconds between comparing and killing, and nothing to wait on.
    pub fn kill(&mut self) -> usize {
        let mut killed = Vec::new();
        let mut handles = Vec::new();
        for _ in 0..ROUNDS_MAX {
            self.look_through();
            let before = killed.len();
            for &kin in &self.members {
                if !killed.contains(&kin)
                    && let Ok(handle) = self.kill_one(kin)
                {
                    killed.push(kin);
                    handles.extend(handle);
                }
            }
            if killed.len() == before {
                break;
            }
        }
        let until = Instant::now() + GONE_WITHIN;
        handles.iter().all(|handle| ended_by(handle, until));
        killed.len()
    }

    /// Returns what can be waited on for its end, where the kernel has that.
    fn kill_one(&self, kin: Kin) -> io::Result<Option<OwnedFd>> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let pid = i32::try_from(kin.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        if pid.is_init() || kin.pid == std::process::id() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok();
        if !self.is_alive(kin) {
            return Err(gone());
        }
        match &handle {
            Some(handle) => pidfd_send_signal(handle, Signal::KILL)?,
            None => kill_process(pid, Signal::KILL)?,
        }
        Ok(handle)
    }
}

/// Waits until the process of a pidfd has ended: it is readable then. Whether it has by `until`.
fn ended_by(handle: &OwnedFd, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(left) = left.try_into() else { return false };
        match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Whether the figures of a process can be read here: that it is there, has not ended, and is not hidden.
///
/// # Errors
/// `NotFound` or `PermissionDenied`, with one line that names the pid.
pub fn check_readable(pid: u32) -> io::Result<()> {
    check_readable_in(&ProcTree::own(), pid)
}

fn check_readable_in(tree: &ProcTree, pid: u32) -> io::Result<()> {
    let no = |kind, line: String| Err(io::Error::new(kind, line));
    match std::fs::read(tree.with_pid(pid).process_path("stat")) {
        Ok(text) => match Stat::parse(&text) {
            Some(stat) if stat.lives() => Ok(()),
            Some(_) => no(io::ErrorKind::NotFound, format!("process {pid} has ended")),
            None => no(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat makes no sense")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound && tree.path("self").exists() => {
            no(io::ErrorKind::NotFound, format!("there is no process {pid} to be seen on this machine"))
        }
        Err(error) => no(error.kind(), format!("process {pid} cannot be looked at: {error}")),
    }
}

/// The pid that the kernel gave out last, to a process or a thread: the fifth word of
/// /proc/loadavg (fs/proc/loadavg.c). `None` where it does not say.
fn newest_pid(tree: &ProcTree) -> Option<u64> {
    let loadavg = tree.read("loadavg")?;
    loadavg.split_whitespace().nth(4)?.parse().ok().filter(|&pid| pid > 0)
}

/// The parent of a process. `None`: there is no such process, or it may not be seen.
pub(crate) fn parent(tree: &ProcTree, pid: u32) -> Option<u32> {
    Stat::read(tree, pid).map(|stat| stat.parent)
}

/// What is needed of /proc/PID/stat, proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    state: u8,
    parent: u32,
    threads: u64,
    start_ticks: u64,
}

impl Stat {
    fn read(tree: &ProcTree, pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read(tree.with_pid(pid).process_path("stat")).ok()?)
    }

    /// The name, in parentheses, may hold spaces and parentheses itself: fields are counted from
    /// the last one. State is field 3, the parent field 4, threads field 20, the begin field 22.
    fn parse(text: &[u8]) -> Option<Self> {
        let name_end = text.iter().rposition(|&byte| byte == b')')?;
        let mut fields = std::str::from_utf8(&text[name_end + 1..]).ok()?.split_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let threads = fields.nth(15)?.parse().ok()?;
        Some(Self { state, parent, threads, start_ticks: fields.nth(1)?.parse().ok()? })
    }

    /// Neither a zombie nor dead. The state is that of the first thread, which can end before the others.
    fn lives(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }

    fn is(&self, kin: Kin) -> bool {
        self.lives() && self.start_ticks == kin.start_ticks
    }
}

#[cfg(test)]
#[path = "descent_tests.rs"]
mod tests;

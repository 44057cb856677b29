//! A target that brink starts for one case, its own or anybody's, in a process group of its
//! own, that ends when this process does, however it does.
//!
//! Must not know how a target is asked about itself.

mod arguments;
mod mark;
pub mod output;
pub mod program;
pub mod ready;
pub mod words;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use brink_host::descent::Descent;
use brink_host::parent;
use brink_results::case::TargetCase;
use brink_wire::control::Ready;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use self::mark::Mark;
use self::output::Output;

const STOP_WITHIN: Duration = Duration::from_secs(5);
/// For workers that outlive their master, once they were told to end as well.
const ORPHANS_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Servers that may find their port taken by somebody else in the moment before they bind it.
const START_TRIES: usize = 4;
/// Ports that are looked at until one is found whose neighbour is free as well.
const PORT_TRIES: usize = 64;

/// A running target.
pub struct TargetProcess {
    /// Where it serves.
    pub address: SocketAddr,
    /// What it said when it was ready, if it said anything.
    pub ready: Option<Ready>,
    family: Family,
}

/// How a target ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// It stopped when told to.
    Stopped,
    /// It was gone before it was told to stop.
    Died(String),
    /// It did not stop in time and was killed.
    Killed,
}

/// Starts brink's own target of a case on a free port of 127.0.0.1 and waits until it listens.
///
/// # Errors
/// One line that says why it did not come up, with the target's own words.
pub fn start(case: &TargetCase) -> Result<TargetProcess, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find this program again: {error}"))?;
    let mut command = Command::new(program);
    command
        .args(arguments::arguments(case))
        // It ties itself to this process, and its workers to itself.
        .args(["--parent", &std::process::id().to_string()]);
    let family = Family::start(&mut command, None, Command::spawn)
        .map_err(|error| format!("cannot start the target: {error}"))?;
    await_ready(family, None)
}

/// Starts anybody's server with a command whose `{port}` is a free port of 127.0.0.1, and waits until
/// it says that it is ready or accepts a connection there.
///
/// The free port is found by binding and closing it, so another process can take it before the
/// server does: when the server ends at once and the port is taken, it is tried with another one. The
/// port after it is free as well, since servers put a second listener there, brink's among them.
///
/// # Errors
/// One line that says why it did not come up, with the server's own words.
pub fn start_command(command: &str, fixed_port: Option<u16>) -> Result<TargetProcess, String> {
    let words = words::split(command)?;
    let Some((program, _)) = words.split_first() else {
        return Err(format!("command `{command}`: there is no program in it"));
    };
    let fixed = fixed_port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    if let Some(at) = fixed.filter(|at| is_taken(*at)) {
        return Err(format!("command `{program}`: {at} is in use already: another server would be measured"));
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let at = match fixed {
            Some(at) => Some(at),
            None => words::wants_port(&words).then(free_port).transpose()?,
        };
        let filled = at.map_or_else(|| words.clone(), |at| words::with_port(&words, at.port()));
        let mut command = Command::new(&filled[0]);
        command.args(&filled[1..]);
        // It knows nothing of this process, so the kernel is asked to end them together. Its children
        // are ended by `Family`, unless this process is killed by SIGKILL: see `spawn_tied`.
        let mark = Mark::new();
        mark.put(&mut command);
        let family =
            Family::start(&mut command, Some(mark), parent::spawn_tied).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::NotFound => format!("command: there is no program `{program}` here"),
                    _ => format!("command: cannot start `{program}`: {error}"),
                }
            })?;
        match (await_ready(family, at), at) {
            (Ok(target), _) => return Ok(target),
            (Err(_), Some(at)) if tries < START_TRIES && fixed.is_none() && !is_free_pair(at) => {}
            (Err(why), None) if why.contains("ready line") => {
                return Err(format!(
                    "command `{program}`: {why}; one that says none needs {{port}}, for a port to look at"
                ));
            }
            (Err(why), _) => return Err(format!("command `{program}`: {why}")),
        }
    }
}

fn free_port() -> Result<SocketAddr, String> {
    for _ in 0..PORT_TRIES {
        let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| format!("no free port on 127.0.0.1: {error}"))?;
        if is_free_pair(at) {
            return Ok(at);
        }
    }
    Err(format!("no two free ports in a row on 127.0.0.1, after {PORT_TRIES} looks"))
}

/// Whether nobody has a port, nor the one after it.
fn is_free_pair(at: SocketAddr) -> bool {
    let next = at.port().checked_add(1).map(|port| SocketAddr::new(at.ip(), port));
    !is_taken(at) && next.is_some_and(|next| !is_taken(next))
}

fn is_taken(at: SocketAddr) -> bool {
    TcpListener::bind(at).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn await_ready(mut family: Family, port: Option<SocketAddr>) -> Result<TargetProcess, String> {
    let said = match Output::of(&mut family.child) {
        Ok(output) => {
            let output = family.output.insert(output);
            let (pid, first_line) = (family.pid, &output.first_line);
            ready::wait(first_line, port, || has_ended(pid))
        }
        Err(why) => Err(why),
    };
    let said = said.and_then(|ready| {
        let address = ready.as_ref().map(|ready| ready.address).or(port);
        address.map(|address| (address, ready)).ok_or_else(|| "it does not say where it serves".to_owned())
    });
    match said {
        Ok((address, ready)) => {
            // Workers that it started by now stay known, should it die before them.
            family.descent.refresh();
            Ok(TargetProcess { address, ready, family })
        }
        Err(why) => {
            let status = family.clear();
            let words = family.output.as_ref().map(Output::last_words_of_the_dead).unwrap_or_default();
            let status = status.filter(|_| why.contains("ended"));
            let status = status.map_or(String::new(), |status| format!(" ({status})"));
            let words = if words.is_empty() { words } else { format!(": {words}") };
            let left = match family.left_behind {
                0 => "",
                _ => {
                    "; what it left in the background was killed: a server to be measured stays in the foreground"
                }
            };
            Err(format!("the target did not get ready: {why}{status}{words}{left}"))
        }
    }
}

impl TargetProcess {
    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.family.child.id()
    }

    /// How it ended, if it has. Then nothing of it is left.
    pub fn died(&mut self) -> Option<String> {
        let status = self.family.died()?;
        let words = self.family.output.as_ref().map(Output::last_words_of_the_dead).unwrap_or_default();
        Some(if words.is_empty() { status } else { format!("{status}: {words}") })
    }

    /// Asks it to stop, waits, and kills what does not: it, its process group, and what descends from
    /// it. `ask` tells it in its own way and says whether that worked; else SIGTERM does.
    pub fn stop(mut self, ask: impl FnOnce() -> bool) -> Ending {
        if let Some(how) = self.died() {
            return Ending::Died(how);
        }
        // As long as it lives its family can be told from strangers.
        self.family.descent.refresh();
        if !ask() {
            let _gone_already = kill_process(self.family.pid, Signal::TERM);
        }
        let until = Instant::now() + STOP_WITHIN;
        let stopped = wait_until(until, || has_ended(self.family.pid));
        if stopped && !self.family.descent.refresh().is_empty() {
            // Workers whose master did not wait for them. Its number is still theirs: it was not waited for.
            let _gone_already = kill_process_group(self.family.pid, Signal::TERM);
            let until = until.min(Instant::now() + ORPHANS_WITHIN);
            wait_until(until, || self.family.descent.refresh().is_empty());
        }
        self.family.clear();
        if stopped { Ending::Stopped } else { Ending::Killed }
    }
}

/// A started process with all that descends from it. Nothing of it outlives this value.
struct Family {
    child: Child,
    pid: Pid,
    descent: Descent,
    /// Of a stranger: one of brink's own has no such children.
    mark: Option<Mark>,
    /// Processes that had left the family, and were found and killed by its mark.
    left_behind: usize,
    output: Option<Output>,
    status: Option<ExitStatus>,
}

impl Family {
    fn start(
        command: &mut Command,
        mark: Option<Mark>,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> io::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A token is for targets that run already; nobody would present it to this one.
            .env_remove("BRINK_TOKEN")
            // Ctrl-C on the terminal is for the client, which then stops the target in good order.
            .process_group(0);
        let child = spawn(command)?;
        let (pid, descent) = (Pid::from_child(&child), Descent::of(child.id()));
        Ok(Self { child, pid, descent, mark, left_behind: 0, output: None, status: None })
    }

    /// How the first process ended, if it has. What it left behind is killed then.
    fn died(&mut self) -> Option<String> {
        if self.status.is_none() && !has_ended(self.pid) {
            return None;
        }
        let status = self.clear();
        Some(status.map_or_else(|| "its exit status was lost".to_owned(), |status| status.to_string()))
    }

    /// Kills what is left, and waits for the first process. Not before its group was killed: until then
    /// nobody else can get its number.
    fn clear(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // First: children that left the group are only known by their parent while that lives.
            self.descent.kill();
            let _gone_already = kill_process_group(self.pid, Signal::KILL);
            let _gone_already = self.child.kill();
            self.status = self.child.wait().ok();
            self.left_behind = self.mark.as_ref().map_or(0, Mark::kill);
        }
        self.status
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whether a child has ended. It stays there to be waited for.
fn has_ended(pid: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // An error: it is no child any more, which this process has not seen to.
    waitid(WaitId::Pid(pid), look).map_or(true, |status| status.is_some())
}

fn wait_until(end: Instant, mut done: impl FnMut() -> bool) -> bool {
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        pause(LOOK_EVERY);
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for a process; nothing is measured meanwhile")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
#[path = "target_process/tests.rs"]
mod tests;

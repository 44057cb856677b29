//! Gets hold of a case's target: starts it, or finds the one that runs already and
//! asks it what it is. The case is completed with what the target says of itself.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use brink_client::control::{ControlClient, ControlError};
use brink_host::{connections, descent};
use brink_results::case::{Case, Origin};
use brink_results::schema::EndFacts;
use brink_wire::control::{Info, LimitReading, Ready};

use crate::ends::Watched;
use crate::plan;
use crate::target_process::{self, Ending, TargetProcess};

/// How long a control plane that must be there may take to answer, on a machine that is busy.
pub const CONTROL_WITHIN: Duration = Duration::from_secs(5);
/// How long one that may not be there is waited for.
const GUESS_WITHIN: Duration = Duration::from_secs(2);

/// A target to be loaded.
pub struct Reached {
    /// Where it answers.
    pub address: SocketAddr,
    /// Its control plane; a foreign target has none.
    pub control: Option<ControlClient>,
    /// What it says of itself.
    pub info: Option<Info>,
    /// Its process on this machine, where it has no control plane: sampled from /proc, with its descendants.
    pub sampled: Option<u32>,
    /// Its machine and limits, as it says or as /proc does.
    pub facts: Option<EndFacts>,
    /// What a reader of the result must know about how it was found.
    pub remark: Option<String>,
    process: Option<TargetProcess>,
}

/// Who may be loaded, and with what secret.
#[derive(Debug, Clone, Default)]
pub struct Permission {
    /// `--token`, or BRINK_TOKEN.
    pub token: Option<String>,
    /// Whether it was given on the command line: then a control plane must be there.
    pub token_was_typed: bool,
    /// `--external`
    pub external: bool,
}

/// Starts or finds the target of `case`, and writes what it says of itself into the case.
///
/// # Errors
/// One line.
pub fn reach(case: &mut Case, permission: &Permission) -> Result<Reached, String> {
    let reached = match case.target.origin.clone() {
        Origin::Started => of_process(case, target_process::start(&case.target)?),
        Origin::Command { command, port } => of_process(case, target_process::start_command(&command, port)?),
        Origin::Address { address, control, pid } => {
            let reached = running(case, &address, control.as_deref(), permission)?;
            match pid {
                Some(pid) => with_pid(reached, pid),
                None => Ok(reached),
            }
        }
    }?;
    let says_it = reached.process.as_ref().is_some_and(|process| process.ready.is_some());
    if reached.info.is_none() && reached.sampled.is_some() && !says_it {
        case.target.processes = serving(reached.address).unwrap_or(case.target.processes);
    }
    Ok(reached)
}

/// A target that brink started: it has said what it is, or it is a stranger with a known process.
fn of_process(case: &mut Case, process: TargetProcess) -> Result<Reached, String> {
    let mut reached = Reached {
        address: process.address,
        control: None,
        info: None,
        sampled: None,
        facts: None,
        remark: None,
        process: None,
    };
    if let Some(ready) = &process.ready {
        introduce(case, ready);
    }
    match process.ready.as_ref().and_then(|ready| ready.control) {
        Some(control) => {
            let mut control =
                ControlClient::connect(control, None, CONTROL_WITHIN).map_err(|error| error.to_string())?;
            let info = control.info().map_err(|error| error.to_string())?;
            if case.target.origin != Origin::Started {
                complete(case, &info);
            }
            reached.facts = Some(facts_of(&info));
            (reached.control, reached.info) = (Some(control), Some(info));
        }
        None if case.target.origin == Origin::Started => {
            return Err("the target that was started has no control plane".to_owned());
        }
        None => {
            reached.sampled = Some(process.pid());
            reached.facts = Some(facts_by_pid(process.pid()));
        }
    }
    reached.process = Some(process);
    Ok(reached)
}

/// Fills in what a command that brink started says of itself in its ready line.
fn introduce(case: &mut Case, ready: &Ready) {
    let target = &mut case.target;
    let Origin::Command { command, .. } = &target.origin else { return };
    if target.label == plan::command_label(command) {
        target.label.clone_from(&ready.model);
    }
    target.model.clone_from(&ready.model);
    target.processes = u32::try_from(ready.workers.len()).unwrap_or(u32::MAX).max(1);
}

/// A process of this machine that serves at an address: sampled unless the target tells about itself.
fn with_pid(mut reached: Reached, pid: u32) -> Result<Reached, String> {
    if reached.control.is_some() {
        return Ok(reached);
    }
    descent::check_readable(pid).map_err(|error| format!("pid = {pid}: {error}"))?;
    reached.sampled = Some(pid);
    reached.facts = Some(facts_by_pid(pid));
    Ok(reached)
}

/// Processes of a stranger that serve: those that hold the listening socket, but for one that started the others, which
/// only watches over them.
fn serving(address: SocketAddr) -> Option<u32> {
    let listener = connections::listener_pids(address).ok().filter(|listener| listener.is_complete)?;
    let others = listener.pids.iter().filter(|pid| Some(**pid) != listener.top).count();
    u32::try_from(others.max(1)).ok()
}

fn facts_of(info: &Info) -> EndFacts {
    EndFacts {
        machine: info.machine.clone(),
        limits: info.limits.clone(),
        work_error_ratio: info.work_error_ratio,
    }
}

/// Of a process of this machine, by what /proc says of it.
fn facts_by_pid(pid: u32) -> EndFacts {
    let mut machine = brink_host::machine::read();
    if let Ok(cpus) = brink_host::cpus::allowed_of(pid) {
        machine.cpus_allowed = cpus;
    }
    machine.cpu_quota = brink_host::machine::cpu_quota_of(pid);
    EndFacts { machine, limits: brink_host::limits::read(pid), work_error_ratio: None }
}

fn running(
    case: &mut Case,
    address: &str,
    control: Option<&str>,
    permission: &Permission,
) -> Result<Reached, String> {
    let at = resolve("--target", address)?;
    let asked = match control {
        Some(control) => Some(resolve("--control", control)?),
        None => at.port().checked_add(1).map(|port| SocketAddr::new(at.ip(), port)),
    };
    let token = permission.token.as_deref();
    let named = control.is_some();
    let within = if named { CONTROL_WITHIN } else { GUESS_WITHIN };
    let answer = asked.map(|asked| {
        ControlClient::connect(asked, token, within)
            .and_then(|mut control| control.info().map(|info| (control, info)))
    });
    let mut remark = None;
    let found = match answer {
        // A control plane at the next port may be that of another target.
        Some(Ok((_, info))) if !named && info.ready.address.port() != at.port() => {
            remark = Some(format!(
                "the control plane at the next port belongs to another target ({}), so this one is taken for a foreign one; name its own with --control",
                info.ready.address
            ));
            None
        }
        Some(Ok((control, info))) => {
            if info.ready.address.port() != at.port() {
                remark = Some(format!(
                    "the control plane named says that its target is at {}, not at {at}: right only if addresses are translated on the way",
                    info.ready.address
                ));
            }
            Some((control, info))
        }
        Some(Err(error @ ControlError::Unauthorized(_))) => return Err(error.to_string()),
        // Who names it, or has a token for it, relies on it.
        Some(Err(error)) if named => return Err(error.to_string()),
        Some(Err(error)) if permission.token_was_typed => return Err(format!("--token: {error}")),
        Some(Err(_)) | None => None,
    };
    if found.is_none() && !plan::is_loopback(address) && !permission.external {
        return Err(format!(
            "{address} is not on this machine and no brink control plane answers at {}: if this server is yours to load, say so with --external",
            asked.map_or("its next port".to_owned(), |asked| asked.to_string())
        ));
    }
    let (control, info) = found.unzip();
    if let Some(info) = &info {
        complete(case, info);
    }
    let mut facts = info.as_ref().map(facts_of);
    let mut sampled = None;
    if control.is_none()
        && at.ip().is_loopback()
        && let Some(pid) = connections::listener_pids(at).ok().and_then(|listener| listener.top)
        && descent::check_readable(pid).is_ok()
    {
        // A stranger on this machine is known by the port that it listens at.
        (sampled, facts) = (Some(pid), Some(facts_by_pid(pid)));
    }
    Ok(Reached { address: at, control, info, sampled, facts, remark, process: None })
}

/// An address as typed, IPv4 before IPv6.
///
/// # Errors
/// One line that names the flag.
pub fn resolve(flag: &str, address: &str) -> Result<SocketAddr, String> {
    let all: Vec<_> = address
        .to_socket_addrs()
        .map_err(|error| {
            format!(
                "{flag} {address}: not an address with a port ({error}); write 127.0.0.1:7000 or host:7000"
            )
        })?
        .collect();
    let v4_first = all.iter().find(|address| address.is_ipv4()).or(all.first());
    v4_first.copied().ok_or_else(|| format!("{flag} {address}: no address is known by that name"))
}

/// Fills in what only the target itself could say.
pub fn complete(case: &mut Case, info: &Info) {
    let target = &mut case.target;
    let unnamed = matches!(&target.origin, Origin::Address { address, .. } if *address == target.label);
    if unnamed {
        target.label.clone_from(&info.ready.model);
    }
    target.model.clone_from(&info.ready.model);
    target.processes = info.processes;
    target.threads = info.threads;
    target.delay = info.delay;
    target.work_us = info.work_us;
    target.stack_bytes = info.stack_bytes;
    target.backlog = info.backlog;
    target.connections_max = info.connections_max;
    target.cpus =
        Some(info.machine.cpus_allowed.clone()).filter(|cpus| cpus.len() < info.machine.cpus as usize);
}

impl Reached {
    /// How a target that brink started ended on its own, if it did.
    pub fn died(&mut self) -> Option<String> {
        self.process.as_mut().and_then(TargetProcess::died)
    }

    /// Its first process, where that is on this machine and known. `same_machine`: whether the target says that it is
    /// under the same kernel.
    pub fn pid_here(&self, same_machine: bool) -> Option<u32> {
        let known = self.process.as_ref().map(TargetProcess::pid).or(self.sampled);
        if known.is_some() || !same_machine {
            return known;
        }
        // What it calls itself may be a number of another pid namespace: what listens there tells.
        let told = self.info.as_ref().map(|info| info.ready.pid);
        let listener = connections::listener_pids(self.address).ok()?;
        told.filter(|pid| listener.pids.contains(pid)).or(listener.top)
    }

    /// Connections that it has already, and threads of all its processes; one that never says has none. `None`: it says,
    /// but did not answer.
    pub fn busy(&mut self) -> Option<(u64, Option<u64>)> {
        let Some(control) = &mut self.control else { return Some((0, None)) };
        let usage = control.usage().ok()?;
        Some((usage.counters.live, usage.processes.iter().map(|process| process.threads).sum()))
    }

    /// Its limits with what is in use of them now, as far as it says or /proc does.
    pub fn limits(&mut self) -> Option<Vec<LimitReading>> {
        match &mut self.control {
            Some(control) => control.limits().ok(),
            None => self.sampled.map(brink_host::limits::read),
        }
    }

    /// How it is looked at while it is loaded. Takes the control plane along.
    pub fn watch(&mut self) -> Watched {
        Watched::new(self.control.take(), self.sampled)
    }

    /// Stops a target that brink started; leaves one that ran before alone.
    pub fn end(self, control: Option<&mut ControlClient>) -> Option<Ending> {
        let process = self.process?;
        // A target that no longer answers is told by a signal, and killed when its time is up.
        Some(process.stop(|| control.is_some_and(|control| control.stop().is_ok())))
    }
}

//! Gets hold of a case's target: starts it, or finds the one that runs already and
//! asks it what it is. The case is completed with what the target says of itself.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use brink_client::control::{ControlClient, ControlError};
use brink_results::case::{Case, Origin};
use brink_wire::control::Info;

use crate::plan;
use crate::target_process::{self, Ending, TargetProcess};

/// How long a control plane that must be there may take to answer, on a machine that is busy.
const CONTROL_WITHIN: Duration = Duration::from_secs(5);
/// How long one that may not be there is waited for.
const GUESS_WITHIN: Duration = Duration::from_secs(2);

/// A target to be loaded.
pub struct Reached {
    /// Where it echoes.
    pub address: SocketAddr,
    /// Its control plane; a foreign target has none.
    pub control: Option<ControlClient>,
    /// What it says of itself.
    pub info: Option<Info>,
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
    match case.target.origin.clone() {
        Origin::Started => started(case),
        Origin::Address { address, control } => running(case, &address, control.as_deref(), permission),
    }
}

fn started(case: &Case) -> Result<Reached, String> {
    let process = target_process::start(&case.target)?;
    let ready = &process.ready;
    let control = ready.control.ok_or("the target that was started has no control plane")?;
    let mut control =
        ControlClient::connect(control, None, CONTROL_WITHIN).map_err(|error| error.to_string())?;
    let info = control.info().map_err(|error| error.to_string())?;
    Ok(Reached {
        address: ready.address,
        control: Some(control),
        info: Some(info),
        remark: None,
        process: Some(process),
    })
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
    Ok(Reached { address: at, control, info, remark, process: None })
}

fn resolve(flag: &str, address: &str) -> Result<SocketAddr, String> {
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
fn complete(case: &mut Case, info: &Info) {
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

    /// Stops a target that brink started; leaves one that ran before alone.
    pub fn end(self, control: Option<&mut ControlClient>) -> Option<Ending> {
        let process = self.process?;
        Some(process.stop(|| {
            if let Some(control) = control {
                // A target that no longer answers is killed when its time is up.
                let _no_answer = control.stop();
            }
        }))
    }
}

//! Whether workers of the client can stay awake as asked. Pure.

use brink_results::case::LoadCase;

use super::Machine;
use crate::exit::Failure;

/// Only some engines can do without sleeping, and each worker takes a CPU.
///
/// # Errors
/// A usage failure that names the flag.
pub(super) fn check(flag: &str, load: &LoadCase, machine: &Machine) -> Result<(), Failure> {
    if load.busy_poll_ns.is_none_or(|ns| ns == 0) {
        return Ok(());
    }
    if brink_client::find(&load.engine).is_some_and(|engine| !engine.can_busy_poll) {
        let all = brink_client::ENGINES.iter().filter(|engine| engine.can_busy_poll);
        let names = all.map(|engine| format!("`{}`", engine.name)).collect::<Vec<_>>().join(", ");
        return Err(Failure::usage(format!(
            "{flag}: the engine `{}` has to sleep while it waits; with {names} it is allowed",
            load.engine
        )));
    }
    let workers = load.threads_in_all();
    let cpus = load.cpus.as_ref().map_or(machine.cpus_allowed.len(), Vec::len) as u64;
    if workers > cpus {
        return Err(Failure::usage(format!(
            "{flag}: the client has {workers} workers (threads, in all processes) and {cpus} CPUs: each that stays awake needs \
             one of its own, so at most {cpus} are allowed"
        )));
    }
    Ok(())
}

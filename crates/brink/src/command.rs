//! The subcommands, one file each.

pub mod advise;
pub mod bare;
pub mod ceiling;
pub mod claims;
pub mod compare;
pub mod completions;
pub mod csv;
pub mod limits;
pub mod load;
pub mod man;
pub mod plan;
pub mod report;
pub mod run_case;
pub mod run_part;
pub mod schema;
pub mod sweep;
pub mod target;

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use brink_results::case::{Case, LoadCase, Origin, Protocol, TargetCase, Workload};
use brink_results::claims::Spec;
use brink_results::claims::program::ProgramResult;
use brink_results::schema::{CaseResult, PLAN_SCHEMA, Plan, Verdict};
use brink_results::store;
use brink_results::store::{RunData, RunDirError};
use brink_wire::value::{format_count, format_duration};

use crate::cli::{ClientArgs, Cpus, FollowArgs, ResultFormat, WhereArgs};
use crate::exit::{Code, Failure};
use crate::metrics;
use crate::plan::Machine;
use crate::preflight;
use crate::reach::Permission;
use crate::stderr;
use crate::sweep_file::{self, SweepFile};

/// Prints on stdout. A reader that has gone away (`| head`) is not a failure.
///
/// # Errors
/// A failure when stdout cannot be written to for another reason.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to stdout: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints an answer in words: on stdout, unless `--ndjson -` has that.
///
/// # Errors
/// Those of [`print`].
pub fn print_words(follow: &FollowArgs, text: &str) -> Result<(), Failure> {
    if follow.ndjson.as_deref().is_some_and(|path| path.as_os_str() == "-") {
        stderr::say(text.trim_end());
        return Ok(());
    }
    print(text)
}

/// Reads a sweep file.
///
/// # Errors
/// A usage failure with file, line and key.
pub fn read_sweep_file(path: &Path) -> Result<SweepFile, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{}: cannot be read: {error}", path.display())))?;
    sweep_file::parse(&text).map_err(|error| Failure::usage(error.at(path)))
}

/// What plans need to know of this machine.
///
/// # Errors
/// A failure when the kernel does not say which CPUs may be used.
pub fn machine() -> Result<Machine, Failure> {
    let cpus_allowed = brink_host::cpus::allowed()
        .map_err(|error| Failure::failed(format!("cannot tell which CPUs may be used: {error}")))?;
    let reserved = brink_host::ports::reserved().len() as u64;
    let ports = brink_host::ports::ephemeral_range()
        .map(|(low, high)| (u64::from(high) - u64::from(low) + 1).saturating_sub(reserved));
    let limits = preflight::untracked(&brink_host::limits::read(std::process::id()));
    Ok(Machine { cpus_allowed, ports, limits })
}

/// Checks that CPUs asked for exist here.
///
/// # Errors
/// A usage failure that names the flag.
pub fn check_cpus(flag: &str, cpus: Option<&[usize]>, allowed: &[usize]) -> Result<(), Failure> {
    let Some(missing) = cpus.into_iter().flatten().find(|cpu| !allowed.contains(cpu)) else {
        return Ok(());
    };
    let allowed = brink_wire::value::format_cpus(allowed);
    Err(Failure::usage(format!(
        "{flag}: CPU {missing} is not allowed to this process: allowed are {allowed}"
    )))
}

/// Checks the CPUs that both ends are to be pinned to.
///
/// # Errors
/// A usage failure that names the flag.
pub fn check_pinning(at: &WhereArgs, client: &ClientArgs, machine: &Machine) -> Result<(), Failure> {
    let list = |cpus: &Option<Cpus>| cpus.as_ref().map(|cpus| cpus.0.clone());
    check_cpus("--cpus", list(&client.cpus).as_deref(), &machine.cpus_allowed)?;
    check_cpus("--target-cpus", list(&at.target_cpus).as_deref(), &machine.cpus_allowed)
}

/// Who may be loaded, and with what secret.
///
/// # Errors
/// A usage failure for a secret that nobody asks for.
pub fn permission(at: &WhereArgs, case: &Case, follow: &FollowArgs) -> Result<Permission, Failure> {
    let token_was_typed = at.token.is_some() && std::env::var_os("BRINK_TOKEN").is_none();
    let is_for_metrics = follow.metrics.is_some_and(|address| !metrics::is_open(address));
    let has_address = matches!(case.target.origin, Origin::Address { .. });
    if token_was_typed && !has_address && !is_for_metrics {
        return Err(Failure::usage(
            "--token: only with a server that runs already: name it with --target or a URL",
        ));
    }
    // A secret of the metrics is none of a target that is started here.
    let token_was_typed = token_was_typed && has_address;
    Ok(Permission { token: at.token.clone(), token_was_typed, external: at.external })
}

/// Raises the soft limit of descriptors to the hard one, and says so.
pub fn raise_nofile() {
    match brink_host::rlimit::raise_nofile() {
        Ok(Some(raised)) => {
            stderr::say(&format!(
                "brink: raised rlimit.nofile (open files) from {} to the hard limit {}",
                raised.from, raised.to
            ));
        }
        Ok(None) => {}
        Err(error) => stderr::say(&format!("brink: rlimit.nofile (open files) stays as it is: {error}")),
    }
}

/// The command as it was given, without its secret.
pub fn line() -> Vec<String> {
    let mut hide_next = false;
    let hide = |word: String| {
        let hidden = std::mem::replace(&mut hide_next, word == "--token");
        match word.strip_prefix("--token=") {
            Some(_) => "--token=...".to_owned(),
            None if hidden => "...".to_owned(),
            None => word,
        }
    };
    let mut words: Vec<_> = std::env::args().map(hide).collect();
    if let Some(program) = words.first_mut() {
        *program = "brink".to_owned();
    }
    words
}

/// This moment, RFC 3339, UTC.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Makes the folder this run's own, before anything is measured that could not be written later.
///
/// # Errors
/// Why the folder cannot be used.
pub fn claim(out: &Path, case: &Case) -> Result<(), RunDirError> {
    store::create_run_dir(out)?;
    let plan = Plan {
        schema: PLAN_SCHEMA.to_owned(),
        name: case.name.clone(),
        seed: 0,
        brink_version: env!("CARGO_PKG_VERSION").to_owned(),
        command: line(),
        created: now(),
        resumed: Vec::new(),
        cases: vec![case.clone()],
    };
    store::write_plan(out, &plan).map(drop)
}

/// Whether a signal cut a case short. One that came after all was measured did not.
pub fn is_interrupted(result: &CaseResult, signal: Option<Code>) -> bool {
    signal.is_some() && result.validity.verdict == Verdict::Failed
}

/// Prints a result as JSON, as a table, or in words.
///
/// # Errors
/// Those of [`print`].
pub fn print_result(
    format: ResultFormat,
    follow: &FollowArgs,
    result: &CaseResult,
    failure: Option<&Failure>,
    words: fn(&CaseResult) -> String,
) -> Result<(), Failure> {
    match format {
        ResultFormat::Json => {
            let json = serde_json::to_string(result).map_err(|error| Failure::failed(error.to_string()))?;
            print(&format!("{json}\n"))
        }
        ResultFormat::Csv => print(&csv::table(std::slice::from_ref(result))?),
        // Where nothing was opened the one line on stderr says it all.
        ResultFormat::Text if failure.is_some_and(|failure| !failure.line.is_empty()) => Ok(()),
        ResultFormat::Text => print_words(follow, &words(result)),
    }
}

/// Draws the report of a folder.
///
/// # Errors
/// A failure when it cannot be read or written.
pub fn write_report(out: &Path) -> Result<(), Failure> {
    let failed = |error: String| Failure::failed(format!("--out: {error}"));
    let run = store::read_run(out).map_err(|error| failed(error.to_string()))?;
    store::write_report(out, &brink_results::report::render(&run))
        .map_err(|error| failed(error.to_string()))?;
    stderr::say(&format!("brink: written to {}", out.display()));
    Ok(())
}

/// Which target a case has.
pub fn target_in_words(target: &TargetCase) -> String {
    match &target.origin {
        Origin::Started if target.processes > 1 => {
            format!("a `{}` target of its own in {} processes", target.model, target.processes)
        }
        Origin::Started => format!("a `{}` target of its own", target.model),
        Origin::Address { address, .. } => address.clone(),
        Origin::Command { command, .. } => format!("`{command}`"),
    }
}

/// What is done with the connections of a case, and for how long.
pub fn in_words(load: &LoadCase) -> String {
    let time = |ns| format_duration(Duration::from_nanos(ns));
    let what = match load.workload {
        Workload::Open { rate_per_s, .. } => format!("open at {rate_per_s} requests/s in all"),
        other => other.name().to_owned(),
    };
    let long = match load.requests {
        Some(requests) => {
            format!("{} requests in all, {} at most", format_count(requests), time(load.duration_ns))
        }
        None => format!("for {} after {} of warm-up", time(load.duration_ns), time(load.warmup_ns)),
    };
    let what = if load.climb.is_some() { "climb, then ".to_owned() + &what } else { what };
    let beside = load.background.as_ref().map_or(String::new(), |own| {
        format!(", beside {}", brink_results::answer::background::in_short(own))
    });
    let bytes = match &load.protocol {
        Protocol::Frame => format!("payload {} B", load.payload_bytes),
        Protocol::Http { method, path, .. } => format!("{method} {path}"),
        Protocol::Bytes { send, .. } => format!("`{send}`"),
    };
    format!("{what}, {long}, {bytes}{beside}")
}

/// What is claimed and what programs said, of the folder that a flag names.
///
/// # Errors
/// A usage failure for a folder that is none of claims.
pub fn claims_in(folder: &Path, flag: &str) -> Result<(Spec, Vec<ProgramResult>), Failure> {
    let claims = store::read_claims(folder).map_err(|error| Failure::usage(format!("{flag}: {error}")))?;
    let none = || format!("{flag}: {}: is not the folder of `brink claims`", folder.display());
    claims.ok_or_else(|| Failure::usage(none()))
}

/// Whether results were measured elsewhere: on another kernel, processor, or set of CPUs. Of what does not say, nobody knows.
pub fn is_of_another_machine(run: &RunData) -> bool {
    let is = brink_host::machine::read();
    let facts =
        |m: &brink_wire::control::Machine| (m.kernel.clone(), m.cpu_model.clone(), m.cpus_allowed.clone());
    let first = run.results.iter().find_map(|result| result.facts.target.as_ref());
    first.is_some_and(|end| facts(&end.machine) != facts(&is))
}

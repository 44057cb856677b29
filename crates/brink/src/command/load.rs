//! `brink load`: one case, from flags.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use brink_client::Stop;
use brink_results::case::{Case, Origin};
use brink_results::schema::{CaseResult, PLAN_SCHEMA, Plan, Verdict};
use brink_results::store::RunDirError;
use brink_results::{answer, report, store};
use brink_wire::value::format_count;

use crate::cli::{Format, LoadArgs};
use crate::command;
use crate::ends::lock;
use crate::exit::{Code, Failure};
use crate::progress::Progress;
use crate::reach::Permission;
use crate::run::{self, NotRun, Settings};
use crate::stderr;
use crate::{plan, signals};

/// Loads one target and prints the result.
///
/// # Errors
/// By the contract of exit codes: 1 failed, 2 usage, 4 refused, 5 invalid, 130 and 143 stopped.
pub fn run(args: &LoadArgs) -> Result<(), Failure> {
    let machine = command::machine()?;
    command::check_cpus("--cpus", args.cpus.as_ref().map(|cpus| cpus.0.as_slice()), &machine.cpus_allowed)?;
    let target_cpus = args.target_cpus.as_ref().map(|cpus| cpus.0.as_slice());
    command::check_cpus("--target-cpus", target_cpus, &machine.cpus_allowed)?;
    let case = plan::load(args, &machine)?;
    let token_was_typed = args.token.is_some() && std::env::var_os("BRINK_TOKEN").is_none();
    if token_was_typed && !matches!(case.target.origin, Origin::Address { .. }) {
        return Err(Failure::usage(
            "--token: only with a server that runs already: name it with --target or a URL",
        ));
    }
    if let Some(out) = &args.out {
        claim(out, &case).map_err(|error| Failure::usage(format!("--out: {error}")))?;
    }
    command::raise_nofile();
    let stop = Stop::new();
    let on_signal = stop.clone();
    let caught = signals::listen(move |_| on_signal.request())
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    stderr::say(&format!("brink: {}", totals(&case)));
    let progress = Arc::new(Mutex::new(Progress::new(1)));
    lock(&progress).begin(&case.name);
    let settings = Settings {
        preflight: !args.no_preflight,
        permission: Permission { token: args.token.clone(), token_was_typed, external: args.external },
        stop,
    };
    let showing = Arc::clone(&progress);
    let ran = run::run(case, &settings, move |snapshot| lock(&showing).update(snapshot));
    lock(&progress).finish();
    let (result, failure) = match ran {
        Ok(result) => {
            let failure = verdict(&result, caught.code());
            (result, failure)
        }
        Err(not_run) => {
            let code = if matches!(not_run, NotRun::Refused(..)) { Code::Refused } else { Code::Failed };
            let line = not_run.line().to_owned();
            (not_run.into_result(), Some(Failure { code, line }))
        }
    };
    if let Some(out) = &args.out {
        write(out, &result)?;
    }
    print(args.format, &result, failure.as_ref())?;
    failure.map_or(Ok(()), Err)
}

fn print(format: Format, result: &CaseResult, failure: Option<&Failure>) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let json = serde_json::to_string(result).map_err(|error| Failure::failed(error.to_string()))?;
            command::print(&format!("{json}\n"))
        }
        // Where nothing was opened the one line on stderr says it all.
        Format::Text if failure.is_some_and(|failure| !failure.line.is_empty()) => Ok(()),
        Format::Text => command::print(&answer::answer_one(result)),
    }
}

/// Makes the folder this run's own, before anything is measured that could not be written later.
fn claim(out: &Path, case: &Case) -> Result<(), RunDirError> {
    store::create_run_dir(out)?;
    let plan = Plan {
        schema: PLAN_SCHEMA.to_owned(),
        name: case.name.clone(),
        seed: 0,
        brink_version: env!("CARGO_PKG_VERSION").to_owned(),
        command: command::line(),
        created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        cases: vec![case.clone()],
    };
    store::write_plan(out, &plan).map(drop)
}

fn write(out: &Path, result: &CaseResult) -> Result<(), Failure> {
    let failed = |error: String| Failure::failed(format!("--out: {error}"));
    store::write_result(out, 1, result).map_err(|error| failed(error.to_string()))?;
    let run = store::read_run(out).map_err(|error| failed(error.to_string()))?;
    store::write_report(out, &report::render(&run)).map_err(|error| failed(error.to_string()))?;
    stderr::say(&format!("brink: written to {}", out.display()));
    Ok(())
}

/// The code that a result ends with.
pub fn verdict(result: &CaseResult, signal: Option<Code>) -> Option<Failure> {
    let code = match (signal, result.validity.verdict) {
        (Some(signal), _) => signal,
        (None, Verdict::Valid) => return None,
        (None, Verdict::Failed | Verdict::LimitBound) => Code::Failed,
        (None, Verdict::ClientBound | Verdict::Unsteady) => Code::Invalid,
    };
    Some(Failure::said(code))
}

/// What is about to be done, in totals.
fn totals(case: &Case) -> String {
    let load = &case.load;
    let to = match &case.target.origin {
        Origin::Started => format!("a `{}` target of its own", case.target.model),
        Origin::Address { address, .. } => address.clone(),
        Origin::Command { command, .. } => format!("`{command}`"),
    };
    let threads = if load.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", load.threads) };
    format!(
        "{} connections in all to {to}, {}, engine {} with {threads}",
        format_count(load.connections),
        command::in_words(load),
        load.engine,
    )
}

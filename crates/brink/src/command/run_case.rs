//! `brink run-case`: one case of a sweep in a process of its own, so that the
//! client's memory, too, is measured from a fresh start, and a case that brings the
//! process down takes no other with it.
//!
//! The case comes on stdin, snapshots go to stdout as JSON lines, the result into the folder.

use std::io::{Read, Write};
use std::path::Path;

use brink_client::Stop;
use brink_results::case::Case;
use brink_results::schema::CaseResult;
use brink_results::store;

use crate::ceiling::{self, Climbing};
use crate::cli::RunCaseArgs;
use crate::command;
use crate::exit::Failure;
use crate::reach::Permission;
use crate::run::{self, News, Settings};
use crate::signals;

/// Runs the case on stdin and writes its result, whatever became of it.
///
/// # Errors
/// A failure when there is no case, or the result cannot be written.
pub fn run(args: &RunCaseArgs) -> Result<(), Failure> {
    brink_host::parent::die_with_parent(args.parent).map_err(|error| {
        Failure::failed(format!("cannot follow the parent process {}: {error}", args.parent))
    })?;
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::failed(format!("no case on stdin: {error}")))?;
    let case: Case = serde_json::from_str(&text)
        .map_err(|error| Failure::failed(format!("stdin is not a case: {error}")))?;
    let stop = Stop::new();
    let on_signal = stop.clone();
    let caught = signals::listen(move |_| on_signal.request())
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    let mut settings = Settings {
        preflight: !args.no_preflight,
        permission: Permission { token: std::env::var("BRINK_TOKEN").ok(), ..Permission::default() },
        stop,
    };
    let ran = match &args.climb {
        None => run::run(case, &settings, report),
        Some(json) => {
            let climbing: Climbing = serde_json::from_str(json)
                .map_err(|error| Failure::failed(format!("--climb: not what it must be: {error}")))?;
            settings.permission.external = climbing.external;
            settings.permission.token_was_typed = climbing.token_was_typed;
            ceiling::run(case, &climbing, &settings, report)
        }
    };
    let mut result = ran.unwrap_or_else(run::NotRun::into_result);
    result.interrupted = command::is_interrupted(&result, caught.code());
    match &args.out {
        Some(out) => write(out, args.number, &result)?,
        None => hand_over(&result)?,
    }
    caught.code().map_or(Ok(()), |code| Err(Failure::said(code)))
}

/// The result for the process that asked.
fn hand_over(result: &CaseResult) -> Result<(), Failure> {
    let json = serde_json::to_string(result).map_err(|error| Failure::failed(error.to_string()))?;
    command::print(&format!("{json}\n"))
}

/// A line for the process that draws. If that one is gone, this one is about to end too.
fn report(news: News<'_>) {
    let json = match news {
        News::Preamble(preamble) => serde_json::to_vec(preamble),
        News::Snapshot(snapshot) => serde_json::to_vec(snapshot),
    };
    if let Ok(mut line) = json {
        line.push(b'\n');
        let _nobody_reads = std::io::stdout().lock().write_all(&line);
    }
}

fn write(out: &Path, number: usize, result: &CaseResult) -> Result<(), Failure> {
    store::write_result(out, number, result).map(drop).map_err(|error| Failure::failed(error.to_string()))
}

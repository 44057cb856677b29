//! `brink load`: one case, from flags.

use std::path::Path;
use std::sync::{Arc, Mutex};

use brink_client::Stop;
use brink_results::case::Case;
use brink_results::schema::{CaseResult, Verdict};
use brink_results::{answer, store};
use brink_wire::value::format_count;

use crate::cli::LoadArgs;
use crate::command;
use crate::ends::lock;
use crate::exit::{Code, Failure};
use crate::progress::Progress;
use crate::run::{self, News, NotRun, Settings};
use crate::stderr;
use crate::{plan, signals};

/// Loads one target and prints the result.
///
/// # Errors
/// By the contract of exit codes: 1 failed, 2 usage, 4 refused, 5 invalid, 130 and 143 stopped.
pub fn run(args: &LoadArgs) -> Result<(), Failure> {
    let machine = command::machine()?;
    command::check_pinning(&args.at, &args.client, &machine)?;
    let case = plan::load(args, &machine)?;
    let permission = command::permission(&args.at, &case)?;
    if let Some(out) = &args.out {
        command::claim(out, &case).map_err(|error| Failure::usage(format!("--out: {error}")))?;
    }
    command::raise_nofile();
    let stop = Stop::new();
    let on_signal = stop.clone();
    let caught = signals::listen(move |_| on_signal.request())
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    stderr::say(&format!("brink: {}", totals(&case)));
    let progress = Arc::new(Mutex::new(Progress::new(1)));
    lock(&progress).begin(&case.name);
    let settings = Settings { preflight: !args.no_preflight, permission, stop };
    let showing = Arc::clone(&progress);
    let ran = run::run(case, &settings, move |news| {
        if let News::Snapshot(snapshot) = news {
            lock(&showing).update(snapshot);
        }
    });
    lock(&progress).finish();
    let (mut result, failure) = match ran {
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
    result.interrupted = command::is_interrupted(&result, caught.code());
    if let Some(out) = &args.out {
        write(out, &result)?;
    }
    command::print_result(args.format, &result, failure.as_ref(), answer::answer_one)?;
    failure.map_or(Ok(()), Err)
}

fn write(out: &Path, result: &CaseResult) -> Result<(), Failure> {
    let failed = |error: String| Failure::failed(format!("--out: {error}"));
    store::write_result(out, 1, result).map_err(|error| failed(error.to_string()))?;
    command::write_report(out)
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
    let to = command::target_in_words(&case.target);
    let threads = if load.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", load.threads) };
    format!(
        "{} connections in all to {to}, {}, engine {} with {threads}",
        format_count(load.connections),
        command::in_words(load),
        load.engine,
    )
}

//! `brink load`: one case, from flags.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use brink_client::Stop;
use brink_results::case::Case;
use brink_results::gate::{self, Gate, Judgement, Subject};
use brink_results::schema::{CaseResult, Slo, Verdict};
use brink_results::{answer, store};
use brink_wire::value::format_count;

use crate::audience::Audience;
use crate::cli::{LoadArgs, ResultFormat};
use crate::command;
use crate::ends::lock;
use crate::exit::{Code, Failure};
use crate::gate_file;
use crate::hdr_file::HdrFile;
use crate::progress::Left;
use crate::run::{self, News, NotRun, Settings};
use crate::stderr;
use crate::{plan, signals};

/// Loads one target and prints the result.
///
/// # Errors
/// By the contract of exit codes: 1 failed, 2 usage, 3 an `--slo` was breached, 4 refused, 5 invalid, 130 and 143
/// stopped.
pub fn run(args: &LoadArgs) -> Result<(), Failure> {
    let slo: Vec<Gate> = args.slo.iter().map(|rule| Gate { case: None, rule: rule.clone() }).collect();
    gate_file::check_without_baseline("--slo", &slo)?;
    let machine = command::machine()?;
    command::check_pinning(&args.at, &args.client, &machine)?;
    let case = plan::load(args, &machine)?;
    let permission = command::permission(&args.at, &case, &args.follow)?;
    if let Some(out) = &args.out {
        command::claim(out, &case).map_err(|error| Failure::usage(format!("--out: {error}")))?;
    }
    let mut hdr_log =
        args.hdr_log.as_deref().map(|path| HdrFile::create(path, SystemTime::now())).transpose()?;
    let left = Left::of(std::slice::from_ref(&case), |_| false);
    let mut audience = Audience::new(&args.follow, args.format, args.at.token.as_deref(), 1, left)?;
    command::raise_nofile();
    let stop = Stop::new();
    let on_signal = stop.clone();
    let caught = signals::listen(move |_| on_signal.request())
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    stderr::say(&format!("brink: {}", totals(&case)));
    audience.begin(&case);
    let audience = Arc::new(Mutex::new(audience));
    let settings = Settings { preflight: !args.no_preflight, permission, stop };
    let told = Arc::clone(&audience);
    let ran = run::run(case, &settings, move |news| {
        if let News::Snapshot(snapshot) = news {
            lock(&told).update(snapshot);
        }
    });
    let mut judgements = Vec::new();
    let (mut result, failure) = match ran {
        Ok(mut result) => {
            judgements = judge(&slo, &mut result);
            let breached = || command::compare::breach(&judgements).map(Failure::said);
            let signal = caught.code();
            let failure = signal.map(Failure::said).or_else(breached).or_else(|| verdict(&result, None));
            (result, failure)
        }
        Err(not_run) => {
            let why = if matches!(not_run, NotRun::Refused(..)) { Code::Refused } else { Code::Failed };
            let code = caught.code().unwrap_or(why);
            let line = not_run.line().to_owned();
            (not_run.into_result(), Some(Failure { code, line }))
        }
    };
    result.interrupted = command::is_interrupted(&result, caught.code());
    {
        let mut audience = lock(&audience);
        audience.end(&result);
        audience.finish();
    }
    if let Some(out) = &args.out {
        write(out, &result)?;
    }
    if let Some(Err(why)) = hdr_log.as_mut().map(|log| log.add(&result)) {
        stderr::say(&format!("brink: {why}"));
    }
    command::print_result(args.format, &args.follow, &result, failure.as_ref(), answer::answer_one)?;
    say(args, &judgements)?;
    failure.map_or(Ok(()), Err)
}

/// Holds a run against what was asked of it. That the run may not be valid has a code of its own.
fn judge(slo: &[Gate], result: &mut CaseResult) -> Vec<Judgement> {
    let baseline = Err("there is no baseline".to_owned());
    let subject = Subject { name: result.case.name.clone(), runs: vec![&*result], baseline };
    let judgements = gate::judge(slo, &[subject], true);
    let outcome = |j: &Judgement| Slo { rule: j.rule.clone(), value: j.value, kept: j.is_kept };
    result.slo = judgements.iter().map(outcome).collect();
    judgements
}

/// Where stdout is one JSON object and nothing else, on stderr.
fn say(args: &LoadArgs, judgements: &[Judgement]) -> Result<(), Failure> {
    for judgement in judgements {
        let line = format!("slo {}: {}", judgement.rule, judgement.words());
        match args.format {
            ResultFormat::Text => command::print_words(&args.follow, &format!("{line}\n"))?,
            ResultFormat::Json | ResultFormat::Csv => stderr::say(&format!("brink: {line}")),
        }
    }
    Ok(())
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
    let each = match load.processes {
        1 => String::new(),
        processes => format!(" in each of {processes} processes"),
    };
    format!(
        "{} connections in all to {to}, {}, engine {} with {threads}{each}",
        format_count(load.connections),
        command::in_words(load),
        load.engine,
    )
}

//! `brink sweep`: every case of a sweep file, one after the other, then the answer and the report.

use std::path::Path;
use std::time::SystemTime;

use brink_results::case::Case;
use brink_results::comparison::{self, Side};
use brink_results::gate::{self, Gate};
use brink_results::schema::{CaseResult, Verdict};
use brink_results::store::RunData;
use brink_results::{answer, report, store};
use brink_wire::control::Machine;
use brink_wire::value::format_count;

use crate::audience::Audience;
use crate::batch::{self, Batch};
use crate::case_process::CaseRunner;
use crate::cli::{ResultFormat, SweepArgs};
use crate::command;
use crate::exit::{Code, Failure};
use crate::gate_file;
use crate::hdr_file::{self, HdrFile};
use crate::progress::Left;
use crate::run_folder::{RunFolder, Stopped};
use crate::stderr;

/// Runs a sweep file.
///
/// # Errors
/// By the contract of exit codes; the sweep goes on after a case that failed.
pub fn run(args: &SweepArgs) -> Result<(), Failure> {
    let gates = args.gate.as_deref().map(gate_file::read).transpose()?.unwrap_or_default();
    gate_file::check_without_baseline("--gate", &gates)?;
    let begun = match &args.resume {
        Some(folder) => go_on(folder)?,
        None => begin(args)?,
    };
    let hdr_log = args.hdr_log.as_deref().map(|path| begun.hdr_log(path)).transpose()?;
    command::raise_nofile();
    let preflight = !args.no_preflight;
    let refused = if preflight { batch::forecast(&begun.left) } else { Vec::new() };
    let cases = begun.left.iter().map(|(_, case)| case);
    let left = Left::of(cases, |case| refused.iter().any(|(name, _)| *name == case.name));
    let token = args.token.as_deref();
    let audience = Audience::new(&args.follow, args.format, token, begun.left.len(), left)?;
    for (name, why) in &refused {
        audience.say(&format!("brink: {name} will not run: {why}"));
    }
    let runner = CaseRunner::new()?;
    let out = begun.folder.path();
    let mut batch = Batch { out, preflight, runner: &runner, audience, hdr_log };
    for (number, case) in &begun.left {
        batch.run_case(*number, case)?;
        if runner.caught().code().is_some() {
            break;
        }
    }
    batch.audience.finish();
    let run = store::read_run(out).map_err(|error| Failure::failed(error.to_string()))?;
    store::write_report(out, &report::render(&run)).map_err(|error| Failure::failed(error.to_string()))?;
    print(args, &run)?;
    stderr::say(&format!("brink: results and report.html are in {}", out.display()));
    if runner.caught().code().is_some() {
        stderr::say(&format!("brink: to go on where it was stopped: brink sweep --resume {}", out.display()));
    }
    let breach = judge(args, &gates, &run)?;
    verdict(&run, runner.caught().code(), breach)
}

/// A sweep that is about to run.
struct Begun {
    folder: RunFolder,
    /// Those that are to be run now, with their numbers.
    left: Vec<(usize, Case)>,
    /// What was measured before it was stopped.
    done: Vec<CaseResult>,
}

impl Begun {
    /// The log of all of the sweep: what is gone on with begins with what there is.
    fn hdr_log(&self, path: &Path) -> Result<HdrFile, Failure> {
        match self.done.as_slice() {
            [] => HdrFile::create(path, SystemTime::now()),
            done => hdr_file::write(path, done),
        }
    }
}

fn begin(args: &SweepArgs) -> Result<Begun, Failure> {
    let Some(path) = &args.file else {
        return Err(Failure::usage("a sweep file is needed, or --resume DIR"));
    };
    let file = command::read_sweep_file(path)?;
    let plan = command::plan::make(&file, command::line(), command::now())
        .map_err(|failure| Failure { line: format!("{}: {failure}", path.display()), ..failure })?;
    let folder = RunFolder::claim(args.out.as_deref(), &plan)?;
    let left = (1..).zip(plan.cases.iter().cloned()).collect();
    Ok(Begun { folder, left, done: Vec::new() })
}

/// Takes up a sweep that was stopped, and says what differs from when it began.
fn go_on(folder: &Path) -> Result<Begun, Failure> {
    if folder.join(store::CLAIMS_FILE).exists() {
        let folder = folder.display();
        return Err(Failure::usage(format!(
            "--resume: {folder} is a run of `brink claims`: go on with brink claims --resume {folder}"
        )));
    }
    let stopped = Stopped::open(folder)?;
    let left = stopped.left();
    stderr::say(&format!(
        "brink: {} of {} cases have their result already",
        format_count((stopped.plan.cases.len() - left.len()) as u64),
        format_count(stopped.plan.cases.len() as u64)
    ));
    for line in differences(&stopped) {
        stderr::say(&format!("brink: {line}: compare those results with care"));
    }
    let Stopped { folder, mut plan, done } = stopped;
    if !left.is_empty() {
        plan.resumed.push(command::now());
        store::rewrite_plan(folder.path(), &plan).map_err(|error| Failure::failed(error.to_string()))?;
    }
    Ok(Begun { folder, left, done })
}

/// What is not as it was when the sweep began.
fn differences(stopped: &Stopped) -> Vec<String> {
    let mut lines = Vec::new();
    let version = env!("CARGO_PKG_VERSION");
    if stopped.plan.brink_version != version {
        lines.push(format!("it was begun by brink {}, this is {version}", stopped.plan.brink_version));
    }
    if let Some(result) = stopped.done.first() {
        let (was, is) = (&result.facts.client.machine, brink_host::machine::read());
        let facts = |m: &Machine| (m.kernel.clone(), m.cpu_model.clone(), m.cpus, m.cpus_allowed.clone());
        if facts(was) != facts(&is) {
            lines.push(
                "the kernel, the processor or the CPUs it may use are not those it was begun on".to_owned(),
            );
        }
    }
    lines
}

fn print(args: &SweepArgs, run: &RunData) -> Result<(), Failure> {
    match args.format {
        ResultFormat::Text => command::print_words(&args.follow, &answer::answer(run)),
        ResultFormat::Csv => command::print(&command::csv::table(&run.results)?),
        ResultFormat::Json => {
            let whole = serde_json::json!({ "plan": run.plan, "results": run.results });
            command::print(&format!("{whole}\n"))
        }
    }
}

/// Holds every case against the gates. Where stdout is one JSON object and nothing else, what becomes of them is said on
/// stderr.
fn judge(args: &SweepArgs, gates: &[Gate], run: &RunData) -> Result<Option<Code>, Failure> {
    if gates.is_empty() {
        return Ok(None);
    }
    let side = Side::new("", run.results.clone(), run.plan.as_ref(), Vec::new());
    let judgements = gate::judge(gates, &side.subjects(), false);
    let text = comparison::text(None, &judgements);
    match args.format {
        ResultFormat::Text => command::print_words(&args.follow, &format!("\n{text}"))?,
        ResultFormat::Json | ResultFormat::Csv => {
            text.lines().for_each(|line| stderr::say(&format!("brink: {line}")))
        }
    }
    Ok(command::compare::breach(&judgements))
}

/// One code for many cases: the gravest, after a signal and a breached gate.
fn verdict(run: &RunData, signal: Option<Code>, breach: Option<Code>) -> Result<(), Failure> {
    if let Some(code) = signal.or(breach) {
        return Err(Failure::said(code));
    }
    let of = |result: &CaseResult| match result.validity.verdict {
        // A ceiling that was found is no failure, whatever it was.
        _ if result.ceiling.is_some() => None,
        Verdict::Valid => None,
        Verdict::Failed | Verdict::LimitBound if result.refused => Some(Code::Refused),
        Verdict::Failed | Verdict::LimitBound => Some(Code::Failed),
        Verdict::ClientBound | Verdict::Unsteady => Some(Code::Invalid),
    };
    let codes: Vec<_> = run.results.iter().filter_map(of).collect();
    let gravest = [Code::Failed, Code::Refused, Code::Invalid].into_iter().find(|code| codes.contains(code));
    gravest.map_or(Ok(()), |code| Err(Failure::said(code)))
}

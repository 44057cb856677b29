//! `brink sweep`: every case of a sweep file, one after the other, then the answer and the report.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use brink_results::case::Case;
use brink_results::schema::{CaseResult, Plan, Verdict};
use brink_results::store::RunData;
use brink_results::{answer, report, store};

use crate::case_process::{Asked, CaseRunner, Ran};
use crate::cli::{ResultFormat, SweepArgs};
use crate::command;
use crate::exit::{Code, Failure};
use crate::preflight::{self, Surroundings};
use crate::progress::Progress;
use crate::stderr;

/// Runs a sweep file.
///
/// # Errors
/// By the contract of exit codes; the sweep goes on after a case that failed.
pub fn run(args: &SweepArgs) -> Result<(), Failure> {
    let file = command::read_sweep_file(&args.file)?;
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let plan = command::plan::make(&file, command::line(), now)
        .map_err(|failure| Failure { line: format!("{}: {failure}", args.file.display()), ..failure })?;
    let out = match &args.out {
        Some(out) => {
            store::create_run_dir(out).map_err(|error| Failure::usage(format!("--out: {error}")))?;
            out.clone()
        }
        None => fresh_folder(&plan)?,
    };
    store::write_plan(&out, &plan).map_err(|error| Failure::usage(error.to_string()))?;
    command::raise_nofile();
    let runner = CaseRunner::new()?;
    let sweep = Sweep { out: &out, preflight: !args.no_preflight, runner: &runner };
    sweep.run_cases(&plan)?;
    let run = store::read_run(&out).map_err(|error| Failure::failed(error.to_string()))?;
    store::write_report(&out, &report::render(&run)).map_err(|error| Failure::failed(error.to_string()))?;
    print(args.format, &run)?;
    stderr::say(&format!("brink: results and report.html are in {}", out.display()));
    verdict(&run, runner.caught().code())
}

/// A sweep on its way.
struct Sweep<'a> {
    out: &'a Path,
    preflight: bool,
    runner: &'a CaseRunner,
}

impl Sweep<'_> {
    fn run_cases(&self, plan: &Plan) -> Result<(), Failure> {
        let mut progress = Progress::new(plan.cases.len());
        if self.preflight {
            for line in forecast(plan) {
                progress.say(&format!("brink: {line}"));
            }
        }
        for (number, case) in (1..).zip(&plan.cases) {
            progress.begin(&case.name);
            self.run_case(number, case, &mut progress)?;
            progress.end();
            if self.runner.caught().code().is_some() {
                break;
            }
        }
        progress.finish();
        Ok(())
    }

    /// Runs one case in a process of its own. Whatever becomes of it, there is a result afterwards.
    fn run_case(&self, number: usize, case: &Case, progress: &mut Progress) -> Result<(), Failure> {
        let asked =
            Asked { out: Some((self.out, number)), preflight: self.preflight, climbing: None, token: None };
        let Ran { result, died } = self.runner.run(case, asked, |snapshot| progress.update(snapshot))?;
        if let Some(why) = died {
            progress.say(&format!("brink: {}: {why}", case.name));
        } else if result.validity.verdict != Verdict::Valid {
            let why = result.validity.reasons.first().map_or("", String::as_str);
            let verdict = answer::table::verdict_name(result.validity.verdict);
            progress.say(&format!("brink: {}: {verdict}: {why}", case.name));
        }
        Ok(())
    }
}

/// Before anything runs: which cases a limit will refuse, and what lifts it.
fn forecast(plan: &Plan) -> Vec<String> {
    let limits = brink_host::limits::read(std::process::id());
    let cpus = brink_host::cpus::allowed().map_or(1, |cpus| cpus.len() as u32);
    let mut lines = Vec::new();
    for case in &plan.cases {
        if let Some(why) = preflight::check(case, &Surroundings::before(case, &limits, cpus)).short {
            lines.push(format!("{} will not run: {why}", case.name));
        }
    }
    lines
}

/// `results/<date>-<name>`, with a number behind it where that is taken. Made at once, so that
/// two sweeps that begin together do not share one.
fn fresh_folder(plan: &Plan) -> Result<PathBuf, Failure> {
    let date = plan.created.split('T').next().unwrap_or_default();
    let cannot = |path: &Path, error: &std::io::Error| {
        Failure::usage(format!("{}: cannot be made: {error}; name another folder with --out", path.display()))
    };
    let parent = Path::new("results");
    std::fs::create_dir_all(parent).map_err(|error| cannot(parent, &error))?;
    for number in 1..=9999 {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let folder = parent.join(format!("{date}-{}{suffix}", plan.name));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot(&folder, &error)),
        }
    }
    Err(Failure::usage(format!(
        "results/{date}-{} is taken 9,999 times: name a folder with --out",
        plan.name
    )))
}

fn print(format: ResultFormat, run: &RunData) -> Result<(), Failure> {
    match format {
        ResultFormat::Text => command::print(&answer::answer(run)),
        ResultFormat::Csv => command::print(&command::csv::table(&run.results)?),
        ResultFormat::Json => {
            let whole = serde_json::json!({ "plan": run.plan, "results": run.results });
            command::print(&format!("{whole}\n"))
        }
    }
}

/// One code for many cases: the gravest.
fn verdict(run: &RunData, signal: Option<Code>) -> Result<(), Failure> {
    if let Some(signal) = signal {
        return Err(Failure::said(signal));
    }
    let of = |result: &CaseResult| match result.validity.verdict {
        Verdict::Valid => None,
        Verdict::Failed | Verdict::LimitBound if result.refused => Some(Code::Refused),
        Verdict::Failed | Verdict::LimitBound => Some(Code::Failed),
        Verdict::ClientBound | Verdict::Unsteady => Some(Code::Invalid),
    };
    let codes: Vec<_> = run.results.iter().filter_map(of).collect();
    let gravest = [Code::Failed, Code::Refused, Code::Invalid].into_iter().find(|code| codes.contains(code));
    gravest.map_or(Ok(()), |code| Err(Failure::said(code)))
}

//! `brink sweep`: every case of a sweep file, one after the other, then the answer and the report.

use std::path::Path;

use brink_results::case::Case;
use brink_results::schema::{CaseResult, Verdict};
use brink_results::store::RunData;
use brink_results::{answer, report, store};
use brink_wire::control::Machine;
use brink_wire::value::format_count;

use crate::case_process::{Asked, CaseRunner, Ran};
use crate::cli::{Format, SweepArgs};
use crate::command;
use crate::exit::{Code, Failure};
use crate::preflight::{self, Surroundings};
use crate::progress::Progress;
use crate::run_folder::{RunFolder, Stopped};
use crate::stderr;

/// Runs a sweep file.
///
/// # Errors
/// By the contract of exit codes; the sweep goes on after a case that failed.
pub fn run(args: &SweepArgs) -> Result<(), Failure> {
    let begun = match &args.resume {
        Some(folder) => go_on(folder)?,
        None => begin(args)?,
    };
    command::raise_nofile();
    let runner = CaseRunner::new()?;
    let out = begun.folder.path();
    let sweep = Sweep { out, preflight: !args.no_preflight, runner: &runner };
    sweep.run_cases(&begun)?;
    let run = store::read_run(out).map_err(|error| Failure::failed(error.to_string()))?;
    store::write_report(out, &report::render(&run)).map_err(|error| Failure::failed(error.to_string()))?;
    print(args.format, &run)?;
    stderr::say(&format!("brink: results and report.html are in {}", out.display()));
    if runner.caught().code().is_some() {
        stderr::say(&format!("brink: to go on where it was stopped: brink sweep --resume {}", out.display()));
    }
    verdict(&run, runner.caught().code())
}

/// A sweep that is about to run.
struct Begun {
    folder: RunFolder,
    /// Those that are to be run now, with their numbers.
    left: Vec<(usize, Case)>,
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
    Ok(Begun { folder, left })
}

/// Takes up a sweep that was stopped, and says what differs from when it began.
fn go_on(folder: &Path) -> Result<Begun, Failure> {
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
    let Stopped { folder, mut plan, .. } = stopped;
    if !left.is_empty() {
        plan.resumed.push(command::now());
        store::rewrite_plan(folder.path(), &plan).map_err(|error| Failure::failed(error.to_string()))?;
    }
    Ok(Begun { folder, left })
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

/// A sweep on its way.
struct Sweep<'a> {
    out: &'a Path,
    preflight: bool,
    runner: &'a CaseRunner,
}

impl Sweep<'_> {
    fn run_cases(&self, begun: &Begun) -> Result<(), Failure> {
        let mut progress = Progress::new(begun.left.len());
        if self.preflight {
            for line in forecast(&begun.left) {
                progress.say(&format!("brink: {line}"));
            }
        }
        for (number, case) in &begun.left {
            progress.begin(&case.name);
            self.run_case(*number, case, &mut progress)?;
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
        let before = self.out.join(store::result_file_name(number, &case.name));
        store::set_aside(&before).map_err(|error| Failure::failed(error.to_string()))?;
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
fn forecast(cases: &[(usize, Case)]) -> Vec<String> {
    let limits = brink_host::limits::read(std::process::id());
    let cpus = brink_host::cpus::allowed().map_or(1, |cpus| cpus.len() as u32);
    let mut lines = Vec::new();
    for (_, case) in cases {
        if let Some(why) = preflight::check(case, &Surroundings::before(case, &limits, cpus)).short {
            lines.push(format!("{} will not run: {why}", case.name));
        }
    }
    lines
}

fn print(format: Format, run: &RunData) -> Result<(), Failure> {
    match format {
        Format::Text => command::print(&answer::answer(run)),
        Format::Json => {
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

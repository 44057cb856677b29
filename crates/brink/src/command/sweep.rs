//! `brink sweep`: every case of a sweep file, one after the other, then the answer and the report.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use brink_results::case::Case;
use brink_results::schema::{CaseResult, Plan, Verdict};
use brink_results::store::RunData;
use brink_results::{answer, report, store};

use crate::audience::Audience;
use crate::case_process::{Asked, CaseRunner, Ran};
use crate::cli::{Format, SweepArgs};
use crate::command;
use crate::exit::{Code, Failure};
use crate::hdr_file::HdrFile;
use crate::preflight::{self, Surroundings};
use crate::progress::Left;
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
    let hdr_log = args.hdr_log.as_deref().map(|path| HdrFile::create(path, SystemTime::now())).transpose()?;
    command::raise_nofile();
    let preflight = !args.no_preflight;
    let refused = if preflight { forecast(&plan) } else { Vec::new() };
    let left = Left::of(&plan.cases, |case| refused.iter().any(|(name, _)| *name == case.name));
    let token = args.token.as_deref();
    let audience = Audience::new(&args.follow, args.format, token, plan.cases.len(), left)?;
    for (name, why) in &refused {
        audience.say(&format!("brink: {name} will not run: {why}"));
    }
    let runner = CaseRunner::new()?;
    let mut sweep = Sweep { out: &out, preflight, runner: &runner, audience, hdr_log };
    sweep.run_cases(&plan)?;
    let run = store::read_run(&out).map_err(|error| Failure::failed(error.to_string()))?;
    store::write_report(&out, &report::render(&run)).map_err(|error| Failure::failed(error.to_string()))?;
    print(args, &run)?;
    stderr::say(&format!("brink: results and report.html are in {}", out.display()));
    verdict(&run, runner.caught().code())
}

/// A sweep on its way.
struct Sweep<'a> {
    out: &'a Path,
    preflight: bool,
    runner: &'a CaseRunner,
    audience: Audience,
    hdr_log: Option<HdrFile>,
}

impl Sweep<'_> {
    fn run_cases(&mut self, plan: &Plan) -> Result<(), Failure> {
        for (number, case) in (1..).zip(&plan.cases) {
            self.audience.begin(case);
            let result = self.run_case(number, case)?;
            self.audience.end(&result);
            if self.runner.caught().code().is_some() {
                break;
            }
        }
        self.audience.finish();
        Ok(())
    }

    /// Runs one case in a process of its own. Whatever becomes of it, there is a result afterwards.
    fn run_case(&mut self, number: usize, case: &Case) -> Result<CaseResult, Failure> {
        let audience = &mut self.audience;
        let asked =
            Asked { out: Some((self.out, number)), preflight: self.preflight, climbing: None, token: None };
        let Ran { result, died } = self.runner.run(case, asked, |snapshot| audience.update(snapshot))?;
        if let Some(why) = died {
            self.audience.say(&format!("brink: {}: {why}", case.name));
        } else if result.validity.verdict != Verdict::Valid {
            let why = result.validity.reasons.first().map_or("", String::as_str);
            let verdict = answer::table::verdict_name(result.validity.verdict);
            self.audience.say(&format!("brink: {}: {verdict}: {why}", case.name));
        }
        if let Some(Err(why)) = self.hdr_log.as_mut().map(|log| log.add(&result)) {
            self.audience.say(&format!("brink: {why}"));
        }
        Ok(result)
    }
}

/// Before anything runs: which cases a limit will refuse, and what lifts it.
fn forecast(plan: &Plan) -> Vec<(String, String)> {
    let limits = brink_host::limits::read(std::process::id());
    let cpus = brink_host::cpus::allowed().map_or(1, |cpus| cpus.len() as u32);
    let mut refused = Vec::new();
    for case in &plan.cases {
        if let Some(why) = preflight::check(case, &Surroundings::before(case, &limits, cpus)).short {
            refused.push((case.name.clone(), why));
        }
    }
    refused
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

fn print(args: &SweepArgs, run: &RunData) -> Result<(), Failure> {
    match args.format {
        Format::Text => command::print_words(&args.follow, &answer::answer(run)),
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

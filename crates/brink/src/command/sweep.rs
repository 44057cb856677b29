//! `brink sweep`: every case of a sweep file, one after the other, then the answer and the report.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use brink_results::case::Case;
use brink_results::schema::{CaseResult, Plan, Verdict};
use brink_results::store::RunData;
use brink_results::{answer, report, store};

use crate::cli::{Format, SweepArgs};
use crate::command;
use crate::exit::{Code, Failure};
use crate::preflight::{self, Surroundings};
use crate::progress::{Progress, Snapshot};
use crate::run;
use crate::signals::{self, Caught};
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
    let running = Arc::new(AtomicU32::new(0));
    let passed_on = Arc::clone(&running);
    let caught = signals::listen(move |signal| pass_on(signal, passed_on.load(Ordering::Acquire)))
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    let sweep = Sweep { out: &out, preflight: !args.no_preflight, running: &running, caught: &caught };
    sweep.run_cases(&plan)?;
    let run = store::read_run(&out).map_err(|error| Failure::failed(error.to_string()))?;
    store::write_report(&out, &report::render(&run)).map_err(|error| Failure::failed(error.to_string()))?;
    print(args.format, &run)?;
    stderr::say(&format!("brink: results and report.html are in {}", out.display()));
    verdict(&run, caught.code())
}

/// A sweep on its way.
struct Sweep<'a> {
    out: &'a Path,
    preflight: bool,
    running: &'a AtomicU32,
    caught: &'a Caught,
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
            if self.caught.code().is_some() {
                break;
            }
        }
        progress.finish();
        Ok(())
    }

    /// Runs one case in a process of its own. Whatever becomes of it, there is a result afterwards.
    fn run_case(&self, number: usize, case: &Case, progress: &mut Progress) -> Result<(), Failure> {
        let died = match self.spawn(number, case) {
            Ok(child) => self.follow(child, progress).err(),
            Err(why) => Some(why),
        };
        let path = self.out.join(store::result_file_name(number, &case.name));
        if path.exists() {
            let result = store::read_result(&path).map_err(|error| Failure::failed(error.to_string()))?;
            if result.validity.verdict != Verdict::Valid {
                let why = result.validity.reasons.first().map_or("", String::as_str);
                progress.say(&format!(
                    "brink: {}: {}: {why}",
                    case.name,
                    answer::table::verdict_name(result.validity.verdict)
                ));
            }
            return Ok(());
        }
        let why = died.unwrap_or_else(|| "the process that ran it left no result".to_owned());
        progress.say(&format!("brink: {}: {why}", case.name));
        let result = run::context(case).failed(why);
        store::write_result(self.out, number, &result).map_err(|error| Failure::failed(error.to_string()))?;
        Ok(())
    }

    fn spawn(&self, number: usize, case: &Case) -> Result<Child, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("cannot find this program again: {error}"))?;
        let mut command = Command::new(program);
        command.arg("run-case").arg("--out").arg(self.out).args(["--number", &number.to_string()]);
        command.args(["--parent", &std::process::id().to_string()]);
        if !self.preflight {
            command.arg("--no-preflight");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Signals reach it through `pass_on` only, so that it gets each of them once.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start a process for the case: {error}"))?;
        self.running.store(child.id(), Ordering::Release);
        if let Some(signal_came) = self.caught.signal() {
            // It came before the process could be named to the listener.
            pass_on(signal_came, child.id());
        }
        let json = serde_json::to_vec(case).map_err(|error| error.to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            // If it is gone already, following it says how it ended.
            let _gone = stdin.write_all(&json);
        }
        Ok(child)
    }

    fn follow(&self, mut child: Child, progress: &mut Progress) -> Result<(), String> {
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(snapshot) = serde_json::from_str::<Snapshot>(&line) {
                    progress.update(&snapshot);
                }
            }
        }
        let status = child.wait();
        self.running.store(0, Ordering::Release);
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(ended(status)),
            Err(error) => Err(format!("the process that ran it is lost: {error}")),
        }
    }
}

fn ended(status: ExitStatus) -> String {
    format!("the process that ran it ended with {status}")
}

/// A signal to the sweep is for the case that runs, too: it writes what it has.
fn pass_on(signal: i32, pid: u32) {
    if let (Some(signal), Some(pid)) =
        (rustix::process::Signal::from_named_raw(signal), rustix::process::Pid::from_raw(pid as i32))
    {
        let _gone_already = rustix::process::kill_process(pid, signal);
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
        Verdict::Failed | Verdict::LimitBound if run::was_refused(result) => Some(Code::Refused),
        Verdict::Failed | Verdict::LimitBound => Some(Code::Failed),
        Verdict::ClientBound | Verdict::Unsteady => Some(Code::Invalid),
    };
    let codes: Vec<_> = run.results.iter().filter_map(of).collect();
    let gravest = [Code::Failed, Code::Refused, Code::Invalid].into_iter().find(|code| codes.contains(code));
    gravest.map_or(Ok(()), |code| Err(Failure::said(code)))
}

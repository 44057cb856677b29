//! `brink claims`: every experiment of a claims file, then a verdict for each claim by its rules.

use std::path::{Path, PathBuf};
use std::time::Duration;

use brink_results::case::Case;
use brink_results::claims::program::{PROGRAM_SCHEMA, ProgramResult, WALL};
use brink_results::claims::{ClaimVerdict, ProgramSpec, Spec, text};
use brink_results::schema::Plan;
use brink_results::{report, store};
use brink_wire::value::format_count;

use crate::audience::Audience;
use crate::batch::{self, Batch};
use crate::case_process::CaseRunner;
use crate::claims_file::{self, ClaimsFile};
use crate::cli::{ClaimsArgs, Format, ResultFormat};
use crate::command;
use crate::exit::{Code, Failure};
use crate::plan;
use crate::progress::Left;
use crate::run_folder::{RunFolder, Stopped};
use crate::signals::Caught;
use crate::stderr;
use crate::taken_over::{Copied, Earlier};
use crate::target_process::{self, program};

/// Runs a claims file, judges it, and prints what came out.
///
/// # Errors
/// By the contract of exit codes; 5 where a claim could not be decided.
pub fn run(args: &ClaimsArgs) -> Result<(), Failure> {
    let begun = match &args.resume {
        Some(folder) => go_on(folder)?,
        None => begin(args)?,
    };
    command::raise_nofile();
    let preflight = !args.no_preflight;
    let refused = if preflight { batch::forecast(&begun.left) } else { Vec::new() };
    let cases = begun.left.iter().map(|(_, case)| case);
    let left = Left::of(cases, |case| refused.iter().any(|(name, _)| *name == case.name));
    let format = if args.format == Format::Json { ResultFormat::Json } else { ResultFormat::Text };
    let audience = Audience::new(&args.follow, format, args.token.as_deref(), begun.left.len(), left)?;
    for (name, why) in &refused {
        audience.say(&format!("brink: {name} will not run: {why}"));
    }
    let runner = CaseRunner::new()?;
    let out = begun.folder.path().to_owned();
    let mut batch = Batch { out: &out, preflight, runner: &runner, audience, hdr_log: None };
    let mut programs = Programs { out: &out, done: begun.programs, caught: runner.caught() };
    let mut left = begun.left.into_iter().peekable();
    // Programs stand between cases: each is run after those before it.
    for at in 0..=begun.plan.cases.len() {
        let due = (1..).zip(&begun.spec.programs).filter(|(_, of)| of.after_cases == at);
        for (number, of) in due {
            programs.run(number, of, &mut batch.audience)?;
        }
        if runner.caught().code().is_some() {
            break;
        }
        if let Some((number, case)) = left.next_if(|(number, _)| *number == at + 1) {
            batch.run_case(number, &case)?;
        }
    }
    batch.audience.finish();
    let spec = conclude(&out, begun.spec)?;
    print(args, &spec)?;
    stderr::say(&format!("brink: results and report.html are in {}", out.display()));
    if let Some(code) = runner.caught().code() {
        stderr::say(&format!(
            "brink: to go on where it was stopped: brink claims --resume {}",
            out.display()
        ));
        return Err(Failure::said(code));
    }
    match spec.judged.iter().any(|claim| claim.verdict == ClaimVerdict::Undecided) {
        true => Err(Failure::said(Code::Invalid)),
        false => Ok(()),
    }
}

/// A run that is about to begin or to go on.
struct Begun {
    folder: RunFolder,
    plan: Plan,
    spec: Spec,
    /// Those cases that are to be run now, with their numbers.
    left: Vec<(usize, Case)>,
    /// What programs said already.
    programs: Vec<ProgramResult>,
}

fn begin(args: &ClaimsArgs) -> Result<Begun, Failure> {
    let Some(path) = &args.file else {
        return Err(Failure::usage("a claims file is needed, or --resume DIR"));
    };
    let file = claims_file::read(path)?;
    let (plan, spec) = make(&file, args.quick, command::line(), command::now())?;
    let earlier = args.from.as_deref().map(Earlier::open).transpose()?;
    let folder = RunFolder::claim(args.out.as_deref(), &plan)?;
    store::write_claims(folder.path(), &spec).map_err(|error| Failure::failed(error.to_string()))?;
    let (left, programs) = match earlier {
        None => ((1..).zip(plan.cases.iter().cloned()).collect(), Vec::new()),
        Some(earlier) => {
            let Copied { left, programs } = earlier.copy(folder.path(), &plan, &spec)?;
            stderr::say(&format!(
                "brink: {} of {} cases and {} of {} programs are taken over",
                format_count((plan.cases.len() - left.len()) as u64),
                format_count(plan.cases.len() as u64),
                format_count(programs.len() as u64),
                format_count(spec.programs.len() as u64)
            ));
            (left, programs)
        }
    };
    Ok(Begun { folder, plan, spec, left, programs })
}

/// The plan of a claims file on this machine, and what is claimed.
///
/// # Errors
/// A usage failure when values make no sense together.
pub fn make(
    file: &ClaimsFile,
    quick: bool,
    command_line: Vec<String>,
    created: String,
) -> Result<(Plan, Spec), Failure> {
    let machine = command::machine()?;
    let (cases, spec) = plan::claims(file, quick, &machine)?;
    let plan = command::plan::of_cases((&file.name, file.seed), cases, &machine, (command_line, created))?;
    Ok((plan, spec))
}

fn go_on(folder: &Path) -> Result<Begun, Failure> {
    let stopped = Stopped::open(folder)?;
    let (spec, programs) = command::claims_in(folder, "--resume")?;
    let left = stopped.left();
    let done = stopped.plan.cases.len() - left.len();
    stderr::say(&format!(
        "brink: {} of {} cases have their result already",
        format_count(done as u64),
        format_count(stopped.plan.cases.len() as u64)
    ));
    let Stopped { folder, mut plan, .. } = stopped;
    if !left.is_empty() {
        plan.resumed.push(command::now());
        store::rewrite_plan(folder.path(), &plan).map_err(|error| Failure::failed(error.to_string()))?;
    }
    Ok(Begun { folder, plan, spec, left, programs })
}

/// The programs of a run.
struct Programs<'a> {
    out: &'a Path,
    done: Vec<ProgramResult>,
    caught: &'a Caught,
}

impl Programs<'_> {
    /// Runs one, unless it has its result already.
    fn run(&mut self, number: usize, of: &ProgramSpec, audience: &mut Audience) -> Result<(), Failure> {
        let has_run = |done: &ProgramResult| {
            done.name == of.name && done.repeat == of.repeat && !done.interrupted && done.skipped.is_none()
        };
        if self.caught.code().is_some() || self.done.iter().any(has_run) {
            return Ok(());
        }
        audience.meanwhile(&of.name);
        let result = ran(of, self.caught);
        if let (Some(why), false) = (&result.failure, result.interrupted) {
            audience.say(&format!("brink: {}: {why}", of.name));
        }
        if let (Some(why), 1) = (&result.skipped, of.repeat) {
            audience.say(&format!("brink: {} is left out: {why}", of.name));
        }
        store::write_program(self.out, number, &result)
            .map_err(|error| Failure::failed(error.to_string()))?;
        Ok(())
    }
}

/// Runs a program, with the target that it asks for.
fn ran(of: &ProgramSpec, caught: &Caught) -> ProgramResult {
    let mut result = ProgramResult {
        schema: PROGRAM_SCHEMA.to_owned(),
        name: of.name.clone(),
        repeat: of.repeat,
        command: of.command.clone(),
        started: command::now(),
        wall_ns: None,
        measures: std::collections::BTreeMap::new(),
        facts: std::collections::BTreeMap::new(),
        failure: None,
        skipped: None,
        interrupted: false,
    };
    if let Some(needed) = of.needs.as_ref().filter(|name| !is_on_path(name)) {
        result.skipped = Some(format!("{needed} is not there"));
        return result;
    }
    match said(of, caught) {
        Ok(said) => {
            result.wall_ns = u64::try_from(said.wall.as_nanos()).ok();
            (result.measures, result.facts) = (said.measures, said.facts);
            result.skipped = result.facts.remove("skipped");
            // brink's own figure, whatever the program says of it.
            result.measures.remove(WALL);
        }
        Err(why) => result.failure = Some(why),
    }
    result.interrupted = caught.code().is_some();
    result
}

fn said(of: &ProgramSpec, caught: &Caught) -> Result<program::Said, String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program again: {error}"))?;
    let served = of.serve.as_ref().map(target_process::start).transpose()?;
    let mut with = vec![("{brink}", own.display().to_string())];
    if let Some(served) = &served {
        with.push(("{url}", format!("http://{}", served.address)));
        with.push(("{address}", served.address.to_string()));
    }
    let words = program::filled(&of.command, &with)?;
    let said = program::run(&words, Duration::from_nanos(of.timeout_ns), || caught.code().is_some());
    if let Some(served) = served {
        served.stop(|| false);
    }
    said
}

fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |folder: PathBuf| rustix::fs::access(folder.join(name), rustix::fs::Access::EXEC_OK).is_ok();
    std::env::split_paths(&path).any(is_there)
}

/// Judges the folder as it is, and writes what came out and the report.
fn conclude(out: &Path, before: Spec) -> Result<Spec, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let run = store::read_run(out).map_err(|error| failed(&error))?;
    let programs = store::read_claims(out).map_err(|error| failed(&error))?.map_or(Vec::new(), |read| read.1);
    let spec = before.judged_by(&run, &programs);
    store::write_claims(out, &spec).map_err(|error| failed(&error))?;
    store::write_report(out, &report::render_claims(&run, &spec)).map_err(|error| failed(&error))?;
    Ok(spec)
}

fn print(args: &ClaimsArgs, spec: &Spec) -> Result<(), Failure> {
    match args.format {
        Format::Text => command::print_words(&args.follow, &text::text(spec)),
        Format::Json => {
            let json = serde_json::to_string(spec).map_err(|error| Failure::failed(error.to_string()))?;
            command::print(&format!("{json}\n"))
        }
    }
}

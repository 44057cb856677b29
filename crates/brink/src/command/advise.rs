//! `brink advise`: which model for a workload, from what `brink claims` measured on this machine.

use std::path::{Path, PathBuf};

use brink_results::claims::guide::{self, Advice, Question};
use brink_results::claims::text;
use brink_results::store;

use crate::cli::{AdviseArgs, Format};
use crate::command;
use crate::exit::{Code, Failure};
use crate::stderr;

/// Answers from the results of a run of `brink claims`.
///
/// # Errors
/// A usage failure where there are no such results; exit code 1 where none of the models that were measured will do.
pub fn run(args: &AdviseArgs) -> Result<(), Failure> {
    let folder = match &args.from {
        Some(folder) => folder.clone(),
        None => newest(Path::new("results"))?,
    };
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("--from: {error}"));
    let run = store::read_run(&folder).map_err(|error| wrong(&error))?;
    let (spec, _) = command::claims_in(&folder, "--from")?;
    let question = Question {
        connections: args.connections,
        delay_ns: u64::try_from(args.delay.as_nanos()).unwrap_or(u64::MAX),
        work_ns: u64::from(args.work) * 1_000,
        blocking: args.blocking,
        memory_bytes: args.memory,
    };
    let advice = guide::advise(&spec, &run, question);
    if advice.candidates.is_empty() {
        return Err(wrong(&format!("{}: {}", folder.display(), advice.why)));
    }
    if command::is_of_another_machine(&run) {
        stderr::say("brink: those results were measured on another machine, kernel or set of CPUs than this");
    }
    print(args, &advice, &folder)?;
    match advice.take {
        Some(_) => Ok(()),
        None => Err(Failure::said(Code::Failed)),
    }
}

fn print(args: &AdviseArgs, advice: &Advice, folder: &Path) -> Result<(), Failure> {
    match args.format {
        Format::Text => command::print(&text::advice(advice, &folder.display().to_string())),
        Format::Json => {
            let json = serde_json::to_string(advice).map_err(|error| Failure::failed(error.to_string()))?;
            command::print(&format!("{json}\n"))
        }
    }
}

/// The folder of `brink claims` that was made last, by its name (`results/<date>-claims`), of those with a guide.
fn newest(results: &Path) -> Result<PathBuf, Failure> {
    let none = || {
        Failure::usage(
            "there is no run of `brink claims` with a [guide] under results/: brink claims configs/claims.toml --quick makes one, \
             and --from DIR names one elsewhere",
        )
    };
    let entries = std::fs::read_dir(results).map_err(|_| none())?;
    let mut folders: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    folders.sort_unstable();
    let has_guide =
        |folder: &PathBuf| store::read_spec(folder).ok().flatten().is_some_and(|spec| spec.guide.is_some());
    folders.into_iter().rev().find(has_guide).ok_or_else(none)
}

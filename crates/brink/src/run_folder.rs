//! The folder of a sweep while it runs: claimed once, held by one process, and gone on with after a stop.
//!
//! Must not know how a case is run.

use std::fs::File;
use std::path::{Path, PathBuf};

use brink_results::case::{Case, LoadCase, Origin};
use brink_results::schema::{CaseResult, Plan};
use brink_results::store::{self, RunData};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::exit::Failure;

/// A folder that no other process of brink writes a sweep to, as long as this lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The kernel lets go of it when this process ends, however it does.
    _hold: File,
}

/// A sweep that was stopped, and what is still to be run of it.
#[derive(Debug)]
pub struct Stopped {
    /// Its folder.
    pub folder: RunFolder,
    /// As it was made.
    pub plan: Plan,
    /// Those of its cases that have a result already.
    pub done: Vec<CaseResult>,
}

impl RunFolder {
    /// Makes this folder the sweep's own: `out`, or `results/<date>-<name>`, with a number behind it where that is
    /// taken. Made at once, so that two sweeps that begin together do not share one.
    ///
    /// # Errors
    /// A usage failure that names the folder.
    pub fn claim(out: Option<&Path>, plan: &Plan) -> Result<Self, Failure> {
        let path = match out {
            Some(out) => {
                store::create_run_dir(out).map_err(|error| Failure::usage(format!("--out: {error}")))?;
                out.to_owned()
            }
            None => fresh(plan)?,
        };
        store::write_plan(&path, plan).map_err(|error| Failure::usage(error.to_string()))?;
        Self::hold(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock of the folder itself: flock(2). A file system that has none lets everybody have it.
    fn hold(path: PathBuf) -> Result<Self, Failure> {
        let cannot = |error: &std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
        let folder = File::open(&path).map_err(|error| cannot(&error))?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) | Err(Errno::NOTSUP | Errno::NOLCK | Errno::INVAL | Errno::BADF) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Failure::usage(format!("{}: a sweep is running in it", path.display())));
            }
            Err(error) => return Err(cannot(&error.into())),
        }
        Ok(Self { path, _hold: folder })
    }
}

impl Stopped {
    /// Opens the folder of a sweep that was stopped. A result that was cut short, or refused because of a limit, does
    /// not count as one: it is to be run again.
    ///
    /// # Errors
    /// A usage failure that names the folder.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::usage(format!("--resume: {why}"));
        let folder = RunFolder::hold(path.to_owned()).map_err(|failure| wrong(failure.line))?;
        let run = store::read_run(path).map_err(|error| wrong(error.to_string()))?;
        let RunData { plan: Some(plan), results, .. } = run else {
            return Err(wrong(format!(
                "{}: it has no plan.json that can be read: only the folder of a sweep can be gone on with",
                path.display()
            )));
        };
        let done: Vec<CaseResult> =
            results.into_iter().filter(|result| !result.interrupted && !result.refused).collect();
        let of = |result: &CaseResult| plan.cases.iter().find(|case| case.name == result.case.name);
        let is_other = |result: &&CaseResult| of(result).is_some_and(|case| !is_of(case, &result.case));
        if let Some(other) = done.iter().find(is_other) {
            return Err(wrong(format!(
                "{}: plan.json was changed: its {} is not the case that has a result; take the change back, or begin \
                 a sweep of its own",
                path.display(),
                other.case.name.escape_debug()
            )));
        }
        Ok(Self { folder, plan, done })
    }

    /// The cases without a result, with their numbers.
    pub fn left(&self) -> Vec<(usize, Case)> {
        let is_done = |case: &Case| self.done.iter().any(|result| result.case.name == case.name);
        (1..).zip(self.plan.cases.iter().cloned()).filter(|(_, case)| !is_done(case)).collect()
    }
}

/// Whether a case ran as it was planned. What only the run tells of a target that brink does not make itself (its
/// model, the processes, what it speaks) is no part of the plan.
pub fn is_of(planned: &Case, ran: &Case) -> bool {
    let mut load = LoadCase { protocol: planned.load.protocol.clone(), ..ran.load.clone() };
    if let (Some(ran), Some(planned)) = (&mut load.background, &planned.load.background) {
        ran.protocol.clone_from(&planned.protocol);
    }
    let is_same_target = planned.target.origin != Origin::Started || planned.target == ran.target;
    load == planned.load && is_same_target
}

/// `results/<date>-<name>`, with a number behind it where that is taken.
fn fresh(plan: &Plan) -> Result<PathBuf, Failure> {
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

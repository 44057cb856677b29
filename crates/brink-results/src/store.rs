//! The folder of a run: `plan.json`, one `NNN-<case>.json` per case, `report.html`.
//!
//! A file appears under its name only when it is complete and on disk. Must not know how a result came to be.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::answer::table::printable;
use crate::claims::program::{PROGRAM_SCHEMA, ProgramResult};
use crate::claims::{CLAIMS_SCHEMA, Spec};
use crate::schema::{CaseResult, PLAN_SCHEMA, Plan, RESULT_SCHEMA};

/// Name of the plan in its folder.
pub const PLAN_FILE: &str = "plan.json";
/// Name of what is claimed, in the folder of a run that was made for it.
pub const CLAIMS_FILE: &str = "claims.json";
/// Folder of what programs said, in that folder.
pub const PROGRAMS_DIR: &str = "programs";
/// Name of the report in its folder.
pub const REPORT_FILE: &str = "report.html";
/// Room for a case's name in a file name: Linux allows 255 bytes in all (`NAME_MAX`).
const CASE_NAME_LEN_MAX: usize = 200;

/// Longest line about what is wrong with a file, in characters.
const PROBLEM_LEN_MAX: usize = 400;

/// A run as read from its folder.
#[derive(Debug, Clone, PartialEq)]
pub struct RunData {
    /// Where it was read from.
    pub dir: PathBuf,
    /// What was to be run; `None` if the folder has no plan.
    pub plan: Option<Plan>,
    /// What was run, in order.
    pub results: Vec<CaseResult>,
    /// Files that are no plan and no result of their own, by line: `003-x.json: missing field ..`.
    pub unreadable: Vec<String>,
}

impl RunData {
    /// A copy of a result is no repeat: counted twice it would make an interval of one run.
    fn take(&mut self, name: &str, result: CaseResult) {
        match self.results.contains(&result) {
            true => self.unreadable.push(format!("{name}: the same result again: it counts once")),
            false => self.results.push(result),
        }
    }

    /// Names of the planned cases that have no result, in the order of the plan.
    #[must_use]
    pub fn missing(&self) -> Vec<&str> {
        let planned = self.plan.iter().flat_map(|plan| &plan.cases);
        let has = |name: &str| self.results.iter().any(|result| result.case.name == name);
        planned.map(|case| case.name.as_str()).filter(|name| !has(name)).collect()
    }
}

/// Why a folder cannot take a run.
#[derive(Debug, Error)]
pub enum RunDirError {
    /// A file has that name.
    #[error("{} is a file: name a folder for the results", .0.display())]
    IsFile(PathBuf),
    /// It would be overwritten.
    #[error("{} already holds a run ({found}): name another folder", .dir.display())]
    HoldsRun {
        /// The folder.
        dir: PathBuf,
        /// The first file of a run in it.
        found: String,
    },
    /// It, or a folder above it, cannot be made.
    #[error("cannot create the folder {}: {source}", .dir.display())]
    Create {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there and cannot be listed.
    #[error("cannot read the folder {}: {source}", .dir.display())]
    Read {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there and takes no file.
    #[error("cannot write to the folder {}: {source}", .dir.display())]
    Write {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a file could not be written.
#[derive(Debug, Error)]
#[error("cannot write {}: {source}", .path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub source: io::Error,
}

/// Why a run could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The folder or a file in it could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds no file that could be a plan or a result.
    #[error("{} holds no run: neither plan.json nor a result file", .0.display())]
    NoRun(PathBuf),
    /// A file is not JSON, or lacks a field, or has one of another type.
    #[error("{}: {problem}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the field or the line.
        problem: String,
    },
}

/// Makes the folder of a run, with those above it, and proves that it can be written.
///
/// # Errors
/// [`RunDirError`], each of which names the folder. Nothing of an earlier run is touched.
pub fn create_run_dir(dir: &Path) -> Result<(), RunDirError> {
    if dir.is_file() {
        return Err(RunDirError::IsFile(dir.to_owned()));
    }
    fs::create_dir_all(dir).map_err(|source| RunDirError::Create { dir: dir.to_owned(), source })?;
    let names = file_names(dir).map_err(|source| RunDirError::Read { dir: dir.to_owned(), source })?;
    if let Some(found) = names.into_iter().find(|n| n == PLAN_FILE || n == REPORT_FILE || number(n).is_some())
    {
        return Err(RunDirError::HoldsRun { dir: dir.to_owned(), found });
    }
    let probe = dir.join(format!(".write-test-{}", std::process::id()));
    File::create(&probe)
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|source| RunDirError::Write { dir: dir.to_owned(), source })
}

/// Writes the plan, and with it claims the folder: of two runs that were given the same one, one gets it.
///
/// # Errors
/// [`RunDirError::HoldsRun`] where another run has it, [`RunDirError::Write`].
pub fn write_plan(dir: &Path, plan: &Plan) -> Result<PathBuf, RunDirError> {
    let write_error = |source| RunDirError::Write { dir: dir.to_owned(), source };
    let bytes = json(plan).map_err(write_error)?;
    write_new(dir, PLAN_FILE, &bytes).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => {
            RunDirError::HoldsRun { dir: dir.to_owned(), found: PLAN_FILE.to_owned() }
        }
        _ => write_error(source),
    })
}

/// Writes the plan of a run anew, in the place of the one that is there.
///
/// # Errors
/// [`WriteError`].
pub fn rewrite_plan(dir: &Path, plan: &Plan) -> Result<PathBuf, WriteError> {
    write_json(dir, PLAN_FILE, plan)
}

/// Gives a file, if there is one, a name by which it is no result any more, and which nothing has:
/// `003-x.json.set-aside-1`.
///
/// # Errors
/// [`WriteError`].
pub fn set_aside(path: &Path) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    for number in 1..=u32::MAX {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".set-aside-{number}"));
        let aside = path.with_file_name(name);
        // link(2) refuses a name that is there, which rename(2) does not.
        match fs::hard_link(path, &aside) {
            Ok(()) => return fs::remove_file(path).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) if !aside.exists() => return fs::rename(path, &aside).map_err(failed),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// Writes the result of the case that ran as the `number`th, counted from 1.
///
/// # Errors
/// [`WriteError`].
pub fn write_result(dir: &Path, number: usize, result: &CaseResult) -> Result<PathBuf, WriteError> {
    write_json(dir, &result_file_name(number, &result.case.name), result)
}

/// Writes what is claimed, and what came out of it as far as it is known, in the place of what is there.
///
/// # Errors
/// [`WriteError`].
pub fn write_claims(dir: &Path, spec: &Spec) -> Result<PathBuf, WriteError> {
    write_json(dir, CLAIMS_FILE, spec)
}

/// Writes what the `number`th program said, counted from 1.
///
/// # Errors
/// [`WriteError`].
pub fn write_program(dir: &Path, number: usize, result: &ProgramResult) -> Result<PathBuf, WriteError> {
    let folder = dir.join(PROGRAMS_DIR);
    fs::create_dir_all(&folder).map_err(|source| WriteError { path: folder.clone(), source })?;
    let name = format!("{}-r{}", result.name, result.repeat);
    write_json(&folder, &result_file_name(number, &name), result)
}

/// What is claimed, and what came out of it: of a folder that was made for claims.
///
/// # Errors
/// [`ReadError`].
pub fn read_spec(dir: &Path) -> Result<Option<Spec>, ReadError> {
    let path = dir.join(CLAIMS_FILE);
    if path.exists() { read_file(&path, CLAIMS_SCHEMA).map(Some) } else { Ok(None) }
}

/// What is claimed, and what programs said: of a folder that was made for claims.
///
/// # Errors
/// [`ReadError`], also for a program's file that is none.
pub fn read_claims(dir: &Path) -> Result<Option<(Spec, Vec<ProgramResult>)>, ReadError> {
    let Some(spec) = read_spec(dir)? else { return Ok(None) };
    let folder = dir.join(PROGRAMS_DIR);
    let mut names = match file_names(&folder) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(ReadError::Io { path: folder, source }),
    };
    names.retain(|name| number(name).is_some());
    let programs = names.iter().map(|name| read_file(&folder.join(name), PROGRAM_SCHEMA));
    Ok(Some((spec, programs.collect::<Result<Vec<ProgramResult>, ReadError>>()?)))
}

/// Writes the report.
///
/// # Errors
/// [`WriteError`].
pub fn write_report(dir: &Path, html: &str) -> Result<PathBuf, WriteError> {
    write_whole(dir, REPORT_FILE, html.as_bytes())
}

/// `007-threads-c10000-r1.json`: what is not a letter, digit, dash, underscore or dot becomes an underscore.
#[must_use]
pub fn result_file_name(number: usize, case_name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = case_name.chars().take(CASE_NAME_LEN_MAX).map(fit).collect();
    format!("{number:03}-{name}.json")
}

/// Reads a folder: the plan if there is one, and every result. Files that are still being written,
/// hidden files and files not named `.json` are passed over; a file that cannot be read, or is no file of
/// brink, is named in [`RunData::unreadable`].
///
/// # Errors
/// [`ReadError`] for a folder that cannot be listed, holds no run, or of which no file could be read: the
/// last names the first of them, by number.
pub fn read_run(dir: &Path) -> Result<RunData, ReadError> {
    let mut names = file_names(dir).map_err(|source| ReadError::Io { path: dir.to_owned(), source })?;
    names.retain(|name| name.ends_with(".json") && !name.starts_with('.') && name != CLAIMS_FILE);
    names.sort_by_key(|name| (number(name).unwrap_or(u64::MAX), name.clone()));
    let mut run = RunData { dir: dir.to_owned(), plan: None, results: Vec::new(), unreadable: Vec::new() };
    let mut first_error = None;
    for name in &names {
        let path = dir.join(name);
        let read = if name == PLAN_FILE {
            read_file(&path, PLAN_SCHEMA).map(|plan| run.plan = Some(plan))
        } else {
            read_file(&path, RESULT_SCHEMA).map(|result| run.take(name, result))
        };
        if let Err(error) = read {
            run.unreadable.push(error.without_folder());
            first_error.get_or_insert(error);
        }
    }
    match first_error {
        Some(error) if run.plan.is_none() && run.results.is_empty() => Err(error),
        None if names.is_empty() => Err(ReadError::NoRun(dir.to_owned())),
        _ => Ok(run),
    }
}

impl ReadError {
    /// The same on one line that does not tell where the folder is: a report must not differ by that.
    fn without_folder(&self) -> String {
        let name = |path: &Path| printable(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy());
        match self {
            Self::Io { path, source } => format!("{}: cannot be read: {source}", name(path)),
            Self::Content { path, problem } => format!("{}: {problem}", name(path)),
            Self::NoRun(_) => self.to_string(),
        }
    }
}

/// Reads one result file.
///
/// # Errors
/// [`ReadError`].
pub fn read_result(path: &Path) -> Result<CaseResult, ReadError> {
    read_file(path, RESULT_SCHEMA)
}

/// Reads what `load --format json` prints, one result, or what `sweep --format json` does, a plan and its results.
///
/// # Errors
/// One line that says what is wrong with it.
pub fn parse_printed(text: &str) -> Result<(Option<Plan>, Vec<CaseResult>), String> {
    #[derive(serde::Deserialize)]
    struct Printed {
        #[serde(default)]
        plan: Option<Plan>,
        results: Vec<CaseResult>,
    }
    let is_sweep = serde_json::from_str::<serde_json::Value>(text).is_ok_and(|v| v.get("results").is_some());
    if !is_sweep {
        return parse(text, RESULT_SCHEMA).map(|result| (None, vec![result]));
    }
    let printed: Printed = serde_json::from_str(text).map_err(|error| one_line(&error.to_string()))?;
    match printed.results.iter().find(|result| result.schema != RESULT_SCHEMA) {
        Some(other) => Err(one_line(&format!(
            "field `schema` is `{}`, this program reads `{RESULT_SCHEMA}`",
            other.schema
        ))),
        None => Ok((printed.plan, printed.results)),
    }
}

fn read_file<T: DeserializeOwned>(path: &Path, schema: &str) -> Result<T, ReadError> {
    let text = fs::read_to_string(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    parse(&text, schema).map_err(|problem| ReadError::Content { path: path.to_owned(), problem })
}

fn parse<T: DeserializeOwned>(text: &str, schema: &str) -> Result<T, String> {
    content(text, schema).map_err(|problem| one_line(&problem))
}

/// What is wrong with a file quotes it, and a file may hold anything: nothing of it may move the cursor, and a value that
/// is a megabyte long is cut.
fn one_line(problem: &str) -> String {
    let mut line: String = printable(problem).chars().take(PROBLEM_LEN_MAX).collect();
    if line.len() < problem.len() {
        line.push_str("..");
    }
    line
}

fn content<T: DeserializeOwned>(text: &str, schema: &str) -> Result<T, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    match value.get("schema").map(serde_json::Value::as_str) {
        None => return Err(format!("field `schema` is missing: not a file of brink ({schema})")),
        Some(Some(found)) if found == schema => {}
        Some(Some(found)) => {
            return Err(format!("field `schema` is `{found}`, this program reads `{schema}`"));
        }
        Some(None) => return Err(format!("field `schema` is not text, this program reads `{schema}`")),
    }
    serde_json::from_str(text).map_err(|error| match text.lines().nth(error.line().wrapping_sub(1)) {
        // A wrong type is reported by place only; the line shows which field it is.
        Some(line) if !line.trim().is_empty() => {
            format!("{error}: {}", line.trim().chars().take(80).collect::<String>())
        }
        _ => error.to_string(),
    })
}

/// The number that a result's file name begins with.
fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".json")?.split_once('-')?.0.parse().ok()
}

fn file_names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn json<T: serde::Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn write_json<T: serde::Serialize>(dir: &Path, name: &str, value: &T) -> Result<PathBuf, WriteError> {
    let bytes = json(value).map_err(|source| WriteError { path: dir.join(name), source })?;
    write_whole(dir, name, &bytes)
}

/// Writes to a hidden name in the same folder, flushes it to disk, then renames: a reader sees
/// the whole file or none, also after a crash. rename(2), fsync(2).
fn write_whole(dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, WriteError> {
    let path = dir.join(name);
    let part = part_name(dir, name);
    let write = || -> io::Result<()> {
        write_part(&part, bytes)?;
        fs::rename(&part, &path)?;
        File::open(dir)?.sync_all()
    };
    match write() {
        Ok(()) => Ok(path),
        Err(source) => {
            // The first error is the one to tell; a part file left behind is hidden and passed over.
            let _ = fs::remove_file(&part);
            Err(WriteError { path, source })
        }
    }
}

/// Like [`write_whole`], but `AlreadyExists` where the name is taken: link(2) makes the name and refuses
/// one that is there in one step, which rename(2) does not.
fn write_new(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let path = dir.join(name);
    let part = part_name(dir, name);
    let write = || -> io::Result<()> {
        write_part(&part, bytes)?;
        match fs::hard_link(&part, &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                // A file system without hard links: O_EXCL claims the name as surely, only not with its content.
                let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
                file.write_all(bytes)?;
                file.sync_all()?;
            }
            linked => linked?,
        }
        File::open(dir)?.sync_all()
    };
    let written = write();
    // A part file left behind is hidden and passed over.
    let _ = fs::remove_file(&part);
    written.map(|()| path)
}

fn write_part(part: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(part)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A hidden name that no other writer uses, whether of this process or of another.
fn part_name(dir: &Path, name: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    dir.join(format!(".{name}.part-{}-{count}", std::process::id()))
}

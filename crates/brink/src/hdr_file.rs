//! `--hdr-log`: the file that latencies are written to as a HdrHistogram log, a line as each case ends.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use brink_results::hdr_log;
use brink_results::schema::CaseResult;

use crate::exit::Failure;

/// See the module.
pub struct HdrFile {
    path: PathBuf,
    file: File,
    start: SystemTime,
}

impl HdrFile {
    /// Begins the log, which counts from `start`.
    ///
    /// # Errors
    /// A usage failure for a file that cannot be written.
    pub fn create(path: &Path, start: SystemTime) -> Result<Self, Failure> {
        let cannot = |error: String| Failure::usage(format!("--hdr-log {}: {error}", path.display()));
        let mut file = File::create(path).map_err(|error| cannot(error.to_string()))?;
        let head = hdr_log::head(start).map_err(|error| cannot(error.to_string()))?;
        file.write_all(head.as_bytes()).map_err(|error| cannot(error.to_string()))?;
        Ok(Self { path: path.to_owned(), file, start })
    }

    /// Adds a result; one without latencies has no line.
    ///
    /// # Errors
    /// One line that says why it could not be added.
    pub fn add(&mut self, result: &CaseResult) -> Result<(), String> {
        let cannot =
            |error: String| format!("--hdr-log {}: {}: {error}", self.path.display(), result.case.name);
        let began = humantime::parse_rfc3339_weak(&result.started).unwrap_or(self.start);
        let line = hdr_log::line(result, self.start, began).map_err(|error| cannot(error.to_string()))?;
        let Some(line) = line else { return Ok(()) };
        self.file.write_all(line.as_bytes()).map_err(|error| cannot(error.to_string()))
    }
}

/// Writes the log of results that are there, to which more may be added.
///
/// # Errors
/// A usage failure for a file that cannot be written, or a result without a histogram that can be read.
pub fn write(path: &Path, results: &[CaseResult]) -> Result<HdrFile, Failure> {
    let mut log = HdrFile::create(path, first_start(results))?;
    results.iter().try_for_each(|result| log.add(result)).map_err(Failure::usage)?;
    Ok(log)
}

/// When the first of these results began; the epoch where none says.
fn first_start(results: &[CaseResult]) -> SystemTime {
    let starts = results.iter().filter_map(|result| humantime::parse_rfc3339_weak(&result.started).ok());
    starts.min().unwrap_or(SystemTime::UNIX_EPOCH)
}

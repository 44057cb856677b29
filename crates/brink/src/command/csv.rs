//! Results as a table: on stdout, or of a folder into a file. Must not measure anything.

use brink_results::schema::CaseResult;
use brink_results::{csv, store};

use crate::cli::ReportArgs;
use crate::command;
use crate::exit::Failure;
use crate::hdr_file;
use crate::stderr;

/// The table, with its header.
///
/// # Errors
/// A failure when a result cannot be written down.
pub fn table(results: &[CaseResult]) -> Result<String, Failure> {
    csv::render(results).map_err(|error| Failure::failed(format!("--format csv: {error}")))
}

/// `brink report DIR --format csv`
///
/// # Errors
/// A usage failure for a folder without a run, a place that cannot be written, or flags of the page.
pub fn report(args: &ReportArgs) -> Result<(), Failure> {
    for (flag, is_given) in [("--svg", args.svg.is_some()), ("--png", args.png.is_some())] {
        if is_given {
            return Err(Failure::usage(format!(
                "{flag}: plots are drawn with the page, not with --format csv"
            )));
        }
    }
    let run = store::read_run(&args.folder).map_err(|error| Failure::usage(error.to_string()))?;
    for line in &run.unreadable {
        stderr::say(&format!("brink: left out: {line}"));
    }
    if let Some(path) = &args.hdr_log {
        hdr_file::write(path, &run.results)?;
    }
    let table = table(&run.results)?;
    let Some(path) = &args.out else { return command::print(&table) };
    std::fs::write(path, table)
        .map_err(|error| Failure::usage(format!("{}: cannot be written: {error}", path.display())))?;
    command::print(&format!("{}\n", path.display()))
}

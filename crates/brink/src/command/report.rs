//! `brink report`: draws a results folder again, from its files alone.

use std::path::Path;

use brink_results::{charts, report, store};

use crate::cli::{ReportArgs, ReportFormat};
use crate::command;
use crate::exit::Failure;

/// Writes report.html, and the plots on their own where asked.
///
/// # Errors
/// A usage failure for a folder without a run or a place that cannot be written.
pub fn run(args: &ReportArgs) -> Result<(), Failure> {
    if args.format == ReportFormat::Csv {
        return command::csv::report(args);
    }
    let page = args.out.clone().unwrap_or_else(|| args.folder.join("report.html"));
    let run = store::read_run(&args.folder).map_err(|error| Failure::usage(error.to_string()))?;
    write(&page, &report::render(&run))?;
    if let Some(folder) = &args.svg {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::usage(format!("--svg {}: {error}", folder.display())))?;
        for figure in charts::all(&run) {
            write(&folder.join(format!("{}.svg", file_name(&figure.title))), &figure.standalone())?;
        }
    }
    command::print(&format!("{}\n", page.display()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::usage(format!("{}: cannot be written: {error}", path.display())))
}

/// `Memory against connections` -> `memory-against-connections`
fn file_name(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

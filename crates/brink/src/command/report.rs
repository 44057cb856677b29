//! `brink report`: draws a results folder again, from its files alone.

use std::collections::BTreeSet;
use std::path::Path;

use brink_results::charts::{self, Charts, Figure};
use brink_results::{report, store};

use crate::cli::{ReportArgs, ReportFormat};
use crate::command;
use crate::exit::Failure;
use crate::hdr_file;

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
    let claims = store::read_claims(&args.folder).map_err(|error| Failure::usage(error.to_string()))?;
    // Judged anew, so that an old run is judged by the rules as they are read today.
    let claims = claims.map(|(spec, programs)| spec.judged_by(&run, &programs));
    let html = claims.as_ref().map_or_else(|| report::render(&run), |spec| report::render_claims(&run, spec));
    write(&page, html.as_bytes())?;
    if args.svg.is_some() || args.png.is_some() {
        let of_claims = claims.as_ref().map(|spec| charts::claims::all(spec, &run));
        let charts = of_claims.unwrap_or_else(|| charts::all(&run));
        if let Some(folder) = &args.svg {
            each(&charts, folder, ("--svg", "svg"), |figure| Ok(figure.standalone().into_bytes()))?;
        }
        if let Some(folder) = &args.png {
            let png = |figure: &Figure| figure.png().map_err(|error| error.to_string());
            each(&charts, folder, ("--png", "png"), png)?;
        }
    }
    if let Some(path) = &args.hdr_log {
        hdr_file::write(path, &run.results)?;
    }
    command::print(&format!("{}\n", page.display()))
}

/// Writes a file for each plot into a folder, which is made.
fn each(
    charts: &Charts,
    folder: &Path,
    (flag, ending): (&str, &str),
    drawn: impl Fn(&Figure) -> Result<Vec<u8>, String>,
) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::usage(format!("{flag} {}: {error}", folder.display())))?;
    let mut taken = BTreeSet::new();
    for figure in charts.each() {
        let mut name = file_name(&figure.title);
        while !taken.insert(name.clone()) {
            name.push_str("-2");
        }
        let path = folder.join(format!("{name}.{ending}"));
        let bytes =
            drawn(figure).map_err(|error| Failure::failed(format!("{flag} {}: {error}", path.display())))?;
        write(&path, &bytes)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes)
        .map_err(|error| Failure::usage(format!("{}: cannot be written: {error}", path.display())))
}

/// `Memory against connections` -> `memory-against-connections`
fn file_name(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

//! `brink man`: manual pages, from the definitions that the parser has and the examples that the tests run.

use std::io;
use std::path::Path;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::{self, ManArgs};
use crate::command;
use crate::exit::Failure;
use crate::stderr;

/// When what the pages say was last changed.
const DATE: &str = "2026-11-21";

/// How `clap_mangen` leaves a line empty: with a break too many on either side, as mandoc(1) says.
const BREAKS: &str = "\n.br\n\n.br\n";

/// A page and the name of its file.
struct Page {
    file: String,
    text: String,
}

/// Prints brink(1), or writes all pages.
///
/// # Errors
/// A usage failure for a folder that cannot be written.
pub fn run(args: &ManArgs) -> Result<(), Failure> {
    let pages = pages().map_err(|error| Failure::failed(format!("no manual page can be made: {error}")))?;
    match (&args.dir, pages.first()) {
        (Some(dir), _) => write(dir, &pages),
        (None, Some(page)) => command::print(&page.text),
        (None, None) => Ok(()),
    }
}

fn write(dir: &Path, pages: &[Page]) -> Result<(), Failure> {
    let cannot = |path: &Path, error: io::Error| {
        Failure::usage(format!("{}: cannot be written: {error}", path.display()))
    };
    std::fs::create_dir_all(dir).map_err(|error| cannot(dir, error))?;
    for page in pages {
        let path = dir.join(&page.file);
        std::fs::write(&path, &page.text).map_err(|error| cannot(&path, error))?;
    }
    stderr::say(&format!("brink: {} pages are in {}", pages.len(), dir.display()));
    Ok(())
}

/// brink(1), then a page of each command that is shown.
fn pages() -> io::Result<Vec<Page>> {
    let mut root = cli::definition().disable_help_subcommand(true);
    root.build();
    let shown: Vec<_> = root.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let others: Vec<String> = shown.iter().map(|command| format!("brink-{}", command.get_name())).collect();
    let mut pages = vec![page(&root, &others)?];
    for command in &shown {
        pages.push(page(command, &["brink".to_owned()])?);
    }
    Ok(pages)
}

fn page(command: &clap::Command, see: &[String]) -> io::Result<Page> {
    let man = Man::new(command.clone())
        .title(command.get_display_name().unwrap_or("brink").to_uppercase())
        .date(DATE)
        .source(format!("brink {}", env!("CARGO_PKG_VERSION")))
        .manual("brink");
    let file = man.get_filename();
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    own_sections(command, see).to_writer(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok(Page { file, text: text.replace(BREAKS, "\n.sp\n") })
}

/// Examples, exit codes and other pages.
fn own_sections(command: &clap::Command, see: &[String]) -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", ["EXAMPLES"]);
    for example in cli::examples_of(command.get_name()) {
        roff.control("TP", []);
        roff.text([bold(example.line)]);
        roff.text([roman(example.does)]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_STATUS {
        roff.control("TP", []);
        roff.text([bold(*code)]);
        roff.text([roman(*meaning)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let last = see.len().saturating_sub(1);
    for (index, page) in see.iter().enumerate() {
        let end = if index == last { "(1)" } else { "(1)," };
        roff.control("BR", [page.as_str(), end]);
    }
    roff
}

/// By `exit::Code`, for people.
const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Fine."),
    ("1", "Failed: a target that is not there, connections or requests that failed."),
    ("2", "A flag, a file or a folder is not as it must be; one line says which and what is allowed."),
    ("3", "A gate was breached: a run does not keep to what was asked of it."),
    ("4", "Refused before it started: a limit would end it."),
    ("5", "It ran, but the figures are not to be believed."),
    ("130, 143", "Stopped by SIGINT or SIGTERM; what was measured is written, and marked so."),
];

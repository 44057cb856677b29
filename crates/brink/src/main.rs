//! brink: threads or async? Measured, on this machine, with real connections.
//!
//! The data flows one way: flags or a sweep file -> plan -> preflight -> run -> result -> report.
#![forbid(unsafe_code)]

mod assemble;
mod audience;
mod batch;
mod case_process;
mod ceiling;
mod claims_file;
mod cli;
mod client_parts;
mod command;
mod ends;
mod exit;
mod gate_file;
mod hdr_file;
mod location;
mod metrics;
mod ndjson;
mod nearest;
mod options;
mod outbox;
mod plan;
mod preflight;
mod progress;
mod reach;
mod run;
mod run_folder;
mod signals;
mod stderr;
mod supervise;
mod sweep_file;
mod taken_over;
mod target_process;

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::cli::Command;
use crate::exit::{Code, Failure};

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    let outcome = match cli.command {
        Command::Target(args) => command::target::run(&args),
        Command::Load(args) => command::load::run(&args),
        Command::Ceiling(args) => command::ceiling::run(&args),
        Command::Sweep(args) => command::sweep::run(&args),
        Command::Claims(args) => command::claims::run(&args),
        Command::Advise(args) => command::advise::run(&args),
        Command::Plan(args) => command::plan::run(&args),
        Command::Report(args) => command::report::run(&args),
        Command::Compare(args) => command::compare::run(&args),
        Command::Limits(args) => command::limits::run(&args),
        Command::Schema(args) => command::schema::run(&args),
        Command::Completions(args) => command::completions::run(&args),
        Command::Man(args) => command::man::run(&args),
        Command::Bare(args) => command::bare::run(&args),
        Command::RunCase(args) => command::run_case::run(&args),
        Command::RunPart(args) => command::run_part::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ended(&failure),
    }
}

fn ended(failure: &Failure) -> ExitCode {
    if !failure.line.is_empty() {
        stderr::say(&format!("brink: {failure}"));
    }
    failure.code.into()
}

/// Help and version are what was asked for. Everything else gets one line where clap has several.
fn not_parsed(error: &clap::Error) -> ExitCode {
    let wanted = !error.use_stderr();
    if wanted || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A reader that has gone away (`| head`) is not a failure.
        let _nobody_reads = error.print();
        return if wanted { ExitCode::SUCCESS } else { Code::Usage.into() };
    }
    let text = error.to_string();
    let said: Vec<_> = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    ended(&Failure::usage(said.join(" ").trim_start_matches("error: ")))
}

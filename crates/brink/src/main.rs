//! brink: threads or async? Measured, on this machine, with real connections.
//!
//! The data flows one way: flags or a sweep file -> plan -> preflight -> run -> result -> report.
#![forbid(unsafe_code)]

mod assemble;
mod cli;
mod command;
mod ends;
mod exit;
mod nearest;
mod plan;
mod preflight;
mod progress;
mod reach;
mod run;
mod signals;
mod sweep_file;
mod target_process;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::exit::{Code, Failure};

fn main() -> ExitCode {
    let outcome = Cli::try_parse().map_err(|error| one_line(&error)).and_then(|cli| match cli.command {
        Command::Target(args) => command::target::run(&args),
        Command::Load(args) => command::load::run(&args),
        Command::Sweep(args) => command::sweep::run(&args),
        Command::Plan(args) => command::plan::run(&args),
        Command::Report(args) => command::report::run(&args),
        Command::RunCase(args) => command::run_case::run(&args),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.line.is_empty() {
                eprintln!("brink: {failure}");
            }
            failure.code.into()
        }
    }
}

/// clap explains over several lines; its help and version are no errors at all.
fn one_line(error: &clap::Error) -> Failure {
    if !error.use_stderr() {
        let printed = error.print();
        return match printed {
            Ok(()) => Failure::said(Code::Usage),
            Err(error) => Failure::failed(error.to_string()),
        };
    }
    let text = error.to_string();
    let said: Vec<_> = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    Failure::usage(said.join(" ").trim_start_matches("error: ").to_owned())
}

//! `brink completions`: what makes a shell complete, from the definitions that the parser has.

use clap_complete::Shell;

use crate::cli::{self, CompletionsArgs, ShellName};
use crate::command;
use crate::exit::Failure;

/// Prints the script of a shell.
///
/// # Errors
/// A failure when stdout cannot be written to.
pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let shell = match args.shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::definition(), "brink", &mut script);
    command::print(&String::from_utf8_lossy(&script))
}

//! How the program ends: the exit codes of the contract, and the one line that goes with a failure.
//!
//! Nothing else may decide an exit code.

use std::fmt;
use std::process::ExitCode;

/// Why the program does not end with 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The run failed.
    Failed = 1,
    /// A flag, a file or a folder was not as it must be.
    Usage = 2,
    /// A gate was breached: a run does not keep to what was asked of it.
    Breached = 3,
    /// A limit would end the run before it reaches what was asked.
    Refused = 4,
    /// It ran, but the figures are not to be believed.
    Invalid = 5,
    /// Stopped by SIGINT; what was measured is written.
    Interrupted = 130,
    /// Stopped by SIGTERM; what was measured is written.
    Terminated = 143,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A failure with its line for stderr. An empty line: all has been said already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// One line.
    pub line: String,
}

impl Failure {
    /// A flag, a file or a folder was not as it must be.
    pub fn usage(line: impl Into<String>) -> Self {
        Self { code: Code::Usage, line: line.into() }
    }

    /// The run failed.
    pub fn failed(line: impl Into<String>) -> Self {
        Self { code: Code::Failed, line: line.into() }
    }

    /// Ends with `code`; what there is to say has been said.
    pub fn said(code: Code) -> Self {
        Self { code, line: String::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for Failure {}

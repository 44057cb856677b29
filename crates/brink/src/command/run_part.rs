//! `brink run-part`: one of the processes of a client that is several.

use std::io::{self, BufReader};

use brink_client::{Board, parts};

use crate::cli::RunPartArgs;
use crate::exit::Failure;

/// Does what comes on stdin, until the process that sends it is gone.
///
/// # Errors
/// A failure when it is not started as it should be, or cannot run; the other process is told, too.
pub fn run(args: &RunPartArgs) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::failed(format!("a process of the client cannot run: {error}"));
    brink_host::parent::die_with_parent(args.parent).map_err(failed)?;
    let board = Board::inherited(args.board).map_err(failed)?;
    parts::follow(BufReader::new(io::stdin()), &mut io::stdout().lock(), board).map_err(failed)
}

//! The processes of a client that is several: this program again, each with descriptors of its own. Must not know what
//! they are told.

use std::io::{self, BufReader};
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use brink_client::Board;
use brink_client::parts::Part;

/// They, and what they count together.
pub struct Crew {
    /// Is theirs, too.
    pub board: Board,
    /// One by one.
    pub parts: Vec<Part>,
    /// Their pids.
    pub pids: Vec<u32>,
}

/// Starts so many. To be called on a thread that lives as long as they should: they end with it.
///
/// # Errors
/// When there is no memory for what they share, or one cannot be started: then the others end, too.
pub fn start(processes: u32) -> io::Result<Crew> {
    let board = Board::shared()?;
    let started =
        board.lend(|fd| (0..processes).map(|_| Started::new(fd)).collect::<io::Result<Vec<_>>>())?;
    let pids = started.iter().map(|part| part.0.id()).collect();
    let parts = started.into_iter().map(Started::part).collect::<io::Result<_>>()?;
    Ok(Crew { board, parts, pids })
}

/// A process that is ended and waited for when nobody wants it any more.
struct Started(Child);

impl Started {
    fn new(board: RawFd) -> io::Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(["run-part", "--board", &board.to_string(), "--parent", &std::process::id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .env_remove("BRINK_TOKEN")
            // Signals are for this process, which then tells the others to close.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot start another process of the client: {error}"))
            })?;
        Ok(Self(child))
    }

    fn part(mut self) -> io::Result<Part> {
        let (Some(input), Some(output)) = (self.0.stdin.take(), self.0.stdout.take()) else {
            return Err(io::Error::other("a process of the client has no pipes"));
        };
        Ok(Part {
            input: Box::new(input),
            output: Box::new(BufReader::new(output)),
            ended: Box::new(move || self.end()),
        })
    }

    /// Waits for it: its output has ended, so it is about to.
    fn end(&mut self) -> String {
        match self.0.wait() {
            Ok(status) => status.to_string(),
            Err(error) => format!("its end was lost: {error}"),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _gone_already = self.0.kill();
            let _reaped = self.0.wait();
        }
    }
}

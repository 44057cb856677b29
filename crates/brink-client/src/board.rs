//! What all workers of a run count together, in whichever process they are: connections that are open, requests that are
//! left. Must not know who counts.
//!
//! Where a run is one process the words are its own; where it is several they lie in memory that all have mapped. They
//! are touched when a connection opens or ends, and by a request that is one of a fixed number: not by every request.

use std::io;
use std::ops::Index;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use brink_host::shared::SharedCounts;

/// One of the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Connections open now.
    Live,
    /// Most connections open at one time.
    PeakLive,
    /// Requests left to send, where their number is fixed.
    Budget,
    /// First turns of a burst that connections have not had yet. As many of the requests left are kept for them.
    FirstTurns,
    /// Not 0: nothing more is to be sent, since there is nobody left to send it to.
    CalledOff,
    /// Not 0: the order to close came before all had ended by itself, since that took too long.
    CutShort,
}

const WORDS: usize = Word::CutShort as usize + 1;

/// The counts of one run.
#[derive(Debug, Clone)]
pub struct Board(Memory);

#[derive(Debug, Clone)]
enum Memory {
    Own(Arc<[AtomicU64; WORDS]>),
    Shared(Arc<SharedCounts>),
}

impl Default for Board {
    /// Of a run in this process alone.
    fn default() -> Self {
        Self(Memory::Own(Arc::default()))
    }
}

impl Board {
    /// Of a run in several processes, which is lent to them as they are started.
    ///
    /// # Errors
    /// When there is no memory for it, memfd_create(2), mmap(2).
    pub fn shared() -> io::Result<Self> {
        Ok(Self(Memory::Shared(Arc::new(SharedCounts::create(WORDS)?))))
    }

    /// That of the run which this process is a part of, behind an inherited descriptor.
    ///
    /// # Errors
    /// `InvalidInput` where that is none; those of mmap(2).
    pub fn inherited(fd: RawFd) -> io::Result<Self> {
        Ok(Self(Memory::Shared(Arc::new(SharedCounts::inherited(fd, WORDS)?))))
    }

    /// Has `start` start processes which inherit the descriptor of that number.
    ///
    /// # Errors
    /// `InvalidInput` for the board of one process; those of `start`, and of fcntl(2).
    pub fn lend<T>(&self, start: impl FnOnce(RawFd) -> io::Result<T>) -> io::Result<T> {
        match &self.0 {
            Memory::Shared(counts) => counts.lend(start),
            Memory::Own(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "the board of one process is not lent"))
            }
        }
    }
}

impl Index<Word> for Board {
    type Output = AtomicU64;

    fn index(&self, word: Word) -> &AtomicU64 {
        match &self.0 {
            Memory::Own(words) => &words[word as usize],
            Memory::Shared(words) => &words[word as usize],
        }
    }
}

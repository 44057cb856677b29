//! Lines for somebody who may be slow, or gone: a thread of its own writes them, so that who hands one over never waits.
//! Where too many wait to be written the next are dropped, and counted. Must not know what the lines say.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::ends::lock;

/// Lines that may wait: several minutes of samples.
const WAITING_MAX: usize = 1024;

/// See the module.
pub struct Outbox {
    lines: Option<SyncSender<Vec<u8>>>,
    /// Is disconnected when all is written, or nothing more can be.
    done: Mutex<Receiver<()>>,
    fate: Arc<Fate>,
}

/// What became of the lines.
#[derive(Default)]
struct Fate {
    dropped: AtomicU64,
    problem: Mutex<Option<io::Error>>,
}

impl Outbox {
    /// Writes to this from now on, each line at once.
    ///
    /// # Errors
    /// When the thread cannot be made, pthread_create(3).
    pub fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        Self::once_open(|| Ok(sink))
    }

    /// The same of what takes its time to open: a FIFO is not open before somebody reads it, fifo(7).
    ///
    /// # Errors
    /// When the thread cannot be made, pthread_create(3).
    pub fn once_open<W: Write>(open: impl FnOnce() -> io::Result<W> + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = mpsc::sync_channel::<Vec<u8>>(WAITING_MAX);
        let (over, done) = mpsc::channel();
        let fate = Arc::new(Fate::default());
        let told = Arc::clone(&fate);
        std::thread::Builder::new().name("outbox".to_owned()).spawn(move || {
            let wrote = open().and_then(|mut sink| {
                waiting.iter().try_for_each(|line| sink.write_all(&line).and_then(|()| sink.flush()))
            });
            *lock(&told.problem) = wrote.err();
            drop((waiting, over));
        })?;
        Ok(Self { lines: Some(lines), done: Mutex::new(done), fate })
    }

    /// Hands over a line, with its end. Never waits.
    pub fn post(&self, line: Vec<u8>) {
        let posted = self.lines.as_ref().map(|lines| lines.try_send(line));
        if let Some(Err(_)) = posted {
            self.fate.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What kept a line from being written: said once.
    pub fn problem(&self) -> Option<io::Error> {
        lock(&self.fate.problem).take()
    }

    /// Waits until all is written, but not for longer than this. Returns how many lines were dropped, and whether
    /// some are still waiting.
    pub fn end(&mut self, within: Duration) -> (u64, bool) {
        self.lines = None;
        let waited = lock(&self.done).recv_timeout(within);
        let is_late = matches!(waited, Err(mpsc::RecvTimeoutError::Timeout));
        (self.fate.dropped.load(Ordering::Relaxed), is_late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_posts_does_not_wait_for_a_reader_that_does_not_read() {
        let (_reader, writer) = io::pipe().unwrap();
        let mut outbox = Outbox::to(writer).unwrap();
        // A pipe takes 64 KiB (pipe(7)); what it does not take waits, and what does not fit there is dropped.
        for _ in 0..WAITING_MAX + 100 {
            outbox.post(vec![b'x'; 1024]);
        }
        let (dropped, is_late) = outbox.end(Duration::from_millis(1));
        assert!(is_late && (1..=100).contains(&dropped), "{dropped}");
    }

    #[test]
    fn a_reader_that_is_gone_is_a_problem_said_once() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut outbox = Outbox::to(writer).unwrap();
        outbox.post(b"a\n".to_vec());
        outbox.end(Duration::from_secs(10));
        assert_eq!(outbox.problem().unwrap().kind(), io::ErrorKind::BrokenPipe);
        assert!(outbox.problem().is_none());
    }

    #[test]
    fn all_is_written_in_order() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut outbox = Outbox::to(writer).unwrap();
        for n in 0..10 {
            outbox.post(format!("{n}\n").into_bytes());
        }
        assert_eq!(outbox.end(Duration::from_secs(10)), (0, false));
        let mut text = String::new();
        io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert_eq!(text.lines().count(), 10);
    }
}

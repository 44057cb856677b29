//! What a started target writes: its first line on stdout, which may say that it is ready,
//! and its last words on stderr. The rest is read and dropped: a full pipe must not stop it.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const LINES_KEPT: usize = 5;
/// Of a line that is kept; more is cut.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Characters of a line that are shown to people.
const SHOWN_MAX: usize = 200;
/// For last words that are still in the pipe after the end. A process that nobody knows of may hold
/// the other end for longer.
const WORDS_WITHIN: Duration = Duration::from_millis(500);

/// Both outputs of a process, which two threads read to their ends.
pub struct Output {
    /// The first line of stdout, when it comes; disconnected when none will.
    pub first_line: Receiver<String>,
    last_words: Arc<Mutex<VecDeque<String>>>,
    stderr: Option<JoinHandle<()>>,
}

impl Output {
    /// Takes both pipes of a child.
    ///
    /// # Errors
    /// One line, when stdout is no pipe or no thread can be made for it. Without a thread to spare
    /// for stderr its words are lost, but not the run.
    pub fn of(child: &mut Child) -> Result<Self, String> {
        let stdout = child.stdout.take().ok_or("its output is not a pipe")?;
        let of_stderr = Self::of_stderr(child);
        let (send, first_line) = mpsc::channel();
        thread("target-stdout")
            .spawn(move || {
                let mut pipe = BufReader::new(stdout);
                if let Ok(Some(line)) = line(&mut pipe) {
                    let _nobody_waits = send.send(line);
                }
                drop(send);
                let _until_it_ends = io::copy(&mut pipe, &mut io::sink());
            })
            .map_err(|error| format!("no thread can be made to listen to it: {error}"))?;
        Ok(Self { first_line, ..of_stderr })
    }

    /// Takes stderr alone. Without a thread to spare its words are lost.
    pub fn of_stderr(child: &mut Child) -> Self {
        let last_words = Arc::default();
        let kept = Arc::clone(&last_words);
        let stderr = child
            .stderr
            .take()
            .and_then(|stderr| thread("target-stderr").spawn(move || keep_last_lines(stderr, &kept)).ok());
        let (_, first_line) = mpsc::channel();
        Self { first_line, last_words, stderr }
    }

    /// What it said last on stderr, in one line; empty if nothing.
    pub fn last_words(&self) -> String {
        let kept = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|line| shown(line.trim_start_matches("brink: "))).collect::<Vec<_>>().join("; ")
    }

    /// The same of a process that has ended: waits for what is still in the pipe.
    pub fn last_words_of_the_dead(&self) -> String {
        let until = std::time::Instant::now() + WORDS_WITHIN;
        while self.stderr.as_ref().is_some_and(|thread| !thread.is_finished())
            && std::time::Instant::now() < until
        {
            super::pause(Duration::from_millis(2));
        }
        self.last_words()
    }
}

/// What a stranger wrote, fit for a terminal and for one line of it.
pub fn shown(line: &str) -> String {
    let mut plain: String =
        line.chars().map(|c| if c.is_control() { '?' } else { c }).take(SHOWN_MAX).collect();
    if line.chars().nth(SHOWN_MAX).is_some() {
        plain.push_str("..");
    }
    plain
}

/// One line without its end; `None` after the last one.
fn line(pipe: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = pipe.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&bytes).trim_end().to_owned()))
}

fn keep_last_lines(stderr: impl Read, kept: &Mutex<VecDeque<String>>) {
    let mut pipe = BufReader::new(stderr);
    while let Ok(Some(line)) = line(&mut pipe) {
        if line.is_empty() {
            continue;
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LINES_KEPT {
            kept.pop_front();
        }
        kept.push_back(line);
    }
}

fn thread(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_write_is_cut_and_made_plain() {
        assert_eq!(shown("it is brökén"), "it is brökén");
        assert_eq!(shown("\u{1b}[2J\0x"), "?[2J?x");
        assert_eq!(shown(&"é".repeat(SHOWN_MAX)), "é".repeat(SHOWN_MAX));
        assert_eq!(shown(&"é".repeat(1 << 20)), "é".repeat(SHOWN_MAX) + "..");
    }
}

//! A target that brink starts for one case: a process of its own, made from the
//! same binary, that ends when this one does, however it does.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use brink_results::case::TargetCase;
use brink_wire::control::Ready;
use brink_wire::value;

const READY_WITHIN: Duration = Duration::from_secs(10);
const STOP_WITHIN: Duration = Duration::from_secs(5);
const LINES_KEPT: usize = 5;

/// A running target.
pub struct TargetProcess {
    child: Child,
    /// What it said when it was ready.
    pub ready: Ready,
    complaints: Arc<Mutex<VecDeque<String>>>,
}

/// How a target ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// It stopped when told to.
    Stopped,
    /// It was gone before it was told to stop.
    Died(String),
    /// It did not stop in time and was killed.
    Killed,
}

/// Starts the target of a case on a free port of 127.0.0.1 and waits until it listens.
///
/// # Errors
/// One line that says why it did not come up, with the target's own words.
pub fn start(case: &TargetCase) -> Result<TargetProcess, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find this program again: {error}"))?;
    let mut child = Command::new(program)
        .args(arguments(case))
        .args(["--parent", &std::process::id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A token is for targets that run already; nobody would present it to this one.
        .env_remove("BRINK_TOKEN")
        // Ctrl-C on the terminal is for the client, which then stops the target in good order.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start the target: {error}"))?;
    let complaints = Arc::default();
    // Without a thread to spare its words are lost, but not the run.
    let listener =
        child.stderr.take().and_then(|stderr| keep_last_lines(stderr, Arc::clone(&complaints)).ok());
    let said = match child.stdout.take() {
        Some(stdout) => first_line(stdout),
        None => Err("its output is not a pipe".to_owned()),
    };
    match said.and_then(|line| serde_json::from_str(&line).map_err(|_| format!("its first line is `{line}`")))
    {
        Ok(ready) => Ok(TargetProcess { child, ready, complaints }),
        Err(why) => {
            let _gone_already = child.kill();
            let _reaped = child.wait();
            if let Some(listener) = listener {
                let _ended = listener.join();
            }
            let words = last_words(&complaints);
            Err(format!("the target did not get ready: {}", if words.is_empty() { why } else { words }))
        }
    }
}

/// The flags that make a target what its case says.
fn arguments(case: &TargetCase) -> Vec<String> {
    let mut flags = vec!["target".to_owned()];
    let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
    flag("--model", case.model.clone());
    flag("--listen", "127.0.0.1:0".to_owned());
    flag("--delay", case.delay.to_string());
    flag("--work", format!("{}us", case.work_us));
    if case.stack_bytes.is_none() {
        flag("--threads", case.threads.to_string());
    }
    flag("--backlog", case.backlog.to_string());
    if let Some(bytes) = case.stack_bytes {
        flag("--stack-size", bytes.to_string());
    }
    if let Some(count) = case.connections_max {
        flag("--max-connections", count.to_string());
    }
    if let Some(cpus) = &case.cpus {
        flag("--cpus", value::format_cpus(cpus));
    }
    flags
}

/// Reads one line, but waits no longer than a target may take to get ready.
fn first_line(stdout: ChildStdout) -> Result<String, String> {
    let (send, receive) = mpsc::channel();
    let reader = thread("target-stdout").spawn(move || {
        let mut lines = BufReader::new(stdout.take(1 << 20));
        let mut line = String::new();
        let outcome = lines.read_line(&mut line).map(|_| line);
        let _nobody_waits = send.send(outcome);
        // What follows is not ours to read, but a full pipe must not stop the target.
        let _until_it_ends = io::copy(&mut lines.into_inner().into_inner(), &mut io::sink());
    });
    reader.map_err(|error| format!("no thread can be made to listen to it: {error}"))?;
    match receive.recv_timeout(READY_WITHIN) {
        Ok(Ok(line)) if line.is_empty() => Err("it ended at once".to_owned()),
        Ok(Ok(line)) => Ok(line.trim_end().to_owned()),
        Ok(Err(error)) => Err(format!("its output cannot be read: {error}")),
        Err(_) => Err(format!("no ready line within {}", value::format_duration(READY_WITHIN))),
    }
}

fn keep_last_lines(
    stderr: impl Read + Send + 'static,
    kept: Arc<Mutex<VecDeque<String>>>,
) -> io::Result<std::thread::JoinHandle<()>> {
    thread("target-stderr").spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == LINES_KEPT {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    })
}

fn thread(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.to_owned())
}

fn last_words(kept: &Mutex<VecDeque<String>>) -> String {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter().map(|line| line.trim_start_matches("brink: ")).collect::<Vec<_>>().join("; ")
}

impl TargetProcess {
    /// How it ended, if it has.
    pub fn died(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let words = last_words(&self.complaints);
        Some(if words.is_empty() { status.to_string() } else { format!("{status}: {words}") })
    }

    /// Asks it to stop with `ask`, waits, and kills it when it does not.
    pub fn stop(mut self, ask: impl FnOnce()) -> Ending {
        if let Some(how) = self.died() {
            return Ending::Died(how);
        }
        ask();
        let until = Instant::now() + STOP_WITHIN;
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return Ending::Stopped;
            }
            pause(Duration::from_millis(5));
        }
        Ending::Killed
    }
}

impl Drop for TargetProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone_already = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for a process to end; nothing is measured meanwhile")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

//! One case in a process of its own, so that the client's memory is measured from a fresh start, and a case that
//! brings its process down takes no other with it: what is known of it is a result all the same.
//!
//! Must not know what a case is about.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use brink_results::case::Case;
use brink_results::schema::{CaseResult, EndSample};
use brink_results::store;
use brink_wire::control::{LimitReading, MachineUsage};

use crate::ceiling::Climbing;
use crate::exit::Failure;
use crate::progress::Snapshot;
use crate::run::witness::Counted;
use crate::run::{self, Preamble};
use crate::signals::{self, Caught};

/// Runs cases, one at a time, and passes signals on to the one that runs.
pub struct CaseRunner {
    running: Arc<AtomicU32>,
    caught: Caught,
}

/// How a case is to be run.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Folder and number of the result; without, it is handed over and written nowhere.
    pub out: Option<(&'a Path, usize)>,
    /// Whether a case is refused that a limit is known to end early.
    pub preflight: bool,
    /// How to look for the edge, where that is what is asked.
    pub climbing: Option<&'a Climbing>,
    /// Secret of a target's control plane, where it was typed.
    pub token: Option<&'a str>,
}

/// What became of a case.
pub struct Ran {
    /// Its result, which there always is.
    pub result: CaseResult,
    /// How its process ended, where that left no result.
    pub died: Option<String>,
}

impl CaseRunner {
    /// Listens for signals from here on.
    ///
    /// # Errors
    /// A failure when the handler cannot be installed.
    pub fn new() -> Result<Self, Failure> {
        let running = Arc::new(AtomicU32::new(0));
        let passed_on = Arc::clone(&running);
        let caught = signals::listen(move |signal| pass_on(signal, passed_on.load(Ordering::Acquire)))
            .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
        Ok(Self { running, caught })
    }

    /// The signal that came, if one did.
    pub fn caught(&self) -> &Caught {
        &self.caught
    }

    /// Runs one case. Whatever becomes of it, there is a result afterwards.
    ///
    /// # Errors
    /// A failure when the result cannot be read or written.
    pub fn run(
        &self,
        case: &Case,
        asked: Asked<'_>,
        on_snapshot: impl FnMut(&Snapshot),
    ) -> Result<Ran, Failure> {
        let (told, died) = match self.spawn(case, asked) {
            Ok(child) => {
                let mut vigil = Vigil::over(child.id());
                let (told, died) = self.follow(child, &mut vigil, on_snapshot);
                (told, died.map(|how| vigil.end(how)))
            }
            Err(why) => (Told::default(), Some(Death::before(why))),
        };
        if let Some((out, number)) = asked.out {
            let path = out.join(store::result_file_name(number, &case.name));
            if path.exists() {
                let result = store::read_result(&path).map_err(|error| Failure::failed(error.to_string()))?;
                return Ok(Ran { result, died: None });
            }
        } else if let Some(result) = told.result {
            return Ok(Ran { result: *result, died: None });
        }
        let death =
            died.unwrap_or_else(|| Death::before("the process that ran it left no result".to_owned()));
        let how = death.how.clone();
        let mut result = run::of_dead_client(case, death, told.preamble, &told.snapshots);
        result.interrupted = self.caught.code().is_some();
        if let Some((out, number)) = asked.out {
            store::write_result(out, number, &result).map_err(|error| Failure::failed(error.to_string()))?;
        }
        Ok(Ran { result, died: Some(how) })
    }

    fn spawn(&self, case: &Case, asked: Asked<'_>) -> Result<Child, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("cannot find this program again: {error}"))?;
        let mut command = Command::new(program);
        command.arg("run-case").args(["--parent", &std::process::id().to_string()]);
        if let Some((out, number)) = asked.out {
            command.arg("--out").arg(out).args(["--number", &number.to_string()]);
        }
        if let Some(climbing) = asked.climbing {
            let json = serde_json::to_string(climbing).map_err(|error| error.to_string())?;
            command.args(["--climb", &json]);
        }
        if !asked.preflight {
            command.arg("--no-preflight");
        }
        if let Some(token) = asked.token {
            command.env("BRINK_TOKEN", token);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Signals reach it through `pass_on` only, so that it gets each of them once.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start a process for the case: {error}"))?;
        self.running.store(child.id(), Ordering::Release);
        if let Some(signal_came) = self.caught.signal() {
            // It came before the process could be named to the listener.
            pass_on(signal_came, child.id());
        }
        let json = serde_json::to_vec(case).map_err(|error| error.to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            // If it is gone already, following it says how it ended.
            let _gone = stdin.write_all(&json);
        }
        Ok(child)
    }

    /// Reads what it tells until it ends. Also returns how it ended, where that was not well.
    fn follow(
        &self,
        mut child: Child,
        vigil: &mut Vigil,
        mut on_snapshot: impl FnMut(&Snapshot),
    ) -> (Told, Option<String>) {
        let mut told = Told::default();
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(snapshot) = serde_json::from_str::<Snapshot>(&line) {
                    vigil.counted.lives();
                    on_snapshot(&snapshot);
                    told.snapshots.push(snapshot);
                // A result has all that a preamble has.
                } else if let Ok(result) = serde_json::from_str::<CaseResult>(&line) {
                    told.result = Some(Box::new(result));
                } else if let Ok(preamble) = serde_json::from_str::<Preamble>(&line) {
                    told.preamble = Some(preamble);
                }
            }
        }
        let status = child.wait();
        self.running.store(0, Ordering::Release);
        let died = match status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(ended(status)),
            Err(error) => Some(format!("the process that ran it is lost: {error}")),
        };
        (told, died)
    }
}

/// What a process of a case said on its way.
#[derive(Default)]
struct Told {
    preamble: Option<Preamble>,
    snapshots: Vec<Snapshot>,
    result: Option<Box<CaseResult>>,
}

/// How the process of a case ended without a result, and what its machine and control groups counted meanwhile.
pub struct Death {
    /// In words: `.. ended with signal: 9 (SIGKILL)`.
    pub how: String,
    /// From shortly before its end on.
    pub counted: Option<(MachineUsage, MachineUsage)>,
    /// Its limits, as they were when it began.
    pub limits: Vec<LimitReading>,
}

impl Death {
    fn before(how: String) -> Self {
        Self { how, counted: None, limits: Vec::new() }
    }
}

/// What is read of a process as long as it lives, to know what ended it.
struct Vigil {
    counted: Counted,
    limits: Vec<LimitReading>,
}

impl Vigil {
    fn over(pid: u32) -> Self {
        Self { counted: Counted::of(pid), limits: brink_host::limits::read(pid) }
    }

    fn end(self, how: String) -> Death {
        Death { how, counted: Some(self.counted.end()), limits: self.limits }
    }
}

/// What snapshots say of an end, as samples: all that is left of a client that died.
pub fn samples(snapshots: &[Snapshot]) -> Vec<EndSample> {
    let of = |snapshot: &Snapshot| EndSample {
        t_s: snapshot.t_s,
        user_bytes: snapshot.client_user_bytes,
        live: Some(snapshot.live),
        requests: Some(snapshot.requests),
        ..EndSample::default()
    };
    snapshots.iter().map(of).collect()
}

fn ended(status: ExitStatus) -> String {
    format!("the process that ran it ended with {status}")
}

/// A signal to this process is for the case that runs, too: it writes what it has.
fn pass_on(signal: i32, pid: u32) {
    if let (Some(signal), Some(pid)) =
        (rustix::process::Signal::from_named_raw(signal), rustix::process::Pid::from_raw(pid as i32))
    {
        let _gone_already = rustix::process::kill_process(pid, signal);
    }
}

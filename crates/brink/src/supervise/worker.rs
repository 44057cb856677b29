//! One worker: a process of the same program that serves the shared port. Started, asked, told to
//! end. Must not know about the other workers.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use brink_client::control::ControlClient;
use brink_host::usage::ProcessSampler;
use brink_target::Options;
use brink_wire::control::{Counters, Info, ProcessUsage, TargetUsage};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::target_process::output::Output;
use crate::target_process::ready;

/// How long a worker may take to tell. It is on this machine, but may have all CPUs to share.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// How long one that did not answer is not asked again, so that the others are told of in time.
const LEFT_ALONE: Duration = Duration::from_secs(2);

/// A worker process.
pub struct Worker {
    pid: u32,
    child: Mutex<Child>,
    asked: Mutex<Asked>,
}

/// What is needed to ask a worker, and what it said last.
struct Asked {
    control: Option<ControlClient>,
    silent_until: Option<Instant>,
    sampler: ProcessSampler,
    counters: Counters,
}

/// Starts workers, and waits until all of them serve.
///
/// # Errors
/// Which one did not come up. It has said why itself, on the stderr that they share.
pub fn start_all(each: &[Options]) -> io::Result<Vec<Worker>> {
    let started = each.iter().map(Starting::start).collect::<io::Result<Vec<_>>>()?;
    started.into_iter().map(Starting::ready).collect()
}

/// A process that does not serve yet. Killed when it is given up.
struct Starting {
    child: Option<Child>,
    output: Output,
}

impl Starting {
    fn start(options: &Options) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments(options))
            .args(["--parent", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Its control plane is for this process alone, which presents none.
            .env_remove("BRINK_TOKEN")
            // Ctrl-C on the terminal is for this process, which then stops the workers in good order.
            .process_group(0)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot start a worker: {error}")))?;
        match Output::of(&mut child) {
            Ok(output) => Ok(Self { child: Some(child), output }),
            Err(why) => {
                kill(&mut child);
                Err(io::Error::other(why))
            }
        }
    }

    fn ready(mut self) -> io::Result<Worker> {
        let Some(child) = self.child.as_ref() else {
            return Err(io::Error::other("a worker was waited for twice"));
        };
        let pid = child.id();
        let broken = |why: String| io::Error::other(format!("worker {pid} did not get ready: {why}"));
        let process = Pid::from_child(child);
        let ready = ready::wait(&self.output.first_line, None, || has_ended(process))
            .map_err(broken)?
            .ok_or_else(|| broken("it said nothing".to_owned()))?;
        let control = ready
            .control
            .map(|control| ControlClient::connect(control, None, ANSWER_WITHIN))
            .transpose()
            .map_err(|error| broken(error.to_string()))?;
        let asked = Asked {
            control,
            silent_until: None,
            sampler: ProcessSampler::of(pid),
            counters: Counters::default(),
        };
        let child = self.child.take().ok_or_else(|| broken("it is gone".to_owned()))?;
        Ok(Worker { pid, child: Mutex::new(child), asked: Mutex::new(asked) })
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            kill(child);
        }
    }
}

/// The flags that make a worker. CPUs are inherited.
fn arguments(options: &Options) -> Vec<String> {
    let mut flags = vec!["target".to_owned(), "--shares-port".to_owned()];
    let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
    flag("--model", options.model.name.to_owned());
    flag("--listen", options.listen.to_string());
    flag("--delay", options.delay.to_string());
    flag("--work", format!("{}us", options.work_us));
    flag("--backlog", options.backlog.to_string());
    if options.model.threads.takes_number() {
        flag("--threads", options.threads.to_string());
    }
    if options.model.has_own_stacks {
        flag("--stack-size", options.stack_bytes.to_string());
    }
    if let Some(max) = options.connections_max {
        flag("--max-connections", max.to_string());
    }
    match options.control {
        Some(control) => flag("--control", control.to_string()),
        None => flags.push("--no-control".to_owned()),
    }
    flags
}

impl Worker {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it says of itself; `None` without a control plane, or without an answer.
    pub fn info(&self) -> Option<Info> {
        lock(&self.asked).control.as_mut()?.info().ok()
    }

    /// What it uses and has counted. Where it does not answer: what /proc says, and what it said last.
    /// `None`: it has just ended.
    pub fn usage(&self) -> Option<(ProcessUsage, Counters)> {
        let mut asked = lock(&self.asked);
        let usage = asked.ask().and_then(|usage| {
            asked.counters = usage.counters;
            usage.processes.into_iter().next()
        });
        let mut usage = match usage {
            Some(usage) => usage,
            // Of one's own child /proc tells the threads, unless it is gone.
            None => Some(asked.sampler.sample()).filter(|usage| usage.threads.is_some())?,
        };
        if asked.control.is_some() {
            usage.live = Some(asked.counters.live);
            usage.requests = Some(asked.counters.requests);
        }
        Some((usage, asked.counters.clone()))
    }

    /// What it had counted when it was last asked.
    pub fn last_counters(&self) -> Counters {
        lock(&self.asked).counters.clone()
    }

    /// Waits until it ends, and says how.
    pub fn wait(&self) -> String {
        // The lock is not held meanwhile, and the process keeps its number until it is reaped below.
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return "its pid is none".to_owned();
        };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), look), Err(rustix::io::Errno::INTR)) {}
        match lock(&self.child).wait() {
            Ok(status) => status.to_string(),
            Err(error) => format!("its end was lost: {error}"),
        }
    }

    /// Sends it a signal, unless it was reaped already.
    pub fn signal(&self, signal: Signal) {
        let mut child = lock(&self.child);
        // A child that this finds ended is reaped by it, and its number no longer its own.
        if matches!(child.try_wait(), Ok(None)) {
            let _gone_already = kill_process(Pid::from_child(&child), signal);
        }
    }
}

impl Asked {
    fn ask(&mut self) -> Option<TargetUsage> {
        if self.silent_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let answer = self.control.as_mut()?.usage();
        self.silent_until = answer.is_err().then(|| Instant::now() + LEFT_ALONE);
        answer.ok()
    }
}

/// Whether a child has ended. It stays there to be waited for.
fn has_ended(pid: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), look).map_or(true, |status| status.is_some())
}

fn kill(child: &mut Child) {
    let _gone_already = child.kill();
    let _reaped = child.wait();
}

/// Locks; a thread that panicked while it held the lock left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

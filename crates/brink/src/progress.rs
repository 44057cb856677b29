//! What is seen while it runs: a bar on a terminal, one line a second elsewhere. On stderr only.
//!
//! It draws what it is told and measures nothing.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::stderr;
use brink_wire::value::{format_bytes, format_count};

/// A running case at one instant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `ramp`, `warmup`, `window`, `drain`, `close`.
    pub phase: String,
    /// Seconds since the case began.
    pub t_s: f64,
    /// Connections asked for.
    pub requested: u64,
    /// Connections open now.
    pub live: u64,
    /// Connections that had opened and were lost.
    #[serde(default)]
    pub lost: u64,
    /// Connections that failed so far.
    pub failed: u64,
    /// Requests answered so far.
    pub requests: u64,
    /// Requests answered per second since the snapshot before.
    pub requests_per_s: f64,
    /// Anonymous resident memory.
    pub client_user_bytes: Option<u64>,
    /// Anonymous resident memory.
    pub target_user_bytes: Option<u64>,
    /// Threads.
    pub target_threads: Option<u64>,
}

impl Snapshot {
    fn line(&self) -> String {
        let memory = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| format_bytes(bytes as f64));
        let failed =
            if self.failed > 0 { format!(", {} failed", format_count(self.failed)) } else { String::new() };
        format!(
            "{:>6}: {} of {} connections{failed}, {}/s, client {}, target {}{}",
            self.phase,
            format_count(self.live),
            format_count(self.requested),
            format_count(self.requests_per_s.round() as u64),
            memory(self.client_user_bytes),
            memory(self.target_user_bytes),
            self.target_threads.map_or(String::new(), |n| format!(", {} threads", format_count(n))),
        )
    }
}

/// Shows the cases of a run.
pub struct Progress {
    bar: Option<ProgressBar>,
    cases: usize,
    number: usize,
    name: String,
    last_line: Option<Instant>,
}

impl Progress {
    /// For a run of this many cases.
    pub fn new(cases: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(cases as u64), ProgressDrawTarget::stderr_with_hz(5));
            let template = "[{bar:24}] {pos}/{len} cases, {elapsed}, {wide_msg}";
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self { bar, cases, number: 0, name: String::new(), last_line: None }
    }

    /// A case begins.
    pub fn begin(&mut self, name: &str) {
        self.number += 1;
        name.clone_into(&mut self.name);
        self.last_line = None;
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
        }
    }

    /// The running case, several times a second.
    pub fn update(&mut self, snapshot: &Snapshot) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} {}", self.name, snapshot.line()));
            return;
        }
        if self.last_line.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            self.last_line = Some(Instant::now());
            stderr::say(&format!("[{}/{}] {} {}", self.number, self.cases, self.name, snapshot.line()));
        }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| stderr::say(line)),
            None => stderr::say(line),
        }
    }

    /// The case is over.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// All cases are over.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_matters_and_marks_the_unknown() {
        let snapshot = Snapshot {
            phase: "window".into(),
            requested: 10_000,
            live: 9_990,
            failed: 10,
            requests_per_s: 9_812.4,
            client_user_bytes: Some(1 << 20),
            ..Snapshot::default()
        };
        assert_eq!(
            snapshot.line(),
            "window: 9,990 of 10,000 connections, 10 failed, 9,812/s, client 1 MiB, target ?"
        );
    }
}

//! Runs the binary and looks at what it leaves.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The binary under test.
pub fn brink() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brink"));
    command.env_remove("BRINK_TOKEN");
    command
}

/// Runs it to its end.
pub fn run(args: &[&str]) -> Output {
    brink().args(args).output().unwrap()
}

/// Standard output of a run that must have ended with `code`.
pub fn stdout(args: &[&str], code: i32) -> String {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}\nstderr: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A target in a process of its own, killed when it goes out of scope.
pub struct Target {
    child: Child,
    /// Its ready line.
    pub ready: Value,
}

impl Target {
    /// Starts `brink target` on a free port with these flags.
    pub fn start(flags: &[&str]) -> Self {
        let mut child = brink()
            .args(["target", "--listen", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { ready: serde_json::from_str(&line).unwrap(), child }
    }

    /// Starts one at the address that its flags name; `None` where that cannot be had.
    pub fn try_start(flags: &[&str]) -> Option<Self> {
        let mut command = brink();
        let mut child =
            command.arg("target").args(flags).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match serde_json::from_str(&line) {
            Ok(ready) => Some(Self { ready, child }),
            Err(_) => {
                let _reaped = child.wait();
                None
            }
        }
    }

    /// Where it echoes.
    pub fn address(&self) -> &str {
        self.ready["address"].as_str().unwrap()
    }

    /// Where its control plane is.
    pub fn control(&self) -> &str {
        self.ready["control"].as_str().unwrap()
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Whether a process is there and not a zombie.
pub fn is_running(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

/// Waits until `done`, at most ten seconds.
pub fn within_ten_seconds(what: &str, mut done: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !done() {
        assert!(std::time::Instant::now() < until, "not within ten seconds: {what}");
        std::thread::yield_now();
    }
}

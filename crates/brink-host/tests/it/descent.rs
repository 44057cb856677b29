//! Real processes with real children: a shell that starts them, ended by pid.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use brink_host::descent::{Descent, check_readable};
use brink_host::usage::TreeSampler;

/// A shell that has started `sleepers` children and told so, and reads commands from its stdin.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Shell {
    fn start() -> Self {
        let mut child = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, output }
    }

    /// Runs a line and returns the one line that it prints.
    fn ask(&mut self, line: &str) -> String {
        writeln!(self.stdin, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    fn sleeper(&mut self) -> u32 {
        // It does not inherit the pipe, whose end tells below that the shell itself has gone.
        self.ask("sleep 600 >/dev/null & echo $!").parse().unwrap()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        Descent::of(self.child.id()).kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn children_are_sampled_until_they_end_and_their_time_stays() {
    let mut shell = Shell::start();
    let own = shell.child.id();
    let mut sampler = TreeSampler::of(own);
    assert_eq!(sampler.sample().len(), 1, "the shell alone");
    let sleepers = [shell.sleeper(), shell.sleeper()];
    let usage = sampler.sample();
    let mut pids: Vec<_> = usage.iter().map(|process| process.pid).collect();
    assert_eq!(pids[0], own, "parents first");
    pids.sort_unstable();
    let mut expected = vec![own, sleepers[0], sleepers[1]];
    expected.sort_unstable();
    assert_eq!(pids, expected);
    for process in &usage {
        assert_eq!(process.threads, Some(1));
        assert!(process.user_bytes.is_some() && process.fds.is_some() && process.cpu_s.is_some());
    }
    // None at all where it was sampled before it first ran.
    let of_first = usage.iter().find(|process| process.pid == sleepers[0]).unwrap().cpu_s.unwrap();
    let before: f64 = usage.iter().map(|process| process.cpu_s.unwrap()).sum();
    shell.ask(&format!("kill {0}; wait {0}; echo gone", sleepers[0]));
    let usage = sampler.sample();
    assert!(usage.len() == 2 && usage.iter().all(|process| process.pid != sleepers[0]));
    let after = usage.iter().map(|process| process.cpu_s.unwrap()).sum::<f64>() + sampler.gone_cpu_s();
    assert!(after >= before, "{after} after {before}");
    assert_eq!(sampler.gone_cpu_s(), of_first);
}

#[test]
fn all_of_them_are_killed_also_those_that_left_the_group() {
    let mut shell = Shell::start();
    let plain = shell.sleeper();
    let apart: u32 = shell.ask("setsid sleep 600 >/dev/null & echo $!").parse().unwrap();
    let mut descent = Descent::of(shell.child.id());
    assert_eq!(descent.refresh().len(), 3);
    assert_eq!(descent.kill(), 3);
    // The pipe ends when the last holder does: the shell.
    shell.output.read_to_end(&mut Vec::new()).unwrap();
    shell.child.wait().unwrap();
    assert!(descent.refresh().is_empty());
    for pid in [plain, apart, shell.child.id()] {
        assert!(check_readable(pid).is_err(), "{pid} still runs");
    }
    assert_eq!(descent.kill(), 0, "nobody is left");
}

//! Every example that help shows is run, as it stands there, by bash in a folder with what they name.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::program::{Target, brink, root, stdout};

/// An example takes a second or so; a busy machine makes that more.
const SECONDS_MAX: &str = "120";

/// Commands that help shows, but for `help` itself.
pub fn commands() -> Vec<String> {
    let help = stdout(&["--help"], 0);
    let listed = help.lines().take_while(|line| *line != "Options:");
    let entries = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = entries.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// The examples in a command's help.
pub fn examples(command: &str) -> Vec<String> {
    let help = stdout(&["help", command], 0);
    let (_, shown) = help.split_once("\nExamples:\n").unwrap();
    let lines = shown.lines().map(str::trim).filter(|line| line.starts_with("brink "));
    lines.map(str::to_owned).collect()
}

/// Whether a program can be started.
pub fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// A target whose control plane is at the next port, as that of the examples.
fn target_at_neighbouring_ports() -> (Target, String) {
    for _ in 0..50 {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        if let Some(target) = Target::try_start(&["--listen", &address, "--model", "mio"]) {
            return (target, address);
        }
    }
    panic!("no two free ports beside each other");
}

/// A folder with what examples name, and `brink` on the path.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["configs", "scripts"] {
        symlink(root().join(name), dir.path().join(name)).unwrap();
    }
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_brink"), dir.path().join("bin/brink")).unwrap();
    std::fs::create_dir(dir.path().join("results")).unwrap();
    for entry in std::fs::read_dir(root().join("results")).unwrap().map(Result::unwrap) {
        if entry.path().join("claims.json").exists() {
            symlink(entry.path(), dir.path().join("results").join(entry.file_name())).unwrap();
        }
    }
    let sweep = dir.path().join("my-sweep");
    std::fs::create_dir(&sweep).unwrap();
    let samples = root().join("crates/brink-results/tests/samples/1-0d8f0af");
    for file in std::fs::read_dir(samples).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), sweep.join(file.file_name())).unwrap();
    }
    dir
}

fn run(line: &str, dir: &Path) -> Output {
    let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap());
    Command::new("timeout")
        .args([SECONDS_MAX, "bash", "-c", line])
        .current_dir(dir)
        .env("PATH", path)
        .env_remove("BRINK_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What an example needs and this machine has not.
fn missing(line: &str) -> Option<&'static str> {
    let programs = ["bash", "timeout", "python3", "prlimit", "man"];
    let used = |program: &str| {
        ["bash", "timeout"].contains(&program) || line.split([' ', '\'']).any(|word| word == program)
    };
    // `brink man` is not man.
    let line_is_man = line.contains("&& man ");
    programs.into_iter().find(|program| used(program) && (*program != "man" || line_is_man) && !has(program))
}

/// Codes that say something about the machine, not about the example.
fn codes(line: &str) -> &'static [i32] {
    match line.split_whitespace().nth(1) {
        // Too busy for the figures to be believed.
        Some("load" | "sweep" | "claims") => &[0, 5],
        // The sweep in my-sweep was cut short.
        Some("compare") => &[0, 5],
        // A limit of this machine is too low for the plan.
        Some("limits") if line.contains(" -c ") || line.contains("--connections") => &[0, 4],
        _ => &[0],
    }
}

#[test]
fn every_example_runs() {
    let (target, at) = target_at_neighbouring_ports();
    let web = Target::start(&["--model", "hyper"]);
    let mut ran = 0;
    for command in commands().iter().filter(|command| *command != "target") {
        for shown in examples(command) {
            if let Some(missing) = missing(&shown) {
                println!("skipped: `{shown}`: no {missing}");
                continue;
            }
            let dir = folder();
            let line = shown.replace("127.0.0.1:7000", &at).replace("127.0.0.1:8080", web.address());
            let output = run(&line, dir.path());
            let said = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code().unwrap();
            assert!(codes(&shown).contains(&code), "`{line}` ended with {code}\n{said}");
            for file in files(&shown) {
                let path = dir.path().join(file);
                assert!(
                    path.exists() && path.metadata().unwrap().len() > 0,
                    "`{line}` left no {file}\n{said}"
                );
            }
            ran += 1;
        }
    }
    assert!(ran >= 15, "only {ran} examples were run");
    drop(target);
}

/// Files that an example leaves.
fn files(line: &str) -> impl Iterator<Item = &str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = move |flags: &[&str]| {
        let named = words.windows(2).filter(|pair| flags.contains(&pair[0])).map(|pair| pair[1]);
        named.collect::<Vec<_>>()
    };
    after(&[">", "-o", "--out", "--svg"]).into_iter()
}

/// A target runs until it is stopped; one that an example starts says where, and ends well.
#[test]
fn every_example_of_a_target_serves() {
    for shown in examples("target") {
        let line = shown.replace("--listen 127.0.0.1:7000", "");
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let mut child = brink()
            .args(words)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let signal = rustix::process::Signal::TERM;
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let code = child.wait().unwrap().code();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(ready.contains("\"address\""), "`{line}`: {ready}{said}");
        assert_eq!(code, Some(0), "`{line}`: {said}");
    }
}

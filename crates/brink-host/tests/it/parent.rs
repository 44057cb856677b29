//! Dying with the parent. The test starts itself again, in roles told by the environment.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

const ROLE: &str = "BRINK_HOST_TEST_ROLE";
const PARENT: &str = "BRINK_HOST_TEST_PARENT";

fn again(role: &str, parent: u32) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "parent::acts_its_role", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(PARENT, parent.to_string());
    command
}

/// Not a test by itself: what the processes started below do.
#[test]
fn acts_its_role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let parent: u32 = std::env::var(PARENT).unwrap().parse().unwrap();
    let own = std::process::id();
    match role.as_str() {
        "parent" => {
            // Hands its own stdout down, so that its end is seen by whoever reads it.
            let mut child = again("child", own).stdin(Stdio::piped()).spawn().unwrap();
            child.wait().unwrap();
        }
        "child" => {
            brink_host::parent::die_with_parent(parent).unwrap();
            println!("\nready {own}");
            loop {
                std::thread::park();
            }
        }
        "ties" => {
            let mut command = Command::new("sh");
            command.args(["-c", "echo; echo ready $$; exec cat"]).stdin(Stdio::piped());
            let mut child = brink_host::parent::spawn_tied(&mut command).unwrap();
            child.wait().unwrap();
        }
        "orphan" => {
            let error = brink_host::parent::die_with_parent(parent).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
        other => panic!("no role {other}"),
    }
}

#[test]
fn a_killed_parent_takes_its_child_along() {
    for role in ["parent", "ties"] {
        killed_takes_along(role);
    }
}

#[test]
fn a_tied_command_that_is_not_there_is_an_error() {
    let error = brink_host::parent::spawn_tied(&mut Command::new("/nowhere/nothing")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

fn killed_takes_along(role: &str) {
    let mut parent = again(role, 0).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(parent.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("ready ") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the child never came up");
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
    // The child holds the other end of the pipe: this returns when it has gone, and hangs if it stays.
    output.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_parent_that_is_another_is_an_error() {
    // Process 0 is nobody's parent by that number here.
    assert!(again("orphan", 0).stdout(Stdio::null()).status().unwrap().success());
}

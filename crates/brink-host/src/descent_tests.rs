use std::fs;
use std::path::Path;

use super::*;
use crate::proc_tree::fixture;

/// A line of /proc/PID/stat.
fn line(pid: u32, state: char, parent: u32, start: u64) -> String {
    format!("{pid} (a ) (b) {state} {parent} 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 1 0 {start} 20\n")
}

fn put(root: &Path, pid: u32, state: char, parent: u32, start: u64) {
    let dir = root.join(format!("proc/{pid}"));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("stat"), line(pid, state, parent, start)).unwrap();
}

fn remove(root: &Path, pid: u32) {
    fs::remove_dir_all(root.join(format!("proc/{pid}"))).unwrap();
}

fn newest(root: &Path, pid: u64) {
    fs::write(root.join("proc/loadavg"), format!("0.1 0.2 0.3 1/99 {pid}\n")).unwrap();
}

fn pids(descent: &mut Descent) -> Vec<u32> {
    descent.refresh().iter().map(|kin| kin.pid).collect()
}

#[test]
fn children_and_theirs_are_found_and_strangers_are_not() {
    let (dir, tree) = fixture(&[("proc/meminfo", "x\n"), ("proc/self/stat", "x\n")]);
    let root = dir.path();
    for (pid, parent, start) in [(7, 1, 100), (9, 7, 110), (8, 9, 120), (20, 1, 90), (21, 20, 130)] {
        put(root, pid, 'S', parent, start);
    }
    let mut descent = Descent::in_tree(tree, 7);
    assert_eq!(pids(&mut descent), [7, 9, 8]);
    remove(root, 9);
    put(root, 8, 'S', 1, 120);
    assert_eq!(pids(&mut descent), [7, 8], "one that was seen stays known when init takes it over");
    put(root, 8, 'Z', 1, 120);
    assert_eq!(pids(&mut descent), [7], "a zombie has ended");
    let others_run = line(7, 'Z', 1, 100).replace(" 17 1 0 ", " 17 2 0 ");
    fs::write(root.join("proc/7/stat"), others_run).unwrap();
    assert_eq!(pids(&mut descent), [7], "only its first thread has ended");
    remove(root, 7);
    assert!(pids(&mut descent).is_empty());
    put(root, 7, 'S', 1, 500);
    put(root, 30, 'S', 7, 510);
    assert!(pids(&mut descent).is_empty(), "the pid is another's now, and so is its child");
}

#[test]
fn a_reused_pid_is_not_the_one_before() {
    let (dir, tree) = fixture(&[]);
    let root = dir.path();
    put(root, 7, 'S', 1, 100);
    put(root, 8, 'S', 7, 110);
    let mut descent = Descent::in_tree(tree, 7);
    assert_eq!(pids(&mut descent), [7, 8]);
    put(root, 8, 'S', 1, 300);
    assert_eq!(pids(&mut descent), [7]);
    put(root, 8, 'S', 7, 300);
    assert_eq!(descent.refresh()[1], Kin { pid: 8, start_ticks: 300 }, "again a child of it, a new one");
    put(root, 9, 'S', 7, 50);
    assert_eq!(pids(&mut descent), [7, 8], "nobody is older than their parent");
}

#[test]
fn all_of_proc_is_looked_through_only_when_somebody_was_born() {
    let (dir, tree) = fixture(&[]);
    let root = dir.path();
    put(root, 7, 'S', 1, 100);
    newest(root, 7);
    let mut descent = Descent::in_tree(tree, 7);
    assert_eq!(pids(&mut descent), [7]);
    put(root, 8, 'S', 7, 110);
    // As if no time had passed since, however slow this machine is.
    descent.looked = Some(Instant::now() + LOOK_AGAIN);
    assert_eq!(pids(&mut descent), [7], "no new pid was given out");
    newest(root, 8);
    assert_eq!(pids(&mut descent), [7, 8]);
    remove(root, 8);
    descent.looked = Some(Instant::now() + LOOK_AGAIN);
    assert_eq!(pids(&mut descent), [7], "who ended is noticed all the same");
    put(root, 9, 'S', 7, 120);
    descent.looked = None;
    assert_eq!(pids(&mut descent), [7, 9], "after a while it looks in any case");
}

#[test]
fn what_is_hidden_or_makes_no_sense_is_left_out() {
    let (_dir, tree) = fixture(&[]);
    let mut descent = Descent::in_tree(tree, 7);
    assert!(pids(&mut descent).is_empty());
    for garbage in ["", "7", "7 (x)", "7 (x) S", "7 (x) S 1 2 3", "7 (x) S y 3"] {
        let (_dir, tree) = fixture(&[("proc/7/stat", garbage)]);
        assert!(pids(&mut Descent::in_tree(tree.clone(), 7)).is_empty(), "{garbage:?}");
        assert_eq!(check_readable_in(&tree, 7).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    let (dir, tree) = fixture(&[("proc/8/stat", "garbage"), ("proc/99999999999/stat", "x")]);
    put(dir.path(), 7, 'R', 1, 5);
    assert_eq!(pids(&mut Descent::in_tree(tree, 7)), [7]);
}

#[test]
fn whether_a_process_can_be_looked_at_is_one_line() {
    assert!(check_readable(std::process::id()).is_ok());
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let error = check_readable(child.id()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains(&child.id().to_string()), "{error}");
    let (dir, tree) = fixture(&[]);
    put(dir.path(), 7, 'Z', 1, 5);
    assert!(check_readable_in(&tree, 7).unwrap_err().to_string().contains("ended"));
}

#[test]
fn init_and_oneself_are_never_killed() {
    for pid in [1, std::process::id()] {
        let descent = Descent::of(pid);
        let Some(&kin) = descent.members.first() else {
            eprintln!("skipped: process {pid} may not be seen");
            continue;
        };
        assert_eq!(descent.kill_one(kin).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

//! The descriptor limit, in a process of its own since it is shared by all threads of one.

use std::process::{Command, Stdio};

use brink_host::classify::{Confidence, Observation, classify};
use brink_host::limits::{self, End};
use brink_host::{descriptor_table, rlimit};

const ROLE: &str = "BRINK_HOST_TEST_DESCRIPTORS";

/// Not a test by itself: what the process started below does.
#[test]
fn acts_its_role() {
    if std::env::var(ROLE).is_err() {
        return;
    }
    let (soft, hard) = rlimit::nofile();
    let raised = rlimit::raise_nofile().unwrap();
    assert_eq!(raised.map(|raised| raised.from), soft.filter(|_| soft != hard));
    assert_eq!(rlimit::nofile(), (hard, hard));
    assert_eq!(rlimit::raise_nofile().unwrap(), None, "nothing left to raise");

    let room_for = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        line.trim().parse().unwrap()
    };
    descriptor_table::make_room(200);
    assert!(room_for() >= 256, "{}", room_for());
    // More than may be: as much as may be.
    descriptor_table::make_room(u64::MAX);
    assert!(room_for() >= hard.unwrap().min(65_536), "{}", room_for());

    let nofile =
        || limits::read(std::process::id()).into_iter().find(|one| one.name == "rlimit.nofile").unwrap();
    let room = nofile().used.and_then(|used| Some(hard? - used));
    let mut held = Vec::new();
    let error = loop {
        match std::fs::File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => break error,
        }
    };
    let errno = brink_host::errno::name(&error);
    assert_eq!(errno, "EMFILE");
    assert!(room.is_none_or(|room| room == held.len() as u64), "{room:?} expected, {} opened", held.len());
    // Full to the last one: files of /proc can no longer be opened, and it must be told all the same.
    let readings = limits::read(std::process::id());
    let observation = Observation::new(End::Client, "socket", &errno, held.len() as u64);
    let inference = classify(&observation, &readings, None);
    assert_eq!(inference.limit, Some("rlimit.nofile"));
    assert_eq!(inference.limit_value, hard);
    // Before Linux 6.2 the count cannot be had without a descriptor, but the last number tells.
    assert_eq!(inference.confidence, Confidence::Confirmed, "{:?}", inference.evidence);
}

#[test]
fn a_full_table_is_told_from_the_outside_in() {
    let (_, hard) = rlimit::nofile();
    if hard.is_none_or(|hard| hard > 200_000) {
        eprintln!("note: the hard limit is lowered for this test");
    }
    // A shell lowers both, so that the test is the same on every machine.
    let status = Command::new("sh")
        .arg("-c")
        .arg("ulimit -Sn 256 && ulimit -Hn 512 && exec \"$0\" --exact descriptors::acts_its_role")
        .arg(std::env::current_exe().unwrap())
        .env(ROLE, "1")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

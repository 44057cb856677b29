//! Limits that are met for real, each in a process of its own, and named by what that process reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use brink_host::classify::{Confidence, Ended, Observation, TargetState, classify};
use brink_host::limits::{self, End};
use brink_host::usage::{MachineSampler, ProcessState, state};

const ROLE: &str = "BRINK_TEST_CAUSE";
const STACK_BYTES: usize = 8 << 20;

/// Makes threads until one is refused, and says which limit it was. `ROLE` holds the name expected.
#[test]
fn acts_its_role() {
    let Ok(expected) = std::env::var(ROLE) else { return };
    let own = MachineSampler::of(std::process::id());
    let before = own.sample();
    let (begun, begins) = std::sync::mpsc::channel();
    let mut count = 0;
    let error = loop {
        let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
        let begun = begun.clone();
        let stay = move || {
            begun.send(()).unwrap();
            loop {
                std::thread::park();
            }
        };
        match builder.spawn(stay) {
            // What it maps as it begins, some only for a moment, would make the next one fail.
            Ok(_) => begins.recv().unwrap(),
            Err(error) => break error,
        }
        count += 1;
        assert!(count < 20_000, "nothing ever refused");
    };
    let errno = brink_host::errno::name(&error);
    let readings = limits::read(std::process::id());
    let after = own.sample();
    let observation = Observation {
        stack_bytes: Some(STACK_BYTES as u64),
        cgroup: before.cgroup.as_ref().zip(after.cgroup.as_ref()),
        ..Observation::new(End::Target, "spawn", &errno, count)
    };
    let got = classify(&observation, &readings, Some((&before, &after)));
    assert_eq!(got.limit_name(), expected, "{:#?}", got.evidence);
    assert_eq!(got.confidence, Confidence::Confirmed, "{:#?}", got.evidence);
    println!("{:#?}", got.evidence);
}

/// Whether the role was played to its end, with these words of a shell before it.
fn play(shell: &str, expected: &str) -> bool {
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{shell} && exec \"$0\" --exact causes::acts_its_role --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .env(ROLE, expected)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    status.success()
}

#[test]
fn address_space_that_is_used_up_is_named() {
    assert!(play("ulimit -Sv 2000000", "rlimit.as"));
}

/// A group and one within it, which go when the value does.
struct Groups(PathBuf);

impl Groups {
    /// In the first hierarchy that has the controller and that this user may write to.
    fn with(places: [(&str, &str); 2], max: u64) -> Option<Self> {
        places.iter().find_map(|(root, file)| {
            let outer = Path::new(root).join(format!("brink-test-{}-{file}", std::process::id()));
            fs::create_dir(&outer).ok()?;
            let groups = Self(outer.clone());
            fs::OpenOptions::new().write(true).open(outer.join(file)).ok()?;
            fs::write(outer.join(file), max.to_string()).ok()?;
            fs::create_dir(outer.join("inner")).ok()?;
            Some(groups)
        })
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let _gone = fs::remove_dir(self.0.join("inner"));
        let _gone = fs::remove_dir(&self.0);
    }
}

#[test]
fn threads_of_a_control_group_above_are_named() {
    let Some(groups) =
        Groups::with([("/sys/fs/cgroup/pids", "pids.max"), ("/sys/fs/cgroup", "pids.max")], 60)
    else {
        eprintln!("skipped: this user may not make a control group with a limit on threads");
        return;
    };
    let procs = groups.0.join("inner/cgroup.procs");
    assert!(play(&format!("echo $$ > {}", procs.display()), "cgroup.pids.max"));
    drop(groups);
    assert!(!procs.exists());
}

#[test]
fn a_stopped_process_is_told_from_a_live_one() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    assert_eq!(state(child.id()), Some(ProcessState::Alive));
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    // waitpid(2) tells of the stop, so it has happened when it returns.
    let options = rustix::process::WaitOptions::UNTRACED;
    rustix::process::waitpid(Some(pid), options).unwrap();
    assert_eq!(state(child.id()), Some(ProcessState::Stopped));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(state(child.id()), None);
}

#[test]
fn a_full_accept_queue_is_the_targets_own_backlog() {
    let listeners = brink_host::socket::listen("127.0.0.1:0".parse().unwrap(), 4, 1).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let own = std::process::id();
    let before = brink_host::usage::machine();
    // Nobody accepts. On loopback the kernel is done with a handshake, or has dropped it, when connect returns.
    let clients: Vec<socket2::Socket> = (0..12)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _under_way = socket.connect(&address.into());
            socket
        })
        .collect();
    let after = brink_host::usage::machine();
    let Some(waiting) = brink_host::connections::accept_queue(own, address) else {
        eprintln!("skipped: /proc/net/tcp cannot be read here");
        return;
    };
    assert_eq!(waiting, 5, "one more than the backlog");
    let readings = limits::read(own);
    for (backlog, confidence) in [(Some(4), Confidence::Confirmed), (None, Confidence::Likely)] {
        let observation = Observation {
            backlog,
            target: TargetState { accept_queue: Some(waiting), ..TargetState::default() },
            ..Observation::new(End::Client, "connect", "timeout", 5)
        };
        let got = classify(&observation, &readings, Some((&before, &after)));
        assert_eq!((got.limit, got.limit_value), (Some("target.backlog"), Some(4)), "{:#?}", got.evidence);
        assert_eq!(got.confidence, confidence);
    }
    drop(clients);
}

#[test]
fn ports_in_time_wait_are_seen() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    for _ in 0..5 {
        let client = std::net::TcpStream::connect(to).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        // Whoever closes first keeps the socket; the end of file says that its FIN has come.
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(std::io::Read::read(&mut server, &mut [0; 1]).unwrap(), 0);
        drop(server);
        assert_eq!(std::io::Read::read(&mut &client, &mut [0; 1]).unwrap(), 0);
    }
    let Some(pairs) = brink_host::connections::towards(to) else {
        eprintln!("skipped: /proc/net/tcp cannot be read here");
        return;
    };
    let bound = limits::read(std::process::id())
        .into_iter()
        .find(|reading| reading.name == "net.ipv4.tcp_max_tw_buckets")
        .unwrap();
    if bound.used >= bound.value {
        eprintln!("skipped: no room in TIME_WAIT");
        return;
    }
    let pair = pairs.iter().find(|pair| pair.source == to.ip()).unwrap();
    // Another server may have had this port a moment ago.
    assert!(pair.open == 0 && pair.time_wait >= 5, "{pair:?}");
}

/// Takes memory until it is killed.
#[test]
fn eats() {
    if std::env::var(ROLE).as_deref() != Ok("memory") {
        return;
    }
    let mut held: Vec<Vec<u8>> = Vec::new();
    while held.len() < 200 {
        held.push(vec![1; 1 << 20]); // every page is written
    }
    println!("{}", held.len());
}

#[test]
fn an_oom_kill_in_a_control_group_is_told() {
    const BOUND: u64 = 64 << 20;
    let places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
    let Some(groups) = Groups::with(places, BOUND) else {
        eprintln!("skipped: this user may not make a control group with a limit on memory");
        return;
    };
    if fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1) {
        eprintln!("skipped: with swap it would only be slow");
        return;
    }
    let mut child = Command::new("sh")
        .arg("-c")
        .arg("echo $$ > \"$1\" && echo in && read go && exec \"$0\" --exact causes::eats --nocapture")
        .arg(std::env::current_exe().unwrap())
        .arg(groups.0.join("inner/cgroup.procs"))
        .env(ROLE, "memory")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    // Kept open: who prints into a closed pipe ends before it is killed.
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut said).unwrap();
    assert_eq!(said, "in\n");
    let sampler = MachineSampler::of(child.id());
    let (before, readings) = (sampler.sample(), limits::read(child.id()));
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
    let how = child.wait().unwrap().to_string();
    let after = sampler.sample();
    drop(groups);
    let observation = Observation {
        cgroup: before.cgroup.as_ref().zip(after.cgroup.as_ref()),
        target: TargetState { ended: Ended::parse(&how), ..TargetState::default() },
        ..Observation::new(End::Target, "worker", "died", 0)
    };
    let got = classify(&observation, &readings, Some((&before, &after)));
    assert_eq!((got.limit, got.limit_value), (Some("cgroup.memory.max"), Some(BOUND)), "{how}: {got:#?}");
    assert_eq!(got.confidence, Confidence::Confirmed, "{got:#?}");
    // Without the kernel's count it is anybody's signal.
    let got = classify(&observation, &readings, Some((&after, &after)));
    assert_eq!(got.limit, Some("cgroup.memory.max"), "the group's own count tells");
    let spared = Observation { cgroup: after.cgroup.as_ref().map(|group| (group, group)), ..observation };
    assert_eq!(classify(&spared, &readings, Some((&after, &after))).limit, None);
}

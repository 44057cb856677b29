//! Limits that are met for real, each in a process of its own, and named by what that process reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use brink_host::classify::{Confidence, Ended, Observation, TargetState, classify};
use brink_host::headroom::Headroom;
use brink_host::limits::{self, End};
use brink_host::usage::{MachineSampler, ProcessState, state};

const ROLE: &str = "BRINK_TEST_CAUSE";
/// Set where the role keeps a reserve as brink's own ends do, and is the client's.
const RESERVE: &str = "BRINK_TEST_RESERVE";
const STACK_BYTES: usize = 8 << 20;

/// Makes threads until one is refused, and says which limit it was. `ROLE` holds the name expected.
#[test]
fn acts_its_role() {
    let Ok(expected) = std::env::var(ROLE) else { return };
    let own = MachineSampler::of(std::process::id());
    let before = own.sample();
    let room = room_for_threads(&expected);
    let (begun, begins) = std::sync::mpsc::channel();
    let mut count = 0;
    let mut reserve = std::env::var_os(RESERVE).map(|_| Headroom::new().unwrap());
    let end = if reserve.is_some() { End::Client } else { End::Target };
    let error = loop {
        if let Some(Err(error)) = reserve.as_mut().map(|room| room.check(STACK_BYTES as u64, count)) {
            break error;
        }
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
        if reserve.is_none() {
            leave_half_a_stack();
        }
        assert!(count < 20_000, "nothing ever refused");
    };
    let errno = brink_host::errno::name(&error);
    let readings = limits::read(std::process::id());
    let after = own.sample();
    let observation = Observation {
        stack_bytes: Some(STACK_BYTES as u64),
        cgroup: before.cgroup.as_ref().zip(after.cgroup.as_ref()),
        ..Observation::new(end, "spawn", &errno, count)
    };
    let got = classify(&observation, &readings, Some((&before, &after)));
    assert_eq!(got.limit_name(), expected, "{:#?}", got.evidence);
    assert_eq!(got.confidence, Confidence::Confirmed, "{:#?}", got.evidence);
    println!("{:#?}", got.evidence);
    if let Some(room) = room {
        let off = room.abs_diff(count);
        println!("{expected}: {room} threads predicted, {count} made");
        assert!(off <= 3 || off * 100 <= room, "{expected}: {room} threads predicted, {count} made");
    }
}

/// Near the end of a bound on address space moves it, so that what is left in the end is half a stack: where it were
/// less than a page or two the standard library could not finish a thread that was made, and would abort.
fn leave_half_a_stack() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let bound = getrlimit(Resource::As);
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().next().unwrap().parse().unwrap();
    let (used, stack) = (pages * rustix::param::page_size() as u64, STACK_BYTES as u64);
    let is_near = |bound: u64| (2 * stack..4 * stack).contains(&bound.saturating_sub(used));
    if bound.current.is_some_and(is_near) {
        let current = Some(used + stack + stack / 2);
        setrlimit(Resource::As, Rlimit { current, ..bound }).unwrap();
    }
}

/// Threads that a limit leaves room for, where it counts threads.
fn room_for_threads(name: &str) -> Option<u64> {
    let row = limits::find(name).filter(|row| row.unit == "threads")?;
    let readings = limits::read(std::process::id());
    row.headroom(readings.iter().find(|reading| reading.name == name)?)
}

/// Whether the role was played to its end, with these words of a shell before it.
fn play(shell: &str, expected: &str) -> bool {
    play_by("sh", &[], shell, expected)
}

/// The same, where the shell is started by a program.
fn play_by(program: &str, arguments: &[&str], shell: &str, expected: &str) -> bool {
    let mut command = Command::new(program);
    if program != "sh" {
        command.args(arguments).arg("sh");
    }
    let status = command
        .arg("-c")
        .arg(format!("{shell} && exec {ITSELF} --exact causes::acts_its_role --nocapture"))
        .stdin(itself())
        .env(ROLE, expected)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    status.success()
}

#[test]
fn address_space_that_is_used_up_is_named() {
    assert!(play("ulimit -Sv 2000000", "rlimit.as"));
    assert!(play(&format!("ulimit -Sv 2000000 && export {RESERVE}=1"), "rlimit.as"));
}

/// This program for one that has it as its standard input: by its name another user may not get at it, where the
/// project is in a folder of somebody's own.
const ITSELF: &str = "/proc/self/fd/0";

fn itself() -> Stdio {
    Stdio::from(fs::File::open(std::env::current_exe().unwrap()).unwrap())
}

/// Whether such a program can be run here, with these arguments.
fn can(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let status = command.args(arguments).stdin(itself()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn process_numbers_of_a_namespace_are_named_and_reckoned() {
    const UNSHARE: [&str; 6] =
        ["--user", "--map-root-user", "--pid", "--mount-proc", "--fork", "--kill-child"];
    let own_bound = "echo 900 > /proc/sys/kernel/pid_max";
    let probe = [&UNSHARE[..], &["sh", "-c", own_bound]].concat();
    let machine = || fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    let before = machine();
    if !can("unshare", &probe) || machine() != before {
        eprintln!(
            "skipped: no pid namespace with a pid_max of its own can be made here (Linux 6.14, unshare(1))"
        );
        return;
    }
    // In the first round of numbers, and after it.
    assert!(play_by("unshare", &UNSHARE, own_bound, "kernel.pid_max"));
    let wrapped = format!(
        "{own_bound} && for i in 1 2 3 4 5 6 7 8 9 10; do for j in $(seq 70); do /bin/true; done; done"
    );
    assert!(play_by("unshare", &UNSHARE, &wrapped, "kernel.pid_max"));
}

#[test]
fn threads_of_a_user_are_named_and_reckoned() {
    const NOBODY: [&str; 2] = ["--reuid=65534", "--clear-groups"];
    let bound = "prlimit --pid $$ --nproc=150:150";
    if !rustix::process::geteuid().is_root() {
        // The count of a user namespace of its own, in which nobody else comes and goes.
        match can("unshare", &["--user", "true"]) {
            true => assert!(play_by("unshare", &["--user"], bound, "rlimit.nproc")),
            false => eprintln!("skipped: no user namespace can be made here"),
        }
        return;
    }
    // As it is played: setpriv(1) itself may still do what the user may not.
    let probe = format!("exec {ITSELF} --exact no::such::test");
    if !can("setpriv", &[&NOBODY[..], &["sh", "-c", &probe]].concat()) {
        eprintln!("skipped: root is not bound, and no other user can be had here (setpriv(1))");
        return;
    }
    assert!(play_by("setpriv", &NOBODY, bound, "rlimit.nproc"));
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

/// A shell in namespaces of its own that has said a line, and ends when its input does.
struct Elsewhere(std::process::Child);

impl Elsewhere {
    /// `None` where such namespaces cannot be made. `first` is done before it says so.
    fn start(arguments: &[&str], first: &str) -> Option<Self> {
        let mut child = Command::new("unshare")
            .args(["--user", "--map-root-user"])
            .args(arguments)
            .args(["sh", "-c", &format!("{first} && echo in && read line")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut said = String::new();
        let _ended =
            std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take()?), &mut said);
        let mut made = Self(child);
        if said == "in\n" {
            return Some(made);
        }
        made.end();
        None
    }

    fn end(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn the_figures_of_another_network_namespace_are_its_own_or_unknown() {
    let set = "echo 77 > /proc/sys/net/core/somaxconn && echo '40000 40099' > /proc/sys/net/ipv4/ip_local_port_range";
    let Some(mut elsewhere) = Elsewhere::start(&["--net"], set) else {
        eprintln!("skipped: no network namespace can be made here");
        return;
    };
    let pid = elsewhere.0.id();
    let is_root = rustix::process::geteuid().is_root();
    let readings = limits::read(pid);
    for (name, own) in [("net.core.somaxconn", 77), ("net.ipv4.ip_local_port_range", 100)] {
        let reading = readings.iter().find(|one| one.name == name).unwrap();
        assert!(reading.value == Some(own) || (reading.value.is_none() && !is_root), "{reading:?}");
        assert!(reading.note.is_some());
    }
    let sampler = MachineSampler::of(pid);
    let before = sampler.sample();
    assert_eq!((before.listen_overflows, before.tcp_in_use), (Some(0), Some(0)));
    elsewhere.end();
    let after = sampler.sample();
    assert!(after.listen_overflows == before.listen_overflows || !is_root, "{after:?}");
    assert!(matches!(after.tcp_in_use, None | Some(0)), "never those of this namespace");
    assert_eq!(after.cgroup.map(|group| group.pid), before.cgroup.map(|_| pid));
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
    let died = |end| Observation {
        cgroup: before.cgroup.as_ref().zip(after.cgroup.as_ref()),
        ended: Ended::parse(&how),
        ..Observation::new(end, "worker", "died", 0)
    };
    for end in [End::Client, End::Target] {
        let got = classify(&died(end), &readings, Some((&before, &after)));
        assert_eq!((got.limit, got.limit_value), (Some("cgroup.memory.max"), Some(BOUND)), "{how}: {got:#?}");
        assert_eq!(got.confidence, Confidence::Confirmed, "{got:#?}");
    }
    let observation = died(End::Target);
    // Without the kernel's count it is anybody's signal.
    let got = classify(&observation, &readings, Some((&after, &after)));
    assert_eq!(got.limit, Some("cgroup.memory.max"), "the group's own count tells");
    let spared = Observation { cgroup: after.cgroup.as_ref().map(|group| (group, group)), ..observation };
    assert_eq!(classify(&spared, &readings, Some((&after, &after))).limit, None);
}

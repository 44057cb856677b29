use std::io::{Read, Write};
use std::net::TcpStream;

use brink_host::descent::check_readable;

use super::*;

/// A server in Python, which every machine that builds this has not: then the test says so.
fn python() -> bool {
    let there = Command::new("python3").arg("-c").arg("").status().is_ok_and(|status| status.success());
    if !there {
        eprintln!("skipped: there is no python3");
    }
    there
}

/// Listens, answers nothing, and has a child in a session of its own; writes that child's pid on each connection.
const FORKING: &str = r#"
import os, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
child = os.fork()
if child == 0:
    os.setsid()
    while True:
        os.read(os.pipe()[0], 1)
sys.stdout.write("not a ready line\n" * 100000)
while True:
    connection = listener.accept()[0]
    try:
        connection.sendall(b"%d\n" % child)
    except OSError:
        pass
    connection.close()
"#;

fn forking(name: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(FORKING.as_bytes()).unwrap();
    let command = format!("python3 -u '{}' {{port}}", path.display());
    (dir, command)
}

fn pid_of_child(address: SocketAddr) -> u32 {
    let mut text = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn a_foreign_server_is_ready_when_its_port_is_and_leaves_nobody_behind() {
    if !python() {
        return;
    }
    let (_dir, command) = forking("a server.py");
    for dropped in [true, false] {
        let mut target = start_command(&command, None).unwrap();
        assert_eq!(target.ready, None);
        assert_eq!(target.died(), None);
        let (pid, child) = (target.pid(), pid_of_child(target.address));
        assert!(check_readable(pid).is_ok() && check_readable(child).is_ok());
        if dropped {
            drop(target);
        } else {
            assert_eq!(target.stop(|| false), Ending::Stopped);
        }
        assert!(check_readable(pid).is_err(), "the server still runs");
        assert!(check_readable(child).is_err(), "its child still runs, in a session of its own");
    }
}

#[test]
fn one_that_dies_takes_its_family_along_and_is_reported() {
    if !python() {
        return;
    }
    let (_dir, command) = forking("server.py");
    let mut target = start_command(&command, None).unwrap();
    let child = pid_of_child(target.address);
    kill_process(target.family.pid, Signal::KILL).unwrap();
    assert!(wait_until(Instant::now() + Duration::from_secs(10), || target.died().is_some()));
    assert!(target.died().unwrap().contains("signal: 9"));
    assert!(check_readable(child).is_err());
    assert!(matches!(target.stop(|| panic!("it is gone")), Ending::Died(how) if how.contains("signal: 9")));
}

#[test]
fn what_does_not_come_up_says_why_in_one_line() {
    let why = |command: &str| start_command(command, None).err().unwrap();
    assert_eq!(
        why("no-such-server-at-all {port}"),
        "command: there is no program `no-such-server-at-all` here"
    );
    let said = why("sh -c 'echo it is broken >&2; exit 3' {port}");
    assert!(said.contains("`sh`") && said.ends_with("it is broken"), "{said}");
    let said = why("false {port}");
    assert!(said.contains("ended at once") && said.contains("exit status: 1"), "{said}");
    assert!(why("echo hello").contains("`hello`"), "without a port only a ready line will do");
    assert!(why("echo hello").contains("{port}"), "what else would do");
    assert!(why("'x").contains("quote"));
    let binary = why("sh -c 'head -c 2000000 /dev/zero'");
    assert!(binary.len() < 500 && !binary.contains('\0'), "{} bytes", binary.len());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    assert!(start_command("sleep 600", Some(port)).err().unwrap().contains("in use"));
}

#[test]
fn a_port_that_was_lost_to_another_is_tried_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    // The first one waits until its second port is taken, and ends; the second one comes up.
    let script = format!(
        "cd {}; [ -e lost ] && echo \"$LINE\" && exec sleep 600; echo $0 >at; mv at lost; while [ ! -e taken ]; do :; done; exit 2",
        dir.path().display()
    );
    let line =
        r#"{"address":"127.0.0.1:9","control":null,"pid":1,"workers":[],"model":"py-x","version":"1"}"#;
    let script = script.replace("$LINE", &line.replace('"', "\\\""));
    std::fs::write(path("server.sh"), script).unwrap();
    let command = format!("sh -c '. {}' {{port}}", path("server.sh").display());
    let (lost, taken) = (path("lost"), path("taken"));
    let another = std::thread::spawn(move || {
        let is_there = || std::fs::read_to_string(&lost).is_ok();
        assert!(wait_until(Instant::now() + Duration::from_secs(10), is_there));
        let port: u16 = std::fs::read_to_string(&lost).unwrap().trim().parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).unwrap();
        std::fs::write(taken, "").unwrap();
        listener
    });
    let target = start_command(&command, None).unwrap();
    assert_eq!(target.address.port(), 9);
    assert_eq!(target.stop(|| false), Ending::Stopped);
    drop(another.join().unwrap());
}

#[test]
fn one_that_goes_into_the_background_is_told_of_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let command = format!(
        "sh -c 'setsid sh -c \"echo \\$\\$ >{0}; exec sleep 600\" & while [ ! -s {0} ]; do :; done' {{port}}",
        file.display()
    );
    let said = start_command(&command, None).err().unwrap();
    assert!(said.contains("ended at once") && said.contains("foreground"), "{said}");
    let pid = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    let gone = || check_readable(pid).is_err();
    assert!(wait_until(Instant::now() + Duration::from_secs(10), gone), "it still runs");
}

#[test]
fn a_ready_line_tells_where_and_what() {
    let line =
        r#"{"address":"127.0.0.1:9","control":null,"pid":1,"workers":[1,2],"model":"py-x","version":"1"}"#;
    let target =
        start_command(&format!("sh -c \"echo '{}'; exec sleep 600\"", line.replace('"', "\\\"")), None)
            .unwrap();
    assert_eq!(target.address.port(), 9);
    assert_eq!(target.ready.as_ref().unwrap().model, "py-x");
    assert_eq!(target.stop(|| false), Ending::Stopped);
}

//! Which processes of this machine listen at an address: sockets by their inodes in /proc/net/tcp, who holds
//! them by the links under /proc/PID/fd. Looks at every descriptor that may be seen, so once, not in a loop.
//! Must not guess who serves where more than one holds the socket.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;

use super::{LISTEN, canonical, each_socket};
use crate::descent;
use crate::proc_tree::ProcTree;

/// Parents looked through at most, should their pids change meanwhile.
const GENERATIONS_MAX: usize = 64;

/// Who listens at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Processes that hold such a socket, as far as they may be seen, by pid.
    pub pids: Vec<u32>,
    /// The one of them that all others descend from: of servers that fork, the first. `None`: there is no such one.
    pub top: Option<u32>,
    /// Whether a holder of each socket that listens there is among them.
    pub is_complete: bool,
}

/// The processes that listen at an address, in this process's network namespace. A socket at the very address goes
/// before one at all addresses (net/ipv4/inet_hashtables.c, compute_score). An init system that holds the socket for its
/// service (systemd.socket(5)) is left out where the service holds it, too.
///
/// # Errors
/// In words: nobody listens there, or who does may not be seen.
pub fn listener_pids(address: SocketAddr) -> Result<Listener, String> {
    listener_pids_in(&ProcTree::own(), address)
}

fn listener_pids_in(tree: &ProcTree, address: SocketAddr) -> Result<Listener, String> {
    let sockets = listening_at(tree, address).ok_or("/proc/net/tcp cannot be read")?;
    if sockets.is_empty() {
        return Err(format!("nothing listens at {address} in this network namespace"));
    }
    let mut seen = HashSet::new();
    let mut pids: Vec<u32> =
        tree.pids().into_iter().filter(|&pid| holds_any(&tree.with_pid(pid), &sockets, &mut seen)).collect();
    if pids.is_empty() {
        return Err(format!("which process listens at {address} may not be seen from here"));
    }
    pids.sort_unstable();
    let serving: Vec<u32> = pids.iter().copied().filter(|&pid| !is_init(tree, pid)).collect();
    if !serving.is_empty() {
        pids = serving;
    }
    let top = pids.iter().copied().find(|&first| pids.iter().all(|&pid| descends(tree, pid, first)));
    Ok(Listener { pids, top, is_complete: seen.len() == sockets.len() })
}

/// Inodes of the sockets that would get a connection to this address.
fn listening_at(tree: &ProcTree, address: SocketAddr) -> Option<HashSet<u64>> {
    let address = canonical(address);
    let (mut exact, mut of_all) = (HashSet::new(), HashSet::new());
    each_socket(tree, |socket| {
        if socket.state == LISTEN && socket.local.port() == address.port() {
            if socket.local.ip() == address.ip() {
                exact.extend(socket.inode);
            } else if socket.local.ip().is_unspecified() {
                of_all.extend(socket.inode);
            }
        }
        socket.state == LISTEN // these come first
    })?;
    Some(if exact.is_empty() { of_all } else { exact })
}

/// Whether a process holds one of these sockets; each that it holds is noted in `seen`.
fn holds_any(process: &ProcTree, sockets: &HashSet<u64>, seen: &mut HashSet<u64>) -> bool {
    let Ok(entries) = fs::read_dir(process.process_path("fd")) else { return false };
    let inodes = entries.filter_map(|entry| {
        let link = fs::read_link(entry.ok()?.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
    });
    let held: Vec<u64> = inodes.filter(|inode| sockets.contains(inode)).collect();
    seen.extend(&held);
    !held.is_empty()
}

fn is_init(tree: &ProcTree, pid: u32) -> bool {
    let name = tree.with_pid(pid).read_process("comm");
    pid == 1 || name.is_some_and(|name| name.trim_end() == "systemd")
}

fn descends(tree: &ProcTree, pid: u32, ancestor: u32) -> bool {
    let mut at = Some(pid);
    for _ in 0..GENERATIONS_MAX {
        match at {
            Some(one) if one == ancestor => return true,
            Some(one) if one > 1 => at = descent::parent(tree, one),
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::proc_tree::fixture;

    fn process(root: &Path, pid: u32, parent: u32, sockets: &[u64]) {
        let directory = root.join(format!("proc/{pid}"));
        fs::create_dir_all(directory.join("fd")).unwrap();
        let stat = format!("{pid} (x) S {parent} 3 4 5 6 7 8 9 10 11 0 0 14 15 16 17 1 0 9 20\n");
        fs::write(directory.join("stat"), stat).unwrap();
        for (fd, inode) in sockets.iter().enumerate() {
            symlink(format!("socket:[{inode}]"), directory.join(format!("fd/{fd}"))).unwrap();
        }
    }

    /// Sockets 11 at 127.0.0.1:7000, 12 and 13 at all addresses of 7000, 14 at 7001.
    const TABLE: &str = "heading\n\
        0: 0100007F:1B58 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 11 1\n\
        1: 00000000:1B58 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12 1\n\
        2: 00000000:1B58 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 13 1\n\
        3: 0100007F:1B59 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 14 1\n";

    #[test]
    fn the_first_of_those_that_fork_is_told() {
        let (dir, _tree) = fixture(&[("proc/net/tcp", TABLE)]);
        let own = ProcTree::at(dir.path().to_owned(), None);
        let at = |address: &str| listener_pids_in(&own, address.parse().unwrap());
        assert!(at("127.0.0.1:7000").unwrap_err().contains("may not be seen"));
        process(dir.path(), 50, 1, &[3, 11]);
        process(dir.path(), 60, 50, &[11]);
        process(dir.path(), 70, 60, &[11, 11]);
        process(dir.path(), 80, 1, &[14]);
        process(dir.path(), 1, 0, &[12, 14]);
        let prefork = at("127.0.0.1:7000").unwrap();
        assert_eq!((prefork.pids, prefork.top, prefork.is_complete), (vec![50, 60, 70], Some(50), true));
        // Of the two sockets at all addresses, one has no holder to be seen.
        let other = at("127.0.0.2:7000").unwrap();
        assert_eq!((other.pids, other.top, other.is_complete), (vec![1], Some(1), false));
        // An init system that holds it for a service is not the service.
        assert_eq!(at("127.0.0.1:7001").unwrap().pids, [80]);
        process(dir.path(), 90, 1, &[14]);
        let beside = at("127.0.0.1:7001").unwrap();
        assert_eq!((beside.pids, beside.top), (vec![80, 90], None));
        assert!(at("127.0.0.1:7009").unwrap_err().contains("nothing listens"));
    }

    #[test]
    fn this_process_is_found_by_what_it_listens_at() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        match listener_pids(listener.local_addr().unwrap()) {
            Ok(found) => assert!(found.pids.contains(&std::process::id()) && found.is_complete, "{found:?}"),
            Err(why) => println!("skipped: {why}"),
        }
    }
}

//! Sockets as /proc/net/tcp lists them: which ports a destination has taken already, and how many
//! connections wait to be accepted. Reads the whole table, so not for a loop. Must not choose ports.

mod listening;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::ports;
use crate::proc_tree::ProcTree;
pub use listening::{Listener, listener_pids};

/// Sockets looked through at most: about a second's reading.
const SOCKETS_MAX: u64 = 4_000_000;

const TIME_WAIT: u8 = 0x06;
const LISTEN: u8 = 0x0A;

/// Ephemeral ports of one source address that sockets to one destination hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairUse {
    /// Where they come from.
    pub source: IpAddr,
    /// Where they go to.
    pub destination: SocketAddr,
    /// In any state but TIME_WAIT.
    pub open: u64,
    /// In TIME_WAIT.
    pub time_wait: u64,
    /// Whether those in TIME_WAIT may be taken by a new connection once they are a second old
    /// (net.ipv4.tcp_tw_reuse; 2, the default, holds for loopback alone). `None`: not known.
    pub time_wait_is_free: Option<bool>,
}

impl PairUse {
    /// Ports that a new connection of this pair cannot have.
    #[must_use]
    pub fn ports_taken(&self) -> u64 {
        let waiting = if self.time_wait_is_free == Some(true) { 0 } else { self.time_wait };
        self.open.saturating_add(waiting)
    }
}

/// Ephemeral ports taken towards a destination, by source address, the fullest first; pairs without any
/// are left out. Of this thread's network namespace. `None`: the table cannot be read, or is too long.
#[must_use]
pub fn towards(destination: SocketAddr) -> Option<Vec<PairUse>> {
    towards_in(&ProcTree::own(), destination)
}

/// The longest accept queue of the sockets that listen at an address, in connections, in the network
/// namespace of that process. `None`: nobody listens there, or it may not be seen. Listening sockets come
/// first in the table (net/ipv4/tcp_ipv4.c, tcp_seq_start), so the rest of it is not read.
#[must_use]
pub fn accept_queue(pid: u32, address: SocketAddr) -> Option<u64> {
    accept_queue_in(&ProcTree::of(pid), address)
}

/// Whether any socket listens at an address, likewise. `None`: the tables cannot be read.
#[must_use]
pub fn is_listening(pid: u32, address: SocketAddr) -> Option<bool> {
    let tree = ProcTree::of(pid);
    tree.open_network("tcp").or_else(|| tree.open_network("tcp6"))?;
    Some(accept_queue_in(&tree, address).is_some())
}

fn towards_in(tree: &ProcTree, destination: SocketAddr) -> Option<Vec<PairUse>> {
    let (low, high) = ports::range_in(tree)?;
    let reserved = ports::reserved_in(tree);
    let is_ephemeral = |port| (low..=high).contains(&port) && reserved.binary_search(&port).is_err();
    let reuse = time_wait_reuse(tree);
    let mut pairs: Vec<PairUse> = Vec::new();
    let destination = canonical(destination);
    each_socket(tree, |socket| {
        if socket.state == LISTEN || socket.remote != destination || !is_ephemeral(socket.local.port()) {
            return true;
        }
        let source = socket.local.ip();
        let index = pairs.iter().position(|pair| pair.source == source).unwrap_or_else(|| {
            let on_loopback = source.is_loopback() && destination.ip().is_loopback();
            let time_wait_is_free = reuse.map(|mode| mode == 1 || (mode == 2 && on_loopback));
            pairs.push(PairUse { source, destination, open: 0, time_wait: 0, time_wait_is_free });
            pairs.len() - 1
        });
        match socket.state {
            TIME_WAIT => pairs[index].time_wait += 1,
            _ => pairs[index].open += 1,
        }
        true
    })?;
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.ports_taken()));
    Some(pairs)
}

/// Ephemeral ports that anybody listens on, at whatever address: connect(2) passes over a port that was bound by
/// number, or for listening, also where the address is another (net/ipv4/inet_hashtables.c, __inet_hash_connect).
/// Of this thread's network namespace. `None`: the tables or the range cannot be read.
#[must_use]
pub fn ephemeral_ports_listened_on() -> Option<u64> {
    listened_on_in(&ProcTree::own())
}

fn listened_on_in(tree: &ProcTree) -> Option<u64> {
    let (low, high) = ports::range_in(tree)?;
    let reserved = ports::reserved_in(tree);
    let mut found = Vec::new();
    each_socket(tree, |socket| {
        let port = socket.local.port();
        if socket.state == LISTEN && (low..=high).contains(&port) && reserved.binary_search(&port).is_err() {
            found.push(port);
        }
        socket.state == LISTEN
    })?;
    found.sort_unstable();
    found.dedup();
    Some(found.len() as u64)
}

/// net.ipv4.tcp_tw_reuse, which needs timestamps to be of effect.
fn time_wait_reuse(tree: &ProcTree) -> Option<u64> {
    let mode = tree.net_number("sys/net/ipv4/tcp_tw_reuse")?;
    let timestamps = tree.net_number("sys/net/ipv4/tcp_timestamps")?;
    Some(if timestamps == 0 { 0 } else { mode })
}

fn accept_queue_in(tree: &ProcTree, address: SocketAddr) -> Option<u64> {
    let address = canonical(address);
    let mut longest = None;
    each_socket(tree, |socket| {
        let is_there = socket.local.port() == address.port()
            && (socket.local.ip().is_unspecified() || socket.local.ip() == address.ip());
        if socket.state == LISTEN && is_there {
            longest = longest.max(Some(socket.receive_queue));
        }
        socket.state == LISTEN
    })?;
    longest
}

/// One line of the table: net/ipv4/tcp_ipv4.c, get_tcp4_sock.
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    /// Of a listening socket: connections that wait to be accepted.
    receive_queue: u64,
    /// By which a descriptor's link under /proc/PID/fd tells it.
    inode: Option<u64>,
}

/// Each socket of each table, until `look` has seen enough of that table. `None` where no table can be read.
fn each_socket(tree: &ProcTree, mut look: impl FnMut(&Socket) -> bool) -> Option<()> {
    let mut found = None;
    let mut count = 0;
    for name in ["tcp", "tcp6"] {
        let Some(file) = tree.open_network(name) else { continue };
        found = Some(());
        read_table(file, &mut count, &mut look)?;
    }
    found
}

fn read_table(file: File, count: &mut u64, look: &mut impl FnMut(&Socket) -> bool) -> Option<()> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = String::with_capacity(256);
    let mut is_heading = true;
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return Some(());
        }
        if std::mem::take(&mut is_heading) {
            continue;
        }
        *count += 1;
        if *count > SOCKETS_MAX {
            return None;
        }
        if !look(&parse(&line)?) {
            return Some(());
        }
    }
}

/// `0: 0100007F:8083 00000000:0000 0A 00000000:00000000 ..`
fn parse(line: &str) -> Option<Socket> {
    let mut words = line.split_whitespace().skip(1);
    let local = address(words.next()?)?;
    let remote = address(words.next()?)?;
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let receive_queue = u64::from_str_radix(words.next()?.split_once(':')?.1, 16).ok()?;
    let inode = words.nth(4).and_then(|word| word.parse().ok());
    Some(Socket { local, remote, state, receive_queue, inode })
}

/// Words of four bytes, each printed as a number of this machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

/// An IPv4 address in the dress of IPv6 is that address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n";

    fn line(local: &str, remote: &str, state: u8, queue: u64) -> String {
        fn hex(address: &str) -> String {
            let address: SocketAddr = address.parse().unwrap();
            let ip = match address.ip() {
                IpAddr::V4(ip) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
                IpAddr::V6(ip) => ip
                    .octets()
                    .chunks_exact(4)
                    .map(|four| format!("{:08X}", u32::from_ne_bytes(four.try_into().unwrap())))
                    .collect(),
            };
            format!("{ip}:{:04X}", address.port())
        }
        format!("   0: {} {} {state:02X} 00000000:{queue:08X} 00:0\n", hex(local), hex(remote))
    }

    #[test]
    fn ports_are_counted_by_pair() {
        let to = "127.0.0.1:7000";
        let tcp = [
            HEADING.to_owned(),
            line("127.0.0.1:7000", "0.0.0.0:0", LISTEN, 3),
            line("127.0.0.1:40000", to, 1, 0),
            line("127.0.0.1:40001", to, TIME_WAIT, 0),
            line("127.0.0.1:40002", to, TIME_WAIT, 0),
            line("127.0.0.1:30000", to, 1, 0), // below the range
            line("127.0.0.1:40009", to, 1, 0), // reserved
            line("127.0.0.2:40000", to, 1, 0),
            line("127.0.0.1:40003", "127.0.0.1:7001", 1, 0),
            line("127.0.0.1:7000", "127.0.0.1:40000", 1, 0),
        ]
        .concat();
        let tcp6 = format!("{HEADING}{}", line("[::ffff:127.0.0.2]:40001", "[::ffff:127.0.0.1]:7000", 1, 0));
        for (reuse, timestamps, free) in [
            ("0\n", "1\n", Some(false)),
            ("2\n", "1\n", Some(true)),
            ("1\n", "1\n", Some(true)),
            ("1\n", "0\n", Some(false)),
            ("x\n", "1\n", None),
        ] {
            let (_dir, tree) = fixture(&[
                ("proc/net/tcp", &tcp),
                ("proc/net/tcp6", &tcp6),
                ("proc/sys/net/ipv4/ip_local_port_range", "40000 40009\n"),
                ("proc/sys/net/ipv4/ip_local_reserved_ports", "40009\n"),
                ("proc/sys/net/ipv4/tcp_tw_reuse", reuse),
                ("proc/sys/net/ipv4/tcp_timestamps", timestamps),
            ]);
            let pairs = towards_in(&tree, to.parse().unwrap()).unwrap();
            let of = |source: &str| pairs.iter().find(|pair| pair.source.to_string() == source).unwrap();
            let (one, two) = (of("127.0.0.1"), of("127.0.0.2"));
            assert_eq!((one.open, one.time_wait, one.time_wait_is_free), (1, 2, free));
            assert_eq!(one.ports_taken(), if free == Some(true) { 1 } else { 3 });
            assert_eq!((two.open, two.time_wait, pairs.len()), (2, 0, 2));
            assert!(pairs[0].ports_taken() >= pairs[1].ports_taken());
        }
    }

    #[test]
    fn a_port_that_is_listened_on_counts_once() {
        let tcp = [
            HEADING.to_owned(),
            line("127.0.0.1:40000", "0.0.0.0:0", LISTEN, 0),
            line("127.0.0.2:40000", "0.0.0.0:0", LISTEN, 0),
            line("127.0.0.1:40001", "0.0.0.0:0", LISTEN, 0),
            line("127.0.0.1:40009", "0.0.0.0:0", LISTEN, 0), // reserved
            line("127.0.0.1:7000", "0.0.0.0:0", LISTEN, 0),
            line("127.0.0.1:40002", "127.0.0.1:7000", 1, 0),
            "never read\n".to_owned(),
        ]
        .concat();
        let (_dir, tree) = fixture(&[
            ("proc/net/tcp", &tcp),
            ("proc/sys/net/ipv4/ip_local_port_range", "40000 40009\n"),
            ("proc/sys/net/ipv4/ip_local_reserved_ports", "40009\n"),
        ]);
        assert_eq!(listened_on_in(&tree), Some(2));
        let (_dir, tree) = fixture(&[("proc/net/tcp", &tcp)]);
        assert_eq!(listened_on_in(&tree), None, "without a range");
    }

    #[test]
    fn the_longest_queue_of_those_that_listen_there() {
        let tcp = [
            HEADING.to_owned(),
            line("127.0.0.1:7000", "0.0.0.0:0", LISTEN, 3),
            line("0.0.0.0:7000", "0.0.0.0:0", LISTEN, 6),
            line("127.0.0.9:7000", "0.0.0.0:0", LISTEN, 99),
            line("127.0.0.1:40000", "127.0.0.1:7000", 1, 50),
            "never read\n".to_owned(),
        ]
        .concat();
        let (_dir, tree) = fixture(&[("proc/7/net/tcp", &tcp)]);
        assert_eq!(accept_queue_in(&tree, "127.0.0.1:7000".parse().unwrap()), Some(6));
        assert_eq!(accept_queue_in(&tree, "127.0.0.1:7001".parse().unwrap()), None);
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let range = ("proc/sys/net/ipv4/ip_local_port_range", "40000 40009\n");
        let to: SocketAddr = "127.0.0.1:7000".parse().unwrap();
        for table in [None, Some("heading\ngarbage\n"), Some("heading\n0: 00:1 00:2 01 0:0\n")] {
            let mut files = vec![range];
            files.extend(table.map(|text| ("proc/net/tcp", text)));
            let (_dir, tree) = fixture(&files);
            assert_eq!((towards_in(&tree, to), accept_queue_in(&tree, to)), (None, None), "{table:?}");
        }
        let (_dir, tree) = fixture(&[("proc/net/tcp", HEADING)]);
        assert_eq!(towards_in(&tree, to), None, "without a range");
    }

    #[test]
    fn sees_a_real_listener_and_its_queue() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (to, own) = (listener.local_addr().unwrap(), std::process::id());
        if accept_queue(own, to).is_none() {
            println!("skipped: /proc/net/tcp cannot be read here");
            return;
        }
        let streams: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(to).unwrap()).collect();
        assert_eq!((accept_queue(own, to), is_listening(own, to)), (Some(3), Some(true)));
        let taken: u64 = towards(to).unwrap().iter().map(|pair| pair.open).sum();
        assert_eq!(taken, streams.len() as u64);
        drop(listener);
        // A process that another test is just starting has a copy of all sockets until its exec(3).
        let is_gone = || is_listening(own, to) == Some(false);
        assert!((0..100_000).any(|_| is_gone() || {
            std::thread::yield_now();
            false
        }));
    }
}

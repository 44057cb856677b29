//! Limits of the network stack. Most are per network namespace, and /proc/sys/net shows those of
//! the reader: a process in another namespace is unknown where that may not be joined.

use super::advice::{self, Lift};
use super::{Binds, Figures, Group, Limit, MODE, Scope, Symptom};
use crate::ports;
use crate::proc_tree::ProcTree;

pub(super) const PORT_RANGE: &str = "net.ipv4.ip_local_port_range";
pub(super) const SOMAXCONN: &str = "net.core.somaxconn";

pub(super) const PORT_RANGE_ROW: Limit = Limit {
    name: PORT_RANGE,
    unit: "ports",
    binds: Binds::Client,
    scope: Scope::Process,
    group: Group::Network,
    summary: "ephemeral ports, less reserved ones, for each pair of source address and destination",
    read: |tree| {
        let source = "/proc/sys/net/ipv4/ip_local_port_range and ip_local_reserved_ports";
        let why = match namespace(tree) {
            Ok(why) => why,
            Err(why) => return Figures::unknown(source, why),
        };
        let Some((low, high)) = ports::range_in(tree) else {
            return Figures::unknown(source, "cannot be read");
        };
        let reserved = ports::reserved_in(tree).len() as u64;
        let count = u64::from(high - low) + 1 - reserved;
        let mut note =
            format!("{low} to {high} less {reserved} reserved; use is per pair of addresses and not counted");
        if let Some(why) = why {
            note = format!("{note}; {why}");
        }
        Figures { value: Some(count), source: source.to_owned(), note: Some(note), ..Figures::default() }
    },
    need: |need| need.ports(),
    // bind(2) with port 0 says EADDRINUSE when there is none left: so does a port that somebody has.
    symptoms: &[
        Symptom::names("connect", "EADDRNOTAVAIL"),
        Symptom::names("bind", "EADDRNOTAVAIL"),
        Symptom::allows("bind", "EADDRINUSE"),
    ],
    fix: |lift| ports_fix(lift, advice::sysctl),
    lasting: |lift| ports_fix(lift, advice::sysctl_lasting),
};

pub(super) const SOMAXCONN_ROW: Limit = Limit {
    name: SOMAXCONN,
    unit: "connections",
    binds: Binds::Target,
    scope: Scope::Process,
    group: Group::Network,
    summary: "connections of one listening socket that wait to be accepted; cuts the backlog of listen(2)",
    read: |tree| of_namespace(tree, "sys/net/core/somaxconn"),
    // How many wait at once follows from speeds, not from counts: no arithmetic.
    need: |_| None,
    // Seen through counters: ListenOverflows beside a connect that times out.
    symptoms: &[Symptom::allows("connect", "timeout"), Symptom::allows("connect", "ETIMEDOUT")],
    fix: |lift| {
        let live = advice::sysctl("net.core.somaxconn", &lift.to.to_string());
        format!("{live}, and start the target anew with `--backlog {}`", lift.to)
    },
    lasting: |lift| advice::sysctl_lasting("net.core.somaxconn", &lift.to.to_string()),
};

pub(super) const SYN_BACKLOG_ROW: Limit = Limit {
    name: "net.ipv4.tcp_max_syn_backlog",
    unit: "connections",
    binds: Binds::Target,
    scope: Scope::Process,
    group: Group::Network,
    summary: "handshakes under way of one listening socket; binds only without net.ipv4.tcp_syncookies",
    read: read_syn_backlog,
    need: |_| None,
    // Seen through counters: ListenDrops without ListenOverflows.
    symptoms: &[Symptom::allows("connect", "timeout"), Symptom::allows("connect", "ETIMEDOUT")],
    fix: |lift| advice::sysctl("net.ipv4.tcp_max_syn_backlog", &lift.to.to_string()),
    lasting: |lift| advice::sysctl_lasting("net.ipv4.tcp_max_syn_backlog", &lift.to.to_string()),
};

pub(super) const ABORT_ON_OVERFLOW_ROW: Limit = Limit {
    name: "net.ipv4.tcp_abort_on_overflow",
    unit: MODE,
    binds: Binds::Target,
    scope: Scope::Process,
    group: Group::Network,
    summary: "whether a connection that finds the accept queue full is reset (1) or left to try again (0)",
    read: |tree| of_namespace(tree, "sys/net/ipv4/tcp_abort_on_overflow"),
    need: |_| None,
    // It changes what a full queue looks like; the limit is the queue.
    symptoms: &[],
    fix: |_| advice::sysctl("net.ipv4.tcp_abort_on_overflow", "0"),
    lasting: |_| advice::sysctl_lasting("net.ipv4.tcp_abort_on_overflow", "0"),
};

/// A range that is large enough, or more pairs of addresses where none is.
fn ports_fix(lift: &Lift<'_>, command: fn(&str, &str) -> String) -> String {
    /// From 1024, the first port that takes no rights, to the last.
    const PORTS_MAX: u64 = 64_512;
    /// For those who listen on ports of the range, or leave one in TIME_WAIT.
    const OTHERS: u64 = 100;
    if lift.to <= PORTS_MAX {
        let ports = (lift.to + OTHERS).min(PORTS_MAX);
        let range = format!("{} 65535", 65_536 - ports);
        return format!("{}, or more source addresses (`--source-ip`)", command(PORT_RANGE, &range));
    }
    let more = lift.to.div_ceil(PORTS_MAX);
    let whole = command(PORT_RANGE, "1024 65535");
    format!("{more} times the source addresses (`--source-ip`) or destination ports, and {whole}")
}

/// net/ipv4/tcp_input.c, tcp_conn_request: looked at only where SYN cookies are off (`CONFIG_SYN_COOKIES`
/// missing included); then a quarter of it is kept for peers that are known.
fn read_syn_backlog(tree: &ProcTree) -> Figures {
    let figures = of_namespace(tree, "sys/net/ipv4/tcp_max_syn_backlog");
    let Some(set) = figures.value else { return figures };
    match tree.net_number("sys/net/ipv4/tcp_syncookies") {
        Some(0) => figures,
        Some(_) => {
            let note = Some(format!("does not bind with SYN cookies on (it is set to {set})"));
            Figures { value: None, note, ..figures }
        }
        None => {
            let note = Some(format!("cannot tell whether SYN cookies are on (it is set to {set})"));
            Figures { value: None, note, ..figures }
        }
    }
}

/// One number under /proc/sys that each network namespace has for itself.
pub(super) fn of_namespace(tree: &ProcTree, name: &str) -> Figures {
    let source = format!("/proc/{name}");
    match (namespace(tree), tree.net_number(name)) {
        (Ok(note), Some(value)) => Figures { value: Some(value), source, note, ..Figures::default() },
        (Ok(_), None) => Figures::unknown(source, "cannot be read"),
        (Err(why), _) => Figures::unknown(source, why),
    }
}

/// Whether these files are those the process meets: a note where that cannot be checked, an
/// error where they are not.
pub(super) fn namespace(tree: &ProcTree) -> Result<Option<String>, &'static str> {
    match tree.shares_namespace("net") {
        Some(true) => Ok(None),
        Some(false) if tree.read_net_sysctl("sys/net/ipv4/ip_local_port_range").is_some() => {
            Ok(Some("of the process's network namespace, which is not this one".to_owned()))
        }
        Some(false) => Err("the process is in another network namespace, which may not be joined from here"),
        None => Ok(Some("could not check that the process shares this network namespace".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::proc_tree::fixture;

    #[test]
    fn ports_are_those_of_the_range_less_the_reserved() {
        let (_dir, tree) = fixture(&[
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("proc/sys/net/ipv4/ip_local_reserved_ports", "80,40000-40009\n"),
        ]);
        assert_eq!((PORT_RANGE_ROW.read)(&tree).value, Some(28_222));
    }

    #[test]
    fn another_network_namespace_is_unknown() {
        let (dir, tree) = fixture(&[
            ("proc/sys/net/core/somaxconn", "4096\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "1 9\n"),
        ]);
        let (own, other) = (dir.path().join("proc/self/ns"), dir.path().join("proc/7/ns"));
        std::fs::create_dir_all(&own).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        symlink("net:[1]", own.join("net")).unwrap();
        let unchecked = (SOMAXCONN_ROW.read)(&tree);
        assert!(unchecked.value == Some(4096) && unchecked.note.is_some());
        symlink("net:[1]", other.join("net")).unwrap();
        assert_eq!((SOMAXCONN_ROW.read)(&tree).note, None);
        std::fs::remove_file(other.join("net")).unwrap();
        symlink("net:[2]", other.join("net")).unwrap();
        assert_eq!((SOMAXCONN_ROW.read)(&tree).value, None);
        assert_eq!((PORT_RANGE_ROW.read)(&tree).value, None);
    }

    #[test]
    fn the_fix_is_a_range_that_exists() {
        let fix = |to| (PORT_RANGE_ROW.fix)(&Lift::to(to));
        assert!(fix(64_512).contains("'1024 65535'"));
        assert!(fix(30_000).contains("'35436 65535'"));
        assert!(fix(64_513).starts_with("2 times"));
    }

    #[test]
    fn handshakes_under_way_are_bounded_only_without_cookies() {
        for (cookies, value) in
            [(Some("0\n"), Some(512)), (Some("1\n"), None), (Some("2\n"), None), (None, None)]
        {
            let mut files = vec![("proc/sys/net/ipv4/tcp_max_syn_backlog", "512\n")];
            files.extend(cookies.map(|text| ("proc/sys/net/ipv4/tcp_syncookies", text)));
            let (_dir, tree) = fixture(&files);
            let figures = read_syn_backlog(&tree);
            assert_eq!(figures.value, value, "{cookies:?}");
            assert!(figures.note.is_some());
        }
    }
}

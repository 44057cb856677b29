//! Limits of the network stack. Most are per network namespace, and /proc/sys/net shows those of
//! the reader, so a process in another namespace is unknown.

use super::kernel_rows::sysctl;
use super::{Binds, Figures, Limit, Scope, Symptom};
use crate::ports;
use crate::proc_tree::ProcTree;

pub(super) const PORT_RANGE: &str = "net.ipv4.ip_local_port_range";
pub(super) const SOMAXCONN: &str = "net.core.somaxconn";

pub(super) const PORT_RANGE_ROW: Limit = Limit {
    name: PORT_RANGE,
    unit: "ports",
    binds: Binds::Client,
    scope: Scope::Process,
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
    symptoms: &[Symptom::names("connect", "EADDRNOTAVAIL"), Symptom::names("bind", "EADDRNOTAVAIL")],
    fix: |needed| {
        if needed <= 64_512 {
            let low = 65_536 - needed;
            format!(
                "as root: `sysctl -w net.ipv4.ip_local_port_range=\"{low} 65535\"`, or more source addresses (`--source-ip`)"
            )
        } else {
            let more = needed.div_ceil(64_512);
            format!(
                "{more} times the source addresses (`--source-ip`) or destination ports, and as root \
                 `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`"
            )
        }
    },
};

pub(super) const SOMAXCONN_ROW: Limit = Limit {
    name: SOMAXCONN,
    unit: "connections",
    binds: Binds::Target,
    scope: Scope::Process,
    summary: "connections of one listening socket that wait to be accepted; cuts the backlog of listen(2)",
    read: |tree| match namespace(tree) {
        Ok(note) => {
            let figures = sysctl(tree, "sys/net/core/somaxconn");
            Figures { note: figures.note.or(note), ..figures }
        }
        Err(why) => Figures::unknown("/proc/sys/net/core/somaxconn", why),
    },
    // How many wait at once follows from speeds, not from counts: no arithmetic.
    need: |_| None,
    // Seen through counters: ListenOverflows beside a connect that times out.
    symptoms: &[Symptom::allows("connect", "timeout"), Symptom::allows("connect", "ETIMEDOUT")],
    fix: |needed| {
        format!("as root: `sysctl -w net.core.somaxconn={needed}`, and `--backlog {needed}` on the target")
    },
};

/// Whether these files are those the process meets: a note where that cannot be checked, an
/// error where they are not.
fn namespace(tree: &ProcTree) -> Result<Option<String>, &'static str> {
    match tree.shares_namespace("net") {
        Some(true) => Ok(None),
        Some(false) => Err("the process is in another network namespace"),
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
        assert!((PORT_RANGE_ROW.fix)(64_512).contains("\"1024 65535\""));
        assert!((PORT_RANGE_ROW.fix)(30_000).contains("\"35536 65535\""));
        assert!((PORT_RANGE_ROW.fix)(64_513).starts_with("2 times"));
    }
}

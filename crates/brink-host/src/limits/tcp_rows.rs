//! Limits on what TCP and connection tracking hold: buffers, TIME_WAIT, orphans, entries.
//! See tcp(7) and the kernel's networking/ip-sysctl and networking/nf_conntrack-sysctl.

use std::path::Path;

use super::advice;
use super::net_rows::{namespace, of_namespace};
use super::{Binds, Figures, Group, Limit, Scope, Symptom};
use crate::proc_tree::{ProcTree, page_bytes};
use crate::usage::{conntrack, sockstat_of_tcp};

pub(super) const TCP_MEM: &str = "net.ipv4.tcp_mem";
pub(super) const MAX_ORPHANS: &str = "net.ipv4.tcp_max_orphans";
pub(super) const CONNTRACK: &str = "net.netfilter.nf_conntrack_max";
const MAX_TIME_WAIT: &str = "net.ipv4.tcp_max_tw_buckets";

/// Why a setting of the whole machine may not be there.
const FIRST_NAMESPACE_ONLY: &str = "cannot be read: only the machine's first network namespace shows it";

pub(super) const MEM_ROW: Limit = Limit {
    name: TCP_MEM,
    unit: "pages",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Network,
    summary: "pages that all TCP sockets of the machine may hold in their buffers; an idle connection holds none",
    read: read_tcp_mem,
    need: |need| Some(need.buffered_bytes()?.div_ceil(page_bytes())).filter(|&pages| pages > 0),
    symptoms: &[Symptom::allows("*", "ENOBUFS")],
    fix: |lift| advice::sysctl(TCP_MEM, &tcp_mem_triple(lift.to)),
    lasting: |lift| advice::sysctl_lasting(TCP_MEM, &tcp_mem_triple(lift.to)),
};

pub(super) const TIME_WAIT_ROW: Limit = Limit {
    name: MAX_TIME_WAIT,
    unit: "sockets",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Network,
    summary: "sockets in TIME_WAIT; one too many is closed at once instead, and nothing fails",
    read: |tree| {
        let mut figures = of_namespace(tree, "sys/net/ipv4/tcp_max_tw_buckets");
        figures.used = sockstat_of_tcp(tree, "tw");
        figures
    },
    need: |_| None,
    // Counted by TCPTimeWaitOverflow, and no failure.
    symptoms: &[],
    fix: |lift| advice::sysctl(MAX_TIME_WAIT, &lift.to.to_string()),
    lasting: |lift| advice::sysctl_lasting(MAX_TIME_WAIT, &lift.to.to_string()),
};

pub(super) const ORPHANS_ROW: Limit = Limit {
    name: MAX_ORPHANS,
    unit: "sockets",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Network,
    summary: "sockets of the machine that no process holds any more and that still have bytes to send; one too many is reset",
    read: |tree| {
        let used = sockstat_of_tcp(tree, "orphan");
        let source = "/proc/sys/net/ipv4/tcp_max_orphans";
        let set = tree.read_first_net_sysctl("sys/net/ipv4/tcp_max_orphans");
        match set.and_then(|text| text.trim().parse().ok()) {
            Some(value) => {
                Figures { value: Some(value), used, source: source.to_owned(), ..Figures::default() }
            }
            None => Figures { used, ..Figures::unknown(source, FIRST_NAMESPACE_ONLY) },
        }
    },
    need: |_| None,
    // Seen through counters: TCPAbortOnMemory beside resets.
    symptoms: &[],
    fix: |lift| advice::sysctl(MAX_ORPHANS, &lift.to.to_string()),
    lasting: |lift| advice::sysctl_lasting(MAX_ORPHANS, &lift.to.to_string()),
};

pub(super) const CONNTRACK_ROW: Limit = Limit {
    name: CONNTRACK,
    unit: "entries",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Network,
    summary: "connections that connection tracking remembers, those closed minutes ago included; one too many is dropped in silence",
    read: read_conntrack,
    need: |need| Some(need.connections),
    symptoms: &[Symptom::allows("connect", "timeout"), Symptom::allows("connect", "ETIMEDOUT")],
    fix: |lift| {
        let live = advice::sysctl(CONNTRACK, &lift.to.to_string());
        format!(
            "{live}, in the machine's first network namespace; or do not track these connections (`notrack`)"
        )
    },
    lasting: |lift| {
        let lasting = advice::sysctl_lasting(CONNTRACK, &lift.to.to_string());
        format!(
            "{lasting}, and `nf_conntrack` in /etc/modules-load.d, since the name is there only once that is loaded"
        )
    },
};

/// The three values of tcp_mem: calm below the first, pressure from the second, the most there is. The kernel
/// sets them in the ratio 3 to 4 to 6 (net/ipv4/tcp.c, tcp_init_mem).
fn tcp_mem_triple(pages: u64) -> String {
    format!("{} {} {pages}", pages / 2, pages.saturating_mul(2) / 3)
}

fn read_tcp_mem(tree: &ProcTree) -> Figures {
    let source = "/proc/sys/net/ipv4/tcp_mem, third value, and /proc/net/sockstat".to_owned();
    let used = sockstat_of_tcp(tree, "mem");
    let Some(text) = tree.read_first_net_sysctl("sys/net/ipv4/tcp_mem") else {
        return Figures { used, ..Figures::unknown(source, FIRST_NAMESPACE_ONLY) };
    };
    let value = text.split_whitespace().nth(2).and_then(|word| word.parse().ok());
    let note = match value {
        None => Some("not in the expected form".to_owned()),
        Some(_) => Some(format!("in pages of {} bytes", page_bytes())),
    };
    Figures { value, used, source, note, ..Figures::default() }
}

/// The kernel tracks only where a rule asks for it, and shows the files all the same. So a table that holds
/// nothing and has never dropped anything counts as no limit.
fn read_conntrack(tree: &ProcTree) -> Figures {
    let source = "/proc/sys/net/netfilter/nf_conntrack_max and nf_conntrack_count";
    let note = match namespace(tree) {
        Ok(note) => note,
        Err(why) => return Figures::unknown(source, why),
    };
    let Some(set) = tree.net_number("sys/net/netfilter/nf_conntrack_max") else {
        let why = if tracking_is_not_loaded(tree) {
            "no limit: connection tracking is not loaded"
        } else {
            "cannot be read, or not in the expected form"
        };
        return Figures::unknown(source, why);
    };
    let used = tree.net_number("sys/net/netfilter/nf_conntrack_count");
    let drops = conntrack(tree).drops;
    let (value, note) = match (used, drops.unwrap_or(0)) {
        (None, _) => {
            (None, Some(format!("cannot tell whether connections are tracked (it is set to {set})")))
        }
        (Some(0), 0) => (None, Some(format!("no connection is tracked here (it is set to {set})"))),
        // 0 stands for no limit: net/netfilter/nf_conntrack_core.c.
        _ if set == 0 => (None, Some("0: no limit".to_owned())),
        (Some(_), _) => (Some(set), note),
    };
    Figures { value, used, source: source.to_owned(), note, ..Figures::default() }
}

/// Older kernels leave the setting out of a network namespace that belongs to a user namespace
/// (net/netfilter/nf_conntrack_standalone.c), so that it is missing is not all that is asked.
fn tracking_is_not_loaded(tree: &ProcTree) -> bool {
    tree.lacks("sys/net/netfilter/nf_conntrack_max", "sys/net")
        && tree.read_network("stat/nf_conntrack").is_none()
        && !tree.has_absolute(Path::new("/sys/module/nf_conntrack"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Lift;
    use crate::proc_tree::fixture;

    const SOCKSTAT: (&str, &str) = ("proc/net/sockstat", "TCP: inuse 5 orphan 11 tw 7 alloc 9 mem 2\n");

    #[test]
    fn buffers_orphans_and_time_wait_know_their_use() {
        let (_dir, tree) = fixture(&[
            SOCKSTAT,
            ("proc/sys/net/ipv4/tcp_mem", "100\t200\t300\n"),
            ("proc/sys/net/ipv4/tcp_max_orphans", "50\n"),
            ("proc/sys/net/ipv4/tcp_max_tw_buckets", "60\n"),
        ]);
        for (row, value, used) in [(&MEM_ROW, 300, 2), (&ORPHANS_ROW, 50, 11), (&TIME_WAIT_ROW, 60, 7)] {
            let figures = (row.read)(&tree);
            assert_eq!((figures.value, figures.used), (Some(value), Some(used)), "{}", row.name);
        }
        let (_dir, tree) = fixture(&[SOCKSTAT, ("proc/sys/net/ipv4/tcp_mem", "1 2\n")]);
        assert_eq!((MEM_ROW.read)(&tree).value, None);
        let hidden = (ORPHANS_ROW.read)(&tree);
        assert!(
            hidden.value.is_none() && hidden.used == Some(11) && hidden.note.unwrap().contains("namespace")
        );
    }

    #[test]
    fn connection_tracking_binds_only_where_it_tracks() {
        const MAX: (&str, &str) = ("proc/sys/net/netfilter/nf_conntrack_max", "1000\n");
        const COUNT: &str = "proc/sys/net/netfilter/nf_conntrack_count";
        const ELSE: (&str, &str) = ("proc/sys/net/core/somaxconn", "4096\n");
        const STAT: &str = "proc/net/stat/nf_conntrack";
        let dropped = "entries found drop early_drop\n00000000 0 0000000a 0\n00000000 0 1 0\n";
        for (files, value, used, word) in [
            (vec![], None, None, "cannot be read"),
            (vec![ELSE], None, None, "no limit: connection tracking is not loaded"),
            (vec![ELSE, (STAT, dropped)], None, None, "cannot be read"),
            (vec![ELSE, ("sys/module/nf_conntrack/x", "")], None, None, "cannot be read"),
            (vec![("proc/sys/net/netfilter/nf_conntrack_max", "many\n")], None, None, "cannot be read"),
            (vec![MAX], None, None, "cannot tell"),
            (vec![MAX, (COUNT, "0\n")], None, Some(0), "set to 1000"),
            (vec![MAX, (COUNT, "0\n"), (STAT, dropped)], Some(1000), Some(0), ""),
            (vec![MAX, (COUNT, "900\n")], Some(1000), Some(900), ""),
            (
                vec![("proc/sys/net/netfilter/nf_conntrack_max", "0\n"), (COUNT, "9\n")],
                None,
                Some(9),
                "no limit",
            ),
        ] {
            let (_dir, tree) = fixture(&files);
            let figures = read_conntrack(&tree);
            assert_eq!((figures.value, figures.used), (value, used), "{files:?}");
            assert!(figures.note.unwrap_or_default().contains(word), "{files:?}");
        }
    }

    #[test]
    fn tcp_mem_takes_three_values_that_rise() {
        assert!((MEM_ROW.fix)(&Lift::to(600)).contains("tcp_mem='300 400 600'"));
    }
}

//! What the network stack counts, as one process meets it: files under /proc/PID/net, which show
//! the network namespace of that process (proc_pid_net(5)). Must not compare counts.

use brink_wire::control::MachineUsage;

use crate::proc_tree::{ProcTree, page_bytes};

/// The number after a word of `TCP:` in /proc/net/sockstat: `mem`, `tw`, `orphan`, `inuse`.
/// `mem` (in pages) and `orphan` are of the whole machine, the others of the namespace.
pub(crate) fn sockstat_of_tcp(tree: &ProcTree, word: &str) -> Option<u64> {
    pair(&tree.read_network("sockstat")?, "TCP:", word)
}

/// What connection tracking counts in one namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Conntrack {
    /// Connections in the table.
    pub(crate) entries: Option<u64>,
    /// Packets dropped because no entry could be made, over all CPUs since boot.
    pub(crate) drops: Option<u64>,
}

/// From /proc/net/stat/nf_conntrack: a line of names, then one of hexadecimal numbers for each CPU. The
/// first column is the same on each line (net/netfilter/nf_conntrack_standalone.c, ct_cpu_seq_show).
pub(crate) fn conntrack(tree: &ProcTree) -> Conntrack {
    let Some(text) = tree.read_network("stat/nf_conntrack") else { return Conntrack::default() };
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let rows: Option<Vec<Vec<u64>>> = lines
        .map(|line| line.split_whitespace().map(|word| u64::from_str_radix(word, 16).ok()).collect())
        .collect();
    let Some(rows) = rows.filter(|rows| !rows.is_empty()) else { return Conntrack::default() };
    let column = |name: &str| -> Option<Vec<u64>> {
        let index = names.iter().position(|&one| one == name)?;
        rows.iter().map(|row| row.get(index).copied()).collect()
    };
    Conntrack {
        entries: column("entries").and_then(|all| all.first().copied()),
        drops: column("drop").map(|all| all.iter().fold(0, |sum: u64, one| sum.saturating_add(*one))),
    }
}

/// Fills in the figures of the network.
pub(super) fn fill(usage: &mut MachineUsage, tree: &ProcTree) {
    if let Some(sockstat) = tree.read_network("sockstat") {
        let in_use = pair(&sockstat, "TCP:", "inuse");
        // Absent where the machine has no IPv6: then there is nothing to add. Present but
        // unreadable: the sum is unknown.
        let in_use6 = match tree.read_network("sockstat6") {
            Some(sockstat6) => pair(&sockstat6, "TCP6:", "inuse"),
            None => Some(0),
        };
        usage.tcp_in_use = in_use.zip(in_use6).and_then(|(v4, v6)| v4.checked_add(v6));
        usage.tcp_time_wait = pair(&sockstat, "TCP:", "tw");
        usage.tcp_orphans = pair(&sockstat, "TCP:", "orphan");
        usage.tcp_bytes = pair(&sockstat, "TCP:", "mem").and_then(|pages| pages.checked_mul(page_bytes()));
    }
    if let Some(netstat) = tree.read_network("netstat") {
        let count = |name| column(&netstat, "TcpExt:", name);
        usage.listen_overflows = count("ListenOverflows");
        usage.listen_drops = count("ListenDrops");
        usage.tcp_abort_on_memory = count("TCPAbortOnMemory");
        usage.tcp_request_queue_drops = count("TCPReqQFullDrop");
        usage.tcp_time_wait_overflows = count("TCPTimeWaitOverflow");
        usage.tcp_memory_pressures = count("TCPMemoryPressures");
        usage.tcp_prunes = count("PruneCalled");
        usage.tcp_syn_retransmits = count("TCPSynRetrans");
    }
    if let Some(snmp) = tree.read_network("snmp") {
        usage.tcp_resets_sent = column(&snmp, "Tcp:", "OutRsts");
        usage.icmp_unreachable_sent = column(&snmp, "Icmp:", "OutDestUnreachs");
    }
    let tracked = conntrack(tree);
    (usage.conntrack_entries, usage.conntrack_drops) = (tracked.entries, tracked.drops);
}

/// The number after a word, on the line that begins with a prefix: `TCP: inuse 5 orphan 0`.
fn pair(text: &str, prefix: &str, word: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(prefix))?;
    let mut words = rest.split_whitespace();
    words.find(|&candidate| candidate == word)?;
    words.next()?.parse().ok()
}

/// A number by the name of its column: a line of names, then a line of numbers, both with the prefix.
fn column(text: &str, prefix: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
    let index = lines.next()?.split_whitespace().position(|column| column == name)?;
    lines.next()?.split_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    fn read(files: &[(&str, &str)]) -> MachineUsage {
        let (_dir, tree) = fixture(files);
        let mut usage = MachineUsage::default();
        fill(&mut usage, &tree);
        usage
    }

    #[test]
    fn counters_are_found_by_name() {
        let usage = read(&[
            (
                "proc/net/netstat",
                "TcpExt: PruneCalled TCPTimeWaitOverflow TCPMemoryPressures TCPReqQFullDrop\nTcpExt: 1 2 3 4\n",
            ),
            (
                "proc/net/snmp",
                "Icmp: InMsgs OutDestUnreachs\nIcmp: 9 5\nIcmpMsg: InType3\nIcmpMsg: 8\nTcp: OutSegs OutRsts\nTcp: 9 6\n",
            ),
            (
                "proc/net/stat/nf_conntrack",
                "entries  drop early_drop\n0000000a  00000010 00000000\n0000000a  00000002 00000001\n",
            ),
        ]);
        assert_eq!((usage.tcp_prunes, usage.tcp_time_wait_overflows), (Some(1), Some(2)));
        assert_eq!((usage.tcp_memory_pressures, usage.tcp_request_queue_drops), (Some(3), Some(4)));
        assert_eq!((usage.icmp_unreachable_sent, usage.tcp_resets_sent), (Some(5), Some(6)));
        assert_eq!((usage.conntrack_entries, usage.conntrack_drops), (Some(10), Some(18)));
        assert_eq!(usage.listen_overflows, None, "not in that kernel");
    }

    #[test]
    fn a_process_shows_its_own_namespace() {
        let (here, there) = ("TCP: inuse 5 orphan 1 tw 7 mem 2\n", "TCP: inuse 50 orphan 1 tw 70 mem 2\n");
        let usage = read(&[("proc/net/sockstat", here), ("proc/7/net/sockstat", there)]);
        assert_eq!((usage.tcp_in_use, usage.tcp_time_wait), (Some(50), Some(70)));
    }

    #[test]
    fn garbage_is_unknown() {
        for garbage in [
            "",
            "\n",
            "entries drop\n",
            "entries drop\nxyz 1\n",
            "drop\n\n",
            "entries\n1 2\n",
            "Tcp: OutRsts",
        ] {
            let usage = read(&[("proc/net/stat/nf_conntrack", garbage), ("proc/net/snmp", garbage)]);
            assert_eq!((usage.conntrack_drops, usage.tcp_resets_sent), (None, None), "{garbage:?}");
        }
    }
}

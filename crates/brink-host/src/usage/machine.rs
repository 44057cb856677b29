//! The whole machine at one instant. Must not read anything per process.

use brink_wire::control::MachineUsage;
use rustix::param::clock_ticks_per_second;

use crate::proc_tree::{ProcTree, field, page_bytes};

/// The machine now. Network figures are those of this process's network namespace, except
/// `tcp_bytes`, which the kernel counts over all of them.
///
/// Sources: proc_meminfo(5), proc_stat(5), /proc/net/sockstat, sockstat6 and netstat
/// (net/ipv4/proc.c). CPU busy time is everything but idle and iowait, stolen time included;
/// guest time is part of user time already.
#[must_use]
pub fn machine() -> MachineUsage {
    machine_in(&ProcTree::own())
}

pub(super) fn machine_in(tree: &ProcTree) -> MachineUsage {
    let mut usage = MachineUsage::default();
    if let Some(meminfo) = tree.read("meminfo") {
        usage.available_bytes = field(&meminfo, "MemAvailable:");
        usage.slab_bytes = field(&meminfo, "Slab:");
        usage.kernel_stack_bytes = field(&meminfo, "KernelStack:");
        usage.page_table_bytes = field(&meminfo, "PageTables:");
    }
    if let Some(sockstat) = tree.read("net/sockstat") {
        let in_use = pair(&sockstat, "TCP:", "inuse");
        // Absent where the machine has no IPv6: then there is nothing to add. Present but
        // unreadable: the sum is unknown.
        let in_use6 = match tree.read("net/sockstat6") {
            Some(sockstat6) => pair(&sockstat6, "TCP6:", "inuse"),
            None => Some(0),
        };
        usage.tcp_in_use = in_use.zip(in_use6).and_then(|(v4, v6)| v4.checked_add(v6));
        usage.tcp_time_wait = pair(&sockstat, "TCP:", "tw");
        usage.tcp_orphans = pair(&sockstat, "TCP:", "orphan");
        usage.tcp_bytes = pair(&sockstat, "TCP:", "mem").and_then(|pages| pages.checked_mul(page_bytes()));
    }
    if let Some(netstat) = tree.read("net/netstat") {
        usage.listen_overflows = column(&netstat, "TcpExt:", "ListenOverflows");
        usage.listen_drops = column(&netstat, "TcpExt:", "ListenDrops");
        usage.tcp_abort_on_memory = column(&netstat, "TcpExt:", "TCPAbortOnMemory");
    }
    if let Some((busy_s, steal_s)) = tree.read("stat").and_then(|stat| cpu_time(&stat)) {
        usage.cpu_busy_s = Some(busy_s);
        usage.cpu_steal_s = steal_s;
    }
    usage
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

/// Busy and stolen seconds of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal.
fn cpu_time(stat: &str) -> Option<(f64, Option<f64>)> {
    let rest = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = rest
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()
        .filter(|t: &Vec<u64>| t.len() >= 7)?;
    let steal = ticks.get(7).copied();
    let busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + steal.unwrap_or(0);
    let per_s = clock_ticks_per_second() as f64;
    Some((busy as f64 / per_s, steal.map(|ticks| ticks as f64 / per_s)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    #[test]
    fn reads_each_figure_where_it_is() {
        let (_dir, tree) = fixture(&[
            ("proc/meminfo", "MemAvailable: 10 kB\nSlab: 2 kB\nKernelStack: 3 kB\nPageTables: 4 kB\n"),
            (
                "proc/net/sockstat",
                "sockets: used 9\nTCP: inuse 5 orphan 1 tw 7 alloc 9 mem 2\nUDP: inuse 3 mem 4\n",
            ),
            ("proc/net/sockstat6", "TCP6: inuse 2\n"),
            (
                "proc/net/netstat",
                "TcpExt: A ListenDrops ListenOverflows TCPAbortOnMemory\nTcpExt: 1 22 33 44\nIpExt: X\nIpExt: 9\n",
            ),
            ("proc/stat", "cpu  100 200 300 9999 8888 10 20 70 5 6\ncpu0 1 1 1\n"),
        ]);
        let usage = machine_in(&tree);
        assert_eq!(usage.available_bytes, Some(10 * 1024));
        assert_eq!((usage.tcp_in_use, usage.tcp_orphans, usage.tcp_time_wait), (Some(7), Some(1), Some(7)));
        assert_eq!(usage.tcp_bytes, Some(2 * page_bytes()));
        assert_eq!(usage.kernel_bytes(), Some(9 * 1024 + 2 * page_bytes()));
        assert_eq!((usage.listen_drops, usage.listen_overflows), (Some(22), Some(33)));
        assert_eq!(usage.tcp_abort_on_memory, Some(44));
        let per_s = clock_ticks_per_second() as f64;
        assert_eq!((usage.cpu_busy_s, usage.cpu_steal_s), (Some(700.0 / per_s), Some(70.0 / per_s)));
    }

    #[test]
    fn missing_files_and_garbage_are_unknown() {
        let (_dir, tree) = fixture(&[]);
        assert_eq!(machine_in(&tree), MachineUsage::default());
        for garbage in
            ["", "\n", "TCP:", "TCP: inuse", "TCP: inuse x\n", "TcpExt: ListenDrops", "cpu ", "cpu  1 2 x"]
        {
            let files: Vec<(&str, &str)> =
                ["proc/meminfo", "proc/net/sockstat", "proc/net/sockstat6", "proc/net/netstat", "proc/stat"]
                    .map(|file| (file, garbage))
                    .to_vec();
            let (_dir, tree) = fixture(&files);
            assert_eq!(machine_in(&tree), MachineUsage::default(), "{garbage:?}");
        }
        let (_dir, tree) = fixture(&[("proc/net/netstat", "TcpExt: A ListenDrops\nTcpExt: 1\n")]);
        assert_eq!(machine_in(&tree).listen_drops, None, "fewer numbers than names");
    }

    #[test]
    fn reads_this_machine() {
        let usage = machine();
        assert!(usage.available_bytes.is_some() && usage.cpu_busy_s.is_some());
        assert!(usage.kernel_bytes().is_some_and(|bytes| bytes > 0));
    }
}

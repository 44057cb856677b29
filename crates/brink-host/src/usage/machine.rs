//! The whole machine at one instant. Must not read anything per process.

use std::fs::File;

use brink_wire::control::MachineUsage;
use rustix::param::clock_ticks_per_second;

use super::cgroup::CgroupCounts;
use super::network;
use crate::net_namespace;
use crate::proc_tree::{ProcTree, field};

/// The machine now, as this process meets it.
///
/// Sources: proc_meminfo(5), proc_stat(5), proc_vmstat(5), /proc/net/sockstat, sockstat6, netstat and snmp
/// (net/ipv4/proc.c), /proc/net/stat/nf_conntrack, and the files of the control groups. Network figures are
/// those of the network namespace, except `tcp_bytes` and `tcp_orphans`, which the kernel counts over all of
/// them. CPU busy time is everything but idle and iowait, stolen time included; guest time is part of user
/// time already.
#[must_use]
pub fn machine() -> MachineUsage {
    MachineSampler::own().sample()
}

/// The machine as another process meets it: the counters of its network namespace and of its
/// control groups. Made while the process lives, it still tells after it was killed.
#[derive(Debug)]
pub struct MachineSampler {
    tree: ProcTree,
    cgroup: CgroupCounts,
    /// It is in another network namespace, whose files under /proc go with it.
    hidden: bool,
    /// That namespace, which stays as long as this is open. `None`: the same, or it may not be opened.
    namespace: Option<File>,
}

impl MachineSampler {
    /// As this process meets it.
    #[must_use]
    pub fn own() -> Self {
        Self::in_tree(ProcTree::own())
    }

    /// As that process meets it, as far as it may be looked at.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self::in_tree(ProcTree::of(pid))
    }

    fn in_tree(tree: ProcTree) -> Self {
        let hidden = tree.shares_namespace("net") == Some(false);
        let namespace = hidden.then(|| File::open(tree.process_path("ns/net")).ok()).flatten();
        Self { cgroup: CgroupCounts::in_tree(&tree), tree, hidden, namespace }
    }

    /// The machine now. After a process in another network namespace has ended, network figures are `None`, unless
    /// that may be joined.
    #[must_use]
    pub fn sample(&self) -> MachineUsage {
        let mut usage = MachineUsage::default();
        fill(&mut usage, &self.tree);
        if !self.hidden || self.tree.shares_namespace("net") == Some(false) {
            network::fill(&mut usage, &self.tree);
        } else if let Some(namespace) = &self.namespace {
            // Where it cannot be joined they stay unknown.
            let _unjoined = net_namespace::within(namespace, || {
                network::fill(&mut usage, &self.tree.of_this_thread());
            });
        }
        usage.cgroup = self.cgroup.sample();
        usage
    }
}

/// What is the same for all processes.
fn fill(usage: &mut MachineUsage, tree: &ProcTree) {
    if let Some(meminfo) = tree.read("meminfo") {
        usage.available_bytes = field(&meminfo, "MemAvailable:");
        usage.slab_bytes = field(&meminfo, "Slab:");
        usage.kernel_stack_bytes = field(&meminfo, "KernelStack:");
        usage.page_table_bytes = field(&meminfo, "PageTables:");
    }
    usage.oom_kills = tree.read("vmstat").and_then(|vmstat| field(&vmstat, "oom_kill "));
    if let Some(time) = tree.read("stat").and_then(|stat| cpu_time(&stat)) {
        usage.cpu_busy_s = Some(time.busy_s);
        usage.cpu_irq_s = Some(time.irq_s);
        usage.cpu_steal_s = time.steal_s;
    }
}

/// Seconds of all CPUs.
struct CpuTime {
    busy_s: f64,
    irq_s: f64,
    steal_s: Option<f64>,
}

/// From user, nice, system, idle, iowait, irq, softirq, steal.
fn cpu_time(stat: &str) -> Option<CpuTime> {
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
    Some(CpuTime {
        busy_s: busy as f64 / per_s,
        irq_s: (ticks[5] + ticks[6]) as f64 / per_s,
        steal_s: steal.map(|ticks| ticks as f64 / per_s),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::proc_tree::{fixture, page_bytes};

    fn machine_in(tree: &ProcTree) -> MachineUsage {
        MachineSampler::in_tree(tree.clone()).sample()
    }

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
            ("proc/vmstat", "nr_free_pages 9\noom_kill 3\n"),
            ("proc/stat", "cpu  100 200 300 9999 8888 10 20 70 5 6\ncpu0 1 1 1\n"),
        ]);
        let usage = machine_in(&tree);
        assert_eq!(usage.available_bytes, Some(10 * 1024));
        assert_eq!((usage.tcp_in_use, usage.tcp_orphans, usage.tcp_time_wait), (Some(7), Some(1), Some(7)));
        assert_eq!(usage.tcp_bytes, Some(2 * page_bytes()));
        assert_eq!(usage.kernel_bytes(), Some(9 * 1024 + 2 * page_bytes()));
        assert_eq!((usage.listen_drops, usage.listen_overflows), (Some(22), Some(33)));
        assert_eq!((usage.tcp_abort_on_memory, usage.oom_kills), (Some(44), Some(3)));
        let per_s = clock_ticks_per_second() as f64;
        assert_eq!((usage.cpu_busy_s, usage.cpu_steal_s), (Some(700.0 / per_s), Some(70.0 / per_s)));
        assert_eq!(usage.cpu_irq_s, Some(30.0 / per_s));
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

    #[test]
    fn another_namespace_is_not_mistaken_for_this_one() {
        let (dir, tree) = fixture(&[
            ("proc/net/sockstat", "TCP: inuse 5\n"),
            ("proc/7/net/sockstat", "TCP: inuse 50\n"),
            ("proc/7/ns/x", ""),
            ("proc/self/ns/x", ""),
        ]);
        symlink("net:[1]", dir.path().join("proc/self/ns/net")).unwrap();
        symlink("net:[2]", dir.path().join("proc/7/ns/net")).unwrap();
        let sampler = MachineSampler::in_tree(tree);
        assert_eq!(sampler.sample().tcp_in_use, Some(50));
        std::fs::remove_dir_all(dir.path().join("proc/7")).unwrap();
        assert_eq!(sampler.sample().tcp_in_use, None, "it has ended, and this namespace is another");
    }

    #[test]
    fn another_process_tells_of_the_same_machine() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let sampler = MachineSampler::of(child.id());
        let (theirs, own) = (sampler.sample(), machine());
        assert!(theirs.listen_overflows.is_some() == own.listen_overflows.is_some());
        assert_eq!(theirs.cgroup.map(|group| group.pid), own.cgroup.map(|_| child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(sampler.sample().listen_overflows.is_some(), own.listen_overflows.is_some());
    }
}

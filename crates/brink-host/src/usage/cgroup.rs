//! What the control groups of one process count. The groups are found once, so that they still
//! tell after the process was killed. Must not say what a count means.

use std::path::{Path, PathBuf};

use brink_wire::control::CgroupUsage;

use crate::cgroup::Group;
use crate::machine::least_cpu_quota;
use crate::proc_tree::{ProcTree, field};

/// Files of the groups of one process.
#[derive(Debug)]
pub(super) struct CgroupCounts {
    tree: ProcTree,
    pid: u32,
    pids: Option<Group>,
    memory: Option<Group>,
    /// cpu.stat of the group with the least quota.
    cpu_stat: Option<PathBuf>,
}

impl CgroupCounts {
    pub(super) fn in_tree(tree: &ProcTree) -> Self {
        let pid = tree.pid().unwrap_or_else(std::process::id);
        let find = |controller| Group::of(tree, controller).ok();
        let cpu_stat = find("cpu").and_then(|group| Some(least_cpu_quota(tree, &group)?.0.join("cpu.stat")));
        Self { tree: tree.clone(), pid, pids: find("pids"), memory: find("memory"), cpu_stat }
    }

    /// `None` where no group could be found.
    pub(super) fn sample(&self) -> Option<CgroupUsage> {
        if self.pids.is_none() && self.memory.is_none() && self.cpu_stat.is_none() {
            return None;
        }
        let cpu_stat = self.cpu_stat.as_ref().and_then(|file| self.tree.read_absolute(file).ok());
        let of_cpu = |name| field(cpu_stat.as_ref()?, name);
        let memory = self.memory.as_ref();
        Some(CgroupUsage {
            pid: self.pid,
            pids_refusals: self.pids.as_ref().and_then(|group| self.sum(group, "pids.events", "max ")),
            memory_at_max: memory.and_then(|group| match group.version {
                1 => self.sum(group, "memory.failcnt", ""),
                _ => self.sum(group, "memory.events", "max "),
            }),
            // Counted where the killed process was: groups above count their other members, too.
            oom_kills: memory.and_then(|group| match group.version {
                1 => self.count(&group.directory, "memory.oom_control", "oom_kill "),
                _ => self.count(&group.directory, "memory.events", "oom_kill "),
            }),
            cpu_periods: of_cpu("nr_periods "),
            cpu_throttled_periods: of_cpu("nr_throttled "),
            // Version 2 has the one, version 1 the other.
            cpu_throttled_s: of_cpu("throttled_usec ")
                .map(|us| us as f64 / 1e6)
                .or_else(|| of_cpu("throttled_time ").map(|ns| ns as f64 / 1e9)),
        })
    }

    /// One number of a file, over the group and all above it. The root group has no such files.
    fn sum(&self, group: &Group, file: &str, name: &str) -> Option<u64> {
        let numbers = group.chain().filter_map(|directory| self.count_here(directory, file, name));
        numbers.reduce(u64::saturating_add)
    }

    /// What a group counts for its own limit. Version 2 has a file for that beside the one that counts those of
    /// the groups below as well, which may be others than that of the process (admin-guide/cgroup-v2).
    fn count_here(&self, directory: &Path, file: &str, name: &str) -> Option<u64> {
        self.count(directory, &format!("{file}.local"), name).or_else(|| self.count(directory, file, name))
    }

    fn count(&self, directory: &Path, file: &str, name: &str) -> Option<u64> {
        field(&self.tree.read_absolute(&directory.join(file)).ok()?, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    #[test]
    fn version_2_sums_the_group_and_those_above() {
        let (dir, tree) = fixture(&[
            ("proc/7/cgroup", "0::/a/b\n"),
            ("proc/self/mountinfo", "40 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            ("sys/fs/cgroup/a/pids.events", "max 3\n"),
            ("sys/fs/cgroup/a/b/pids.events", "max 4\n"),
            (
                "sys/fs/cgroup/a/b/memory.events",
                "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 5\n",
            ),
        ]);
        let counts = CgroupCounts::in_tree(&tree);
        let expected = CgroupUsage {
            pid: 7,
            pids_refusals: Some(7),
            memory_at_max: Some(9),
            oom_kills: Some(1),
            ..CgroupUsage::default()
        };
        assert_eq!(counts.sample(), Some(expected.clone()));
        // The process is gone; its groups still tell.
        std::fs::remove_dir_all(dir.path().join("proc/7")).unwrap();
        assert_eq!(counts.sample(), Some(expected));
        std::fs::remove_dir_all(dir.path().join("sys")).unwrap();
        assert_eq!(counts.sample(), Some(CgroupUsage { pid: 7, ..CgroupUsage::default() }));
    }

    #[test]
    fn what_befell_others_under_a_group_above_is_left_out() {
        let (_dir, tree) = fixture(&[
            ("proc/7/cgroup", "0::/a/b\n"),
            ("proc/self/mountinfo", "40 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            ("sys/fs/cgroup/a/pids.events", "max 30\n"),
            ("sys/fs/cgroup/a/pids.events.local", "max 2\n"),
            ("sys/fs/cgroup/a/memory.events", "max 50\noom_kill 9\n"),
            ("sys/fs/cgroup/a/memory.events.local", "max 4\noom_kill 0\n"),
            ("sys/fs/cgroup/a/b/memory.events", "max 3\noom_kill 0\n"),
        ]);
        let got = CgroupCounts::in_tree(&tree).sample().unwrap();
        assert_eq!((got.pids_refusals, got.memory_at_max, got.oom_kills), (Some(2), Some(7), Some(0)));
    }

    #[test]
    fn version_1_has_other_files() {
        let (_dir, tree) = fixture(&[
            ("proc/7/cgroup", "8:pids:/p\n4:memory:/m\n0::/\n"),
            (
                "proc/self/mountinfo",
                "39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            ),
            ("sys/fs/cgroup/pids/p/pids.events", "max 1\n"),
            ("sys/fs/cgroup/memory/m/memory.failcnt", "12\n"),
            ("sys/fs/cgroup/memory/m/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ]);
        let got = CgroupCounts::in_tree(&tree).sample().unwrap();
        assert_eq!((got.pids_refusals, got.memory_at_max, got.oom_kills), (Some(1), Some(12), Some(2)));
    }

    #[test]
    fn throttling_is_that_of_the_group_with_the_least_quota() {
        let (_dir, tree) = fixture(&[
            ("proc/7/cgroup", "0::/a/b\n"),
            ("proc/self/mountinfo", "40 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            ("sys/fs/cgroup/a/cpu.max", "50000 100000\n"),
            (
                "sys/fs/cgroup/a/cpu.stat",
                "usage_usec 5\nnr_periods 40\nnr_throttled 38\nthrottled_usec 2500000\n",
            ),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/a/b/cpu.stat", "usage_usec 5\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"),
        ]);
        let got = CgroupCounts::in_tree(&tree).sample().unwrap();
        let throttled = (got.cpu_periods, got.cpu_throttled_periods, got.cpu_throttled_s);
        assert_eq!(throttled, (Some(40), Some(38), Some(2.5)));
        let version_1 = |quota| {
            let (_dir, tree) = fixture(&[
                ("proc/7/cgroup", "4:cpu,cpuacct:/a\n"),
                (
                    "proc/self/mountinfo",
                    "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
                ),
                ("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/cpu/a/cpu.stat", "nr_periods 4\nnr_throttled 3\nthrottled_time 250000000\n"),
            ]);
            CgroupCounts::in_tree(&tree).sample()
        };
        let got = version_1("25000\n").unwrap();
        let throttled = (got.cpu_periods, got.cpu_throttled_periods, got.cpu_throttled_s);
        assert_eq!(throttled, (Some(4), Some(3), Some(0.25)));
        assert_eq!(version_1("-1\n"), None, "without a quota nothing is throttled");
    }

    #[test]
    fn a_process_without_groups_counts_nothing() {
        let (_dir, tree) = fixture(&[]);
        assert_eq!(CgroupCounts::in_tree(&tree).sample(), None);
    }
}

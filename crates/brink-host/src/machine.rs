//! What this machine is. Read once, at the start. Must not measure anything.

use std::path::{Path, PathBuf};

use brink_wire::control::Machine;

use crate::cgroup::Group;
use crate::cpus;
use crate::proc_tree::{ProcTree, field, page_bytes};

/// Facts of the machine this process runs on. What cannot be read is `None`.
#[must_use]
pub fn read() -> Machine {
    let uname = rustix::system::uname();
    let text = |word: &std::ffi::CStr| word.to_str().ok().map(str::to_owned);
    let mut machine = read_in(&ProcTree::own());
    machine.kernel = text(uname.release());
    machine.architecture = text(uname.machine());
    machine.cpus_allowed = cpus::allowed().unwrap_or_default();
    if machine.cpus == 0 {
        // No /proc/stat to count in: those this process may use are all it can know of.
        machine.cpus = u32::try_from(machine.cpus_allowed.len()).unwrap_or(u32::MAX);
    }
    machine
}

/// How many CPUs' time a process's control group may use, the least of it and all above that can be seen. `None`: no
/// quota, or unknown. admin-guide/cgroup-v2 (`cpu.max`), scheduler/sched-bwc (version 1).
#[must_use]
pub fn cpu_quota_of(pid: u32) -> Option<f64> {
    cpu_quota_in(&ProcTree::of(pid))
}

fn cpu_quota_in(tree: &ProcTree) -> Option<f64> {
    let group = Group::of(tree, "cpu").ok()?;
    least_cpu_quota(tree, &group).map(|(_, quota)| quota)
}

/// The group with the least quota, of a group and all above it that can be seen, and how many CPUs' time that is.
pub(crate) fn least_cpu_quota<'a>(tree: &ProcTree, group: &'a Group) -> Option<(&'a Path, f64)> {
    let read = |path: PathBuf| tree.read_absolute(&path).ok();
    let quota_of = |directory: &'a Path| {
        let (quota, period) = if group.version == 1 {
            (read(directory.join("cpu.cfs_quota_us"))?, read(directory.join("cpu.cfs_period_us"))?)
        } else {
            let line = read(directory.join("cpu.max"))?;
            let (quota, period) = line.trim().split_once(' ')?;
            (quota.to_owned(), period.to_owned())
        };
        // Without a quota it is `-1` in version 1 and `max` in version 2.
        let quota: f64 = quota.trim().parse().ok().filter(|quota| *quota > 0.0)?;
        let period: f64 = period.trim().parse().ok().filter(|period| *period > 0.0)?;
        Some((directory, quota / period))
    };
    group.chain().filter_map(quota_of).min_by(|a, b| a.1.total_cmp(&b.1))
}

fn read_in(tree: &ProcTree) -> Machine {
    // Each online CPU has its own line `cpuN`, after the line `cpu` of all: proc_stat(5).
    let cpus = tree.read("stat").map_or(0, |stat| {
        stat.lines()
            .filter_map(|line| line.strip_prefix("cpu"))
            .filter(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
            .count()
    });
    Machine {
        cpu_model: tree.read("cpuinfo").and_then(|cpuinfo| cpu_model(&cpuinfo)),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        memory_bytes: tree.read("meminfo").and_then(|meminfo| field(&meminfo, "MemTotal:")),
        boot_id: tree
            .read("sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty()),
        page_bytes: page_bytes(),
        cpu_quota: cpu_quota_in(tree),
        ..Machine::default()
    }
}

/// x86_64 has a name. aarch64 has none in /proc/cpuinfo, but numbers for who made it and what it is.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    let value = |name: &str| {
        cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name && !value.trim().is_empty()).then(|| value.trim().to_owned())
        })
    };
    value("model name")
        .or_else(|| Some(format!("implementer {} part {}", value("CPU implementer")?, value("CPU part")?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    #[test]
    fn reads_the_machine_it_runs_on() {
        let machine = read();
        assert!(machine.kernel.is_some() && machine.architecture.is_some());
        assert!(machine.cpus >= 1 && !machine.cpus_allowed.is_empty());
        assert!(machine.page_bytes.is_power_of_two());
        assert!(machine.memory_bytes.unwrap() > 1 << 20);
    }

    #[test]
    fn the_least_quota_of_a_group_and_those_above_counts() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let v2 = |own: &str, above: &str| {
            let (_dir, tree) = fixture(&[
                ("proc/7/cgroup", "0::/a/b\n"),
                ("proc/self/mountinfo", mounts),
                ("sys/fs/cgroup/a/b/cpu.max", own),
                ("sys/fs/cgroup/a/cpu.max", above),
            ]);
            cpu_quota_in(&tree)
        };
        assert_eq!(v2("150000 100000\n", "max 100000\n"), Some(1.5));
        assert_eq!(v2("150000 100000\n", "50000 100000\n"), Some(0.5));
        assert_eq!(v2("max 100000\n", "max 100000\n"), None);
        assert_eq!(v2("150000", "x 0"), None, "garbage");
        let mounts = "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
        for (quota, found) in [("25000\n", Some(0.25)), ("-1\n", None)] {
            let (_dir, tree) = fixture(&[
                ("proc/7/cgroup", "4:cpu,cpuacct:/a\n"),
                ("proc/self/mountinfo", mounts),
                ("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"),
            ]);
            assert_eq!(cpu_quota_in(&tree), found, "{quota}");
        }
    }

    #[test]
    fn names_processors_of_both_architectures() {
        let x86 = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some CPU @ 2.5GHz\n";
        assert_eq!(cpu_model(x86).as_deref(), Some("Some CPU @ 2.5GHz"));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(cpu_model(arm).as_deref(), Some("implementer 0x41 part 0xd0c"));
        assert_eq!(cpu_model("processor : 0\n"), None);
    }

    #[test]
    fn an_empty_tree_is_unknown() {
        let (_dir, tree) = fixture(&[]);
        let machine = read_in(&tree);
        assert_eq!((machine.memory_bytes, machine.boot_id, machine.cpus), (None, None, 0));
        let (_dir, tree) = fixture(&[("proc/stat", "cpu  1 2\ncpu0 1\ncpu5 1\nintr 5\n")]);
        assert_eq!(read_in(&tree).cpus, 2);
    }
}

//! Limits of control groups, versions 1 and 2: a process meets those of its group and of every
//! group above, and the one with the least headroom is what counts.

use std::path::{Path, PathBuf};

use super::{Binds, Figures, Limit, Scope, Symptom};
use crate::proc_tree::ProcTree;

/// Version 1 has no word for "no limit" on memory but a number close to 2^63, rounded down to a
/// page (`PAGE_COUNTER_MAX`, include/linux/page_counter.h).
const NO_LIMIT_V1: u64 = 1 << 62;

pub(super) const PIDS_ROW: Limit = Limit {
    name: "cgroup.pids.max",
    unit: "threads",
    binds: Binds::Both,
    scope: Scope::Shared,
    summary: "processes and threads of a control group, the tightest above the process",
    read: |tree| tightest(tree, &PIDS),
    need: |need| (need.threads_per_connection > 0 || need.beside.is_some()).then(|| need.threads()),
    symptoms: &[Symptom::allows("spawn", "EAGAIN")],
    fix: |needed| {
        format!(
            "as root: write {needed} to pids.max of that control group (systemd: `systemctl set-property UNIT \
             TasksMax={needed}`; a container: `--pids-limit {needed}`)"
        )
    },
};

pub(super) const MEMORY_ROW: Limit = Limit {
    name: "cgroup.memory.max",
    unit: "bytes",
    binds: Binds::Both,
    scope: Scope::Shared,
    summary: "memory of a control group, kernel memory of its sockets and threads included, the tightest above",
    read: |tree| tightest(tree, &MEMORY),
    need: |need| need.bytes(),
    symptoms: &[
        Symptom::allows("spawn", "EAGAIN"),
        Symptom::allows("*", "ENOMEM"),
        Symptom::allows("*", "ENOBUFS"),
    ],
    fix: |needed| {
        format!(
            "as root: write {needed} to memory.max (version 1: memory.limit_in_bytes) of that control group (systemd: \
             `systemctl set-property UNIT MemoryMax={needed}`; a container: `--memory {needed}`)"
        )
    },
};

/// A controller and the names of its files.
struct Controller {
    name: &'static str,
    limit_v1: &'static str,
    used_v1: &'static str,
    limit_v2: &'static str,
    used_v2: &'static str,
}

const PIDS: Controller = Controller {
    name: "pids",
    limit_v1: "pids.max",
    used_v1: "pids.current",
    limit_v2: "pids.max",
    used_v2: "pids.current",
};

const MEMORY: Controller = Controller {
    name: "memory",
    limit_v1: "memory.limit_in_bytes",
    used_v1: "memory.usage_in_bytes",
    limit_v2: "memory.max",
    used_v2: "memory.current",
};

/// Where a process's group of one controller is: cgroups(7).
struct Group {
    /// Directory of the mount, the top that can be seen.
    mount: PathBuf,
    /// Directory of the group, at or below the mount.
    directory: PathBuf,
    version: u8,
}

fn tightest(tree: &ProcTree, controller: &Controller) -> Figures {
    let source = format!("/proc/{}/cgroup", tree.process());
    let group = match group_of(tree, controller) {
        Ok(group) => group,
        Err(why) => return Figures::unknown(source, why),
    };
    let (limit_file, used_file) = match group.version {
        1 => (controller.limit_v1, controller.used_v1),
        _ => (controller.limit_v2, controller.used_v2),
    };
    let mut tightest: Option<(u64, Figures)> = None;
    let mut unreadable = None;
    for directory in group.directory.ancestors().take_while(|path| path.starts_with(&group.mount)) {
        let path = directory.join(limit_file);
        match tree.read_absolute(&path) {
            Ok(text) => {
                let Some(limit) = limit_in(&text, group.version) else {
                    unreadable = Some(format!("{} is not in the expected form", path.display()));
                    continue;
                };
                let Some(value) = limit else { continue };
                let used: Option<u64> = tree
                    .read_absolute(&directory.join(used_file))
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                let headroom = value.saturating_sub(used.unwrap_or(0));
                if tightest.as_ref().is_none_or(|(least, _)| headroom < *least) {
                    let source = path.display().to_string();
                    tightest =
                        Some((headroom, Figures { value: Some(value), used, source, ..Figures::default() }));
                }
            }
            // The root group has no such file, nor has a group whose controller is off.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !tree.has_absolute(directory) {
                    unreadable = Some(format!("{} cannot be seen from here", directory.display()));
                }
            }
            Err(error) => unreadable = Some(format!("{}: {error}", path.display())),
        }
    }
    match (tightest, unreadable) {
        (Some((_, figures)), note) => Figures { note, ..figures },
        (None, Some(why)) => Figures::unknown(source, why),
        (None, None) => Figures::unknown(
            group.directory.display().to_string(),
            format!("no limit in this control group or any above (version {})", group.version),
        ),
    }
}

/// `Some(None)` for no limit, `None` for nonsense.
fn limit_in(text: &str, version: u8) -> Option<Option<u64>> {
    match text.trim() {
        "max" => Some(None),
        number => {
            let value: u64 = number.parse().ok()?;
            Some((version != 1 || value < NO_LIMIT_V1).then_some(value))
        }
    }
}

/// Lines of /proc/PID/cgroup are `id:controllers:path`; version 2 is `0::path`. A controller that
/// version 1 does not have is version 2's, where its files exist.
fn group_of(tree: &ProcTree, controller: &Controller) -> Result<Group, String> {
    let text = tree.read_process("cgroup").ok_or("cannot be read")?;
    let mut unified = None;
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if names.split(',').any(|name| name == controller.name) {
            return place(tree, 1, controller.name, path);
        }
        if id == "0" && names.is_empty() {
            unified = Some(path);
        }
    }
    match unified {
        Some(path) => place(tree, 2, controller.name, path),
        None => Err(format!("the process is in no control group of `{}`", controller.name)),
    }
}

/// Finds the mount of a hierarchy in proc_pid_mountinfo(5):
/// `31 23 0:28 ROOT MOUNTPOINT options [optional ..] - TYPE source SUPER_OPTIONS`.
fn place(tree: &ProcTree, version: u8, controller: &str, path: &str) -> Result<Group, String> {
    let text = tree.read("self/mountinfo").ok_or("/proc/self/mountinfo cannot be read")?;
    for line in text.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (left, right): (Vec<&str>, Vec<&str>) = (left.split(' ').collect(), right.split(' ').collect());
        let (Some(root), Some(mount), Some(kind)) = (left.get(3), left.get(4), right.first()) else {
            continue;
        };
        let matches = match version {
            1 => {
                *kind == "cgroup"
                    && right.get(2).is_some_and(|all| all.split(',').any(|one| one == controller))
            }
            _ => *kind == "cgroup2",
        };
        if !matches {
            continue;
        }
        // The mount may show only a part of the hierarchy: then paths are relative to that part.
        let Ok(below) = Path::new(path).strip_prefix(root) else { continue };
        if below.components().any(|part| part == std::path::Component::ParentDir) {
            return Err(format!("the group {path} is outside this process's cgroup namespace"));
        }
        let mount = PathBuf::from(mount);
        let directory: PathBuf = mount.components().chain(below.components()).collect();
        return Ok(Group { directory, mount, version });
    }
    Err(format!("no mount shows the control group {path} of `{controller}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    const MOUNT_V2: &str = "40 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const MOUNT_V1: &str = "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn version_2_takes_the_ancestor_with_the_least_headroom() {
        let (_dir, tree) = fixture(&[
            ("proc/7/cgroup", "0::/a/b/c\n"),
            ("proc/self/mountinfo", MOUNT_V2),
            ("sys/fs/cgroup/a/pids.max", "1000\n"),
            ("sys/fs/cgroup/a/pids.current", "990\n"),
            ("sys/fs/cgroup/a/b/pids.max", "100\n"),
            ("sys/fs/cgroup/a/b/pids.current", "50\n"),
            ("sys/fs/cgroup/a/b/c/pids.max", "max\n"),
            ("sys/fs/cgroup/a/b/c/memory.max", "4096\n"),
        ]);
        let pids = (PIDS_ROW.read)(&tree);
        assert_eq!((pids.value, pids.used), (Some(1000), Some(990)));
        assert_eq!(pids.source, "/sys/fs/cgroup/a/pids.max");
        let memory = (MEMORY_ROW.read)(&tree);
        assert_eq!((memory.value, memory.used), (Some(4096), None));
    }

    #[test]
    fn version_1_beside_version_2() {
        let (_dir, tree) = fixture(&[
            ("proc/7/cgroup", "8:pids:/\n4:memory:/x/y\n0::/\n"),
            ("proc/self/mountinfo", MOUNT_V1),
            ("sys/fs/cgroup/pids/tasks", ""),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "5000000\n"),
            ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "4000000\n"),
            ("sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        let pids = (PIDS_ROW.read)(&tree);
        assert_eq!(pids.value, None);
        assert!(pids.note.unwrap().starts_with("no limit"));
        let memory = (MEMORY_ROW.read)(&tree);
        assert_eq!((memory.value, memory.used, memory.note), (Some(5_000_000), Some(4_000_000), None));
    }

    #[test]
    fn a_container_that_sees_a_part_of_the_hierarchy() {
        let (_dir, tree) = fixture(&[
            ("proc/7/cgroup", "0::/docker/abc/inner\n"),
            ("proc/self/mountinfo", "40 31 0:38 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"),
            ("sys/fs/cgroup/pids.max", "70\n"),
            ("sys/fs/cgroup/inner/pids.max", "max\n"),
        ]);
        assert_eq!((PIDS_ROW.read)(&tree).value, Some(70));
    }

    #[test]
    fn what_cannot_be_seen_is_unknown_and_says_why() {
        for (cgroup, mounts, word) in [
            ("0::/gone\n", MOUNT_V2, "cannot be seen"),
            ("0::/../other\n", MOUNT_V2, "outside"),
            ("0::/a\n", "", "no mount"),
            ("5:cpu:/\n", MOUNT_V1, "no control group"),
            ("8:pids:/\n", MOUNT_V2, "no mount"),
        ] {
            let (_dir, tree) = fixture(&[("proc/7/cgroup", cgroup), ("proc/self/mountinfo", mounts)]);
            let figures = (PIDS_ROW.read)(&tree);
            assert_eq!(figures.value, None);
            assert!(figures.note.as_ref().unwrap().contains(word), "{:?} for {cgroup:?}", figures.note);
        }
    }
}

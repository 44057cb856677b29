//! Limits of control groups, versions 1 and 2: a process meets those of its group and of every
//! group above, and the one with the least headroom is what counts.

use std::path::Path;

use super::advice::{self, Lift, Property};
use super::{Binds, Figures, Group, Limit, Scope, Symptom};
use crate::cgroup;
use crate::proc_tree::{ProcTree, field};

/// Version 1 has no word for "no limit" on memory but a number close to 2^63, rounded down to a
/// page (`PAGE_COUNTER_MAX`, include/linux/page_counter.h).
const NO_LIMIT_V1: u64 = 1 << 62;

pub(super) const PIDS: &str = "cgroup.pids.max";
pub(super) const MEMORY: &str = "cgroup.memory.max";

/// How a note begins where all groups could be read and none has a limit.
pub(crate) const NO_LIMIT: &str = "no limit in this control group or any above";

/// How a note begins where that is so of the groups that can be seen, and there are others: nothing is known then.
pub(crate) const NO_LIMIT_SEEN: &str = "none is set in the groups that can be seen from here";

const TASKS_MAX: Property = Property { file: "pids.max", systemd: "TasksMax", docker: "--pids-limit" };
const MEMORY_MAX: Property = Property { file: "memory.max", systemd: "MemoryMax", docker: "--memory" };

pub(super) const PIDS_ROW: Limit = Limit {
    name: PIDS,
    unit: "threads",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Cgroup,
    summary: "processes and threads of a control group, the tightest above the process",
    read: |tree| tightest(tree, &PIDS_FILES),
    need: |need| (need.threads_per_connection > 0 || need.beside.is_some()).then(|| need.threads()),
    symptoms: &[Symptom::allows("spawn", "EAGAIN")],
    fix: |lift| advice::cgroup(&TASKS_MAX, lift),
    lasting: |lift| advice::cgroup_lasting(&TASKS_MAX, lift),
};

pub(super) const MEMORY_ROW: Limit = Limit {
    name: MEMORY,
    unit: "bytes",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Cgroup,
    summary: "memory of a control group, kernel memory of its sockets and threads included, page cache not, the tightest above",
    read: |tree| tightest(tree, &MEMORY_FILES),
    need: |need| need.bytes(),
    symptoms: &[
        Symptom::allows("spawn", "EAGAIN"),
        Symptom::allows("*", "ENOMEM"),
        Symptom::allows("*", "ENOBUFS"),
    ],
    fix: |lift: &Lift<'_>| advice::cgroup(&MEMORY_MAX, lift),
    lasting: |lift| advice::cgroup_lasting(&MEMORY_MAX, lift),
};

/// A controller and the names of its files.
struct Controller {
    name: &'static str,
    limit_v1: &'static str,
    used_v1: &'static str,
    limit_v2: &'static str,
    used_v2: &'static str,
}

const PIDS_FILES: Controller = Controller {
    name: "pids",
    limit_v1: "pids.max",
    used_v1: "pids.current",
    limit_v2: "pids.max",
    used_v2: "pids.current",
};

const MEMORY_FILES: Controller = Controller {
    name: "memory",
    limit_v1: "memory.limit_in_bytes",
    used_v1: "memory.usage_in_bytes",
    limit_v2: "memory.max",
    used_v2: "memory.current",
};

/// The limit of one group of the chain that has one.
struct Bound {
    headroom: u64,
    figures: Figures,
}

fn tightest(tree: &ProcTree, controller: &Controller) -> Figures {
    let source = format!("/proc/{}/cgroup", tree.process());
    let group = match cgroup::Group::of(tree, controller.name) {
        Ok(group) => group,
        Err(why) => return Figures::unknown(source, why),
    };
    let mut tightest: Option<Bound> = None;
    let mut unreadable = None;
    for directory in group.chain() {
        if directory != group.directory && !counts_those_below(tree, directory, group.version, controller) {
            continue;
        }
        match bound_of(tree, &group, directory, controller) {
            Ok(Some(bound)) => {
                if tightest.as_ref().is_none_or(|least| bound.headroom < least.headroom) {
                    tightest = Some(bound);
                }
            }
            Ok(None) => {}
            Err(why) => unreadable = Some(why),
        }
    }
    let hides_some = group.hides_those_above(tree);
    match (tightest, unreadable) {
        (Some(Bound { figures, .. }), None) if hides_some => {
            let unseen = |note: &String| format!("{note}; groups above cannot be seen and may bind earlier");
            let note = figures.note.as_ref().map(unseen);
            Figures { note, ..figures }
        }
        (Some(bound), None) => bound.figures,
        (Some(Bound { figures, .. }), Some(why)) => {
            let note = figures.note.as_ref().map(|note| format!("{note}; another could not be read: {why}"));
            Figures { note, ..figures }
        }
        (None, Some(why)) => Figures::unknown(source, why),
        (None, None) if hides_some => {
            Figures::unknown(source, format!("{NO_LIMIT_SEEN}; those above them cannot be seen"))
        }
        (None, None) => Figures::unknown(
            group.directory.display().to_string(),
            format!("{NO_LIMIT} (version {})", group.version),
        ),
    }
}

/// The limit of one group, if it has one.
fn bound_of(
    tree: &ProcTree,
    group: &cgroup::Group,
    directory: &Path,
    controller: &Controller,
) -> Result<Option<Bound>, String> {
    let (limit_file, used_file) = match group.version {
        1 => (controller.limit_v1, controller.used_v1),
        _ => (controller.limit_v2, controller.used_v2),
    };
    let path = directory.join(limit_file);
    let text = match tree.read_absolute(&path) {
        Ok(text) => text,
        // The root group has no such file, nor has a group whose controller is off.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if tree.has_absolute(directory) {
                return Ok(None);
            }
            return Err(format!("{} cannot be seen from here", directory.display()));
        }
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let limit = limit_in(&text, group.version)
        .ok_or_else(|| format!("{} is not in the expected form", path.display()))?;
    let Some(value) = limit else { return Ok(None) };
    let used: Option<u64> =
        tree.read_absolute(&directory.join(used_file)).ok().and_then(|text| text.trim().parse().ok());
    let cached = if controller.name == "memory" { page_cache(tree, directory, group.version) } else { 0 };
    let used = used.map(|used| used.saturating_sub(cached));
    let mut note = if directory == group.directory {
        format!("of its control group {}", group.name_of(directory))
    } else {
        format!(
            "of the control group {}, above its own, {}",
            group.name_of(directory),
            group.name_of(&group.directory)
        )
    };
    if used.is_none() {
        note = format!("{note}; use cannot be read");
    } else if cached > 0 {
        note = format!("{note}; in use without {} MiB of page cache, which is given back", cached >> 20);
    }
    let headroom = value.saturating_sub(used.unwrap_or(0));
    let source = path.display().to_string();
    let figures = Figures { value: Some(value), used, source, note: Some(note), ..Figures::default() };
    Ok(Some(Bound { headroom, figures }))
}

/// Pages of files, in bytes: the kernel gives them back before it refuses or kills (admin-guide/cgroup-v2, memory.stat),
/// as it does those that MemAvailable counts as free. 0 where it is not told.
fn page_cache(tree: &ProcTree, directory: &Path, version: u8) -> u64 {
    // Version 1 tells those of the groups below as totals.
    let names = match version {
        1 => ["total_inactive_file ", "total_active_file "],
        _ => ["inactive_file ", "active_file "],
    };
    let Ok(text) = tree.read_absolute(&directory.join("memory.stat")) else { return 0 };
    names.iter().filter_map(|name| field(&text, name)).fold(0, u64::saturating_add)
}

/// Whether a group above counts what the groups below it use. Version 1 lets memory leave that out
/// (memory.use_hierarchy); such kernels keep the root group's at 0.
fn counts_those_below(tree: &ProcTree, directory: &Path, version: u8, controller: &Controller) -> bool {
    version != 1
        || controller.name != "memory"
        || tree
            .read_absolute(&directory.join("memory.use_hierarchy"))
            .ok()
            .is_none_or(|text| text.trim() != "0")
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
        assert!(memory.note.unwrap().contains("use cannot be read"));
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
        assert_eq!((memory.value, memory.used), (Some(5_000_000), Some(4_000_000)));
        assert_eq!(memory.source, "/sys/fs/cgroup/memory/x/memory.limit_in_bytes");
        assert_eq!(memory.note.as_deref(), Some("of the control group /x, above its own, /x/y"));
    }

    #[test]
    fn page_cache_is_not_in_use() {
        let stat = "anon 5\ninactive_file 1000000\nactive_file 500000\ntotal_inactive_file 70000\ntotal_active_file 5000\n";
        for (cgroup, mounts, files, used) in [
            (
                "0::/a\n",
                MOUNT_V2,
                [
                    "sys/fs/cgroup/a/memory.max",
                    "sys/fs/cgroup/a/memory.current",
                    "sys/fs/cgroup/a/memory.stat",
                ],
                2_500_000,
            ),
            (
                "4:memory:/a\n",
                MOUNT_V1,
                [
                    "sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                    "sys/fs/cgroup/memory/a/memory.usage_in_bytes",
                    "sys/fs/cgroup/memory/a/memory.stat",
                ],
                3_925_000,
            ),
        ] {
            let (_dir, tree) = fixture(&[
                ("proc/7/cgroup", cgroup),
                ("proc/self/mountinfo", mounts),
                (files[0], "5000000\n"),
                (files[1], "4000000\n"),
                (files[2], stat),
            ]);
            let memory = (MEMORY_ROW.read)(&tree);
            assert_eq!((memory.value, memory.used), (Some(5_000_000), Some(used)));
            assert!(memory.note.unwrap().contains("page cache"));
        }
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
    fn groups_above_a_namespace_are_not_no_groups() {
        use std::os::unix::fs::symlink;
        let read = |namespace: Option<&str>, mounts: &str, files: &[(&str, &str)]| {
            let mut all = vec![("proc/7/cgroup", "0::/a\n"), ("proc/self/mountinfo", mounts)];
            all.extend(files);
            let (dir, tree) = fixture(&all);
            if let Some(namespace) = namespace {
                std::fs::create_dir_all(dir.path().join("proc/self/ns")).unwrap();
                symlink(namespace, dir.path().join("proc/self/ns/cgroup")).unwrap();
            }
            let figures = (PIDS_ROW.read)(&tree);
            (figures.value, figures.note.unwrap())
        };
        let free = [("sys/fs/cgroup/a/pids.max", "max\n")];
        let bound = [("sys/fs/cgroup/a/pids.max", "70\n")];
        let root = [free[0], ("sys/fs/cgroup/cgroup.procs", "1\n")];
        let top = [root[0], root[1], ("sys/fs/cgroup/cgroup.type", "domain\n")];
        let part = "40 31 0:38 /a /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        let (first, other) = (Some("cgroup:[4026531835]"), Some("cgroup:[4026532000]"));
        for (namespace, mounts, files, is_told) in [
            (None, MOUNT_V2, &free[..], true),
            (first, MOUNT_V2, &free, true),
            (other, MOUNT_V2, &free, false),
            (other, MOUNT_V2, &top, false),
            // Its own mount shows the root all the same.
            (other, MOUNT_V2, &root, true),
            (first, part, &[("sys/fs/cgroup/pids.max", "max\n")], false),
        ] {
            let (value, note) = read(namespace, mounts, files);
            assert_eq!(value, None);
            assert_eq!(note.starts_with(NO_LIMIT), is_told, "{note}");
            assert_eq!(note.starts_with(NO_LIMIT_SEEN), !is_told, "{note}");
            let reading = crate::limits::LimitReading {
                name: PIDS.to_owned(),
                value,
                hard: None,
                used: None,
                source: String::new(),
                note: Some(note),
            };
            assert_eq!(crate::limits::is_no_limit(&reading), is_told);
        }
        let (value, note) = read(other, MOUNT_V2, &bound);
        assert!(value == Some(70) && note.contains("may bind earlier"), "{note}");
        assert!(!read(first, MOUNT_V2, &bound).1.contains("may bind earlier"));
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

    #[test]
    fn version_1_may_leave_those_below_out() {
        let (dir, tree) = fixture(&[
            ("proc/7/cgroup", "4:memory:/x/y\n"),
            ("proc/self/mountinfo", MOUNT_V1),
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "5000\n"),
            ("sys/fs/cgroup/memory/x/memory.use_hierarchy", "0\n"),
            ("sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "9000\n"),
        ]);
        assert_eq!((MEMORY_ROW.read)(&tree).value, Some(9000));
        std::fs::write(dir.path().join("sys/fs/cgroup/memory/x/memory.use_hierarchy"), "1\n").unwrap();
        assert_eq!((MEMORY_ROW.read)(&tree).value, Some(5000));
    }

    #[test]
    fn one_unreadable_group_does_not_hide_another_nor_pass_in_silence() {
        let (_dir, tree) = fixture(&[
            ("proc/7/cgroup", "0::/a/b\n"),
            ("proc/self/mountinfo", MOUNT_V2),
            ("sys/fs/cgroup/a/pids.max", "lots\n"),
            ("sys/fs/cgroup/a/b/pids.max", "10\n"),
            ("sys/fs/cgroup/a/b/pids.current", "3\n"),
        ]);
        let pids = (PIDS_ROW.read)(&tree);
        assert_eq!((pids.value, pids.used), (Some(10), Some(3)));
        assert!(pids.note.unwrap().contains("/sys/fs/cgroup/a/pids.max is not in the expected form"));
    }
}

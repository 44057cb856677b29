//! Where the control groups of a process are, versions 1 and 2: cgroups(7). What a group says
//! is read elsewhere.

use std::path::{Component, Path, PathBuf};

use crate::proc_tree::ProcTree;

/// Where a process's group of one controller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// Directory of the mount, the top that can be seen.
    mount: PathBuf,
    /// Directory of the group, at or below the mount.
    pub(crate) directory: PathBuf,
    /// 1 or 2.
    pub(crate) version: u8,
    /// The mount shows a part of the hierarchy, by its own word.
    is_part: bool,
}

/// The machine's first cgroup namespace, as /proc/PID/ns/cgroup names it: `CGROUP_INIT_INO` of include/linux/proc_ns.h.
const FIRST_NAMESPACE: &str = "cgroup:[4026531835]";

impl Group {
    /// The group of a controller (`pids`, `memory`).
    ///
    /// # Errors
    /// Why it cannot be told, in words.
    pub(crate) fn of(tree: &ProcTree, controller: &str) -> Result<Self, String> {
        group_of(tree, controller)
    }

    /// The group and all above it that can be seen, from the inside out.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Path> {
        self.directory.ancestors().take_while(|path| path.starts_with(&self.mount))
    }

    /// Whether there are groups above the topmost that can be seen: in a container, which has a cgroup namespace of its
    /// own or a mount of a part. It is the reader's that counts, whoever's group it is (cgroup_namespaces(7)).
    pub(crate) fn hides_those_above(&self, tree: &ProcTree) -> bool {
        // A kernel without cgroup namespaces has no such link.
        let namespace = tree.own_namespace("cgroup");
        let is_below = namespace.is_some_and(|name| name.as_os_str() != FIRST_NAMESPACE);
        (is_below || self.is_part) && !self.shows_root(tree)
    }

    /// Only the root of a hierarchy has `release_agent` (version 1), and only it has no `cgroup.type` (version 2).
    fn shows_root(&self, tree: &ProcTree) -> bool {
        let has = |file| tree.has_absolute(&self.mount.join(file));
        if self.version == 1 { has("release_agent") } else { has("cgroup.procs") && !has("cgroup.type") }
    }

    /// How a group of the chain is called within its hierarchy, as far as that can be seen: `/a/b`.
    pub(crate) fn name_of(&self, directory: &Path) -> String {
        let below = directory.strip_prefix(&self.mount).unwrap_or(directory);
        format!("/{}", below.display())
    }
}

/// Lines of /proc/PID/cgroup are `id:controllers:path`; version 2 is `0::path`. A controller that
/// version 1 does not have is version 2's, where its files exist.
fn group_of(tree: &ProcTree, controller: &str) -> Result<Group, String> {
    let text = tree.read_process("cgroup").ok_or("cannot be read")?;
    let mut unified = None;
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if names.split(',').any(|name| name == controller) {
            return place(tree, 1, controller, path);
        }
        if id == "0" && names.is_empty() {
            unified = Some(path);
        }
    }
    match unified {
        Some(path) => place(tree, 2, controller, path),
        None => Err(format!("the process is in no control group of `{controller}`")),
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
        let mount = PathBuf::from(mount);
        // The mount may show only a part of the hierarchy: then paths are relative to that part.
        if let Ok(below) = Path::new(path).strip_prefix(root) {
            if below.components().any(|part| part == Component::ParentDir) {
                return Err(format!("the group {path} is outside this process's cgroup namespace"));
            }
            let directory = mount.components().chain(below.components()).collect();
            return Ok(Group { mount, directory, version, is_part: *root != "/" });
        }
        let above = |of: &str| Path::new(of).components().filter(|one| *one == Component::ParentDir).count();
        if above(root) > above(path) {
            let below: PathBuf =
                Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))).collect();
            return match find_above(tree, &mount, above(root) - above(path), &below) {
                Some(directory) => Ok(Group { mount, directory, version, is_part: true }),
                None => Err(format!(
                    "the group {path} of this process's cgroup namespace was not found in {}",
                    mount.display()
                )),
            };
        }
    }
    Err(format!("no mount shows the control group {path} of `{controller}`"))
}

/// A mount that was made outside the reader's cgroup namespace begins some levels above it, and the names of
/// these levels are not told (cgroup_namespaces(7)): that of the process is the group whose list has it.
fn find_above(tree: &ProcTree, mount: &Path, levels: usize, below: &Path) -> Option<PathBuf> {
    /// Groups looked through at most.
    const GROUPS_MAX: usize = 4_096;
    let mut groups = vec![mount.to_owned()];
    for _ in 0..levels {
        groups = groups.iter().flat_map(|group| tree.directories_in(group)).take(GROUPS_MAX).collect();
    }
    let pid = tree.pid().unwrap_or_else(std::process::id).to_string();
    let has_it = |directory: &PathBuf| {
        let processes = tree.read_absolute(&directory.join("cgroup.procs"));
        processes.is_ok_and(|list| list.lines().any(|line| line == pid))
    };
    groups.into_iter().map(|group| group.join(below)).find(has_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    #[test]
    fn a_mount_from_outside_its_cgroup_namespace_is_searched() {
        let mounts = "39 31 0:36 /../.. /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        for (path, found) in [("/", "a/b"), ("/c", "a/b/c"), ("/../d", "a/d")] {
            let line = format!("8:pids:{path}\n");
            let list = format!("sys/fs/cgroup/pids/{found}/cgroup.procs");
            let (dir, tree) = fixture(&[
                ("proc/7/cgroup", &line),
                ("proc/self/mountinfo", mounts),
                ("sys/fs/cgroup/pids/other/one/cgroup.procs", "6\n"),
                ("sys/fs/cgroup/pids/a/b/x", ""),
                (&list, "17\n7\n"),
            ]);
            let group = Group::of(&tree, "pids").unwrap();
            assert_eq!(group.directory, Path::new("/sys/fs/cgroup/pids").join(found));
            assert_eq!(group.chain().last(), Some(Path::new("/sys/fs/cgroup/pids")));
            std::fs::remove_file(dir.path().join(&list)).unwrap();
            assert!(Group::of(&tree, "pids").unwrap_err().contains("not found"), "{path}");
        }
    }
}

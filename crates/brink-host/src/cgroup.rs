//! Where the control groups of a process are, versions 1 and 2: cgroups(7). What a group says
//! is read elsewhere.

use std::path::{Path, PathBuf};

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
}

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

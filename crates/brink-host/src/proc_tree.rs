//! Reading small files of proc(5) and of control groups, as one process meets them.
//! The root is a parameter so that tests can lay out a tree of their own.
//!
//! A file that is absent or makes no sense is `None`. Must not interpret beyond that.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::param::page_size;

/// Files as one process meets them.
#[derive(Debug, Clone)]
pub(crate) struct ProcTree {
    root: PathBuf,
    pid: Option<u32>,
}

impl ProcTree {
    /// As this process meets them.
    pub(crate) fn own() -> Self {
        Self { root: PathBuf::from("/"), pid: None }
    }

    /// As another process meets them, as far as that can be told from here.
    pub(crate) fn of(pid: u32) -> Self {
        Self { root: PathBuf::from("/"), pid: Some(pid) }
    }

    /// A tree laid out elsewhere.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf, pid: Option<u32>) -> Self {
        Self { root, pid }
    }

    /// Whose: `None` for this process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The same files, as another process meets them.
    pub(crate) fn with_pid(&self, pid: u32) -> Self {
        Self { root: self.root.clone(), pid: Some(pid) }
    }

    /// The processes that are listed under /proc, in no order; none where it cannot be listed.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(self.root.join("proc")) else { return Vec::new() };
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    }

    /// The pid, or `self`.
    pub(crate) fn process(&self) -> String {
        self.pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string())
    }

    /// Path of a file of the process: `limits` is /proc/PID/limits.
    pub(crate) fn process_path(&self, name: &str) -> PathBuf {
        self.root.join("proc").join(self.process()).join(name)
    }

    /// Path of a file under /proc.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join("proc").join(name)
    }

    /// A file of the process, whole.
    pub(crate) fn read_process(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.process_path(name)).ok()
    }

    /// A file under /proc, whole.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// A file of the network namespace of the process: `sockstat` is /proc/PID/net/sockstat. Where that
    /// is not shown, this process's own, unless it is known to be another.
    pub(crate) fn read_network(&self, name: &str) -> Option<String> {
        let mut text = String::new();
        self.open_network(name)?.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// The same, to be read bit by bit.
    pub(crate) fn open_network(&self, name: &str) -> Option<fs::File> {
        let path = format!("net/{name}");
        match self.pid {
            None => fs::File::open(self.path(&path)).ok(),
            Some(_) => fs::File::open(self.process_path(&path)).ok().or_else(|| {
                (self.shares_namespace("net") != Some(false))
                    .then(|| fs::File::open(self.path(&path)).ok())
                    .flatten()
            }),
        }
    }

    /// A file under /proc that holds one number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.read(name)?.trim().parse().ok()
    }

    /// A file by its absolute path, such as one in a control group.
    pub(crate) fn read_absolute(&self, path: &Path) -> io::Result<String> {
        fs::read_to_string(self.absolute(path))
    }

    /// Whether there is anything at an absolute path.
    pub(crate) fn has_absolute(&self, path: &Path) -> bool {
        self.absolute(path).exists()
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether the process is in the same namespace (`net`, `user`, `pid`) as this one;
    /// `None` where that may not be read.
    pub(crate) fn shares_namespace(&self, kind: &str) -> Option<bool> {
        if self.pid.is_none() {
            return Some(true);
        }
        let theirs = fs::read_link(self.process_path("ns").join(kind)).ok()?;
        let ours = fs::read_link(self.path("self/ns").join(kind)).ok()?;
        Some(theirs == ours)
    }
}

/// The number in a `Name:   123 kB` line, in bytes if it has a unit of kB. The name comes with what ends it: a colon, a space.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let mut words = rest.split_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    match words.next() {
        None => Some(number),
        Some("kB") => number.checked_mul(1024),
        Some(_) => Some(number),
    }
}

/// The size of a page, in bytes.
pub(crate) fn page_bytes() -> u64 {
    page_size() as u64
}

/// A tree with these files, of process 7. The directory goes when the first value does.
#[cfg(test)]
pub(crate) fn fixture(files: &[(&str, &str)]) -> (tempfile::TempDir, ProcTree) {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let tree = ProcTree::at(dir.path().to_owned(), Some(7));
    (dir, tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "VmRSSX:\t9 kB\nVmRSS:\t  12 kB\nThreads:\t3\nBad:\tx kB\nHuge: 18446744073709551615 kB\n";
        assert_eq!(field(text, "VmRSS:"), Some(12 * 1024));
        assert_eq!(field(text, "Threads:"), Some(3));
        assert_eq!(field(text, "Bad:"), None);
        assert_eq!(field(text, "Huge:"), None);
        assert_eq!(field(text, "None:"), None);
    }
}

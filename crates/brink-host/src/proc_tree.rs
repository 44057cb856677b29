//! Reading small files of proc(5) and of control groups, as one process meets them.
//! The root is a parameter so that tests can lay out a tree of their own.
//!
//! A file that is absent or makes no sense is `None`. Must not interpret beyond that.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::param::page_size;

use crate::net_namespace;

/// Most files of /proc that are read whole are shorter; a longer one takes a read or two more.
const TEXT_BYTES: usize = 16 << 10;

/// Files as one process meets them.
#[derive(Debug, Clone)]
pub(crate) struct ProcTree {
    root: PathBuf,
    pid: Option<u32>,
    /// Network files are those of the thread that reads.
    by_thread: bool,
}

impl ProcTree {
    /// As this process meets them.
    pub(crate) fn own() -> Self {
        Self { root: PathBuf::from("/"), pid: None, by_thread: false }
    }

    /// As another process meets them, as far as that can be told from here.
    pub(crate) fn of(pid: u32) -> Self {
        Self { root: PathBuf::from("/"), pid: Some(pid), by_thread: false }
    }

    /// A tree laid out elsewhere.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf, pid: Option<u32>) -> Self {
        Self { root, pid, by_thread: false }
    }

    /// Whose: `None` for this process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The same files, as another process meets them.
    pub(crate) fn with_pid(&self, pid: u32) -> Self {
        Self { root: self.root.clone(), pid: Some(pid), by_thread: false }
    }

    /// As the calling thread meets them, which may be in another network namespace than its process.
    pub(crate) fn of_this_thread(&self) -> Self {
        Self { root: self.root.clone(), pid: None, by_thread: true }
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
        read_text(&self.process_path(name)).ok()
    }

    /// The same, where a name in it may be no UTF-8.
    pub(crate) fn read_process_bytes(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.process_path(name)).ok()
    }

    /// Whether processes of others may be missing under /proc: its option `hidepid` (proc(5)), which does not
    /// bind root.
    pub(crate) fn hides_processes(&self) -> bool {
        let hides =
            |option: &str| option.strip_prefix("hidepid=").is_some_and(|level| !matches!(level, "0" | "off"));
        let of_proc = |line: &&str| line.split(' ').nth(4) == Some("/proc");
        let Some(mounts) = self.read("self/mountinfo") else { return false };
        // The last mount is the one that is seen.
        let last = mounts.lines().rev().find(of_proc);
        last.is_some_and(|line| line.split([' ', ',']).any(hides)) && !rustix::process::geteuid().is_root()
    }

    /// A file under /proc, whole.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        read_text(&self.path(name)).ok()
    }

    /// A file of the network namespace of the process: `sockstat` is /proc/PID/net/sockstat. Where that
    /// is not shown, this process's own, unless it is known to be another.
    pub(crate) fn read_network(&self, name: &str) -> Option<String> {
        read_rest(self.open_network(name)?).ok()
    }

    /// The same, to be read bit by bit.
    pub(crate) fn open_network(&self, name: &str) -> Option<fs::File> {
        let path = format!("net/{name}");
        match self.pid {
            None if self.by_thread => fs::File::open(self.path("thread-self").join(&path)).ok(),
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

    /// A file under /proc/sys/net, whole, of the network namespace of the process: `sys/net/core/somaxconn`. These show
    /// the namespace of the thread that reads, so that of another has to be joined, which takes CAP_SYS_ADMIN.
    pub(crate) fn read_net_sysctl(&self, name: &str) -> Option<String> {
        if self.shares_namespace("net") != Some(false) {
            return self.read(name);
        }
        let namespace = fs::File::open(self.process_path("ns/net")).ok()?;
        net_namespace::within(&namespace, || self.read(name)).ok().flatten()
    }

    /// The same, that holds one number.
    pub(crate) fn net_number(&self, name: &str) -> Option<u64> {
        self.read_net_sysctl(name)?.trim().parse().ok()
    }

    /// A file under /proc/sys/net that is there only in the machine's first network namespace and holds for all: from
    /// here, or from the namespace of process 1, by any process in it that may be followed there.
    pub(crate) fn read_first_net_sysctl(&self, name: &str) -> Option<String> {
        /// Processes tried at most.
        const PROCESSES_MAX: usize = 256;
        self.read(name).or_else(|| {
            let first = self.with_pid(1);
            let beside = |pid: &u32| first.network_inode() == self.with_pid(*pid).network_inode();
            let others = self.pids().into_iter().take(PROCESSES_MAX).filter(beside);
            let namespace = std::iter::once(1)
                .chain(others)
                .find_map(|pid| fs::File::open(self.with_pid(pid).process_path("ns/net")).ok())?;
            net_namespace::within(&namespace, || self.read(name)).ok().flatten()
        })
    }

    /// A file by its absolute path, such as one in a control group.
    pub(crate) fn read_absolute(&self, path: &Path) -> io::Result<String> {
        read_text(&self.absolute(path))
    }

    /// Whether there is anything at an absolute path.
    pub(crate) fn has_absolute(&self, path: &Path) -> bool {
        self.absolute(path).exists()
    }

    /// The directories in one, by their absolute paths; none where it cannot be listed.
    pub(crate) fn directories_in(&self, path: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.absolute(path)) else { return Vec::new() };
        let entries = entries.filter_map(Result::ok);
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.map(|entry| path.join(entry.file_name())).collect()
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The namespace of that kind that the reader is in, as its link names it: `cgroup:[4026531835]`.
    pub(crate) fn own_namespace(&self, kind: &str) -> Option<PathBuf> {
        fs::read_link(self.path("self/ns").join(kind)).ok()
    }

    /// Whether a file under /proc is not there, while its directory, or one above that, is: not the same as unreadable.
    pub(crate) fn lacks(&self, name: &str, while_there: &str) -> bool {
        let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        fs::metadata(self.path(name)).err().is_some_and(is_missing) && self.path(while_there).is_dir()
    }

    /// Whether the process is in the same namespace (`net`, `user`, `pid`) as this one; `None` where that cannot be told.
    pub(crate) fn shares_namespace(&self, kind: &str) -> Option<bool> {
        if self.pid.is_none() {
            return Some(true);
        }
        let link = |tree: &Self| fs::read_link(tree.process_path("ns").join(kind)).ok();
        let own = Self { pid: None, ..self.clone() };
        match (link(self), link(&own), kind) {
            (Some(theirs), Some(ours), _) => Some(theirs == ours),
            // That link is for those who may trace the process (ptrace(2)); these figures are for all.
            (_, _, "net") => Some(self.network_inode()? == own.network_inode()?),
            (_, _, "pid") => self.is_in_pid_namespace_of_proc(),
            _ => None,
        }
    }

    /// Each network namespace has files of its own under /proc/PID/net (fs/proc/proc_net.c).
    fn network_inode(&self) -> Option<u64> {
        Some(fs::metadata(self.process_path("net/dev")).ok()?.ino())
    }

    /// `NSpid` of proc_pid_status(5): one number for each namespace from that of /proc downwards.
    fn is_in_pid_namespace_of_proc(&self) -> Option<bool> {
        let status = self.read_process("status")?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        Some(numbers.split_whitespace().count() == 1)
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

/// The text of a file that does not tell its length, as those of /proc: in a few large reads, where reading to the end
/// without knowing takes many small ones.
fn read_text(path: &Path) -> io::Result<String> {
    read_rest(fs::File::open(path)?)
}

fn read_rest(mut file: fs::File) -> io::Result<String> {
    let mut text = String::with_capacity(TEXT_BYTES);
    file.read_to_string(&mut text)?;
    Ok(text)
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
    fn processes_are_hidden_by_an_option_of_the_mount() {
        let is_root = rustix::process::geteuid().is_root();
        for (options, hides) in [
            ("rw", false),
            ("rw,hidepid=invisible", true),
            ("rw,gid=4,hidepid=2", true),
            ("rw,hidepid=off", false),
        ] {
            let mounts =
                format!("20 1 0:4 / /proc rw - proc proc {options}\n21 1 0:5 / /sys rw - sysfs sysfs rw\n");
            let (_dir, tree) = fixture(&[("proc/self/mountinfo", &mounts)]);
            assert_eq!(tree.hides_processes(), hides && !is_root, "{options}");
        }
    }

    #[test]
    fn namespaces_are_told_without_the_right_to_trace() {
        let (dir, tree) =
            fixture(&[("proc/self/net/dev", ""), ("proc/7/net/dev", ""), ("proc/8/status", "NSpid:\t8\n")]);
        assert_eq!(tree.shares_namespace("net"), Some(false));
        fs::remove_file(dir.path().join("proc/7/net/dev")).unwrap();
        assert_eq!(tree.shares_namespace("net"), None);
        fs::hard_link(dir.path().join("proc/self/net/dev"), dir.path().join("proc/7/net/dev")).unwrap();
        assert_eq!(tree.shares_namespace("net"), Some(true));
        assert_eq!((tree.shares_namespace("pid"), tree.shares_namespace("user")), (None, None));
        assert_eq!(tree.with_pid(8).shares_namespace("pid"), Some(true));
        fs::write(dir.path().join("proc/7/status"), "NSpid:\t7\t1\n").unwrap();
        assert_eq!(tree.shares_namespace("pid"), Some(false));
    }

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

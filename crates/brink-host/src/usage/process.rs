//! One process at one instant, by reads that stay cheap at 10,000 connections or threads:
//! never smaps, never a listing of many descriptors.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use brink_wire::control::ProcessUsage;
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use crate::proc_tree::{ProcTree, field};

/// Descriptors counted one by one at most, where the kernel does not give their number.
const FDS_LISTED_MAX: usize = 1024;
/// Threads whose context switches are read one by one at most.
const THREADS_READ_MAX: u64 = 16;
/// More than /proc/PID/status ever holds (about 1.5 kB, and the list of groups).
const STATUS_BYTES_MAX: usize = 64 * 1024;

/// Samples one process. It keeps /proc/PID/status open, so that a pid that is given to
/// another process later is not taken for this one, and reuses its buffer.
///
/// - `user_bytes` is `RssAnon`, exact in kernels with commit 82241a83cd15 (get_mm_counter_sum in
///   fs/proc/task_mmu.c). Older ones leave out what each CPU has not yet added to the sum: up
///   to `percpu_counter_batch` pages per CPU, at least 32 (lib/percpu_counter.c).
/// - `fds` is the size of /proc/PID/fd, which Linux 6.2 and later give as a number. Before,
///   up to 1,024 descriptors are counted one by one; beyond that it is `None`, because the
///   listing costs milliseconds and would disturb what is measured. It is `None`, too, for
///   a process of another user.
/// - `cpu_s` is the process's CPU clock, in nanoseconds (clock_getcpuclockid(3)); where
///   that clock is refused, utime + stime of proc_pid_stat(5), in ticks.
/// - `context_switches` are summed over the live threads where there are at most 16.
#[derive(Debug)]
pub struct ProcessSampler {
    pid: u32,
    own: bool,
    tree: ProcTree,
    fd_directory: PathBuf,
    status: Option<File>,
    buffer: Vec<u8>,
    /// Whether nobody asks for context switches, which each thread has a file of its own for.
    without_switches: bool,
}

impl ProcessSampler {
    /// Of another process, by its pid. One that is not there samples as `None` throughout.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self::new(ProcTree::of(pid), pid, pid == std::process::id())
    }

    /// Of this process.
    #[must_use]
    pub fn own() -> Self {
        Self::new(ProcTree::own(), std::process::id(), true)
    }

    /// The same without its context switches, which cost more than all the rest.
    #[must_use]
    pub fn without_switches(self) -> Self {
        Self { without_switches: true, ..self }
    }

    /// Of the process that a tree belongs to.
    pub(crate) fn in_tree(tree: &ProcTree) -> Self {
        let own = std::process::id();
        match tree.pid() {
            Some(pid) => Self::new(tree.clone(), pid, pid == own),
            None => Self::new(tree.clone(), own, true),
        }
    }

    /// To count descriptors alone: it takes none itself, which would be in the count.
    pub(crate) fn of_descriptors(tree: &ProcTree) -> Self {
        let own = std::process::id();
        let pid = tree.pid().unwrap_or(own);
        let (fd_directory, tree) = (tree.process_path("fd"), tree.clone());
        Self {
            pid,
            own: pid == own,
            tree,
            fd_directory,
            status: None,
            buffer: Vec::new(),
            without_switches: false,
        }
    }

    fn new(tree: ProcTree, pid: u32, own: bool) -> Self {
        let status = File::open(tree.process_path("status")).ok();
        let fd_directory = tree.process_path("fd");
        Self { pid, own, tree, fd_directory, status, buffer: vec![0; 4096], without_switches: false }
    }

    /// The process now. After it has ended, all figures are `None`; a process that ended but
    /// was not waited for has no memory, threads or descriptors either.
    pub fn sample(&mut self) -> ProcessUsage {
        let mut usage = ProcessUsage { pid: self.pid, ..ProcessUsage::default() };
        let Some(status) = self.read_status() else { return usage };
        if ended(status) {
            return usage;
        }
        usage.user_bytes = field(status, "RssAnon:");
        usage.resident_bytes = field(status, "VmRSS:");
        usage.virtual_bytes = field(status, "VmSize:");
        usage.page_table_bytes = field(status, "VmPTE:");
        usage.threads = field(status, "Threads:");
        let switches_of_leader = field(status, "voluntary_ctxt_switches:");
        usage.context_switches = match usage.threads {
            _ if self.without_switches => None,
            Some(1) => switches_of_leader,
            Some(threads) if threads <= THREADS_READ_MAX => self.context_switches(),
            _ => None,
        };
        usage.fds = self.fds();
        usage.cpu_s = self.cpu_s();
        usage
    }

    /// The status file, from its beginning. Reading it after the process was reaped is `ESRCH`.
    fn read_status(&mut self) -> Option<&str> {
        let file = self.status.as_ref()?;
        loop {
            let length = file.read_at(&mut self.buffer, 0).ok().filter(|&length| length > 0)?;
            if length < self.buffer.len() {
                // A process may carry any bytes in its name; the kernel escapes only some.
                let text = &self.buffer[..length];
                let name_end = text.iter().position(|&byte| byte == b'\n')?;
                return std::str::from_utf8(&text[name_end..]).ok();
            }
            if self.buffer.len() >= STATUS_BYTES_MAX {
                return None;
            }
            let doubled = self.buffer.len() * 2;
            self.buffer.resize(doubled, 0);
        }
    }

    fn context_switches(&self) -> Option<u64> {
        let mut sum = 0_u64;
        for entry in fs::read_dir(self.tree.process_path("task")).ok()? {
            // A thread may end between the listing and the reading: it is not live then.
            if let Ok(status) = fs::read(entry.ok()?.path().join("status")) {
                sum += field(&String::from_utf8_lossy(&status), "voluntary_ctxt_switches:")?;
            }
        }
        Some(sum)
    }

    /// Descriptors open. Where the kernel gives the count, this takes no descriptor itself, so
    /// it works in a process that has none left.
    pub(crate) fn fds(&self) -> Option<u64> {
        self.fds_up_to(FDS_LISTED_MAX)
    }

    /// The same for one reading, not for samples: however long the listing takes where there has to be one.
    pub(crate) fn fds_however_many(&self) -> Option<u64> {
        self.fds_up_to(usize::MAX)
    }

    /// Whether a descriptor of that number is open. This takes no descriptor itself; `false` where it may not be asked.
    pub(crate) fn has_fd(&self, number: u64) -> bool {
        fs::symlink_metadata(self.fd_directory.join(number.to_string())).is_ok()
    }

    fn fds_up_to(&self, listed_max: usize) -> Option<u64> {
        let size = fs::metadata(&self.fd_directory).ok()?.len();
        if size > 0 {
            return Some(size);
        }
        let mut count = 0;
        for entry in fs::read_dir(&self.fd_directory).ok()? {
            entry.ok()?;
            count += 1;
            if count > listed_max {
                return None;
            }
        }
        // Listing its own descriptors takes one, which is in the list.
        Some((count - usize::from(self.own && count > 0)) as u64)
    }

    /// Descriptors of this number and above. `None` where there are too many to list, or they may not be listed.
    pub(crate) fn fds_from(&self, first: u64) -> Option<u64> {
        self.fds().filter(|&fds| fds <= FDS_LISTED_MAX as u64)?;
        let numbers = fs::read_dir(&self.fd_directory).ok()?;
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u64>().ok();
        let beyond = numbers.filter_map(|entry| number(entry.ok()?)).filter(|&number| number >= first);
        Some(beyond.count() as u64)
    }

    fn cpu_s(&self) -> Option<f64> {
        if self.own {
            let time = clock_gettime(ClockId::ProcessCPUTime);
            return Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9);
        }
        cpu_clock_s(self.pid).or_else(|| {
            let ticks = cpu_ticks(&fs::read(self.tree.process_path("stat")).ok()?)?;
            Some(ticks as f64 / clock_ticks_per_second() as f64)
        })
    }
}

/// Whether a status says zombie or dead: `State:\tZ (zombie)`.
fn ended(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("State:"))
        .is_some_and(|state| state.trim_start().starts_with(['Z', 'X']))
}

/// CPU time of another process, in seconds, from its CPU clock.
fn cpu_clock_s(pid: u32) -> Option<f64> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the pointer is to a local that outlives the call and has the type it is written as.
    if unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } != 0 {
        return None;
    }
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is to a local of the right type and size, which the kernel fills.
    if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: clock_gettime returned 0, so it has written both fields.
    let time = unsafe { time.assume_init() };
    Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// utime + stime, fields 14 and 15 of proc_pid_stat(5). The name before them is in parentheses
/// and may itself hold spaces and parentheses, so fields are counted from the last one.
fn cpu_ticks(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[name_end + 1..]).ok()?.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    #[test]
    fn counts_its_own_descriptors() {
        let mut sampler = ProcessSampler::own();
        let listed = fs::read_dir("/proc/self/fd").unwrap().count() - 1;
        let files: Vec<File> = (0..100).map(|_| File::open("/dev/null").unwrap()).collect();
        // Other tests open and close files meanwhile, but not a hundred.
        let fds = sampler.sample().fds.unwrap();
        assert!(fds.abs_diff(listed as u64 + 100) < 50, "{fds} with {listed} before");
        drop(files);
    }

    #[test]
    fn own_and_by_pid_tell_the_same() {
        let (own, by_pid) = (ProcessSampler::own().sample(), ProcessSampler::of(std::process::id()).sample());
        for usage in [&own, &by_pid] {
            assert!(usage.user_bytes.unwrap() > 0 && usage.resident_bytes > usage.user_bytes);
            assert!(usage.virtual_bytes > usage.resident_bytes && usage.threads.unwrap() > 0);
            assert!(usage.page_table_bytes.is_some() && usage.cpu_s.unwrap() > 0.0);
        }
        assert!(by_pid.cpu_s >= own.cpu_s, "the clock only goes forward");
        let by_clock = cpu_clock_s(std::process::id()).unwrap();
        assert!(by_clock >= by_pid.cpu_s.unwrap());
    }

    #[test]
    fn a_process_that_has_ended_is_unknown() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let mut sampler = ProcessSampler::of(child.id());
        let before = sampler.sample();
        assert!(before.resident_bytes.is_some() && before.fds.is_some() && before.cpu_s.is_some());
        drop(child.stdin.take());
        child.wait().unwrap();
        let expected = ProcessUsage { pid: child.id(), ..ProcessUsage::default() };
        assert_eq!(sampler.sample(), expected);
        assert_eq!(ProcessSampler::of(child.id()).sample(), expected);
    }

    #[test]
    fn names_with_parentheses_and_spaces_do_not_shift_the_fields() {
        let tail = " S 1 2 3 4 5 6 7 8 9 10 140 150 160 170 20\n";
        for name in ["cat", "a) b (c) R 1", "x y", ")))"] {
            assert_eq!(cpu_ticks(format!("7 ({name}){tail}").as_bytes()), Some(290), "{name}");
        }
        assert_eq!(cpu_ticks(&[b"7 (\xff\xfe)", tail.as_bytes()].concat()), Some(290));
        for bad in ["", "7 (cat", "7 (cat)", "7 (cat) S 1 2 3 4 5 6 7 8 9 10 x 1"] {
            assert_eq!(cpu_ticks(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_tree_without_sizes_counts_descriptors_up_to_a_bound() {
        let (dir, tree) = fixture(&[("proc/7/status", "Name:\tx\nState:\tS\nVmRSS:\t5 kB\nThreads:\t900\n")]);
        let mut sampler = ProcessSampler::new(tree, 7, false);
        let usage = sampler.sample();
        assert_eq!((usage.resident_bytes, usage.threads), (Some(5 * 1024), Some(900)));
        assert_eq!((usage.user_bytes, usage.fds, usage.context_switches), (None, None, None));
        // tmpfs and others give directories a size; the bound itself is what can be tested here.
        fs::create_dir(dir.path().join("proc/7/fd")).unwrap();
        assert!(sampler.sample().fds.is_some());
    }

    #[test]
    fn a_kernel_that_gives_no_count_is_listed_as_far_as_there_is_time() {
        // A directory of /proc without a size, and one entry for each descriptor, as fd was before Linux 6.2.
        let (dir, tree) = fixture(&[("proc/7/status", "Name:\tx\n")]);
        std::os::unix::fs::symlink("/proc/self/fdinfo", dir.path().join("proc/7/fd")).unwrap();
        let sampler = ProcessSampler::of_descriptors(&tree);
        assert_eq!(sampler.fds_up_to(1), None);
        assert!(sampler.fds_however_many().is_some_and(|fds| fds >= 2));
        assert!(sampler.has_fd(0) && !sampler.has_fd(u64::from(u32::MAX)));
    }

    #[test]
    fn a_zombie_is_unknown() {
        let (_dir, tree) = fixture(&[("proc/7/status", "Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n")]);
        assert_eq!(ProcessSampler::new(tree, 7, false).sample().threads, None);
    }
}

//! Limits of the kernel as a whole: files, threads, process numbers, mappings, memory.

use std::fs::File;
use std::io::{BufRead, BufReader};

use super::rlimit_rows::{CAP_SYS_ADMIN, Rights};
use super::{Binds, Figures, Limit, Scope, Symptom};
use crate::proc_tree::{ProcTree, field};
use crate::usage::ProcessSampler;

/// Process numbers below this are not given out again after the first round:
/// `RESERVED_PIDS` of kernel/pid.c.
const RESERVED_PIDS: u64 = 300;
/// Mappings counted at most; the file is made line by line under a lock of the process.
const MAPPINGS_MAX: u64 = 1 << 20;

const SPAWN: &[Symptom] = &[Symptom::allows("spawn", "EAGAIN")];
const SPAWN_MEMORY: &[Symptom] = &[Symptom::allows("spawn", "EAGAIN"), Symptom::allows("spawn", "ENOMEM")];

pub(super) const NR_OPEN_ROW: Limit = Limit {
    name: "fs.nr_open",
    unit: "descriptors",
    binds: Binds::Both,
    scope: Scope::Process,
    summary: "the most that rlimit.nofile can be raised to",
    read: |tree| {
        let mut figures = sysctl(tree, "sys/fs/nr_open");
        figures.used = ProcessSampler::in_tree(tree).fds();
        figures
    },
    need: |need| Some(need.fds()),
    symptoms: &[Symptom::allows("*", "EMFILE")],
    fix: |needed| format!("as root: `sysctl -w fs.nr_open={needed}`, then raise rlimit.nofile"),
};

pub(super) const FILE_MAX_ROW: Limit = Limit {
    name: "fs.file-max",
    unit: "files",
    binds: Binds::Both,
    scope: Scope::Shared,
    summary: "open files of the whole machine; does not bind CAP_SYS_ADMIN",
    read: read_file_max,
    need: |need| Some(need.files()),
    symptoms: &[Symptom::names("*", "ENFILE")],
    fix: |needed| format!("as root: `sysctl -w fs.file-max={needed}`"),
};

pub(super) const THREADS_MAX_ROW: Limit = Limit {
    name: "kernel.threads-max",
    unit: "threads",
    binds: Binds::Both,
    scope: Scope::Shared,
    summary: "threads of the whole machine",
    read: |tree| {
        let mut figures = sysctl(tree, "sys/kernel/threads-max");
        figures.used = threads_on_machine(tree);
        figures
    },
    need: |need| (need.threads_per_connection > 0 || need.beside.is_some()).then(|| need.threads()),
    symptoms: SPAWN,
    fix: |needed| format!("as root: `sysctl -w kernel.threads-max={needed}`"),
};

pub(super) const PID_MAX_ROW: Limit = Limit {
    name: "kernel.pid_max",
    unit: "threads",
    binds: Binds::Both,
    scope: Scope::Shared,
    summary: "process numbers; each thread takes one",
    read: read_pid_max,
    need: |need| (need.threads_per_connection > 0 || need.beside.is_some()).then(|| need.threads()),
    symptoms: SPAWN,
    fix: |needed| format!("as root: `sysctl -w kernel.pid_max={needed}`"),
};

pub(super) const MAX_MAP_COUNT_ROW: Limit = Limit {
    name: "vm.max_map_count",
    unit: "mappings",
    binds: Binds::Both,
    scope: Scope::Process,
    summary: "memory mappings of one process; each Rust thread takes about four",
    read: |tree| {
        let mut figures = sysctl(tree, "sys/vm/max_map_count");
        figures.used = mappings(tree);
        figures
    },
    need: |need| need.mappings(),
    symptoms: SPAWN_MEMORY,
    fix: |needed| format!("as root: `sysctl -w vm.max_map_count={needed}`"),
};

pub(super) const MEMORY_AVAILABLE_ROW: Limit = Limit {
    name: "memory.available",
    unit: "bytes",
    binds: Binds::Both,
    scope: Scope::Shared,
    summary: "memory of the machine, less what the kernel reckons can still be had (MemAvailable)",
    read: |tree| {
        let source = "/proc/meminfo, MemTotal and MemAvailable";
        let Some(meminfo) = tree.read("meminfo") else {
            return Figures::unknown(source, "cannot be read");
        };
        let Some(total) = field(&meminfo, "MemTotal:") else {
            return Figures::unknown(source, "not in the expected form");
        };
        let used = field(&meminfo, "MemAvailable:").map(|available| total.saturating_sub(available));
        Figures { value: Some(total), used, source: source.to_owned(), ..Figures::default() }
    },
    need: |need| need.bytes(),
    symptoms: &[
        Symptom::allows("spawn", "EAGAIN"),
        Symptom::allows("*", "ENOMEM"),
        Symptom::allows("*", "ENOBUFS"),
    ],
    fix: |needed| format!("a machine with {} MiB of memory, or fewer connections", needed.div_ceil(1 << 20)),
};

/// One number under /proc/sys.
pub(super) fn sysctl(tree: &ProcTree, name: &str) -> Figures {
    let source = format!("/proc/{name}");
    match tree.number(name) {
        Some(value) => Figures { value: Some(value), source, ..Figures::default() },
        None => Figures::unknown(source, "cannot be read"),
    }
}

/// fs/file_table.c, alloc_empty_file: not enforced with CAP_SYS_ADMIN.
fn read_file_max(tree: &ProcTree) -> Figures {
    let mut figures = sysctl(tree, "sys/fs/file-max");
    // file-nr: allocated, 0, maximum (proc_sys_fs(5)).
    figures.used = tree.read("sys/fs/file-nr").and_then(|text| text.split_whitespace().next()?.parse().ok());
    let Some(value) = figures.value else { return figures };
    match Rights::of(tree) {
        Some(rights) if rights.has(CAP_SYS_ADMIN) => {
            figures.value = None;
            figures.note = Some(format!("does not bind CAP_SYS_ADMIN (it is set to {value})"));
        }
        Some(_) => {}
        None => {
            figures.value = None;
            figures.note = Some(format!("cannot tell whether it binds this process (it is set to {value})"));
        }
    }
    figures
}

/// Threads of the whole machine: after the slash in /proc/loadavg (fs/proc/loadavg.c, nr_threads).
fn threads_on_machine(tree: &ProcTree) -> Option<u64> {
    tree.read("loadavg")?.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

fn read_pid_max(tree: &ProcTree) -> Figures {
    let mut figures = sysctl(tree, "sys/kernel/pid_max");
    if figures.value.is_none() {
        return figures;
    }
    match tree.shares_namespace("pid") {
        Some(true) => {}
        Some(false) => {
            // Since Linux 6.14 each pid namespace has its own.
            return Figures::unknown(figures.source, "the process is in another pid namespace");
        }
        None => figures.note = Some("could not check that the process shares this pid namespace".to_owned()),
    }
    figures.used = threads_on_machine(tree).map(|threads| {
        // Threads with a low number are among the reserved ones already.
        let low = (1..RESERVED_PIDS).filter(|pid| tree.path(&pid.to_string()).exists()).count() as u64;
        threads.saturating_sub(low) + RESERVED_PIDS
    });
    if figures.used.is_some() && figures.note.is_none() {
        figures.note =
            Some("in use: threads of the machine, and 300 numbers that are not given out again".to_owned());
    }
    figures
}

/// Mappings of the process: lines of /proc/PID/maps. `[vsyscall]` is a line but not a mapping.
fn mappings(tree: &ProcTree) -> Option<u64> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(tree.process_path("maps")).ok()?);
    let mut line = Vec::with_capacity(256);
    let mut count = 0;
    while reader.read_until(b'\n', &mut line).ok()? > 0 {
        if !line.ends_with(b"[vsyscall]\n") {
            count += 1;
        }
        if count > MAPPINGS_MAX {
            return None;
        }
        line.clear();
    }
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    #[test]
    fn pid_max_leaves_what_the_kernel_leaves() {
        let (dir, tree) = fixture(&[
            ("proc/sys/kernel/pid_max", "32768\n"),
            ("proc/loadavg", "0.07 0.04 0.00 1/84 5380\n"),
            ("proc/1/status", ""),
            ("proc/250/status", ""),
            ("proc/300/status", ""),
        ]);
        let figures = read_pid_max(&tree);
        assert_eq!((figures.value, figures.used), (Some(32_768), Some(84 - 2 + 300)));
        std::fs::remove_file(dir.path().join("proc/loadavg")).unwrap();
        assert_eq!(read_pid_max(&tree).used, None);
    }

    #[test]
    fn mappings_are_counted_without_vsyscall() {
        let maps = "00-01 r-xp 0 00:00 0 /x\n01-02 ---p 0 00:00 0\nff-fe --xp 0 00:00 0  [vsyscall]\n";
        let (_dir, tree) = fixture(&[("proc/7/maps", maps), ("proc/sys/vm/max_map_count", "65530\n")]);
        let figures = (MAX_MAP_COUNT_ROW.read)(&tree);
        assert_eq!((figures.value, figures.used), (Some(65_530), Some(2)));
    }

    #[test]
    fn file_max_binds_whoever_lacks_the_right() {
        for (capabilities, map, binds) in [
            ("0", "0 0 4294967295", true),
            ("200000", "0 0 4294967295", false),
            ("1000000", "0 0 4294967295", true),
            ("200000", "0 1000 1", true),
        ] {
            let status = format!("Uid:\t0\t0\t0\t0\nCapEff:\t{capabilities}\n");
            let (_dir, tree) = fixture(&[
                ("proc/sys/fs/file-max", "5000\n"),
                ("proc/7/uid_map", map),
                ("proc/7/status", &status),
            ]);
            assert_eq!((FILE_MAX_ROW.read)(&tree).value.is_some(), binds, "{capabilities} {map}");
        }
    }

    #[test]
    fn files_and_memory_know_their_use() {
        let (_dir, tree) = fixture(&[
            ("proc/sys/fs/file-max", "9223372036854775807\n"),
            ("proc/sys/fs/file-nr", "447\t0\t9223372036854775807\n"),
            ("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 40 kB\n"),
        ]);
        let unclear = (FILE_MAX_ROW.read)(&tree);
        assert!(unclear.used == Some(447) && unclear.value.is_none() && unclear.note.is_some());
        let memory = (MEMORY_AVAILABLE_ROW.read)(&tree);
        assert_eq!((memory.value, memory.used), (Some(100 * 1024), Some(60 * 1024)));
    }
}

//! Limits of the kernel as a whole: files, watches, threads, process numbers, io_uring.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use super::advice;
use super::process_numbers;
use super::rlimit_rows::{CAP_SYS_ADMIN, Rights};
use super::{Binds, Figures, Group, Limit, MODE, Scope, Symptom};
use crate::proc_tree::ProcTree;
use crate::usage::ProcessSampler;

const SPAWN: &[Symptom] = &[Symptom::allows("spawn", "EAGAIN")];
pub(super) const NR_OPEN_ROW: Limit = Limit {
    name: "fs.nr_open",
    unit: "descriptors",
    binds: Binds::Both,
    scope: Scope::Process,
    group: Group::Machine,
    summary: "the most that rlimit.nofile can be raised to",
    read: |tree| {
        let mut figures = sysctl(tree, "sys/fs/nr_open");
        figures.used = ProcessSampler::of_descriptors(tree).fds_however_many();
        figures
    },
    need: |need| Some(need.fds()),
    symptoms: &[Symptom::allows("*", "EMFILE")],
    fix: |lift| {
        let live = advice::sysctl("fs.nr_open", &lift.to.to_string());
        format!("{live}, then raise rlimit.nofile")
    },
    lasting: |lift| advice::sysctl_lasting("fs.nr_open", &lift.to.to_string()),
};

pub(super) const FILE_MAX_ROW: Limit = Limit {
    name: "fs.file-max",
    unit: "files",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Machine,
    summary: "open files of the whole machine; does not bind CAP_SYS_ADMIN",
    read: read_file_max,
    need: |need| Some(need.files()),
    symptoms: &[Symptom::names("*", "ENFILE")],
    fix: |lift| advice::sysctl("fs.file-max", &lift.to.to_string()),
    lasting: |lift| advice::sysctl_lasting("fs.file-max", &lift.to.to_string()),
};

pub(super) const THREADS_MAX_ROW: Limit = Limit {
    name: "kernel.threads-max",
    unit: "threads",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Machine,
    summary: "threads of the whole machine",
    read: |tree| {
        let mut figures = sysctl(tree, "sys/kernel/threads-max");
        figures.used = process_numbers::of_machine(tree);
        figures
    },
    need: |need| (need.threads_per_connection > 0 || need.beside.is_some()).then(|| need.threads()),
    symptoms: SPAWN,
    fix: |lift| advice::sysctl("kernel.threads-max", &lift.to.to_string()),
    lasting: |lift| advice::sysctl_lasting("kernel.threads-max", &lift.to.to_string()),
};

pub(super) const PID_MAX_ROW: Limit = Limit {
    name: "kernel.pid_max",
    unit: "threads",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Machine,
    summary: "process numbers; each thread takes one",
    read: read_pid_max,
    need: |need| (need.threads_per_connection > 0 || need.beside.is_some()).then(|| need.threads()),
    symptoms: SPAWN,
    fix: |lift| advice::sysctl("kernel.pid_max", &lift.to.to_string()),
    lasting: |lift| advice::sysctl_lasting("kernel.pid_max", &lift.to.to_string()),
};

pub(super) const EPOLL_WATCHES_ROW: Limit = Limit {
    name: "fs.epoll.max_user_watches",
    unit: "watches",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Machine,
    summary: "descriptors that one user may have in all epoll instances, root too; each takes about 160 bytes (epoll(7))",
    read: |tree| {
        let figures = sysctl(tree, "sys/fs/epoll/max_user_watches");
        let counted =
            figures.value.map(|_| "counted per user; the kernel does not show how many there are".to_owned());
        Figures { note: figures.note.or(counted), ..figures }
    },
    need: |need| Some(need.watches()).filter(|&watches| watches > 0),
    // epoll_ctl(2) has no other cause for it; accept(2), socket(2) and connect(2) do not know it.
    symptoms: &[
        Symptom::proves("register", "ENOSPC"),
        Symptom::names("accept", "ENOSPC"),
        Symptom::names("socket", "ENOSPC"),
        Symptom::names("connect", "ENOSPC"),
    ],
    fix: |lift| advice::sysctl("fs.epoll.max_user_watches", &lift.to.to_string()),
    lasting: |lift| advice::sysctl_lasting("fs.epoll.max_user_watches", &lift.to.to_string()),
};

pub(super) const IO_URING_ROW: Limit = Limit {
    name: "kernel.io_uring_disabled",
    unit: MODE,
    binds: Binds::Both,
    scope: Scope::Process,
    group: Group::Machine,
    summary: "who may make an io_uring: 0 all, 1 CAP_SYS_ADMIN and the group kernel.io_uring_group, 2 nobody",
    read: read_io_uring,
    need: |_| None,
    // A seccomp filter, such as that of containers, says the same.
    symptoms: &[Symptom::allows("ring", "EPERM")],
    fix: |_| advice::sysctl("kernel.io_uring_disabled", "0"),
    lasting: |_| advice::sysctl_lasting("kernel.io_uring_disabled", "0"),
};

/// One number under /proc/sys.
pub(super) fn sysctl(tree: &ProcTree, name: &str) -> Figures {
    let source = format!("/proc/{name}");
    match tree.number(name) {
        Some(value) => Figures { value: Some(value), source, ..Figures::default() },
        None => Figures::unknown(source, "cannot be read"),
    }
}

/// io_uring/io_uring.c, io_uring_allowed. The switch came with Linux 6.6.
fn read_io_uring(tree: &ProcTree) -> Figures {
    const SWITCH: &str = "sys/kernel/io_uring_disabled";
    let figures = sysctl(tree, SWITCH);
    if figures.value.is_none() && tree.lacks(SWITCH, "sys/kernel") {
        return Figures::unknown(figures.source, "no limit: this kernel has no such switch");
    }
    let note = match figures.value {
        None => return figures,
        Some(0) => "allowed to all",
        Some(1) => match Rights::of(tree) {
            Some(rights) if rights.has(CAP_SYS_ADMIN) => {
                let note = Some("does not bind CAP_SYS_ADMIN (it is set to 1)".to_owned());
                return Figures { value: None, note, ..figures };
            }
            Some(_) => {
                "allowed to CAP_SYS_ADMIN and the group kernel.io_uring_group; not checked for the group"
            }
            None => "allowed to some; cannot tell whether to this process",
        },
        Some(_) => "allowed to nobody",
    };
    Figures { note: Some(note.to_owned()), ..figures }
}

/// This process's own view of the machine's table of files, opened before there may be no file left to open.
static OWN_FILE_TABLE: OnceLock<OwnFileTable> = OnceLock::new();

struct OwnFileTable {
    file_nr: File,
    /// As it was when this was opened.
    rights: Rights,
}

/// Opens what tells this process's use of fs.file-max when nothing can be opened any more: one descriptor, kept.
pub(super) fn keep_file_table_open(tree: &ProcTree) {
    if tree.pid().is_none() && OWN_FILE_TABLE.get().is_none() {
        let opened = File::open(tree.path("sys/fs/file-nr")).ok().zip(Rights::of(tree));
        if let Some((file_nr, rights)) = opened {
            // Another thread's is as good.
            let _kept = OWN_FILE_TABLE.set(OwnFileTable { file_nr, rights });
        }
    }
}

/// fs/file_table.c, alloc_empty_file: not enforced with CAP_SYS_ADMIN.
fn read_file_max(tree: &ProcTree) -> Figures {
    let source = "/proc/sys/fs/file-max and file-nr";
    let own = OWN_FILE_TABLE.get().filter(|_| tree.pid().is_none());
    // file-nr: allocated, 0, maximum (proc_sys_fs(5)).
    let text = match own {
        Some(own) => read_again(&own.file_nr),
        None => tree.read("sys/fs/file-nr"),
    };
    let Some(text) = text else { return Figures::unknown(source, "cannot be read") };
    let mut numbers = text.split_whitespace().map(|word| word.parse::<u64>().ok());
    let (used, value) = (numbers.next().flatten(), numbers.nth(1).flatten());
    let Some(set) = value else { return Figures::unknown(source, "not in the expected form") };
    let has_right = |rights: &Rights| rights.has(CAP_SYS_ADMIN);
    let exempt = match own {
        Some(own) => Some(has_right(&own.rights)),
        None => Rights::of(tree).as_ref().map(has_right),
    };
    let note = match exempt {
        Some(false) => None,
        Some(true) => Some(format!("does not bind CAP_SYS_ADMIN (it is set to {set})")),
        None => Some(format!("cannot tell whether it binds this process (it is set to {set})")),
    };
    let value = value.filter(|_| exempt == Some(false));
    Figures { value, used, source: source.to_owned(), note, ..Figures::default() }
}

/// A small file from its beginning.
fn read_again(file: &File) -> Option<String> {
    let mut text = [0; 128];
    let len = file.read_at(&mut text, 0).ok()?;
    Some(String::from_utf8_lossy(&text[..len]).into_owned())
}

/// A process in a namespace below takes a number here, too, and its own pid_max may be lower: only a process
/// of that namespace can read it (kernel/pid_namespace.c, pidns_table_root_lookup).
fn read_pid_max(tree: &ProcTree) -> Figures {
    let mut figures = sysctl(tree, "sys/kernel/pid_max");
    if figures.value.is_none() {
        return figures;
    }
    let unchecked = match tree.shares_namespace("pid") {
        Some(true) => "",
        // Since Linux 6.14 each pid namespace has its own.
        Some(false) => return Figures::unknown(figures.source, "the process is in another pid namespace"),
        None => "; could not check that the process shares this pid namespace",
    };
    let note = match process_numbers::taken(tree) {
        Ok(taken) => {
            figures.used = Some(taken);
            format!(
                "in use: threads of this pid namespace, and {} numbers that are not given out again",
                process_numbers::RESERVED
            )
        }
        Err(why) => format!("use unknown: {why}"),
    };
    figures.note = Some(note + unchecked);
    figures
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
    fn file_max_binds_whoever_lacks_the_right() {
        for (capabilities, map, binds) in [
            ("0", "0 0 4294967295", true),
            ("200000", "0 0 4294967295", false),
            ("1000000", "0 0 4294967295", true),
            ("200000", "0 1000 1", true),
        ] {
            let status = format!("Uid:\t0\t0\t0\t0\nCapEff:\t{capabilities}\n");
            let (_dir, tree) = fixture(&[
                ("proc/sys/fs/file-nr", "100\t0\t5000\n"),
                ("proc/7/uid_map", map),
                ("proc/7/status", &status),
            ]);
            assert_eq!((FILE_MAX_ROW.read)(&tree).value.is_some(), binds, "{capabilities} {map}");
        }
    }

    #[test]
    fn files_know_their_use() {
        keep_file_table_open(&ProcTree::own());
        let own = (FILE_MAX_ROW.read)(&ProcTree::own());
        assert!(own.used.is_some() && (own.value.is_some() || own.note.is_some()));
        let (_dir, tree) = fixture(&[("proc/sys/fs/file-nr", "447\t0\t9223372036854775807\n")]);
        let unclear = (FILE_MAX_ROW.read)(&tree);
        assert!(unclear.used == Some(447) && unclear.value.is_none() && unclear.note.is_some());
    }

    #[test]
    fn a_kernel_without_the_switch_is_not_one_that_hides_it() {
        let note = |files| {
            let (_dir, tree) = fixture(files);
            read_io_uring(&tree).note.unwrap()
        };
        assert!(note(&[("proc/sys/kernel/pid_max", "9\n")]).starts_with("no limit: this kernel"));
        assert_eq!(note(&[]), "cannot be read");
        assert_eq!(note(&[("proc/sys/kernel/io_uring_disabled/x", "")]), "cannot be read");
    }

    #[test]
    fn io_uring_may_be_switched_off() {
        for (mode, capabilities, value) in [
            ("0\n", "0", Some(0)),
            ("1\n", "0", Some(1)),
            ("1\n", "200000", None),
            ("2\n", "200000", Some(2)),
            ("off\n", "0", None),
        ] {
            let status = format!("Uid:\t0\t0\t0\t0\nCapEff:\t{capabilities}\n");
            let (_dir, tree) = fixture(&[
                ("proc/sys/kernel/io_uring_disabled", mode),
                ("proc/7/uid_map", "0 0 4294967295"),
                ("proc/7/status", &status),
            ]);
            let figures = read_io_uring(&tree);
            assert_eq!(figures.value, value, "{mode} {capabilities}");
            assert!(figures.note.is_some());
        }
    }
}

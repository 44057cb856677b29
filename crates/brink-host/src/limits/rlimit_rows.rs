//! Limits of getrlimit(2). They are read from /proc/PID/limits, which tells them for any process.

use std::fs;

use super::advice::{self, Resource};
use super::{Binds, Figures, Group, Limit, Scope, Symptom};
use crate::proc_tree::{ProcTree, field};
use crate::usage::ProcessSampler;

pub(super) const NOFILE: &str = "rlimit.nofile";
/// Processes looked through at most to count a user's threads.
const PROCESSES_MAX: usize = 20_000;
/// Bits of `CapEff`: include/uapi/linux/capability.h.
pub(super) const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_SYS_RESOURCE: u64 = 1 << 24;
const CAP_IPC_LOCK: u64 = 1 << 14;

const fn resource(name: &'static str, ulimit: char, unit: u64, systemd: &'static str) -> Resource {
    Resource { prlimit: name, ulimit, unit, conf: name, systemd }
}

const NOFILE_NAMES: Resource = resource("nofile", 'n', 1, "LimitNOFILE");
const NPROC_NAMES: Resource = resource("nproc", 'u', 1, "LimitNPROC");
// ulimit and limits.conf(5) count these three in KiB.
const AS_NAMES: Resource = resource("as", 'v', 1024, "LimitAS");
const STACK_NAMES: Resource = resource("stack", 's', 1024, "LimitSTACK");
const MEMLOCK_NAMES: Resource = resource("memlock", 'l', 1024, "LimitMEMLOCK");

pub(super) const NOFILE_ROW: Limit = Limit {
    name: NOFILE,
    unit: "descriptors",
    binds: Binds::Both,
    scope: Scope::Process,
    group: Group::Process,
    summary: "descriptors of one process; each connection takes one (soft limit; both ends raise it to the hard one)",
    read: |tree| {
        let mut figures = if tree.pid().is_none() {
            // Takes no descriptor, since this is read when there may be none left.
            let (value, hard) = crate::rlimit::nofile();
            let note = value.is_none().then(|| "unlimited".to_owned());
            Figures { value, hard, used: None, source: "getrlimit RLIMIT_NOFILE".to_owned(), note }
        } else {
            rlimit(tree, "Max open files")
        };
        let sampler = ProcessSampler::of_descriptors(tree);
        // The limit is on numbers: an inherited descriptor beyond it takes none of those below (getrlimit(2)).
        let beyond = figures.hard.and_then(|hard| sampler.fds_from(hard)).unwrap_or(0);
        figures.used = sampler.fds_however_many().map(|fds| fds.saturating_sub(beyond));
        if figures.used.is_some() {
            figures
        } else {
            filled_to_the_last(figures, |last| sampler.has_fd(last))
        }
    },
    need: |need| Some(need.fds()),
    symptoms: &[Symptom::proves("*", "EMFILE")],
    fix: |lift| advice::rlimit(&NOFILE_NAMES, lift),
    lasting: |lift| advice::rlimit_lasting(&NOFILE_NAMES, lift),
};

pub(super) const NPROC_ROW: Limit = Limit {
    name: "rlimit.nproc",
    unit: "threads",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Process,
    summary: "processes and threads of one user; does not bind root, CAP_SYS_RESOURCE or CAP_SYS_ADMIN",
    read: read_nproc,
    need: |need| (need.threads_per_connection > 0 || need.beside.is_some()).then(|| need.threads()),
    symptoms: &[Symptom::allows("spawn", "EAGAIN")],
    fix: |lift| advice::rlimit(&NPROC_NAMES, lift),
    lasting: |lift| advice::rlimit_lasting(&NPROC_NAMES, lift),
};

pub(super) const AS_ROW: Limit = Limit {
    name: "rlimit.as",
    unit: "bytes",
    binds: Binds::Both,
    scope: Scope::Process,
    group: Group::Process,
    summary: "address space of one process; thread stacks count whole, touched or not",
    read: |tree| {
        let mut figures = rlimit(tree, "Max address space");
        figures.used = sampler(tree).sample().virtual_bytes;
        figures
    },
    need: |need| need.virtual_bytes(),
    symptoms: &[Symptom::allows("spawn", "EAGAIN"), Symptom::allows("spawn", "ENOMEM")],
    fix: |lift| advice::rlimit(&AS_NAMES, lift),
    lasting: |lift| advice::rlimit_lasting(&AS_NAMES, lift),
};

pub(super) const STACK_ROW: Limit = Limit {
    name: "rlimit.stack",
    unit: "bytes",
    binds: Binds::Both,
    scope: Scope::Process,
    group: Group::Process,
    summary: "stack of the first thread, and in C the default for each other one (pthread_create(3)); Rust's threads ask for their own",
    read: |tree| rlimit(tree, "Max stack size"),
    // brink's threads say how large their stacks are. It shows up in address space, where it is counted.
    need: |_| None,
    symptoms: &[],
    fix: |lift| advice::rlimit(&STACK_NAMES, lift),
    lasting: |lift| advice::rlimit_lasting(&STACK_NAMES, lift),
};

pub(super) const MEMLOCK_ROW: Limit = Limit {
    name: "rlimit.memlock",
    unit: "bytes",
    binds: Binds::Both,
    scope: Scope::Process,
    group: Group::Process,
    summary: "locked memory, which registered buffers of io_uring count as (before Linux 5.12 its rings, too); does not bind CAP_IPC_LOCK",
    read: read_memlock,
    need: |_| None,
    symptoms: &[Symptom::allows("ring", "ENOMEM")],
    fix: |lift| advice::rlimit(&MEMLOCK_NAMES, lift),
    lasting: |lift| advice::rlimit_lasting(&MEMLOCK_NAMES, lift),
};

/// Where descriptors cannot be counted, as in a process that has none left before Linux 6.2: the kernel gives out the
/// lowest number that is free (open(2)), so who has the last one has them all, but for those closed since.
fn filled_to_the_last(figures: Figures, has_fd: impl Fn(u64) -> bool) -> Figures {
    let last = figures.value.and_then(|value| value.checked_sub(1)).filter(|&last| has_fd(last));
    let Some(last) = last else { return figures };
    let note = format!(
        "descriptors cannot be counted here; number {last} is open, the last one, and the lowest free one is given out first"
    );
    Figures { used: figures.value, note: Some(note), ..figures }
}

fn sampler(tree: &ProcTree) -> ProcessSampler {
    ProcessSampler::in_tree(tree)
}

/// Soft and hard value of one line of /proc/PID/limits, whose names hold spaces:
/// `Max open files            1024                 524288               files`.
fn rlimit(tree: &ProcTree, name: &str) -> Figures {
    let source = format!("/proc/{}/limits, {name}", tree.process());
    let Some(text) = tree.read_process("limits") else {
        return Figures::unknown(source, "cannot be read");
    };
    let Some((soft, hard)) = parse(&text, name) else {
        return Figures::unknown(source, "not in the expected form");
    };
    let note = soft.is_none().then(|| "unlimited".to_owned());
    Figures { value: soft, hard, used: None, source, note }
}

/// Soft and hard value, `None` inside for unlimited; `None` outside where there is no such line.
fn parse(text: &str, name: &str) -> Option<(Option<u64>, Option<u64>)> {
    fn value(word: &str) -> Option<Option<u64>> {
        if word == "unlimited" { Some(None) } else { word.parse().ok().map(Some) }
    }
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let mut words = rest.split_whitespace();
    Some((value(words.next()?)?, value(words.next()?)?))
}

/// What the kernel's capable() would grant a process.
pub(super) struct Rights {
    /// The root user of the machine, rather than of a user namespace.
    pub(super) is_root: bool,
    capabilities: u64,
}

impl Rights {
    /// Rights count only in the first user namespace, whose uid_map is the identity
    /// (user_namespaces(7)). `None` where they cannot be told.
    pub(super) fn of(tree: &ProcTree) -> Option<Self> {
        let map = tree.read_process("uid_map")?;
        let status = tree.read_process("status")?;
        if map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"] {
            // Who is root outside as well is root of the machine, or of yet another namespace.
            let may_be_root = field(&status, "Uid:")? == maps_root_to(&map)?;
            return (!may_be_root).then_some(Self { is_root: false, capabilities: 0 });
        }
        let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        Some(Self {
            is_root: field(&status, "Uid:")? == 0,
            capabilities: u64::from_str_radix(hex.trim(), 16).ok()?,
        })
    }

    /// Whether any of these capabilities is effective.
    pub(super) fn has(&self, any: u64) -> bool {
        self.capabilities & any != 0
    }
}

/// The user that stands for the outer root, in a uid_map: lines of `first, first outside, count`. Beyond
/// any user where none does.
fn maps_root_to(map: &str) -> Option<u64> {
    for line in map.lines() {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u64>().ok());
        let (first, outside, _count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        if outside == 0 {
            return Some(first);
        }
    }
    Some(u64::MAX)
}

/// io_uring_register(2): what it pins counts per user, and is not in `VmLck`, which counts mlock(2) alone.
fn read_memlock(tree: &ProcTree) -> Figures {
    let mut figures = rlimit(tree, "Max locked memory");
    if let Some(set) = figures.value {
        match Rights::of(tree) {
            Some(rights) if rights.has(CAP_IPC_LOCK) => {
                figures.value = None;
                figures.note = Some(format!("does not bind CAP_IPC_LOCK (it is set to {set})"));
            }
            Some(_) => {
                figures.note = Some("the kernel shows no count of what io_uring has pinned".to_owned())
            }
            None => {
                figures.value = None;
                figures.note =
                    Some(format!("cannot tell whether it binds this process (it is set to {set})"));
            }
        }
    }
    figures
}

/// kernel/fork.c, copy_process: the limit is not enforced for the root user of the machine nor
/// with CAP_SYS_RESOURCE or CAP_SYS_ADMIN in the first user namespace.
fn read_nproc(tree: &ProcTree) -> Figures {
    let mut figures = rlimit(tree, "Max processes");
    if figures.value.is_none() {
        return figures;
    }
    let status = tree.read_process("status");
    let uid = status.as_ref().and_then(|status| field(status, "Uid:"));
    let Some(rights) = Rights::of(tree) else {
        let set = figures.value.take();
        figures.note = Some(format!(
            "cannot tell whether it binds this process (it is set to {})",
            set.unwrap_or_default()
        ));
        return figures;
    };
    if rights.is_root || rights.has(CAP_SYS_ADMIN | CAP_SYS_RESOURCE) {
        let set = figures.value.take();
        figures.note = Some(format!(
            "does not bind root, CAP_SYS_RESOURCE or CAP_SYS_ADMIN (it is set to {})",
            set.unwrap_or_default()
        ));
        return figures;
    }
    let used = uid.ok_or("its user is not known").and_then(|uid| threads_of(tree, uid));
    figures.note = Some(match used {
        Ok(_) => {
            "in use: threads of this real user in this user namespace, as far as /proc shows them".to_owned()
        }
        Err(why) => format!("use unknown: {why}"),
    });
    figures.used = used.ok();
    figures
}

/// The machine's first user namespace, as /proc/PID/ns/user names it: `PROC_USER_INIT_INO` of include/linux/proc_ns.h.
const FIRST_NAMESPACE: &str = "user:[4026531837]";

/// Threads of all processes with this real uid. The kernel counts them per user namespace (user_namespaces(7)):
/// those in another than the process are left out. From within one that is not the first, those outside may not be
/// followed there, and may show the same user for want of a name.
fn threads_of(tree: &ProcTree, uid: u64) -> Result<u64, &'static str> {
    if tree.hides_processes() && uid != u64::from(rustix::process::getuid().as_raw()) {
        return Err("/proc hides the processes of other users (hidepid)");
    }
    let pids = tree.pids();
    if pids.is_empty() {
        return Err("/proc cannot be listed");
    }
    if pids.len() > PROCESSES_MAX {
        return Err("/proc holds too many processes");
    }
    let namespace = |one: &ProcTree| fs::read_link(one.process_path("ns/user")).ok();
    let own = namespace(tree);
    let is_first = own.as_ref().is_none_or(|own| own.as_os_str() == FIRST_NAMESPACE);
    let mut sum = 0_u64;
    for pid in pids {
        let one = tree.with_pid(pid);
        // One that ended in the meantime has no threads.
        let Some(status) = one.read_process_bytes("status") else { continue };
        let status = String::from_utf8_lossy(&status);
        let is_here = || namespace(&one).map_or(is_first, |its| own.as_ref().is_none_or(|own| *own == its));
        if field(&status, "Uid:") == Some(uid) && is_here() {
            sum += field(&status, "Threads:").unwrap_or(1); // a zombie still counts as one
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    const LIMITS_FILE: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
        Max processes             50                   60                   processes \n\
        Max open files            1024                 524288               files     \n\
        Max address space         unlimited            unlimited            bytes     \n\
        Max stack size            8388608              unlimited            bytes     \n\
        Max locked memory         65536                65536                bytes     \n";

    fn status(uid: u32, capabilities: &str, threads: u32) -> String {
        format!("Name:\tx\nUid:\t{uid}\t0\t0\t0\nThreads:\t{threads}\nCapEff:\t{capabilities}\n")
    }

    #[test]
    fn reads_soft_and_hard() {
        assert_eq!(parse(LIMITS_FILE, "Max open files"), Some((Some(1024), Some(524_288))));
        assert_eq!(parse(LIMITS_FILE, "Max address space"), Some((None, None)));
        assert_eq!(parse(LIMITS_FILE, "Max core file size"), None);
        assert_eq!(parse("Max open files x y", "Max open files"), None);
        let (_dir, tree) = fixture(&[("proc/7/limits", LIMITS_FILE)]);
        assert_eq!((AS_ROW.read)(&tree).note.as_deref(), Some("unlimited"));
        let stack = (STACK_ROW.read)(&tree);
        assert_eq!((stack.value, stack.hard, stack.used), (Some(8 << 20), None, None));
    }

    #[test]
    fn a_table_that_cannot_be_counted_is_full_where_its_last_number_is_taken() {
        let figures = |value| Figures { value, ..Figures::default() };
        let full = filled_to_the_last(figures(Some(1_024)), |last| last == 1_023);
        assert!(full.used == Some(1_024) && full.note.unwrap().contains("number 1023"));
        for (value, last_taken) in [(Some(1_024), 1_022), (Some(0), 0), (None, 0)] {
            assert_eq!(filled_to_the_last(figures(value), |last| last == last_taken), figures(value));
        }
        // Where there is a count, that is what is told.
        let (dir, tree) = fixture(&[("proc/7/limits", LIMITS_FILE), ("proc/7/fd/1023", "")]);
        std::fs::remove_file(dir.path().join("proc/7/fd/1023")).unwrap();
        std::fs::remove_dir(dir.path().join("proc/7/fd")).unwrap();
        std::os::unix::fs::symlink("/proc/self/fdinfo", dir.path().join("proc/7/fd")).unwrap();
        let counted = (NOFILE_ROW.read)(&tree);
        assert!(counted.used.is_some_and(|used| used > 0) && counted.note.is_none());
    }

    #[test]
    fn nproc_counts_threads_of_the_same_real_user() {
        let (own, other, root) = (status(1000, "0", 30), status(1000, "0", 4), status(0, "0", 99));
        let (_dir, tree) = fixture(&[
            ("proc/7/limits", LIMITS_FILE),
            ("proc/7/uid_map", "         0          0 4294967295\n"),
            ("proc/7/status", &own),
            ("proc/8/status", &other),
            ("proc/9/status", &root),
            ("proc/sys/x", ""),
        ]);
        let figures = read_nproc(&tree);
        assert_eq!((figures.value, figures.hard, figures.used), (Some(50), Some(60), Some(34)));
    }

    #[test]
    fn nproc_counts_those_of_its_user_namespace() {
        use std::os::unix::fs::symlink;
        let (own, other) = (status(1000, "0", 30), status(1000, "0", 4));
        for (namespace, counted) in [(FIRST_NAMESPACE, 30 + 4 + 4), ("user:[4026532000]", 30 + 4)] {
            let (dir, tree) = fixture(&[
                ("proc/7/limits", LIMITS_FILE),
                ("proc/7/uid_map", "0 0 4294967295\n"),
                ("proc/7/status", &own),
                ("proc/8/status", &other),
                ("proc/9/status", &other),
                ("proc/10/status", &other),
            ]);
            for (pid, of) in [(7, namespace), (8, namespace), (9, "user:[4026532999]")] {
                std::fs::create_dir_all(dir.path().join(format!("proc/{pid}/ns"))).unwrap();
                symlink(of, dir.path().join(format!("proc/{pid}/ns/user"))).unwrap();
            }
            assert_eq!(read_nproc(&tree).used, Some(counted), "{namespace}");
        }
    }

    #[test]
    fn nproc_does_not_bind_the_privileged() {
        let (whole, part) = ("0 0 4294967295\n", "0 100000 65536\n");
        for (uid, capabilities, map, binds) in [
            (0, "0", whole, false),
            (1000, "0000000001000000", whole, false),
            (1000, "0000000000200000", whole, false),
            (1000, "00000000feffffff", part, true), // capabilities of a user namespace do not count
            (0, "0", part, true),                   // nor does its root
            (1000, "00000000000000c0", whole, true),
        ] {
            let status = status(uid, capabilities, 1);
            let (_dir, tree) = fixture(&[
                ("proc/7/limits", LIMITS_FILE),
                ("proc/7/uid_map", map),
                ("proc/7/status", &status),
            ]);
            let figures = read_nproc(&tree);
            assert_eq!(figures.value.is_some(), binds, "uid {uid}, {capabilities}, {map}");
            assert!(figures.note.is_some());
        }
    }

    #[test]
    fn memlock_binds_whoever_lacks_the_right() {
        for (capabilities, value) in [("4000", None), ("1000000", Some(65_536))] {
            let status = status(1000, capabilities, 1);
            let (_dir, tree) = fixture(&[
                ("proc/7/limits", LIMITS_FILE),
                ("proc/7/uid_map", "0 0 4294967295\n"),
                ("proc/7/status", &status),
            ]);
            let figures = read_memlock(&tree);
            assert_eq!(figures.value, value);
            assert!(figures.note.is_some() && figures.used.is_none());
        }
    }
}

//! Limits on memory and address space, of a process and of the machine.

use std::fs::File;
use std::io::{BufRead, BufReader};

use super::advice;
use super::kernel_rows::sysctl;
use super::{Binds, Figures, Group, Limit, Scope, Symptom};
use crate::proc_tree::{ProcTree, field};

/// Mappings counted at most; the file is made line by line under a lock of the process.
const MAPPINGS_MAX: u64 = 1 << 20;

/// The C library turns ENOMEM of a thread's stack into EAGAIN.
const SPAWN: &[Symptom] = &[Symptom::allows("spawn", "EAGAIN"), Symptom::allows("spawn", "ENOMEM")];

pub(super) const MAX_MAP_COUNT_ROW: Limit = Limit {
    name: "vm.max_map_count",
    unit: "mappings",
    binds: Binds::Both,
    scope: Scope::Process,
    group: Group::Process,
    summary: "memory mappings of one process; each Rust thread takes about four",
    read: |tree| {
        let mut figures = sysctl(tree, "sys/vm/max_map_count");
        figures.used = mappings(tree);
        figures
    },
    need: |need| need.mappings(),
    symptoms: SPAWN,
    fix: |lift| advice::sysctl("vm.max_map_count", &lift.to.to_string()),
    lasting: |lift| advice::sysctl_lasting("vm.max_map_count", &lift.to.to_string()),
};

pub(super) const OVERCOMMIT_ROW: Limit = Limit {
    name: "vm.overcommit",
    unit: "bytes",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Machine,
    summary: "memory promised to all processes, stacks whole; binds only with vm.overcommit_memory = 2",
    read: read_overcommit,
    need: |need| Some(need.stack_bytes_promised()).filter(|&bytes| bytes > 0),
    symptoms: &[Symptom::allows("spawn", "EAGAIN"), Symptom::allows("*", "ENOMEM")],
    fix: |lift| {
        let kib = advice::sysctl("vm.overcommit_kbytes", &lift.to.div_ceil(1024).to_string());
        format!("{}, or, to keep strict accounting, {kib}", advice::sysctl("vm.overcommit_memory", "0"))
    },
    lasting: |_| advice::sysctl_lasting("vm.overcommit_memory", "0"),
};

pub(super) const AVAILABLE_ROW: Limit = Limit {
    name: "memory.available",
    unit: "bytes",
    binds: Binds::Both,
    scope: Scope::Shared,
    group: Group::Machine,
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
    fix: |_| "end what else takes memory on this machine, or open fewer connections".to_owned(),
    lasting: |_| "a machine with more memory, or fewer connections".to_owned(),
};

/// proc_sys_vm(5): in mode 2 the sum of what is promised stays below CommitLimit; in mode 0 only
/// a single obvious excess is refused, in mode 1 nothing.
fn read_overcommit(tree: &ProcTree) -> Figures {
    let mut figures = sysctl(tree, "sys/vm/overcommit_memory");
    let Some(mode) = figures.value.take() else { return figures };
    let meminfo = tree.read("meminfo");
    let read = |name| meminfo.as_deref().and_then(|text| field(text, name));
    figures.used = read("Committed_AS:");
    match mode {
        2 => {
            figures.source.push_str("; /proc/meminfo, CommitLimit and Committed_AS");
            figures.value = read("CommitLimit:");
            if figures.value.is_none() {
                figures.note = Some("strict (mode 2), but CommitLimit cannot be read".to_owned());
            }
        }
        0 | 1 => figures.note = Some(format!("no limit on the sum in mode {mode}")),
        _ => figures.note = Some(format!("mode {mode} is not known")),
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
    fn mappings_are_counted_without_vsyscall() {
        let maps = "00-01 r-xp 0 00:00 0 /x\n01-02 ---p 0 00:00 0\nff-fe --xp 0 00:00 0  [vsyscall]\n";
        let (_dir, tree) = fixture(&[("proc/7/maps", maps), ("proc/sys/vm/max_map_count", "65530\n")]);
        let figures = (MAX_MAP_COUNT_ROW.read)(&tree);
        assert_eq!((figures.value, figures.used), (Some(65_530), Some(2)));
    }

    #[test]
    fn memory_knows_its_use() {
        let (_dir, tree) = fixture(&[("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 40 kB\n")]);
        let memory = (AVAILABLE_ROW.read)(&tree);
        assert_eq!((memory.value, memory.used), (Some(100 * 1024), Some(60 * 1024)));
    }

    #[test]
    fn promises_bind_only_in_the_strict_mode() {
        let meminfo = "CommitLimit:  50 kB\nCommitted_AS:   20 kB\n";
        for (mode, meminfo, value, used) in [
            ("2\n", meminfo, Some(50 * 1024), Some(20 * 1024)),
            ("0\n", meminfo, None, Some(20 * 1024)),
            ("1\n", meminfo, None, Some(20 * 1024)),
            ("7\n", meminfo, None, Some(20 * 1024)),
            ("2\n", "", None, None),
        ] {
            let (_dir, tree) = fixture(&[("proc/sys/vm/overcommit_memory", mode), ("proc/meminfo", meminfo)]);
            let figures = read_overcommit(&tree);
            assert_eq!((figures.value, figures.used), (value, used), "{mode}");
            assert!(figures.value.is_some() || figures.note.is_some());
        }
    }
}

//! Process numbers that are taken in one pid namespace (pid_namespaces(7)): kernel.pid_max bounds them, and
//! each namespace has its own, from Linux 6.14 on the bound too. Must not know what bounds them.

use std::collections::BTreeSet;
use std::fs;

use crate::proc_tree::ProcTree;

/// Numbers below this are not given out again after the first round: `RESERVED_PIDS` of kernel/pid.c.
pub(super) const RESERVED: u64 = 300;
/// The machine's first pid namespace, as /proc/PID/ns/pid names it: `PROC_PID_INIT_INO` of include/linux/proc_ns.h.
const FIRST_NAMESPACE: &str = "pid:[4026531836]";
/// Processes looked through at most.
const PROCESSES_MAX: usize = 40_000;

/// What cannot be had any more, with the numbers that are kept back: kernel.pid_max less this is what is left.
///
/// # Errors
/// Why it cannot be told.
pub(super) fn taken(tree: &ProcTree) -> Result<u64, &'static str> {
    let is_first = fs::read_link(tree.path("self/ns/pid")).map(|name| name.as_os_str() == FIRST_NAMESPACE);
    let numbers = match is_first {
        // The machine's count is the namespace's, and costs one small file.
        Ok(true) | Err(_) => Numbers { threads: of_machine(tree).ok_or(NO_LOADAVG)?, groups: 0 },
        Ok(false) => Numbers::scan(tree)?,
    };
    let low = (1..RESERVED).filter(|number| tree.path(&number.to_string()).exists()).count() as u64;
    let high = numbers.threads.saturating_sub(low) + numbers.groups;
    Ok((RESERVED + high).saturating_sub(never_given_out(tree)))
}

const NO_LOADAVG: &str = "/proc/loadavg cannot be read";

/// Threads of the whole machine: after the slash in /proc/loadavg (fs/proc/loadavg.c, nr_threads).
pub(super) fn of_machine(tree: &ProcTree) -> Option<u64> {
    tree.read("loadavg")?.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// In the first round of a namespace the low numbers are given out, too (kernel/pid.c, alloc_pid): those that
/// come after the last one that was, the last word of /proc/loadavg.
fn never_given_out(tree: &ProcTree) -> u64 {
    let last = tree.read("loadavg").and_then(|text| text.split_whitespace().nth(4)?.parse::<u64>().ok());
    match last {
        Some(last @ 1..RESERVED) => RESERVED - 1 - last,
        _ => 0,
    }
}

/// Who has a number.
struct Numbers {
    threads: u64,
    /// Process groups and sessions whose first process is gone keep its number.
    groups: u64,
}

impl Numbers {
    /// Of the namespace that /proc shows, one process after the other.
    fn scan(tree: &ProcTree) -> Result<Self, &'static str> {
        if fs::read_link(tree.path("self")).is_ok_and(|own| own.as_os_str() != own_id().as_str()) {
            return Err("/proc shows another pid namespace than that of this process");
        }
        if tree.hides_processes() {
            return Err("/proc hides the processes of other users (hidepid)");
        }
        let pids = tree.pids();
        if pids.len() > PROCESSES_MAX {
            return Err("there are too many processes to count their threads");
        }
        let (mut threads, mut groups) = (0, BTreeSet::new());
        for pid in pids {
            // One that ended in the meantime has no threads.
            let Some(stat) = tree.with_pid(pid).read_process_bytes("stat") else { continue };
            let (count, of_groups) = parse(&stat).ok_or("/proc/PID/stat is not in the expected form")?;
            threads += count;
            groups.extend(of_groups);
        }
        let is_free_standing =
            |number: &&u64| **number >= RESERVED && !tree.path(&number.to_string()).exists();
        Ok(Self { threads, groups: groups.iter().filter(is_free_standing).count() as u64 })
    }
}

fn own_id() -> String {
    std::process::id().to_string()
}

/// Threads, process group and session: fields 20, 5 and 6 of proc_pid_stat(5). The name before them may hold
/// anything, so fields are counted from its last parenthesis. A zombie still counts as one.
fn parse(stat: &[u8]) -> Option<(u64, [u64; 2])> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields: Vec<&str> = std::str::from_utf8(&stat[name_end + 1..]).ok()?.split_whitespace().collect();
    // Both are -1 or 0 for those that have none here.
    let number = |index: usize| Some(fields.get(index)?.parse::<i64>().ok()?.max(0) as u64);
    Some((number(17)?.max(1), [number(2)?, number(3)?]))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::proc_tree::fixture;

    fn stat(pid: u64, group: u64, session: u64, threads: u64) -> String {
        format!("{pid} (a) b) S 1 {group} {session} 0 -1 4 0 0 0 0 0 0 0 0 20 0 {threads} 0 99\n")
    }

    #[test]
    fn a_namespace_of_its_own_is_counted_by_its_processes() {
        let (one, two, three) = (stat(1, 1, 1, 2), stat(400, 350, 1, 5), stat(401, 400, 0, 0));
        for (last, taken_there) in [("450", 300 + 8 - 2 + 1), ("120", 300 + 8 - 2 + 1 - 179)] {
            let loadavg = format!("0.07 0.04 0.00 1/8400 {last}\n");
            let (dir, tree) = fixture(&[
                ("proc/loadavg", &loadavg),
                ("proc/1/stat", &one),
                ("proc/2/x", ""), // a thread of 1, which is shown to who asks by its number
                ("proc/400/stat", &two),
                ("proc/401/stat", &three),
                ("proc/self/ns/x", ""),
            ]);
            symlink("pid:[4026532000]", dir.path().join("proc/self/ns/pid")).unwrap();
            // 2 + 5 + 1 threads, two of them low; group 350 has lost its first process. Process 2 has no stat.
            assert_eq!(taken(&tree), Ok(taken_there), "{last}");
            fs::write(dir.path().join("proc/400/stat"), "400 (x) S 1\n").unwrap();
            assert!(taken(&tree).is_err());
        }
    }

    #[test]
    fn the_first_namespace_is_the_machine() {
        let (dir, tree) = fixture(&[
            ("proc/loadavg", "0.07 0.04 0.00 1/84 5380\n"),
            ("proc/1/x", ""),
            ("proc/250/x", ""),
            ("proc/300/x", ""),
            ("proc/self/ns/x", ""),
        ]);
        symlink(FIRST_NAMESPACE, dir.path().join("proc/self/ns/pid")).unwrap();
        assert_eq!(taken(&tree), Ok(84 - 2 + 300));
        fs::remove_file(dir.path().join("proc/loadavg")).unwrap();
        assert_eq!(taken(&tree), Err(NO_LOADAVG));
    }
}

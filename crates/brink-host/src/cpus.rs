//! Which CPUs a thread may run on. Must not decide which ones it should.

use std::io;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// CPUs that the calling thread may run on, in rising order: sched_getaffinity(2).
///
/// # Errors
/// `EINVAL` on a kernel built for more than 1,024 CPUs, whose masks do not fit.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// CPUs that the first thread of another process may run on, in rising order.
///
/// # Errors
/// As [`allowed`]; `ESRCH` when there is no such process.
pub fn allowed_of(pid: u32) -> io::Result<Vec<usize>> {
    let nobody = || io::Error::from_raw_os_error(libc::ESRCH);
    // 0 would be the caller itself.
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(nobody)?;
    let set = sched_getaffinity(Some(pid))?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Keeps the calling thread, and all threads it makes later, on these CPUs: sched_setaffinity(2).
///
/// Threads that run already keep what they have, so call it before making any.
///
/// # Errors
/// `InvalidInput` for an empty list or a number of 1,024 and above; `EINVAL` where none of the
/// CPUs is both online and in the control group's cpuset. CPUs that do not exist beside others
/// that do are dropped by the kernel without a word, so this compares and says which: `NotFound`.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("CPU {cpu} is out of range: at most {}", CpuSet::MAX_CPU - 1),
            ));
        }
        set.set(cpu);
    }
    if cpus.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no CPU to run on"));
    }
    let before = sched_getaffinity(None)?;
    sched_setaffinity(None, &set)?;
    let after = sched_getaffinity(None)?;
    let missing: Vec<usize> = cpus.iter().copied().filter(|&cpu| !after.is_set(cpu)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    sched_setaffinity(None, &before)?;
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("CPUs {missing:?} cannot be used here: offline, absent, or outside the cpuset"),
    ))
}

/// CPUs that share a core with one of these, these included; alone those where nobody tells:
/// Documentation/admin-guide/cputopology.rst.
#[must_use]
pub fn with_siblings(cpus: &[usize]) -> Vec<usize> {
    let list = |cpu: &usize| {
        let text = std::fs::read_to_string(format!(
            "/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        ));
        text.ok().and_then(|text| brink_wire::value::parse_cpus(text.trim()).ok()).unwrap_or_default()
    };
    let mut all: Vec<usize> = cpus.iter().flat_map(list).chain(cpus.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether the calling thread has a real-time policy, under which threads of a CPU wait for each other: sched(7).
/// A kernel that does not tell has given it none.
#[must_use]
pub fn is_realtime() -> bool {
    // SAFETY: takes a number, and touches no memory of ours.
    let policy = unsafe { libc::sched_getscheduler(0) };
    let policy = policy & !libc::SCHED_RESET_ON_FORK;
    [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_DEADLINE].contains(&policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_is_its_own_sibling() {
        let own = allowed().unwrap();
        let all = with_siblings(&own);
        assert!(own.iter().all(|cpu| all.contains(cpu)), "{own:?} of {all:?}");
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
        assert_eq!(with_siblings(&[999_999]), [999_999], "nobody tells");
        assert!(with_siblings(&[]).is_empty());
    }

    #[test]
    fn a_thread_begins_without_a_real_time_policy() {
        assert!(!is_realtime());
    }

    #[test]
    fn pins_the_thread_and_those_it_makes() {
        let before = allowed().unwrap();
        let last = *before.last().unwrap();
        std::thread::spawn(move || {
            pin(&[last]).unwrap();
            assert_eq!(allowed().unwrap(), [last]);
            assert_eq!(std::thread::spawn(allowed).join().unwrap().unwrap(), [last]);
        })
        .join()
        .unwrap();
        assert_eq!(allowed().unwrap(), before, "other threads keep their CPUs");
    }

    #[test]
    fn of_another_process() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert_eq!(allowed_of(child.id()).unwrap(), allowed().unwrap(), "inherited");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(allowed_of(child.id()).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert!(allowed_of(0).is_err() && allowed_of(u32::MAX).is_err());
    }

    #[test]
    fn refuses_cpus_that_are_not_there() {
        std::thread::spawn(|| {
            let before = allowed().unwrap();
            assert_eq!(pin(&[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert_eq!(pin(&[1 << 20]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            let absent = (0..CpuSet::MAX_CPU).rev().find(|cpu| !before.contains(cpu)).unwrap();
            if !std::path::Path::new(&format!("/sys/devices/system/cpu/cpu{absent}")).exists() {
                assert!(pin(&[absent]).is_err());
                assert!(pin(&[before[0], absent]).is_err());
            }
            assert_eq!(allowed().unwrap(), before, "a refusal changes nothing");
        })
        .join()
        .unwrap();
    }
}

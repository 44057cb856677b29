//! A process and its descendants at one instant, one by one. For servers that fork, and that
//! tell nothing about themselves. Must not decide which of them serve.

use brink_wire::control::ProcessUsage;

use super::ProcessSampler;
use crate::descent::{Descent, Kin};
use crate::proc_tree::ProcTree;

/// Samples a process and everything that descends from it.
///
/// Children are found again at each sample ([`Descent`]); the files of those that are known stay
/// open, as [`ProcessSampler`] keeps them. What one costs per process is the same as there.
///
/// A process that ended is left out. The CPU time it had used when it was last sampled is kept in
/// [`gone_cpu_s`](Self::gone_cpu_s): the sum over the living alone would fall. What it used between
/// its last sample and its end is lost, and so is a process that lived between two samples.
#[derive(Debug)]
pub struct TreeSampler {
    root: u32,
    tree: ProcTree,
    descent: Descent,
    members: Vec<Member>,
    gone_cpu_s: f64,
    /// The first process could not be seen when this was made: it is unknown, not gone.
    unseen: bool,
}

#[derive(Debug)]
struct Member {
    kin: Kin,
    sampler: ProcessSampler,
    cpu_s_last: Option<f64>,
}

impl TreeSampler {
    /// Of this process and what descends from it.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self::in_tree(ProcTree::own(), pid)
    }

    pub(crate) fn in_tree(tree: ProcTree, pid: u32) -> Self {
        let mut descent = Descent::in_tree(tree.clone(), pid);
        let unseen = descent.refresh().is_empty();
        Self { root: pid, tree, descent, members: Vec::new(), gone_cpu_s: 0.0, unseen }
    }

    /// Those that live now, parents before their children. One that may not be looked at has `None`
    /// throughout. Empty after all have ended; a first process that could never be seen stays as
    /// one entry of `None`, because it may well be there (the `hidepid` option of proc(5)).
    pub fn sample(&mut self) -> Vec<ProcessUsage> {
        if self.unseen {
            return vec![ProcessUsage { pid: self.root, ..ProcessUsage::default() }];
        }
        let living = self.descent.refresh();
        let gone_cpu_s = &mut self.gone_cpu_s;
        self.members.retain(|member| {
            let lives = living.contains(&member.kin);
            if !lives {
                *gone_cpu_s += member.cpu_s_last.unwrap_or(0.0);
            }
            lives
        });
        for &kin in living {
            if !self.members.iter().any(|member| member.kin == kin) {
                let sampler = ProcessSampler::in_tree(&self.tree.with_pid(kin.pid));
                self.members.push(Member { kin, sampler, cpu_s_last: None });
            }
        }
        self.members.iter_mut().map(Member::sample).collect()
    }

    /// CPU time of the processes that have ended, in seconds: to be added to the sum over the
    /// living, which then never falls.
    #[must_use]
    pub fn gone_cpu_s(&self) -> f64 {
        self.gone_cpu_s
    }
}

impl Member {
    fn sample(&mut self) -> ProcessUsage {
        let mut usage = self.sampler.sample();
        // One that ended since it was found is dropped at the next sample; until then its time stands.
        usage.cpu_s = usage.cpu_s.or(self.cpu_s_last);
        self.cpu_s_last = usage.cpu_s;
        usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;
    use rustix::param::clock_ticks_per_second;
    use std::fs;
    use std::path::Path;

    /// Pids that no process of this machine has, so that CPU comes from the tree: beyond the
    /// largest that Linux gives out (`PID_MAX_LIMIT`, 4,194,304).
    const FIRST: u32 = 5_000_007;
    const SECOND: u32 = 5_000_008;

    fn put(root: &Path, pid: u32, parent: u32, start: u64, cpu_ticks: u64, kb: u64) {
        let dir = root.join(format!("proc/{pid}"));
        fs::create_dir_all(&dir).unwrap();
        let stat =
            format!("{pid} (x) S {parent} 3 4 5 6 7 8 9 10 11 {cpu_ticks} 0 14 15 16 17 18 0 {start} 20\n");
        fs::write(dir.join("stat"), stat).unwrap();
        fs::write(dir.join("status"), format!("Name:\tx\nState:\tS\nRssAnon:\t{kb} kB\nThreads:\t1\n"))
            .unwrap();
    }

    fn cpu_s(sampler: &mut TreeSampler) -> f64 {
        let sum: Option<f64> = sampler.sample().iter().map(|usage| usage.cpu_s).sum();
        sum.unwrap() + sampler.gone_cpu_s()
    }

    #[test]
    fn cpu_of_the_gone_stays_in_the_sum() {
        let (dir, tree) = fixture(&[]);
        let per_s = clock_ticks_per_second();
        put(dir.path(), FIRST, 1, 100, 2 * per_s, 10);
        put(dir.path(), SECOND, FIRST, 110, 3 * per_s, 20);
        let mut sampler = TreeSampler::in_tree(tree, FIRST);
        let both = sampler.sample();
        assert_eq!(both.iter().map(|usage| usage.pid).collect::<Vec<_>>(), [FIRST, SECOND]);
        assert_eq!(both[1].user_bytes, Some(20 * 1024));
        assert_eq!(cpu_s(&mut sampler), 5.0);
        fs::remove_dir_all(dir.path().join(format!("proc/{SECOND}"))).unwrap();
        assert_eq!(cpu_s(&mut sampler), 5.0);
        assert_eq!((sampler.sample().len(), sampler.gone_cpu_s()), (1, 3.0));
        put(dir.path(), SECOND, FIRST, 900, per_s, 20);
        assert_eq!(cpu_s(&mut sampler), 6.0, "a new one under the same pid counts from its own begin");
        fs::remove_dir_all(dir.path().join(format!("proc/{FIRST}"))).unwrap();
        fs::remove_dir_all(dir.path().join(format!("proc/{SECOND}"))).unwrap();
        assert!(sampler.sample().is_empty());
        assert_eq!(sampler.gone_cpu_s(), 6.0);
    }

    #[test]
    fn what_cannot_be_seen_is_unknown() {
        let (_dir, tree) = fixture(&[]);
        let mut sampler = TreeSampler::in_tree(tree, FIRST);
        let unknown = ProcessUsage { pid: FIRST, ..ProcessUsage::default() };
        assert_eq!(sampler.sample(), [unknown]);
        let (dir, tree) = fixture(&[]);
        put(dir.path(), FIRST, 1, 100, 5, 10);
        fs::remove_file(dir.path().join(format!("proc/{FIRST}/status"))).unwrap();
        let seen = TreeSampler::in_tree(tree, FIRST).sample();
        assert_eq!((seen.len(), seen[0].user_bytes, seen[0].threads), (1, None, None));
    }
}

//! The other processes of a client that is several, as they are looked at. Must not start or end one.

use brink_host::usage::ProcessSampler;
use brink_wire::control::ProcessUsage;

/// All of them.
#[derive(Default)]
pub struct Parts {
    samplers: Vec<(u32, ProcessSampler)>,
    /// What each used when it was last there.
    last: Vec<ProcessUsage>,
    /// CPU time of those that have ended, in seconds.
    gone_cpu_s: f64,
}

impl Parts {
    /// These, from now on. What those before used stays in the sum.
    pub fn follow(&mut self, pids: &[u32]) {
        for usage in self.last.drain(..) {
            self.gone_cpu_s += usage.cpu_s.unwrap_or(0.0);
        }
        self.samplers = pids.iter().map(|&pid| (pid, ProcessSampler::of(pid).without_switches())).collect();
    }

    /// Those that are there, one by one.
    pub fn look(&mut self) -> Vec<ProcessUsage> {
        let (gone_cpu_s, last) = (&mut self.gone_cpu_s, &mut self.last);
        let samples =
            self.samplers.iter_mut().map(|(pid, sampler)| ProcessUsage { pid: *pid, ..sampler.sample() });
        let there: Vec<_> = samples.filter(|usage| usage.threads.is_some()).collect();
        for before in last.iter().filter(|before| there.iter().all(|now| now.pid != before.pid)) {
            *gone_cpu_s += before.cpu_s.unwrap_or(0.0);
        }
        last.clone_from(&there);
        self.samplers.retain(|(pid, _)| there.iter().any(|now| now.pid == *pid));
        there
    }

    /// CPU time of those that have ended, in seconds: the sum over the living would fall without it.
    pub fn gone_cpu_s(&self) -> f64 {
        self.gone_cpu_s
    }

    /// The one with most descriptors, at the last look.
    pub fn fullest(&self) -> Option<u32> {
        self.last.iter().max_by_key(|usage| usage.fds).map(|usage| usage.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_those_used_that_have_ended_stays_in_the_sum() {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "read line"]).stdin(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut parts = Parts::default();
        parts.follow(&[child.id()]);
        assert_eq!((parts.look().len(), parts.fullest()), (1, Some(child.id())));
        let used = parts.last[0].cpu_s.unwrap_or(0.0);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(parts.look().is_empty() && parts.fullest().is_none());
        assert!((parts.gone_cpu_s() - used).abs() < 1e-9);
        parts.follow(&[]);
        assert!((parts.gone_cpu_s() - used).abs() < 1e-9, "counted once");
    }
}

//! What one serving process tells of itself.

use std::sync::{Mutex, PoisonError};

use brink_host::usage::ProcessSampler;
use brink_wire::control::{Info, LimitReading, Machine, Ready, TargetUsage};

use super::Answers;
use crate::counters::Counters;
use crate::options::Options;
use crate::work::Work;

/// This process, read from its counters and /proc: microseconds, so nothing here blocks.
#[derive(Debug)]
pub(crate) struct OwnProcess {
    options: Options,
    ready: Ready,
    work: Work,
    machine: Machine,
    counters: Counters,
    sampler: Mutex<ProcessSampler>,
}

impl OwnProcess {
    pub(crate) fn new(options: &Options, ready: &Ready, counters: &Counters, work: Work) -> Self {
        Self {
            options: options.clone(),
            ready: ready.clone(),
            work,
            machine: brink_host::machine::read(),
            counters: counters.clone(),
            sampler: Mutex::new(ProcessSampler::own()),
        }
    }
}

impl Answers for OwnProcess {
    fn info(&self) -> Info {
        let options = &self.options;
        Info {
            ready: self.ready.clone(),
            processes: 1,
            threads: options.model_threads(),
            delay: options.delay,
            work_us: options.work_us,
            stack_bytes: options.model.has_own_stacks.then_some(options.stack_bytes),
            backlog: options.backlog,
            connections_max: options.connections_max,
            work_error_ratio: self.work.error_ratio(),
            machine: self.machine.clone(),
            limits: self.limits(),
        }
    }

    fn usage(&self) -> TargetUsage {
        let mut process = self.sampler.lock().unwrap_or_else(PoisonError::into_inner).sample();
        let counters = self.counters.read();
        process.live = Some(counters.live);
        process.requests = Some(counters.requests);
        let machine = brink_host::usage::machine();
        TargetUsage { processes: vec![process], machine, counters, dead_workers: Vec::new() }
    }

    fn limits(&self) -> Vec<LimitReading> {
        brink_host::limits::read(self.ready.pid)
    }

    fn may_block(&self) -> bool {
        false
    }
}

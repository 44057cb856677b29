//! What one serving process tells of itself.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use brink_host::socket;
use brink_host::usage::{MachineSampler, ProcessSampler};
use brink_wire::control::{Info, LimitReading, Machine, MachineUsage, Ready, TargetUsage};

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
    /// Held by the model alone, so that they close when it ends.
    listeners: Vec<Weak<TcpListener>>,
    sampler: Mutex<ProcessSampler>,
    around: MachineSampler,
}

impl OwnProcess {
    pub(crate) fn new(
        options: &Options,
        ready: &Ready,
        counters: &Counters,
        work: Work,
        listeners: &[Arc<TcpListener>],
    ) -> Self {
        Self {
            options: options.clone(),
            ready: ready.clone(),
            work,
            machine: brink_host::machine::read(),
            counters: counters.clone(),
            listeners: listeners.iter().map(Arc::downgrade).collect(),
            sampler: Mutex::new(ProcessSampler::own()),
            around: MachineSampler::own(),
        }
    }
}

impl OwnProcess {
    /// Of one of several processes nobody asks it: whoever holds the port reads it once for all.
    fn machine_usage(&self) -> MachineUsage {
        if self.options.shares_port { MachineUsage::default() } else { self.around.sample() }
    }

    /// The longest of its listeners. `None`: it does not listen any more.
    fn accept_queue(&self) -> Option<u64> {
        let listeners = self.listeners.iter().filter_map(Weak::upgrade);
        listeners.filter_map(|one| Some(socket::accept_queue(&*one).ok()?.waiting)).max()
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
        process.accept_queue = self.accept_queue();
        TargetUsage {
            machine: self.machine_usage(),
            accept_queue: process.accept_queue,
            processes: vec![process],
            counters,
            dead_workers: Vec::new(),
        }
    }

    fn limits(&self) -> Vec<LimitReading> {
        brink_host::limits::read(self.ready.pid)
    }

    fn may_block(&self) -> bool {
        false
    }
}

//! What the supervisor's control plane answers: one target made of several processes. Must not
//! start or end any of them.

use std::io;
use std::sync::Arc;

use brink_host::limits::{self, Scope};
use brink_target::control::Answers;
use brink_wire::control::{Info, LimitReading, Ready, TargetUsage};

use super::crew::Crew;
use crate::preflight;

/// All that the answers are made of.
pub struct Desk {
    crew: Arc<Crew>,
    info: Info,
}

impl Desk {
    /// Asks the workers what they have in common. Each has calibrated its CPU work for itself: the one that
    /// is off most is told.
    ///
    /// # Errors
    /// When a worker does not say what it is.
    pub fn new(crew: Arc<Crew>, ready: &Ready, connections_max: Option<u64>) -> io::Result<Self> {
        let infos = crew.workers().iter().map(|worker| {
            let silent = || io::Error::other(format!("worker {} does not say what it is", worker.pid()));
            worker.info().ok_or_else(silent)
        });
        let infos = infos.collect::<io::Result<Vec<_>>>()?;
        let off = infos.iter().filter_map(|info| info.work_error_ratio);
        let work_error_ratio = off.max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let processes = ready.workers.len() as u32;
        let first = infos.into_iter().next().ok_or_else(|| io::Error::other("there is no worker"))?;
        let info = Info { ready: ready.clone(), processes, connections_max, work_error_ratio, ..first };
        Ok(Self { crew, info })
    }
}

impl Answers for Desk {
    fn info(&self) -> Info {
        Info { limits: self.limits(), ..self.info.clone() }
    }

    fn usage(&self) -> TargetUsage {
        let (processes, counters) = self.crew.ask();
        let machine = brink_host::usage::machine();
        let accept_queue = processes.iter().filter_map(|process| process.accept_queue).max();
        TargetUsage { processes, machine, accept_queue, counters, dead_workers: self.crew.dead() }
    }

    /// Those of the worker that holds most, which meets a limit of a process first; the target's own bounds are of
    /// all workers together.
    fn limits(&self) -> Vec<LimitReading> {
        let (processes, counters) = self.crew.ask();
        let Some(fullest) = processes.iter().max_by_key(|process| (process.live, process.fds)) else {
            return Vec::new();
        };
        let whose = format!("of worker {}, the fullest of {}", fullest.pid, processes.len());
        let mut readings = limits::read(fullest.pid);
        for reading in &mut readings {
            // What only one process has in use; settings are the same for all.
            let is_of_process = limits::find(&reading.name).is_some_and(|row| row.scope == Scope::Process);
            if is_of_process && reading.used.is_some() {
                let note = reading.note.take();
                reading.note = Some(note.map_or_else(|| whose.clone(), |note| format!("{note}; {whose}")));
            }
        }
        limits::with_own_bounds(readings, &preflight::bounds_of(&self.info, counters.live))
    }
}

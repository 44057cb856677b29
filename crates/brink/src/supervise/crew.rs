//! All workers of a target: what they count together, who of them has died, and their end. Must
//! not start a worker.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use brink_target::Stop;
use brink_wire::control::{Counters, DeadWorker, ProcessUsage};
use rustix::process::Signal;

use super::tally;
use super::worker::Worker;
use crate::stderr;

/// Stack of a thread that asks one worker: what hyper's client and serde_json take, several times over.
const ASKING_STACK_BYTES: usize = 256 << 10;

/// The workers of one target.
pub struct Crew {
    workers: Vec<Arc<Worker>>,
    watch: Arc<Watch>,
}

/// Who has ended.
struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    ended: Vec<Ended>,
    /// Whether they were told to end: who ends then has not died.
    stopping: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    Not,
    AsTold,
    Died(String),
}

impl Crew {
    /// Of workers that serve.
    pub fn new(workers: Vec<Worker>) -> Self {
        let workers: Vec<_> = workers.into_iter().map(Arc::new).collect();
        let ended = vec![Ended::Not; workers.len()];
        let watch = Watch { state: Mutex::new(State { ended, stopping: false }), changed: Condvar::new() };
        Self { workers, watch: Arc::new(watch) }
    }

    /// All of them, dead or alive.
    pub fn workers(&self) -> &[Arc<Worker>] {
        &self.workers
    }

    /// Those that ended although nobody told them to.
    pub fn dead(&self) -> Vec<DeadWorker> {
        let state = self.watch.lock();
        let died = self.workers.iter().zip(&state.ended).filter_map(|(worker, ended)| match ended {
            Ended::Died(how) => Some(DeadWorker { pid: worker.pid(), how: how.clone() }),
            Ended::Not | Ended::AsTold => None,
        });
        died.collect()
    }

    /// Has a thread wait for each worker, so that a death is noticed and said at once. When the last one
    /// has died, `stop` is requested.
    ///
    /// # Errors
    /// When a thread cannot be made, pthread_create(3).
    pub fn watch(&self, stop: &Stop) -> io::Result<()> {
        for (index, worker) in self.workers.iter().enumerate() {
            let (worker, watch, stop) = (Arc::clone(worker), Arc::clone(&self.watch), stop.clone());
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                let how = worker.wait();
                if watch.note(index, worker.pid(), &how) {
                    stop.request();
                }
            })?;
        }
        Ok(())
    }

    /// Living workers one by one, and what all have counted. Asks them, all at once: each waits for its turn on a CPU
    /// before it answers, and those waits must not add up.
    pub fn ask(&self) -> (Vec<ProcessUsage>, Counters) {
        let ended = self.watch.lock().ended.clone();
        let (mut processes, mut living, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        let asked =
            self.workers.iter().zip(&ended).map(|(worker, ended)| (*ended == Ended::Not).then_some(worker));
        for (worker, usage) in self.workers.iter().zip(ask_all(asked)) {
            match usage {
                Some((usage, counters)) => {
                    processes.push(usage);
                    living.push(counters);
                }
                None => gone.push(worker.last_counters()),
            }
        }
        let died = ended.iter().filter(|ended| matches!(ended, Ended::Died(_))).count();
        (processes, tally::sum(&living, &gone, died))
    }

    /// Tells all to end, and kills those that have not by `until`. Whether all had died before.
    pub fn end(&self, until: Instant, kill_within: Duration) -> bool {
        let all_died = {
            let mut state = self.watch.lock();
            state.stopping = true;
            !state.ended.contains(&Ended::Not)
        };
        self.workers.iter().for_each(|worker| worker.signal(Signal::TERM));
        if !self.watch.wait_for_all(until) {
            self.workers.iter().for_each(|worker| worker.signal(Signal::KILL));
            self.watch.wait_for_all(Instant::now() + kill_within);
        }
        all_died
    }
}

/// What a worker said.
type Answer = Option<(ProcessUsage, Counters)>;

/// What each of those worth asking says. Where a thread cannot be made for one, it is asked in turn.
fn ask_all<'a>(workers: impl Iterator<Item = Option<&'a Arc<Worker>>>) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let ask = |worker: &'a Arc<Worker>| {
            let thread = std::thread::Builder::new().name("asks".to_owned()).stack_size(ASKING_STACK_BYTES);
            thread.spawn_scoped(scope, move || worker.usage()).map_err(|_| worker)
        };
        let asked: Vec<_> = workers.map(|worker| worker.map(ask)).collect();
        let answers = asked.into_iter().map(|asked| match asked? {
            Ok(thread) => thread.join().ok().flatten(),
            Err(worker) => worker.usage(),
        });
        answers.collect()
    })
}

impl Watch {
    /// Notes that a worker has ended, and says so if nobody asked it to. Whether it was the last to die.
    fn note(&self, index: usize, pid: u32, how: &str) -> bool {
        let mut state = self.lock();
        let all = state.ended.len();
        let died = !state.stopping;
        if let Some(ended) = state.ended.get_mut(index) {
            *ended = if died { Ended::Died(how.to_owned()) } else { Ended::AsTold };
        }
        let left = state.ended.iter().filter(|ended| **ended == Ended::Not).count();
        self.changed.notify_all();
        drop(state);
        if died {
            stderr::say(&format!("brink: worker {pid} died: {how}; {left} of {all} serve on"));
        }
        died && left == 0
    }

    /// Waits until all have ended; whether they have by then.
    fn wait_for_all(&self, until: Instant) -> bool {
        let mut state = self.lock();
        while state.ended.contains(&Ended::Not) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(count: usize) -> Watch {
        let ended = vec![Ended::Not; count];
        Watch { state: Mutex::new(State { ended, stopping: false }), changed: Condvar::new() }
    }

    #[test]
    fn the_last_one_to_die_ends_it_and_who_was_told_has_not_died() {
        let crew = watch(2);
        assert!(!crew.note(1, 0, "signal: 9 (SIGKILL)"));
        assert!(!crew.wait_for_all(Instant::now()), "one serves on");
        assert!(crew.note(0, 0, "exit status: 1"), "nobody is left");
        assert!(crew.wait_for_all(Instant::now()));

        let crew = watch(1);
        crew.lock().stopping = true;
        assert!(!crew.note(0, 0, "exit status: 0"));
        assert_eq!(crew.lock().ended, [Ended::AsTold]);
    }
}

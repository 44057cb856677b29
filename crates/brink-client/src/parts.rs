//! A load that is shared out over several processes, each a part of it with its own descriptors, workers and samples.
//!
//! One process conducts: it gives the orders, and each part's workers follow them as they would follow a conductor of
//! their own. Orders and answers are lines of JSON on the part's stdin and stdout, a handful for each phase; what all
//! count together is on the [`Board`](crate::Board). What a request takes of a part is what it takes of a run in one
//! process. Must not start a process: who calls does.

mod follow;
mod lead;
mod said;

use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::engines::{Engine, find};
use crate::options::LoadOptions;

pub use self::follow::follow;
pub use self::lead::{Part, lead};

/// What a part is to do: the first line that it reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Which engine.
    pub engine: String,
    /// The whole load; `threads` are those of each process.
    pub options: LoadOptions,
    /// Which part.
    pub part: u32,
    /// Of how many.
    pub parts: u32,
    /// When the run began, in nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
    pub epoch_ns: u64,
}

impl Job {
    /// Workers of each part.
    fn workers_of_part(&self, engine: &Engine) -> u32 {
        let share = self.options.connections / u64::from(self.parts.max(1));
        engine.workers(&LoadOptions { connections: share.max(1), ..self.options.clone() })
    }

    fn engine(&self) -> io::Result<&'static Engine> {
        let why = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let engine = find(&self.engine).ok_or_else(|| why(format!("engine: no engine `{}`", self.engine)))?;
        if !can_be_shared(engine) {
            return Err(why(format!("engine: `{}` runs in one process", engine.name)));
        }
        if self.parts == 0 || self.part >= self.parts {
            return Err(why(format!("part: {} of {}", self.part, self.parts)));
        }
        if u64::from(self.parts) > self.options.connections {
            return Err(why(format!("parts: {} for {} connections", self.parts, self.options.connections)));
        }
        self.options.check()?;
        Ok(engine)
    }
}

/// Whether an engine's workers can be in several processes: those that share nothing.
#[must_use]
pub fn can_be_shared(engine: &Engine) -> bool {
    engine.has_worker_per_thread
}

/// CLOCK_MONOTONIC as it shows now, in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The instant at which CLOCK_MONOTONIC showed so much.
fn instant_of(monotonic_ns: u64) -> Option<Instant> {
    Instant::now().checked_sub(Duration::from_nanos(self::monotonic_ns().saturating_sub(monotonic_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::options;

    fn job(parts: u32, part: u32, connections: u64, engine: &str) -> Job {
        Job { engine: engine.to_owned(), options: options(connections), part, parts, epoch_ns: 0 }
    }

    #[test]
    fn a_job_that_makes_no_sense_is_refused_with_its_field() {
        for (job, why) in [
            (job(2, 2, 10, "mio"), "part: 2 of 2"),
            (job(0, 0, 10, "mio"), "part: 0 of 0"),
            (job(11, 0, 10, "mio"), "parts: 11 for 10 connections"),
            (job(2, 0, 10, "threads"), "engine: `threads` runs in one process"),
            (job(2, 0, 10, "none"), "engine: no engine `none`"),
        ] {
            assert_eq!(job.engine().unwrap_err().to_string(), why);
        }
        assert_eq!(job(2, 1, 10, "mio").engine().unwrap().name, "mio");
    }

    #[test]
    fn a_part_has_no_more_workers_than_connections() {
        let engine = find("mio").unwrap();
        let several = |threads, connections| {
            let options = LoadOptions { threads, ..options(connections) };
            Job { options, ..job(4, 0, connections, "mio") }.workers_of_part(engine)
        };
        assert_eq!((several(2, 100), several(2, 7), several(3, 8)), (2, 1, 2));
    }

    #[test]
    fn a_job_goes_through_a_line() {
        let asked = job(3, 1, 100, "mio");
        let line = serde_json::to_string(&asked).unwrap();
        let read: Job = serde_json::from_str(&line).unwrap();
        assert_eq!(format!("{asked:?}"), format!("{read:?}"));
    }
}

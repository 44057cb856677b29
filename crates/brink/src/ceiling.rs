//! `brink ceiling`: climbs until something gives way, closes, climbs again to find the edge one connection at a time,
//! holds there, comes down, and looks how the target is afterwards. Must not infer what gave way.

mod after;
mod dead;
mod floor;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use brink_client::{GiveUp, LoadOptions, Outcome, Stop};
use brink_results::answer::ceiling::agree;
use brink_results::case::{Case, ClimbCase};
use brink_results::schema::{CaseResult, Ceiling, Climb, End, Failure, Held, StoppedBy};
use brink_results::window;
use serde::{Deserialize, Serialize};

pub use self::dead::of_dead_client;
pub use self::floor::Floor;
use crate::assemble::{self, Beside};
use crate::ends::Look;
use crate::progress::Snapshot;
use crate::run::{self, Course, Names, News, NotRun, Prepared, Settings, Task, Watch};

/// Attempts that fail in a row before the second way up is over, with one under way at a time.
const FAILURES_FINE: u32 = 5;
/// The same where each failure takes as long as the timeout.
const FAILURES_SLOW: u32 = 3;
/// And on the first way up, which has many under way.
const TIMEOUTS_SCOUTING: u32 = 50;
/// Connections that are lost on the way up after which it is over; on the first way, and on those that follow.
const LOST_SCOUTING: u64 = 100;
const LOST_FINE: u64 = 5;
/// Slow connects in all after which a way up is over.
const SLOW_MAX: u32 = 100;
/// Ways up at most: two that agree are enough.
const CLIMBS_MAX: usize = 3;
/// How many connections below the last edge the next way up begins to make them one at a time, at least.
const FINE_BELOW: u64 = 64;

/// How to look for the edge.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Climbing {
    /// Memory that is to stay available, in bytes; none: the default.
    pub memory_floor_bytes: Option<u64>,
    /// How long one way up may take, in seconds.
    pub climb_max_s: f64,
    /// `--external`
    pub external: bool,
    /// Whether a token was given on the command line.
    pub token_was_typed: bool,
}

impl Climbing {
    /// As a case of a sweep asks for it, whose targets are this machine's or brink's own.
    pub fn of(case: &ClimbCase) -> Self {
        Self {
            memory_floor_bytes: case.memory_floor_bytes,
            climb_max_s: Duration::from_nanos(case.within_ns).as_secs_f64(),
            external: false,
            token_was_typed: false,
        }
    }
}

/// Finds the edge of a case, and tells how it goes.
///
/// # Errors
/// [`NotRun`], with which a failed result can still be written.
pub fn run(
    case: Case,
    climbing: &Climbing,
    settings: &Settings,
    mut tell: impl FnMut(News<'_>) + Send + Clone + 'static,
) -> Result<CaseResult, NotRun> {
    let mut prepared = run::prepare(case, settings)?;
    let mut watch = prepared.watch();
    prepared.forecast(&mut watch, Some(&settings.stop));
    tell(News::Preamble(&prepared.preamble()));
    let floor = Floor::new(climbing.memory_floor_bytes, prepared.context.client.machine.memory_bytes);
    let mut ascent = Ascent {
        prepared,
        floor,
        climb_max: Duration::try_from_secs_f64(climbing.climb_max_s).unwrap_or(Duration::MAX),
        is_late: Arc::default(),
        climbs: Vec::new(),
        courses: Vec::new(),
    };
    match ascent.climb_all(&mut watch, &settings.stop, tell) {
        Ok(()) => ascent.come_down(watch, &settings.stop),
        Err(error) => Err(ascent.prepared.broken(&error)),
    }
}

/// The ways up so far.
struct Ascent {
    prepared: Prepared,
    floor: Floor,
    climb_max: Duration,
    /// Whether a way up took too long.
    is_late: Arc<AtomicBool>,
    climbs: Vec<Climb>,
    courses: Vec<Course>,
}

impl Ascent {
    /// Climbs until two ways up agree, or nothing gives way, or the target does not serve any more.
    fn climb_all(
        &mut self,
        watch: &mut Watch,
        stop: &Stop,
        tell: impl FnMut(News<'_>) + Send + Clone + 'static,
    ) -> std::io::Result<()> {
        let mut options = self.scouting();
        loop {
            let names = if self.climbs.is_empty() { Names::Scouting } else { Names::Plain };
            // Enough is said once for each way up.
            let enough = stop.anew();
            let (floor, asked, mut tell) = (self.floor.clone(), enough.clone(), tell.clone());
            let lost_max = if self.climbs.is_empty() { LOST_SCOUTING } else { LOST_FINE };
            let (began, climb_max, is_late) = (Instant::now(), self.climb_max, Arc::clone(&self.is_late));
            let onlooker = move |look: &Look, snapshot: &Snapshot| {
                let climbs = matches!(snapshot.phase.as_str(), "climb" | "ramp");
                let late = climbs && began.elapsed() > climb_max;
                is_late.fetch_or(late, Ordering::Relaxed);
                // Who loses as many as it opens does not come higher.
                let loses = climbs && snapshot.lost >= lost_max;
                if late || loses || floor.is_met(look, snapshot.live) {
                    asked.ask_enough();
                }
                tell(News::Snapshot(snapshot));
            };
            let processes = self.prepared.context.case.load.processes;
            let task = Task { engine: self.prepared.engine, options: &options, processes, background: None };
            let course = watch.course(task, &enough, names, onlooker)?;
            self.note(&options, course);
            let Some(next) = self.next(stop) else { break };
            after::let_go(watch, stop, self.floor.met().is_some());
            if stop.requested() || !after::is_serving(&mut self.prepared, watch, stop) {
                // There is nothing to be learned from a target that does not serve.
                break;
            }
            options = next;
        }
        if self.climbs.len() == 1 {
            watch.rename(&[("climb", "ramp"), ("release", "close")]);
        }
        Ok(())
    }

    /// The first way up: fast, in steps, and over where something gives way.
    fn scouting(&self) -> LoadOptions {
        LoadOptions {
            give_up: GiveUp { timeouts: TIMEOUTS_SCOUTING, slow: Some(SLOW_MAX), ..GiveUp::default() },
            works_when_short: false,
            ..self.prepared.options.clone()
        }
    }

    /// The next way up, if there is to be one.
    fn next(&self, stop: &Stop) -> Option<LoadOptions> {
        let (here, course) = (self.climbs.last()?, self.courses.last()?);
        let before = self.climbs.iter().rev().nth(1);
        let agrees = before.is_some_and(|before| agree(before.connections, here.connections));
        let is_met = self.floor.met().is_some();
        let is_over = stop.requested() || course.outcome.interrupted;
        let nothing_gave_way = here.gave_way.is_none() && !is_met;
        let is_enough = agrees || (before.is_some() && is_met) || self.climbs.len() >= CLIMBS_MAX;
        let is_late = self.is_late.load(Ordering::Relaxed);
        if is_over || is_late || nothing_gave_way || is_enough || here.connections == 0 {
            return None;
        }
        let edge = here.connections;
        let base = self.prepared.options.clone();
        if is_met {
            // As many as memory carried, and no more.
            return Some(LoadOptions { connections: edge, plateaus: vec![edge], ..base });
        }
        let gave_way = here.gave_way.as_ref()?;
        // What follows from how fast connections come would not be seen one at a time.
        let fine = is_counted(gave_way);
        let failures = if fine { FAILURES_FINE } else { GiveUp::default().failures };
        Some(LoadOptions {
            plateaus: vec![base.connections],
            give_up: GiveUp { failures, timeouts: FAILURES_SLOW, slow: Some(SLOW_MAX) },
            fine_from: fine.then(|| edge.saturating_sub(FINE_BELOW.max(edge / 100))),
            ..base
        })
    }

    fn note(&mut self, options: &LoadOptions, course: Course) {
        let outcome = &course.outcome;
        let failures = assemble::failures_of_client(outcome, u64::from(options.connect_window));
        let held = outcome.window > Duration::ZERO;
        // Losses of the way up show in what was opened beyond what was ever open.
        let lost = outcome.samples.opened > outcome.peak_live;
        let of_ramp = failures.into_iter().filter(|failure| lost || !(held && is_of_hold(failure)));
        self.climbs.push(Climb {
            connections: outcome.peak_live,
            failed: outcome.samples.failed,
            opening_s: outcome.opening.as_secs_f64(),
            fine_from: options.fine_from,
            gave_way: of_ramp.min_by_key(|failure| (failure.errno == "slow", failure.first_at_connections)),
        });
        self.courses.push(course);
    }

    /// The way up that counts, with the plateaus of the first, and its connections counted against what was asked of all:
    /// the last one, unless another came more than twice as high; and the outcome of the highest, where the last one
    /// did not come as high, or met nothing there.
    fn take_last(&mut self) -> Option<(Course, Option<Outcome>)> {
        let plateaus = std::mem::take(&mut self.courses.first_mut()?.plateaus);
        let peak = |course: &Course| course.outcome.peak_live;
        let here = peak(self.courses.last()?);
        let at = (0..self.courses.len()).max_by_key(|&at| peak(&self.courses[at]))?;
        let high = peak(&self.courses[at]);
        let counts = if high / 2 > here { at } else { self.courses.len() - 1 };
        let met_nothing = self.courses[counts].outcome.samples.failures.is_empty();
        // Who is told late that connections were closed counts too many at a fast pace.
        let loses = |climb: &Climb| climb.gave_way.as_ref().is_some_and(|failure| failure.phase == "idle");
        let is_too_high = self.climbs.last().is_some_and(loses);
        let is_edge = at != counts && high >= here && (met_nothing || !agree(high, here)) && !is_too_high;
        let edge = is_edge.then(|| self.courses[at].outcome.clone());
        let mut course = self.courses.swap_remove(counts);
        course.plateaus = plateaus;
        let asked = self.prepared.options.connections;
        course.outcome.samples.not_attempted += asked.saturating_sub(course.outcome.requested);
        course.outcome.requested = asked;
        Some((course, edge))
    }

    /// Looks how the target is, and puts the result together.
    fn come_down(mut self, watch: Watch, stop: &Stop) -> Result<CaseResult, NotRun> {
        let Some((course, edge)) = self.take_last() else {
            return Err(self.prepared.broken(&std::io::Error::other("there was no way up")));
        };
        let Self { mut prepared, floor, climbs, is_late, .. } = self;
        let after = after::look(&mut prepared, &watch, stop);
        let interrupted = course.outcome.interrupted || stop.requested();
        let (stop_at, met, held) = (prepared.options.connections, floor.met(), held(&course.outcome));
        let course_peak = edge.as_ref().unwrap_or(&course.outcome).peak_live;
        let extra = met.map(|met| Failure {
            end: met.end,
            phase: "memory".to_owned(),
            errno: "floor".to_owned(),
            count: 1,
            // What was under way still came in.
            first_at_connections: met.at_connections.max(course_peak),
        });
        let mut result = run::finish(prepared, watch, course, Beside { extra, edge });
        let died = |failure: &Failure| {
            failure.end == End::Target && failure.errno == "died" && failure.phase == "run"
        };
        let stopped_by = match () {
            () if result.failures.iter().any(died) => StoppedBy::TargetDied,
            () if interrupted => StoppedBy::Interrupted,
            () if met.is_some() => StoppedBy::MemoryFloor,
            () if is_late.load(Ordering::Relaxed) => StoppedBy::Time,
            () if result.failure_point.is_some() => StoppedBy::Limit,
            () => StoppedBy::StopAt,
        };
        let target_cpu_per_s = window::target_cpu_per_s(&result);
        let seen_at = result.failure_point.as_ref().map_or(0, |point| point.at_connections);
        result.ceiling = Some(Ceiling {
            at_connections: course_peak.max(seen_at),
            stopped_by,
            stop_at,
            memory_floor_bytes: floor.bytes(),
            climbs,
            held: held.map(|held| Held { target_cpu_per_s, ..held }),
            after,
        });
        Ok(result)
    }
}

/// What became of the connections that were held, if any were.
fn held(outcome: &Outcome) -> Option<Held> {
    let samples = &outcome.samples;
    (outcome.window > Duration::ZERO).then_some(Held {
        connections: outcome.peak_live,
        window_s: outcome.window.as_secs_f64(),
        heartbeats: samples.requests_completed,
        failed: samples.requests_failed,
        // Those that were lost on the way up, and made up for, are not meant.
        closed_early: outcome.peak_live.saturating_sub(samples.live_at_end),
        target_cpu_per_s: None,
    })
}

/// Whether what gave way is a count, which is met one connection at a time, too; and not how fast they come.
fn is_counted(failure: &Failure) -> bool {
    let is_pace = failure.errno == "slow" || (failure.phase == "connect" && failure.errno == "timeout");
    !is_pace
}

/// Whether it happened while the connections were held.
fn is_of_hold(failure: &Failure) -> bool {
    matches!(failure.phase.as_str(), "request" | "final_verify" | "idle")
}

//! Runs that look for an edge: they stop opening where they are told to, or where it gives way.

use std::time::Duration;

use brink_client::{ENGINES, GiveUp, LoadOptions, Observer, Phase, Stop};

use crate::load::{HOLD, Notes, load, options};
use crate::servers;

/// Has enough at a plateau.
struct Content {
    at: u64,
    stop: Stop,
    phases: Vec<Phase>,
}

impl Observer for Content {
    fn phase(&mut self, phase: Phase) {
        self.phases.push(phase);
    }
    fn plateau(&mut self, connections_open: u64) {
        if connections_open == self.at {
            self.stop.ask_enough();
        }
    }
}

const WHOLE: [Phase; 5] = [Phase::Ramp, Phase::Warmup, Phase::Window, Phase::Drain, Phase::Close];

#[test]
fn who_has_enough_at_a_plateau_goes_on_with_what_is_open() {
    for engine in ENGINES {
        let target = servers::start(|_, stream| servers::echo(stream));
        let options = LoadOptions { plateaus: vec![4, 20, 10_000], ..options(target, 10_000, HOLD) };
        let stop = Stop::new();
        let mut content = Content { at: 20, stop: stop.clone(), phases: Vec::new() };
        let live = brink_client::LiveCounters::new(options.threads);
        let outcome = brink_client::run(engine, &options, &stop, &live, &mut content).unwrap();
        assert_eq!((outcome.samples.opened, outcome.samples.live_at_end), (20, 20), "{}", engine.name);
        assert_eq!((outcome.samples.not_attempted, outcome.interrupted), (9_980, false));
        assert_eq!(content.phases, WHOLE);
        assert!(outcome.samples.adds_up(10_000));
    }
}

#[test]
fn who_has_enough_on_the_way_opens_what_is_under_way_and_no_more() {
    for engine in ENGINES {
        let stop = Stop::new();
        let asking = stop.clone();
        let target = servers::start(move |count, stream| {
            if count == 30 {
                asking.ask_enough();
            }
            servers::echo(stream);
        });
        let options = LoadOptions { connect_rate_per_s: Some(1_000.0), ..options(target, 100_000, HOLD) };
        let mut notes = Notes::default();
        let outcome = load(engine, &options, &stop, &mut notes);
        assert!((30..50_000).contains(&outcome.samples.opened), "{}: {outcome:?}", engine.name);
        assert_eq!(outcome.samples.failed, 0);
        assert_eq!(notes.phases, WHOLE);
    }
}

#[test]
fn an_edge_ends_the_run_where_there_is_no_work_to_be_done_there() {
    for engine in ENGINES {
        let target = servers::start(|count, stream| {
            if count < 10 {
                servers::echo(stream)
            }
        });
        let edge = LoadOptions {
            connect_window: 8,
            fine_from: Some(5),
            give_up: GiveUp { failures: 3, timeouts: 3, slow: None },
            works_when_short: false,
            timeout: Duration::from_secs(5),
            threads: 1,
            ..options(target, 1_000, HOLD)
        };
        let mut notes = Notes::default();
        let outcome = load(engine, &edge, &Stop::new(), &mut notes);
        assert_eq!(notes.phases, [Phase::Ramp, Phase::Close], "{}", engine.name);
        // One at a time: those that were served, and the first failures after them.
        assert_eq!(outcome.samples.opened, 10, "{}", engine.name);
        assert_eq!(outcome.samples.failed, 3, "{}", engine.name);
    }
}

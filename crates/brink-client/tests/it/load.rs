//! Runs that go well: every connection opens, every request is answered, the books balance.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

use brink_client::{
    Close, ENGINES, Engine, GiveUp, LiveCounters, LoadOptions, Observer, Outcome, Phase, Protocol, Stop,
    WorkerSamples, Workload, run,
};

use crate::engines::{finishes, fixed, told};
use crate::servers;

/// Options for a run that takes a fraction of a second.
pub fn options(target: SocketAddr, connections: u64, workload: Workload) -> LoadOptions {
    LoadOptions {
        target,
        connections,
        workload,
        protocol: Protocol::Frame,
        requests: None,
        seed: 1,
        payload_bytes: 64,
        delay: Some(Duration::ZERO),
        delay_asked: None,
        work_us: Some(0),
        threads: 2,
        busy_poll: Duration::ZERO,
        connect_rate_per_s: None,
        connect_window: 64,
        fine_from: None,
        give_up: GiveUp::default(),
        works_when_short: true,
        sources: Vec::new(),
        warmup: Duration::from_millis(20),
        duration: Duration::from_millis(100),
        timeout: Duration::from_secs(20),
        delay_expected_max: Duration::ZERO,
        delay_expected_mean: Duration::ZERO,
        close: Close::Rst,
        plateaus: vec![connections],
        first_connection_id: 0,
    }
}

pub const HOLD: Workload = Workload::Hold { heartbeat: None };
pub const BUSY: Workload = Workload::Closed { think: Duration::ZERO };

/// Notes what it is told; may stop the run when a phase begins.
#[derive(Default)]
pub struct Notes {
    pub phases: Vec<Phase>,
    pub plateaus: Vec<u64>,
    pub stop: Option<(Phase, Stop)>,
}

impl Observer for Notes {
    fn phase(&mut self, phase: Phase) {
        self.phases.push(phase);
        if let Some((_, stop)) = self.stop.as_ref().filter(|(at, _)| *at == phase) {
            stop.request();
        }
    }
    fn plateau(&mut self, connections_open: u64) {
        self.plateaus.push(connections_open);
    }
}

/// Runs, and checks what holds of every run.
pub fn load(engine: &Engine, options: &LoadOptions, stop: &Stop, notes: &mut Notes) -> Outcome {
    let live = LiveCounters::new(options.threads);
    let outcome = run(engine, options, stop, &live, notes).unwrap();
    let requested = outcome.requested;
    let WorkerSamples { opened, failed, not_attempted, closed_early, live_at_end, .. } = outcome.samples;
    assert_eq!(requested, options.connections);
    assert_eq!(requested, opened + failed + not_attempted, "{outcome:?}");
    assert_eq!(opened, closed_early + live_at_end, "{outcome:?}");
    assert_eq!(
        outcome.samples.requests_intended,
        outcome.samples.requests_completed + outcome.samples.requests_failed
    );
    assert_eq!(outcome.samples.latency.len(), outcome.samples.requests_completed);
    assert!(outcome.peak_live <= opened && outcome.samples.connect_latency.len() >= opened);
    let now = live.snapshot();
    assert_eq!((now.opened, now.failed, now.live, now.in_flight), (opened, failed, 0, 0));
    let counted: u64 = outcome.samples.failures.iter().map(|failure| failure.count).sum();
    assert_eq!(counted, failed + closed_early, "{:?}", outcome.samples.failures);
    outcome
}

/// Longer than a machine takes, however busy it is, to get to what a window is to see.
const LONGEST: Duration = Duration::from_secs(10);

/// Runs until the window has seen something, each time four times as long: on a busy machine a short one may see
/// nothing at all.
#[track_caller]
pub fn sees(
    name: &str,
    options: &LoadOptions,
    run: impl Fn(&LoadOptions) -> Outcome,
    is_seen: impl Fn(&WorkerSamples) -> bool,
) -> Outcome {
    let mut outcome = run(options);
    let mut longer = options.clone();
    while !is_seen(&outcome.samples) {
        longer.warmup *= 4;
        longer.duration *= 4;
        assert!(longer.duration < LONGEST, "{name}: {}", told(&outcome));
        outcome = run(&longer);
    }
    outcome
}

/// A run in which nothing may fail.
fn load_well(engine: &Engine, options: &LoadOptions) -> Outcome {
    let mut notes = Notes::default();
    let outcome = load(engine, options, &Stop::new(), &mut notes);
    assert_eq!(outcome.samples.failures, [], "{} connections", options.connections);
    assert_eq!(
        (outcome.samples.opened, outcome.samples.live_at_end),
        (options.connections, options.connections)
    );
    assert_eq!((outcome.peak_live, outcome.samples.requests_failed), (options.connections, 0));
    assert_eq!(notes.plateaus, options.plateaus);
    assert!(!outcome.interrupted && outcome.window == options.duration);
    assert_eq!(notes.phases, [Phase::Ramp, Phase::Warmup, Phase::Window, Phase::Drain, Phase::Close]);
    outcome
}

#[test]
fn each_engine_holds_and_loads_1_10_and_500_connections() {
    for engine in ENGINES {
        let target = servers::start(|_, stream| servers::echo(stream));
        for connections in [1, 10, 500] {
            let held = load_well(engine, &options(target, connections, HOLD));
            assert_eq!((held.samples.requests_intended, held.samples.completed_in_window), (0, 0));
            let busy = sees(
                engine.name,
                &options(target, connections, BUSY),
                |options| load_well(engine, options),
                |samples| samples.requests_completed > 0 && samples.completed_in_window > 0,
            );
            assert!(busy.samples.delay_error.is_empty(), "a plain echo server does not know its wait");
        }
    }
}

#[test]
fn each_engine_carries_the_smallest_and_the_largest_payload() {
    for engine in ENGINES {
        let target = servers::start(|_, stream| servers::echo(stream));
        for payload_bytes in [0, 1, (16 << 10) - 40, (16 << 10) - 39, (64 << 10) - 40, 1 << 20] {
            let options = LoadOptions { payload_bytes, ..fixed(target, 3, BUSY, 12) };
            let samples = finishes(engine, &options).samples;
            assert_eq!((samples.requests_completed, samples.failures), (12, vec![]), "{payload_bytes} bytes");
        }
    }
}

#[test]
fn workers_that_stay_awake_ask_in_vain_and_do_all_else_alike() {
    let target = servers::start(|_, stream| servers::echo(stream));
    let all = ENGINES.iter().filter(|engine| engine.can_busy_poll);
    for (engine, workload) in all.flat_map(|engine| [(engine, HOLD), (engine, BUSY)]) {
        let asleep = options(target, 7, workload);
        assert_eq!(load_well(engine, &asleep).samples.polled_in_vain_ns, 0, "{}", engine.name);
        for busy_poll in [Duration::from_micros(1), Duration::from_secs(60), Duration::MAX] {
            let awake = LoadOptions { busy_poll, ..asleep.clone() };
            let run = |options: &LoadOptions| load_well(engine, options);
            let has_time = busy_poll >= asleep.duration && workload == HOLD;
            let outcome =
                sees(engine.name, &awake, run, |samples| !has_time || samples.polled_in_vain_ns > 0);
            let in_vain = Duration::from_nanos(outcome.samples.polled_in_vain_ns);
            assert!(in_vain <= 2 * outcome.window, "of two workers: {in_vain:?}");
        }
    }
}

#[test]
fn a_delay_that_is_known_is_compared_with_the_wait() {
    for engine in ENGINES {
        let target = servers::start(|_, stream| servers::brink(stream));
        let asked = LoadOptions { delay: Some(Duration::from_micros(3)), ..fixed(target, 4, BUSY, 100) };
        let outcome = finishes(engine, &asked);
        assert_eq!((outcome.samples.delay_error.len(), outcome.samples.requests_completed), (100, 100));
        assert_eq!((outcome.samples.delay_error.min(), outcome.samples.delay_error.max()), (5, 5));
        let unknown = LoadOptions { delay: None, ..asked };
        assert!(finishes(engine, &unknown).samples.delay_error.is_empty());
    }
}

#[test]
fn heartbeats_and_pauses_go_on_through_the_window() {
    for engine in ENGINES {
        let target = servers::start(|_, stream| servers::echo(stream));
        let heartbeat = Some(Duration::from_millis(10));
        let thinking = Workload::Closed { think: Duration::from_millis(5) };
        for workload in [Workload::Hold { heartbeat }, thinking] {
            let options = options(target, 7, workload);
            let run = |options: &LoadOptions| load_well(engine, options);
            sees(engine.name, &options, run, |samples| samples.requests_completed > 0);
        }
    }
}

#[test]
fn the_ramp_pauses_on_each_plateau_at_any_rate() {
    for engine in ENGINES {
        let target = servers::start(|_, stream| servers::echo(stream));
        let plateaus = vec![1, 2, 15, 50];
        let steps = LoadOptions { plateaus, threads: 3, ..options(target, 50, HOLD) };
        load_well(engine, &steps);
        load_well(engine, &LoadOptions { connect_rate_per_s: Some(2_000.0), ..steps.clone() });
        load_well(engine, &LoadOptions { connect_window: 1, close: Close::Fin, ..steps });
    }
}

#[test]
fn sources_are_taken_in_turn() {
    for engine in ENGINES {
        let (tell, told) = mpsc::channel();
        let target = servers::start(move |_, stream| {
            tell.send(stream.peer_addr().unwrap().ip()).unwrap();
            servers::echo(stream);
        });
        let sources = vec![IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 3])];
        let options = LoadOptions { sources: sources.clone(), ..options(target, 40, HOLD) };
        load_well(engine, &options);
        let seen: Vec<IpAddr> = told.try_iter().collect();
        for source in sources {
            assert_eq!(seen.iter().filter(|&&ip| ip == source).count(), 20);
        }
    }
}

#[test]
fn identities_go_into_sequence_numbers_and_do_not_repeat() {
    for engine in ENGINES {
        let (tell, told) = mpsc::channel();
        let target = servers::start(move |_, mut stream| {
            let first = servers::frame(&mut stream).map(|(header, bytes)| {
                tell.send(header.sequence >> 32).unwrap();
                std::io::Write::write_all(&mut stream, &bytes).unwrap();
            });
            first.into_iter().for_each(|()| servers::echo(stream.try_clone().unwrap()));
        });
        load_well(engine, &LoadOptions { first_connection_id: 1_000, ..options(target, 25, HOLD) });
        let mut ids: Vec<u64> = told.try_iter().collect();
        ids.sort_unstable();
        assert_eq!(ids, (1_000..1_025).collect::<Vec<_>>());
    }
}

#[test]
fn a_stop_in_the_window_keeps_the_samples() {
    for engine in ENGINES {
        let target = servers::start(|_, stream| servers::echo(stream));
        let hour = Duration::from_secs(3600);
        for (phase, workload) in [(Phase::Window, BUSY), (Phase::Warmup, HOLD), (Phase::Ramp, HOLD)] {
            let options =
                LoadOptions { duration: hour, warmup: hour / 3600, ..options(target, 20, workload) };
            let stop = Stop::new();
            let mut notes = Notes { stop: Some((phase, stop.clone())), ..Notes::default() };
            let outcome = load(engine, &options, &stop, &mut notes);
            assert!(outcome.interrupted && outcome.window < hour);
            assert_eq!(notes.phases.last(), Some(&Phase::Close));
            assert_eq!(outcome.samples.live_at_end, outcome.samples.opened);
            if phase != Phase::Ramp {
                assert_eq!(outcome.samples.opened, 20);
            }
        }
    }
}

//! The conductor with an engine that has no sockets: what it is ordered is exact, and nothing sleeps.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::engines::Threads;
use crate::options::tests::options;
use crate::pacing::share;

fn available() -> Result<(), String> {
    Ok(())
}

fn engine(run: fn(&Worker<'_>) -> io::Result<WorkerSamples>) -> Engine {
    Engine {
        name: "fake",
        summary: "opens nothing",
        available,
        threads: Threads::PerCpu,
        has_worker_per_thread: true,
        can_busy_poll: false,
        run,
    }
}

/// Opens everything at once; a run of work takes `REQUESTS` requests per connection.
const REQUESTS: u64 = 3;

fn obedient(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
    let this = thread::current();
    worker.on_order(Box::new(move || {
        this.unpark();
        Ok(())
    }));
    let mut samples = WorkerSamples::new()?;
    let mut seen = 0;
    loop {
        let Some((generation, order)) = worker.order_after(seen) else {
            thread::park();
            continue;
        };
        seen = generation;
        match order {
            Order::Wait | Order::Enough => {}
            Order::Open { goal, .. } => {
                while samples.opened < share(goal, worker.index, worker.workers) {
                    worker.shard.attempt();
                    worker.count_open();
                    samples.opened += 1;
                }
            }
            Order::Work(schedule) => {
                assert!(schedule.begin_ns <= schedule.window_begin_ns);
                samples.requests_intended = samples.opened * REQUESTS;
                samples.requests_completed = samples.requests_intended;
            }
            Order::Close => {
                samples.live_at_end = samples.opened;
                let asked = share(worker.options.connections, worker.index, worker.workers);
                samples.not_attempted = asked - samples.opened;
                return Ok(samples);
            }
        }
        worker.arrive(generation);
    }
}

#[derive(Default)]
struct Notes {
    seen: Vec<String>,
    stop: Option<(u64, Stop)>,
}

impl Observer for Notes {
    fn phase(&mut self, phase: Phase) {
        self.seen.push(format!("{phase:?}"));
    }
    fn plateau(&mut self, connections_open: u64) {
        self.seen.push(connections_open.to_string());
        if let Some((_, stop)) = self.stop.as_ref().filter(|(at, _)| *at == connections_open) {
            stop.request();
        }
    }
}

#[test]
fn a_run_goes_up_in_steps_and_through_every_phase_in_order() {
    for threads in [1, 3, 200] {
        let options = LoadOptions { threads, plateaus: vec![10, 55, 100], ..options(100) };
        let (live, mut notes) = (LiveCounters::new(threads), Notes::default());
        let outcome = run(&engine(obedient), &options, &Stop::new(), &live, &mut notes).unwrap();
        let expected = ["Ramp", "10", "55", "100", "Warmup", "Window", "Drain", "Close"];
        assert_eq!(notes.seen, expected, "{threads} threads");
        assert_eq!((outcome.samples.opened, outcome.samples.live_at_end, outcome.peak_live), (100, 100, 100));
        assert_eq!(outcome.samples.requests_completed, 100 * REQUESTS);
        assert!(!outcome.interrupted && outcome.window.is_zero());
        assert_eq!(live.snapshot().opened, 100);
    }
}

#[test]
fn a_stop_on_the_way_up_keeps_what_was_opened() {
    let options = LoadOptions { threads: 2, plateaus: vec![10, 55, 100], ..options(100) };
    let stop = Stop::new();
    let mut notes = Notes { stop: Some((55, stop.clone())), ..Notes::default() };
    let outcome = run(&engine(obedient), &options, &stop, &LiveCounters::new(2), &mut notes).unwrap();
    assert!(outcome.interrupted);
    // The workers may or may not have taken the third order before they were dismissed.
    assert!(outcome.samples.opened >= 55 && outcome.samples.opened + outcome.samples.not_attempted == 100);
    assert_eq!(notes.seen.last().unwrap(), "Close");
    assert!(!notes.seen.contains(&"Warmup".to_owned()));
}

#[test]
fn nothing_open_means_no_window() {
    fn refused(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
        let this = thread::current();
        worker.on_order(Box::new(move || {
            this.unpark();
            Ok(())
        }));
        let mut samples = WorkerSamples::new()?;
        samples.failed = share(worker.options.connections, worker.index, worker.workers);
        samples.failure("connect", "ECONNREFUSED", 0, Duration::ZERO);
        let mut seen = 0;
        loop {
            match worker.order_after(seen) {
                None => thread::park(),
                Some((_, Order::Close)) => return Ok(samples),
                Some((generation, _)) => {
                    seen = generation;
                    worker.arrive(generation);
                }
            }
        }
    }
    let duration = Duration::from_secs(3600);
    let options = LoadOptions { duration, threads: 2, plateaus: vec![2, 5, 8], ..options(8) };
    let mut notes = Notes::default();
    let outcome = run(&engine(refused), &options, &Stop::new(), &LiveCounters::new(2), &mut notes).unwrap();
    assert_eq!(notes.seen, ["Ramp", "0", "Close"], "a plateau is not measured twice");
    assert_eq!(
        (outcome.samples.failed, outcome.samples.failures[0].count),
        (8, 2),
        "one row, from two workers"
    );
}

#[test]
fn a_worker_that_fails_ends_the_run_and_the_others_keep_what_they_measured() {
    /// Worker 1 opens its share and fails when the workload begins.
    fn fails(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
        if worker.index != 1 {
            return obedient(worker);
        }
        let mut seen = 0;
        loop {
            match worker.order_after(seen) {
                Some((_, Order::Work(_))) => return Err(io::Error::from_raw_os_error(12)),
                Some((generation, _)) => {
                    seen = generation;
                    worker.arrive(generation);
                }
                None => thread::yield_now(),
            }
        }
    }
    let options = LoadOptions { duration: Duration::from_secs(3600), threads: 3, ..options(10) };
    let live = LiveCounters::new(3);
    let outcome = run(&engine(fails), &options, &Stop::new(), &live, &mut Notes::default()).unwrap();
    assert!(outcome.interrupted);
    assert_eq!(
        (outcome.samples.opened, outcome.samples.live_at_end, outcome.samples.not_attempted),
        (7, 7, 3)
    );
    let failures: Vec<_> =
        outcome.samples.failures.iter().map(|f| (f.phase, f.errno.as_str(), f.count)).collect();
    assert_eq!(failures, [("poll", "ENOMEM", 1)]);
}

#[test]
fn where_every_worker_fails_the_run_ends_with_the_first_error() {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    fn fails(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
        STARTED.fetch_add(1, Ordering::Relaxed);
        Err(io::Error::other(format!("no poll for {}", worker.index)))
    }
    let options = LoadOptions { duration: Duration::from_secs(3600), threads: 3, ..options(9) };
    let error = run(&engine(fails), &options, &Stop::new(), &LiveCounters::new(3), &mut Notes::default());
    assert_eq!(error.unwrap_err().to_string(), "no poll for 0");
    assert_eq!(STARTED.load(Ordering::Relaxed), 3);
}

#[test]
fn wrong_options_are_refused_before_anything_starts() {
    fn never(_: &Worker<'_>) -> io::Result<WorkerSamples> {
        panic!("started");
    }
    let (stop, mut notes) = (Stop::new(), Notes::default());
    let wrong = LoadOptions { connections: 0, ..options(1) };
    assert!(run(&engine(never), &wrong, &stop, &LiveCounters::new(1), &mut notes).is_err());
    let few = LoadOptions { threads: 2, ..options(2) };
    assert!(run(&engine(never), &few, &stop, &LiveCounters::new(1), &mut notes).is_err());
    assert!(notes.seen.is_empty());
}

fn many_per_lane(connections: u64, threads: u32, timeout: Duration) -> LoadOptions {
    LoadOptions { threads, timeout, ..options(connections) }
}

#[test]
fn what_follows_the_window_has_a_bound_of_its_own() {
    let second = Duration::from_secs(1);
    let drain = |name, connections, threads| {
        drain_max(crate::find(name).unwrap(), &many_per_lane(connections, threads, 5 * second)).as_secs()
    };
    assert_eq!((drain("pool", 10_000, 20), drain("pool", 10_001, 1)), (20, 210));
    assert_eq!((drain("sequential", 10_000, 20), drain("mio", 10_000, 2)), (210, 110));
    assert_eq!(drain("tokio", 7, 2), 20);
}

#[test]
fn a_run_that_is_cut_short_says_so_and_what_is_not_proved_has_failed() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let target = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                // One echo, and then silence.
                let (mut stream, mut frame) = (stream.unwrap(), [0; 104]);
                let served = stream.read_exact(&mut frame).and_then(|()| stream.write_all(&frame));
                while served.is_ok() && matches!(stream.read(&mut frame), Ok(1..)) {}
            });
        }
    });
    for engine in crate::ENGINES {
        let silent =
            LoadOptions { target, connect_window: 2, ..many_per_lane(6, 2, Duration::from_secs(3600)) };
        let (stop, live, mut notes) = (Stop::new(), LiveCounters::new(2), Notes::default());
        let drain_max = Duration::from_millis(30);
        let outcome = run_until(engine, &silent, &stop, &live, &mut notes, drain_max).unwrap();
        let Outcome { samples, interrupted, cut_short, .. } = outcome;
        assert!(cut_short && !interrupted, "{}", engine.name);
        let failures: Vec<_> =
            samples.failures.iter().map(|f| (f.phase, f.errno.as_str(), f.count)).collect();
        assert_eq!(failures, [("final_verify", "timeout", 6)], "{}", engine.name);
        assert_eq!((samples.closed_early, samples.live_at_end), (6, 0), "{}", engine.name);
    }
}

#[test]
fn of_a_fixed_number_what_was_never_sent_is_not_sent() {
    // The engine has sent 3 of each connection, and says nothing of the rest.
    let options = LoadOptions { requests: Some(100), duration: Duration::from_secs(3600), ..options(5) };
    let counted = |stop: &Stop, notes: &mut Notes| {
        let outcome = run(&engine(obedient), &options, stop, &LiveCounters::new(1), notes).unwrap();
        let samples = outcome.samples;
        (samples.requests_intended, samples.requests_completed, samples.requests_not_sent)
    };
    assert_eq!(counted(&Stop::new(), &mut Notes::default()), (100, 15, 85));
    let stop = Stop::new();
    stop.request();
    assert_eq!(counted(&stop, &mut Notes::default()).2, 0, "interrupted");
}

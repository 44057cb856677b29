//! A load in parts, each of which is a thread here, that hears and says what a process would on its pipes.

use std::io::{BufReader, PipeReader, PipeWriter, Write};
use std::time::Duration;

use brink_client::parts::{Part, follow, lead};
use brink_client::{Arrivals, Board, LiveCounters, LoadOptions, Outcome, Phase, Stop, Workload};

use crate::load::{BUSY, HOLD, Notes, options, sees};
use crate::servers;

/// A part that does what it is told.
fn part(board: &Board) -> Part {
    let (orders, input) = std::io::pipe().unwrap();
    let (output, mut said) = std::io::pipe().unwrap();
    let board = board.clone();
    std::thread::spawn(move || follow(BufReader::new(orders), &mut said, board));
    made(input, output)
}

fn made(input: PipeWriter, output: PipeReader) -> Part {
    let ended = Box::new(|| "signal: 9 (SIGKILL)".to_owned());
    Part { input: Box::new(input), output: Box::new(BufReader::new(output)), ended }
}

fn run(options: &LoadOptions, board: Board, parts: Vec<Part>, notes: &mut Notes) -> (Outcome, LiveCounters) {
    let live = LiveCounters::new(parts.len() as u32);
    let outcome = lead(("mio", options), (board, parts), &Stop::new(), &live, notes).unwrap();
    (outcome, live)
}

/// A run in which nothing may fail.
fn run_well(options: &LoadOptions, parts: u32) -> Outcome {
    let board = Board::shared().unwrap();
    let crew = (0..parts).map(|_| part(&board)).collect();
    let mut notes = Notes::default();
    let (outcome, live) = run(options, board, crew, &mut notes);
    assert_eq!(outcome.samples.failures, []);
    assert!(outcome.samples.adds_up(options.connections), "{outcome:?}");
    assert_eq!(
        (outcome.samples.opened, outcome.samples.live_at_end, outcome.peak_live),
        (options.connections, options.connections, options.connections)
    );
    assert_eq!(notes.plateaus, options.plateaus);
    assert_eq!(notes.phases, [Phase::Ramp, Phase::Warmup, Phase::Window, Phase::Drain, Phase::Close]);
    assert_eq!(live.snapshot().opened, options.connections, "told while it went on");
    outcome
}

#[test]
fn parts_together_are_one_load() {
    let target = servers::start(|_, stream| servers::echo(stream));
    for (connections, parts, threads) in [(1, 1, 1), (10, 3, 2), (301, 7, 1)] {
        let options = |workload| LoadOptions { threads, ..options(target, connections, workload) };
        let held = run_well(&options(HOLD), parts);
        assert_eq!(held.samples.requests_intended, 0);
        let busy = sees(
            &format!("{parts} parts"),
            &options(BUSY),
            |options| run_well(options, parts),
            |samples| samples.completed_in_window > 0,
        );
        assert_eq!(busy.samples.latency.len(), busy.samples.requests_completed);
    }
}

#[test]
fn a_fixed_number_of_requests_is_that_of_all_parts() {
    let target = servers::start(|_, stream| servers::echo(stream));
    for (workload, requests) in [(Workload::Burst, 90), (Workload::Burst, 7), (BUSY, 500)] {
        let options = LoadOptions {
            requests: Some(requests),
            warmup: Duration::ZERO,
            duration: Duration::from_secs(20),
            ..options(target, 30, workload)
        };
        let outcome = run_well(&options, 3);
        assert_eq!(outcome.samples.requests_completed, requests, "{workload:?}");
        assert!(outcome.makespan.is_some() && outcome.window < options.duration);
    }
}

#[test]
fn an_open_loop_keeps_its_rate_over_all_parts() {
    let target = servers::start(|_, stream| servers::echo(stream));
    let workload = Workload::Open { rate_per_s: 500.0, arrivals: Arrivals::Fixed };
    let options = LoadOptions {
        warmup: Duration::ZERO,
        duration: Duration::from_secs(1),
        ..options(target, 12, workload)
    };
    let outcome = run_well(&options, 4);
    assert_eq!(outcome.samples.requests_intended, 500);
}

#[test]
fn a_part_that_dies_ends_the_run_and_what_it_had_told_is_kept() {
    let target = servers::start(|_, stream| servers::echo(stream));
    let board = Board::shared().unwrap();
    // The other one says that it has opened four, and then nothing more.
    let (_orders, input) = std::io::pipe().unwrap();
    let (output, mut said) = std::io::pipe().unwrap();
    let counts = r#"{"attempted":5,"opened":4,"failed":1,"live":4,"in_flight":0,"completed":0}"#;
    writeln!(said, r#"{{"Goes":{{"counts":{counts},"latencies":[[3,1]],"failures":[]}}}}"#).unwrap();
    drop(said);
    let crew = vec![part(&board), made(input, output)];
    let options = options(target, 20, HOLD);
    let (outcome, _) = run(&options, board, crew, &mut Notes::default());
    let samples = &outcome.samples;
    assert!(outcome.interrupted && samples.adds_up(20), "{outcome:?}");
    assert!(samples.closed_early >= 4 && samples.failed >= 1);
    assert_eq!(samples.died, ["signal: 9 (SIGKILL)"]);
    let failure = samples.failures.iter().find(|failure| failure.phase == "run").unwrap();
    assert_eq!((failure.errno.as_str(), failure.count), ("died", 1));
}

#[test]
fn a_part_that_talks_nonsense_is_an_error_that_says_so() {
    let board = Board::shared().unwrap();
    let (_orders, input) = std::io::pipe().unwrap();
    let (output, mut said) = std::io::pipe().unwrap();
    writeln!(said, "hello").unwrap();
    let live = LiveCounters::new(1);
    let options = options("127.0.0.1:9".parse().unwrap(), 1, HOLD);
    let led = lead(
        ("mio", &options),
        (board, vec![made(input, output)]),
        &Stop::new(),
        &live,
        &mut Notes::default(),
    );
    assert!(led.unwrap_err().to_string().contains("a part said"));
}

//! Every engine on every workload, against servers with one habit each: what is counted is the same whoever counts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use brink_client::{
    Arrivals, ENGINES, Engine, HttpRequest, LatencyGauge, LiveCounters, LoadOptions, Outcome, Protocol, Stop,
    WorkerSamples, Workload, run,
};

use crate::load::{BUSY, HOLD, Notes, options, sees};
use crate::servers;

pub const CHURN: Workload = Workload::Churn { think: Duration::ZERO };
/// Longer than any test: what ends earlier ends because all was sent.
pub const LONG: Duration = Duration::from_secs(600);

/// Runs, and checks what holds of every run.
pub fn load(engine: &Engine, options: &LoadOptions, stop: &Stop) -> Outcome {
    let live = LiveCounters::new(options.threads);
    let outcome = run(engine, options, stop, &live, &mut Notes::default()).unwrap();
    let samples = &outcome.samples;
    let name = engine.name;
    assert!(samples.adds_up(options.connections), "{name}: {}", told(&outcome));
    assert_eq!(samples.latency.len(), samples.requests_completed, "{name}");
    let now = live.snapshot();
    let counted = (samples.opened, samples.failed, 0, 0);
    assert_eq!((now.opened, now.failed, now.live, now.in_flight), counted, "{name}");
    let latencies = live.latencies(&mut LatencyGauge::default());
    assert_eq!(latencies.count(), now.completed, "{name}: what is answered has a latency");
    let in_all: u64 = samples.failures.iter().map(|failure| failure.count).sum();
    assert_eq!(live.failures_in_all(), in_all, "{name}: what fails is told of");
    for failure in &live.failures() {
        assert!(samples.failures.contains(failure), "{name}: {failure:?} in {:?}", samples.failures);
    }
    outcome
}

pub fn finishes(engine: &Engine, options: &LoadOptions) -> Outcome {
    let outcome = load(engine, options, &Stop::new());
    assert!(!outcome.interrupted, "{}", engine.name);
    outcome
}

/// Makes the window longer until this is seen.
#[track_caller]
fn finishes_and_sees(
    engine: &Engine,
    options: &LoadOptions,
    is_seen: impl Fn(&WorkerSamples) -> bool,
) -> Outcome {
    sees(engine.name, options, |options| finishes(engine, options), is_seen)
}

/// Options for so many requests from the window's begin on.
pub fn fixed(target: SocketAddr, connections: u64, workload: Workload, requests: u64) -> LoadOptions {
    let requests = Some(requests);
    let base = options(target, connections, workload);
    LoadOptions { requests, warmup: Duration::ZERO, duration: LONG, ..base }
}

/// What was counted, without the histograms.
pub fn told(outcome: &Outcome) -> String {
    let samples = &outcome.samples;
    format!(
        "opened {} failed {} not_attempted {} closed_early {} live_at_end {} reopened {} intended {} completed {} \
         failed {} not_sent {} abandoned {}: {:?}",
        samples.opened,
        samples.failed,
        samples.not_attempted,
        samples.closed_early,
        samples.live_at_end,
        samples.reopened,
        samples.requests_intended,
        samples.requests_completed,
        samples.requests_failed,
        samples.requests_not_sent,
        samples.requests_abandoned,
        samples.failures
    )
}

/// Failures as (phase, errno, count).
pub fn failures(outcome: &Outcome) -> Vec<(&str, &str, u64)> {
    let failures = outcome.samples.failures.iter();
    failures.map(|failure| (failure.phase, failure.errno.as_str(), failure.count)).collect()
}

fn open(rate_per_s: f64, arrivals: Arrivals) -> Workload {
    Workload::Open { rate_per_s, arrivals }
}

/// Echoes so many frames, as they are, and returns.
pub fn echo_frames(stream: &mut TcpStream, frames: usize) {
    for _ in 0..frames {
        let Some((_, bytes)) = servers::frame(stream) else { return };
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}

#[test]
fn a_fixed_number_of_requests_is_sent_exactly() {
    let target = servers::start(|_, stream| servers::echo(stream));
    let thinking = Workload::Closed { think: Duration::from_millis(2) };
    for engine in ENGINES {
        for workload in [BUSY, thinking, Workload::Burst, CHURN, open(2_000.0, Arrivals::Poisson)] {
            for (connections, requests) in [(7, 100), (7, 3), (1, 1)] {
                let begun = Instant::now();
                let outcome = finishes(engine, &fixed(target, connections, workload, requests));
                let name = (engine.name, workload, requests);
                assert_eq!(outcome.samples.failures, [], "{name:?}");
                assert_eq!(outcome.samples.requests_intended, requests, "{name:?}");
                assert_eq!(outcome.samples.requests_completed, requests, "{name:?}");
                let makespan = outcome.makespan.unwrap();
                assert!(!makespan.is_zero() && makespan <= begun.elapsed(), "{name:?}: {makespan:?}");
                assert_eq!(outcome.samples.live_at_end, connections, "{name:?}");
            }
        }
    }
}

#[test]
fn requests_of_the_warm_up_are_none_of_the_fixed_number() {
    let target = servers::start(|_, stream| servers::echo(stream));
    for engine in ENGINES {
        let warmup = Duration::from_millis(30);
        let outcome = finishes(engine, &LoadOptions { warmup, ..fixed(target, 3, BUSY, 50) });
        assert_eq!(outcome.samples.requests_completed, 50, "{}", engine.name);
    }
}

#[test]
fn an_open_loop_intends_what_its_schedule_says() {
    let target = servers::start(|_, stream| servers::echo(stream));
    for engine in ENGINES {
        for connections in [1, 9] {
            let even = options(target, connections, open(500.0, Arrivals::Fixed));
            let even = LoadOptions { duration: Duration::from_millis(400), ..even };
            let outcome = finishes(engine, &even);
            let samples = &outcome.samples;
            assert!(samples.requests_intended.abs_diff(200) <= 1, "{}: {}", engine.name, told(&outcome));
            assert_eq!((samples.requests_failed, &samples.failures), (0, &vec![]), "{}", engine.name);
            assert!(samples.schedule_lag.len() <= samples.requests_intended + 20, "{}", engine.name);
        }
        let random = options(target, 4, open(500.0, Arrivals::Poisson));
        finishes_and_sees(engine, &random, |samples| samples.requests_completed > 0);
    }
}

/// Echoes the first frame of each connection and then only reads.
fn falls_silent() -> SocketAddr {
    servers::start(|_, mut stream| {
        echo_frames(&mut stream, 1);
        while servers::frame(&mut stream).is_some() {}
    })
}

#[test]
fn an_open_loop_against_silence_says_what_was_not_sent_and_ends() {
    let target = falls_silent();
    // The verifying echo has to be in time on a busy machine.
    let timeout = Duration::from_millis(700);
    for engine in ENGINES {
        let load = options(target, 2, open(500.0, Arrivals::Fixed));
        let load = LoadOptions { timeout, warmup: Duration::ZERO, ..load };
        let outcome = finishes_and_sees(engine, &load, |samples| samples.requests_failed > 0);
        let samples = &outcome.samples;
        let due = outcome.window.as_millis() as u64 / 2;
        assert!(samples.requests_intended.abs_diff(due) <= 1, "{}: {}", engine.name, told(&outcome));
        assert!(samples.requests_failed <= 2, "{}: {}", engine.name, told(&outcome));
        assert!(samples.requests_not_sent >= due - 3, "{}: {}", engine.name, told(&outcome));
        assert_eq!(samples.requests_completed, 0, "{}", engine.name);
        assert!(failures(&outcome).iter().all(|f| (f.0, f.1) == ("request", "timeout")), "{}", engine.name);
    }
}

#[test]
fn a_server_that_is_too_slow_makes_a_backlog() {
    // A few milliseconds for each, where they come due twice in one.
    let target = servers::start(|_, mut stream| {
        echo_frames(&mut stream, 1);
        while let Some((_, bytes)) = servers::frame(&mut stream) {
            thread::park_timeout(Duration::from_millis(5));
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    for engine in ENGINES {
        let load = options(target, 1, open(2_000.0, Arrivals::Fixed));
        let load = LoadOptions { warmup: Duration::ZERO, ..load };
        let outcome = finishes_and_sees(engine, &load, |samples| samples.requests_completed > 0);
        let samples = &outcome.samples;
        assert!(
            samples.requests_not_sent > 0 && samples.backlog_peak > 0,
            "{}: {}",
            engine.name,
            told(&outcome)
        );
    }
}

#[test]
fn other_bytes_are_a_failed_request_of_their_own_kind() {
    let target = servers::start(|_, mut stream| {
        echo_frames(&mut stream, 1);
        if let Some((_, mut bytes)) = servers::frame(&mut stream) {
            bytes[103] ^= 1;
            stream.write_all(&bytes).unwrap();
            servers::frame(&mut stream);
        }
    });
    for engine in ENGINES {
        let load = LoadOptions { warmup: Duration::ZERO, ..options(target, 5, BUSY) };
        let outcome = finishes_and_sees(engine, &load, |samples| samples.requests_intended >= 5);
        assert_eq!(failures(&outcome), [("request", "mismatch", 5)], "{}", engine.name);
        let samples = &outcome.samples;
        assert_eq!((samples.requests_intended, samples.requests_failed), (5, 5), "{}", engine.name);
        assert_eq!((samples.closed_early, samples.live_at_end), (5, 0), "{}", engine.name);
    }
}

#[test]
fn nobody_there_is_given_up_on() {
    for engine in ENGINES {
        let one = finishes(engine, &options(servers::nobody(), 1, HOLD));
        assert_eq!(failures(&one), [("connect", "ECONNREFUSED", 1)], "{}", engine.name);
        let many = LoadOptions { threads: 2, ..options(servers::nobody(), 2_000, HOLD) };
        let many = finishes(engine, &many);
        let samples = &many.samples;
        // A hundred in a row for each worker, and those that were under way then.
        assert!((100..=264).contains(&samples.failed), "{}: {}", engine.name, told(&many));
        assert_eq!(samples.not_attempted, 2_000 - samples.failed, "{}", engine.name);
    }
}

#[test]
fn connections_that_the_target_closes_are_closed_early() {
    let target = servers::start(|_, mut stream| echo_frames(&mut stream, 4));
    for engine in ENGINES {
        let load = LoadOptions { warmup: Duration::ZERO, ..options(target, 6, BUSY) };
        let busy = finishes_and_sees(engine, &load, |samples| samples.closed_early == 6);
        let samples = &busy.samples;
        assert_eq!(samples.opened, 6, "{}: {}", engine.name, told(&busy));
        assert_eq!(samples.requests_completed, 18, "{}: {}", engine.name, told(&busy));
        for (phase, errno, _) in failures(&busy) {
            assert!(["request", "idle"].contains(&phase), "{}: {phase}", engine.name);
            assert!(["closed", "ECONNRESET", "EPIPE"].contains(&errno), "{}: {errno}", engine.name);
        }
        let held = servers::start(|_, mut stream| echo_frames(&mut stream, 1));
        let held = finishes(engine, &options(held, 6, HOLD));
        assert_eq!((held.samples.opened, held.samples.closed_early), (6, 6), "{}", engine.name);
    }
}

#[test]
fn silence_times_out_and_the_run_ends() {
    let (keep, _kept) = mpsc::channel();
    let mute = servers::start(move |_, stream| keep.send(stream).unwrap());
    let falls_silent = falls_silent();
    for engine in ENGINES {
        let never = LoadOptions { timeout: Duration::from_millis(100), ..options(mute, 3, HOLD) };
        assert_eq!(failures(&finishes(engine, &never)), [("verify", "timeout", 3)], "{}", engine.name);
        let timeout = Duration::from_millis(500); // The verifying echo has to be in time on a busy machine.
        let once = LoadOptions { timeout, ..options(falls_silent, 2, HOLD) };
        assert_eq!(failures(&finishes(engine, &once)), [("final_verify", "timeout", 2)], "{}", engine.name);
        let busy = LoadOptions { timeout, warmup: Duration::ZERO, ..options(falls_silent, 1, BUSY) };
        let outcome = finishes_and_sees(engine, &busy, |samples| samples.requests_intended > 0);
        assert_eq!(failures(&outcome), [("request", "timeout", 1)], "{}", engine.name);
        assert_eq!(outcome.samples.requests_failed, 1, "{}", engine.name);
    }
}

#[test]
fn a_stop_ends_waits_for_replies_that_never_come() {
    let thinking = Workload::Closed { think: LONG };
    for engine in ENGINES {
        for workload in [BUSY, CHURN, thinking, open(1_000.0, Arrivals::Fixed)] {
            let stop = Stop::new();
            let (seen, stopping) = (mpsc::channel(), stop.clone());
            let target = servers::start(move |_, mut stream| {
                // A churn's request is the first frame of a connection whose number goes on.
                let mut is_first = true;
                while let Some((header, bytes)) = servers::frame(&mut stream) {
                    if is_first && header.sequence & u64::from(u32::MAX) == 1 {
                        stream.write_all(&bytes).unwrap();
                    } else {
                        let _ended = seen.0.send(());
                    }
                    is_first = false;
                }
            });
            let options = options(target, 3, workload);
            let options = LoadOptions { timeout: LONG, warmup: Duration::ZERO, duration: LONG, ..options };
            let asking = thread::spawn(move || {
                seen.1.recv().unwrap();
                stopping.request();
            });
            let outcome = load(engine, &options, &stop);
            asking.join().unwrap();
            let samples = &outcome.samples;
            let name = (engine.name, workload);
            assert!(outcome.interrupted && samples.opened == 3, "{name:?}: {}", told(&outcome));
            assert!((1..=3).contains(&samples.requests_abandoned), "{name:?}: {}", told(&outcome));
            assert_eq!(
                (samples.live_at_end, samples.requests_completed),
                (3, 0),
                "{name:?}: {}",
                told(&outcome)
            );
        }
    }
}

#[test]
fn a_churn_connects_for_each_request() {
    let target = servers::start(|_, stream| servers::echo(stream));
    for engine in ENGINES {
        let outcome = finishes(engine, &fixed(target, 3, CHURN, 30));
        let samples = &outcome.samples;
        assert_eq!((samples.reopened, samples.connect_latency.len()), (30, 33), "{}", engine.name);
        assert_eq!((samples.requests_completed, samples.closed_early), (30, 0), "{}", engine.name);
    }
}

#[test]
fn a_churn_tries_again_where_it_failed() {
    for engine in ENGINES {
        // The two connections of the ramp are served, the next two are not.
        let target = servers::start(|count, stream| {
            if !(2..4).contains(&count) {
                servers::echo(stream);
            }
        });
        let outcome = finishes(engine, &fixed(target, 2, CHURN, 12));
        let samples = &outcome.samples;
        assert_eq!((samples.requests_intended, samples.requests_failed), (12, 2), "{}", engine.name);
        // Whoever failed has a while to wait, in which the other may take all that is left.
        assert!(samples.live_at_end >= 1, "{}: {}", engine.name, told(&outcome));
        assert_eq!(samples.reopened, 12, "{}", engine.name);
        assert_eq!(failures(&outcome).iter().map(|failure| failure.2).sum::<u64>(), 2, "{}", engine.name);
    }
}

#[test]
fn live_latencies_are_those_of_the_samples_to_within_a_bucket() {
    for engine in ENGINES {
        let target = servers::start(|_, stream| servers::echo(stream));
        let options = fixed(target, 5, BUSY, 500);
        let live = LiveCounters::new(options.threads);
        let mut gauge = LatencyGauge::default();
        assert_eq!(live.latencies(&mut gauge).quantile_ns(0.5), None);
        let outcome = run(engine, &options, &Stop::new(), &live, &mut Notes::default()).unwrap();
        let seen = live.latencies(&mut gauge);
        assert_eq!(seen.count(), 500, "{}", engine.name);
        for quantile in [0.01, 0.5, 0.99, 1.0] {
            let exact = outcome.samples.latency.value_at_quantile(quantile) as f64;
            let off = seen.quantile_ns(quantile).unwrap() as f64 / exact - 1.0;
            // Half a bucket, and the three digits of the exact one.
            assert!(off.abs() <= 0.5 / 32.0 + 0.002, "{} {quantile}: {off} of {exact}", engine.name);
        }
        assert_eq!(live.latencies(&mut gauge).count(), 0, "nothing since");
    }
}

#[test]
fn a_churn_whose_server_is_gone_ends_with_nothing_open() {
    for engine in ENGINES {
        let churn = LoadOptions { warmup: Duration::ZERO, ..options(servers::nobody(), 2, CHURN) };
        let run = |options: &LoadOptions| {
            finishes(engine, &LoadOptions { target: servers::takes_two(), ..options.clone() })
        };
        let outcome = sees(engine.name, &churn, run, |samples| samples.closed_early == 2);
        let samples = &outcome.samples;
        assert_eq!(samples.opened, 2, "{}: {}", engine.name, told(&outcome));
        let [("connect", "ECONNREFUSED", count @ 2..)] = failures(&outcome)[..] else {
            panic!("{}: {:?}", engine.name, samples.failures);
        };
        assert_eq!(samples.requests_failed, count, "{}", engine.name);
    }
}

/// Answers each request without a body by `reply`; closes the connection afterwards where `closes`.
fn http(reply: &'static str, closes: bool) -> SocketAddr {
    servers::start(move |_, mut stream| {
        let (mut request, mut byte) = (Vec::new(), [0]);
        while let Ok(1) = stream.read(&mut byte) {
            request.push(byte[0]);
            if !request.ends_with(b"\r\n\r\n") {
                continue;
            }
            request.clear();
            if stream.write_all(reply.as_bytes()).is_err() || closes {
                return;
            }
        }
    })
}

fn get(options: LoadOptions) -> LoadOptions {
    let head = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n".to_vec();
    let verify_head = head.clone();
    let request = HttpRequest { head, verify_head, has_body: false, echoes: false, is_head: false };
    LoadOptions { protocol: Protocol::Http(request), ..options }
}

#[test]
fn http_connections_are_kept_or_made_again_as_the_server_says() {
    let kept = http("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false);
    let closed = http("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", true);
    let ended = http("HTTP/1.0 200 OK\r\n\r\nok", true);
    for engine in ENGINES {
        for workload in [BUSY, open(1_000.0, Arrivals::Fixed), Workload::Burst] {
            for (target, reopened) in [(kept, 0), (closed, 20), (ended, 20)] {
                let outcome = finishes(engine, &get(fixed(target, 4, workload, 20)));
                let (samples, name) = (&outcome.samples, (engine.name, workload));
                assert_eq!(samples.failures, [], "{name:?}");
                assert_eq!(samples.requests_completed, 20, "{name:?}");
                assert_eq!((samples.reopened, samples.live_at_end), (reopened, 4), "{name:?}");
            }
        }
        let held = finishes(engine, &get(options(closed, 4, HOLD)));
        assert_eq!(failures(&held), [("idle", "closed", 4)], "{}", engine.name);
        assert_eq!((held.samples.opened, held.samples.closed_early), (4, 4), "{}", engine.name);
    }
}

#[test]
fn http_statuses_that_are_no_success_are_counted_apart() {
    let target = http("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", false);
    for engine in ENGINES {
        let outcome = finishes(engine, &get(fixed(target, 2, BUSY, 21)));
        let samples = &outcome.samples;
        assert_eq!(failures(&outcome), [("request", "http_503", 21)], "{}", engine.name);
        assert_eq!((samples.requests_failed, samples.requests_non_2xx), (21, 21), "{}", engine.name);
        assert_eq!((samples.live_at_end, samples.closed_early), (2, 0), "{}", engine.name);
    }
}

#[test]
fn fixed_bytes_are_spoken() {
    let target = http("+PONG", false);
    for engine in ENGINES {
        let protocol = Protocol::Bytes { send: b"PING\r\n\r\n".to_vec(), expect: b"+PONG".to_vec() };
        let outcome = finishes(engine, &LoadOptions { protocol, ..fixed(target, 3, BUSY, 25) });
        assert_eq!((outcome.samples.requests_completed, failures(&outcome)), (25, vec![]), "{}", engine.name);
    }
}

#[test]
fn an_idle_http_connection_that_the_server_closes_is_made_again() {
    // It closes without saying so, and long before the next request.
    let target = http("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true);
    let thinking = Workload::Closed { think: Duration::from_millis(30) };
    for engine in ENGINES {
        let load = get(fixed(target, 2, thinking, 8));
        // The second one begins when the end of its connection was heard long ago.
        let outcome = finishes(engine, &LoadOptions { warmup: Duration::from_millis(20), ..load });
        let samples = &outcome.samples;
        assert!(
            samples.reopened > 0 && samples.requests_completed > 0,
            "{}: {}",
            engine.name,
            told(&outcome)
        );
        // Where the machine was busy a request may have met the end of its connection.
        assert!(failures(&outcome).iter().all(|failure| failure.0 == "request"), "{}", engine.name);
    }
}

#[test]
fn heartbeats_that_come_due_before_the_reply_are_skipped() {
    let target = servers::start(|_, mut stream| {
        echo_frames(&mut stream, 1);
        while let Some((_, bytes)) = servers::frame(&mut stream) {
            thread::park_timeout(Duration::from_millis(25));
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    for engine in ENGINES {
        let beating = Workload::Hold { heartbeat: Some(Duration::from_millis(10)) };
        let outcome = finishes_and_sees(engine, &options(target, 2, beating), |samples| {
            samples.heartbeats_skipped > 0 && samples.requests_completed > 0
        });
        assert_eq!(outcome.samples.live_at_end, 2, "{}", engine.name);
    }
}

//! Targets that do something wrong: each failure is counted under its own name, and the run ends.

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use brink_client::{ENGINES, LiveCounters, LoadOptions, Outcome, Stop, run};

use crate::load::{BUSY, HOLD, Notes, load, options, sees};
use crate::servers;

/// Failures as (phase, errno, count).
fn failures(outcome: &Outcome) -> Vec<(&str, &str, u64)> {
    outcome
        .samples
        .failures
        .iter()
        .map(|failure| (failure.phase, failure.errno.as_str(), failure.count))
        .collect()
}

fn fails(options: &LoadOptions) -> Outcome {
    load(&ENGINES[0], options, &Stop::new(), &mut Notes::default())
}

#[test]
fn other_bytes_are_a_mismatch_or_no_frame() {
    // The last byte belongs to the payload, the first to the header's magic.
    for (at, name) in [(103, "mismatch"), (20, "mismatch"), (0, "not_a_frame")] {
        let target = servers::start(move |_, mut stream| {
            while let Some((_, mut bytes)) = servers::frame(&mut stream) {
                bytes[at] ^= 1;
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
        });
        assert_eq!(failures(&fails(&options(target, 10, HOLD))), [("verify", name, 10)]);
    }
}

#[test]
fn too_many_bytes_are_unexpected() {
    let target = servers::start(|_, mut stream| {
        while let Some((_, mut bytes)) = servers::frame(&mut stream) {
            bytes.push(7);
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    let outcome = fails(&options(target, 10, HOLD));
    // The byte may come with the reply or after it; either way the connection had opened.
    assert_eq!((outcome.samples.opened, outcome.samples.closed_early), (10, 10));
    assert_eq!(failures(&outcome), [("idle", "unexpected_bytes", 10)]);
}

#[test]
fn a_server_that_closes_at_once_opens_nothing() {
    let target = servers::start(|_, stream| drop(stream));
    let outcome = fails(&options(target, 10, HOLD));
    assert_eq!(outcome.samples.failed, 10);
    // FIN, or RST where the echo was there already, or a write after either.
    for (phase, errno, _) in failures(&outcome) {
        assert!(["verify", "connect"].contains(&phase), "{phase}");
        assert!(["closed", "ECONNRESET", "EPIPE"].contains(&errno), "{errno}");
    }
}

#[test]
fn nobody_there_is_given_up_on() {
    let one = fails(&options(servers::nobody(), 1, HOLD));
    assert_eq!(failures(&one), [("connect", "ECONNREFUSED", 1)]);
    assert_eq!(one.samples.failures[0].first_at_connections, 0);
    let many = LoadOptions { threads: 2, connect_window: 64, ..options(servers::nobody(), 10_000, HOLD) };
    let many = fails(&many);
    // 100 in a row for each worker, and those that were under way then.
    assert!(
        (200..=264).contains(&many.samples.failed)
            && many.samples.not_attempted == 10_000 - many.samples.failed,
        "{many:?}"
    );
}

#[test]
fn connections_that_the_target_closes_are_closed_early() {
    // Every other connection is closed after its verifying echo, so while it idles or carries a request.
    let target = servers::start(|count, mut stream| {
        if count % 2 == 0 {
            servers::echo(stream);
        } else if let Some((_, bytes)) = servers::frame(&mut stream) {
            stream.write_all(&bytes).unwrap();
            servers::frame(&mut stream);
        }
    });
    // They fail in the warm-up, and the others go on.
    let busy = sees(ENGINES[0].name, &options(target, 20, BUSY), fails, |samples| {
        samples.closed_early == 10 && samples.requests_failed == 0 && samples.requests_completed > 0
    });
    assert_eq!((busy.samples.opened, busy.samples.live_at_end), (20, 10));
    assert!(failures(&busy).iter().all(|failure| failure.0 == "request"));
    let held = fails(&options(target, 20, HOLD));
    assert_eq!((held.samples.opened, held.samples.closed_early), (20, 10));
    assert!(failures(&held).iter().all(|failure| failure.0 == "final_verify"), "{:?}", held.samples.failures);
}

#[test]
fn a_connection_lost_while_idle_is_noticed() {
    let (tell, told) = mpsc::channel();
    let target = servers::start(move |_, mut stream| {
        if let Some((_, bytes)) = servers::frame(&mut stream) {
            stream.write_all(&bytes).unwrap();
        }
        tell.send(stream).unwrap();
    });
    struct Cut(mpsc::Receiver<std::net::TcpStream>);
    impl brink_client::Observer for Cut {
        fn phase(&mut self, phase: brink_client::Phase) {
            if phase == brink_client::Phase::Warmup {
                for _ in 0..5 {
                    drop(self.0.recv().unwrap());
                }
            }
        }
        fn plateau(&mut self, _: u64) {}
    }
    let options = options(target, 5, HOLD);
    let outcome =
        run(&ENGINES[0], &options, &Stop::new(), &LiveCounters::new(options.threads), &mut Cut(told))
            .unwrap();
    assert_eq!((outcome.samples.opened, outcome.samples.closed_early, outcome.peak_live), (5, 5, 5));
    assert_eq!(failures(&outcome), [("idle", "closed", 5)]);
    assert_eq!(outcome.samples.failures[0].first_at_connections, 5);
}

#[test]
fn a_silent_server_times_out_and_the_run_ends() {
    let (keep, _kept) = mpsc::channel();
    let target = servers::start(move |_, stream| keep.send(stream).unwrap());
    let timeout = Duration::from_millis(200);
    let outcome = fails(&LoadOptions { timeout, ..options(target, 10, HOLD) });
    assert_eq!(failures(&outcome), [("verify", "timeout", 10)]);
    assert!(outcome.window.is_zero());
}

#[test]
fn a_server_that_falls_silent_times_out_and_the_run_ends() {
    let target = servers::start(|_, mut stream| {
        if let Some((_, bytes)) = servers::frame(&mut stream) {
            stream.write_all(&bytes).unwrap();
        }
        while servers::frame(&mut stream).is_some() {}
    });
    let timeout = Duration::from_millis(700); // The verifying echo has to be in time on a busy machine.
    let in_window = LoadOptions { timeout, warmup: Duration::ZERO, ..options(target, 10, BUSY) };
    let busy = sees(ENGINES[0].name, &in_window, fails, |samples| samples.requests_intended >= 10);
    assert_eq!(failures(&busy), [("request", "timeout", 10)]);
    assert_eq!(
        (busy.samples.requests_intended, busy.samples.requests_failed, busy.samples.completed_in_window),
        (10, 10, 0)
    );
    let held = fails(&LoadOptions { timeout, ..options(target, 10, HOLD) });
    assert_eq!(failures(&held), [("final_verify", "timeout", 10)]);
    let heartbeat = Some(Duration::from_millis(10));
    let beating = brink_client::Workload::Hold { heartbeat };
    let beating = LoadOptions { timeout, duration: timeout / 2, ..options(target, 4, beating) };
    // None is sent on top of one that is not answered.
    let outcome = sees(ENGINES[0].name, &beating, fails, |samples| samples.heartbeats_skipped > 0);
    assert!(outcome.samples.requests_intended <= 4);
}

#[test]
fn a_server_that_accepts_late_fails_nothing() {
    let options = options_late();
    let listener = servers::listener();
    let target = listener.local_addr().unwrap();
    let live = LiveCounters::new(options.threads);
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            while live.snapshot().attempted < 10 {
                thread::yield_now();
            }
            thread::spawn(move || servers::accept(&listener, |_, stream| servers::echo(stream)));
        });
        let options = LoadOptions { target, ..options };
        run(&ENGINES[0], &options, &Stop::new(), &live, &mut Notes::default()).unwrap()
    });
    assert_eq!((outcome.samples.opened, outcome.samples.failures), (10, vec![]));
}

fn options_late() -> LoadOptions {
    options(servers::nobody(), 10, HOLD)
}

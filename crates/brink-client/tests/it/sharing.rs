//! Who gets which request, where connections and threads share them.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brink_client::{Arrivals, ENGINES, LiveCounters, LoadOptions, Stop, Workload, run};

use crate::engines::{failures, finishes, fixed, told};
use crate::load::{BUSY, Notes, options, sees};
use crate::servers;

/// Requests of the workload that each connection was sent.
type Seen = Arc<Mutex<HashMap<u64, u64>>>;

/// Echoes, and counts the requests after the verifying echo.
fn counting() -> (std::net::SocketAddr, Seen) {
    let seen = Seen::default();
    let counts = Arc::clone(&seen);
    let target = servers::start(move |count, mut stream| {
        let mut is_first = true;
        while let Some((_, bytes)) = servers::frame(&mut stream) {
            if !std::mem::take(&mut is_first) {
                *counts.lock().unwrap().entry(count).or_default() += 1;
            }
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    (target, seen)
}

#[test]
fn in_a_burst_no_connection_has_a_second_turn_before_all_had_their_first() {
    for engine in ENGINES {
        for (connections, requests, connections_used) in [(200, 200, 200), (200, 150, 150), (200, 230, 200)] {
            let (target, seen) = counting();
            let burst = LoadOptions { threads: 3, ..fixed(target, connections, Workload::Burst, requests) };
            let outcome = finishes(engine, &burst);
            let name = (engine.name, requests);
            assert_eq!(outcome.samples.requests_completed, requests, "{name:?}: {}", told(&outcome));
            let seen = seen.lock().unwrap();
            assert_eq!((seen.len(), seen.values().sum::<u64>()), (connections_used, requests), "{name:?}");
        }
    }
}

#[test]
fn a_first_turn_of_a_connection_that_is_gone_is_left_to_the_others() {
    for engine in ENGINES {
        // Every third is never verified.
        let target = servers::start(|count, stream| {
            if count % 3 != 1 {
                servers::echo(stream);
            }
        });
        for (connections, requests) in [(9, 9), (9, 7), (9, 40)] {
            let outcome = finishes(engine, &fixed(target, connections, Workload::Burst, requests));
            let name = (engine.name, requests);
            assert_eq!(outcome.samples.requests_completed, requests, "{name:?}: {}", told(&outcome));
            assert_eq!(outcome.samples.failed, 3, "{name:?}");
        }
    }
}

#[test]
fn threads_of_a_pool_share_one_queue_of_arrivals() {
    // The first connection is never answered again; the others always are.
    let target = servers::start(|count, mut stream| {
        let mut answered = 0;
        while let Some((_, bytes)) = servers::frame(&mut stream) {
            if (count > 0 || answered == 0) && stream.write_all(&bytes).is_err() {
                return;
            }
            answered += 1;
        }
    });
    let pool = brink_client::find("pool").unwrap();
    let workload = Workload::Open { rate_per_s: 200.0, arrivals: Arrivals::Fixed };
    let timeout = Duration::from_secs(2);
    let duration = Duration::from_millis(1500);
    let load = LoadOptions { timeout, duration, warmup: Duration::ZERO, ..options(target, 2, workload) };
    let outcome = finishes(pool, &load);
    let samples = &outcome.samples;
    assert_eq!(failures(&outcome), [("request", "timeout", 1)], "{}", told(&outcome));
    // Half of the three hundred would have waited behind the silent one.
    assert!(samples.requests_not_sent < 75, "{}", told(&outcome));
}

#[test]
fn a_pool_is_one_worker_however_many_threads_it_has() {
    let target = servers::start(|_, stream| servers::echo(stream));
    let pool = brink_client::find("pool").unwrap();
    let load = LoadOptions { threads: 300, ..options(target, 600, BUSY) };
    let run = |load: &LoadOptions| {
        run(pool, load, &Stop::new(), &LiveCounters::new(1), &mut Notes::default()).unwrap()
    };
    let outcome = sees(pool.name, &load, run, |samples| samples.requests_completed > 0);
    assert_eq!((outcome.samples.opened, outcome.samples.live_at_end), (600, 600), "{}", told(&outcome));
    // So many at once may overflow the server's accept queue: a handshake is repeated then, and nothing fails.
    let failed: Vec<_> = failures(&outcome).into_iter().filter(|failure| failure.1 != "slow").collect();
    assert!(failed.is_empty(), "{failed:?}");
}

//! What one request costs the client beside its system calls, in nanoseconds.
//!
//!     cargo bench -p brink-client                 all of them
//!     cargo bench -p brink-client -- record       what recording costs: under 50 ns a request
//!
//! `cargo test` runs each once. Must not open a socket: what the kernel does with a request is measured by
//! `scripts/bench-accuracy.sh`.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use brink_client::pacing::{Arriving, Pacer};
use brink_client::protocol::{Asked, Decoder, Kind, Script};
use brink_client::{
    Arrivals, Close, GiveUp, HttpRequest, LatencyTable, LiveCounters, LoadOptions, Protocol, Reply, Schedule,
    Times, WorkerSamples, Workload,
};
use brink_wire::frame::{HEADER_LEN, reply_in_place};
use criterion::Criterion;

/// Latencies in turn: as many as there are, a bucket is not always the one before, as in a run.
const LATENCIES: usize = 4096;
const PAYLOAD_BYTES: u32 = 64;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    record(&mut criterion);
    encode(&mut criterion);
    check(&mut criterion);
    due(&mut criterion);
    criterion.final_summary();
}

/// All that is counted for a request that is answered: that it is under way and that it no longer is, its latency for who
/// looks meanwhile, and its latency and the target's wait in the histograms of the result.
fn record(criterion: &mut Criterion) {
    let schedule = Schedule { begin_ns: 0, window_begin_ns: 0, window_end_ns: u64::MAX };
    let latencies_ns = latencies_ns();
    let mut group = criterion.benchmark_group("record");
    for (name, waited_ns, is_open_loop) in [
        ("closed loop", None, false),
        ("closed loop, wait known", Some(1_000_000), false),
        ("open loop, wait known", Some(1_000_000), true),
    ] {
        let counters = LiveCounters::new(1);
        let shard = &counters.shards()[0];
        let tables = LatencyTable::several(1);
        let mut samples = WorkerSamples::new().expect("histograms of constant bounds");
        let mut turn = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % LATENCIES;
                let latency_ns = latencies_ns[turn];
                let times = black_box(Times { since_ns: 1_000, now_ns: 1_000 + latency_ns });
                let reply =
                    black_box(Reply { waited_ns: waited_ns.map(|ns| ns + latency_ns), ..Reply::default() });
                samples.requests_intended += 1;
                shard.send();
                if is_open_loop {
                    black_box(samples.schedule_lag.record(latency_ns / 4).is_ok());
                }
                shard.settle(true);
                tables[0].count_alone(times.now_ns - times.since_ns);
                samples.count_reply(&schedule, times, &reply, waited_ns)
            });
        });
        black_box((&samples, &tables));
    }
    // Read once for each reply and, in an open loop, once more for each request.
    let begin = Instant::now();
    group.bench_function("one look at the clock", |bencher| bencher.iter(|| begin.elapsed()));
    group.finish();
}

/// The bytes of a request, put together as they are sent.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for (name, script) in [("frame", script(Protocol::Frame)), ("http", script(http()))] {
        let mut composed = Vec::with_capacity(1024);
        let mut sequence = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                sequence += 1;
                compose(&script, Asked { kind: Kind::Work, sequence }, &mut composed);
                composed.len()
            });
        });
    }
    group.finish();
}

/// A reply that came in one piece, every byte of it compared.
fn check(criterion: &mut Criterion) {
    let asked = Asked { kind: Kind::Work, sequence: 7 };
    let mut group = criterion.benchmark_group("check");
    for (name, protocol) in [("frame", Protocol::Frame), ("http", http())] {
        let script = script(protocol);
        let mut reply = Vec::new();
        compose(&script, asked, &mut reply);
        if name == "frame" {
            reply_in_place(&mut reply, 1_000_000);
        } else {
            let body = reply.split_off(reply.len() - PAYLOAD_BYTES as usize);
            reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {PAYLOAD_BYTES}\r\n\r\n").into_bytes();
            reply.extend_from_slice(&body);
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut partial: Option<Box<Decoder>> = None;
                let fed = script.feed(&mut partial, black_box(asked), black_box(&reply));
                assert!(fed.is_ok() && partial.is_none());
                fed
            });
        });
    }
    group.finish();
}

/// When the next request, or the next connect, is due.
fn due(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("due");
    for (name, arrivals) in [("fixed arrivals", Arrivals::Fixed), ("poisson arrivals", Arrivals::Poisson)] {
        let mut arriving = Arriving::new(arrivals, 10_000.0, (0, 1), 1, 0);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let backlog = arriving.backlog(black_box(arriving.due_ns()));
                (arriving.take(), backlog)
            });
        });
    }
    let mut pacer = Pacer::new(10_000.0, 0, 1, 0);
    let mut attempt = 0;
    group.bench_function("connects", |bencher| {
        bencher.iter(|| {
            attempt += 1;
            let due_ns = pacer.due_ns(black_box(attempt));
            pacer.take(attempt, due_ns);
            due_ns
        });
    });
    group.finish();
}

fn compose(script: &Script, asked: Asked, composed: &mut Vec<u8>) {
    let mut header = [0; HEADER_LEN];
    let (head, body) = script.request(black_box(asked), &mut header);
    composed.clear();
    composed.extend_from_slice(head);
    composed.extend_from_slice(body);
}

/// From 20 us up, as they come: each about the same, and a few much longer.
fn latencies_ns() -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..LATENCIES).map(|_| 20_000 + (-40_000.0 * (1.0 - random.f64()).ln()) as u64).collect()
}

fn http() -> Protocol {
    let head = |path| {
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {PAYLOAD_BYTES}\r\n\r\n")
            .into_bytes()
    };
    let (head, verify_head) = (head("/?work_us=0"), head("/"));
    Protocol::Http(HttpRequest { head, verify_head, has_body: true, echoes: true, is_head: false })
}

fn script(protocol: Protocol) -> Script {
    Script::new(&LoadOptions {
        target: SocketAddr::from(([127, 0, 0, 1], 1)),
        connections: 1,
        workload: Workload::Closed { think: Duration::ZERO },
        protocol,
        requests: None,
        seed: 1,
        payload_bytes: PAYLOAD_BYTES,
        delay: None,
        delay_asked: None,
        work_us: None,
        threads: 1,
        busy_poll: Duration::ZERO,
        connect_rate_per_s: None,
        connect_window: 1,
        fine_from: None,
        give_up: GiveUp::default(),
        works_when_short: false,
        sources: Vec::new(),
        warmup: Duration::ZERO,
        duration: Duration::ZERO,
        timeout: Duration::from_secs(1),
        delay_expected_max: Duration::ZERO,
        delay_expected_mean: Duration::ZERO,
        close: Close::Rst,
        plateaus: vec![1],
        first_connection_id: 0,
    })
}

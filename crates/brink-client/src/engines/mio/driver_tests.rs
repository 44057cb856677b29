//! The driver with its clock, its poll and its peers in hand. Times are chosen so that no machine is too slow.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::conduct::{Observer, Phase};
use crate::engines::Engine;
use crate::live::LiveCounters;
use crate::options::tests::options;
use crate::options::{LoadOptions, Workload};
use crate::pacing::Pacer;
use crate::samples::Outcome;
use crate::stage::{Schedule, Stage};
use crate::stop::Stop;

const HOUR: Duration = Duration::from_secs(3600);
/// What is an hour away from a run that just began.
const FAR_NS: u64 = 3_600_000_000_000;

fn drive(options: &LoadOptions, check: impl FnOnce(&mut Driver<'_>)) {
    let (live, stage, poll) = (LiveCounters::new(1), Stage::new(1, None), Poll::new().unwrap());
    let worker = Worker { index: 0, workers: 1, options, stage: &stage, shard: &live.shards()[0] };
    let mut driver = Driver::new(worker, poll.registry()).unwrap();
    check(&mut driver);
}

/// Gives the driver an open connection and the workload; returns the other end.
fn with_connection(driver: &mut Driver<'_>, state: State) -> TcpStream {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    driver.connections.push(Connection { socket: Some(socket), state, ..Connection::CLOSED });
    driver.worker.count_open();
    driver.samples.opened += 1;
    let schedule = Schedule { begin_ns: 0, window_begin_ns: 0, window_end_ns: FAR_NS };
    driver.work = Some(Work::new(&driver.worker, schedule, driver.connections.len()));
    listener.accept().unwrap().0
}

fn echo(mut peer: &TcpStream, frame_len: usize) {
    let mut frame = vec![0; frame_len];
    peer.read_exact(&mut frame).unwrap();
    peer.write_all(&frame).unwrap();
}

fn failures(driver: &Driver<'_>) -> Vec<(&'static str, String, u64)> {
    driver.samples.failures.iter().map(|f| (f.phase, f.errno.clone(), f.count)).collect()
}

#[test]
fn a_reply_that_is_older_than_the_timeout_is_a_failed_request() {
    for (timeout, completed) in [(Duration::from_nanos(1), 0), (2 * HOUR, 1)] {
        let workload = Workload::Closed { think: HOUR };
        drive(&LoadOptions { timeout, workload, ..options(1) }, |driver| {
            let peer = with_connection(driver, State::Idle);
            driver.request(0, 0, 0);
            echo(&peer, 104);
            driver.receive(0, false);
            let samples = &driver.samples;
            assert_eq!((samples.requests_intended, samples.requests_completed), (1, completed));
            assert_eq!((samples.requests_failed, samples.latency.len()), (1 - completed, completed));
            assert_eq!(driver.connections[0].socket.is_some(), completed == 1, "late: closed");
            let late = (completed == 0).then(|| ("request", "timeout".to_owned(), 1));
            assert_eq!(failures(driver), late.into_iter().collect::<Vec<_>>());
            assert_eq!(driver.work.as_ref().unwrap().outstanding, 0);
        });
    }
}

#[test]
fn a_connect_that_is_older_than_the_timeout_has_failed() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let target = listener.local_addr().unwrap();
    drive(&LoadOptions { target, timeout: Duration::from_nanos(1), ..options(1) }, |driver| {
        driver.opening.raise(&driver.worker, 1, 0);
        driver.attempt(0);
        assert_eq!(failures(driver), [("connect", "timeout".to_owned(), 1)]);
        assert!(driver.opening.is_done() && driver.samples.connect_latency.is_empty());
    });
}

#[test]
fn what_is_due_later_is_left_to_the_alarm_and_not_to_the_timeout_of_the_poll() {
    let workload = Workload::Closed { think: HOUR };
    drive(&LoadOptions { timeout: 2 * HOUR, workload, ..options(1) }, |driver| {
        let _peer = with_connection(driver, State::Idle);
        driver.work.as_mut().unwrap().think_until(FAR_NS - 5, 0);
        assert_eq!(driver.step().unwrap(), None);
        assert_eq!(driver.alarm.armed_ns(), Some(FAR_NS - 5));
    });
    let connections = 3;
    drive(&LoadOptions { timeout: 2 * HOUR, ..options(connections) }, |driver| {
        driver.opening.raise(&driver.worker, connections, 0);
        driver.opening.pacer = Some(Pacer::new(1e-3, 0, 1, 1_000_000_000_000));
        assert_eq!(driver.step().unwrap(), None);
        assert_eq!(driver.alarm.armed_ns(), Some(1_000_000_000_000));
    });
}

#[test]
fn where_replies_bring_about_the_requests_the_alarm_is_set_once() {
    let workload = Workload::Closed { think: Duration::ZERO };
    drive(&LoadOptions { timeout: 2 * HOUR, workload, ..options(1) }, |driver| {
        let peer = with_connection(driver, State::Idle);
        for _ in 0..3 {
            driver.step().unwrap();
            assert_eq!(driver.alarm.armed_ns(), Some(FAR_NS), "the window's end");
            echo(&peer, 104);
            driver.receive(0, false);
        }
        assert_eq!((driver.samples.requests_intended, driver.samples.requests_completed), (4, 3));
    });
}

struct Unmoved;

impl Observer for Unmoved {
    fn phase(&mut self, _: Phase) {}
    fn plateau(&mut self, _: u64) {}
}

#[test]
fn a_poll_that_fails_loses_nothing_that_was_measured() {
    /// Worker 1 cannot poll any more once something of its workload was answered.
    fn fails(worker: &Worker<'_>) -> io::Result<WorkerSamples> {
        let (live, index) = (worker.shard, worker.index);
        run_polling(worker, |poll, events, timeout| {
            if index == 1 && live.completed() > 0 {
                return Err(io::Error::from_raw_os_error(12));
            }
            poll.poll(events, timeout)
        })
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let target = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut frame = [0; 104];
                while stream.read_exact(&mut frame).is_ok() && stream.write_all(&frame).is_ok() {}
            });
        }
    });
    let workload = Workload::Closed { think: Duration::ZERO };
    let options = LoadOptions { target, workload, threads: 2, duration: HOUR, ..options(6) };
    let engine = Engine { name: "failing", run: fails, ..*crate::find("mio").unwrap() };
    let live = LiveCounters::new(2);
    let Outcome { samples, interrupted, .. } =
        crate::conduct::run(&engine, &options, &Stop::new(), &live, &mut Unmoved).unwrap();
    let WorkerSamples { opened, live_at_end, requests_completed, failures, latency, .. } = samples;
    assert!(interrupted && requests_completed > 0 && latency.len() == requests_completed);
    assert_eq!((opened, live_at_end), (6, 6));
    let failures: Vec<_> = failures.iter().map(|f| (f.phase, f.errno.as_str(), f.count)).collect();
    assert_eq!(failures, [("poll", "ENOMEM", 1)]);
}

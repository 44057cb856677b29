//! The driver with its clock, its poll and its peers in hand. Times are chosen so that no machine is too slow.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::conduct::{Observer, Phase};
use crate::engines::Engine;
use crate::live::LiveCounters;
use crate::options::tests::options;
use crate::options::{Arrivals, HttpRequest, LoadOptions, Protocol, Workload};
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

#[test]
fn a_connect_that_fails_at_once_fails_the_request_that_needed_it() {
    // A broadcast address: connect(2) refuses it before anything is sent.
    let target = (std::net::Ipv4Addr::BROADCAST, 9).into();
    let workload = Workload::Churn { think: HOUR };
    drive(&LoadOptions { target, workload, ..options(1) }, |driver| {
        let _peer = with_connection(driver, State::Parked);
        // Its last request was one of the warm-up.
        driver.connections[0].since_ns = 1;
        driver.work.as_mut().unwrap().schedule.window_begin_ns = 5;
        driver.request(0, 10, 10);
        let samples = &driver.samples;
        assert_eq!((samples.requests_intended, samples.requests_failed), (1, 1));
    });
}

#[test]
fn the_schedule_lags_where_a_connection_was_idle_and_only_in_the_window() {
    let workload = Workload::Open { rate_per_s: 1e-3, arrivals: Arrivals::Fixed };
    for (connections, window_begin_ns, lags) in [(1, 0, 0), (2, 0, 1), (2, 1, 0)] {
        drive(&LoadOptions { timeout: 2 * HOUR, workload, ..options(connections) }, |driver| {
            let peers: Vec<_> = (0..connections).map(|_| with_connection(driver, State::Idle)).collect();
            driver.work.as_mut().unwrap().schedule.window_begin_ns = window_begin_ns;
            // What is due at 0 is found by the first that is answered, not by the one that was idle.
            driver.work.as_mut().unwrap().take_idle();
            driver.request(0, 0, 0);
            echo(&peers[0], 104);
            driver.receive(0, false);
            assert_eq!(driver.connections[0].state, State::Requested);
            assert_eq!(driver.samples.schedule_lag.len(), lags, "{connections}, {window_begin_ns}");
        });
    }
    drive(&LoadOptions { timeout: 2 * HOUR, workload, ..options(1) }, |driver| {
        let _peer = with_connection(driver, State::Idle);
        driver.work.as_mut().unwrap().schedule.window_begin_ns = 1;
        driver.go_on(1);
        assert_eq!(driver.connections[0].state, State::Requested);
        assert!(driver.samples.schedule_lag.is_empty(), "due in the warm-up");
    });
}

#[test]
fn what_waited_for_a_late_client_lags_although_it_then_waits_for_a_connection() {
    let workload = Workload::Open { rate_per_s: 1e6, arrivals: Arrivals::Fixed };
    drive(&LoadOptions { timeout: 2 * HOUR, workload, ..options(1) }, |driver| {
        let peer = with_connection(driver, State::Idle);
        // It looks 50 ms after the first was due; many more have come due by then.
        let late_ns = driver.worker.stage.now_ns() + 50_000_000;
        driver.send_arrival(late_ns);
        assert_eq!(driver.connections[0].state, State::Requested);
        echo(&peer, 104);
        driver.receive(0, false);
        let lag = &driver.samples.schedule_lag;
        assert_eq!(lag.len(), 2, "the second one, too");
        assert!(lag.max() - lag.min() < 2_000_000 && lag.min() > 45_000_000, "{} {}", lag.min(), lag.max());
    });
}

#[test]
fn what_nobody_took_before_the_end_is_backlog() {
    let workload = Workload::Open { rate_per_s: 1e3, arrivals: Arrivals::Fixed };
    drive(&LoadOptions { workload, ..options(1) }, |driver| {
        let _peer = with_connection(driver, State::Idle);
        driver.give_up_arrivals(7_500_000);
        assert_eq!((driver.samples.backlog_peak, driver.samples.requests_not_sent), (8, 8));
    });
}

#[test]
fn what_came_due_in_the_window_and_found_a_connection_idle_is_sent_although_the_client_is_late() {
    let workload = Workload::Open { rate_per_s: 1e3, arrivals: Arrivals::Fixed };
    drive(&LoadOptions { timeout: 2 * HOUR, workload, ..options(2) }, |driver| {
        let _peers = [with_connection(driver, State::Idle), with_connection(driver, State::Idle)];
        // Three come due, at 0, 1 and 2 ms; the client looks when the window is over.
        driver.work.as_mut().unwrap().schedule.window_end_ns = 2_500_000;
        driver.go_on(9_000_000);
        assert!(driver.connections.iter().all(|connection| connection.state == State::Requested));
        assert!(!driver.is_done(9_000_000) && !driver.owes_arrival());
        driver.give_up_arrivals(9_000_000);
        let samples = &driver.samples;
        assert_eq!((samples.requests_intended, samples.requests_not_sent), (3, 1), "for one none was idle");
        assert_eq!(samples.schedule_lag.len(), 2);
    });
}

#[test]
fn an_http_server_may_answer_before_it_has_the_body_unless_it_echoes_it() {
    for (echoes, status, completed) in [(false, "200 OK", 1), (true, "200 OK", 0), (true, "413 Too Large", 0)]
    {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n".to_vec();
        let request = HttpRequest { verify_head: head.clone(), head, has_body: true, echoes, is_head: false };
        let protocol = Protocol::Http(request);
        let (workload, payload_bytes) = (Workload::Closed { think: HOUR }, 1 << 20);
        drive(&LoadOptions { protocol, workload, payload_bytes, ..options(1) }, |driver| {
            let mut peer = with_connection(driver, State::Idle);
            let socket = driver.connections[0].socket.as_ref().unwrap();
            socket.set_nonblocking(true).unwrap();
            socket2::SockRef::from(socket).set_send_buffer_size(4096).unwrap();
            let now_ns = driver.worker.stage.now_ns();
            driver.request(0, now_ns, now_ns);
            assert!(!driver.wire.is_sent(&driver.connections[0]), "the body is larger than the buffers");
            let body = if echoes { 0 } else { 2 };
            write!(peer, "HTTP/1.1 {status}\r\nContent-Length: {body}\r\n\r\n").unwrap();
            peer.write_all(&b"ok"[..body]).unwrap();
            driver.receive(0, false);
            let samples = &driver.samples;
            assert_eq!(samples.requests_completed, completed, "{echoes} {status}: {:?}", samples.failures);
            // What is left of the body cannot be told from a next request: it needs another connection.
            assert!(driver.connections[0].socket.is_none());
        });
    }
}

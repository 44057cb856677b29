//! The control plane, over raw HTTP.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use brink_target::control::{Answers, ControlPlane};
use brink_target::{Options, Stop};
use brink_wire::control::{Info, LimitReading, ProcessUsage, TargetUsage};

use crate::client::{Http, connect, request};
use crate::target::{Target, loopback, models, options};

#[test]
fn tells_what_it_is_and_does() {
    for model in models() {
        let target = Target::of(model);
        let mut stream = connect(target.ready.address);
        request(model.transport, 1, 64).echo(&mut stream);
        // One connection for all: it is kept alive.
        let mut http = Http::to(target.ready.control.unwrap());
        let info: Info = serde_json::from_str(&http.get("/v1/info")).unwrap();
        assert_eq!(info.ready, target.ready);
        assert_eq!((info.ready.model.as_str(), info.ready.pid), (model.name, std::process::id()));
        assert_eq!(info.stack_bytes.is_some(), model.has_own_stacks);
        assert_eq!(info.backlog, 1024);
        assert!(info.work_error_ratio.is_some());

        target.counters_when(|c| c.requests == 1);
        let usage: TargetUsage = serde_json::from_str(&http.get("/v1/usage")).unwrap();
        assert_eq!((usage.counters.accepted, usage.counters.live), (1, 1));
        assert_eq!(usage.processes[0].pid, std::process::id());
        assert_eq!((usage.processes[0].live, usage.processes[0].requests), (Some(1), Some(1)));
        assert!(usage.processes[0].user_bytes.unwrap() > 0);
        assert!(usage.processes[0].fds.unwrap() > 0);
        // Whoever was answered does not wait any more.
        assert_eq!((usage.accept_queue, usage.processes[0].accept_queue), (Some(0), Some(0)));

        let limits: Vec<LimitReading> = serde_json::from_str(&http.get("/v1/limits")).unwrap();
        assert!(limits.iter().any(|limit| limit.name == "rlimit.nofile"), "{limits:?}");
        assert_eq!(info.limits.len(), limits.len());

        let metrics = http.get("/metrics");
        assert!(metrics.contains("\nbrink_target_requests_total 1\n"), "{metrics}");
    }
}

#[test]
fn says_no_in_one_line_of_json() {
    for model in models() {
        let target = Target::of(model);
        let mut http = Http::to(target.ready.control.unwrap());
        for (method, path, status) in [
            ("GET", "/", 404),
            ("GET", "/v1/nothing", 404),
            ("POST", "/v1/usage", 405),
            ("GET", "/v1/stop", 405),
            ("DELETE", "/metrics", 405),
        ] {
            let (got, body) = http.ask(method, path);
            assert_eq!(got, status, "{method} {path}");
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(body["error"].is_string());
        }
        assert!(!target.stop.requested());
    }
}

#[test]
fn a_token_is_needed_for_everything_once_there_is_one() {
    for model in models() {
        // On every address, which is only allowed with a token.
        let control = Some(([0, 0, 0, 0], 0).into());
        let token = Some("s3cret".to_owned());
        let target = Target::start(Options { control, token: token.clone(), ..options(model) });
        let mut address = target.ready.control.unwrap();
        address.set_ip([127, 0, 0, 1].into());
        let mut http = Http::to(address);
        for wrong in [None, Some("s3creT"), Some(""), Some("s3cret2")] {
            http.token = wrong.map(str::to_owned);
            for (method, path) in [("GET", "/v1/info"), ("POST", "/v1/stop"), ("GET", "/nothing")] {
                assert_eq!(http.ask(method, path).0, 401, "{wrong:?} {path}");
            }
        }
        assert!(!target.stop.requested());
        http.token = token;
        http.get("/v1/info");
        assert_eq!(http.ask("GET", "/nothing").0, 404);
    }
}

/// Far more of them than are held at once: each gets its answer, and whoever asked lately keeps its connection.
#[test]
fn those_who_ask_nothing_keep_nobody_from_being_told() {
    let target = Target::of(models().next().unwrap());
    let control = target.ready.control.unwrap();
    let mut kept = Http::to(control);
    let mut idle = Vec::new();
    for _ in 0..4 {
        kept.get("/v1/info");
        idle.extend((0..50).map(|_| connect(control)));
        Http::to(control).get("/metrics");
    }
    kept.get("/metrics");
}

#[test]
fn stops_the_target() {
    for model in models() {
        let target = Target::of(model);
        let _idle = connect(target.ready.address);
        let mut http = Http::to(target.ready.control.unwrap());
        let _open = Http::to(target.ready.control.unwrap());
        assert_eq!(http.ask("POST", "/v1/stop").0, 200);
        assert!(target.stop.requested());
        target.end();
    }
}

#[test]
fn there_need_be_none() {
    for model in models() {
        let target = Target::start(Options { control: None, ..options(model) });
        assert_eq!(target.ready.control, None);
        request(model.transport, 1, 1).echo(&mut connect(target.ready.address));
    }
}

/// Answers for processes elsewhere, and blocks on one until it is let go.
struct Elsewhere {
    asked: Mutex<mpsc::Sender<()>>,
    go: Mutex<mpsc::Receiver<()>>,
    info: Info,
}

impl Answers for Elsewhere {
    fn info(&self) -> Info {
        self.info.clone()
    }

    fn usage(&self) -> TargetUsage {
        self.asked.lock().unwrap().send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        let of =
            |pid, live| ProcessUsage { pid, live: Some(live), threads: Some(2), ..ProcessUsage::default() };
        TargetUsage { processes: vec![of(7, 1), of(8, 2)], ..TargetUsage::default() }
    }

    fn limits(&self) -> Vec<LimitReading> {
        Vec::new()
    }
}

#[test]
fn a_supervisor_answers_through_it_and_an_answer_that_blocks_holds_up_no_other_client() {
    let target = Target::of(models().next().unwrap());
    let info = Http::to(target.ready.control.unwrap()).get("/v1/info");
    let info = Info { processes: 2, ..serde_json::from_str(&info).unwrap() };
    let ((asked, when_asked), (let_go, go)) = (mpsc::channel(), mpsc::channel());
    let answers = Elsewhere { asked: Mutex::new(asked), go: Mutex::new(go), info: info.clone() };
    let stop = Stop::new().unwrap();
    let plane = ControlPlane::bind(loopback()).unwrap();
    let address = plane.address();
    let running = plane.start(Arc::new(answers), None, &stop).unwrap();

    let told: Info = serde_json::from_str(&Http::to(address).get("/v1/info")).unwrap();
    assert_eq!(told, info);
    let slow = thread::spawn(move || Http::to(address).get("/v1/usage"));
    when_asked.recv().unwrap();
    assert_eq!(Http::to(address).ask("GET", "/nothing").0, 404);
    let_go.send(()).unwrap();
    let usage: TargetUsage = serde_json::from_str(&slow.join().unwrap()).unwrap();
    assert_eq!(usage.processes.iter().map(|process| process.live).collect::<Vec<_>>(), [Some(1), Some(2)]);
    let_go.send(()).unwrap();
    let metrics = Http::to(address).get("/metrics");
    assert!(metrics.contains("\nprocess_threads{pid=\"8\"} 2\n"), "{metrics}");
    assert_eq!(Http::to(address).ask("POST", "/v1/stop").0, 200);
    assert!(stop.requested());
    running.end().unwrap();
}

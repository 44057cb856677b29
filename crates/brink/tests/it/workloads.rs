//! Every workload and protocol from the command line, against targets of brink's own and a stranger.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::Value;

use crate::program::{Target, run};

/// The result of `brink load` with these flags, which must end with one of `codes`.
fn load(flags: &[&str], codes: &[i32]) -> Value {
    let args = [&["load", "--format", "json"], flags].concat();
    let output = run(&args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap_or(-1);
    assert!(codes.contains(&code), "{args:?}: {code}: {stderr}");
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

fn count(result: &Value, field: &str) -> u64 {
    result["requests"][field].as_u64().unwrap()
}

#[test]
fn a_fixed_number_of_requests_is_exact_on_every_engine() {
    for engine in brink_client::ENGINES {
        for workload in ["closed", "burst"] {
            let flags =
                ["--model", "tokio", "--engine", engine.name, "--workload", workload, "-c", "7", "-n", "50"];
            let result = load(&flags, &[0, 5]);
            assert_eq!(count(&result, "intended"), 50, "{} {workload}", engine.name);
            assert_eq!(count(&result, "completed"), 50, "{} {workload}", engine.name);
            assert!(result["makespan_ns"].as_u64().unwrap() > 0);
            assert_eq!(result["connections"]["opened"], 7);
        }
    }
}

#[test]
fn an_open_loop_says_what_it_intended_on_every_engine() {
    for engine in brink_client::ENGINES {
        let flags =
            ["--model", "mio", "--engine", engine.name, "-c", "5", "-r", "200", "-d", "1s", "--warmup", "0s"];
        let result = load(&flags, &[0, 5]);
        assert_eq!(count(&result, "intended"), 200, "{}", engine.name);
        let sum = count(&result, "completed") + count(&result, "failed") + count(&result, "not_sent");
        assert_eq!(sum, 200, "{}", engine.name);
        assert_eq!(result["requests"]["per_s_intended"], 200.0);
        assert_eq!(result["latency_ns"]["from"], "due");
        assert!(result["schedule_lag_ns"]["p50"].as_u64().is_some());
    }
}

#[test]
fn churn_opens_a_connection_for_each_request_on_every_engine() {
    for engine in brink_client::ENGINES {
        let flags = ["--model", "mio", "--engine", engine.name, "--workload", "churn", "-c", "3", "-n", "30"];
        let result = load(&flags, &[0, 5]);
        assert_eq!(count(&result, "completed"), 30, "{}", engine.name);
        assert_eq!(result["connections"]["reopened"], 30, "{}", engine.name);
        assert_eq!(result["latency_ns"]["from"], "connect");
    }
}

#[test]
fn http_urls_are_loaded_on_every_engine() {
    let target = Target::start(&["--model", "hyper"]);
    let url = |path: &str| format!("http://{}{path}", target.address());
    for engine in brink_client::ENGINES {
        let at = |path: &str, extra: &[&str], codes| {
            let url = url(path);
            let base = [&url, "--control", target.control(), "--engine", engine.name, "-c", "4", "-n", "20"];
            load(&[&base, extra].concat(), codes)
        };
        let page = at("/", &[], &[0, 5]);
        assert_eq!(count(&page, "completed"), 20, "{}", engine.name);
        assert_eq!(count(&at("/bytes/100000", &[], &[0, 5]), "completed"), 20, "{}", engine.name);
        let slow = at("/delay/0.01", &[], &[0, 5]);
        assert!(slow["latency_ns"]["p50"].as_u64().unwrap() >= 9_900_000, "{}", engine.name);
        assert!(slow["delay_error_ns"]["max"].as_u64().is_some(), "it says how long it waited");
        let echo = at("/echo", &["--method", "POST", "--payload", "3KiB"], &[0, 5]);
        assert_eq!(count(&echo, "completed"), 20, "{}", engine.name);
        let lost = at("/nowhere", &[], &[1]);
        assert_eq!((count(&lost, "non_2xx"), count(&lost, "failed")), (20, 20), "{}", engine.name);
        assert_eq!(lost["failures"][0]["errno"], "http_404", "{}", engine.name);
        assert_eq!(lost["connections"]["closed_early"], 0, "{}", engine.name);
    }
}

/// A server that answers each line with `+PONG`; with `close` it closes after each.
fn ponging(close: bool) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while lines.read_line(&mut line).is_ok_and(|len| len > 0) {
                    // The client may have left.
                    if stream.write_all(b"+PONG\r\n").is_err() || close {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn fixed_bytes_are_exchanged_on_every_engine() {
    let address = ponging(false);
    let url = format!("tcp://{address}");
    let closing = format!("tcp://{}", ponging(true));
    for engine in brink_client::ENGINES {
        let base = ["--engine", engine.name, "-c", "4", "-n", "40", "--send", r"PING\r\n", "--expect"];
        let good = load(&[&[url.as_str()], base.as_slice(), &[r"+PONG\r\n"]].concat(), &[0, 5]);
        assert_eq!(count(&good, "completed"), 40, "{}", engine.name);
        let lost = load(&[&[closing.as_str()], base.as_slice(), &[r"+PONG\r\n"]].concat(), &[1]);
        assert_eq!(count(&lost, "completed"), 0, "{}: it closes after the verifying exchange", engine.name);
    }
    let wrong = run(&["load", &url, "-c", "4", "-n", "4", "--send", r"PING\r\n", "--expect", "+PANG"]);
    let stderr = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr.contains("first difference at byte 2"), "{stderr}");
}

#[test]
fn a_command_is_started_sampled_and_stopped() {
    let own = env!("CARGO_BIN_EXE_brink");
    let command = format!("{own} target --model tokio --no-control --listen 127.0.0.1:{{port}}");
    let result = load(&["--command", &command, "-c", "50", "-n", "100"], &[0, 5]);
    assert_eq!(count(&result, "completed"), 100);
    let last = result["usage"]["target"].as_array().unwrap().last().unwrap();
    assert!(last["threads"].as_u64().unwrap() >= 2 && last["fds"].as_u64().unwrap() > 5, "{last}");
    assert_eq!(last["live"], Value::Null, "only the target itself could say");
    assert!(result["memory_per_connection"]["target"]["user_bytes"]["slope"].as_f64().is_some());
    assert_eq!(result["facts"]["shared_machine"], true);
    assert_eq!(result["case"]["target"]["model"], "tokio", "from its ready line");
}

#[test]
fn several_processes_serve_one_port() {
    let flags = ["--model", "tokio-local", "--target-processes", "3", "-c", "60", "-n", "120"];
    let result = load(&flags, &[0, 5]);
    assert_eq!(count(&result, "completed"), 120);
    assert_eq!(result["case"]["target"]["processes"], 3);
    let plateaus = result["memory_per_connection"]["plateaus"].as_array().unwrap();
    let workers = plateaus.last().unwrap()["target"]["workers"].as_array().unwrap();
    let live: u64 = workers.iter().map(|worker| worker["live"].as_u64().unwrap()).sum();
    assert_eq!((workers.len(), live), (3, 60));
}

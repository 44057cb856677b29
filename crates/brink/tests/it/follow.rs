//! Who follows a run: progress, `--ndjson`, `--metrics`, `--hdr-log`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use brink_wire::exposition;
use serde_json::Value;

use crate::program::{Target, brink, run, stdout, within_ten_seconds};

const SHORT: [&str; 12] =
    ["load", "--model", "mio", "-c", "5", "-d", "600ms", "--warmup", "100ms", "--delay", "5ms", "-q"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SHORT.iter().copied().chain(more.iter().copied()).collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn said(args: &[&str]) -> String {
    let output = run(args);
    assert!(matches!(output.status.code(), Some(0 | 5)), "{:?}", output);
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn ndjson_has_a_line_for_each_phase_and_each_sample_of_each_end() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("a.ndjson"), dir.path().join("run"));
    said(&with(&["--ndjson", file.to_str().unwrap(), "-o", out.to_str().unwrap()]));
    let seen = lines(&std::fs::read_to_string(&file).unwrap());
    let schema: Value = serde_json::from_str(&stdout(&["schema", "ndjson"], 0)).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for line in &seen {
        let broken: Vec<_> = schema.iter_errors(line).map(|error| error.to_string()).collect();
        assert_eq!(broken, [""; 0], "{line}");
    }
    let of = |kind: &str| seen.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    let phases: Vec<_> = of("phase").iter().map(|line| line["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["ramp", "warmup", "window", "drain", "close"]);
    assert_eq!((of("case").len(), of("end").len(), of("failure").len()), (1, 1, 0));
    let result = &brink_results::store::read_run(&out).unwrap().results[0];
    let (client, target) = (of("client"), of("target"));
    assert_eq!(client.len(), result.usage.client.len(), "as the result has them");
    assert_eq!(target.len(), result.usage.target.len());
    assert_eq!(of("machine").len(), result.usage.machine.len());
    for (line, sample) in client.iter().zip(&result.usage.client) {
        assert_eq!(line["latency_p99_ns"].as_u64(), sample.latency_p99_ns);
        assert!(line["unix_s"].as_f64().unwrap() > 1.7e9 && line["case"] == result.case.name.as_str());
    }
    let seen_ns: Vec<_> = result.usage.client.iter().filter_map(|sample| sample.latency_p99_ns).collect();
    assert!(seen_ns.iter().any(|&ns| ns > 4_500_000), "a delay of 5 ms: {seen_ns:?}");
}

#[test]
fn of_a_sweep_the_lines_of_all_cases_come_from_the_process_that_runs_it() {
    let dir = tempfile::tempdir().unwrap();
    let sweep = dir.path().join("s.toml");
    let text = "name = \"s\"\nrepeats = 2\n[[target]]\nmodel = \"mio\"\n[load]\nconnections = 3\nduration = \"300ms\"\nwarmup = \"0s\"\ndelay = \"5ms\"\n";
    std::fs::write(&sweep, text).unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (out, file, log) = (at("run"), at("a.ndjson"), at("a.hlog"));
    let args = ["sweep", sweep.to_str().unwrap(), "-o", &out, "-q", "--ndjson", &file, "--hdr-log", &log];
    let stderr = said(&args);
    assert!(!stderr.contains("[1/2]"), "{stderr}");
    let seen = lines(&std::fs::read_to_string(&file).unwrap());
    let of = |kind: &str| seen.iter().filter(|line| line["kind"] == kind).count();
    let repeats: Vec<_> = seen
        .iter()
        .filter(|line| line["kind"] == "end")
        .map(|line| line["repeat"].as_u64().unwrap())
        .collect();
    assert_eq!((of("case"), repeats.len(), of("phase")), (2, 2, 10));
    assert!(repeats.contains(&1) && repeats.contains(&2) && of("client") > 4 && of("target") > 4);
    let written = std::fs::read_to_string(&log).unwrap();
    assert_eq!(written.lines().filter(|line| line.starts_with("Tag=mio-")).count(), 2, "{written}");
    // The same from the folder alone, but for when the log began to count.
    let again = at("b.hlog");
    stdout(&["report", &out, "--hdr-log", &again], 0);
    let histograms = |log: &str| {
        let lines = log.lines().filter(|line| line.starts_with("Tag="));
        lines.map(|line| line.rsplit(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(histograms(&std::fs::read_to_string(&again).unwrap()), histograms(&written));
}

#[test]
fn stdout_is_for_one() {
    let output = run(&with(&["--ndjson", "-", "--format", "json"]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("--ndjson: stdout is taken by --format"), "{stderr}");
    let output = run(&with(&["--ndjson", "/dev/stdout", "--format", "json"]));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "by another name");
    let output = run(&with(&["--ndjson", "-"]));
    let seen = lines(&String::from_utf8(output.stdout).unwrap());
    assert!(seen.len() > 5 && seen.last().unwrap()["kind"] == "end");
    assert!(String::from_utf8(output.stderr).unwrap().contains("requests"), "the answer");
}

#[test]
fn a_full_disk_or_a_reader_that_is_gone_is_said_once_and_ends_nothing() {
    let stderr = said(&with(&["--ndjson", "/dev/full"]));
    let told: Vec<_> = stderr.lines().filter(|line| line.contains("--ndjson /dev/full: ")).collect();
    assert_eq!(told.len(), 1, "{stderr}");
    assert!(told[0].contains("the run goes on"), "{stderr}");
    let mut child =
        brink().args(with(&["--ndjson", "-"])).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 5)), "{stderr}");
    assert_eq!(stderr.matches("--ndjson -: ").count(), 1, "{stderr}");
}

/// It is open for writing only once somebody reads it: a run does not wait for that.
#[test]
fn a_fifo_that_nobody_opens_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let name = fifo.to_str().unwrap();
    let mut child = brink()
        .args(with(&["--ndjson", name]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map(Ending)
        .unwrap();
    within_ten_seconds("its end", || child.0.try_wait().unwrap().is_some());
    let mut stderr = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr.matches(&format!("--ndjson {name}: ")).count(), 1, "{stderr}");
}

#[test]
fn a_file_that_cannot_be_had_is_said_before_anything_runs() {
    for flag in ["--ndjson", "--hdr-log"] {
        let output = run(&with(&[flag, "/nowhere/at/all"]));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(&format!("{flag} /nowhere/at/all: ")), "{stderr}");
    }
    let output = run(&with(&["--metrics", "0.0.0.0:0"]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("brink: --token: the metrics at 0.0.0.0:0 "), "{stderr}");
}

/// Ended with the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn get(address: &str, path: &str, token: Option<&str>) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let token = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{token}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// Starts a run, and returns it with where its metrics are.
fn serving(args: &[&str]) -> (Ending, String) {
    let mut child = brink().args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let said =
        stderr.find_map(|line| Some(line.unwrap().strip_prefix("brink: metrics at http://")?.to_owned()));
    // Somebody has to read on.
    std::thread::spawn(move || stderr.count());
    (Ending(child), said.unwrap().strip_suffix("/metrics").unwrap().to_owned())
}

fn has_window(text: &str) -> bool {
    text.contains("phase=\"window\"} 1") && text.contains("brink_client_request_duration_seconds_count")
}

#[test]
fn metrics_are_served_while_it_runs_on_both_ends() {
    let target = Target::start(&["--model", "mio", "--delay", "5ms"]);
    let at = ["load", "--target", target.address(), "--control", target.control()];
    let args: Vec<_> = at
        .into_iter()
        .chain(["-c", "7", "-d", "60s", "--warmup", "0s", "--metrics", "127.0.0.1:0"])
        .collect();
    let (_load, address) = serving(&args);
    let mut text = String::new();
    within_ten_seconds("a window in the metrics", || {
        text = get(&address, "/metrics", None).1;
        exposition::check(&text).unwrap();
        has_window(&text)
    });
    for line in [
        "brink_client_connections{case=\"target-c7\",repeat=\"1\",state=\"open\"} 7",
        "brink_client_target_process_connections{case=\"target-c7\",repeat=\"1\"} 7",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line} in\n{text}");
    }
    assert_eq!((get(&address, "/", None).0, get(&address, "/v1/info", None).0), (404, 404));
    let of_target = get(target.control(), "/metrics", None).1;
    exposition::check(&of_target).unwrap();
    assert!(of_target.contains("\nbrink_target_connections 7\n"), "{of_target}");
}

#[test]
fn of_a_sweep_metrics_are_labelled_with_the_case_and_elsewhere_they_need_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let sweep = dir.path().join("s.toml");
    let text = "name = \"s\"\n[[target]]\nmodel = \"mio\"\n[load]\nconnections = 3\nduration = \"60s\"\nwarmup = \"0s\"\n";
    std::fs::write(&sweep, text).unwrap();
    let out = dir.path().join("run");
    let at = ["sweep", sweep.to_str().unwrap(), "-o", out.to_str().unwrap()];
    let args: Vec<_> = at.into_iter().chain(["--metrics", "0.0.0.0:0", "--token", "s3cret"]).collect();
    let (_sweep, address) = serving(&args);
    let address = address.replace("0.0.0.0", "127.0.0.1");
    assert_eq!((get(&address, "/metrics", None).0, get(&address, "/metrics", Some("s3creT")).0), (401, 401));
    within_ten_seconds("a window in the metrics", || {
        let (code, text) = get(&address, "/metrics", Some("s3cret"));
        assert_eq!(code, 200);
        exposition::check(&text).unwrap();
        has_window(&text) && text.contains("{case=\"mio-c3-r1\",repeat=\"1\",state=\"open\"} 3\n")
    });
}

#[test]
fn progress_goes_to_stderr_unless_it_is_quiet() {
    let smoke = SHORT.iter().copied().filter(|flag| *flag != "-q").collect::<Vec<_>>();
    let stderr = said(&smoke);
    assert!(stderr.contains("[1/1] mio-c5 ") && stderr.contains(" requests/s"), "{stderr}");
    assert!(!said(&SHORT).contains("[1/1]"));
}

//! Every bad input gets one clear line that names what was wrong and what is allowed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use crate::program::{Target, root, run};

/// Runs `args`, which must end with `code`, print nothing on stdout and one line with all of `words`.
fn refused(args: &[&str], code: i32, words: &[&str]) {
    let output = run(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = stderr.lines().filter(|line| !is_notice(line)).collect();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(lines.len(), 1, "{args:?}: one line, not: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}: nothing on stdout");
    for word in words {
        assert!(lines[0].contains(word), "{args:?}: `{word}` is missing in: {}", lines[0]);
    }
}

/// What is said whether or not the input is good.
fn is_notice(line: &str) -> bool {
    line.contains("raised rlimit.nofile") || line.contains("connections in all to")
}

#[test]
fn flags() {
    refused(&["load", "--conections", "5"], 2, &["--conections", "--connections"]);
    refused(&["load", "--model", "tokyo"], 2, &["--model", "did you mean `tokio`?", "threads"]);
    refused(&["load", "--engine", "moi"], 2, &["--engine", "did you mean `mio`?"]);
    refused(&["load", "-c", "0"], 2, &["--connections", "at least 1"]);
    refused(&["load", "-c", "ten"], 2, &["--connections", "not a count"]);
    refused(&["load", "-d", "10"], 2, &["--duration", "no unit", "100ms"]);
    refused(&["load", "--payload", "2MiB"], 2, &["--payload", "1B to 1MiB"]);
    refused(&["load", "--payload", "0"], 2, &["--payload", "1B to 1MiB"]);
    refused(&["load", "--cpus", "4000"], 2, &["--cpus", "4000", "allowed are"]);
    refused(&["load", "--heartbeat", "1s"], 2, &["--heartbeat", "hold"]);
    refused(&["load", "--workload", "hold", "--think", "1s"], 2, &["--think", "closed"]);
    refused(&["load", "--control", "127.0.0.1:1"], 2, &["--target"]);
    refused(&["load", "--stack-size", "1MiB", "--model", "mio"], 2, &["--stack-size", "mio"]);
    refused(&["target", "--model", "threads", "--threads", "2"], 2, &["--threads", "thread per connection"]);
    refused(&["target", "--stack-size", "1B"], 2, &["--stack-size", "1GiB"]);
    refused(&["target", "--listen", "localhost"], 2, &["--listen", "127.0.0.1:7000"]);
    refused(&["target", "--delay", "9"], 2, &["--delay", "no unit"]);
    refused(&["target", "--listen", "0.0.0.0:0"], 2, &["--token", "--no-control"]);
    refused(&["load", "https://a/"], 2, &["TLS", "http://"]);
    refused(&["load", "http://a/", "--model", "mio"], 2, &["--model", "only for a target of brink's own"]);
    refused(&["load", "http://a/", "--payload", "5B"], 2, &["--payload", "GET", "POST"]);
    refused(&["load", "-H", "x: y"], 2, &["--header", "http://"]);
    refused(&["load", "http://a/", "-H", "Connection: close"], 2, &["--header", "`Connection`"]);
    refused(&["load", "tcp://a:1", "--send", "x"], 2, &["--expect"]);
    refused(&["load", "--send", r"\q", "--expect", "x"], 2, &["--send", r"\xNN"]);
    refused(&["load", "--send", "x", "--expect", "x"], 2, &["--send", "answers frames"]);
    refused(&["load", "--command", "a 'b"], 2, &["--command", "quote"]);
    refused(&["load", "--command", "''"], 2, &["--command", "a command is needed"]);
    refused(&["load", "--token", "x"], 2, &["--token", "runs already"]);
    refused(&["ceiling", "--memory-floor", "1000000GiB"], 2, &["--memory-floor", "available now"]);
    refused(&["ceiling", "--stop-at", "0"], 2, &["--stop-at", "at least 1"]);
    refused(&["ceiling", "--hold", "5"], 2, &["--hold", "no unit"]);
    refused(&["limits", "--model", "mio"], 2, &["--model", "--connections"]);
    refused(&["limits", "--engine", "pool"], 2, &["--engine", "--connections"]);
    refused(&["limits", "-c", "5", "--stack-size", "1MiB", "--model", "mio"], 2, &["--stack-size", "mio"]);
    refused(&["limits", "-c", "5", "--source-ip", "::1"], 2, &["--source-ip", "IPv6"]);
    refused(&["limits", "--pid", "0"], 2, &["--pid", "4194304"]);
    refused(&["limits", "--target", "here"], 2, &["--target", "127.0.0.1:7000"]);
    refused(&["limits", "--target", "127.0.0.1:1"], 1, &["--target", "--control", "--pid"]);
    refused(&["limits", "--pid", "1", "-c", "5", "--processes", "2"], 2, &["--processes", "--model"]);
    refused(&["limits", "--token", "x"], 2, &["--token", "--target"]);
    refused(&["load", "-r", "0"], 2, &["--rate", "0.001"]);
    refused(&["load", "-r", "5", "--workload", "closed"], 2, &["--rate", "open"]);
    refused(&["load", "--workload", "open"], 2, &["--rate"]);
    refused(&["load", "--workload", "burst", "--warmup", "1s"], 2, &["--warmup"]);
    refused(&["load", "--workload", "hold", "-n", "5"], 2, &["--requests", "closed"]);
    refused(&["load", "--arrivals", "poisson"], 2, &["--arrivals", "open"]);
    refused(&["load", "--engine", "sequential", "-t", "2"], 2, &["--threads", "exactly one thread"]);
    refused(&["load", "--engine", "threads", "-t", "2"], 2, &["--threads", "thread per connection"]);
    refused(&["load", "--engine", "tokio", "--busy-poll", "1ms"], 2, &["--busy-poll", "`tokio`", "`mio`"]);
    refused(
        &["load", "-c", "9k", "-t", "8192", "--busy-poll", "1ms"],
        2,
        &["--busy-poll", "8192 workers", "at most"],
    );
    refused(&["load", "--busy-poll", "1"], 2, &["--busy-poll", "no unit"]);
    refused(
        &["load", "--model", "tokio-local", "--target-threads", "2"],
        2,
        &["--target-threads", "one thread"],
    );
    refused(&["load", "--pid", "1"], 2, &["--pid", "--target"]);
    refused(&["target", "--processes", "0"], 2, &["--processes", "1 to 1024"]);
    refused(&["fly"], 2, &["fly"]);
}

#[test]
fn files_and_folders() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    refused(&["sweep", &path("none.toml")], 2, &["none.toml", "cannot be read"]);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    write("key.toml", "name = \"x\"\n[[target]]\nmodel = \"mio\"\n[load]\nconections = 5\n");
    refused(&["plan", &path("key.toml")], 2, &["key.toml:5:", "`conections`", "did you mean `connections`?"]);
    write("model.toml", "name = \"x\"\n[[target]]\nmodel = \"thread\"\n[load]\nconnections = 5\n");
    refused(&["sweep", &path("model.toml")], 2, &["model.toml:3:", "did you mean `threads`?"]);
    let smoke = root().join("configs/smoke.toml");
    let smoke = smoke.to_str().unwrap();
    write("file", "");
    refused(&["sweep", smoke, "--out", &path("file")], 2, &["--out", "is a file"]);
    refused(&["sweep", smoke, "--out", "/proc/brink"], 2, &["--out", "/proc/brink"]);
    std::fs::create_dir(path("held")).unwrap();
    write("held/plan.json", "{}");
    refused(&["sweep", smoke, "--out", &path("held")], 2, &["--out", "already holds a run"]);
    assert_eq!(std::fs::read_to_string(path("held/plan.json")).unwrap(), "{}", "left as it was");
    refused(&["report", &path("nowhere")], 2, &["nowhere"]);
    let quick = root().join("results/2026-11-21-quick");
    let quick = quick.to_str().unwrap();
    for flag in ["--svg", "--png"] {
        refused(&["report", quick, "--out", &path("page"), flag, &path("file")], 2, &[flag, "file"]);
    }
    assert!(!Path::new(&path("results")).exists());
}

#[test]
fn an_address_in_use() {
    let target = Target::start(&["--model", "mio"]);
    for model in brink_target::MODELS {
        let args = ["target", "--model", model.name, "--listen", target.address()];
        refused(&args, 2, &["--listen", target.address(), "in use"]);
    }
}

#[test]
fn a_target_that_is_none() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let load = |address: &str, words: &[&str]| {
        refused(&["load", "--target", address, "-c", "5", "-d", "1s", "--timeout", "1s"], 1, words);
    };
    load(&free, &[&free, "refused"]);
    let (closes, _) = server(|_| {});
    load(&closes, &[&closes, "closes"]);
    let (other, _) = server(|stream| {
        let mut request = [0; 16];
        let _ = stream.read(&mut request);
        let _ =
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n and then some more to fill a frame of ours");
        let _ = stream.read(&mut request);
    });
    load(&other, &[&other, "not an echo server"]);
    let (silent, _) = server(|stream| {
        let _ = std::io::copy(stream, &mut std::io::sink());
    });
    load(&silent, &[&silent, "1s"]);
}

#[test]
fn a_target_elsewhere_needs_a_word() {
    // TEST-NET-1 of RFC 5737, which nobody has; nothing may be sent there without --external.
    let args = ["load", "--target", "192.0.2.1:9", "--control", "127.0.0.1:1", "-c", "1", "-d", "1s"];
    refused(&args, 1, &["127.0.0.1:1"]);
}

/// A server that does `serve` with each connection, on a thread that ends with the test.
fn server(serve: fn(&mut std::net::TcpStream)) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(&mut stream.unwrap());
        }
    });
    (address, thread)
}

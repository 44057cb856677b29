//! The same conversations with a target that is none of ours: started by the command line in
//! BRINK_CONFORMANCE_COMMAND, with `{port}` in it, split at blanks. It prints a ready line, takes
//! `--delay` and `--work` beside what the command has, and needs no control plane.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use brink_host::usage::ProcessSampler;
use brink_target::Transport;
use brink_wire::control::Ready;
use brink_wire::frame::{DELAY_OF_TARGET, PAYLOAD_LEN_MAX, WORK_OF_TARGET};
use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Request, connect, expect_closed, request, request_with};
use crate::target::{PATIENCE, loopback};

const VARIABLE: &str = "BRINK_CONFORMANCE_COMMAND";
const MS: u64 = 1_000_000;
/// How soon a target has to be gone after SIGTERM.
const END_MAX: Duration = Duration::from_secs(2);

struct Outside {
    child: Child,
    ready: Ready,
    transport: Transport,
}

impl Outside {
    /// On a port that was free just before. Somebody else may take it meanwhile: then once more.
    fn start(command: &str, more: &[&str]) -> Self {
        (0..3).find_map(|_| Self::try_start(command, more)).expect("it ends without a ready line")
    }

    fn try_start(command: &str, more: &[&str]) -> Option<Self> {
        let port = TcpListener::bind(loopback()).unwrap().local_addr().unwrap().port().to_string();
        let words: Vec<String> = command.split_whitespace().map(|w| w.replace("{port}", &port)).collect();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (say_ready, hear_ready) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).map(|_| line);
            // Nobody listens when the test has failed already.
            let _heard = say_ready.send(read);
            // What it says later goes nowhere, but must not end it.
            let _rest = io::copy(&mut stdout, &mut io::sink());
        });
        let line = hear_ready.recv_timeout(PATIENCE).expect("it prints no ready line").unwrap();
        if line.is_empty() {
            child.wait().unwrap();
            return None;
        }
        let ready: Ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert_eq!(ready.address.port().to_string(), port, "it listens elsewhere");
        assert_eq!(ready.pid, child.id(), "it is another process than it says");
        assert!(!ready.workers.is_empty() && !ready.model.is_empty(), "{ready:?}");
        let transport = brink_target::find(&ready.model).map_or(Transport::Frame, |model| model.transport);
        Some(Self { child, ready, transport })
    }

    fn address(&self) -> SocketAddr {
        self.ready.address
    }

    fn request(&self, sequence: u64, payload_len: usize) -> Request {
        request(self.transport, sequence, payload_len)
    }

    fn request_with(&self, payload_len: usize, delay_ns: u64, work_us: u32) -> Request {
        request_with(self.transport, 7, payload_len, delay_ns, work_us)
    }

    /// CPU time of all its processes, in seconds.
    fn cpu_s(&self) -> f64 {
        let mut pids = self.ready.workers.clone();
        pids.push(self.ready.pid);
        pids.sort_unstable();
        pids.dedup();
        pids.into_iter().filter_map(|pid| ProcessSampler::of(pid).sample().cpu_s).sum()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // So that its workers end with it, if it has any; then for good.
        let _asked = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < END_MAX && matches!(self.child.try_wait(), Ok(None)) {
            thread::yield_now();
        }
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

#[test]
fn an_outside_target_conforms() {
    let Ok(command) = std::env::var(VARIABLE) else {
        eprintln!("skipped: conformance of an outside target: {VARIABLE} is not set");
        return;
    };
    brink_host::rlimit::raise_nofile().unwrap();
    let target = Outside::start(&command, &[]);
    for (name, check) in CHECKS {
        eprintln!("{name}");
        check(&target);
    }
    eprintln!("the target's own delay");
    its_own_delay(&Outside::start(&command, &["--delay", "20ms", "--work", "0us"]));
    eprintln!("ends on SIGTERM");
    ends_on_sigterm(target);
}

type Check = (&'static str, fn(&Outside));

static CHECKS: &[Check] = &[
    ("echoes of every size", echoes),
    ("requests in pieces", pieces),
    ("pipelined requests", pipelined),
    ("delay asked by the request", delays),
    ("work asked by the request", work),
    ("half close is answered first", half_close),
    ("rubbish closes its own connection", rubbish),
    ("200 connections at once", many),
];

fn echoes(target: &Outside) {
    let mut stream = connect(target.address());
    for (n, len) in [0, 1, 63, 64, 87, 88, 89, 4096, 65_536, PAYLOAD_LEN_MAX - 1, PAYLOAD_LEN_MAX, 1]
        .into_iter()
        .enumerate()
    {
        target.request(n as u64, len).echo(&mut stream);
    }
}

fn pieces(target: &Outside) {
    let mut stream = connect(target.address());
    let request = target.request(9, 7);
    for split in 1..=request.head_len() {
        stream.write_all(&request.bytes[..split]).unwrap();
        // The target has most likely taken the first part once a later echo is back.
        target.request(1, 1).echo(&mut connect(target.address()));
        stream.write_all(&request.bytes[split..]).unwrap();
        request.reply(&mut stream);
    }
}

fn pipelined(target: &Outside) {
    let mut stream = connect(target.address());
    let requests: Vec<_> = (0..100_u64)
        .map(|n| {
            let delay_ns = if n % 7 == 3 { MS / 5 } else { 0 };
            request_with(
                target.transport,
                n,
                (n as usize * 37) % 2000,
                delay_ns,
                if n % 11 == 5 { 20 } else { 0 },
            )
        })
        .collect();
    let bytes: Vec<u8> = requests.iter().flat_map(|request| request.bytes.iter().copied()).collect();
    let mut writing = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| writing.write_all(&bytes).unwrap());
        for request in &requests {
            request.reply(&mut stream);
        }
    });
}

fn delays(target: &Outside) {
    let mut stream = connect(target.address());
    for delay_ns in [1, 50_000, MS, 3 * MS + 1, 20 * MS] {
        let begun = Instant::now();
        let waited_ns = target.request_with(8, delay_ns, 0).echo(&mut stream);
        let seen_ns = begun.elapsed().as_nanos() as u64;
        assert!(waited_ns >= delay_ns, "waited {waited_ns} of {delay_ns}");
        assert!(seen_ns >= waited_ns, "tells {waited_ns}, took {seen_ns}");
    }
}

fn work(target: &Outside) {
    const WORK_US: u32 = 200_000;
    let mut stream = connect(target.address());
    target.request(1, 1).echo(&mut stream);
    let before_s = target.cpu_s();
    let waited_ns = target.request_with(8, 0, WORK_US).echo(&mut stream);
    let spent_s = target.cpu_s() - before_s;
    // Twice as fast as calibrated is more than any clock of a processor makes up.
    assert!(spent_s >= f64::from(WORK_US) / 2e6, "{spent_s} s of CPU time for {WORK_US} us of work");
    assert!(waited_ns < u64::from(WORK_US) * 1000 / 2, "work is told as waiting: {waited_ns}");
}

fn half_close(target: &Outside) {
    for (delay_ns, rest_len) in [(0, 30), (5 * MS, 30), (5 * MS, 0)] {
        let mut stream = connect(target.address());
        let requests = [1, 2, 3].map(|n| request_with(target.transport, n, 100, delay_ns, 0));
        stream.write_all(&requests.clone().map(|request| request.bytes).concat()).unwrap();
        stream.write_all(&requests[0].bytes[..rest_len]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        for request in &requests {
            request.reply(&mut stream);
        }
        expect_closed(&mut stream);
    }
}

fn rubbish(target: &Outside) {
    if target.transport != Transport::Frame {
        eprintln!("skipped: rubbish in HTTP is answered, which is tested with the models");
        return;
    }
    let mut bystander = connect(target.address());
    target.request(1, 64).echo(&mut bystander);
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = target.request(1, 0).bytes;
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let oversize = with(8, &(PAYLOAD_LEN_MAX as u32 + 1).to_le_bytes());
    let version = with(4, &[9]);
    let endless = with(24, &(u64::MAX - 1).to_le_bytes());
    for bytes in [&oversize[..], &version, &endless, b"GET / HTTP/1.1\r\nHost: a.b\r\nAccept: */*\r\n\r\n"] {
        let mut stream = connect(target.address());
        let good = target.request(2, 64);
        stream.write_all(&[&good.bytes, bytes].concat()).unwrap();
        good.reply(&mut stream);
        expect_closed(&mut stream);
        target.request(3, 64).echo(&mut bystander);
    }
}

fn many(target: &Outside) {
    let mut streams: Vec<_> = (0..200).map(|_| connect(target.address())).collect();
    for round in 0..2 {
        for (n, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&target.request(round * 1000 + n as u64, 64).bytes).unwrap();
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            target.request(round * 1000 + n as u64, 64).reply(stream);
        }
    }
}

fn its_own_delay(target: &Outside) {
    let mut stream = connect(target.address());
    let own_ns = target.request_with(8, DELAY_OF_TARGET, WORK_OF_TARGET).echo(&mut stream);
    assert!(own_ns >= 20 * MS, "waited {own_ns} with --delay 20ms");
    let asked_ns = target.request_with(8, 0, 0).echo(&mut stream);
    assert!(asked_ns < 20 * MS, "the target's own delay was added: {asked_ns}");
}

fn ends_on_sigterm(mut target: Outside) {
    let mut idle = connect(target.address());
    target.request(1, 64).echo(&mut idle);
    let mut busy = connect(target.address());
    busy.write_all(&target.request_with(8, 3_600_000 * MS, 0).bytes).unwrap();
    kill_process(Pid::from_child(&target.child), Signal::TERM).unwrap();
    let asked = Instant::now();
    let status = loop {
        match target.child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(asked.elapsed() < END_MAX, "it goes on after SIGTERM"),
        }
        thread::yield_now();
    };
    eprintln!("ended: {status}");
    // Exclusively, so nobody of it may still listen.
    while let Err(error) = brink_host::socket::listen(target.address(), 1, 1) {
        assert!(asked.elapsed() < END_MAX, "its port is not free: {error}");
        thread::yield_now();
    }
}

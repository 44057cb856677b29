//! A target inside the test's process, ended when it goes out of scope.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use brink_target::{MODELS, Model, Options, Stop, Threads, Transport};
use brink_wire::control::{Counters, Ready, TargetUsage};
use brink_wire::delay::Delay;

use crate::client::Http;

/// Far above anything that should happen; only a hang takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Target {
    pub ready: Ready,
    pub stop: Stop,
    ended: mpsc::Receiver<io::Result<Counters>>,
    thread: Option<JoinHandle<()>>,
}

/// All models that can run here.
pub fn models() -> impl Iterator<Item = &'static Model> {
    MODELS.iter().filter(|model| {
        let available = (model.available)();
        if let Err(why) = &available {
            eprintln!("skipped: {}: {why}", model.name);
        }
        available.is_ok()
    })
}

/// Those of them that speak this.
pub fn models_of(transport: Transport) -> impl Iterator<Item = &'static Model> {
    models().filter(move |model| model.transport == transport)
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub fn options(model: &'static Model) -> Options {
    Options {
        model,
        listen: loopback(),
        control: Some(loopback()),
        token: None,
        threads: threads(model),
        delay: Delay::ZERO,
        work_us: 0,
        stack_bytes: 64 * 1024,
        backlog: 1024,
        connections_max: None,
        shares_port: false,
    }
}

/// Enough that no test's connections or waits have to queue, where that is what threads bound.
fn threads(model: &Model) -> u32 {
    match model.threads {
        Threads::Pool { .. } => 1100,
        _ => 2,
    }
}

impl Target {
    pub fn start(options: Options) -> Self {
        brink_host::rlimit::raise_nofile().unwrap();
        let stop = Stop::new().unwrap();
        let (say_ready, hear_ready) = mpsc::channel();
        let (say_ended, ended) = mpsc::channel();
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let result =
                    brink_target::run(&options, &stop, &mut |ready| say_ready.send(ready.clone()).unwrap());
                // Nobody listens when the test has failed already.
                let _heard = say_ended.send(result);
            }
        });
        match hear_ready.recv_timeout(PATIENCE) {
            Ok(ready) => Self { ready, stop, ended, thread: Some(thread) },
            Err(_) => panic!("not ready: {:?}", ended.recv_timeout(PATIENCE)),
        }
    }

    pub fn of(model: &'static Model) -> Self {
        Self::start(options(model))
    }

    pub fn usage(&self) -> TargetUsage {
        let body = Http::to(self.ready.control.unwrap()).get("/v1/usage");
        serde_json::from_str(&body).unwrap()
    }

    /// Asks the control plane until the counters are as wanted.
    pub fn counters_when(&self, wanted: impl Fn(&Counters) -> bool) -> Counters {
        let begun = std::time::Instant::now();
        let mut http = Http::to(self.ready.control.unwrap());
        loop {
            let usage: TargetUsage = serde_json::from_str(&http.get("/v1/usage")).unwrap();
            if wanted(&usage.counters) {
                return usage.counters;
            }
            assert!(begun.elapsed() < PATIENCE, "{}: {:?}", self.ready.model, usage.counters);
            std::thread::yield_now();
        }
    }

    /// Waits for the end, which somebody must have asked for.
    pub fn end(mut self) -> Counters {
        let counters = self.ended.recv_timeout(PATIENCE).expect("the target did not end").unwrap();
        self.thread.take().unwrap().join().unwrap();
        counters
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().unwrap();
        }
    }
}

pub fn refused(counters: &Counters, phase: &str, error: &str) -> u64 {
    counters.refusals.iter().filter(|r| r.phase == phase && r.error == error).map(|r| r.count).sum()
}

//! Puts load on an address and prints what the client itself costs.
//! Usage: `load ADDRESS CONNECTIONS hold|closed|think=MILLISECONDS SECONDS [THREADS [PAYLOAD_BYTES]]`.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use brink_client::{Close, LiveCounters, LoadOptions, Observer, Phase, Stop, Workload, find, run};
use brink_host::usage::ProcessSampler;

struct Meter {
    sampler: ProcessSampler,
    cpu_s: f64,
}

impl Observer for Meter {
    fn phase(&mut self, phase: Phase) {
        let cpu_s = self.sampler.sample().cpu_s.unwrap_or(f64::NAN);
        println!("{phase:?}: {:.3} CPU-s since the phase before", cpu_s - self.cpu_s);
        self.cpu_s = cpu_s;
    }
    fn plateau(&mut self, connections_open: u64) {
        let usage = self.sampler.sample();
        println!("plateau {connections_open}: user_bytes {:?} fds {:?}", usage.user_bytes, usage.fds);
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || {
        let text =
            "load ADDRESS CONNECTIONS hold|closed|think=MILLISECONDS SECONDS [THREADS [PAYLOAD_BYTES]]";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let [address, connections, workload, seconds, rest @ ..] = arguments.as_slice() else {
        return Err(usage());
    };
    let number = |text: &String| text.parse::<u64>().map_err(|_| usage());
    let connections = number(connections)?;
    let workload = match workload.as_str() {
        "hold" => Workload::Hold { heartbeat: None },
        "closed" => Workload::Closed { think: Duration::ZERO },
        other => {
            let text = other.strip_prefix("think=").ok_or_else(usage)?;
            Workload::Closed { think: Duration::from_millis(text.parse().map_err(|_| usage())?) }
        }
    };
    let threads = rest.first().map_or(Ok(1), number)? as u32;
    let payload_bytes = rest.get(1).map_or(Ok(64), number)? as u32;
    brink_host::rlimit::raise_nofile()?;
    let options = LoadOptions {
        target: address.parse().map_err(|_| usage())?,
        connections,
        workload,
        payload_bytes,
        delay: Some(Duration::ZERO),
        delay_asked: None,
        work_us: Some(0),
        threads,
        connect_rate_per_s: None,
        connect_window: 256,
        sources: Vec::new(),
        warmup: Duration::from_millis(200),
        duration: Duration::from_secs(number(seconds)?),
        timeout: Duration::from_secs(5),
        delay_expected_max: Duration::ZERO,
        delay_expected_mean: Duration::ZERO,
        close: Close::Rst,
        plateaus: (1..=5).map(|step| connections * step / 5).filter(|&n| n > 0).collect(),
        first_connection_id: 0,
    };
    let engine = find("mio").ok_or_else(|| io::Error::other("no engine mio"))?;
    let mut meter = Meter { sampler: ProcessSampler::own(), cpu_s: 0.0 };
    let outcome = run(engine, &options, &Stop::new(), &LiveCounters::new(threads), &mut meter)?;
    println!(
        "opened {} failed {} in {:?}; peak {} closed_early {} live_at_end {}",
        outcome.opened,
        outcome.failed,
        outcome.opening,
        outcome.peak_live,
        outcome.closed_early,
        outcome.live_at_end
    );
    for (name, histogram) in [("connect", &outcome.connect_latency), ("latency", &outcome.latency)] {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| histogram.value_at_quantile(q) / 1000);
        println!("{name} us: p50 {p50} p99 {p99} p99.9 {p999} max {}", histogram.max() / 1000);
    }
    let per_s = outcome.completed_in_window as f64 / outcome.window.as_secs_f64();
    println!("requests {} ({per_s:.0}/s) failed {}", outcome.requests_completed, outcome.requests_failed);
    println!("failures {:?}", outcome.failures);
    Ok(())
}

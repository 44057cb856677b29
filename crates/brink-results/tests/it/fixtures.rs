//! Results as a run would leave them, made up but of realistic size. Shared with `examples/`.

use std::path::PathBuf;

use brink_results::case::{
    Arrivals, BackgroundCase, Case, Close, LoadCase, Origin, Protocol, TargetCase, Workload,
};
use brink_results::memory::memory_per_connection;
use brink_results::schema::*;
use brink_results::store::RunData;
use brink_results::verdict::{Input, judge};
use brink_results::{hdr, window};
use brink_wire::control::{Counters, LimitReading, Machine, MachineUsage, ProcessUsage};
use brink_wire::delay::Delay;
use hdrhistogram::Histogram;

/// What sets the models apart in the made-up results.
#[derive(Clone, Copy)]
pub struct Model {
    pub name: &'static str,
    pub bytes_per_connection: f64,
    pub kernel_bytes_per_connection: f64,
    pub threads_per_connection: u64,
    pub p50_over_delay_us: u64,
    pub cpu_share: f64,
}

pub const MODELS: [Model; 3] = [
    Model {
        name: "mio",
        bytes_per_connection: 60.0,
        kernel_bytes_per_connection: 9_700.0,
        threads_per_connection: 0,
        p50_over_delay_us: 120,
        cpu_share: 0.2,
    },
    Model {
        name: "threads",
        bytes_per_connection: 10_035.0,
        kernel_bytes_per_connection: 28_300.0,
        threads_per_connection: 1,
        p50_over_delay_us: 310,
        cpu_share: 0.7,
    },
    Model {
        name: "tokio",
        bytes_per_connection: 1_024.0,
        kernel_bytes_per_connection: 9_800.0,
        threads_per_connection: 0,
        p50_over_delay_us: 150,
        cpu_share: 0.375,
    },
];

pub fn case(model: &str, connections: u64) -> Case {
    let delay = Delay::Fixed(std::time::Duration::from_micros(100 * connections));
    let mut plateaus: Vec<u64> = [16, 8, 4, 2, 1].iter().map(|n| (connections / n).max(1)).collect();
    plateaus.dedup();
    Case {
        name: format!("{model}-c{connections}-r1"),
        repeat: 1,
        target: TargetCase {
            label: model.to_owned(),
            origin: Origin::Started,
            model: model.to_owned(),
            processes: 1,
            threads: 2,
            cpus: None,
            delay,
            work_us: 0,
            stack_bytes: (model == "threads").then_some(65_536),
            backlog: 4096,
            connections_max: None,
        },
        load: LoadCase {
            engine: "mio".to_owned(),
            connections,
            workload: Workload::Closed { think_ns: 0 },
            protocol: Protocol::Frame,
            requests: None,
            seed: 0,
            payload_bytes: 64,
            delay_ns: None,
            work_us: None,
            threads: 1,
            processes: 1,
            cpus: None,
            busy_poll_ns: None,
            connect_rate_per_s: None,
            connect_window: 128,
            source_ips: Vec::new(),
            warmup_ns: 1_000_000_000,
            duration_ns: 4_000_000_000,
            timeout_ns: 5_000_000_000,
            close: Close::Rst,
            plateaus,
            samples_per_s: 4.0,
            background: None,
            climb: None,
        },
    }
}

/// A valid result of a model.
pub fn result(model: Model, connections: u64) -> CaseResult {
    let case = case(model.name, connections);
    let delay_ns = 100_000 * connections;
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    let over_us = model.p50_over_delay_us * (1 + connections / 1000);
    for i in 0..1000u64 {
        let tail = if i >= 990 { 4 } else { 1 } * if i >= 999 { 3 } else { 1 };
        histogram.record(delay_ns + 1000 * tail * (over_us / 2 + over_us * i / 1000)).unwrap();
    }
    let per_s = connections as f64 / histogram.mean() * 1e9;
    // Plateaus with a sawtooth of a page, so that intervals have a width.
    let noise = |i: usize| if i.is_multiple_of(2) { 4096 } else { 0 };
    let plateaus = case.load.plateaus.iter().enumerate().map(|(i, &n)| Plateau {
        connections: n,
        settled: true,
        client: EndSample {
            user_bytes: Some(2_500_000 + 40 * n + noise(i) / 4),
            virtual_bytes: Some(80_000_000),
            page_table_bytes: Some(90_000),
            ..EndSample::default()
        },
        target: Some(EndSample {
            user_bytes: Some(1_500_000 + (model.bytes_per_connection * n as f64) as u64 + noise(i + 1)),
            virtual_bytes: Some(70_000_000 + 69_632 * model.threads_per_connection * n),
            page_table_bytes: Some(90_000 + 2_150 * model.threads_per_connection * n),
            ..EndSample::default()
        }),
        machine: machine_sample(&model, n, noise(i)),
        target_machine: None,
    });
    let (memory, missing) = memory_per_connection(plateaus.collect(), Some(true));
    let machine = Machine {
        kernel: Some("6.18.0".to_owned()),
        architecture: Some("x86_64".to_owned()),
        cpu_model: Some("Example CPU".to_owned()),
        cpus: 2,
        cpus_allowed: vec![0, 1],
        cpu_quota: None,
        memory_bytes: Some(24 << 30),
        boot_id: Some("b".to_owned()),
        page_bytes: 4096,
    };
    let limit = LimitReading {
        name: "rlimit.nofile".to_owned(),
        value: Some(20_000),
        hard: Some(20_000),
        used: Some(12),
        source: "getrlimit(2)".to_owned(),
        note: None,
    };
    let end = EndFacts { machine, limits: vec![limit], work_error_ratio: None };
    let mut made = CaseResult {
        schema: RESULT_SCHEMA.to_owned(),
        started: "2026-11-21T07:00:00Z".to_owned(),
        facts: Facts {
            client: end.clone(),
            target: Some(end),
            shared_machine: Some(true),
            shared_cpus: vec![0, 1],
            brink_version: "0.1.0".to_owned(),
        },
        validity: Validity { verdict: Verdict::Valid, reasons: Vec::new() },
        connections: Connections {
            requested: connections,
            opened: connections,
            live_at_end: connections,
            peak_live: connections,
            connect_per_s: Some(21_500.0),
            connect_latency_ns: hdr::connect_latency(&histogram),
            ..Connections::default()
        },
        requests: Requests {
            intended: 4000,
            completed: 4000,
            per_s: Some(per_s),
            per_s_ceiling: Some(10_000.0),
            window_s: 4.0,
            ..Requests::default()
        },
        latency_ns: hdr::latency(&histogram, LatencyFrom::Sent).unwrap(),
        delay_error_ns: Some(DelayError { p50: 60_000, p99: 180_000, max: 900_000 }),
        schedule_lag_ns: None,
        makespan_ns: None,
        usage: usage(&model, connections, per_s),
        memory_per_connection: memory,
        failures: Vec::new(),
        failure_point: None,
        predicted: None,
        predicted_memory: None,
        refused: false,
        interrupted: false,
        ceiling: None,
        background: None,
        slo: Vec::new(),
        target_counters: Some(Counters {
            accepted: connections,
            live: connections,
            requests: 40_000,
            ..Counters::default()
        }),
        case,
    };
    made.validity = judge(Input { result: &made, interrupted: None, missing: &missing });
    assert!(window::span(&made).is_some());
    made
}

fn machine_sample(model: &Model, n: u64, noise: u64) -> MachineSample {
    let kernel = (model.kernel_bytes_per_connection * n as f64) as u64 + noise;
    let usage = MachineUsage {
        slab_bytes: Some(200_000_000 + kernel),
        kernel_stack_bytes: Some(3_000_000 + 16_384 * model.threads_per_connection * n),
        page_table_bytes: Some(4_000_000),
        tcp_bytes: Some(0),
        ..MachineUsage::default()
    };
    MachineSample { t_s: 0.0, kernel_bytes: usage.kernel_bytes(), usage }
}

/// Four samples a second over ten seconds; the window is from 4 to 8.
fn usage(model: &Model, connections: u64, per_s: f64) -> Usage {
    let at = |cpu_share: f64, threads: u64, user_bytes: u64| {
        (0..40)
            .map(|i| f64::from(i) / 4.0)
            .map(|t_s| EndSample {
                t_s,
                user_bytes: Some(user_bytes),
                threads: Some(threads),
                cpu_s: Some(cpu_share * t_s),
                requests: Some((per_s * t_s) as u64),
                ..EndSample::default()
            })
            .collect()
    };
    let phases = [("ramp", 0.0), ("warmup", 3.0), ("window", 4.0), ("drain", 8.0), ("close", 9.0)];
    Usage {
        client: at(0.25, 2, 2_500_000 + 40 * connections),
        target: at(
            model.cpu_share,
            3 + model.threads_per_connection * connections,
            1_500_000 + (model.bytes_per_connection * connections as f64) as u64,
        ),
        phases: phases.map(|(name, t_s)| PhaseMark { name: name.to_owned(), t_s }).to_vec(),
        sampling: Some(SamplingCost { samples: 40, cpu_s: 0.02, span_s: 10.0 }),
        ..Usage::default()
    }
}

/// Judged again after a change.
pub fn judged(mut made: CaseResult) -> CaseResult {
    made.validity = judge(Input { result: &made, interrupted: None, missing: &[] });
    made
}

/// An open loop at this rate over 1,000 connections to a target with a delay of 100 ms.
pub fn open(model: Model, rate_per_s: f64) -> CaseResult {
    let mut made = result(model, 1_000);
    made.case.name = format!("{}-open-r{rate_per_s}", model.name);
    made.case.load.workload = Workload::Open { rate_per_s, arrivals: Arrivals::Fixed };
    let due = (rate_per_s * 4.0) as u64;
    made.requests = Requests {
        intended: due,
        completed: due,
        backlog_peak: 3,
        per_s: Some(rate_per_s),
        per_s_intended: Some(rate_per_s),
        per_s_ceiling: Some(rate_per_s.min(10_000.0)),
        window_s: 4.0,
        ..Requests::default()
    };
    made.latency_ns.as_mut().unwrap().from = LatencyFrom::Due;
    made.schedule_lag_ns = Some(DelayError { p50: 20_000, p99: 60_000, max: 400_000 });
    judged(made)
}

/// 50 requests to a delay of 100 ms over 50 connections, by an engine that took this long.
pub fn burst(model: Model, engine: &str, makespan_ns: u64) -> CaseResult {
    let mut made = result(model, 50);
    made.case.name = format!("{}-burst-{engine}", model.name);
    made.case.target.delay = Delay::Fixed(std::time::Duration::from_millis(100));
    made.case.load.engine = engine.to_owned();
    made.case.load.workload = Workload::Burst;
    made.case.load.requests = Some(50);
    made.case.load.duration_ns = 60_000_000_000;
    let window_s = makespan_ns as f64 / 1e9;
    made.requests = Requests {
        intended: 50,
        completed: 50,
        per_s: Some(50.0 / window_s),
        per_s_ceiling: Some(500.0),
        window_s,
        ..Requests::default()
    };
    made.makespan_ns = Some(makespan_ns);
    made.usage.phases[3].t_s = 4.0 + window_s;
    made.usage.phases[4].t_s = 5.0 + window_s;
    judged(made)
}

/// 100 connections that are made anew for every request.
pub fn churn(model: Model) -> CaseResult {
    let mut made = result(model, 100);
    made.case.name = format!("{}-churn", model.name);
    made.case.load.workload = Workload::Churn { think_ns: 0 };
    made.connections.reopened = 38_000;
    made.latency_ns.as_mut().unwrap().from = LatencyFrom::Connect;
    judged(made)
}

/// An HTTP server that brink started by its command and samples from /proc: it counts nothing itself.
pub fn foreign(label: &str, connections: u64) -> CaseResult {
    let mut made = result(MODELS[2], connections);
    made.case.name = format!("{label}-c{connections}-r1");
    made.case.target.label = label.to_owned();
    made.case.target.model = "foreign".to_owned();
    made.case.target.delay = Delay::ZERO;
    made.case.target.origin = Origin::Command { command: "server --port {port}".to_owned(), port: None };
    made.case.load.protocol = Protocol::Http {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        host: "127.0.0.1:8080".to_owned(),
        headers: Vec::new(),
        body: false,
        echoes: false,
    };
    made.requests.per_s_ceiling = None;
    (made.facts.target, made.delay_error_ns, made.target_counters) = (None, None, None);
    for sample in &mut made.usage.target {
        (sample.live, sample.requests) = (None, None);
    }
    judged(made)
}

/// A target of so many processes, which share connections and CPU time evenly but for one connection each.
pub fn several_processes(model: Model, connections: u64, processes: u32) -> CaseResult {
    let mut made = result(model, connections);
    made.case.target.label = format!("{}-p{processes}", model.name);
    made.case.name = format!("{}-c{connections}-r1", made.case.target.label);
    made.case.target.processes = processes;
    for sample in &mut made.usage.target {
        let share = |i: u32| connections / u64::from(processes) + u64::from(i);
        let worker = |i: u32| ProcessUsage {
            pid: 4_001 + i,
            user_bytes: sample.user_bytes.map(|bytes| bytes / u64::from(processes)),
            threads: Some(3),
            cpu_s: sample.cpu_s.map(|cpu_s| cpu_s / f64::from(processes)),
            live: Some(share(i)),
            ..ProcessUsage::default()
        };
        sample.workers = (0..processes).map(worker).collect();
    }
    judged(made)
}

/// As many targets as a sweep of all models has, at four connection counts.
pub fn many() -> RunData {
    let names = [
        "hyper",
        "mio",
        "pool",
        "threads",
        "tokio",
        "tokio-blocking",
        "tokio-local",
        "tokio-offload",
        "py-asyncio",
        "py-asyncio-blocking",
        "py-asyncio-executor",
        "py-pool",
        "py-prefork",
        "py-threading",
    ];
    let results = names.iter().enumerate().flat_map(|(i, name)| {
        let like = MODELS[i % 3];
        let model = Model {
            name,
            bytes_per_connection: like.bytes_per_connection * (1.0 + i as f64 / 3.0),
            p50_over_delay_us: like.p50_over_delay_us + 90 * i as u64,
            ..like
        };
        [10, 100, 1_000, 10_000].map(|n| {
            let mut made = result(model, n);
            let off = 20_000 + 130_000 * i as u64 + n;
            made.delay_error_ns = Some(DelayError { p50: off, p99: 3 * off, max: 9 * off });
            if i == 5 {
                made.requests.per_s = Some(5.0);
                made.validity.verdict = Verdict::Unsteady;
                made.validity.reasons = vec!["made up".to_owned()];
            }
            made
        })
    });
    RunData { results: results.collect(), plan: None, ..run() }
}

/// An open loop over HTTP to two processes: all fields that the schema has.
pub fn everything() -> CaseResult {
    let mut made = open(MODELS[2], 1_000.0);
    made.case.name = "tokio-open".to_owned();
    made.case.target.origin = Origin::Address {
        address: "127.0.0.1:7000".to_owned(),
        control: Some("127.0.0.1:7001".to_owned()),
        pid: Some(4_000),
    };
    made.usage.target = several_processes(MODELS[2], 1_000, 2).usage.target;
    made.usage.target.truncate(2);
    made.usage.client.truncate(2);
    made.case.load.protocol = foreign("x", 10).case.load.protocol;
    made.facts.target.as_mut().unwrap().work_error_ratio = Some(0.012);
    beside(made)
}

/// The same result beside another load of its target, which went well.
pub fn beside(mut made: CaseResult) -> CaseResult {
    made.case.load.background = Some(BackgroundCase {
        engine: "mio".to_owned(),
        connections: 2,
        workload: Workload::Open { rate_per_s: 5.0, arrivals: Arrivals::Fixed },
        protocol: Protocol::Frame,
        seed: 1,
        payload_bytes: 64,
        delay_ns: None,
        work_us: Some(200_000),
        threads: 1,
        timeout_ns: 5_000_000_000,
    });
    let latency_ns = made.latency_ns.clone();
    made.background = Some(Background {
        connections: Connections { requested: 2, opened: 2, live_at_end: 2, ..Connections::default() },
        requests: Requests { intended: 20, completed: 20, window_s: 4.0, ..Requests::default() },
        latency_ns,
        ..Background::default()
    });
    made
}

/// One of each workload, protocol and kind of target.
pub fn mixed() -> RunData {
    let mut results = vec![open(MODELS[0], 1_000.0), open(MODELS[0], 5_000.0), open(MODELS[2], 1_000.0)];
    results.extend([burst(MODELS[2], "sequential", 5_012_000_000), burst(MODELS[2], "tokio", 101_500_000)]);
    results.extend([burst(MODELS[2], "threads", 104_000_000), churn(MODELS[0]), churn(MODELS[2])]);
    results.extend([foreign("nginx", 100), foreign("caddy", 100), several_processes(MODELS[2], 1_000, 4)]);
    RunData { results, plan: None, ..run() }
}

/// `threads` ending at `kernel.pid_max`.
pub fn at_limit() -> CaseResult {
    let mut made = result(MODELS[1], 40_000);
    made.connections.opened = 32_446;
    made.connections.failed = 7_554;
    made.connections.live_at_end = 32_446;
    made.failure_point = Some(FailurePoint {
        at_connections: 32_446,
        predicted_at: Some(32_450),
        end: End::Target,
        phase: "spawn".to_owned(),
        errno: "EAGAIN".to_owned(),
        limit: "kernel.pid_max".to_owned(),
        limit_value: Some(32_768),
        confidence: Confidence::Confirmed,
        evidence: vec!["32,768 of 32,768 in use".to_owned()],
        fix: Some("sysctl -w kernel.pid_max=4194304".to_owned()),
        lasting: Some("echo kernel.pid_max=4194304 > /etc/sysctl.d/90-brink-kernel.pid_max.conf".to_owned()),
    });
    made.validity = judge(Input { result: &made, interrupted: None, missing: &[] });
    made
}

/// Nothing opened, and every measure that can be null is null.
pub fn nothing_opened() -> CaseResult {
    let mut made = result(MODELS[0], 10);
    made.case.name = "stranger-c10-r1".to_owned();
    made.case.target.label = "stranger".to_owned();
    made.connections = Connections { requested: 10, failed: 10, ..Connections::default() };
    made.requests = Requests::default();
    (made.latency_ns, made.delay_error_ns, made.target_counters, made.facts.target) =
        (None, None, None, None);
    made.facts.shared_machine = None;
    made.usage = Usage::default();
    let (memory, missing) = memory_per_connection(Vec::new(), None);
    made.memory_per_connection = memory;
    made.validity = judge(Input { result: &made, interrupted: Some("stopped by SIGINT"), missing: &missing });
    made
}

/// Three models at four connection counts, all valid.
pub fn run() -> RunData {
    let counts = [10, 100, 1_000, 10_000];
    let results: Vec<CaseResult> = MODELS.iter().flat_map(|&m| counts.map(|n| result(m, n))).collect();
    let plan = Plan {
        schema: PLAN_SCHEMA.to_owned(),
        name: "quick".to_owned(),
        seed: 7,
        brink_version: "0.1.0".to_owned(),
        command: ["brink", "sweep", "configs/quick.toml"].map(str::to_owned).to_vec(),
        created: "2026-11-21T07:00:00Z".to_owned(),
        resumed: Vec::new(),
        cases: results.iter().map(|r| r.case.clone()).collect(),
    };
    RunData { dir: PathBuf::from("results"), plan: Some(plan), results, unreadable: Vec::new() }
}

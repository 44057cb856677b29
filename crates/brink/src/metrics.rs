//! `--metrics`: the running case in Prometheus' text exposition format, and the port it is served at. Of a sweep the
//! process that runs it serves them: a process of a case is not asked, and not kept from measuring.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use brink_results::case::Case;
use brink_results::schema::{End, EndSample};
use brink_target::control::{ControlPlane, Running};
use brink_wire::control::ProcessUsage;
use brink_wire::exposition::Kind::{Counter, Gauge, Histogram};
use brink_wire::exposition::{self, Buckets, Exposition, Label};

use crate::ends::lock;
use crate::exit::Failure;
use crate::progress::{Details, Snapshot};

/// Serves until it is dropped.
pub struct Metrics {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    serving: Option<Running>,
}

/// What is served.
#[derive(Debug, Clone, Default)]
struct Seen {
    cases: usize,
    cases_done: usize,
    case: String,
    repeat: u32,
    snapshot: Option<Snapshot>,
}

impl Metrics {
    /// Serves at this address. Where other machines reach it, only who presents the token is told anything.
    ///
    /// # Errors
    /// A usage failure where a token is needed and none is there, or the address cannot be had.
    pub fn serve(address: SocketAddr, token: Option<&str>, cases: usize) -> Result<Self, Failure> {
        let is_open = is_open(address);
        let token = token.filter(|_| !is_open).map(str::to_owned);
        if !is_open && token.is_none() {
            return Err(Failure::usage(format!(
                "--token: the metrics at {address} can be reached from other machines and need one; or use \
                 --metrics 127.0.0.1:PORT"
            )));
        }
        let cannot = |error: &std::io::Error| Failure::usage(format!("--metrics {address}: {error}"));
        let plane = ControlPlane::bind(address).map_err(|error| cannot(&error))?;
        let address = plane.address();
        let seen = Arc::new(Mutex::new(Seen { cases, ..Seen::default() }));
        let served = Arc::clone(&seen);
        let tell = move || {
            // Not in one expression, which would keep the lock until the text is made.
            let seen = lock(&served).clone();
            seen.text()
        };
        let running = plane.start_metrics(tell, token).map_err(|error| cannot(&error))?;
        Ok(Self { address, seen, serving: Some(running) })
    }

    /// Where, with the port that the kernel chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A case begins.
    pub fn begin(&self, case: &Case) {
        let mut seen = lock(&self.seen);
        (seen.case, seen.repeat, seen.snapshot) = (case.name.clone(), case.repeat, None);
    }

    /// The running case, several times a second.
    pub fn update(&self, snapshot: &Snapshot) {
        lock(&self.seen).snapshot = Some(snapshot.clone());
    }

    /// The case is over; what was seen last of it stays until the next.
    pub fn end(&self) {
        lock(&self.seen).cases_done += 1;
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            // What it served is over; a thread of it that failed has nobody to tell.
            let _ended = serving.end();
        }
    }
}

/// Whether only programs of this machine reach an address.
pub fn is_open(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

impl Seen {
    fn text(&self) -> String {
        let mut out = Exposition::default();
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.family("brink_client_info", Gauge, "1, with the version of brink.").sample(&version, 1.0);
        out.family("brink_client_cases", Gauge, "Cases of this run.").sample(&[], self.cases as f64);
        let help = "Cases that are over.";
        out.family("brink_client_cases_done_total", Counter, help).sample(&[], self.cases_done as f64);
        let repeat = self.repeat.to_string();
        let labels = [("case", self.case.as_str()), ("repeat", repeat.as_str())];
        if let Some(snapshot) = &self.snapshot {
            of_client(&mut out, &labels, snapshot);
            if let Some(details) = &snapshot.details {
                of_ends(&mut out, &labels, details);
            }
        }
        out.into_text()
    }
}

fn of_client(out: &mut Exposition, labels: &[Label<'_>], snapshot: &Snapshot) {
    let with = |name, value| labels.iter().copied().chain([(name, value)]).collect::<Vec<_>>();
    let help = "1 for the phase that the case is in.";
    out.family("brink_client_phase", Gauge, help).sample(&with("phase", &snapshot.phase), 1.0);
    let mut states = out.family(
        "brink_client_connections",
        Gauge,
        "Connections, by state: asked for, coming up, open, lost.",
    );
    let coming_up = snapshot.attempted.saturating_sub(snapshot.opened + snapshot.failed);
    for (state, count) in [
        ("requested", snapshot.requested),
        ("opening", coming_up),
        ("open", snapshot.live),
        ("lost", snapshot.lost),
    ] {
        states.sample(&with("state", state), count as f64);
    }
    for (name, kind, help, count) in [
        ("brink_client_connections_attempted_total", Counter, "Connections tried.", snapshot.attempted),
        (
            "brink_client_connections_opened_total",
            Counter,
            "Connections opened and verified.",
            snapshot.opened,
        ),
        ("brink_client_connections_failed_total", Counter, "Connections that did not open.", snapshot.failed),
        ("brink_client_requests_total", Counter, "Requests answered, warm-up included.", snapshot.requests),
        ("brink_client_requests_in_flight", Gauge, "Requests sent and not yet answered.", snapshot.in_flight),
    ] {
        out.family(name, kind, help).sample(labels, count as f64);
    }
    let help = "What failed, by end, what was being done, and errno. Slow connects are among them.";
    let mut failures = out.family("brink_client_failures_total", Counter, help);
    for failure in &snapshot.failures {
        let end = if failure.end == End::Client { "client" } else { "target" };
        let more = [("end", end), ("phase", failure.phase.as_str()), ("errno", failure.errno.as_str())];
        let labels: Vec<_> = labels.iter().copied().chain(more).collect();
        failures.sample(&labels, failure.count as f64);
    }
}

fn of_ends(out: &mut Exposition, labels: &[Label<'_>], details: &Details) {
    let Details { look, latency, .. } = details;
    if latency.count > 0 {
        let bounds_s = brink_client::bounds_ns().map(|ns| ns as f64 / 1e9);
        let below: Vec<_> = bounds_s.zip(latency.below_bounds.iter().copied()).collect();
        let help = "How long requests took that were answered, warm-up included. The sum is to within 3.1%.";
        let buckets = Buckets { below: &below, count: latency.count, sum: latency.sum_s };
        out.family("brink_client_request_duration_seconds", Histogram, help).buckets(labels, &buckets);
    }
    of_end(out, "brink_client_process_", labels, &look.client);
    exposition::machine(out, "brink_client_machine_", labels, &look.machine.usage);
    if let Some(target) = &look.target {
        of_end(out, "brink_client_target_process_", labels, target);
    }
    let help = "Connections that wait for the target to accept them, as it says.";
    let waiting = float(look.accept_queue);
    out.family("brink_client_target_accept_queue", Gauge, help).known(labels, waiting);
    if let Some(machine) = &look.target_machine {
        exposition::machine(out, "brink_client_target_machine_", labels, &machine.usage);
    }
}

/// An end, its processes summed.
fn of_end(out: &mut Exposition, prefix: &str, labels: &[Label<'_>], sample: &EndSample) {
    let summed = ProcessUsage {
        user_bytes: sample.user_bytes,
        resident_bytes: sample.resident_bytes,
        virtual_bytes: sample.virtual_bytes,
        page_table_bytes: sample.page_table_bytes,
        threads: sample.threads,
        fds: sample.fds,
        cpu_s: sample.cpu_s,
        live: sample.live,
        requests: sample.requests,
        ..ProcessUsage::default()
    };
    exposition::process(out, prefix, &[(labels.to_vec(), &summed)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ends::Look;
    use crate::progress::LatencySoFar;
    use brink_results::schema::{Failure as Seen2, MachineSample};
    use brink_wire::control::MachineUsage;

    fn seen() -> Seen {
        let machine = || MachineSample {
            usage: MachineUsage { slab_bytes: Some(41), ..MachineUsage::default() },
            ..MachineSample::default()
        };
        let end = |threads| EndSample { threads: Some(threads), ..EndSample::default() };
        let look = Look {
            client: end(3),
            target: Some(end(4)),
            machine: machine(),
            target_machine: Some(machine()),
            ..Look::default()
        };
        let below_bounds = (0..brink_client::bounds_ns().count() as u64).collect();
        let latency = LatencySoFar { below_bounds, count: 100, sum_s: 0.5 };
        let failure = |end, count| Seen2 {
            end,
            phase: "connect".to_owned(),
            errno: "EMFILE".to_owned(),
            count,
            first_at_connections: 0,
        };
        let snapshot = Snapshot {
            phase: "window".to_owned(),
            requested: 10,
            attempted: 9,
            opened: 7,
            live: 6,
            lost: 1,
            failed: 1,
            failures: vec![failure(End::Client, 5), failure(End::Target, 6)],
            details: Some(Box::new(Details { look, latency, ..Details::default() })),
            ..Snapshot::default()
        };
        Seen { cases: 2, cases_done: 1, case: "a\"\\\n".to_owned(), repeat: 2, snapshot: Some(snapshot) }
    }

    #[test]
    fn is_of_the_format_with_all_that_is_known() {
        let text = seen().text();
        exposition::check(&text).unwrap();
        let labels = "case=\"a\\\"\\\\\\n\",repeat=\"2\"";
        for line in [
            "brink_client_cases_done_total 1".to_owned(),
            format!("brink_client_connections{{{labels},state=\"opening\"}} 1"),
            format!(
                "brink_client_failures_total{{{labels},end=\"target\",phase=\"connect\",errno=\"EMFILE\"}} 6"
            ),
            format!("brink_client_request_duration_seconds_bucket{{{labels},le=\"0.000012288\"}} 1"),
            format!("brink_client_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 100"),
            format!("brink_client_process_threads{{{labels}}} 3"),
            format!("brink_client_target_process_threads{{{labels}}} 4"),
            format!("brink_client_target_machine_slab_bytes{{{labels}}} 41"),
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} in\n{text}");
        }
    }

    #[test]
    fn before_the_first_look_there_is_little_to_tell() {
        let text = Seen { cases: 3, ..Seen::default() }.text();
        exposition::check(&text).unwrap();
        assert!(text.contains("brink_client_cases 3\n") && !text.contains("brink_client_connections"));
    }

    #[test]
    fn other_machines_need_a_token() {
        let refused = Metrics::serve(([0, 0, 0, 0], 0).into(), None, 1).err().unwrap();
        assert!(refused.line.starts_with("--token: the metrics at 0.0.0.0:0 "), "{refused}");
        let open = Metrics::serve(([127, 0, 0, 1], 0).into(), None, 1).unwrap();
        assert_ne!(open.address().port(), 0);
    }
}

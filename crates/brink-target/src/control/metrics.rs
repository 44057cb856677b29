//! A target's usage in Prometheus' text exposition format: all that `/v1/usage` knows. Pure.

use brink_wire::control::TargetUsage;
use brink_wire::exposition::Kind::{Counter, Gauge};
use brink_wire::exposition::{self, Exposition};

/// The counters, the processes and the machine. A figure that could not be read is left out; where several processes
/// serve, each figure of a process carries the pid it is of.
pub(super) fn render(usage: &TargetUsage) -> String {
    let mut out = Exposition::default();
    counters(&mut out, usage);
    let pids: Vec<_> = usage.processes.iter().map(|process| process.pid.to_string()).collect();
    let labelled: Vec<_> = usage
        .processes
        .iter()
        .zip(&pids)
        .map(|(process, pid)| {
            let labels = if pids.len() == 1 { Vec::new() } else { vec![("pid", pid.as_str())] };
            (labels, process)
        })
        .collect();
    exposition::process(&mut out, "process_", &labelled);
    exposition::machine(&mut out, "brink_target_machine_", &[], &usage.machine);
    out.into_text()
}

fn counters(out: &mut Exposition, usage: &TargetUsage) {
    let counters = &usage.counters;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    out.family("brink_target_info", Gauge, "1, with the version of brink.").sample(&version, 1.0);
    for (name, kind, help, value) in [
        ("brink_target_accepted_total", Counter, "Connections accepted.", counters.accepted),
        ("brink_target_connections", Gauge, "Connections open now.", counters.live),
        ("brink_target_requests_total", Counter, "Requests answered.", counters.requests),
        (
            "brink_target_frame_errors_total",
            Counter,
            "Connections closed because their bytes were no frame.",
            counters.frame_errors,
        ),
        (
            "brink_target_dead_workers",
            Gauge,
            "Serving processes that ended although nobody asked them to.",
            usage.dead_workers.len() as u64,
        ),
    ] {
        out.family(name, kind, help).sample(&[], value as f64);
    }
    let help = "The longest accept queue, in connections that wait to be accepted.";
    let waiting = usage.accept_queue.map(|waiting| waiting as f64);
    out.family("brink_target_accept_queue", Gauge, help).known(&[], waiting);
    let help = "What was refused or failed, by what was being done and errno.";
    let mut refusals = out.family("brink_target_refusals_total", Counter, help);
    for refusal in &counters.refusals {
        let labels = [("phase", refusal.phase.as_str()), ("error", refusal.error.as_str())];
        refusals.sample(&labels, refusal.count as f64);
    }
    let help = "1 for each serving process that ended although nobody asked it to, with how it did.";
    let mut dead = out.family("brink_target_dead_worker", Gauge, help);
    for worker in &usage.dead_workers {
        dead.sample(&[("pid", &worker.pid.to_string()), ("how", &worker.how)], 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brink_wire::control::{Counters, DeadWorker, MachineUsage, ProcessUsage, Refusal};

    fn checked(usage: &TargetUsage) -> String {
        let text = render(usage);
        exposition::check(&text).unwrap();
        text
    }

    #[test]
    fn leaves_out_what_is_unknown() {
        let refusals = vec![Refusal { phase: "accept".into(), error: "EMFILE".into(), count: 3 }];
        let counters = Counters { accepted: 7, live: 5, refusals, ..Counters::default() };
        let text = checked(&TargetUsage { counters, ..TargetUsage::default() });
        assert!(text.contains("\nbrink_target_connections 5\n"), "{text}");
        assert!(text.contains("{phase=\"accept\",error=\"EMFILE\"} 3\n"), "{text}");
        assert!(!text.contains("process_") && !text.contains("machine_"), "{text}");
    }

    #[test]
    fn tells_processes_apart_where_there_are_several() {
        let of = |pid, threads| ProcessUsage { pid, threads, ..ProcessUsage::default() };
        let one = TargetUsage { processes: vec![of(7, Some(3))], ..TargetUsage::default() };
        assert!(checked(&one).contains("\nprocess_threads 3\n"));
        let two = TargetUsage { processes: vec![of(7, Some(3)), of(8, None)], ..TargetUsage::default() };
        let text = checked(&two);
        assert!(text.contains("\nprocess_threads{pid=\"7\"} 3\n"), "{text}");
        assert!(!text.contains("pid=\"8\""), "{text}");
    }

    #[test]
    fn tells_all_that_the_control_plane_knows() {
        let usage = TargetUsage {
            machine: MachineUsage { listen_drops: Some(41), ..MachineUsage::default() },
            accept_queue: Some(42),
            dead_workers: vec![DeadWorker { pid: 9, how: "signal: 9 (SIGKILL)".into() }],
            ..TargetUsage::default()
        };
        let text = checked(&usage);
        for line in [
            "brink_target_machine_listen_drops_total 41",
            "brink_target_accept_queue 42",
            "brink_target_dead_worker{pid=\"9\",how=\"signal: 9 (SIGKILL)\"} 1",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} in {text}");
        }
    }
}

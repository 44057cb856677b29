//! A target's usage in Prometheus' text exposition format. Pure.

use std::fmt::Write;

use brink_wire::control::{ProcessUsage, TargetUsage};

/// A figure of each process, by name and kind.
type OfProcess = (&'static str, &'static str, fn(&ProcessUsage) -> Option<f64>);

static OF_PROCESSES: &[OfProcess] = &[
    ("brink_target_user_bytes", "gauge", |p| float(p.user_bytes)),
    ("process_resident_memory_bytes", "gauge", |p| float(p.resident_bytes)),
    ("process_virtual_memory_bytes", "gauge", |p| float(p.virtual_bytes)),
    ("process_open_fds", "gauge", |p| float(p.fds)),
    ("process_threads", "gauge", |p| float(p.threads)),
    ("process_cpu_seconds_total", "counter", |p| p.cpu_s),
];

/// The counters and the processes. A figure that could not be read is left out; where several
/// processes serve, each figure carries the pid it is of.
pub(super) fn render(usage: &TargetUsage) -> String {
    let mut out = String::new();
    let counters = &usage.counters;
    for (name, kind, value) in [
        ("brink_target_accepted_total", "counter", counters.accepted),
        ("brink_target_connections", "gauge", counters.live),
        ("brink_target_requests_total", "counter", counters.requests),
        ("brink_target_frame_errors_total", "counter", counters.frame_errors),
        ("brink_target_dead_workers", "gauge", usage.dead_workers.len() as u64),
    ] {
        push(&mut out, format_args!("# TYPE {name} {kind}\n{name} {value}\n"));
    }
    if let Some(waiting) = usage.accept_queue {
        let name = "brink_target_accept_queue";
        push(&mut out, format_args!("# TYPE {name} gauge\n{name} {waiting}\n"));
    }
    for (name, kind, read) in OF_PROCESSES {
        let values: Vec<_> = usage.processes.iter().filter_map(|p| Some((p.pid, read(p)?))).collect();
        if values.is_empty() {
            continue;
        }
        push(&mut out, format_args!("# TYPE {name} {kind}\n"));
        for (pid, value) in values {
            if usage.processes.len() == 1 {
                push(&mut out, format_args!("{name} {value}\n"));
            } else {
                push(&mut out, format_args!("{name}{{pid=\"{pid}\"}} {value}\n"));
            }
        }
    }
    push(&mut out, format_args!("# TYPE brink_target_refusals_total counter\n"));
    for refusal in &counters.refusals {
        // Both labels come from fixed sets of plain words, so nothing is to be escaped.
        push(
            &mut out,
            format_args!(
                "brink_target_refusals_total{{phase=\"{}\",error=\"{}\"}} {}\n",
                refusal.phase, refusal.error, refusal.count
            ),
        );
    }
    out
}

fn float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String has no way to fail.
    let written = out.write_fmt(line);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use brink_wire::control::{Counters, Refusal};

    #[test]
    fn leaves_out_what_is_unknown() {
        let refusals = vec![Refusal { phase: "accept".into(), error: "EMFILE".into(), count: 3 }];
        let counters = Counters { accepted: 7, live: 5, refusals, ..Counters::default() };
        let text = render(&TargetUsage { counters, ..TargetUsage::default() });
        assert!(text.contains("\nbrink_target_connections 5\n"), "{text}");
        assert!(text.contains("{phase=\"accept\",error=\"EMFILE\"} 3\n"), "{text}");
        assert!(!text.contains("process_"), "{text}");
    }

    #[test]
    fn tells_processes_apart_where_there_are_several() {
        let of = |pid, threads| ProcessUsage { pid, threads, ..ProcessUsage::default() };
        let one = TargetUsage { processes: vec![of(7, Some(3))], ..TargetUsage::default() };
        assert!(render(&one).contains("\nprocess_threads 3\n"));
        let two = TargetUsage { processes: vec![of(7, Some(3)), of(8, None)], ..TargetUsage::default() };
        let text = render(&two);
        assert!(text.contains("\nprocess_threads{pid=\"7\"} 3\n"), "{text}");
        assert!(!text.contains("pid=\"8\""), "{text}");
    }
}

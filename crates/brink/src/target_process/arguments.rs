//! The flags that make `brink target` what its case says. Pure.

use brink_results::case::TargetCase;
use brink_wire::value;

/// The flags, `target` first.
pub fn arguments(case: &TargetCase) -> Vec<String> {
    let mut flags = vec!["target".to_owned()];
    let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
    flag("--model", case.model.clone());
    flag("--listen", "127.0.0.1:0".to_owned());
    flag("--delay", case.delay.to_string());
    flag("--work", format!("{}us", case.work_us));
    if case.processes > 1 {
        flag("--processes", case.processes.to_string());
    }
    if brink_target::find(&case.model).is_some_and(|row| row.threads.takes_number()) {
        flag("--threads", case.threads.to_string());
    }
    flag("--backlog", case.backlog.to_string());
    if let Some(bytes) = case.stack_bytes {
        flag("--stack-size", bytes.to_string());
    }
    if let Some(count) = case.connections_max {
        flag("--max-connections", count.to_string());
    }
    if let Some(cpus) = &case.cpus {
        flag("--cpus", value::format_cpus(cpus));
    }
    flags
}

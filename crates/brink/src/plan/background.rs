//! A second load of the same target while the first is measured, with nothing left open. Pure.

use std::time::Duration;

use brink_results::case::{BackgroundCase, LoadCase, Protocol};

use super::protocol::ProtocolAsked;
use super::workload::WorkloadAsked;
use super::{ENGINE_DEFAULT, engine_threads, ns};
use crate::cli::WorkloadName;
use crate::exit::Failure;
use crate::sweep_file::BackgroundTable;

/// What it takes from the load that is measured.
pub(super) struct Beside<'a> {
    /// What requests speak, by what they ask for.
    pub(super) protocol: ProtocolAsked<'a>,
    /// Wait that each request has to ask for, since its target cannot be given one.
    pub(super) delay: Option<Duration>,
    /// The load that is measured.
    pub(super) load: &'a LoadCase,
}

/// Fills in what was not named: one connection, closed or, with a rate, open. `prefix` goes before keys.
///
/// # Errors
/// A usage failure that names the key.
pub(super) fn resolve(
    table: &BackgroundTable,
    beside: Beside<'_>,
    prefix: &str,
) -> Result<BackgroundCase, Failure> {
    let in_it = |failure: Failure| Failure { line: format!("{prefix}{}", failure.line), ..failure };
    let Beside { protocol, delay, load } = beside;
    if matches!(table.workload, Some(WorkloadName::Hold | WorkloadName::Burst)) {
        return Err(Failure::usage(format!("{prefix}workload: closed, open and churn are allowed")));
    }
    let connections = table.connections.as_ref().map_or(1, |count| count.0);
    let workload = WorkloadAsked {
        kind: table.workload,
        connections,
        think: table.think.as_ref().map(|time| time.0),
        rate_per_s: table.rate.map(|rate| rate.0),
        arrivals: table.arrivals,
        ..WorkloadAsked::default()
    }
    .resolve("")
    .map_err(in_it)?;
    let delay = table.delay.as_ref().map(|delay| delay.0).or(delay);
    let work_us = table.work.as_ref().map(|work| work.0);
    let payload = table.payload.as_ref().map(|size| size.0);
    let asked = ProtocolAsked { payload, asks: delay.is_some() || work_us.is_some(), ..protocol };
    let (protocol, payload_bytes) = asked.resolve("").map_err(in_it)?;
    let engine = table.engine.as_ref().map_or(ENGINE_DEFAULT, |engine| engine.0.as_str());
    let is_counted = !matches!(protocol, Protocol::Bytes { .. }) && payload.is_none();
    Ok(BackgroundCase {
        engine: engine.to_owned(),
        connections,
        workload: workload.workload,
        payload_bytes: if is_counted && protocol == load.protocol {
            load.payload_bytes
        } else {
            payload_bytes
        },
        protocol,
        // Not the times that the others come due at.
        seed: load.seed.wrapping_add(1),
        delay_ns: delay.map(ns),
        work_us,
        // It is to load the target, not to take the CPUs from those who measure.
        threads: u64::from(engine_threads(engine, "threads", None, 1)?).min(connections) as u32,
        timeout_ns: table.timeout.as_ref().map_or(load.timeout_ns, |time| ns(time.0)),
    })
}

#[cfg(test)]
mod tests {
    use brink_results::case::{Arrivals, Case, Workload};

    use crate::plan::{Machine, sweep};
    use crate::sweep_file;

    fn plan(target: &str, load: &str, background: &str) -> Result<Case, String> {
        let text = format!(
            "name=\"x\"\nrepeats=1\n[[target]]\n{target}\n[load]\nconnections=5\n{load}\n[load.background]\n{background}\n"
        );
        let file = sweep_file::parse(&text).map_err(|error| error.message)?;
        let machine = Machine { cpus_allowed: vec![0, 1], ports: None, limits: Vec::new() };
        sweep(&file, &machine).map(|mut cases| cases.remove(0)).map_err(|failure| failure.line)
    }

    #[test]
    fn what_is_not_named_is_one_closed_connection_of_the_same_kind() {
        let case = plan("model=\"mio\"", "payload=100\ntimeout=\"3s\"", "work=\"200ms\"").unwrap();
        let own = case.load.background.unwrap();
        assert_eq!((own.connections, own.workload), (1, Workload::Closed { think_ns: 0 }));
        assert_eq!((own.engine.as_str(), own.threads, own.payload_bytes), ("mio", 1, 100));
        assert_eq!((own.work_us, own.delay_ns, own.timeout_ns), (Some(200_000), None, 3_000_000_000));
        assert_eq!(case.load.work_us, None, "its work is not that of the others");
        let open = plan("model=\"hyper\"", "", "connections=4\nrate=2.5\nengine=\"threads\"").unwrap();
        let load = open.load.of_background().unwrap();
        assert_eq!(load.workload, Workload::Open { rate_per_s: 2.5, arrivals: Arrivals::Fixed });
        assert_eq!((load.connections, load.plateaus, load.background), (4, vec![4], None));
        assert_eq!(load.protocol, open.load.protocol);
    }

    #[test]
    fn what_does_not_go_together_names_the_key() {
        let target = "model=\"mio\"";
        for (load, background, part) in [
            ("", "workload=\"hold\"", "background]: workload: closed, open and churn"),
            ("", "workload=\"closed\"\nrate=3", "background]: rate: only with workload open"),
            ("", "think=\"1s\"\nrate=3", "background]: think: only with"),
            ("", "conections=3", "conections"),
            ("", "connections=0", "connections"),
        ] {
            let line = plan(target, load, background).unwrap_err();
            assert!(line.contains(part), "{background}: {line}");
        }
        let web = plan("address=\"http://127.0.0.1:1/\"", "", "payload=5").unwrap_err();
        assert!(web.starts_with("[load.background]: payload: a GET has no body"), "{web}");
    }
}

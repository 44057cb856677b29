//! Tests of classify: one line per story, and the stories in which a name would be wrong.

use super::*;
use crate::limits::LIMITS;

fn observed<'a>(end: End, phase: &'a str, errno: &'a str, at_connections: u64) -> Observation<'a> {
    Observation::new(end, phase, errno, at_connections)
}

fn readings(of: &[(&str, Option<u64>, Option<u64>)]) -> Vec<LimitReading> {
    of.iter()
        .map(|&(name, value, used)| LimitReading {
            name: name.to_owned(),
            value,
            hard: value,
            used,
            source: "test".to_owned(),
            note: None,
        })
        .collect()
}

#[track_caller]
fn check(
    observation: &Observation<'_>,
    of: &[(&str, Option<u64>, Option<u64>)],
    limit: &str,
    confidence: Confidence,
) -> Inference {
    let got = classify(observation, &readings(of), None);
    assert_eq!((got.limit_name(), got.confidence), (limit, confidence), "{:#?}", got.evidence);
    assert_eq!(got.limit.is_none(), confidence == Confidence::Unknown);
    got
}

use Confidence::{Confirmed, Likely, Unknown};

#[test]
fn descriptors() {
    let emfile = observed(End::Target, "accept", "EMFILE", 1012);
    let got = check(&emfile, &[("rlimit.nofile", Some(1024), Some(1024))], "rlimit.nofile", Confirmed);
    assert!(got.limit_value == Some(1024) && got.fix.unwrap().contains("2048"));
    check(&emfile, &[("rlimit.nofile", Some(1024), Some(1006))], "rlimit.nofile", Confirmed);
    check(&emfile, &[("rlimit.nofile", Some(1024), Some(500))], "rlimit.nofile", Likely);
    check(&emfile, &[("rlimit.nofile", Some(1024), None)], "rlimit.nofile", Likely);
    check(&emfile, &[], "rlimit.nofile", Likely);
    // A hard limit above fs.nr_open, which was lowered later.
    let both = [("rlimit.nofile", Some(9000), Some(1020)), ("fs.nr_open", Some(1024), Some(1020))];
    check(&emfile, &both, "fs.nr_open", Confirmed);
    // Both the same: the errno means the process's own.
    let both = [("rlimit.nofile", Some(1024), Some(1024)), ("fs.nr_open", Some(1024), Some(1024))];
    check(&emfile, &both, "rlimit.nofile", Confirmed);
}

#[test]
fn the_fix_carries_what_was_wanted() {
    let emfile =
        Observation { connections_wanted: Some(10_000), ..observed(End::Client, "socket", "EMFILE", 1000) };
    let got = check(&emfile, &[("rlimit.nofile", Some(1024), Some(1024))], "rlimit.nofile", Confirmed);
    assert!(got.fix.unwrap().contains("10024"));
}

#[test]
fn a_floor_of_memory_is_the_bound_with_the_least_left() {
    let floor = observed(End::Client, "memory", "floor", 70_000);
    let (group, machine) = ("cgroup.memory.max", "memory.available");
    let of = |in_group, on_machine| [(group, Some(1 << 30), in_group), (machine, Some(1 << 34), on_machine)];
    check(&floor, &of(Some(1 << 29), Some(1 << 33)), group, Confirmed);
    let got = check(&floor, &of(Some(1 << 29), Some((1 << 34) - (1 << 28))), machine, Confirmed);
    assert!(got.limit_value == Some(1 << 34) && got.fix.is_some());
    check(&floor, &of(None, Some(1 << 33)), machine, Confirmed);
    check(&floor, &[(group, None, Some(5)), (machine, Some(1 << 34), Some(1 << 33))], machine, Confirmed);
    check(&floor, &of(None, None), "unknown", Unknown);
}

#[test]
fn ports_that_bind_cannot_find() {
    let bind = |errno, at| Observation { address_pairs: Some(1), ..observed(End::Client, "bind", errno, at) };
    let range = [("net.ipv4.ip_local_port_range", Some(1_000), None)];
    check(&bind("EADDRINUSE", 1_000), &range, PORT_RANGE, Confirmed);
    check(&bind("EADDRINUSE", 700), &range, "unknown", Unknown); // a port that somebody has
    let got = check(&bind("EADDRNOTAVAIL", 3), &range, "unknown", Unknown);
    assert!(got.evidence.iter().any(|sentence| sentence.contains("not of this machine")));
}

#[test]
fn files_of_the_machine() {
    let enfile = observed(End::Target, "accept", "ENFILE", 5000);
    check(&enfile, &[("fs.file-max", Some(10_000), Some(9_950))], "fs.file-max", Confirmed);
    check(&enfile, &[("fs.file-max", Some(10_000), None)], "fs.file-max", Likely);
    // accept(2) says ENFILE too when it gets no memory for a socket.
    check(&enfile, &[("fs.file-max", Some(1_000_000), Some(500))], "unknown", Unknown);
}

#[test]
fn ports() {
    let range = [("net.ipv4.ip_local_port_range", Some(28_232), None)];
    let at = |count, pairs| Observation {
        address_pairs: pairs,
        ..observed(End::Client, "connect", "EADDRNOTAVAIL", count)
    };
    check(&at(28_232, Some(1)), &range, PORT_RANGE, Confirmed);
    check(&at(84_600, Some(3)), &range, PORT_RANGE, Confirmed);
    check(&at(20_000, Some(1)), &range, PORT_RANGE, Likely);
    check(&at(28_232, None), &range, PORT_RANGE, Likely);
    // With nothing open, an address that is not there is as good a cause.
    check(&at(0, Some(1)), &range, "unknown", Unknown);
    check(&at(0, None), &range, "unknown", Unknown);
    check(&at(28_232, Some(4)), &range, "unknown", Unknown);
    check(&observed(End::Target, "connect", "EADDRNOTAVAIL", 28_232), &range, "unknown", Unknown);
}

#[test]
fn a_thread_that_cannot_be_made_is_the_limit_that_is_full() {
    let spawn = observed(End::Target, "spawn", "EAGAIN", 32_446);
    let mut figures = [
        ("rlimit.nproc", None, None),
        ("kernel.threads-max", Some(192_731), Some(32_530)),
        ("kernel.pid_max", Some(32_768), Some(32_760)),
        ("vm.max_map_count", Some(1_000_000), Some(129_000)),
        ("cgroup.pids.max", None, None),
        ("cgroup.memory.max", Some(1 << 40), Some(1 << 30)),
        ("memory.available", Some(1 << 40), Some(1 << 33)),
        ("rlimit.as", None, Some(1 << 38)),
    ];
    check(&spawn, &figures, "kernel.pid_max", Confirmed);
    figures[4] = ("cgroup.pids.max", Some(32_500), Some(32_500));
    check(&spawn, &figures, "unknown", Unknown);
    figures[2] = ("kernel.pid_max", Some(32_768), Some(32_700));
    check(&spawn, &figures, "cgroup.pids.max", Likely);
    figures[2] = ("kernel.pid_max", Some(4_194_304), Some(32_530));
    check(&spawn, &figures, "cgroup.pids.max", Confirmed);
    figures[4] = ("cgroup.pids.max", None, None);
    let got = check(&spawn, &figures, "unknown", Unknown);
    assert!(got.evidence.len() > 5 && got.fix.is_none(), "says what it looked at");
    figures[5] = ("cgroup.memory.max", Some(1 << 30), Some(1 << 30));
    check(&spawn, &figures, "cgroup.memory.max", Likely);
    check(&spawn, &[], "unknown", Unknown);
}

#[test]
fn the_targets_own_bound() {
    let got = check(
        &observed(End::Target, "accept", "max_connections", 50),
        &[],
        TARGET_MAX_CONNECTIONS,
        Confirmed,
    );
    assert!(got.fix.is_some());
}

#[test]
fn silence_is_the_backlog_only_where_the_counter_says_so() {
    let counted = |overflows, drops| MachineUsage {
        listen_overflows: overflows,
        listen_drops: drops,
        ..MachineUsage::default()
    };
    let before = counted(Some(5), Some(5));
    let somaxconn = readings(&[("net.core.somaxconn", Some(4096), None)]);
    let silent = observed(End::Client, "connect", "timeout", 900);
    let name = |observation: &Observation<'_>, after: &MachineUsage, readings: &[LimitReading]| {
        let got = classify(observation, readings, Some((&before, after)));
        (got.limit_name(), got.confidence, got.limit_value)
    };
    let grown = counted(Some(8), Some(8));
    let asked = |backlog| Observation { backlog: Some(backlog), ..silent.clone() };
    assert_eq!(name(&asked(65_535), &grown, &somaxconn), ("net.core.somaxconn", Likely, Some(4096)));
    assert_eq!(name(&asked(4_096), &grown, &somaxconn), ("net.core.somaxconn", Likely, Some(4096)));
    assert_eq!(name(&asked(128), &grown, &somaxconn), (TARGET_BACKLOG, Likely, Some(128)));
    // Whose of the two it is has to be known.
    for (observation, readings) in [(&silent, &somaxconn[..]), (&silent, &[]), (&asked(128), &[])] {
        assert_eq!(name(observation, &grown, readings), ("unknown", Unknown, None));
        assert!(
            classify(observation, readings, Some((&before, &grown))).fix.is_some(),
            "says what to look at"
        );
    }
    for after in [counted(Some(5), Some(9)), counted(None, Some(9)), counted(Some(1), Some(1))] {
        assert_eq!(name(&silent, &after, &somaxconn), ("unknown", Unknown, None));
    }
    assert_eq!(classify(&silent, &somaxconn, None).limit, None);
    // The last part of a handshake is dropped, too: then the client believes that it is connected.
    let verify = Observation { phase: "verify", ..asked(128) };
    assert_eq!(name(&verify, &grown, &somaxconn), (TARGET_BACKLOG, Likely, Some(128)));
    assert_eq!(name(&verify, &before, &somaxconn), ("unknown", Unknown, None));
}

#[test]
fn refusals_and_resets_name_nothing() {
    let full: Vec<_> = LIMITS.iter().map(|limit| (limit.name, Some(10), Some(10))).collect();
    for errno in ["ECONNREFUSED", "ECONNRESET", "EPIPE", "closed", "mismatch", "EHOSTUNREACH"] {
        for phase in ["connect", "verify", "accept", "request", "spawn"] {
            check(&observed(End::Client, phase, errno, 10), &full, "unknown", Unknown);
        }
    }
}

#[test]
fn every_limit_can_be_confirmed_or_at_least_named() {
    for limit in LIMITS {
        let Some(symptom) = limit.symptoms.iter().find(|symptom| !silence::is_timeout(symptom.errno)) else {
            continue; // counters tell: see the other tests
        };
        let phase = if symptom.phase == "*" { "socket" } else { symptom.phase };
        let end = if limit.binds.includes(End::Client) { End::Client } else { End::Target };
        let observation =
            Observation { address_pairs: Some(1), ..observed(end, phase, symptom.errno, 5_000) };
        let got = classify(&observation, &readings(&[(limit.name, Some(5_000), Some(5_000))]), None);
        assert_eq!(got.limit, Some(limit.name));
        assert!(got.fix.is_some());
    }
}

#[test]
fn a_target_that_keeps_a_reserve_is_at_its_limit_before_the_kernel_says_so() {
    let spawn = Observation {
        stack_bytes: Some(8 << 20),
        connections_wanted: Some(300),
        ..observed(End::Target, "spawn", "ENOMEM", 98)
    };
    let full = [("rlimit.as", Some(1_048_576_000), Some(1_036_283_904))];
    let got = check(&spawn, &full, "rlimit.as", Confirmed);
    let needed = 1_048_576_000_u64 + (300 - 98) * (8 << 20) + (8 << 20) + (4 << 20);
    assert!(got.fix.as_ref().unwrap().contains(&format!("{needed}")), "{:?}", got.fix);
    check(&spawn, &[("rlimit.as", Some(1_048_576_000), Some(800_000_000))], "unknown", Unknown);
    check(&spawn, &[("vm.max_map_count", Some(65_530), Some(65_272))], "vm.max_map_count", Confirmed);
    check(&spawn, &[("vm.max_map_count", Some(65_530), Some(60_000))], "unknown", Unknown);
}

#[test]
fn what_lifts_it_is_what_the_missing_connections_take() {
    let first = Observation { connections_wanted: Some(100), ..observed(End::Client, "socket", "EMFILE", 3) };
    let got = check(&first, &[("rlimit.nofile", Some(20), Some(20))], "rlimit.nofile", Confirmed);
    assert!(got.fix.unwrap().contains("117"), "20 and the 97 that are missing");
}

#[test]
fn a_reserve_counts_only_where_an_end_keeps_it() {
    let spawn = |end, errno| Observation { stack_bytes: Some(8 << 20), ..observed(end, "spawn", errno, 98) };
    let space = [("rlimit.as", Some(1_048_576_000), Some(1_028_000_000))];
    let got = check(&spawn(End::Target, "ENOMEM"), &space, "rlimit.as", Confirmed);
    assert!(got.evidence[1].contains("12.0 MiB"), "says what is missing: {:?}", got.evidence);
    check(&spawn(End::Client, "ENOMEM"), &space, "rlimit.as", Confirmed);
    // EAGAIN is the kernel's own answer, which knows of no reserve.
    check(&spawn(End::Target, "EAGAIN"), &space, "unknown", Unknown);
    check(&spawn(End::Client, "EAGAIN"), &space, "unknown", Unknown);
    // An unknown stack is no reason to name it from afar.
    let unknown_stack = Observation { stack_bytes: None, ..spawn(End::Target, "ENOMEM") };
    check(&unknown_stack, &space, "unknown", Unknown);
    // The kernel, too, needs the stack itself.
    let space = [("rlimit.as", Some(1_048_576_000), Some(1_036_283_904))];
    check(&spawn(End::Target, "EAGAIN"), &space, "rlimit.as", Confirmed);
    let maps = [("vm.max_map_count", Some(10_000), Some(9_700))];
    for end in [End::Target, End::Client] {
        check(&spawn(end, "ENOMEM"), &maps, "vm.max_map_count", Confirmed);
        check(&spawn(end, "EAGAIN"), &maps, "unknown", Unknown);
    }
}

#[test]
fn no_number_is_made_up_from_a_handful_of_connections() {
    let fix = |phase, errno, at, wanted, limit, value, stack_bytes| {
        let seen = observed(End::Target, phase, errno, at);
        let seen = Observation { connections_wanted: wanted, stack_bytes, ..seen };
        let got = classify(&seen, &readings(&[(limit, Some(value), Some(value))]), None);
        assert_eq!(got.limit, Some(limit));
        got.fix
    };
    let stack = Some(8 << 20);
    assert!(fix("accept", "EMFILE", 0, Some(100), "rlimit.nofile", 20, None).unwrap().contains("=120:120"));
    assert!(fix("spawn", "EAGAIN", 0, Some(100), "cgroup.pids.max", 20, None).unwrap().contains(" 120 "));
    assert!(fix("spawn", "EAGAIN", 0, Some(100), "vm.max_map_count", 800, None).unwrap().contains("=1200`"));
    // Both ends of a connection may be files of this machine.
    assert!(fix("accept", "ENFILE", 0, Some(100), "fs.file-max", 500, None).unwrap().contains("=700`"));
    let needed = format!("={}", (1 << 30) + 100_u64 * (8 << 20));
    assert!(fix("spawn", "ENOMEM", 0, Some(100), "rlimit.as", 1 << 30, stack).is_some());
    assert!(fix("spawn", "EAGAIN", 0, Some(99), "rlimit.as", 1 << 30, stack).unwrap().contains(&needed));
    for at in [0, 9] {
        assert_eq!(fix("spawn", "EAGAIN", at, Some(100), "rlimit.as", 1 << 30, None), None);
        assert_eq!(fix("accept", "ENOMEM", at, Some(100), "cgroup.memory.max", 1 << 30, stack), None);
        assert_eq!(fix("accept", "EMFILE", at, None, "rlimit.nofile", 20, None), None);
    }
    // What many connections took can be scaled.
    let needed = format!("write {} to", (10 << 30) + 1_u64); // no file is known
    let fixed = fix("accept", "ENOMEM", 100, Some(1_000), "cgroup.memory.max", 1 << 30, None);
    assert!(fixed.as_ref().unwrap().contains(&needed), "{fixed:?}");
}

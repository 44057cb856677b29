//! Tests of classify where counters, the target's process and its control groups tell: one line per
//! story, and beside each the same story without its cause.

use super::*;

use Confidence::{Confirmed, Likely, Unknown};

pub(super) fn readings(of: &[(&str, u64, Option<u64>)]) -> Vec<LimitReading> {
    of.iter()
        .map(|&(name, value, used)| LimitReading {
            name: name.to_owned(),
            value: Some(value),
            hard: Some(value),
            used,
            source: "test".to_owned(),
            note: None,
        })
        .collect()
}

/// All counters at 100 before, and grown as told.
pub(super) fn counted(grow: impl Fn(&mut MachineUsage)) -> (MachineUsage, MachineUsage) {
    let before = MachineUsage {
        listen_overflows: Some(100),
        listen_drops: Some(100),
        tcp_abort_on_memory: Some(100),
        tcp_request_queue_drops: Some(100),
        tcp_memory_pressures: Some(100),
        tcp_resets_sent: Some(100),
        icmp_unreachable_sent: Some(100),
        conntrack_drops: Some(100),
        oom_kills: Some(100),
        ..MachineUsage::default()
    };
    let mut after = before.clone();
    grow(&mut after);
    (before, after)
}

#[track_caller]
pub(super) fn check(
    observation: &Observation<'_>,
    of: &[(&str, u64, Option<u64>)],
    grow: impl Fn(&mut MachineUsage),
    limit: &str,
    confidence: Confidence,
) -> Inference {
    let (before, after) = counted(grow);
    let got = classify(observation, &readings(of), Some((&before, &after)));
    assert_eq!((got.limit_name(), got.confidence), (limit, confidence), "{:#?}", got.evidence);
    assert_eq!(got.limit.is_none(), confidence == Unknown);
    got
}

fn silent(phase: &'static str) -> Observation<'static> {
    Observation { connections_wanted: Some(2_000), ..Observation::new(End::Client, phase, "timeout", 900) }
}

pub(super) fn with<'a>(target: TargetState, observation: &Observation<'a>) -> Observation<'a> {
    Observation { target, ..observation.clone() }
}

pub(super) fn nothing(_: &mut MachineUsage) {}

#[test]
fn nothing_grown_is_unknown_however_full_the_rest() {
    let full: Vec<_> = limits::LIMITS
        .iter()
        .filter(|row| row.group != limits::Group::Target)
        .map(|row| (row.name, 10, None))
        .collect();
    for errno in ["timeout", "ETIMEDOUT", "ECONNRESET", "EPIPE", "ECONNREFUSED", "died"] {
        for phase in ["connect", "verify", "request", "worker"] {
            check(&Observation::new(End::Client, phase, errno, 10), &full, nothing, "unknown", Unknown);
        }
    }
}

#[test]
fn a_queue_is_the_targets_own_or_the_kernels() {
    let overflow = |after: &mut MachineUsage| after.listen_overflows = Some(103);
    let somaxconn = [("net.core.somaxconn", 4_096, None)];
    let queue = |backlog, accept_queue| {
        let target = TargetState { accept_queue, ..TargetState::default() };
        Observation { backlog, ..with(target, &silent("connect")) }
    };
    for (backlog, waiting, limit, confidence) in [
        (Some(128), None, TARGET_BACKLOG, Likely),
        (Some(128), Some(129), TARGET_BACKLOG, Confirmed),
        (Some(128), Some(40), TARGET_BACKLOG, Likely),
        (Some(65_535), Some(4_097), "net.core.somaxconn", Confirmed),
        // A foreign target does not say what it asked for.
        (None, Some(6), TARGET_BACKLOG, Likely),
        (None, Some(4_097), "net.core.somaxconn", Confirmed),
        (None, Some(3_000), "unknown", Unknown),
        (None, Some(0), "unknown", Unknown),
        (None, None, "unknown", Unknown),
    ] {
        let got = check(&queue(backlog, waiting), &somaxconn, overflow, limit, confidence);
        assert!(got.fix.is_some(), "{backlog:?} {waiting:?}");
        check(&queue(backlog, waiting), &somaxconn, nothing, "unknown", Unknown);
    }
    let by_drop = |after: &mut MachineUsage| after.tcp_request_queue_drops = Some(103);
    let got = check(&queue(Some(5), Some(6)), &somaxconn, by_drop, TARGET_BACKLOG, Confirmed);
    assert!(got.fix.unwrap().contains("--backlog 128"));
}

#[test]
fn a_reset_is_a_full_queue_only_where_the_kernel_resets() {
    let overflow = |after: &mut MachineUsage| after.listen_overflows = Some(103);
    let reset =
        Observation { backlog: Some(128), ..Observation::new(End::Client, "verify", "ECONNRESET", 900) };
    let abort = |mode| [("net.core.somaxconn", 4_096, None), ("net.ipv4.tcp_abort_on_overflow", mode, None)];
    check(&reset, &abort(1), overflow, TARGET_BACKLOG, Likely);
    check(&reset, &abort(0), overflow, "unknown", Unknown);
    check(&reset, &abort(1), nothing, "unknown", Unknown);
}

#[test]
fn handshakes_are_bounded_where_cookies_are_off() {
    let drops = |after: &mut MachineUsage| after.listen_drops = Some(103);
    check(
        &silent("connect"),
        &[("net.ipv4.tcp_max_syn_backlog", 128, None)],
        drops,
        "net.ipv4.tcp_max_syn_backlog",
        Likely,
    );
    check(&silent("connect"), &[], drops, "unknown", Unknown);
    check(&silent("verify"), &[("net.ipv4.tcp_max_syn_backlog", 128, None)], drops, "unknown", Unknown);
}

#[test]
fn connection_tracking_needs_drops_and_a_full_table() {
    const NAME: &str = "net.netfilter.nf_conntrack_max";
    let drops = |after: &mut MachineUsage| after.conntrack_drops = Some(140);
    let full = [(NAME, 1_000, Some(1_000))];
    let got = check(&silent("connect"), &full, drops, NAME, Confirmed);
    assert!(got.fix.unwrap().contains("=2100") && got.lasting.unwrap().contains("sysctl.d"));
    check(&silent("connect"), &full, nothing, "unknown", Unknown);
    check(&silent("connect"), &full, |after| after.conntrack_drops = None, NAME, Likely);
    check(&silent("connect"), &[(NAME, 1_000, Some(300))], drops, "unknown", Unknown);
    check(&silent("connect"), &[], drops, NAME, Likely);
    // Packets of a connection that is in the table pass.
    check(&silent("request"), &full, drops, "unknown", Unknown);
    let both = |after: &mut MachineUsage| {
        drops(after);
        after.listen_overflows = Some(200);
    };
    check(&silent("connect"), &full, both, "unknown", Unknown);
}

#[test]
fn tcp_memory_and_orphans_share_a_counter() {
    let abort = |after: &mut MachineUsage| after.tcp_abort_on_memory = Some(103);
    let (memory, orphans) = ("net.ipv4.tcp_mem", "net.ipv4.tcp_max_orphans");
    for observation in [silent("request"), Observation::new(End::Client, "request", "ECONNRESET", 50)] {
        for (in_memory, in_orphans, limit, confidence) in [
            (999, 3, memory, Confirmed),
            (100, 999, orphans, Confirmed),
            (999, 999, "unknown", Unknown),
            (100, 3, "unknown", Unknown),
        ] {
            let of = [(memory, 1_000, Some(in_memory)), (orphans, 1_000, Some(in_orphans))];
            check(&observation, &of, abort, limit, confidence);
            check(&observation, &of, nothing, "unknown", Unknown);
        }
    }
}

#[test]
fn a_target_that_does_not_run_is_told_as_such() {
    let state = |state| TargetState { pid: Some(77), state: Some(state), ..TargetState::default() };
    let overflow = |after: &mut MachineUsage| after.listen_overflows = Some(103);
    for phase in ["connect", "verify", "request"] {
        let stopped = with(state(ProcessState::Stopped), &silent(phase));
        // The queue runs over because nobody accepts.
        let got =
            check(&stopped, &[("net.core.somaxconn", 128, None)], overflow, TARGET_NOT_SCHEDULED, Confirmed);
        assert!(got.fix.unwrap().contains("kill -CONT 77"));
        check(&with(state(ProcessState::Alive), &silent(phase)), &[], nothing, "unknown", Unknown);
        let waits = |run_wait_ratio| TargetState { run_wait_ratio, ..state(ProcessState::Alive) };
        check(&with(waits(Some(0.9)), &silent(phase)), &[], nothing, TARGET_NOT_SCHEDULED, Likely);
        check(&with(waits(Some(0.1)), &silent(phase)), &[], nothing, "unknown", Unknown);
        // It was stopped, and goes on by now: the queue ran over meanwhile.
        let was = TargetState { was_stopped: true, ..state(ProcessState::Alive) };
        for grow in [overflow as fn(&mut MachineUsage), nothing] {
            let somaxconn = [("net.core.somaxconn", 128, None)];
            let got = check(&with(was, &silent(phase)), &somaxconn, grow, TARGET_NOT_SCHEDULED, Likely);
            assert!(got.evidence.iter().any(|one| one.contains("though it runs now")));
            assert!(got.fix.unwrap().starts_with("find what stopped it"));
        }
        // A queue that runs over is nearer to what was seen.
        let busy = Observation { backlog: Some(5), ..with(waits(Some(0.9)), &silent(phase)) };
        check(&busy, &[("net.core.somaxconn", 128, None)], overflow, TARGET_BACKLOG, Likely);
    }
}

#[test]
fn a_foreign_server_without_descriptors_leaves_connections_where_they_are() {
    const NAME: &str = "rlimit.nofile";
    let waits =
        |accept_queue, phase| with(TargetState { accept_queue, ..TargetState::default() }, &silent(phase));
    let full = [(NAME, 1_024, Some(1_024))];
    for phase in ["connect", "verify", "request"] {
        let got = check(&waits(Some(7), phase), &full, nothing, NAME, Confirmed);
        assert!(got.limit_value == Some(1_024) && got.fix.is_some());
        check(&waits(Some(7), phase), &[(NAME, 1_024, Some(1_020))], nothing, NAME, Likely);
        check(&waits(None, phase), &full, nothing, NAME, Likely);
        check(&waits(None, phase), &[(NAME, 1_024, Some(1_020))], nothing, "unknown", Unknown);
        // What was taken out of the queue has its descriptor.
        check(&waits(Some(0), phase), &full, nothing, "unknown", Unknown);
        check(&waits(Some(7), phase), &[(NAME, 1_024, Some(900))], nothing, "unknown", Unknown);
    }
    // The queue runs over in turn, whichever bound it has.
    let overflow = |after: &mut MachineUsage| after.listen_overflows = Some(103);
    let both = [(NAME, 1_024, Some(1_024)), ("net.core.somaxconn", 4_096, None)];
    let asked = Observation { backlog: Some(100), ..waits(Some(101), "connect") };
    check(&asked, &both, overflow, NAME, Confirmed);
    let free = [(NAME, 1_024, Some(900)), ("net.core.somaxconn", 4_096, None)];
    check(&asked, &free, overflow, TARGET_BACKLOG, Confirmed);
    // One that keeps a descriptor back closes what it cannot hold.
    let closed = |phase| Observation::new(End::Client, phase, "closed", 1_000);
    check(&closed("verify"), &full, nothing, NAME, Likely);
    // Others hold most of them.
    let few = |observation| Observation { at_connections: 31, ..observation };
    check(&few(closed("verify")), &full, nothing, "unknown", Unknown);
    check(&few(waits(None, "verify")), &full, nothing, "unknown", Unknown);
    check(&closed("request"), &full, nothing, "unknown", Unknown);
    check(&closed("verify"), &[(NAME, 1_024, Some(1_020))], nothing, "unknown", Unknown);
    // Stopped it is for another reason.
    let stopped = TargetState { state: Some(ProcessState::Stopped), ..waits(Some(7), "verify").target };
    check(&with(stopped, &silent("verify")), &full, nothing, TARGET_NOT_SCHEDULED, Confirmed);
}

#[test]
fn a_foreign_server_that_makes_no_more_threads_drops_connections() {
    let (pids, numbers) = ("cgroup.pids.max", "kernel.pid_max");
    let group = |pids_refusals| CgroupUsage { pid: 7, pids_refusals, ..CgroupUsage::default() };
    let (before, refused) = (group(Some(4)), group(Some(6)));
    for errno in ["closed", "ECONNRESET", "timeout"] {
        let seen = |threads, after| Observation {
            cgroup: Some((&before, after)),
            target: TargetState { threads, ..TargetState::default() },
            ..Observation::new(End::Client, "verify", errno, 68)
        };
        let full = [(pids, 70, Some(70)), (numbers, 32_768, Some(900))];
        check(&seen(Some(69), &refused), &full, nothing, pids, Confirmed);
        check(&seen(Some(69), &before), &full, nothing, "unknown", Unknown);
        // A pool, or one loop for all.
        check(&seen(Some(9), &refused), &full, nothing, "unknown", Unknown);
        check(&seen(None, &refused), &full, nothing, "unknown", Unknown);
        let numbers_full = [(pids, 70, Some(50)), (numbers, 400, Some(400))];
        check(&seen(Some(69), &before), &numbers_full, nothing, numbers, Likely);
        // Another process of the group may have been refused.
        check(&seen(Some(69), &refused), &numbers_full, nothing, numbers, Likely);
        check(&seen(Some(69), &refused), &numbers_full[..1], nothing, pids, Confirmed);
        let both = [(numbers, 400, Some(400)), ("rlimit.nproc", 80, Some(80))];
        check(&seen(Some(69), &before), &both, nothing, "unknown", Unknown);
        let space = [("rlimit.as", 1 << 30, Some((1 << 30) - (4 << 20))), ("rlimit.stack", 8 << 20, None)];
        check(&seen(Some(69), &before), &space, nothing, "rlimit.as", Likely);
        let later = Observation { phase: "request", ..seen(Some(69), &refused) };
        if errno != "timeout" {
            check(&later, &full, nothing, "unknown", Unknown);
        }
    }
}

#[test]
fn a_slow_connect_is_one_whose_first_packet_was_dropped() {
    let slow = Observation { errno: "slow", backlog: Some(5), ..silent("connect") };
    let overflow = |after: &mut MachineUsage| after.listen_overflows = Some(103);
    let somaxconn = [("net.core.somaxconn", 4_096, None)];
    check(&slow, &somaxconn, overflow, TARGET_BACKLOG, Likely);
    let queue = with(TargetState { accept_queue: Some(6), ..TargetState::default() }, &slow);
    check(&queue, &somaxconn, overflow, TARGET_BACKLOG, Confirmed);
    let got = check(&queue, &somaxconn, nothing, "unknown", Unknown);
    assert!(got.evidence.iter().any(|sentence| sentence.contains("accepts slowly, or not at all")));
    let stopped = TargetState { state: Some(ProcessState::Stopped), ..TargetState::default() };
    check(&with(stopped, &slow), &somaxconn, overflow, TARGET_NOT_SCHEDULED, Confirmed);
    let tracked = [("net.netfilter.nf_conntrack_max", 1_000, Some(1_000))];
    let drops = |after: &mut MachineUsage| after.conntrack_drops = Some(140);
    check(&slow, &tracked, drops, "net.netfilter.nf_conntrack_max", Confirmed);
    check(&slow, &[(TARGET_POOL_WORKERS, 8, Some(8))], nothing, "unknown", Unknown);
    assert!(is_about_target(End::Client, "connect", "slow"));
}

#[test]
fn a_pool_with_a_worker_for_each_is_not_full() {
    let live = |live| with(TargetState { live, ..TargetState::default() }, &silent("verify"));
    let got =
        check(&live(Some(8)), &[(TARGET_POOL_WORKERS, 8, None)], nothing, TARGET_POOL_WORKERS, Confirmed);
    assert!(got.fix.unwrap().contains("2000 workers"));
    check(&live(Some(7)), &[(TARGET_POOL_WORKERS, 8, None)], nothing, "unknown", Unknown);
    check(&live(None), &[(TARGET_POOL_WORKERS, 900, None)], nothing, TARGET_POOL_WORKERS, Likely);
    check(&live(None), &[(TARGET_POOL_WORKERS, 901, None)], nothing, "unknown", Unknown);
    check(&live(Some(8)), &[], nothing, "unknown", Unknown);
    // Whoever asks for no more than there are workers waits for none.
    let enough = Observation { connections_wanted: Some(8), ..live(Some(8)) };
    check(&enough, &[(TARGET_POOL_WORKERS, 8, None)], nothing, "unknown", Unknown);
    // A connection that was served before does not wait for a worker; one made for a request does.
    let later = Observation { phase: "request", ..live(Some(8)) };
    check(&later, &[(TARGET_POOL_WORKERS, 8, None)], nothing, TARGET_POOL_WORKERS, Likely);
}

#[test]
fn who_refuses_a_port_that_is_listened_at_is_a_filter() {
    let refused = |is_listening| {
        let target = TargetState { is_listening, ..TargetState::default() };
        with(target, &Observation::new(End::Client, "connect", "ECONNREFUSED", 5))
    };
    let by_icmp = |after: &mut MachineUsage| {
        after.icmp_unreachable_sent = Some(101);
        after.tcp_resets_sent = Some(101);
    };
    let by_tcp = |after: &mut MachineUsage| after.tcp_resets_sent = Some(101);
    check(&refused(Some(true)), &[], by_icmp, FIREWALL, Likely);
    check(&refused(Some(true)), &[], nothing, FIREWALL, Likely);
    check(&refused(Some(true)), &[], by_tcp, "unknown", Unknown);
    check(&refused(Some(false)), &[], by_icmp, "unknown", Unknown);
    check(&refused(None), &[], by_icmp, "unknown", Unknown);
    // Without an answer of its machine it is a route that is missing, or somebody on the way.
    for errno in ["ENETUNREACH", "EHOSTUNREACH"] {
        let unreachable = Observation { errno, ..refused(Some(true)) };
        check(&unreachable, &[], by_icmp, FIREWALL, Likely);
        check(&unreachable, &[], nothing, "unknown", Unknown);
    }
    for (phase, errno, limit, confidence) in [
        ("connect", "EPERM", FIREWALL, Likely),
        ("connect", "EACCES", "unknown", Unknown), // a route that prohibits
        ("socket", "EPERM", "unknown", Unknown),
        ("socket", "EACCES", "unknown", Unknown),
    ] {
        check(&Observation::new(End::Client, phase, errno, 5), &[], nothing, limit, confidence);
    }
}

#[test]
fn each_cause_of_a_thread_that_cannot_be_made_is_told_apart() {
    /// Far from its limit each, with room for the stack.
    const FREE: [(&str, u64, Option<u64>); 9] = [
        ("rlimit.nproc", 50_000, Some(400)),
        ("rlimit.as", 1 << 40, Some(1 << 30)),
        ("kernel.threads-max", 190_000, Some(400)),
        ("kernel.pid_max", 32_768, Some(700)),
        ("vm.max_map_count", 65_530, Some(900)),
        ("vm.overcommit", 1 << 40, Some(1 << 30)),
        ("memory.available", 1 << 34, Some(1 << 30)),
        ("cgroup.pids.max", 10_000, Some(400)),
        ("cgroup.memory.max", 1 << 34, Some(1 << 30)),
    ];
    let spawn = |errno| Observation {
        stack_bytes: Some(8 << 20),
        ..Observation::new(End::Target, "spawn", errno, 390)
    };
    check(&spawn("EAGAIN"), &FREE, nothing, "unknown", Unknown);
    check(&spawn("ENOMEM"), &FREE, nothing, "unknown", Unknown);
    for (index, &(name, value, _)) in FREE.iter().enumerate() {
        let mut of = FREE;
        of[index].2 = Some(value);
        let sure = if matches!(name, "memory.available" | "cgroup.memory.max") { Likely } else { Confirmed };
        let got = check(&spawn("EAGAIN"), &of, nothing, name, sure);
        assert_eq!(got.limit_value, Some(value));
    }
}

#[test]
fn what_the_kernel_counted_goes_before_what_was_in_use() {
    let group = |pids_refusals| CgroupUsage { pid: 7, pids_refusals, ..CgroupUsage::default() };
    let (before, refused) = (group(Some(4)), group(Some(6)));
    let spawn = Observation::new(End::Target, "spawn", "EAGAIN", 390);
    let counted = |after| Observation { cgroup: Some((&before, after)), ..spawn.clone() };
    let pids = "cgroup.pids.max";
    // The threads are gone again by the time it is read.
    check(&counted(&refused), &[(pids, 100, Some(20))], nothing, pids, Confirmed);
    // Another is at its limit as well; and the other way round.
    let both = [(pids, 100, Some(100)), ("kernel.pid_max", 32_768, Some(32_768))];
    check(&counted(&refused), &both, nothing, pids, Confirmed);
    check(&counted(&before), &both, nothing, "kernel.pid_max", Confirmed);
    // Since Linux 6.11 it may be a sibling's refusal: then another is full, and this one is not.
    let other = [(pids, 100, Some(20)), ("kernel.pid_max", 32_768, Some(32_768))];
    check(&counted(&refused), &other, nothing, "kernel.pid_max", Likely);
    let unread = [(pids, 100, None), ("kernel.pid_max", 32_768, Some(32_768))];
    check(&counted(&refused), &unread, nothing, pids, Confirmed);
    let two = [other[0], other[1], ("rlimit.nproc", 80, Some(80))];
    check(&counted(&refused), &two, nothing, "unknown", Unknown);
    check(&counted(&before), &[(pids, 100, Some(100))], nothing, "unknown", Unknown);
    check(&counted(&group(None)), &[(pids, 100, Some(100))], nothing, pids, Confirmed);
}

#[test]
fn an_ancestor_is_named() {
    let spawn = Observation::new(End::Target, "spawn", "EAGAIN", 390);
    let mut of = readings(&[("cgroup.pids.max", 100, Some(100))]);
    of[0].note = Some("of the control group /a, above its own, /a/b".to_owned());
    of[0].source = "/sys/fs/cgroup/a/pids.max".to_owned();
    let got = classify(&spawn, &of, None);
    assert!(got.evidence.iter().any(|sentence| sentence.contains("/a, above its own, /a/b")));
    assert!(got.fix.unwrap().contains("> /sys/fs/cgroup/a/pids.max"));
}

#[test]
fn a_candidate_without_a_value_says_why() {
    let spawn = Observation::new(End::Target, "spawn", "EAGAIN", 390);
    let mut of = readings(&[("cgroup.pids.max", 1, None), ("kernel.pid_max", 32_768, Some(700))]);
    (of[0].value, of[0].note) = (None, Some("/sys/fs/cgroup/a cannot be seen from here".to_owned()));
    let got = classify(&spawn, &of, None);
    let said = "cgroup.pids.max: unknown: /sys/fs/cgroup/a cannot be seen from here";
    assert!(got.limit.is_none() && got.evidence.iter().any(|one| one == said), "{:?}", got.evidence);
}

#[test]
fn what_waits_and_is_free_is_not_held() {
    let range = readings(&[("net.ipv4.ip_local_port_range", 1_000, None)]);
    for (taken, waiting, free, held, apart) in [
        (0, 122, Some(true), "0 of its ports are held by others", Some("122 more are in TIME_WAIT and free")),
        (500, 122, Some(true), "500 of its ports are held by others", Some("122 more")),
        (0, 122, None, "0 of its ports are held by others", Some("122 more")),
        (500, 122, Some(false), "500 of its ports are held by others, 122 of them in TIME_WAIT", None),
        (500, 122, None, "500 of its ports are held by others, 122 of them in TIME_WAIT", None),
        (500, 0, Some(true), "500 of its ports are held by others", None),
    ] {
        let observation = Observation {
            address_pairs: Some(1),
            ports_taken: Some(taken),
            ports_time_wait: Some(waiting),
            time_wait_is_free: free,
            ..Observation::new(End::Client, "connect", "EADDRNOTAVAIL", 1_000 - taken)
        };
        let evidence = classify(&observation, &range, None).evidence;
        assert!(evidence.iter().any(|one| one == held), "{evidence:?}");
        let said = evidence.iter().find(|one| one.contains(" more are in TIME_WAIT"));
        assert_eq!(said.is_some(), apart.is_some(), "{evidence:?}");
        assert!(apart.is_none_or(|words| said.unwrap().starts_with(words)), "{evidence:?}");
    }
}

#[test]
fn ports_that_others_hold_count_as_used() {
    let range = [("net.ipv4.ip_local_port_range", 1_000, None)];
    let at = |own, taken| Observation {
        address_pairs: Some(1),
        ports_taken: taken,
        ports_time_wait: taken,
        pair: Some("127.0.0.1 to 127.0.0.1:7000"),
        ..Observation::new(End::Client, "connect", "EADDRNOTAVAIL", own)
    };
    let name = "net.ipv4.ip_local_port_range";
    let got = check(&at(500, Some(500)), &range, nothing, name, Confirmed);
    for part in
        ["127.0.0.1 to 127.0.0.1:7000", "500 of its ports are held by others, 500 of them in TIME_WAIT"]
    {
        assert!(got.evidence.iter().any(|sentence| sentence.contains(part)), "{:?}", got.evidence);
    }
    check(&at(0, Some(1_000)), &range, nothing, name, Confirmed);
    check(&at(300, Some(100)), &range, nothing, "unknown", Unknown);
    check(&at(300, None), &range, nothing, "unknown", Unknown);
}

#[test]
fn a_switch_is_at_its_limit_when_it_is_on() {
    let ring = Observation::new(End::Target, "ring", "EPERM", 0);
    let switch = |mode| [("kernel.io_uring_disabled", mode, None)];
    check(&ring, &switch(2), nothing, "kernel.io_uring_disabled", Confirmed);
    check(&ring, &switch(1), nothing, "kernel.io_uring_disabled", Likely);
    // A filter of system calls says the same.
    check(&ring, &switch(0), nothing, "unknown", Unknown);
    check(&ring, &[], nothing, "unknown", Unknown);
}

#[test]
fn watches_of_epoll_have_an_errno_of_their_own() {
    let register = Observation::new(End::Client, "register", "ENOSPC", 400);
    let name = "fs.epoll.max_user_watches";
    check(&register, &[(name, 400, None)], nothing, name, Likely);
    check(
        &Observation::new(End::Client, "write", "ENOSPC", 400),
        &[(name, 400, None)],
        nothing,
        "unknown",
        Unknown,
    );
}

#[test]
fn what_the_target_answers_for_is_read_there() {
    for (end, phase, errno, expected) in [
        (End::Client, "connect", "timeout", true),
        (End::Client, "verify", "ETIMEDOUT", true),
        (End::Client, "request", "ECONNRESET", true),
        (End::Client, "verify", "closed", true),
        (End::Client, "connect", "ECONNREFUSED", true),
        (End::Client, "connect", "EADDRNOTAVAIL", false),
        (End::Client, "socket", "EMFILE", false),
        (End::Target, "read", "ECONNRESET", false),
    ] {
        assert_eq!(is_about_target(end, phase, errno), expected, "{phase} {errno}");
    }
}

//! The arithmetic of preflight, over readings that are laid out here.

use super::*;
use crate::plan::{self, Machine};
use crate::sweep_file;
use brink_wire::value;

pub(super) fn case(connections: u64, model: &str) -> Case {
    let text =
        format!("name = \"x\"\n[[target]]\nmodel = \"{model}\"\n[load]\nconnections = {connections}\n");
    let machine = Machine { cpus_allowed: vec![0, 1], ports: Some(28_232), limits: Vec::new() };
    plan::sweep(&sweep_file::parse(&text).unwrap(), &machine).unwrap().remove(0)
}

fn check(case: &Case, client: &[LimitReading], target: Option<&[LimitReading]>) -> Forecast {
    let mut around = Surroundings::before(case, client, 2);
    if let Some(readings) = target {
        around.target = Some(Standing { readings, is_running: true });
    }
    super::check(case, &around)
}

pub(super) fn reading(name: &str, value: u64, used: Option<u64>) -> LimitReading {
    LimitReading {
        name: name.to_owned(),
        value: Some(value),
        hard: Some(value),
        used,
        source: String::new(),
        note: None,
    }
}

#[test]
fn a_short_limit_is_named_with_its_end_and_what_lifts_it() {
    let forecast = check(&case(10_000, "mio"), &[reading("rlimit.nofile", 4096, None)], None);
    let predicted = forecast.predicted.unwrap();
    assert!(predicted.short && predicted.limit == "rlimit.nofile" && predicted.at_connections > 4000);
    let line = forecast.short.unwrap();
    for part in ["rlimit.nofile = 4,096", " of 10,000 connections", "to lift it: "] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(check(&case(1_000, "mio"), &[reading("rlimit.nofile", 4096, None)], None).short, None);
}

#[test]
fn threads_bind_only_the_model_that_has_one_each() {
    let limits = [reading("kernel.pid_max", 4096, Some(200))];
    assert!(check(&case(5_000, "threads"), &limits, None).short.is_some());
    assert!(check(&case(5_000, "mio"), &limits, None).short.is_none());
}

#[test]
fn more_sources_mean_more_ports() {
    let ports = [reading("net.ipv4.ip_local_port_range", 28_232, None)];
    assert!(check(&case(60_000, "mio"), &ports, None).short.is_none(), "three addresses of 127/8");
    let mut one = case(60_000, "mio");
    one.load.source_ips.clear();
    assert!(check(&one, &ports, None).short.unwrap().contains("ip_local_port_range"));
}

#[test]
fn threads_of_a_pool_have_no_descriptors_of_their_own() {
    let limits = [reading("rlimit.nofile", 20_000, None)];
    for (pool, number) in [("pool", "10k"), ("tokio-offload", "10k")] {
        let mut case = case(10_000, pool);
        case.target.threads = value::parse_count(number).unwrap() as u32;
        assert_eq!(check(&case, &limits, None).short, None, "{pool}");
    }
    let mut client = case(6_000, "mio");
    (client.load.engine, client.load.threads) = ("pool".to_owned(), 5_000);
    assert_eq!(check(&client, &limits, None).short, None);
}

#[test]
fn a_pool_makes_no_more_threads_than_it_has_connections() {
    let limits = [reading("kernel.pid_max", 4_096, Some(200))];
    let mut case = case(100, "tokio-offload");
    case.target.threads = 10_000;
    assert_eq!(check(&case, &limits, None).short, None);
}

#[test]
fn stacks_are_known_of_all_models_that_block() {
    let known = |model| stack_bytes(&case(5, model).target);
    assert_eq!((known("threads"), known("tokio-offload")), (Some(8 << 20), Some(2 << 20)));
    assert_eq!((known("mio"), known("tokio")), (None, None));
}

fn running<'a>(case: &Case, client: &'a [LimitReading], target: &'a [LimitReading]) -> Surroundings<'a> {
    Surroundings {
        client: Standing { readings: client, is_running: true },
        target: Some(Standing { readings: target, is_running: true }),
        shares_machine: Some(true),
        shares_user: Some(true),
        ..Surroundings::before(case, client, 2)
    }
}

fn carried(forecast: &Forecast, end: End, limit: &str) -> Option<u64> {
    let one = forecast.all.iter().find(|one| one.end == end && one.prediction.limit == limit)?;
    Some(one.prediction.connections_max)
}

#[test]
fn what_a_running_end_holds_counts_and_what_it_is_still_to_make() {
    let client = [reading("rlimit.nofile", 1_000, Some(18))];
    let target = [reading("rlimit.nofile", 500, Some(21))];
    let mut case = case(2_000, "mio");
    case.load.threads = 1;
    let got = super::check(&case, &running(&case, &client, &target));
    assert_eq!(carried(&got, End::Target, "rlimit.nofile"), Some(479));
    assert_eq!(carried(&got, End::Client, "rlimit.nofile"), Some(1_000 - 18 - 4), "one epoll loop to come");
    assert_eq!(got.predicted.unwrap().end, End::Target);
    assert_eq!(got.fixes.len(), 2);
    assert!(got.fixes.iter().all(|fix| fix.lasting.is_some()));
}

#[test]
fn only_what_both_ends_share_is_drawn_on_twice() {
    let limits = [
        reading("rlimit.nproc", 300, Some(100)),
        reading("kernel.threads-max", 300, Some(100)),
        reading("cgroup.pids.max", 300, Some(100)),
    ];
    let mut case = case(1_000, "threads");
    case.load.engine = "threads".to_owned();
    let forecast = |change: fn(&mut Surroundings<'_>), target: &[LimitReading]| {
        let mut around = running(&case, &limits, target);
        change(&mut around);
        super::check(&case, &around)
    };
    let of = |got: &Forecast| {
        ["rlimit.nproc", "kernel.threads-max", "cgroup.pids.max"]
            .map(|limit| carried(got, End::Target, limit).unwrap())
    };
    assert_eq!(of(&forecast(|_| {}, &limits)), [99; 3], "one thread of the engine to come");
    assert_eq!(of(&forecast(|around| around.shares_user = Some(false), &limits)), [200, 99, 99]);
    assert_eq!(of(&forecast(|around| around.shares_machine = Some(false), &limits)), [200; 3]);
    let mut elsewhere = limits.clone();
    elsewhere[2].source = "/sys/fs/cgroup/pids/other/pids.max".to_owned();
    assert_eq!(of(&forecast(|_| {}, &elsewhere)), [99, 99, 200]);
}

#[test]
fn threads_are_the_limit_of_the_end_that_makes_them() {
    let limits = [reading("kernel.threads-max", 300, Some(100))];
    let mut case = case(1_000, "mio");
    case.load.engine = "threads".to_owned();
    let got = super::check(&case, &running(&case, &limits, &limits));
    assert_eq!(got.all.len(), 1, "{:?}", got.all);
    assert_eq!(got.predicted.unwrap().end, End::Client);
}

#[test]
fn ports_of_others_and_of_listeners_are_not_to_be_had() {
    let ports = [reading("net.ipv4.ip_local_port_range", 1_000, None)];
    let pair = |source: &str, open| PairUse {
        source: source.parse().unwrap(),
        destination: "127.0.0.1:7000".parse().unwrap(),
        open,
        time_wait: 100,
        time_wait_is_free: Some(false),
    };
    let pairs = [pair("127.0.0.9", 900), pair("127.0.0.1", 200)];
    let mut case = case(800, "mio");
    let mut around = running(&case, &ports, &[]);
    (around.ports, around.listening_ports) = (Some(pairs.as_slice()), Some(3));
    let limit = "net.ipv4.ip_local_port_range";
    assert_eq!(carried(&super::check(&case, &around), End::Client, limit), Some(1_000 - 300 - 3));
    case.load.source_ips = vec!["127.0.0.2".parse().unwrap()];
    assert_eq!(carried(&super::check(&case, &around), End::Client, limit), Some(997));
    case.load.source_ips.push("127.0.0.9".parse().unwrap());
    assert_eq!(carried(&super::check(&case, &around), End::Client, limit), Some(0), "one has none left");
}

#[test]
fn memory_by_defaults_is_an_estimate_and_refuses_only_what_is_far_off() {
    // A pair of idle connections is reckoned with some 9.9 KB.
    let limits = [reading("memory.available", 10_000_000, Some(0))];
    let near = check(&case(1_200, "mio"), &limits, None);
    let first = &near.all[0];
    assert!(first.basis == Basis::Defaults && first.prediction.connections_max < 1_200);
    assert_eq!((near.short, near.predicted.unwrap().short), (None, false));
    let far = check(&case(2_000, "mio"), &limits, None).short.unwrap();
    assert!(far.contains("documented defaults"), "{far}");
}

#[test]
fn address_space_leaves_room_for_what_the_allocator_reserves() {
    const MIB: u64 = 1 << 20;
    // Three arenas are there; twelve more come on two CPUs, before the limit is anywhere near.
    let limits = [reading("rlimit.as", 4_096 * MIB, Some(207 * MIB))];
    let case = case(1_000, "threads");
    let got = super::check(&case, &running(&case, &[], &limits));
    let left = (4_096 - 207 - 4 - 12 * 64) * MIB;
    let each = 8 * MIB + limits::beside_stack_bytes();
    assert_eq!(carried(&got, End::Target, "rlimit.as"), Some(left / each));
}

#[test]
fn what_cannot_be_told_is_said() {
    let mut unknown = reading("kernel.pid_max", 0, None);
    (unknown.value, unknown.note) = (None, Some("cannot be read".to_owned()));
    let mut unlimited = reading("kernel.threads-max", 0, None);
    (unlimited.value, unlimited.note) = (None, Some("no limit here".to_owned()));
    let readings = [unknown, unlimited];
    let of = |got: &Forecast, limit| got.unknown.iter().filter(|one| one.limit == limit).count();
    let threads = check(&case(10, "threads"), &readings, None);
    assert!(of(&threads, "kernel.pid_max") >= 1 && of(&threads, "kernel.threads-max") == 0);
    assert!(of(&threads, "rlimit.nofile") >= 1, "was not read");
}

#[test]
fn connections_of_others_count_against_the_targets_own_bound() {
    let mut case = case(100, "mio");
    case.target.connections_max = Some(50);
    let mut around = running(&case, &[], &[]);
    around.strangers = 20;
    assert_eq!(carried(&super::check(&case, &around), End::Target, "target.max_connections"), Some(30));
    case.target.processes = 3;
    assert_eq!(carried(&super::check(&case, &around), End::Target, "target.max_connections"), Some(31));
}

#[test]
fn connection_tracking_counts_only_where_a_connection_was_tracked() {
    let at = |used| {
        [reading("net.netfilter.nf_conntrack_max", 600, Some(used)), reading("rlimit.nofile", 9, None)]
    };
    let names = |readings: Vec<LimitReading>| readings.into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names(untracked(&at(600))), ["rlimit.nofile"]);
    assert!(!is_tracked(&at(600), &at(590)), "what was left over expires");
    assert!(is_tracked(&at(5), &at(6)));
}

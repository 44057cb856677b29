//! What a plan needs and which limit ends it, over readings that are laid out here.

use super::*;

/// A need that draws on every limit.
pub(in crate::limits) fn thorough() -> Need {
    Need {
        connections: 10_000,
        processes: 3,
        is_hashed: false,
        fds_at_start: 12,
        fds_open: 2,
        fds_per_connection: 1,
        runtime_threads: 2,
        threads_per_connection: 1,
        connection_threads_max: Some(5_000),
        threads_idle: 0,
        stack_bytes: 1 << 16,
        virtual_bytes_at_start: Some(1 << 30),
        mappings_at_start: 40,
        user_bytes_per_connection: Some(10_000),
        kernel_bytes_per_connection: Some(5_000),
        sources: 2,
        destinations: 3,
        ports_taken: 5,
        watches_per_connection: 1,
        buffered_bytes_per_connection: Some(100),
        beside: Some(Beside {
            threads_at_start: 3,
            threads_per_connection: 1,
            connection_threads_max: None,
            threads_idle: 0,
            fds_per_connection: 1,
            bytes_per_connection: Some(20_000),
            watches_per_connection: 1,
            stack_bytes: 1 << 16,
        }),
    }
}

fn reading(name: &str, value: Option<u64>, used: Option<u64>) -> LimitReading {
    let (name, source) = (name.to_owned(), "test".to_owned());
    LimitReading { name, value, hard: value, used, source, note: None }
}

fn sockets(connections: u64) -> Need {
    Need {
        connections,
        fds_at_start: 12,
        fds_per_connection: 1,
        sources: 1,
        destinations: 1,
        ..Need::default()
    }
}

#[test]
fn descriptors_carry_what_is_left_after_the_start() {
    let readings = [reading("rlimit.nofile", Some(1024), Some(500))];
    let got = predict(&readings, End::Target, &sockets(1012));
    assert_eq!((got[0].limit, got[0].connections_max, got[0].needed), ("rlimit.nofile", 1012, 1024));
    assert!(!got[0].short && got[0].fix.is_none());
    let got = predict(&readings, End::Target, &sockets(1013));
    assert!(got[0].short && got[0].needed == 1025);
    assert!(got[0].fix.as_ref().unwrap().contains("1025"));
    let hashed = Need { processes: 4, is_hashed: true, ..sockets(10_000) };
    // 2,500 on average, 50 to a standard deviation, 1.67 of which the fullest of four is above it, and one more.
    assert_eq!(hashed.connections_per_process(), 2_634);
    assert_eq!(Need { processes: 1, ..hashed }.connections_per_process(), 10_000);
    let four = Need { processes: 4, ..sockets(10_000) };
    assert_eq!(predict(&readings, End::Client, &four)[0].connections_max, 4 * 1012);
}

#[test]
fn the_hard_limit_counts_since_both_ends_raise_the_soft_one() {
    let mut nofile = reading("rlimit.nofile", Some(1024), None);
    nofile.hard = Some(20_000);
    let got = predict(&[nofile.clone()], End::Client, &sockets(10_000));
    assert_eq!((got[0].connections_max, got[0].value), (19_988, 20_000));
    nofile.hard = None;
    assert!(predict(&[nofile], End::Client, &sockets(10_000)).is_empty(), "unlimited");
}

#[test]
fn ports_bind_only_the_client_per_pair_of_addresses() {
    let readings = [reading("net.ipv4.ip_local_port_range", Some(28_232), None)];
    assert!(predict(&readings, End::Target, &sockets(100_000)).is_empty());
    assert_eq!(predict(&readings, End::Client, &sockets(1))[0].connections_max, 28_232);
    let spread = Need { sources: 3, destinations: 2, ..sockets(100_000) };
    let got = predict(&readings, End::Client, &spread);
    assert_eq!((got[0].connections_max, got[0].needed), (6 * 28_232, 16_667));
    assert!(predict(&readings, End::Client, &Need { sources: 0, ..spread }).is_empty());
}

#[test]
fn ports_that_others_hold_are_not_to_be_had() {
    let readings = [reading("net.ipv4.ip_local_port_range", Some(1_000), None)];
    let need = Need { ports_taken: 400, sources: 2, ..sockets(2_000) };
    let got = predict(&readings, End::Client, &need);
    assert_eq!((got[0].connections_max, got[0].needed), (2 * 600, 1_400));
    let all_taken = Need { ports_taken: 1_000, ..need };
    assert_eq!(predict(&readings, End::Client, &all_taken)[0].connections_max, 0);
}

#[test]
fn watches_buffers_and_promised_stacks_are_counted() {
    let name = |name| [reading(name, Some(1_000), Some(100))];
    let watching = Need { watches_per_connection: 1, ..sockets(2_000) };
    let watches = name("fs.epoll.max_user_watches");
    assert_eq!(predict(&watches, End::Target, &watching)[0].connections_max, 900);
    let beside = Some(Beside { watches_per_connection: 1, ..Beside::default() });
    let both = Need { beside, ..watching };
    assert_eq!(predict(&watches, End::Target, &both)[0].connections_max, 450);
    assert!(predict(&watches, End::Target, &sockets(2_000)).is_empty());
    let page = crate::proc_tree::page_bytes();
    let full = Need { buffered_bytes_per_connection: Some(2 * page), ..sockets(1) };
    assert_eq!(predict(&name("net.ipv4.tcp_mem"), End::Target, &full)[0].connections_max, 450);
    let threads = Need { threads_per_connection: 1, stack_bytes: 10, ..sockets(1) };
    assert_eq!(predict(&name("vm.overcommit"), End::Target, &threads)[0].connections_max, 90);
    assert!(predict(&name("vm.overcommit"), End::Target, &sockets(1)).is_empty());
}

#[test]
fn what_is_short_comes_with_both_commands() {
    let got = predict(
        &[reading("kernel.pid_max", Some(10), None)],
        End::Target,
        &Need { threads_per_connection: 1, ..sockets(50) },
    );
    assert!(got[0].fix.as_ref().unwrap().contains("sysctl -w kernel.pid_max=5"));
    assert!(got[0].lasting.as_ref().unwrap().contains("/etc/sysctl.d/"));
}

#[test]
fn threads_come_on_top_of_those_in_use() {
    let readings =
        [reading("kernel.pid_max", Some(32_768), Some(384)), reading("rlimit.nofile", Some(1 << 20), None)];
    let threads = Need { threads_per_connection: 1, runtime_threads: 2, ..sockets(40_000) };
    let got = predict(&readings, End::Target, &threads);
    assert_eq!((got[0].limit, got[0].connections_max), ("kernel.pid_max", 32_768 - 384 - 2));
    assert!(got[0].short && got[0].needed == 40_000 + 2 + 384);
    assert_eq!(got[1].limit, "rlimit.nofile");
    // A client with threads on the same machine takes as many again.
    let beside = Some(Beside { threads_per_connection: 1, ..Beside::default() });
    let both = Need { beside, ..threads };
    assert_eq!(predict(&readings, End::Target, &both)[0].connections_max, (32_768 - 384 - 2) / 2);
    // No thread per connection, no bound from threads.
    assert_eq!(predict(&readings, End::Target, &sockets(40_000)).len(), 1);
}

#[test]
fn threads_of_a_pool_stop_growing_with_its_connections() {
    let limit = |value| [reading("cgroup.pids.max", Some(value), Some(20))];
    let pool = Need { threads_per_connection: 1, connection_threads_max: Some(50), ..sockets(1_000) };
    assert_eq!(predict(&limit(60), End::Target, &pool)[0].connections_max, 40);
    assert!(predict(&limit(70), End::Target, &pool).is_empty(), "all workers fit");
    let two = Need { processes: 2, ..pool };
    assert_eq!(predict(&limit(100), End::Target, &two)[0].connections_max, 80);
}

#[test]
fn files_that_are_open_are_not_counted_twice() {
    let files = [reading("fs.file-max", Some(1_000), Some(500))];
    let carried =
        |fds_open| predict(&files, End::Target, &Need { fds_open, ..sockets(600) })[0].connections_max;
    assert_eq!((carried(0), carried(12)), (488, 500));
}

#[test]
fn who_else_draws_on_a_limit_may_differ() {
    let readings =
        [reading("rlimit.nproc", Some(100), Some(0)), reading("kernel.threads-max", Some(100), Some(0))];
    let beside = Beside { threads_per_connection: 1, ..Beside::default() };
    let need = |limit: &Limit| Need {
        threads_per_connection: 1,
        beside: (limit.name != "rlimit.nproc").then_some(beside),
        ..sockets(200)
    };
    let got = predict_by(&readings, End::Target, need);
    let carried: Vec<_> = got.iter().map(|one| (one.limit, one.connections_max)).collect();
    assert_eq!(carried, [("kernel.threads-max", 50), ("rlimit.nproc", 100)]);
}

#[test]
fn address_space_is_stacks_and_what_goes_with_them() {
    let readings = [reading("rlimit.as", Some(1 << 30), Some(5))];
    let need = Need {
        threads_per_connection: 1,
        stack_bytes: 64 << 10,
        virtual_bytes_at_start: Some(1 << 29),
        ..sockets(10_000)
    };
    let got = predict(&readings, End::Target, &need);
    assert_eq!(got[0].connections_max, (1 << 29) / ((64 << 10) + beside_stack_bytes()));
    assert!(predict(&readings, End::Target, &Need { virtual_bytes_at_start: None, ..need }).is_empty());
}

#[test]
fn mappings_are_four_a_thread() {
    let readings = [reading("vm.max_map_count", Some(65_530), None)];
    let threads = Need { threads_per_connection: 1, mappings_at_start: 30, ..sockets(20_000) };
    assert_eq!(predict(&readings, End::Target, &threads)[0].connections_max, 16_375);
}

#[test]
fn memory_without_an_estimate_predicts_nothing() {
    let readings = [reading("memory.available", Some(1_000_000), Some(400_000))];
    assert!(predict(&readings, End::Target, &sockets(10)).is_empty());
    let known = Need {
        user_bytes_per_connection: Some(1_000),
        kernel_bytes_per_connection: Some(5_000),
        ..sockets(10)
    };
    assert_eq!(predict(&readings, End::Target, &known)[0].connections_max, 100);
    assert!(
        predict(&readings, End::Target, &Need { beside: Some(Beside::default()), ..known }).is_empty(),
        "the other end's part is unknown, so the sum is"
    );
}

#[test]
fn a_limit_that_is_passed_already_carries_none() {
    let readings =
        [reading("rlimit.nofile", Some(8), None), reading("kernel.threads-max", Some(10), Some(20))];
    let got = predict(&readings, End::Target, &Need { threads_per_connection: 1, ..sockets(5) });
    assert!(got.len() == 2 && got.iter().all(|p| p.connections_max == 0 && p.short));
}

#[test]
fn extreme_counts_do_not_overflow() {
    let readings: Vec<_> =
        LIMITS.iter().map(|limit| reading(limit.name, Some(u64::MAX - 1), Some(1))).collect();
    let need = Need { connections: u64::MAX, stack_bytes: u64::MAX, ..thorough() };
    for prediction in predict(&readings, End::Client, &need) {
        assert!(prediction.connections_max < u64::MAX);
    }
}

#[test]
fn a_thread_takes_that_many_mappings() {
    fn mappings() -> usize {
        std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
    }
    const THREADS: usize = 200;
    let before = mappings();
    let barrier = std::sync::Barrier::new(THREADS + 1);
    let during = std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                barrier.wait();
            });
        }
        barrier.wait();
        let during = mappings();
        barrier.wait();
        during
    });
    // Allocator arenas add some; neighbours that merge take some off.
    let per_thread = (during - before) as f64 / THREADS as f64;
    assert!((per_thread - MAPPINGS_PER_THREAD as f64).abs() < 0.75, "{per_thread}");
}

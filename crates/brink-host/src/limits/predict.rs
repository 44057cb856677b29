//! What a plan needs of each limit, and which limit ends it first. Pure: no reading, no clock.

use super::{End, LIMITS, Lift, Limit, LimitReading, Scope};

/// Memory mappings that one thread of Rust's standard library takes: its stack and the guard
/// page below, the signal stack that std gives each thread and the guard page below that
/// (library/std/src/sys, stack_overflow). A thread made by pthread_create(3) alone takes two.
pub const MAPPINGS_PER_THREAD: u64 = 4;

/// What one end of a plan needs. All counts are those of that end.
///
/// Needs of limits that are shared with others (threads, memory) come on top of what the
/// readings show in use: for an end that runs already, leave out what it has taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// Connections in all, spread evenly over the processes.
    pub connections: u64,
    /// Processes of this end. 0 counts as 1.
    pub processes: u64,
    /// Descriptors of one process before its first connection.
    pub fds_at_start: u64,
    /// Descriptors per connection: 1 for its socket.
    pub fds_per_connection: u64,
    /// Threads of one process before its first connection.
    pub runtime_threads: u64,
    /// Threads per connection: 1 for a target or an engine with a thread for each, else 0.
    pub threads_per_connection: u64,
    /// Stack of a connection's thread, in bytes.
    pub stack_bytes: u64,
    /// Address space of one process before its first connection, in bytes.
    pub virtual_bytes_at_start: Option<u64>,
    /// Mappings of one process before its first connection.
    pub mappings_at_start: u64,
    /// User memory per connection, in bytes, where there is an estimate.
    pub user_bytes_per_connection: Option<u64>,
    /// Kernel memory per connection, in bytes, of this end's side, where there is an estimate.
    pub kernel_bytes_per_connection: Option<u64>,
    /// Local addresses that connections come from. 0: their ports are not taken from the
    /// ephemeral range.
    pub sources: u64,
    /// Pairs of address and port that they go to.
    pub destinations: u64,
    /// Ports of the fullest pair of source and destination that others hold: sockets in use, and those in
    /// TIME_WAIT that may not be used again ([`crate::connections::towards`]).
    pub ports_taken: u64,
    /// Descriptors per connection that are in an epoll instance: 1 for an end that waits for many at once.
    pub watches_per_connection: u64,
    /// Bytes per connection that wait in socket buffers, where there is an estimate; an idle one has none.
    pub buffered_bytes_per_connection: Option<u64>,
    /// The other end, where both run under one kernel, user and control group.
    pub beside: Option<Beside>,
}

/// What the other end takes from the same machine for the same connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    /// Threads, all processes together, before the first connection.
    pub threads_at_start: u64,
    /// Threads per connection.
    pub threads_per_connection: u64,
    /// Descriptors per connection.
    pub fds_per_connection: u64,
    /// User and kernel memory per connection, in bytes, where there is an estimate.
    pub bytes_per_connection: Option<u64>,
    /// Descriptors per connection that are in an epoll instance.
    pub watches_per_connection: u64,
    /// Stack of a connection's thread, in bytes.
    pub stack_bytes: u64,
}

impl Need {
    /// Connections of the fullest process.
    #[must_use]
    pub fn connections_per_process(&self) -> u64 {
        self.connections.div_ceil(self.processes.max(1))
    }

    /// Descriptors of the fullest process.
    #[must_use]
    pub fn fds(&self) -> u64 {
        self.connections_per_process()
            .saturating_mul(self.fds_per_connection)
            .saturating_add(self.fds_at_start)
    }

    /// Open files on the machine: each end's, as far as they are known.
    #[must_use]
    pub fn files(&self) -> u64 {
        let own = self.connections.saturating_mul(self.fds_per_connection);
        let start = self.processes.max(1).saturating_mul(self.fds_at_start);
        let beside = self.beside.map_or(0, |other| self.connections.saturating_mul(other.fds_per_connection));
        own.saturating_add(start).saturating_add(beside)
    }

    /// Threads on the machine: each end's, as far as they are known.
    #[must_use]
    pub fn threads(&self) -> u64 {
        let own = self.connections.saturating_mul(self.threads_per_connection);
        let start = self.processes.max(1).saturating_mul(self.runtime_threads);
        let beside = self.beside.map_or(0, |other| {
            self.connections
                .saturating_mul(other.threads_per_connection)
                .saturating_add(other.threads_at_start)
        });
        own.saturating_add(start).saturating_add(beside)
    }

    /// Address space of the fullest process, in bytes: stacks on top of what it began with.
    /// Heap is left out, so the prediction is a lower bound of the need.
    #[must_use]
    pub fn virtual_bytes(&self) -> Option<u64> {
        if self.threads_per_connection == 0 {
            return None;
        }
        let threads = self.connections_per_process().saturating_mul(self.threads_per_connection);
        Some(threads.saturating_mul(self.stack_bytes).saturating_add(self.virtual_bytes_at_start?))
    }

    /// Mappings of the fullest process; only threads take any.
    #[must_use]
    pub fn mappings(&self) -> Option<u64> {
        if self.threads_per_connection == 0 {
            return None;
        }
        let threads = self.connections_per_process().saturating_mul(self.threads_per_connection);
        Some(threads.saturating_mul(MAPPINGS_PER_THREAD).saturating_add(self.mappings_at_start))
    }

    /// Watches of the user in epoll instances: each end's, as far as they are known to be the same user's.
    #[must_use]
    pub fn watches(&self) -> u64 {
        let beside = self.beside.map_or(0, |other| other.watches_per_connection);
        self.connections.saturating_mul(self.watches_per_connection.saturating_add(beside))
    }

    /// Stacks of the connections' threads, whole, as strict accounting counts them, in bytes. What the
    /// processes themselves take comes on top, so the prediction is a lower bound of the need.
    #[must_use]
    pub fn stack_bytes_promised(&self) -> u64 {
        let own = self.threads_per_connection.saturating_mul(self.stack_bytes);
        let beside =
            self.beside.map_or(0, |other| other.threads_per_connection.saturating_mul(other.stack_bytes));
        self.connections.saturating_mul(own.saturating_add(beside))
    }

    /// Bytes in socket buffers, both ends' where both are here.
    #[must_use]
    pub fn buffered_bytes(&self) -> Option<u64> {
        Some(self.connections.saturating_mul(self.buffered_bytes_per_connection?))
    }

    /// Ports of the fullest pair of source and destination, those that others hold included: a port
    /// may be used once towards each destination (tcp(7); net/ipv4/inet_hashtables.c).
    #[must_use]
    pub fn ports(&self) -> Option<u64> {
        match self.sources.saturating_mul(self.destinations) {
            0 => None,
            pairs => Some(self.connections.div_ceil(pairs).saturating_add(self.ports_taken)),
        }
    }

    /// Memory of the connections, in bytes, both ends' where both are known to be here.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        let own = self.user_bytes_per_connection?.saturating_add(self.kernel_bytes_per_connection?);
        let beside = match self.beside {
            Some(other) => other.bytes_per_connection?,
            None => 0,
        };
        Some(self.connections.saturating_mul(own.saturating_add(beside)))
    }
}

/// How far one limit carries a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// As in [`LIMITS`].
    pub limit: &'static str,
    /// Connections that it carries. Where `used` is `None`, at most that.
    pub connections_max: u64,
    /// The value that bites, once the end has raised what it may raise by itself.
    pub value: u64,
    /// In use by others before the plan begins, for a limit that is shared.
    pub used: Option<u64>,
    /// The value it would take to carry the plan.
    pub needed: u64,
    /// Whether it carries fewer connections than the plan asks for.
    pub short: bool,
    /// The command that lifts it to what is needed at once, where it is short.
    pub fix: Option<String>,
    /// What lifts it so that it stays lifted, where it is short.
    pub lasting: Option<String>,
}

/// How far each limit carries this end, the tightest first. Limits without a value, limits
/// that do not bind this end and limits the plan draws nothing from are left out.
#[must_use]
pub fn predict(readings: &[LimitReading], end: End, need: &Need) -> Vec<Prediction> {
    let mut predictions: Vec<Prediction> = LIMITS
        .iter()
        .filter(|limit| limit.binds.includes(end))
        .filter_map(|limit| {
            let reading = readings.iter().find(|reading| reading.name == limit.name)?;
            carried_by(limit, reading, need)
        })
        .collect();
    predictions.sort_by_key(|prediction| prediction.connections_max); // stable: ties keep the table's order
    predictions
}

fn carried_by(limit: &Limit, reading: &LimitReading, need: &Need) -> Option<Prediction> {
    let value = limit.reachable(reading)?;
    let used = match limit.scope {
        Scope::Process => None,
        Scope::Shared => reading.used,
    };
    let free = value.saturating_sub(used.unwrap_or(0));
    let connections_max = connections_within(limit, need, free)?;
    let needed = (limit.need)(need)?.saturating_add(used.unwrap_or(0));
    let short = connections_max < need.connections;
    let lift = Lift { to: needed, reading: Some(reading) };
    Some(Prediction {
        limit: limit.name,
        connections_max,
        value,
        used,
        needed,
        short,
        fix: short.then(|| (limit.fix)(&lift)),
        lasting: short.then(|| (limit.lasting)(&lift)),
    })
}

/// The largest count of connections whose need fits, by bisection, since a need never falls as
/// connections grow. `None` where the need does not grow.
fn connections_within(limit: &Limit, need: &Need, free: u64) -> Option<u64> {
    /// More than any machine holds.
    const CONNECTIONS_MAX: u64 = 1 << 40;
    let mut plan = need.clone();
    let mut fits = |connections: u64| -> Option<bool> {
        plan.connections = connections;
        Some((limit.need)(&plan)? <= free)
    };
    if fits(CONNECTIONS_MAX)? {
        return None;
    }
    let (mut low, mut high) = (0, CONNECTIONS_MAX);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle)? { low = middle } else { high = middle - 1 }
    }
    Some(low)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A need that draws on every limit.
    pub(in crate::limits) fn thorough() -> Need {
        Need {
            connections: 10_000,
            processes: 3,
            fds_at_start: 12,
            fds_per_connection: 1,
            runtime_threads: 2,
            threads_per_connection: 1,
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
        let readings = [
            reading("kernel.pid_max", Some(32_768), Some(384)),
            reading("rlimit.nofile", Some(1 << 20), None),
        ];
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
}

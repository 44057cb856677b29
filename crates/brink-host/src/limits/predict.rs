//! What a plan needs of each limit, and which limit ends it first. Pure: no reading, no clock.

use super::thread_cost::beside_stack_bytes;
use super::{End, LIMITS, Lift, Limit, LimitReading, Scope};

/// Memory mappings that one thread of Rust's standard library takes: its stack and the guard
/// page below, the signal stack that std gives each thread and the guard page below that
/// (library/std/src/sys, stack_overflow). A thread made by pthread_create(3) alone takes two.
pub const MAPPINGS_PER_THREAD: u64 = 4;

/// What brink's own threads leave alone under `vm.max_map_count`, in mappings, and under `rlimit.as`, in bytes.
pub const LEFT_ALONE_MAPPINGS: u64 = crate::headroom::LEFT_ALONE_MAPS;
/// See [`LEFT_ALONE_MAPPINGS`].
pub const LEFT_ALONE_BYTES: u64 = crate::headroom::LEFT_ALONE_BYTES;

/// What one end of a plan needs. All counts are those of that end.
///
/// Needs of limits that are shared with others (threads, memory) come on top of what the
/// readings show in use: for an end that runs already, leave out what it has taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// Connections in all, spread over the processes.
    pub connections: u64,
    /// Processes of this end. 0 counts as 1.
    pub processes: u64,
    /// Whether the kernel spreads the connections over the processes by a hash of their addresses (`SO_REUSEPORT`,
    /// socket(7)), and not evenly.
    pub is_hashed: bool,
    /// Descriptors of one process before its first connection.
    pub fds_at_start: u64,
    /// Of those, the ones that are open already, which the use of shared limits counts.
    pub fds_open: u64,
    /// Descriptors per connection: 1 for its socket.
    pub fds_per_connection: u64,
    /// Threads of one process before its first connection.
    pub runtime_threads: u64,
    /// Threads per connection: 1 for a target or an engine with a thread for each, else 0.
    pub threads_per_connection: u64,
    /// Most threads of one process that its connections cause. `None`: one for each, whatever their number.
    pub connection_threads_max: Option<u64>,
    /// Threads that wait for connections already, of all processes together: they are in use, and carry as many.
    pub threads_idle: u64,
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
    /// Ports of the fullest pair of source and destination that others hold: sockets in use, those in TIME_WAIT that
    /// may not be used again ([`crate::connections::towards`]), and those that somebody listens on.
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
    /// Most threads, all processes together, that connections cause. `None`: one for each.
    pub connection_threads_max: Option<u64>,
    /// Threads that wait for connections already.
    pub threads_idle: u64,
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
    /// Connections of the fullest process. Where a hash spreads them each process gets a binomial share: the fullest of P
    /// is expected at sqrt(2 ln P) standard deviations above the mean (Cramér, Mathematical Methods of Statistics, 28.6,
    /// to first order), to which one more is added.
    #[must_use]
    pub fn connections_per_process(&self) -> u64 {
        let processes = self.processes.max(1);
        let mean = self.connections.div_ceil(processes);
        if !self.is_hashed || processes == 1 {
            return mean;
        }
        let deviation = (mean as f64).sqrt();
        let above = deviation * (1.0 + (2.0 * (processes as f64).ln()).sqrt());
        mean.saturating_add(above.ceil() as u64).min(self.connections)
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
        let to_come = self.fds_at_start.saturating_sub(self.fds_open);
        let start = self.processes.max(1).saturating_mul(to_come);
        let beside = self.beside.map_or(0, |other| self.connections.saturating_mul(other.fds_per_connection));
        own.saturating_add(start).saturating_add(beside)
    }

    /// Threads on the machine: each end's, as far as they are known.
    #[must_use]
    pub fn threads(&self) -> u64 {
        let processes = self.processes.max(1);
        let own = self.connections.saturating_mul(self.threads_per_connection);
        let own_max = self.connection_threads_max.map(|each| each.saturating_mul(processes));
        let own = own.min(own_max.unwrap_or(u64::MAX)).saturating_sub(self.threads_idle);
        let start = processes.saturating_mul(self.runtime_threads);
        let beside = self.beside.map_or(0, |other| {
            let threads = self.connections.saturating_mul(other.threads_per_connection);
            threads
                .min(other.connection_threads_max.unwrap_or(u64::MAX))
                .saturating_sub(other.threads_idle)
                .saturating_add(other.threads_at_start)
        });
        own.saturating_add(start).saturating_add(beside)
    }

    /// Threads of the fullest process that its connections cause.
    #[must_use]
    pub fn connection_threads(&self) -> u64 {
        let threads = self.connections_per_process().saturating_mul(self.threads_per_connection);
        let idle = self.threads_idle / self.processes.max(1);
        threads.min(self.connection_threads_max.unwrap_or(u64::MAX)).saturating_sub(idle)
    }

    /// Address space of the fullest process, in bytes: stacks on top of what it began with.
    /// Heap is left out, so the prediction is a lower bound of the need.
    #[must_use]
    pub fn virtual_bytes(&self) -> Option<u64> {
        if self.threads_per_connection == 0 {
            return None;
        }
        let each = self.stack_bytes.saturating_add(beside_stack_bytes());
        Some(self.connection_threads().saturating_mul(each).saturating_add(self.virtual_bytes_at_start?))
    }

    /// Mappings of the fullest process; only threads take any.
    #[must_use]
    pub fn mappings(&self) -> Option<u64> {
        if self.threads_per_connection == 0 {
            return None;
        }
        let threads = self.connection_threads();
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
    predict_by(readings, end, |_| need.clone())
}

/// [`predict`], where what is needed of a limit depends on who else draws on it: the other end does on those that
/// both share, and not on the others.
#[must_use]
pub fn predict_by(readings: &[LimitReading], end: End, need: impl Fn(&Limit) -> Need) -> Vec<Prediction> {
    let mut predictions: Vec<Prediction> = LIMITS
        .iter()
        .filter(|limit| limit.binds.includes(end))
        .filter_map(|limit| {
            let reading = readings.iter().find(|reading| reading.name == limit.name)?;
            carried_by(limit, reading, &need(limit))
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
#[path = "predict_tests.rs"]
pub(super) mod tests;

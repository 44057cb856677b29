//! Will a limit end the case before it reaches what it asks for? And when something
//! gave way: what does the evidence say it was (`cause`)?
//!
//! Pure arithmetic over readings that are handed in; the table of
//! limits and its rules live in `brink-host`.

use std::borrow::Cow;

use brink_host::connections::PairUse;
use brink_host::limits::{self, LimitReading, OwnBounds, Prediction};
use brink_results::case::{Case, LoadCase, Origin, TargetCase};
use brink_results::schema::{End, Predicted, PredictedMemory};
use brink_wire::control::Info;
use brink_wire::value::format_count;

mod cause;
mod known;
mod memory;
mod needs;

pub use self::cause::{Evidence, client_death, failure_point};
pub use self::known::{Known, known};
pub use self::memory::{Basis, Slopes};
use self::needs::{CLIENT_STACK_BYTES, Needs};

/// Ports of a pair of source and destination.
const PORT_RANGE: &str = "net.ipv4.ip_local_port_range";
/// The target's own bound where each of its workers serves one connection until that closes.
const POOL_WORKERS: &str = "target.pool_workers";
/// Limits whose need is an estimate of memory.
const OF_MEMORY: [&str; 2] = ["memory.available", "cgroup.memory.max"];
/// A need reckoned from documented defaults counts as short only where it is off by so much: three halves.
const DEFAULTS_SHORT: (u64, u64) = (3, 2);

/// The limits of an end.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// As the end's own process meets them, or, for an end that does not run yet, one that starts it.
    pub readings: &'a [LimitReading],
    /// Whether it is the end that was read, running: what it has in use counts then, and only what it is still
    /// going to make is added. Otherwise documented defaults take the place of both.
    pub is_running: bool,
}

/// All that a forecast is made of, beside the case.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The end that connects.
    pub client: Standing<'a>,
    /// The end that accepts. `None`: it is going to be started from here, or cannot be looked at.
    pub target: Option<Standing<'a>>,
    /// What the target says of itself.
    pub info: Option<&'a Info>,
    /// Connections that the target has already, of others.
    pub strangers: u64,
    /// Threads that all its processes have, where it runs.
    pub target_threads: Option<u64>,
    /// Ports that others hold towards the target ([`brink_host::connections::towards`]).
    pub ports: Option<&'a [PairUse]>,
    /// Ephemeral ports that somebody listens on ([`brink_host::connections::ephemeral_ports_listened_on`]).
    pub listening_ports: Option<u64>,
    /// Whether both ends are under one kernel. `None`: not known, and then nothing is taken to be shared.
    pub shares_machine: Option<bool>,
    /// Whether both are the same user's ([`limits::shares_user`]). `None`: not known, and then it is assumed.
    pub shares_user: Option<bool>,
    /// CPUs that this process may run on.
    pub cpus: u32,
    /// Memory of connections as it was measured before.
    pub slopes: Option<&'a Slopes>,
}

impl<'a> Surroundings<'a> {
    /// Before anything runs: the target is going to be started from here and meets the limits of this process,
    /// which it inherits.
    pub fn before(case: &Case, client: &'a [LimitReading], cpus: u32) -> Self {
        let starts_here = case.target.origin == Origin::Started;
        let standing = Standing { readings: client, is_running: false };
        Self {
            client: standing,
            target: starts_here.then_some(standing),
            info: None,
            strangers: 0,
            target_threads: None,
            ports: None,
            listening_ports: None,
            shares_machine: starts_here.then_some(true),
            shares_user: starts_here.then_some(true),
            cpus,
            slopes: None,
        }
    }
}

/// How far one limit carries the case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reckoned {
    /// Whose limit.
    pub end: End,
    /// How far. `short` heeds how sure it is.
    pub prediction: Prediction,
    /// What it was reckoned from.
    pub basis: Basis,
}

/// What lifts a limit that is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// Whose limit.
    pub end: End,
    /// As in the table of limits.
    pub limit: &'static str,
    /// The command that lifts it at once.
    pub live: String,
    /// What lifts it so that it stays lifted.
    pub lasting: Option<String>,
}

/// A limit that the case draws on, of which nobody can say how far it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Whose limit.
    pub end: End,
    /// As in the table of limits.
    pub limit: &'static str,
    /// Why.
    pub why: String,
}

/// What preflight says of a case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forecast {
    /// The limit that would end it first, if any is known.
    pub predicted: Option<Predicted>,
    /// What the connections take of memory, where that is known.
    pub memory: Option<PredictedMemory>,
    /// One line, where that limit is short of what the case asks for.
    pub short: Option<String>,
    /// Every limit that bounds the connections, the tightest first.
    pub all: Vec<Reckoned>,
    /// What lifts each limit that is short.
    pub fixes: Vec<Fix>,
    /// What could not be reckoned.
    pub unknown: Vec<Unknown>,
}

/// Entries of connection tracking.
const CONNTRACK: &str = "net.netfilter.nf_conntrack_max";

/// Readings without connection tracking: as long as nothing was sent nobody knows whether anything is tracked, and
/// entries that are there may be left over from when it was.
pub fn untracked(readings: &[LimitReading]) -> Vec<LimitReading> {
    readings.iter().filter(|reading| reading.name != CONNTRACK).cloned().collect()
}

/// Whether one more entry of connection tracking is there than before a connection was made.
pub fn is_tracked(before: &[LimitReading], now: &[LimitReading]) -> bool {
    let used = |readings: &[LimitReading]| {
        readings.iter().find(|reading| reading.name == CONNTRACK).and_then(|reading| reading.used)
    };
    used(now) > used(before)
}

/// Sets what a case needs against the limits of its ends.
pub fn check(case: &Case, around: &Surroundings<'_>) -> Forecast {
    let case = &in_all(case);
    let (mut all, mut unknown) = (Vec::new(), Vec::new());
    let mut reckon = |end, readings: &[LimitReading]| {
        let needs = Needs::of(end, case, around);
        all.extend(of_end(end, readings, &needs, case, around));
        unknown.extend(unknown_of(end, readings, &needs));
    };
    if let Some(target) = &around.target {
        let readings = limits::with_own_bounds(target.readings.to_vec(), &own_bounds(case, around));
        reckon(End::Target, &readings);
    }
    reckon(End::Client, around.client.readings);
    // Stable: what is equally tight at one end stays in the order of the table. Of one limit that both ends draw on
    // the client takes its share first: it has opened a connection before the target accepts it.
    all.sort_by_key(|one| (one.prediction.connections_max, one.end == End::Target));
    let fixes = all.iter().filter_map(fix).collect();
    let first = all.first();
    Forecast {
        predicted: first.map(predicted),
        memory: memory::predicted(case, around),
        short: all.iter().find(|one| one.prediction.short).map(|one| line(one, case.load.connections)),
        fixes,
        all,
        unknown,
    }
}

/// With the connections of its background, which are there beside the others. What its engine takes by itself, threads
/// and descriptors, is not reckoned.
fn in_all(case: &Case) -> Cow<'_, Case> {
    let Some(background) = &case.load.background else { return Cow::Borrowed(case) };
    let mut both = case.clone();
    both.load.connections = both.load.connections.saturating_add(background.connections);
    Cow::Owned(both)
}

/// What a target that says what it is bounds by itself.
pub fn bounds_of(info: &Info, live: u64) -> OwnBounds {
    let row = brink_target::find(&info.ready.model);
    let workers = row.and_then(|row| row.connections_at_once(info.threads));
    let bounds = OwnBounds {
        connections_max: info.connections_max,
        pool_workers: workers,
        backlog: Some(u64::from(info.backlog)),
        live: Some(live),
        accept_queue: None,
    };
    of_all_processes(bounds, info.processes)
}

/// A pool's workers are those of each process; so is its share of the bound, rounded up (`supervise`).
fn of_all_processes(bounds: OwnBounds, processes: u32) -> OwnBounds {
    let processes = u64::from(processes).max(1);
    OwnBounds {
        connections_max: bounds.connections_max.map(|max| max.div_ceil(processes).saturating_mul(processes)),
        pool_workers: bounds.pool_workers.map(|each| each.saturating_mul(processes)),
        ..bounds
    }
}

/// What the target itself bounds, all its processes together.
fn own_bounds(case: &Case, around: &Surroundings<'_>) -> OwnBounds {
    let target = &case.target;
    let bounds = OwnBounds {
        connections_max: target.connections_max,
        pool_workers: workers_of_pool(target),
        backlog: around.info.map(|info| u64::from(info.backlog)),
        live: Some(around.strangers),
        accept_queue: None,
    };
    of_all_processes(bounds, target.processes)
}

/// Limits that this end draws on, and whose value or need is not known.
fn unknown_of(end: End, readings: &[LimitReading], needs: &Needs) -> Vec<Unknown> {
    let why = |row: &limits::Limit| {
        let needed = (row.need)(&needs.of_limit(row));
        let Some(reading) = readings.iter().find(|reading| reading.name == row.name) else {
            return needed.map(|_| "it was not read".to_owned());
        };
        match known(row, reading) {
            Known::Unknown(why) if needed.is_some() => Some(why.to_owned()),
            Known::Value(_) if needed.is_none() && OF_MEMORY.contains(&row.name) => {
                Some("what a connection takes of it is not known".to_owned())
            }
            _ => None,
        }
    };
    let of_this_end = limits::LIMITS.iter().filter(|row| row.binds.includes(of_host(end)));
    of_this_end.filter_map(|row| Some(Unknown { end, limit: row.name, why: why(row)? })).collect()
}

/// The same end, as the table of limits has it.
pub fn of_host(end: End) -> limits::End {
    match end {
        End::Client => limits::End::Client,
        End::Target => limits::End::Target,
    }
}

fn of_end(
    end: End,
    readings: &[LimitReading],
    needs: &Needs,
    case: &Case,
    around: &Surroundings<'_>,
) -> Vec<Reckoned> {
    let basis = memory::basis(case, around.slopes);
    let reckoned = |mut prediction: Prediction| {
        let basis = if OF_MEMORY.contains(&prediction.limit) { basis } else { Basis::Counted };
        if basis == Basis::Defaults {
            let (over, under) = DEFAULTS_SHORT;
            let at_most = prediction.connections_max.saturating_mul(over) / under;
            prediction.short &= at_most < case.load.connections;
        }
        if prediction.limit == POOL_WORKERS && prediction.short {
            prediction.fix = Some(more_workers(case));
            prediction.lasting = Some("the same, in what starts the target".to_owned());
        }
        Reckoned { end, prediction, basis }
    };
    limits::predict_by(readings, of_host(end), |limit| needs.of_limit(limit))
        .into_iter()
        .map(reckoned)
        .collect()
}

/// Workers for all connections: the kernel spreads connections over processes by a hash, so each needs more than its
/// share, by four standard deviations of a fair draw.
fn more_workers(case: &Case) -> String {
    let (target, connections) = (&case.target, case.load.connections);
    let processes = u64::from(target.processes).max(1);
    let flag = if target.origin == Origin::Started { "--target-threads" } else { "--threads" };
    let share = connections.div_ceil(processes);
    let uneven = if processes > 1 { (4.0 * (share as f64).sqrt()).ceil() as u64 } else { 0 };
    let needed = (share + uneven).min(connections);
    let each = if processes > 1 { " in each of its processes" } else { "" };
    format!("give the target {needed} workers{each} with {flag} {needed} (threads in a sweep file)")
}

fn fix(one: &Reckoned) -> Option<Fix> {
    let Prediction { limit, short: true, fix, lasting, .. } = &one.prediction else { return None };
    Some(Fix { end: one.end, limit, live: fix.clone()?, lasting: lasting.clone() })
}

fn predicted(one: &Reckoned) -> Predicted {
    Predicted {
        limit: one.prediction.limit.to_owned(),
        end: one.end,
        at_connections: one.prediction.connections_max,
        limit_value: Some(one.prediction.value),
        fix: one.prediction.fix.clone(),
        lasting: one.prediction.lasting.clone(),
        estimated_from: (one.basis != Basis::Counted).then(|| one.basis.to_string()),
        short: one.prediction.short,
    }
}

/// Connections that each process of the target serves at once, where that is bounded.
pub fn workers_of_pool(target: &TargetCase) -> Option<u64> {
    brink_target::find(&target.model)?.connections_at_once(target.threads)
}

/// Whether a pool has a worker for every connection, so that each has a thread.
fn every_connection_has_a_worker(case: &Case) -> bool {
    let share = case.load.connections.div_ceil(u64::from(case.target.processes).max(1));
    workers_of_pool(&case.target).is_some_and(|workers| workers >= share)
}

/// Stack of each thread that a connection or a request of it has to itself, where that is known.
pub fn stack_bytes(target: &TargetCase) -> Option<u64> {
    target.stack_bytes.or_else(|| brink_target::find(&target.model)?.runtime_stack_bytes())
}

/// Stack of each thread that a connection has to itself on the client.
pub fn client_stack_bytes(load: &LoadCase) -> Option<u64> {
    use brink_client::Threads::{PerConnection, Pool};
    let row = brink_client::find(&load.engine)?;
    matches!(row.threads, PerConnection | Pool { .. }).then_some(CLIENT_STACK_BYTES)
}

/// Connections that this client's own limits let it open. Ports count where sources are given; else as many addresses
/// are taken as are needed, where there are any. `None`: nothing bounds them.
pub fn client_max(case: &Case, around: &Surroundings<'_>, sources_are_given: bool) -> Option<u64> {
    let is_free = !sources_are_given && !case.load.source_ips.is_empty();
    let binds = |one: &&Reckoned| one.end == End::Client && !(is_free && one.prediction.limit == PORT_RANGE);
    let of_client = Surroundings { target: None, ..*around };
    check(case, &of_client).all.iter().find(binds).map(|one| one.prediction.connections_max)
}

/// `rlimit.nofile = 1,024 on the target carries 1,000 of 10,000 connections: ulimit -n 10024`
fn line(one: &Reckoned, connections: u64) -> String {
    let Reckoned { end, prediction, basis } = one;
    let used = prediction.used.map_or(String::new(), |used| format!(", {} in use", format_count(used)));
    let estimate = if *basis == Basis::Counted { String::new() } else { format!(" ({basis})") };
    format!(
        "{} = {}{used} on the {} carries {} of {} connections{estimate}; {}",
        prediction.limit,
        format_count(prediction.value),
        name(*end),
        format_count(prediction.connections_max),
        format_count(connections),
        prediction
            .fix
            .as_ref()
            .map_or("nothing lifts it here".to_owned(), |fix| format!("to lift it: {fix}"))
    )
}

/// In one word.
pub fn name(end: End) -> &'static str {
    match end {
        End::Client => "client",
        End::Target => "target",
    }
}

#[cfg(test)]
mod tests;

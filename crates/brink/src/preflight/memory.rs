//! Memory that a connection takes of each end: from slopes that a sweep measured, else from documented defaults.
//! Pure. Must not sample anything.

use std::fmt;

use brink_results::case::Case;
use brink_results::schema::{CaseResult, EndMemory, KernelScope, PredictedMemory};

use super::Surroundings;

/// Kernel memory of one idle TCP socket with its file, in bytes, rounded up: the slopes of results/2026-11-21-models
/// are 8.4 to 10.3 KB for both ends together.
const KERNEL_BYTES_PER_SOCKET: u64 = 4_900;
/// Kernel memory of one thread, in bytes: 16 KiB of stack, a page of page tables, and about 8.4 KB of slab
/// (results/2026-11-21-models, `threads` and `pool` less `tokio`).
const KERNEL_BYTES_PER_THREAD: u64 = 29_000;

/// User memory of a connection of each model, in bytes, 10,000 of which have been served once and are idle:
/// results/2026-11-21-models; those of tasks and frames, whose idle connections hold no buffer any more, by `brink load
/// -c 10k --model MODEL --workload hold`.
const OF_MODELS: &[(&str, u64)] = &[
    ("threads", 9_950),
    ("pool", 10_030),
    ("tokio", 900),
    ("tokio-local", 900),
    ("tokio-blocking", 900),
    ("tokio-offload", 1_030),
    ("mio", 31),
    ("hyper", 11_700),
];
/// The same of each engine, in bytes: `mio` as above; the others by `brink load -c 8000 --engine ENGINE --model mio
/// --workload hold` on the same machine and day.
const OF_ENGINES: &[(&str, u64)] =
    &[("mio", 35), ("tokio", 1_980), ("threads", 14_060), ("pool", 30), ("sequential", 36)];

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Arithmetic on what was counted.
    Counted,
    /// Slopes that were measured, with their scatter.
    Measured,
    /// Documented defaults, measured elsewhere.
    Defaults,
}

impl Basis {
    /// In one word, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Measured => "measured",
            Self::Defaults => "defaults",
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counted => "counted",
            Self::Measured => "memory from measured slopes",
            Self::Defaults => "memory from documented defaults, not measured here",
        })
    }
}

/// What the cases of a run measured per connection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slopes {
    of_target: Vec<Measured>,
    of_client: Vec<Measured>,
}

/// Of one case.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    /// Model or engine.
    name: String,
    connections: u64,
    user_bytes: u64,
    /// Of this end alone.
    kernel_bytes: Option<u64>,
}

/// User and kernel memory of a connection, in bytes. `None`: not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerConnection {
    pub user_bytes: Option<u64>,
    pub kernel_bytes: Option<u64>,
}

impl Slopes {
    /// From the results of a run.
    pub fn of(results: &[CaseResult]) -> Self {
        let mut slopes = Self::default();
        for result in results {
            let (case, memory) = (&result.case, &result.memory_per_connection);
            let client_kernel = kernel_of_client(&case.load.engine);
            let target_kernel = kernel_of_target(case);
            slopes.of_target.extend(measured(&case.target.model, case, &memory.target, client_kernel));
            slopes.of_client.extend(measured(&case.load.engine, case, &memory.client, target_kernel));
        }
        slopes
    }

    /// Whether there is one for the target of this case.
    pub fn has_target(&self, case: &Case) -> bool {
        best(&self.of_target, &case.target.model).is_some()
    }

    /// Whether there is one for the client of this case.
    pub fn has_client(&self, case: &Case) -> bool {
        best(&self.of_client, &case.load.engine).is_some()
    }
}

/// One end's slopes. Where the kernel's figure holds both ends, the other's default is taken off.
fn measured(name: &str, case: &Case, memory: &EndMemory, other_kernel: Option<u64>) -> Option<Measured> {
    let bytes = |slope: f64| (slope.is_finite() && slope >= 0.0).then_some(slope.ceil() as u64);
    let kernel = memory.kernel_bytes.as_ref().and_then(|slope| bytes(slope.slope));
    let kernel_bytes = match memory.kernel_scope {
        Some(KernelScope::MachineBothEnds) => {
            kernel.zip(other_kernel).map(|(both, other)| both.saturating_sub(other))
        }
        Some(KernelScope::Machine | KernelScope::Cgroup) => kernel,
        None => None,
    };
    Some(Measured {
        name: name.to_owned(),
        connections: case.load.connections,
        user_bytes: bytes(memory.user_bytes.as_ref()?.slope)?,
        kernel_bytes,
    })
}

/// That of the case with most connections: the finest slope.
fn best<'a>(all: &'a [Measured], name: &str) -> Option<&'a Measured> {
    all.iter().filter(|one| one.name == name).max_by_key(|one| one.connections)
}

/// Of the target's end.
pub fn of_target(case: &Case, slopes: Option<&Slopes>) -> PerConnection {
    let measured = slopes.and_then(|slopes| best(&slopes.of_target, &case.target.model));
    per_connection(measured, OF_MODELS, &case.target.model, kernel_of_target(case))
}

/// Of the client's end.
pub fn of_client(case: &Case, slopes: Option<&Slopes>) -> PerConnection {
    let measured = slopes.and_then(|slopes| best(&slopes.of_client, &case.load.engine));
    per_connection(measured, OF_ENGINES, &case.load.engine, kernel_of_client(&case.load.engine))
}

/// Where the figures for this case come from, both ends' together.
pub fn basis(case: &Case, slopes: Option<&Slopes>) -> Basis {
    match slopes {
        Some(slopes) if slopes.has_target(case) && slopes.has_client(case) => Basis::Measured,
        _ => Basis::Defaults,
    }
}

/// What all connections of a case take.
pub fn predicted(case: &Case, around: &Surroundings<'_>) -> Option<PredictedMemory> {
    let (client, target) = (of_client(case, around.slopes), of_target(case, around.slopes));
    let all = |bytes: u64| bytes.saturating_mul(case.load.connections);
    let beside = match around.shares_machine {
        Some(true) => target.kernel_bytes?,
        Some(false) | None => 0,
    };
    let available = around.client.readings.iter().find(|reading| reading.name == "memory.available");
    Some(PredictedMemory {
        client_user_bytes: all(client.user_bytes?),
        target_user_bytes: target.user_bytes.map(all),
        kernel_bytes: all(client.kernel_bytes?.saturating_add(beside)),
        available_bytes: available
            .and_then(|reading| Some(reading.value?.saturating_sub(reading.used.unwrap_or(0)))),
        estimated_from: basis(case, around.slopes).to_string(),
    })
}

fn per_connection(
    measured: Option<&Measured>,
    defaults: &[(&str, u64)],
    name: &str,
    kernel_default: Option<u64>,
) -> PerConnection {
    let default = defaults.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes);
    PerConnection {
        user_bytes: measured.map(|one| one.user_bytes).or(default),
        kernel_bytes: measured.and_then(|one| one.kernel_bytes).or(kernel_default),
    }
}

/// Default of the kernel's part of a target's connection. `None` for a stranger.
fn kernel_of_target(case: &Case) -> Option<u64> {
    let row = brink_target::find(&case.target.model)?;
    let has_thread = row.has_connection_thread() || super::every_connection_has_a_worker(case);
    Some(KERNEL_BYTES_PER_SOCKET + if has_thread { KERNEL_BYTES_PER_THREAD } else { 0 })
}

fn kernel_of_client(engine: &str) -> Option<u64> {
    let row = brink_client::find(engine)?;
    let has_thread = row.threads == brink_client::Threads::PerConnection;
    Some(KERNEL_BYTES_PER_SOCKET + if has_thread { KERNEL_BYTES_PER_THREAD } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::super::tests::case;
    use super::*;

    #[test]
    fn every_model_and_engine_has_a_default() {
        for model in brink_target::MODELS {
            let of = of_target(&case(10, model.name), None);
            assert!(of.user_bytes.is_some() && of.kernel_bytes.is_some(), "{}", model.name);
        }
        for engine in brink_client::ENGINES {
            let mut case = case(10, "mio");
            case.load.engine = engine.name.to_owned();
            let of = of_client(&case, None);
            assert!(of.user_bytes.is_some() && of.kernel_bytes.is_some(), "{}", engine.name);
        }
        let mut stranger = case(10, "mio");
        stranger.target.model = "foreign".to_owned();
        assert_eq!(of_target(&stranger, None), PerConnection::default());
    }

    #[test]
    fn threads_cost_the_kernel_more_than_sockets() {
        let kernel = |model| of_target(&case(10, model), None).kernel_bytes.unwrap();
        assert_eq!(kernel("threads") - kernel("tokio"), KERNEL_BYTES_PER_THREAD);
        assert_eq!(kernel("mio"), KERNEL_BYTES_PER_SOCKET);
    }

    #[test]
    fn the_slope_of_most_connections_is_taken_and_a_missing_one_is_a_default() {
        let one = |name: &str, connections, user_bytes| Measured {
            name: name.to_owned(),
            connections,
            user_bytes,
            kernel_bytes: Some(7_000),
        };
        let slopes = Slopes {
            of_target: vec![one("tokio", 100, 5), one("tokio", 10_000, 1_111), one("tokio", 10, 6)],
            of_client: vec![],
        };
        let tokio = case(10, "tokio");
        let of = of_target(&tokio, Some(&slopes));
        assert_eq!((of.user_bytes, of.kernel_bytes), (Some(1_111), Some(7_000)));
        assert_eq!(of_client(&tokio, Some(&slopes)), of_client(&tokio, None));
        assert_eq!(basis(&tokio, Some(&slopes)), Basis::Defaults, "one end is not measured");
    }
}

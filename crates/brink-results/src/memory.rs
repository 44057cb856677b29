//! What one more connection costs each end: slopes over plateaus, never a total divided by a count.
//!
//! Pure. Must not sample anything: the plateaus are handed in.

use brink_wire::value::format_count;

use crate::schema::{EndMemory, EndSample, KernelScope, MachineSample, MemoryPerConnection, Plateau, Slope};
use crate::slope;

/// Plateaus that DESIGN.md asks for; fewer still give a slope, with a reason beside it.
pub const PLATEAUS_WANTED: usize = 5;

/// Fits the memory of both ends over the plateaus.
///
/// User figures come from the ends' processes, kernel figures from their machine. `shared_machine`
/// tells whether one machine's figures count both ends; while it is unknown the scope is null.
/// Returned beside it: one line for each thing that is missing or weak, for `validity.reasons`.
#[must_use]
pub fn memory_per_connection(
    plateaus: Vec<Plateau>,
    shared_machine: Option<bool>,
) -> (MemoryPerConnection, Vec<String>) {
    let mut reasons = weaknesses(&plateaus, shared_machine);
    let scope =
        shared_machine.map(|shared| if shared { KernelScope::MachineBothEnds } else { KernelScope::Machine });
    let mut fits = Fits { plateaus: &plateaus, missing: Vec::new() };
    let client = fits.end(&|p| Some(&p.client), &|p| Some(&p.machine), scope);
    reasons.extend(fits.explain("client"));
    let target_machine: MachineOf = if shared_machine == Some(true) {
        &|p| Some(&p.machine)
    } else {
        // Unknown counts as apart: the client's machine must not stand in for the target's.
        &|p| p.target_machine.as_ref()
    };
    let target = fits.end(&|p| p.target.as_ref(), target_machine, scope);
    reasons.extend(fits.explain("target"));
    let method = method(&plateaus, shared_machine);
    (MemoryPerConnection { client, target, method, plateaus }, reasons)
}

/// The kernel counts memory in pages, so that over a span of N connections nothing finer than a page / N can be
/// seen: figures that stand still within one page fit a line without scatter, which is not certainty.
/// Larger pages than this make the true resolution coarser still.
const PAGE_BYTES_MIN: f64 = 4096.0;

/// A slope with an interval no narrower than the resolution of its points.
fn resolved(slope: Slope, points: &[(f64, f64)]) -> Slope {
    let low = points.iter().map(|p| p.0).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
    let finest = PAGE_BYTES_MIN / (high - low);
    let ci95 = [slope.ci95[0].min(slope.slope - finest), slope.ci95[1].max(slope.slope + finest)];
    Slope { ci95, ..slope }
}

type MachineOf<'a> = &'a dyn Fn(&Plateau) -> Option<&MachineSample>;
type ProcessOf<'a> = &'a dyn Fn(&Plateau) -> Option<&EndSample>;

struct Fits<'a> {
    plateaus: &'a [Plateau],
    /// Fields without a slope, with the number of plateaus that knew them.
    missing: Vec<(&'static str, usize)>,
}

impl Fits<'_> {
    fn end(&mut self, process: ProcessOf, machine: MachineOf, scope: Option<KernelScope>) -> EndMemory {
        let mut of_process =
            |name, field: fn(&EndSample) -> Option<u64>| self.fit(name, &|p| process(p).and_then(field));
        let user_bytes = of_process("user_bytes", |s| s.user_bytes);
        let virtual_bytes = of_process("virtual_bytes", |s| s.virtual_bytes);
        let page_table_bytes = of_process("page_table_bytes", |s| s.page_table_bytes);
        let mut of_machine =
            |name, field: fn(&MachineSample) -> Option<u64>| self.fit(name, &|p| machine(p).and_then(field));
        let kernel_bytes = of_machine("kernel_bytes", |m| m.kernel_bytes.or_else(|| m.usage.kernel_bytes()));
        let kernel_stack_bytes = of_machine("kernel_stack_bytes", |m| m.usage.kernel_stack_bytes);
        let slab_bytes = of_machine("slab_bytes", |m| m.usage.slab_bytes);
        let any_kernel = kernel_bytes.or(kernel_stack_bytes).or(slab_bytes).is_some();
        EndMemory {
            user_bytes,
            virtual_bytes,
            page_table_bytes,
            kernel_bytes,
            kernel_stack_bytes,
            slab_bytes,
            kernel_scope: scope.filter(|_| any_kernel),
        }
    }

    fn fit(&mut self, name: &'static str, bytes: &dyn Fn(&Plateau) -> Option<u64>) -> Option<Slope> {
        let points: Vec<(f64, f64)> =
            self.plateaus.iter().filter_map(|p| Some((p.connections as f64, bytes(p)? as f64))).collect();
        let fitted = slope::fit(&points);
        if fitted.is_none() {
            self.missing.push((name, points.len()));
        }
        fitted.map(|slope| resolved(slope, &points))
    }

    /// One line for all fields that are missing for the same cause.
    fn explain(&mut self, end: &str) -> Vec<String> {
        let missing = std::mem::take(&mut self.missing);
        let mut counts: Vec<usize> = missing.iter().map(|m| m.1).collect();
        counts.sort_unstable();
        counts.dedup();
        let line = |known: usize| {
            let names: Vec<&str> = missing.iter().filter(|m| m.1 == known).map(|m| m.0).collect();
            let cause = if known >= slope::POINTS_MIN {
                "all at the same number of connections".to_owned()
            } else {
                format!("a slope needs {}", slope::POINTS_MIN)
            };
            format!(
                "memory_per_connection.{end}: no {}: known at {known} of {} plateaus, {cause}",
                names.join(", "),
                self.plateaus.len()
            )
        };
        counts.into_iter().map(line).collect()
    }
}

fn weaknesses(plateaus: &[Plateau], shared_machine: Option<bool>) -> Vec<String> {
    let mut reasons = Vec::new();
    if (slope::POINTS_MIN..PLATEAUS_WANTED).contains(&plateaus.len()) {
        reasons.push(format!(
            "memory_per_connection: slopes over {} plateaus, fewer than the {PLATEAUS_WANTED} that are asked for",
            plateaus.len()
        ));
    }
    let unsettled: Vec<String> =
        plateaus.iter().filter(|p| !p.settled).map(|p| format_count(p.connections)).collect();
    if !unsettled.is_empty() {
        reasons.push(format!(
            "memory_per_connection: the target was not seen at rest before sampling at {} connections",
            unsettled.join("; ")
        ));
    }
    if shared_machine.is_none() && !plateaus.is_empty() {
        reasons.push(
            "memory_per_connection: kernel_scope is null, whether both ends share a machine is unknown"
                .to_owned(),
        );
    }
    reasons
}

fn method(plateaus: &[Plateau], shared_machine: Option<bool>) -> String {
    let Some(range) = range(plateaus) else {
        return "not measured: no plateau was reached".to_owned();
    };
    let scope = match shared_machine {
        Some(true) => "of the whole machine that both ends share, so it counts both ends",
        Some(false) => "of each end's own whole machine",
        None => "of the whole machine; whether it counts one end or both is unknown",
    };
    format!(
        "{range}, each sampled after every open connection had echoed once and the target was at rest \
         (plateaus not seen at rest are named in validity.reasons); 95% interval by Student's t, never narrower than a page over the span of connections; \
         user = anonymous resident memory (RssAnon) of the end's processes; \
         kernel = Slab + KernelStack + PageTables of /proc/meminfo + the TCP buffers (mem) of /proc/net/sockstat, \
         {scope}; memory that the kernel freed after earlier runs stays in its slabs for a while and is used again, \
         so that a kernel figure can be too low after a larger run: it is a lower bound"
    )
}

/// How the text of the method begins: `slope by least squares over 5 plateaus from 625 to 10,000 connections`.
/// `None` without plateaus. What follows it is the same for all cases of a run.
#[must_use]
pub fn range(plateaus: &[Plateau]) -> Option<String> {
    let counts = || plateaus.iter().map(|p| p.connections);
    Some(format!(
        "slope by least squares over {} plateaus from {} to {} connections",
        plateaus.len(),
        format_count(counts().min()?),
        format_count(counts().max()?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brink_wire::control::MachineUsage;

    fn sample(user: u64) -> EndSample {
        EndSample { user_bytes: Some(user), virtual_bytes: Some(9 * user), ..EndSample::default() }
    }

    fn machine(slab: u64) -> MachineSample {
        let usage = MachineUsage {
            slab_bytes: Some(slab),
            kernel_stack_bytes: Some(7),
            page_table_bytes: Some(1),
            tcp_bytes: Some(0),
            ..MachineUsage::default()
        };
        MachineSample { t_s: 0.0, kernel_bytes: None, usage }
    }

    fn plateau(connections: u64) -> Plateau {
        Plateau {
            connections,
            settled: true,
            client: sample(1000 + 40 * connections),
            target: Some(sample(5000 + 9800 * connections)),
            machine: machine(10_000 * connections),
            target_machine: None,
        }
    }

    fn rounded(slope: Option<Slope>) -> Option<f64> {
        slope.map(|s| s.slope.round())
    }

    #[test]
    fn nothing_finer_than_a_page_over_the_span_is_claimed() {
        let flat: Vec<_> =
            [2, 4, 6, 8, 10].map(|n| Plateau { client: sample(1 << 20), ..plateau(n) }).to_vec();
        let (memory, _) = memory_per_connection(flat, Some(true));
        let slope = memory.client.user_bytes.unwrap();
        assert_eq!((slope.slope, slope.ci95), (0.0, [-512.0, 512.0]), "a page over 8 connections");
    }

    #[test]
    fn both_ends_on_one_machine() {
        let plateaus = [1, 10, 100, 500, 1000].map(plateau).to_vec();
        let (memory, reasons) = memory_per_connection(plateaus, Some(true));
        assert_eq!(rounded(memory.client.user_bytes), Some(40.0));
        assert_eq!(rounded(memory.target.user_bytes), Some(9800.0));
        assert_eq!(rounded(memory.target.virtual_bytes), Some(9.0 * 9800.0));
        assert_eq!(rounded(memory.target.kernel_bytes), Some(10_000.0));
        assert_eq!(rounded(memory.target.kernel_stack_bytes), Some(0.0));
        assert_eq!(memory.target.kernel_scope, Some(KernelScope::MachineBothEnds));
        assert!(memory.method.contains("over 5 plateaus from 1 to 1,000 connections"), "{}", memory.method);
        assert_eq!(reasons.len(), 2, "page tables of both ends were not sampled: {reasons:?}");
    }

    #[test]
    fn a_machine_each() {
        let apart = |n| Plateau { target_machine: Some(machine(300 * n)), ..plateau(n) };
        let (memory, _) = memory_per_connection([1, 2, 3].map(apart).to_vec(), Some(false));
        assert_eq!(rounded(memory.target.slab_bytes), Some(300.0));
        assert_eq!(rounded(memory.client.slab_bytes), Some(10_000.0));
        assert_eq!(memory.target.kernel_scope, Some(KernelScope::Machine));
    }

    #[test]
    fn a_foreign_target_says_nothing() {
        let foreign = |n| Plateau { target: None, settled: n != 2, ..plateau(n) };
        let (memory, reasons) = memory_per_connection([1, 2, 3, 4].map(foreign).to_vec(), None);
        assert_eq!(memory.target, EndMemory::default());
        assert!(memory.client.kernel_bytes.is_some());
        assert_eq!(memory.client.kernel_scope, None);
        let text = reasons.join("\n");
        assert!(text.contains("over 4 plateaus, fewer than the 5"), "{text}");
        assert!(text.contains("not seen at rest before sampling at 2 connections"), "{text}");
        assert!(text.contains("kernel_scope is null"), "{text}");
        assert!(
            text.contains("target: no user_bytes, virtual_bytes, page_table_bytes, kernel_bytes"),
            "{text}"
        );
        assert!(text.contains("known at 0 of 4 plateaus, a slope needs 3"), "{text}");
    }

    #[test]
    fn nothing_to_fit() {
        let (memory, reasons) = memory_per_connection(Vec::new(), Some(true));
        assert_eq!(memory.method, "not measured: no plateau was reached");
        assert_eq!(reasons.len(), 2, "{reasons:?}");
    }
}

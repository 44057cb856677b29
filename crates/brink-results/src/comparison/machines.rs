//! What the machines, versions and limits of two runs differ in: said before any figure.
//!
//! Must not judge: a difference between machines may be the question.

use std::collections::{BTreeMap, BTreeSet};

use brink_wire::control::Machine;
use brink_wire::value::{format_bytes, format_count, format_cpus};

use super::Comparison;
use super::question::Difference;
use crate::schema::{CaseResult, EndFacts};

/// A limit that is a reading of the moment, or asked of the target by the case.
fn is_of_machine(limit: &str) -> bool {
    limit != "memory.available" && !limit.starts_with("target.")
}

/// Facts by what they are, each with all values that a side has.
type Facts = BTreeMap<(usize, String), BTreeSet<String>>;

/// What differs, in the order of [`facts`].
pub(super) fn differences(comparison: &Comparison) -> Vec<Difference> {
    let baseline: Vec<&CaseResult> =
        comparison.cases.iter().flat_map(|case| case.baseline.iter().copied()).collect();
    let candidate: Vec<&CaseResult> =
        comparison.cases.iter().flat_map(|case| case.candidate.iter().copied()).collect();
    let (a, b) = (facts(&baseline), facts(&candidate));
    let differs = |((order, what), a): (&(usize, String), &BTreeSet<String>)| {
        let b = b.get(&(*order, what.clone()))?;
        let words = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(" and ");
        (a != b).then(|| Difference {
            what: what.clone(),
            baseline: words(a),
            candidate: words(b),
            is_question: false,
        })
    };
    a.iter().filter_map(differs).collect()
}

fn facts(results: &[&CaseResult]) -> Facts {
    let mut facts = Facts::new();
    let mut add = |order: usize, what: &str, value: String| {
        facts.entry((order, what.to_owned())).or_default().insert(value);
    };
    for result in results {
        let is_shared = result.facts.shared_machine;
        add(0, "brink", result.facts.brink_version.clone());
        let shared = is_shared.map_or("unknown", |shared| if shared { "yes" } else { "no" });
        add(1, "both ends on one machine:", shared.to_owned());
        let whose = if is_shared == Some(true) { "" } else { "client's " };
        machine(&result.facts.client.machine, whose, 2, &mut add);
        if let Some(target) = result.facts.target.as_ref().filter(|_| is_shared != Some(true)) {
            machine(&target.machine, "target's ", 20, &mut add);
        }
        limits(&result.facts.client, "client's", 40, &mut add);
        if let Some(target) = &result.facts.target {
            limits(target, "target's", 41, &mut add);
        }
    }
    facts
}

fn machine(machine: &Machine, whose: &str, order: usize, add: &mut impl FnMut(usize, &str, String)) {
    let unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let memory = machine.memory_bytes.map_or("unknown".to_owned(), |bytes| format_bytes(bytes as f64));
    // The first letters tell boots apart.
    let boot: String = unknown(&machine.boot_id).chars().take(8).collect();
    let facts = [
        ("kernel", unknown(&machine.kernel)),
        ("architecture", unknown(&machine.architecture)),
        ("CPU", unknown(&machine.cpu_model)),
        ("CPUs", machine.cpus.to_string()),
        ("CPUs allowed", format_cpus(&machine.cpus_allowed)),
        ("memory", memory),
        ("boot (another machine, or restarted in between)", boot),
    ];
    for (at, (what, value)) in facts.into_iter().enumerate() {
        add(order + at, &format!("{whose}{what}"), value);
    }
}

fn limits(end: &EndFacts, whose: &str, order: usize, add: &mut impl FnMut(usize, &str, String)) {
    for limit in end.limits.iter().filter(|limit| is_of_machine(&limit.name)) {
        let value = limit.value.map_or("none or unknown".to_owned(), format_count);
        add(order, &format!("{whose} {}", limit.name), value);
    }
}

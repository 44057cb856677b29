//! A comparison for machines: `brink.comparison/1`. Names are a contract; measures are named as in a result, with
//! their units in the names.
//!
//! Must not round.

use serde_json::{Value, json};

use super::contrast::{Contrast, Outcome};
use super::question::Difference;
use super::{CaseComparison, Comparison, NotCompared, Side};
use crate::gate::Judgement;
use crate::measures::{Better, Unit};
use crate::schema::CaseResult;
use crate::statistics::Estimate;

/// Schema of a comparison, in its `schema` field.
pub const COMPARISON_SCHEMA: &str = "brink.comparison/1";

/// The comparison and the gates as one object; without a comparison `baseline` is null and `cases` empty.
#[must_use]
pub fn json(comparison: Option<&Comparison>, candidate: &Side, judgements: &[Judgement]) -> Value {
    let list = |of: &dyn Fn(&Comparison) -> Vec<Value>| comparison.map(of).unwrap_or_default();
    json!({
        "schema": COMPARISON_SCHEMA,
        "baseline": comparison.map(|c| side(c.baseline)),
        "candidate": side(candidate),
        "threshold_ratio": comparison.map(|c| c.options.threshold),
        "machines": list(&|c| c.machines.iter().map(difference).collect()),
        "counts": comparison.map(counts),
        "cases": list(&|c| c.cases.iter().map(case).collect()),
        "not_compared": {
            "another_question": list(&|c| c.not_alike.iter().map(skipped).collect()),
            "invalid": list(&|c| c.invalid.iter().map(skipped).collect()),
            "only_baseline": list(&|c| c.only_baseline.iter().map(|name| json!(name)).collect()),
            "only_candidate": list(&|c| c.only_candidate.iter().map(|name| json!(name)).collect()),
        },
        "gates": judgements.iter().map(judgement).collect::<Vec<Value>>(),
        "notes": list(&|c| c.notes.iter().map(|note| json!(note)).collect()),
    })
}

fn side(side: &Side) -> Value {
    json!({
        "from": side.from,
        "results": side.results.len(),
        "missing": side.missing,
        "unreadable": side.unreadable,
    })
}

fn counts(comparison: &Comparison) -> Value {
    let counts = comparison.counts();
    json!({
        "better": counts.better,
        "worse": counts.worse,
        "no_difference": counts.no_difference,
        "undecided": counts.undecided,
        "not_judged": counts.not_judged,
    })
}

fn case(case: &CaseComparison) -> Value {
    let runs = |runs: &[&CaseResult]| runs.len();
    json!({
        "name": case.name,
        "baseline": { "name": case.baseline_name, "runs": runs(&case.baseline) },
        "candidate": { "name": case.candidate_name, "runs": runs(&case.candidate) },
        "differs": case.differences.iter().map(difference).collect::<Vec<Value>>(),
        "comparisons": case.contrasts.iter().map(contrast).collect::<Vec<Value>>(),
    })
}

fn contrast(contrast: &Contrast) -> Value {
    let estimate = |estimate: &Option<Estimate>| {
        estimate.map(|e| json!({ "value": e.value, "ci95": e.interval, "runs": e.count }))
    };
    json!({
        "measure": contrast.measure.name,
        "unit": unit(contrast.measure.unit),
        "better": if contrast.measure.better == Better::Higher { "higher" } else { "lower" },
        "baseline": estimate(&contrast.baseline),
        "candidate": estimate(&contrast.candidate),
        "ratio": estimate(&contrast.ratio),
        "difference": estimate(&contrast.difference),
        "verdict": verdict(contrast.outcome),
        "why": if contrast.why.is_empty() { Value::Null } else { json!(contrast.why) },
    })
}

fn verdict(outcome: Outcome) -> String {
    outcome.name().replace(' ', "_")
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Ns => "ns",
        Unit::Seconds => "s",
        Unit::Bytes => "bytes",
        Unit::PerSecond => "per_s",
        Unit::Count => "count",
    }
}

fn difference(difference: &Difference) -> Value {
    json!({ "what": difference.what, "baseline": difference.baseline, "candidate": difference.candidate })
}

fn skipped(skipped: &NotCompared) -> Value {
    json!({ "name": skipped.name, "why": skipped.why })
}

fn judgement(judgement: &Judgement) -> Value {
    json!({
        "rule": judgement.rule,
        "case": judgement.case,
        "unit": unit(judgement.unit),
        "value": judgement.value,
        "ci95": judgement.interval,
        "bound": judgement.bound,
        "kept": judgement.is_kept,
        "close": judgement.is_close,
        "why": if judgement.why.is_empty() { Value::Null } else { json!(judgement.why) },
    })
}

//! A comparison for machines: `brink.comparison/1`. Names are a contract; measures are named as in a result, with
//! their units in the names.
//!
//! Must not round.

use serde::Serialize;
use serde_json::Value;

use super::contrast::{Contrast, Outcome};
use super::{CaseComparison, Comparison, Counts, NotCompared, Side, question};
use crate::gate::Judgement;
use crate::measures::{Better, Unit};
use crate::schema::CaseResult;
use crate::statistics::Estimate;

/// Schema of a comparison, in its `schema` field.
pub const COMPARISON_SCHEMA: &str = "brink.comparison/1";

/// The comparison and the gates as one object; without a comparison `baseline` is null and `cases` empty.
#[must_use]
pub fn json(comparison: Option<&Comparison>, candidate: &Side, judgements: &[Judgement]) -> Value {
    // It is plain data, so it always has a JSON form.
    serde_json::to_value(Told::of(comparison, candidate, judgements)).unwrap_or_default()
}

/// A run held against another, or against gates alone.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Told<'a> {
    /// `brink.comparison/1`.
    #[cfg_attr(feature = "schema", schemars(extend("const" = COMPARISON_SCHEMA)))]
    schema: &'a str,
    /// What was compared with; null where a run was held against gates alone.
    baseline: Option<SideTold<'a>>,
    /// What was compared.
    candidate: SideTold<'a>,
    /// A difference below this share is called none; null without a baseline.
    threshold_ratio: Option<f64>,
    /// What machines and versions differ in.
    machines: Vec<Difference<'a>>,
    /// How many comparisons say what; null without a baseline.
    counts: Option<CountsTold>,
    /// The cases that were compared.
    cases: Vec<CaseTold<'a>>,
    /// Those that were not.
    not_compared: NotComparedTold<'a>,
    /// Each rule at each case that it is for.
    gates: Vec<GateTold<'a>>,
    /// What must be known of the figures.
    notes: Vec<&'a str>,
}

/// One side.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct SideTold<'a> {
    /// Where it was read from, as it was typed.
    from: &'a str,
    /// How many results it has, valid or not.
    results: usize,
    /// Planned cases that have no result at all, by name without the repeat.
    missing: &'a [String],
    /// Files that could not be read, and why.
    unreadable: &'a [String],
}

/// How many comparisons say what.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct CountsTold {
    /// The candidate is better.
    better: usize,
    /// The candidate is worse.
    worse: usize,
    /// No difference is seen.
    no_difference: usize,
    /// It cannot be told.
    undecided: usize,
    /// It says nothing of what is compared.
    not_judged: usize,
}

/// A case on both sides.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct CaseTold<'a> {
    /// Its name without the repeat; both, where they differ.
    name: &'a str,
    /// In the baseline.
    baseline: RunsTold<'a>,
    /// In the candidate.
    candidate: RunsTold<'a>,
    /// What the two cases differ in.
    differs: Vec<Difference<'a>>,
    /// A comparison for each measure that a side has.
    comparisons: Vec<ContrastTold<'a>>,
}

/// The runs of a case on one side.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct RunsTold<'a> {
    /// Its name there.
    name: &'a str,
    /// How many were used.
    runs: usize,
}

/// What both sides differ in.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Difference<'a> {
    /// In words: `delay`, `kernel`.
    what: &'a str,
    /// In the baseline.
    baseline: &'a str,
    /// In the candidate.
    candidate: &'a str,
}

/// One measure on both sides.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct ContrastTold<'a> {
    /// Its place in a result: `latency_ns.p99`.
    measure: &'a str,
    /// Unit of its figures.
    unit: UnitTold,
    /// Which way is better.
    better: BetterTold,
    /// The baseline's median; null: not measured there.
    baseline: Option<EstimateTold>,
    /// The candidate's median; null: not measured there.
    candidate: Option<EstimateTold>,
    /// Candidate over baseline, for what is above zero by nature.
    ratio: Option<EstimateTold>,
    /// Candidate less baseline, where there is no such ratio.
    difference: Option<EstimateTold>,
    /// What follows.
    verdict: VerdictTold,
    /// Why it is undecided or not judged; else null.
    why: Option<&'a str>,
}

/// A figure over runs.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct EstimateTold {
    /// The figure.
    value: f64,
    /// Its 95% interval; null where a single run does not tell one.
    ci95: Option<[f64; 2]>,
    /// Runs; of a ratio or a difference those of the side that has fewer.
    runs: usize,
}

/// Unit of figures.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum UnitTold {
    /// Nanoseconds.
    Ns,
    /// Seconds.
    S,
    /// Bytes.
    Bytes,
    /// Per second.
    PerS,
    /// A plain number.
    Count,
}

/// Which way is better.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum BetterTold {
    /// Less is.
    Lower,
    /// More is.
    Higher,
}

/// What a comparison says.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum VerdictTold {
    /// The candidate is better.
    Better,
    /// The candidate is worse.
    Worse,
    /// No difference is seen.
    NoDifference,
    /// It cannot be told: a single run, or not measured on a side.
    Undecided,
    /// It says nothing of what is compared: the delay or the schedule sets it.
    NotJudged,
}

/// Cases that were not compared.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct NotComparedTold<'a> {
    /// Both sides ask another question.
    another_question: Vec<SkippedTold<'a>>,
    /// A side has no valid run.
    invalid: Vec<SkippedTold<'a>>,
    /// Only the baseline has them.
    only_baseline: &'a [String],
    /// Only the candidate has them.
    only_candidate: &'a [String],
}

/// A case that was not compared.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct SkippedTold<'a> {
    /// Its name.
    name: &'a str,
    /// Why, in one line.
    why: &'a str,
}

/// What became of a gate at a case.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct GateTold<'a> {
    /// The rule, as it was written.
    rule: &'a str,
    /// The case without the repeat; empty: no case was found.
    case: &'a str,
    /// Unit of its figures.
    unit: UnitTold,
    /// The figure that was judged; null: there is none.
    value: Option<f64>,
    /// Its 95% interval, where repeats tell one.
    ci95: Option<[f64; 2]>,
    /// What it was held against; null: there is none.
    bound: Option<f64>,
    /// Whether it keeps to the rule.
    kept: bool,
    /// Whether the interval reaches across the bound: another run may fall on the other side.
    close: bool,
    /// Why it is breached, where the figures do not say it, or kept although they seem to say otherwise; else null.
    why: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(comparison: Option<&'a Comparison>, candidate: &'a Side, judgements: &'a [Judgement]) -> Self {
        let not_compared = NotComparedTold {
            another_question: each(comparison, |c| &c.not_alike, skipped),
            invalid: each(comparison, |c| &c.invalid, skipped),
            only_baseline: comparison.map_or(&[], |c| &c.only_baseline),
            only_candidate: comparison.map_or(&[], |c| &c.only_candidate),
        };
        Self {
            schema: COMPARISON_SCHEMA,
            baseline: comparison.map(|c| side(c.baseline)),
            candidate: side(candidate),
            threshold_ratio: comparison.map(|c| c.options.threshold),
            machines: each(comparison, |c| &c.machines, difference),
            counts: comparison.map(|c| counts(c.counts())),
            cases: each(comparison, |c| &c.cases, case),
            not_compared,
            gates: judgements.iter().map(gate).collect(),
            notes: each(comparison, |c| &c.notes, |note| note.as_str()),
        }
    }
}

/// A list of the comparison, told one by one; empty without a comparison.
fn each<'a, T: 'a, U>(
    comparison: Option<&'a Comparison>,
    list: impl Fn(&'a Comparison<'a>) -> &'a [T],
    told: impl Fn(&'a T) -> U,
) -> Vec<U> {
    comparison.map(list).unwrap_or_default().iter().map(told).collect()
}

fn side(side: &Side) -> SideTold<'_> {
    SideTold {
        from: &side.from,
        results: side.results.len(),
        missing: &side.missing,
        unreadable: &side.unreadable,
    }
}

fn counts(counts: Counts) -> CountsTold {
    let Counts { better, worse, no_difference, undecided, not_judged } = counts;
    CountsTold { better, worse, no_difference, undecided, not_judged }
}

fn case<'a>(case: &'a CaseComparison<'a>) -> CaseTold<'a> {
    let runs = |name, runs: &[&CaseResult]| RunsTold { name, runs: runs.len() };
    CaseTold {
        name: &case.name,
        baseline: runs(&case.baseline_name, &case.baseline),
        candidate: runs(&case.candidate_name, &case.candidate),
        differs: case.differences.iter().map(difference).collect(),
        comparisons: case.contrasts.iter().map(contrast).collect(),
    }
}

fn contrast(contrast: &Contrast) -> ContrastTold<'_> {
    let estimate = |of: Option<Estimate>| {
        of.map(|of| EstimateTold { value: of.value, ci95: of.interval, runs: of.count })
    };
    ContrastTold {
        measure: contrast.measure.name,
        unit: unit(contrast.measure.unit),
        better: match contrast.measure.better {
            Better::Lower => BetterTold::Lower,
            Better::Higher => BetterTold::Higher,
        },
        baseline: estimate(contrast.baseline),
        candidate: estimate(contrast.candidate),
        ratio: estimate(contrast.ratio),
        difference: estimate(contrast.difference),
        verdict: verdict(contrast.outcome),
        why: some(&contrast.why),
    }
}

fn verdict(outcome: Outcome) -> VerdictTold {
    match outcome {
        Outcome::Better => VerdictTold::Better,
        Outcome::Worse => VerdictTold::Worse,
        Outcome::NoDifference => VerdictTold::NoDifference,
        Outcome::Undecided => VerdictTold::Undecided,
        Outcome::NotJudged => VerdictTold::NotJudged,
    }
}

fn unit(unit: Unit) -> UnitTold {
    match unit {
        Unit::Ns => UnitTold::Ns,
        Unit::Seconds => UnitTold::S,
        Unit::Bytes => UnitTold::Bytes,
        Unit::PerSecond => UnitTold::PerS,
        Unit::Count => UnitTold::Count,
    }
}

fn difference(difference: &question::Difference) -> Difference<'_> {
    Difference { what: &difference.what, baseline: &difference.baseline, candidate: &difference.candidate }
}

fn skipped(skipped: &NotCompared) -> SkippedTold<'_> {
    SkippedTold { name: &skipped.name, why: &skipped.why }
}

fn gate(judgement: &Judgement) -> GateTold<'_> {
    GateTold {
        rule: &judgement.rule,
        case: &judgement.case,
        unit: unit(judgement.unit),
        value: judgement.value,
        ci95: judgement.interval,
        bound: judgement.bound,
        kept: judgement.is_kept,
        close: judgement.is_close,
        why: some(&judgement.why),
    }
}

/// Null where there is nothing to say.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

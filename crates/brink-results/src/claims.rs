//! Claims put to the test: what is claimed, what was measured, and a verdict that follows by the rules of the claims file.
//!
//! Pure: judges what a run folder holds. Must not know any claim, nor run anything.

pub mod check;
mod crossover;
pub mod dimension;
pub mod evidence;
pub mod expression;
pub mod guide;
pub mod program;
pub mod sentences;
pub mod text;
pub mod value;

use std::collections::{BTreeMap, BTreeSet};

use brink_wire::value::format_count;
use serde::{Deserialize, Serialize};

use self::check::{Check, JudgedCheck};
use self::dimension::Dimension;
use self::evidence::Evidence;
use self::program::ProgramResult;
use self::value::{Value, reckon};
use crate::answer::grid::Grid;
use crate::schema::Verdict;
use crate::store::RunData;

/// Schema of a claims file as it was resolved, with its verdicts once it was judged.
pub const CLAIMS_SCHEMA: &str = "brink.claims/1";

/// What is claimed, and by which rules it is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Spec {
    /// [`CLAIMS_SCHEMA`].
    pub schema: String,
    /// Of the run.
    pub name: String,
    /// Whether `--quick` was asked for.
    pub quick: bool,
    /// Those whose results are judged by rules of their own.
    pub experiments: Vec<ExperimentSpec>,
    /// Cases and programs, without their repeat, that `--quick` leaves out.
    pub left_out: Vec<String>,
    /// Programs of the run, with all their repeats.
    #[serde(default)]
    pub programs: Vec<ProgramSpec>,
    /// In the order of the file.
    pub claims: Vec<ClaimSpec>,
    /// What the guide is made of; none: there is none.
    #[serde(default)]
    pub guide: Option<GuideSpec>,
    /// What programs told of themselves, as the version of their language; empty until it was judged.
    #[serde(default)]
    pub facts: BTreeMap<String, BTreeSet<String>>,
    /// What came out; empty until it was judged.
    #[serde(default)]
    pub judged: Vec<JudgedClaim>,
    /// The answers of the guide; empty until it was judged.
    #[serde(default)]
    pub advice: Vec<guide::Advice>,
    /// Cases and programs, with their repeat, without a result when it was judged: it was stopped before its end.
    #[serde(default)]
    pub not_run: Vec<String>,
}

impl Spec {
    /// With its verdicts and the answers of its guide, by what a run folder holds.
    #[must_use]
    pub fn judged_by(self, run: &RunData, programs: &[ProgramResult]) -> Self {
        let judged = judge(&self, run, programs);
        let questions = self.guide.iter().flat_map(|guide| &guide.questions);
        let advice = questions.map(|question| guide::advise(&self, run, *question)).collect();
        let mut facts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, fact) in programs.iter().flat_map(|program| &program.facts) {
            facts.entry(name.clone()).or_default().insert(fact.clone());
        }
        let not_run = evidence::not_run(&self, run, programs);
        Self { judged, advice, facts, not_run, ..self }
    }

    /// Each claim with what was measured of it, in the order of the file; one that was not judged is not there.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&ClaimSpec, &JudgedClaim)> {
        let find = |claim: &ClaimSpec| self.judged.iter().find(|judged| judged.id == claim.id);
        self.claims.iter().filter_map(|claim| Some((claim, find(claim)?))).collect()
    }

    /// What is to be known of a run that was stopped; `None` where it was not.
    #[must_use]
    pub fn stopped_words(&self) -> Option<String> {
        let count = format_count(self.not_run.len() as u64);
        match self.not_run.len() {
            0 => None,
            1 => Some("Stopped before its end: 1 run of a case or a program has no result.".to_owned()),
            _ => Some(format!("Stopped before its end: {count} runs of cases and programs have no result.")),
        }
    }
}

/// An experiment: cases, programs, and what counts as measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExperimentSpec {
    /// The names of its cases and programs begin with it and a dot.
    pub name: String,
    /// Verdicts that count as measured beside `valid`.
    pub allow: Vec<Verdict>,
}

/// A program of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgramSpec {
    /// Experiment and label.
    pub name: String,
    /// Which repeat, from 1.
    pub repeat: u32,
    /// Words as sh(1) would split them, without expansions; `{url}` and `{address}` are those of `serve`, `{brink}` is
    /// this program.
    pub command: String,
    /// A target that is started before it and stopped after it.
    pub serve: Option<crate::case::TargetCase>,
    /// A program that must be on the PATH.
    pub needs: Option<String>,
    /// It is ended after this time, in nanoseconds.
    pub timeout_ns: u64,
    /// Cases of the plan that are run before it: its place in the order.
    pub after_cases: usize,
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaimSpec {
    /// Short and unique: `A1b`.
    pub id: String,
    /// The claim, in short.
    pub says: String,
    /// Where it is made.
    pub source: String,
    /// What it claims of a value, by the value's name.
    pub claimed: BTreeMap<String, String>,
    /// Sentences with `{names}` of values, `{stopped_by of CASE}` and `{FACT of PROGRAM}`; one that asks for what was not
    /// measured is left out.
    pub shows: Vec<String>,
    /// What would change the verdict.
    pub would_change: String,
    /// Named figures, each an expression; they may use those before them.
    pub values: Vec<NamedExpression>,
    /// What is asked of them.
    pub checks: Vec<Check>,
    /// What is drawn.
    pub plot: Option<PlotSpec>,
    /// Its figures side by side.
    #[serde(default)]
    pub table: Option<Table>,
}

/// A table of a claim: cells are texts with the same `{names}` as its sentences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Heads, that of the rows first.
    pub columns: Vec<String>,
    /// Each as long as the heads.
    pub rows: Vec<Vec<String>>,
    /// What must be known of the figures.
    #[serde(default)]
    pub note: String,
}

impl Table {
    /// As it is shown.
    #[must_use]
    pub fn grid(&self) -> Grid {
        let notes = if self.note.is_empty() { Vec::new() } else { vec![self.note.clone()] };
        let (heads, rows) = (self.columns.clone(), self.rows.clone());
        Grid { title: String::new(), heads, rows, last_is_words: false, notes }
    }
}

/// A figure with a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NamedExpression {
    /// As other expressions and sentences call it.
    pub name: String,
    /// See [`expression`].
    pub expression: String,
}

/// The plot of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlotSpec {
    /// These values with their intervals, side by side, and what is claimed of them.
    Bars(Vec<String>),
    /// A measure against connections, a line for each target of the cases that match.
    Lines {
        /// By name or short name.
        measure: String,
        /// Globs.
        cases: Vec<String>,
    },
    /// The p99 of what each sample saw, over the time of one case each.
    OverTime(Vec<String>),
}

/// What the guide is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuideSpec {
    /// Experiments whose cases are its evidence.
    pub experiments: Vec<String>,
    /// Labels of targets that stand a library that blocks.
    pub blocking: Vec<String>,
    /// Workloads that the guide answers for.
    #[serde(default)]
    pub questions: Vec<guide::Question>,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClaimVerdict {
    /// All checks that were measured are kept, and they are half of them or more.
    Holds,
    /// All of them are broken, and they are half of them or more.
    Fails,
    /// Some are kept and some are broken.
    Depends,
    /// Too little was measured, or a check that is too close to tell could turn it.
    Undecided,
}

impl ClaimVerdict {
    /// As in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Depends => "depends",
            Self::Undecided => "undecided",
        }
    }
}

/// A claim with what was measured of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JudgedClaim {
    /// Of the claim.
    pub id: String,
    /// What follows.
    pub verdict: ClaimVerdict,
    /// What was measured for a human, with the figures in it.
    pub sentence: String,
    /// What it depends on, or why nothing was decided; empty where it holds or fails throughout.
    pub on: String,
    /// Its figures.
    pub values: Vec<JudgedValue>,
    /// Its checks.
    pub checks: Vec<JudgedCheck>,
    /// Its table with the figures in it.
    #[serde(default)]
    pub table: Option<Table>,
}

/// A figure of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JudgedValue {
    /// Of the value.
    pub name: String,
    /// As it is reckoned.
    pub expression: String,
    /// In seconds, bytes, per second or plain; null where there is none, and for a crossover that was not found.
    pub figure: Option<f64>,
    /// Its 95% interval, where repeats tell one.
    pub interval: Option<[f64; 2]>,
    /// What it is counted in.
    pub unit: String,
    /// With its interval, as people read it; where there is no figure, why.
    pub words: String,
    /// What is claimed of it.
    pub claimed: Option<String>,
}

/// The experiment that a case or a program belongs to, by its name; empty for a name without one.
fn experiment_of(name: &str) -> &str {
    name.split_once('.').map_or("", |(experiment, _)| experiment)
}

/// Judges every claim by what a run folder holds.
#[must_use]
pub fn judge(spec: &Spec, run: &RunData, programs: &[ProgramResult]) -> Vec<JudgedClaim> {
    let evidence = Evidence::new(spec, run, programs);
    spec.claims.iter().map(|claim| judge_claim(claim, &evidence)).collect()
}

/// A value of a claim, or why there is none.
type Known = (String, Result<Value, String>);

fn judge_claim(claim: &ClaimSpec, evidence: &Evidence) -> JudgedClaim {
    let mut known: Vec<Known> = Vec::new();
    for NamedExpression { name, expression } in &claim.values {
        let value = expression::parse(expression)
            .and_then(|expression| reckon(&expression, evidence, &|name| named(&known, name)));
        known.push((name.clone(), value));
    }
    let checks: Vec<JudgedCheck> = claim
        .checks
        .iter()
        .map(|check| check.judge(&|expression| reckon(expression, evidence, &|name| named(&known, name))))
        .collect();
    let (verdict, on) = check::verdict(&checks);
    let values =
        claim.values.iter().zip(&known).map(|(named, (_, value))| told(claim, named, value)).collect();
    let asked = |name: &str, told: fn(&Value) -> String| words_of(name, &known, evidence, told);
    JudgedClaim {
        id: claim.id.clone(),
        verdict,
        sentence: sentences::said(&claim.shows, &|name| asked(name, Value::words)),
        on,
        values,
        checks,
        table: claim.table.as_ref().map(|table| sentences::filled(table, &|name| asked(name, Value::short))),
    }
}

/// What stands for `{name}`: a value in figures, or what a case or a program tells in words.
fn words_of(
    name: &str,
    known: &[Known],
    evidence: &Evidence,
    told: fn(&Value) -> String,
) -> Result<String, String> {
    match name.split_once(" of ") {
        Some((what, case)) => evidence.words(what.trim(), case.trim()),
        None => named(known, name).map(|value| told(&value)),
    }
}

fn named(known: &[Known], name: &str) -> Result<Value, String> {
    match known.iter().find(|(own, _)| own == name) {
        Some((_, value)) => value.clone(),
        None => Err(format!("`{name}` is not a value")),
    }
}

fn told(claim: &ClaimSpec, named: &NamedExpression, value: &Result<Value, String>) -> JudgedValue {
    let known = value.as_ref().ok();
    let unit = |dimension: Dimension| match dimension {
        dimension::TIME => "seconds".to_owned(),
        dimension::SIZE => "bytes".to_owned(),
        dimension::RATE => "per second".to_owned(),
        dimension::PLAIN => "plain".to_owned(),
        other => other.words(),
    };
    JudgedValue {
        name: named.name.clone(),
        expression: named.expression.clone(),
        figure: known.map(|value| value.figure).filter(|figure| figure.is_finite()),
        interval: known.and_then(Value::interval),
        unit: known.map_or(String::new(), |value| unit(value.dimension)),
        words: value.as_ref().map_or_else(|why| format!("not measured: {why}"), Value::words),
        claimed: claim.claimed.get(&named.name).cloned(),
    }
}

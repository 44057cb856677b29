//! Two runs side by side: cases matched, machines and cases that differ said, each measure judged.
//!
//! Pure: results in, a value out, which `text`, `markdown` and `json` show. Must not compare what is not valid unless it
//! is told to, nor call a difference what the intervals do not keep apart.

pub mod contrast;
mod json;
mod machines;
mod markdown;
mod pairing;
pub mod question;
mod said;
mod text;

use crate::answer::table::printable;
use crate::case::Case;
use crate::gate::{self, Judgement, Subject};
use crate::measures::MEASURES;
use crate::repeats::repeats;
use crate::schema::{CaseResult, Plan};

use self::contrast::{Contrast, Outcome, contrast, is_asked};
use self::pairing::{Pair, pair};
use self::question::Difference;

#[cfg(feature = "schema")]
pub(crate) use self::json::Told;
pub use self::json::{COMPARISON_SCHEMA, json};
pub use self::markdown::markdown;
pub use self::text::text;

/// A difference below this is called none, whatever its interval: what two runs of one sweep drift by, minutes apart
/// on an idle machine.
pub const THRESHOLD: f64 = 0.03;

/// What is on one side.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// Where it was read from, as it was typed.
    pub from: String,
    /// Its results.
    pub results: Vec<CaseResult>,
    /// Names, without the repeat, of planned cases that have no result at all.
    pub missing: Vec<String>,
    /// Planned runs without a result, of cases that have another.
    pub missing_runs: usize,
    /// Files that could not be read, by line.
    pub unreadable: Vec<String>,
}

impl Side {
    /// Results with what was planned, if that is known.
    #[must_use]
    pub fn new(from: &str, results: Vec<CaseResult>, plan: Option<&Plan>, unreadable: Vec<String>) -> Self {
        let planned = || plan.into_iter().flat_map(|plan| &plan.cases);
        let has_any = |name: &String| results.iter().any(|result| name_of_case(&result.case) == *name);
        let has_run = |case: &&Case| results.iter().any(|result| result.case.name == case.name);
        let mut missing: Vec<String> = planned().map(name_of_case).filter(|name| !has_any(name)).collect();
        let without = planned().filter(|case| !has_run(case)).count();
        let missing_runs = without.saturating_sub(missing.len());
        missing.sort_unstable();
        missing.dedup();
        Self { from: from.to_owned(), results, missing, missing_runs, unreadable }
    }

    /// What it lacks, in sentences; `whose` says which side it is.
    #[must_use]
    pub fn lacks(&self, whose: &str) -> Vec<String> {
        said::lacks(self, whose)
    }

    /// Its cases for gates, without a baseline.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject<'_>> {
        let baseline = || Err("there is no baseline".to_owned());
        let missing = self.missing.iter().map(|name| Subject {
            name: name.clone(),
            runs: Vec::new(),
            baseline: baseline(),
        });
        let had = repeats(&self.results).into_iter();
        had.map(|group| Subject { name: group.name, runs: group.results, baseline: baseline() })
            .chain(missing)
            .collect()
    }
}

/// As [`crate::repeats::name`], of a case without a result.
fn name_of_case(case: &Case) -> String {
    let name = case.name.as_str();
    name.strip_suffix(&format!("-r{}", case.repeat)).unwrap_or(name).to_owned()
}

/// How sides are compared.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A difference below this share is called none.
    pub threshold: f64,
    /// Compare cases without a valid run by those that they have.
    pub allow_invalid: bool,
    /// Compare cases that ask different questions.
    pub as_is: bool,
    /// Every measure, not only those that say most.
    pub every_measure: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { threshold: THRESHOLD, allow_invalid: false, as_is: false, every_measure: false }
    }
}

/// Two runs side by side.
#[derive(Debug, Clone)]
pub struct Comparison<'a> {
    /// What is compared with.
    pub baseline: &'a Side,
    /// What is compared.
    pub candidate: &'a Side,
    /// How.
    pub options: Options,
    /// What the machines and versions differ in.
    pub machines: Vec<Difference>,
    /// Cases that were compared.
    pub cases: Vec<CaseComparison<'a>>,
    /// Cases that were not, and why: another question.
    pub not_alike: Vec<NotCompared>,
    /// Cases that were not: no valid run on a side.
    pub invalid: Vec<NotCompared>,
    /// Cases of the baseline that the candidate does not have.
    pub only_baseline: Vec<String>,
    /// Cases of the candidate that the baseline does not have.
    pub only_candidate: Vec<String>,
    /// What must be known of the figures.
    pub notes: Vec<String>,
}

/// A case on both sides.
#[derive(Debug, Clone)]
pub struct CaseComparison<'a> {
    /// Its name; both, where they differ.
    pub name: String,
    /// Its name in the baseline.
    pub baseline_name: String,
    /// Its name in the candidate.
    pub candidate_name: String,
    /// The runs of the baseline that were used.
    pub baseline: Vec<&'a CaseResult>,
    /// The runs of the candidate that were used.
    pub candidate: Vec<&'a CaseResult>,
    /// What the cases differ in.
    pub differences: Vec<Difference>,
    /// The measures that at least one side has.
    pub contrasts: Vec<Contrast>,
}

/// A case that was not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCompared {
    /// Its name.
    pub name: String,
    /// Its name in the candidate.
    pub candidate_name: String,
    /// In one line.
    pub why: String,
}

/// How many comparisons say what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "as the outcomes of the same names")]
pub struct Counts {
    pub better: usize,
    pub worse: usize,
    pub no_difference: usize,
    pub undecided: usize,
    pub not_judged: usize,
}

impl Counts {
    /// Comparisons that came to a verdict.
    #[must_use]
    pub fn decided(&self) -> usize {
        self.better + self.worse + self.no_difference
    }
}

/// Compares two sides.
#[must_use]
pub fn compare<'a>(baseline: &'a Side, candidate: &'a Side, options: Options) -> Comparison<'a> {
    let pairs = pair(&baseline.results, &candidate.results);
    let mut made = Comparison {
        baseline,
        candidate,
        options,
        machines: Vec::new(),
        cases: Vec::new(),
        not_alike: Vec::new(),
        invalid: Vec::new(),
        only_baseline: pairs.only_baseline,
        only_candidate: pairs.only_candidate,
        notes: pairs.note.iter().map(|note| printable(note)).collect(),
    };
    for pair in pairs.pairs {
        made.add(&pair);
    }
    made.machines = machines::differences(&made);
    made.notes.extend(said::notes(&made));
    made
}

impl<'a> Comparison<'a> {
    fn add(&mut self, pair: &Pair<'a>) {
        let differences = question::differences(pair.baseline.first(), pair.candidate.first());
        let skipped =
            |why: String| NotCompared { name: pair.name(), candidate_name: pair.candidate.name.clone(), why };
        let other: Vec<String> =
            differences.iter().filter(|d| d.is_question).map(|d| printable(&d.words())).collect();
        if !other.is_empty() && !self.options.as_is {
            self.not_alike.push(skipped(other.join(", ")));
            return;
        }
        let used = |runs: &[&'a CaseResult]| gate::believed(runs, self.options.allow_invalid);
        let (baseline, candidate) = (used(&pair.baseline.results), used(&pair.candidate.results));
        for (side, used, of) in
            [("baseline", &baseline, &pair.baseline), ("candidate", &candidate, &pair.candidate)]
        {
            let invalid: Vec<&CaseResult> =
                of.results.iter().copied().filter(|r| !gate::is_valid(r)).collect();
            let Some(first) = invalid.first() else { continue };
            let why = format!("{side} {}", printable(&gate::why_invalid(first)));
            if used.is_empty() {
                self.invalid.push(skipped(why));
                return;
            }
            self.notes.push(if invalid.len() == of.results.len() {
                format!("{}: no valid run; compared all the same: {why}.", printable(&pair.name()))
            } else {
                let (used, all) = (used.len(), of.results.len());
                format!(
                    "{}: {used} of {all} runs are valid, the others are left out: {why}.",
                    printable(&pair.name())
                )
            });
        }
        let measures =
            MEASURES.iter().filter(|m| (m.is_compared || self.options.every_measure) && !is_asked(m));
        let contrasts =
            measures.filter_map(|m| contrast(m, &baseline, &candidate, self.options.threshold)).collect();
        self.cases.push(CaseComparison {
            name: pair.name(),
            baseline_name: pair.baseline.name.clone(),
            candidate_name: pair.candidate.name.clone(),
            baseline,
            candidate,
            differences,
            contrasts,
        });
    }

    /// All comparisons with their case.
    pub fn contrasts(&self) -> impl Iterator<Item = (&CaseComparison<'a>, &Contrast)> {
        self.cases.iter().flat_map(|case| case.contrasts.iter().map(move |contrast| (case, contrast)))
    }

    /// How many comparisons say what.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (_, contrast) in self.contrasts() {
            *match contrast.outcome {
                Outcome::Better => &mut counts.better,
                Outcome::Worse => &mut counts.worse,
                Outcome::NoDifference => &mut counts.no_difference,
                Outcome::Undecided => &mut counts.undecided,
                Outcome::NotJudged => &mut counts.not_judged,
            } += 1;
        }
        counts
    }

    /// The candidate's cases for gates.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject<'a>> {
        let mut subjects = self.candidate.subjects();
        for subject in &mut subjects {
            let of = |list: &[NotCompared]| {
                list.iter()
                    .find(|skipped| skipped.candidate_name == subject.name)
                    .map(|skipped| skipped.why.clone())
            };
            // By its results: a folder put together by hand may hold a name twice.
            let has = |run: &&CaseResult| subject.runs.iter().any(|own| std::ptr::eq(*own, *run));
            let compared = self.cases.iter().find(|case| case.candidate.iter().any(has));
            subject.baseline = match (compared, of(&self.not_alike), of(&self.invalid)) {
                (Some(case), _, _) => Ok(case.baseline.clone()),
                (None, Some(why), _) => Err(format!("the baseline asks another question: {why}")),
                (None, None, Some(why)) => Err(format!("no valid run to compare with: {why}")),
                (None, None, None) => Err("the baseline has no such case".to_owned()),
            };
        }
        subjects
    }
}

/// Gates and what became of them, in words: `3 gates: 2 kept, 1 breached`.
#[must_use]
pub fn gates_in_words(judgements: &[Judgement]) -> String {
    let breached = judgements.iter().filter(|judgement| !judgement.is_kept).count();
    let close = judgements.iter().filter(|judgement| judgement.is_kept && judgement.is_close).count();
    let close = if close > 0 { format!(" ({close} of them close)") } else { String::new() };
    let checks =
        if judgements.len() == 1 { "1 gate".to_owned() } else { format!("{} gates", judgements.len()) };
    format!("{checks}: {} kept{close}, {breached} breached", judgements.len() - breached)
}

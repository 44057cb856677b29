//! What a run measured, as claims ask for it: the figures of a case or a program by name, or why there are none.
//!
//! Must not judge a claim.

use crate::gate::why_invalid;
use crate::measures::Measure;
use crate::repeats::{Repeats, repeats};
use crate::schema::{CaseResult, Verdict};
use crate::statistics::{Observation, Scale};
use crate::store::RunData;

use super::dimension::Dimension;
use super::program::ProgramResult;
use super::{ProgramSpec, Spec, experiment_of};

/// What a case tells in words: the limit that ended it.
pub const STOPPED_BY: &str = "stopped_by";

/// Results, programs and what was asked for.
pub struct Evidence<'a> {
    spec: &'a Spec,
    cases: Vec<Repeats<'a>>,
    planned: Vec<String>,
    programs: &'a [ProgramResult],
}

/// What runs measured, in seconds, bytes, per second or plain.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// One for each run.
    pub runs: Vec<Observation>,
    /// How they scatter.
    pub scale: Scale,
}

impl<'a> Evidence<'a> {
    /// Of a run folder.
    #[must_use]
    pub fn new(spec: &'a Spec, run: &'a RunData, programs: &'a [ProgramResult]) -> Self {
        let planned = run.plan.iter().flat_map(|plan| &plan.cases);
        let stem = |name: &str| name.rsplit_once("-r").map_or(name, |(stem, _)| stem).to_owned();
        let mut planned: Vec<String> = planned.map(|case| stem(&case.name)).collect();
        planned.dedup();
        Self { spec, cases: repeats(&run.results), planned, programs }
    }

    /// What a case or a program measured.
    ///
    /// # Errors
    /// Why there is no figure.
    pub fn figures(&self, measure: &str, case: &str) -> Result<Figures, String> {
        if let Some(group) = self.cases.iter().find(|group| group.name == case) {
            return self.of_case(measure, group);
        }
        let runs: Vec<&ProgramResult> = self.programs.iter().filter(|run| run.name == case).collect();
        if !runs.is_empty() {
            return of_program(measure, case, &runs);
        }
        Err(match () {
            () if self.spec.left_out.iter().any(|name| name == case) => {
                format!("{case}: left out by --quick")
            }
            () if self.is_planned(case) => format!("{case}: has no result yet"),
            () => format!("{case}: is not in this run"),
        })
    }

    /// What a case or a program tells in words: the limit that ended a case (`stopped_by`), or a fact of a program.
    ///
    /// # Errors
    /// Why there is none.
    pub fn words(&self, what: &str, case: &str) -> Result<String, String> {
        let none = || format!("{case}: does not tell `{what}`");
        if let Some(group) = self.cases.iter().find(|group| group.name == case) {
            let counted = self.counted(group);
            let point = counted.iter().find_map(|result| result.failure_point.as_ref());
            return match (what, counted.is_empty()) {
                (STOPPED_BY, false) => {
                    Ok(point.map_or_else(|| "nothing".to_owned(), |point| point.limit.clone()))
                }
                (STOPPED_BY, true) => Err(format!("{}: {}", group.name, why_invalid(group.first()))),
                _ => Err(none()),
            };
        }
        let mut runs = self.programs.iter().filter(|run| run.name == case && run.why_none().is_none());
        runs.find_map(|run| run.facts.get(what).cloned()).ok_or_else(none)
    }

    fn is_planned(&self, name: &str) -> bool {
        self.planned.iter().any(|planned| planned == name)
            || self.spec.programs.iter().any(|program| program.name == name)
    }

    /// The cases whose names match, by their connections.
    pub fn matching(&self, glob: &str) -> Vec<(u64, &Repeats<'a>)> {
        let fits = |group: &&Repeats| crate::gate::matches(glob, &group.name);
        let mut all: Vec<(u64, &Repeats)> = self
            .cases
            .iter()
            .filter(fits)
            .map(|group| (group.first().case.load.connections, group))
            .collect();
        all.sort_by_key(|(connections, _)| *connections);
        all
    }

    /// Those of a case that count as measured, by its experiment.
    pub fn counted<'g>(&self, group: &'g Repeats<'a>) -> Vec<&'g CaseResult> {
        let experiment = experiment_of(&group.name);
        let allowed = self.spec.experiments.iter().find(|of| of.name == experiment);
        let counts = |result: &&CaseResult| {
            let verdict = result.validity.verdict;
            verdict == Verdict::Valid
                || (verdict == Verdict::LimitBound && result.ceiling.is_some())
                || allowed.is_some_and(|of| of.allow.contains(&verdict))
        };
        group.results.iter().copied().filter(counts).collect()
    }

    fn of_case(&self, name: &str, group: &Repeats<'a>) -> Result<Figures, String> {
        let Some(measure) = Measure::find(name) else {
            return Err(format!("`{name}` is not a measure of a case"));
        };
        let counted = self.counted(group);
        if counted.is_empty() {
            return Err(format!("{}: {}", group.name, why_invalid(group.first())));
        }
        let scale = Dimension::of(measure.unit).1;
        let scaled = |seen: Observation| Observation { value: seen.value * scale, half: seen.half * scale };
        let runs: Vec<Observation> = counted.into_iter().filter_map(measure.pick).map(scaled).collect();
        if runs.is_empty() {
            return Err(format!("{}: `{name}` was not measured", group.name));
        }
        Ok(Figures { runs, scale: measure.scale() })
    }
}

/// Cases and programs of a run, with their repeat, that have no result, or one that was cut short.
pub(super) fn not_run(spec: &Spec, run: &RunData, programs: &[ProgramResult]) -> Vec<String> {
    let cut_short = run.results.iter().filter(|result| result.interrupted);
    let cases = run.missing().into_iter().chain(cut_short.map(|result| result.case.name.as_str()));
    let is_whole = |of: &&ProgramSpec| {
        programs.iter().any(|run| run.name == of.name && run.repeat == of.repeat && !run.interrupted)
    };
    let programs = spec.programs.iter().filter(|of| !is_whole(of));
    cases.map(str::to_owned).chain(programs.map(|of| format!("{}-r{}", of.name, of.repeat))).collect()
}

fn of_program(name: &str, case: &str, runs: &[&ProgramResult]) -> Result<Figures, String> {
    let scale = Dimension::of_name(name).1;
    let figures: Vec<Observation> = runs
        .iter()
        .filter_map(|run| run.figure(name))
        .map(|figure| Observation { value: figure * scale, half: 0.0 })
        .collect();
    if figures.is_empty() {
        let why = runs.iter().find_map(|run| run.why_none());
        let why = why.unwrap_or_else(|| format!("it did not tell `{name}`"));
        return Err(format!("{case}: {why}"));
    }
    let is_positive = figures.iter().all(|seen| seen.value > 0.0);
    Ok(Figures { runs: figures, scale: if is_positive { Scale::Ratio } else { Scale::Amount } })
}

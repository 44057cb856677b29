//! The repeats of a case as one: cases that differ in nothing but which repeat they are.
//!
//! Invalid results stay in the group and out of its figures. Must not compare groups.

use crate::answer::compare::same_load;
use crate::answer::ordered;
use crate::gate::is_valid;
use crate::measures::Measure;
use crate::schema::CaseResult;
use crate::statistics::{Estimate, Observation, estimate, median};

/// All results of one case of a run.
#[derive(Debug, Clone)]
pub struct Repeats<'a> {
    /// The name of the case without its repeat: `threads-c10000`.
    pub name: String,
    /// In the order of the repeats.
    pub results: Vec<&'a CaseResult>,
}

impl<'a> Repeats<'a> {
    /// Any of them: for what the case says of itself.
    #[must_use]
    pub fn first(&self) -> &'a CaseResult {
        // There is no group without a result: see `repeats`.
        self.results[0]
    }

    /// Those whose figures may be believed: also a ceiling that met a limit, which it was there for.
    pub fn valid(&self) -> impl Iterator<Item = &'a CaseResult> + '_ {
        self.results.iter().copied().filter(|result| is_valid(result))
    }

    /// Those that figures are made of: the valid ones, or all where none is.
    pub fn told(&self) -> impl Iterator<Item = &'a CaseResult> + '_ {
        let none_valid = self.valid().next().is_none();
        self.results.iter().copied().filter(move |r| none_valid || is_valid(r))
    }

    /// The median of what [`told`](Self::told) measured, without an interval; `None` where none did.
    #[must_use]
    pub fn median(&self, pick: impl Fn(&CaseResult) -> Option<f64>) -> Option<f64> {
        median(&self.told().filter_map(pick).collect::<Vec<f64>>())
    }

    /// What the valid ones measured.
    #[must_use]
    pub fn observations(&self, measure: &Measure) -> Vec<Observation> {
        self.valid().filter_map(measure.pick).collect()
    }

    /// The median of the valid ones with its interval; `None` where none measured it.
    #[must_use]
    pub fn estimate(&self, measure: &Measure) -> Option<Estimate> {
        estimate(&self.observations(measure), measure.scale())
    }
}

/// The name of a case without its repeat.
#[must_use]
pub fn name(result: &CaseResult) -> &str {
    let name = result.case.name.as_str();
    let is_number = |tail: &str| tail.parse() == Ok(result.case.repeat);
    match name.rsplit_once("-r") {
        Some((head, tail)) if is_number(tail) => head,
        _ => name,
    }
}

/// The cases of a run with their repeats, in the order of [`ordered`].
#[must_use]
pub fn repeats(results: &[CaseResult]) -> Vec<Repeats<'_>> {
    grouped(&ordered(results))
}

/// The cases of these results with their repeats, in their order.
#[must_use]
pub fn grouped<'a>(results: &[&'a CaseResult]) -> Vec<Repeats<'a>> {
    let mut groups: Vec<Repeats> = Vec::new();
    let is_of = |group: &Repeats, result: &CaseResult| {
        let (one, other) = (&group.first().case, &result.case);
        group.name == name(result)
            && one.target.label == other.target.label
            && same_load(&one.load, &other.load)
    };
    for &result in results {
        match groups.iter_mut().find(|group| is_of(group, result)) {
            Some(group) => group.results.push(result),
            None => groups.push(Repeats { name: name(result).to_owned(), results: vec![result] }),
        }
    }
    groups
}

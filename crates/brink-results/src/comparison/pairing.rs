//! Which case of one run goes with which of another.
//!
//! By name, without the repeat. Where no name is on both sides: the one case of each; or, where each side has one label,
//! cases that ask the same. Must not look at figures.

use std::collections::BTreeSet;

use super::question::question;
use crate::repeats::{Repeats, repeats};
use crate::schema::CaseResult;

/// A case on both sides.
#[derive(Debug, Clone)]
pub(super) struct Pair<'a> {
    pub(super) baseline: Repeats<'a>,
    pub(super) candidate: Repeats<'a>,
}

impl Pair<'_> {
    /// `tokio-c100`, or `tokio-c100 against mio-c100`.
    pub(super) fn name(&self) -> String {
        if self.baseline.name == self.candidate.name {
            self.candidate.name.clone()
        } else {
            format!("{} against {}", self.candidate.name, self.baseline.name)
        }
    }
}

/// Who goes with whom.
#[derive(Debug, Default)]
pub(super) struct Pairs<'a> {
    pub(super) pairs: Vec<Pair<'a>>,
    pub(super) only_baseline: Vec<String>,
    pub(super) only_candidate: Vec<String>,
    /// How, where it was not by name.
    pub(super) note: Option<String>,
}

pub(super) fn pair<'a>(baseline: &'a [CaseResult], candidate: &'a [CaseResult]) -> Pairs<'a> {
    let (a, b) = (repeats(baseline), repeats(candidate));
    let same_name = |x: &Repeats, y: &Repeats| x.name == y.name;
    if a.iter().any(|x| b.iter().any(|y| same_name(x, y))) {
        return matched(a, b, same_name, None);
    }
    if let ([x], [y]) = (a.as_slice(), b.as_slice()) {
        let note = format!("Each side has one case, so {} is held against {}.", y.name, x.name);
        return matched(a, b, |_, _| true, Some(note));
    }
    let (x, y) = (labels(&a), labels(&b));
    let ([x], [y]) = (x.as_slice(), y.as_slice()) else { return matched(a, b, same_name, None) };
    if !are_apart(&a) || !are_apart(&b) {
        return matched(a, b, same_name, None);
    }
    let note = format!(
        "No case has the same name on both sides: {y} is held against {x} where the load is the same."
    );
    matched(a, b, |x, y| question(x.first()) == question(y.first()), Some(note))
}

/// Whether each case asks something of its own.
fn are_apart(groups: &[Repeats]) -> bool {
    groups.iter().map(|group| question(group.first())).collect::<BTreeSet<String>>().len() == groups.len()
}

fn labels(groups: &[Repeats]) -> Vec<String> {
    let labels: BTreeSet<&str> =
        groups.iter().map(|group| group.first().case.target.label.as_str()).collect();
    labels.into_iter().map(str::to_owned).collect()
}

fn matched<'a>(
    baseline: Vec<Repeats<'a>>,
    mut candidate: Vec<Repeats<'a>>,
    is_partner: impl Fn(&Repeats, &Repeats) -> bool,
    note: Option<String>,
) -> Pairs<'a> {
    let mut found = Pairs::default();
    for own in baseline {
        // Of several that have the name, which only a folder put together by hand has, the one that asks the same.
        let asks = question(own.first());
        let same = candidate.iter().position(|o| is_partner(&own, o) && question(o.first()) == asks);
        match same.or_else(|| candidate.iter().position(|other| is_partner(&own, other))) {
            Some(at) => found.pairs.push(Pair { baseline: own, candidate: candidate.remove(at) }),
            None => found.only_baseline.push(own.name),
        }
    }
    found.only_candidate = candidate.into_iter().map(|group| group.name).collect();
    found.note = note.filter(|_| !found.pairs.is_empty());
    found
}

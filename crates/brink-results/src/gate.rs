//! Gates: rules that results must keep to, judged case by case.
//!
//! Nothing passes in silence: what was not measured, is not valid, or matches no case breaches its rule and says why.
//! Pure. Must not decide how the program ends.

mod rule;

use brink_wire::value::format_count;

pub use self::rule::{Bound, Operator, Rule, RuleError};

use crate::answer::table::verdict_name;
use crate::comparison::contrast::{Change, figure, observations, signed};
use crate::measures::{Measure, Unit};
use crate::schema::{CaseResult, Verdict};
use crate::statistics::{Observation, median};

/// A rule, and the cases it is for.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Their names without the repeat, with `*` for any characters and `?` for one; `None`: every case.
    pub case: Option<String>,
    /// What they must keep to.
    pub rule: Rule,
}

/// A case that gates are held against.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Its name without the repeat.
    pub name: String,
    /// All its results, valid or not; none where it was planned and has no result.
    pub runs: Vec<&'a CaseResult>,
    /// Those of the baseline that may be compared with; else why there are none.
    pub baseline: Result<Vec<&'a CaseResult>, String>,
}

/// What became of one gate at one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The rule.
    pub rule: String,
    /// The case; empty: none was found.
    pub case: String,
    /// What the measure is counted in.
    pub unit: Unit,
    /// The figure that was judged; `None`: there is none.
    pub value: Option<f64>,
    /// Its 95% interval, where repeats tell one.
    pub interval: Option<[f64; 2]>,
    /// What it was held against, in the same unit.
    pub bound: Option<f64>,
    /// Whether it keeps to the rule.
    pub is_kept: bool,
    /// Whether the interval reaches across the bound: another run may fall on the other side.
    pub is_close: bool,
    /// Why it is breached, where the figures do not say it, or kept although they seem to say otherwise.
    pub why: String,
}

impl Judgement {
    /// `1.20 ms, kept`; `6.10 ms (5.90 ms to 6.30 ms), breached`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut parts = Vec::new();
        if let Some(value) = self.value {
            let range =
                |[low, high]: [f64; 2]| format!(" ({} to {})", exact(self.unit, low), exact(self.unit, high));
            parts.push(format!("{}{}", exact(self.unit, value), self.interval.map_or(String::new(), range)));
            if let Some(bound) = self.bound.filter(|_| !self.says_bound()) {
                parts.push(format!("against {}", exact(self.unit, bound)));
            }
        }
        parts.push(if self.is_kept { "kept" } else { "breached" }.to_owned());
        if self.is_close && self.why.is_empty() {
            parts.push("but close: the interval reaches across the bound".to_owned());
        }
        let words = parts.join(", ");
        if self.why.is_empty() { words } else { format!("{words}: {}", self.why) }
    }

    /// Whether the rule itself tells the bound.
    fn says_bound(&self) -> bool {
        let last = self.rule.rsplit(' ').next().unwrap_or_default();
        !self.rule.contains('*') && last.starts_with(|c: char| c.is_ascii_digit())
    }
}

/// Counts in full, also those below one of a median.
fn exact(unit: Unit, value: f64) -> String {
    if unit == Unit::Count && value.fract() != 0.0 { format!("{value:.1}") } else { signed(unit, value) }
}

/// Holds every gate against every case that it is for.
#[must_use]
pub fn judge(gates: &[Gate], subjects: &[Subject], allow_invalid: bool) -> Vec<Judgement> {
    let of_gate = |gate: &Gate| -> Vec<Judgement> {
        let is_meant =
            |subject: &&Subject| gate.case.as_ref().is_none_or(|glob| matches(glob, &subject.name));
        let meant: Vec<&Subject> = subjects.iter().filter(is_meant).collect();
        if meant.is_empty() {
            let glob = gate.case.as_deref().unwrap_or("*");
            return vec![breached(&gate.rule, "", format!("no case is named `{glob}`"))];
        }
        meant.into_iter().map(|subject| judge_case(&gate.rule, subject, allow_invalid)).collect()
    };
    gates.iter().flat_map(of_gate).collect()
}

/// The results of a case that may be believed: the valid ones; where there is none and invalid ones are allowed, all.
#[must_use]
pub fn believed<'a>(runs: &[&'a CaseResult], allow_invalid: bool) -> Vec<&'a CaseResult> {
    let valid: Vec<&CaseResult> = runs.iter().copied().filter(|run| is_valid(run)).collect();
    if valid.is_empty() && allow_invalid { runs.to_vec() } else { valid }
}

/// A ceiling is there to meet a limit.
pub(crate) fn is_valid(result: &CaseResult) -> bool {
    match result.validity.verdict {
        Verdict::Valid => true,
        Verdict::LimitBound => result.ceiling.is_some(),
        _ => false,
    }
}

/// `unsteady: the completion rate ..`
pub(crate) fn why_invalid(result: &CaseResult) -> String {
    let why = result.validity.reasons.first().map_or("no reason given", String::as_str);
    format!("{}: {why}", verdict_name(result.validity.verdict))
}

fn judge_case(rule: &Rule, subject: &Subject, allow_invalid: bool) -> Judgement {
    let Some(first) = subject.runs.first() else {
        return breached(rule, &subject.name, "planned, but it has no result".to_owned());
    };
    let runs = believed(&subject.runs, allow_invalid);
    if runs.is_empty() {
        return breached(rule, &subject.name, why_invalid(first));
    }
    if rule.is_exact() {
        return judge_exactly(rule, subject);
    }
    let own = observations(rule.measure, &runs);
    let Some(value) = middle(rule.measure, &own) else {
        return breached(rule, &subject.name, format!("`{}` was not measured", rule.measure.name));
    };
    let bound = match (bound(rule, &runs), &subject.baseline) {
        (Some(bound), _) => bound,
        (None, Ok(baseline)) => {
            match (rule.bound, middle(rule.measure, &observations(rule.measure, baseline))) {
                (Bound::Baseline { factor }, Some(median)) => Ok(factor * median),
                _ => Err(format!("`{}` was not measured in the baseline", rule.measure.name)),
            }
        }
        (None, Err(why)) => Err(why.clone()),
    };
    let bound = match bound {
        Ok(bound) => bound,
        Err(why) => return Judgement { value: Some(value), ..breached(rule, &subject.name, why) },
    };
    let interval =
        figure(rule.measure, &own).and_then(|estimate| (estimate.count > 1).then_some(estimate.interval)?);
    let holds = rule.operator.holds(value, bound);
    let excused = !holds && is_excused(rule, subject, &own);
    Judgement {
        rule: rule.to_string(),
        case: subject.name.clone(),
        unit: rule.measure.unit,
        value: Some(value),
        interval,
        bound: Some(bound),
        is_kept: holds || excused,
        is_close: excused || interval.is_some_and(|[low, high]| low <= bound && bound <= high),
        why: if excused { "no difference from the baseline is seen".to_owned() } else { String::new() },
    }
}

/// A bound that the baseline itself keeps to is breached only where a difference from the baseline is seen: the noise
/// of two runs breaches nothing. A single run does not tell, and is judged by its figure.
fn is_excused(rule: &Rule, subject: &Subject, own: &[Observation]) -> bool {
    let (Bound::Baseline { factor }, Ok(baseline)) = (rule.bound, &subject.baseline) else { return false };
    rule.operator.allows_the_same(factor)
        && Change::of(rule.measure, &observations(rule.measure, baseline), own)
            .is_some_and(|change| change.is_seen() == Some(false))
}

/// Counts are facts: every run must keep to the rule, also one whose timing is not to be believed. The worst is shown.
fn judge_exactly(rule: &Rule, subject: &Subject) -> Judgement {
    let mut worst: Option<(f64, f64)> = None;
    for run in subject.runs.iter().copied() {
        let of = |measure: &Measure| (measure.pick)(run).map(|seen| seen.value);
        let bound = match bound(rule, &[run]) {
            Some(Ok(bound)) => bound,
            Some(Err(why)) => return breached(rule, &subject.name, why),
            None => return breached(rule, &subject.name, "it has no bound".to_owned()),
        };
        let Some(value) = of(rule.measure) else {
            return breached(rule, &subject.name, format!("`{}` was not measured", rule.measure.name));
        };
        let excess = |(value, bound): (f64, f64)| rule.operator.excess(value, bound);
        if worst.is_none_or(|worst| excess((value, bound)) > excess(worst)) {
            worst = Some((value, bound));
        }
    }
    let Some((value, bound)) = worst else {
        return breached(rule, &subject.name, "it has no result".to_owned());
    };
    let is_kept = rule.operator.holds(value, bound);
    let runs = subject.runs.len();
    let why = if is_kept || runs == 1 {
        String::new()
    } else {
        format!("the worst of {} runs", format_count(runs as u64))
    };
    Judgement {
        value: Some(value),
        bound: Some(bound),
        is_kept,
        why,
        ..breached(rule, &subject.name, String::new())
    }
}

/// The bound of a rule within a case; `None`: it is the baseline's.
fn bound(rule: &Rule, runs: &[&CaseResult]) -> Option<Result<f64, String>> {
    match rule.bound {
        Bound::Figure(figure) => Some(Ok(figure)),
        Bound::Measure { factor, measure } => {
            let median = middle(measure, &observations(measure, runs));
            let median = median.ok_or_else(|| format!("`{}` was not measured", measure.name));
            Some(median.map(|value| rule::converted(factor * value, measure.unit, rule.measure.unit)))
        }
        Bound::Baseline { .. } => None,
    }
}

/// The figure that the tables of a comparison show. Of an odd number of runs it is one of them, to the last digit.
fn middle(measure: &Measure, runs: &[Observation]) -> Option<f64> {
    if runs.len() % 2 == 1 {
        return median(&runs.iter().map(|run| run.value).collect::<Vec<f64>>());
    }
    figure(measure, runs).map(|estimate| estimate.value)
}

fn breached(rule: &Rule, case: &str, why: String) -> Judgement {
    Judgement {
        rule: rule.to_string(),
        case: case.to_owned(),
        unit: rule.measure.unit,
        value: None,
        interval: None,
        bound: None,
        is_kept: false,
        is_close: false,
        why,
    }
}

/// Whether a name is like `glob`, where `*` stands for any characters and `?` for one.
#[must_use]
pub fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    // Where to go on when what follows the last `*` does not fit: one more character is taken by it.
    let (mut g, mut n, mut retry) = (0, 0, None);
    while n < name.len() {
        match glob.get(g) {
            Some('*') => {
                retry = Some((g, n));
                g += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (g, n) = (g + 1, n + 1),
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (g, n) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn globs() {
        for (glob, name) in [
            ("*", ""),
            ("*", "a"),
            ("mio-*", "mio-c100"),
            ("*-c100", "mio-c100"),
            ("m?o-*0", "mio-c100"),
            ("a*b*c", "aXbbYc"),
        ] {
            assert!(matches(glob, name), "{glob} {name}");
        }
        for (glob, name) in
            [("", "a"), ("mio", "mio-c1"), ("*-c10", "mio-c100"), ("m?o", "mo"), ("a*b*c", "aXc")]
        {
            assert!(!matches(glob, name), "{glob} {name}");
        }
    }
}

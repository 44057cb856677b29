//! A check of a claim: a rule over its values, what came of it, and what all of them say together.

use serde::{Deserialize, Serialize};

use super::ClaimVerdict;
use super::dimension::Dimension;
use super::expression::{self, Expression};
use super::value::Value;
use crate::answer::listed;
use crate::gate::Operator;

/// A rule is kept or broken where so many of the draws say so: its 95% interval is on one side.
const DECIDED: f64 = 0.975;

/// What is asked of the values of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// What of the claim it is about, in words: what the verdict depends on where checks differ.
    pub of: String,
    /// `EXPRESSION OPERATOR EXPRESSION`, the operator one of `<`, `<=`, `>`, `>=`, with blanks about it.
    pub rule: String,
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// The rule holds, the whole 95% interval over; of a single run: by its figure.
    Kept,
    /// It does not, the whole interval over.
    Broken,
    /// The interval reaches across: another run may fall on the other side.
    Close,
    /// A figure is missing.
    Unmeasured,
}

impl CheckOutcome {
    /// As in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::Close => "close",
            Self::Unmeasured => "not measured",
        }
    }
}

/// A check with what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JudgedCheck {
    /// See [`Check`].
    pub of: String,
    /// See [`Check`].
    pub rule: String,
    /// What became of it.
    pub outcome: CheckOutcome,
    /// Both sides in figures; where one is missing, why.
    pub words: String,
}

/// A rule as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Left of the operator.
    pub left: Expression,
    /// How they are held against each other.
    pub operator: Operator,
    /// As it is written.
    pub sign: &'static str,
    /// Right of it.
    pub right: Expression,
}

/// Reads a rule.
///
/// # Errors
/// One line that says what is wrong and what is allowed.
pub fn parse(rule: &str) -> Result<Rule, String> {
    let signs = [
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let words: Vec<&str> = rule.split_whitespace().collect();
    let found: Vec<(usize, &'static str, Operator)> = words
        .iter()
        .enumerate()
        .filter_map(|(at, word)| {
            signs.iter().find(|(sign, _)| sign == word).map(|(sign, of)| (at, *sign, *of))
        })
        .collect();
    let [(at, sign, operator)] = found.as_slice() else {
        return Err(format!("`{rule}`: one of < <= > >= is needed in it, once, with a blank on either side"));
    };
    let side = |words: &[&str]| expression::parse(&words.join(" "));
    Ok(Rule { left: side(&words[..*at])?, operator: *operator, sign, right: side(&words[at + 1..])? })
}

impl Rule {
    /// Both sides must be counted in the same.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn check(&self, named: &dyn Fn(&str) -> Option<Dimension>) -> Result<(), String> {
        let (left, right) = (self.left.dimension(named)?, self.right.dimension(named)?);
        if left == right {
            return Ok(());
        }
        Err(format!(
            "left of `{}` is {}, right of it {}: both must be the same",
            self.sign,
            left.words(),
            right.words()
        ))
    }
}

impl Check {
    /// Holds it against what was measured.
    pub(super) fn judge(&self, reckon: &dyn Fn(&Expression) -> Result<Value, String>) -> JudgedCheck {
        let both = parse(&self.rule).and_then(|rule| Ok((reckon(&rule.left)?, reckon(&rule.right)?, rule)));
        let (outcome, words) = match both {
            Err(why) => (CheckOutcome::Unmeasured, why),
            Ok((left, right, rule)) => {
                (outcome(&left, &right, rule.operator), in_words(&left, &right, rule.sign))
            }
        };
        JudgedCheck { of: self.of.clone(), rule: self.rule.clone(), outcome, words }
    }
}

fn outcome(left: &Value, right: &Value, operator: Operator) -> CheckOutcome {
    match left.share(right, |left, right| operator.holds(left, right)) {
        None if operator.holds(left.figure, right.figure) => CheckOutcome::Kept,
        None => CheckOutcome::Broken,
        Some(share) if share >= DECIDED => CheckOutcome::Kept,
        Some(share) if share <= 1.0 - DECIDED => CheckOutcome::Broken,
        Some(_) => CheckOutcome::Close,
    }
}

fn in_words(left: &Value, right: &Value, sign: &str) -> String {
    format!("{} {sign} {}", left.words(), right.words())
}

/// What all checks say together, and on what it depends or what is open.
pub(super) fn verdict(checks: &[JudgedCheck]) -> (ClaimVerdict, String) {
    let of = |outcome: CheckOutcome| -> Vec<String> {
        checks.iter().filter(|check| check.outcome == outcome).map(|check| check.of.clone()).collect()
    };
    let (kept, broken) = (of(CheckOutcome::Kept), of(CheckOutcome::Broken));
    let (close, unmeasured) = (of(CheckOutcome::Close), of(CheckOutcome::Unmeasured));
    let decided = kept.len() + broken.len();
    // What is too close to tell may fall on the other side the next time, and a minority speaks for nobody.
    let is_open = !close.is_empty() || decided * 2 < checks.len();
    let verdict = match (kept.is_empty(), broken.is_empty()) {
        (false, false) => ClaimVerdict::Depends,
        (true, true) => ClaimVerdict::Undecided,
        _ if is_open => ClaimVerdict::Undecided,
        (false, true) => ClaimVerdict::Holds,
        (true, false) => ClaimVerdict::Fails,
    };
    let is_whole = decided == checks.len() && verdict != ClaimVerdict::Depends;
    let all = [
        ("holds", if is_whole { &[] } else { &kept[..] }),
        ("fails", if is_whole { &[] } else { &broken[..] }),
        ("too close to tell", &close[..]),
        ("not measured", &unmeasured[..]),
    ];
    let parts = all.into_iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> = parts.map(|(what, names)| format!("{what}: {}", listed(names))).collect();
    (verdict, parts.join("; "))
}

//! Expressions of a claims file: figures that were measured, named or written down, and arithmetic over them.
//!
//! `p99 of grid.tokio-c100 / 2`, `threads / tokio`, `crossover(p99, grid.threads-c*, grid.tokio-c*)`. Names may hold `-`,
//! `*` and `/`, so an operator has a blank on either side. Reads an expression, and tells its dimension. Must not look at
//! a result: `value` does.

use brink_wire::value::{parse_bytes, parse_count, parse_duration};

use super::dimension::{Dimension, PLAIN, RATE, SIZE, TIME};
use crate::measures::Measure;

/// How deep parentheses may be nested: no rule that a reader follows comes near it, and none may end the stack.
const DEPTH_MAX: usize = 32;
/// How long an expression may be: a chain of operations is as deep as it is long.
const WORDS_MAX: usize = 500;

/// An expression as it was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A figure that was written down, in seconds, bytes, per second or plain.
    Figure(f64, Dimension),
    /// A value of the claim that stands before this one.
    Name(String),
    /// What a case or a program measured.
    Measured {
        /// By name or short name, or a name that a program gave.
        measure: String,
        /// The case or program, without its repeat.
        case: String,
    },
    /// From how many connections on the cases of the second glob are better than those of the first.
    Crossover {
        /// By name or short name.
        measure: String,
        /// The cases that are better below it, one for each count of connections.
        before: String,
        /// The cases that are better from it on.
        after: String,
    },
    /// Two expressions and what is done with them.
    Binary(Box<Expression>, Operation, Box<Expression>),
}

/// What is done with two figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operation {
    const ALL: [(&'static str, Self); 4] =
        [("+", Self::Add), ("-", Self::Subtract), ("*", Self::Multiply), ("/", Self::Divide)];

    fn binds_tightly(self) -> bool {
        matches!(self, Self::Multiply | Self::Divide)
    }

    /// What becomes of two figures.
    #[must_use]
    pub fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
        }
    }
}

/// Reads an expression.
///
/// # Errors
/// One line that says what is wrong and what is allowed.
pub fn parse(text: &str) -> Result<Expression, String> {
    let mut words = Words { words: words(text), at: 0 };
    if words.words.len() > WORDS_MAX {
        return Err(format!("it is longer than {WORDS_MAX} words"));
    }
    let expression = words.sum(0)?;
    match words.next() {
        None => Ok(expression),
        Some(more) => {
            Err(format!("`{more}`: an operator (+ - * /, with a blank on either side) is needed before it"))
        }
    }
}

impl Expression {
    /// What its figure is counted in. `named`: that of an earlier value.
    ///
    /// # Errors
    /// One line, where unlike figures meet or a name is not known.
    pub fn dimension(&self, named: &dyn Fn(&str) -> Option<Dimension>) -> Result<Dimension, String> {
        match self {
            Self::Figure(_, dimension) => Ok(*dimension),
            Self::Name(name) => named(name).ok_or_else(|| {
                format!("`{name}` is not a value that stands before this one; a measure is written `MEASURE of CASE`")
            }),
            Self::Measured { measure, .. } => Ok(dimension_of(measure)),
            Self::Crossover { measure, .. } if Measure::find(measure).is_none() => {
                Err(format!("crossover: `{measure}` is not a measure"))
            }
            Self::Crossover { .. } => Ok(PLAIN),
            Self::Binary(left, operation, right) => {
                let (one, other) = (left.dimension(named)?, right.dimension(named)?);
                let beyond = || "it is multiplied too often".to_owned();
                match operation {
                    Operation::Multiply => one.times(other).ok_or_else(beyond),
                    Operation::Divide => one.over(other).ok_or_else(beyond),
                    Operation::Add | Operation::Subtract if one == other => Ok(one),
                    Operation::Add | Operation::Subtract => Err(format!(
                        "{} and {} can be multiplied and divided only",
                        one.words(),
                        other.words()
                    )),
                }
            }
        }
    }

    /// The cases and programs that it is about: names, or globs of a crossover, each with its measure.
    pub fn cases<'a>(&'a self, out: &mut Vec<(&'a str, &'a str)>) {
        match self {
            Self::Figure(..) | Self::Name(_) => {}
            Self::Measured { measure, case } => out.push((measure, case)),
            Self::Crossover { measure, before, after } => {
                out.extend([(measure.as_str(), before.as_str()), (measure.as_str(), after.as_str())]);
            }
            Self::Binary(left, _, right) => {
                left.cases(out);
                right.cases(out);
            }
        }
    }
}

/// That of a measure of results, or of a program by the end of its name.
pub(super) fn dimension_of(measure: &str) -> Dimension {
    Measure::find(measure).map_or_else(|| Dimension::of_name(measure).0, |row| Dimension::of(row.unit).0)
}

/// Words, parentheses and commas.
fn words(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    for word in text.split_whitespace() {
        let mut rest = word;
        while let Some(at) = rest.find(['(', ')', ',']) {
            all.extend([&rest[..at], &rest[at..=at]]);
            rest = &rest[at + 1..];
        }
        all.push(rest);
    }
    all.retain(|word| !word.is_empty());
    all
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek();
        self.at += usize::from(word.is_some());
        word
    }

    fn operation(&mut self, tightly: bool) -> Option<Operation> {
        let (_, operation) = Operation::ALL.into_iter().find(|(sign, _)| Some(*sign) == self.peek())?;
        (operation.binds_tightly() == tightly).then(|| {
            self.at += 1;
            operation
        })
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        match self.next() {
            Some(word) if word == sign => Ok(()),
            Some(word) => Err(format!("`{word}`: `{sign}` is needed here")),
            None => Err(format!("`{sign}` is missing at its end")),
        }
    }

    fn sum(&mut self, depth: usize) -> Result<Expression, String> {
        let mut left = self.product(depth)?;
        while let Some(operation) = self.operation(false) {
            left = Expression::Binary(Box::new(left), operation, Box::new(self.product(depth)?));
        }
        Ok(left)
    }

    fn product(&mut self, depth: usize) -> Result<Expression, String> {
        let mut left = self.term(depth)?;
        while let Some(operation) = self.operation(true) {
            left = Expression::Binary(Box::new(left), operation, Box::new(self.term(depth)?));
        }
        Ok(left)
    }

    fn term(&mut self, depth: usize) -> Result<Expression, String> {
        if depth > DEPTH_MAX {
            return Err(format!("parentheses are nested deeper than {DEPTH_MAX}"));
        }
        match self.next() {
            None => Err("a figure, a name or `MEASURE of CASE` is missing at its end".to_owned()),
            Some("(") => {
                let inner = self.sum(depth + 1)?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(sign @ (")" | "," | "+" | "-" | "*" | "/")) => {
                Err(format!("`{sign}`: a figure, a name or `MEASURE of CASE` is needed before it"))
            }
            Some("crossover") if self.peek() == Some("(") => self.crossover(),
            Some(word) if word.starts_with(|c: char| c.is_ascii_digit()) => figure(word),
            Some(word) if self.peek() == Some("of") => {
                self.at += 1;
                let case =
                    self.name().ok_or_else(|| format!("`{word} of` needs the name of a case behind it"))?;
                Ok(Expression::Measured { measure: word.to_owned(), case: case.to_owned() })
            }
            Some(word) => Ok(Expression::Name(word.to_owned())),
        }
    }

    fn name(&mut self) -> Option<&'a str> {
        self.next().filter(|word| !matches!(*word, "(" | ")" | "," | "+" | "-" | "*" | "/"))
    }

    fn crossover(&mut self) -> Result<Expression, String> {
        let form = || "crossover takes (MEASURE, CASES BEFORE IT, CASES FROM IT ON)".to_owned();
        self.expect("(")?;
        let measure = self.name().ok_or_else(form)?.to_owned();
        self.expect(",").map_err(|_| form())?;
        let before = self.name().ok_or_else(form)?.to_owned();
        self.expect(",").map_err(|_| form())?;
        let after = self.name().ok_or_else(form)?.to_owned();
        self.expect(")").map_err(|_| form())?;
        Ok(Expression::Crossover { measure, before, after })
    }
}

/// `5ms`, `8MiB`, `10k`, `1.5`, `500/s`, `80%`.
fn figure(word: &str) -> Result<Expression, String> {
    let wrong = || {
        format!(
            "`{word}` is not a figure: allowed are a number, and one with ns, us, ms, s, min, B, KiB, MiB, GiB, kB, MB, GB, k, /s or %"
        )
    };
    let (word_plain, rate) = match word.strip_suffix("/s") {
        Some(plain) => (plain, true),
        None => (word, false),
    };
    let split =
        word_plain.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(word_plain.len());
    let (digits, unit) = word_plain.split_at(split);
    let number: f64 = digits.replace('_', "").parse().map_err(|_| wrong())?;
    let (scale, dimension) = match unit {
        "" => (1.0, PLAIN),
        "%" => (0.01, PLAIN),
        // Neither a minute nor a million: `m` alone could be both.
        "k" => (parse_count("1k")? as f64, PLAIN),
        "ns" | "us" | "ms" | "s" | "min" => (parse_duration(&format!("1{unit}"))?.as_secs_f64(), TIME),
        "B" | "KiB" | "MiB" | "GiB" | "kB" | "MB" | "GB" => (parse_bytes(&format!("1{unit}"))? as f64, SIZE),
        _ => return Err(wrong()),
    };
    let figure = number * scale;
    if (rate && dimension != PLAIN) || !figure.is_finite() {
        return Err(wrong());
    }
    Ok(Expression::Figure(figure, if rate { RATE } else { dimension }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimension(text: &str) -> Result<Dimension, String> {
        parse(text)?.dimension(&|name| (name == "known").then_some(TIME))
    }

    #[test]
    fn reads_what_claims_need() {
        assert_eq!(dimension("makespan of fetch.hyper-c50 / 2"), Ok(TIME));
        assert_eq!(dimension("known / (1ms + 3us)"), Ok(PLAIN));
        assert_eq!(dimension("(target_memory of a.b-c1 - 3KiB) / 8k"), Ok(SIZE));
        assert_eq!(dimension("500/s"), Ok(RATE));
        assert_eq!(dimension("rss_bytes of sleepers.py"), Ok(SIZE));
        assert_eq!(
            parse("crossover(p99, grid.a-c*-d1ms, grid.b-c*-d1ms)").unwrap(),
            Expression::Crossover {
                measure: "p99".to_owned(),
                before: "grid.a-c*-d1ms".to_owned(),
                after: "grid.b-c*-d1ms".to_owned()
            }
        );
        let Expression::Binary(_, Operation::Add, right) = parse("1 + 2 * 3").unwrap() else {
            panic!("a sum of a product")
        };
        assert!(matches!(*right, Expression::Binary(_, Operation::Multiply, _)));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (text, word) in [
            ("", "missing"),
            ("1 +", "missing"),
            ("a b", "operator"),
            ("p99 of", "name of a case"),
            ("p99 of )", "name of a case"),
            ("(1", "`)` is missing"),
            ("1ms + 3", "can be multiplied"),
            ("5m", "not a figure"),
            ("5ms/s", "not a figure"),
            ("unknown", "not a value"),
            ("crossover(p9, a, b)", "not a measure"),
            ("crossover(p99, a)", "crossover takes"),
            ("* 2", "needed before it"),
        ] {
            let said = dimension(text).unwrap_err();
            assert!(said.contains(word) && said.lines().count() == 1, "{text}: {said}");
        }
        let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(parse(&deep).unwrap_err().contains("longer"));
        let deep = format!("{}1{}", "(".repeat(100), ")".repeat(100));
        assert!(parse(&deep).unwrap_err().contains("nested"));
        // As deep as it is long, and what is read is walked through.
        assert!(parse(&format!("1{}", " + 1".repeat(200_000))).unwrap_err().contains("longer"));
        assert_eq!(dimension(&format!("1{}", " + 1".repeat(200))), Ok(PLAIN));
        assert!(parse(&"9".repeat(400)).unwrap_err().contains("not a figure"));
    }

    #[test]
    fn names_the_cases_that_it_stands_on() {
        let expression = parse("(p99 of a.x - p50 of a.y) / crossover(p99, b.x*, b.y*)").unwrap();
        let mut cases = Vec::new();
        expression.cases(&mut cases);
        let names: Vec<&str> = cases.into_iter().map(|(_, case)| case).collect();
        assert_eq!(names, ["a.x", "a.y", "b.x*", "b.y*"]);
    }
}

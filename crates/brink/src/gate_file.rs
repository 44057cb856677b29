//! A gate file as typed (TOML), and rules given as flags: what may stand there, and one clear line for what may not.
//!
//! Nothing is judged here.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use brink_results::gate::{Gate, Rule, RuleError};
use brink_results::measures::MEASURES;

use crate::exit::Failure;
use crate::nearest;
use crate::sweep_file::{FileError, explain};

/// A whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GateFile {
    /// Rules for every case.
    gates: Vec<Spanned<String>>,
    /// Rules for some.
    gate: Vec<GateTable>,
}

/// `[[gate]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GateTable {
    /// Cases by name without the repeat, with `*` and `?`; none: every case.
    case: Option<String>,
    rule: Spanned<String>,
}

/// Reads a gate file.
///
/// # Errors
/// A usage failure with file, line and the word at fault.
pub fn read(path: &Path) -> Result<Vec<Gate>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("--gate {}: cannot be read: {error}", path.display())))?;
    parse(&text).map_err(|error| Failure::usage(error.at(path)))
}

/// Refuses rules that need a baseline where there is none.
///
/// # Errors
/// A usage failure that names the rule.
pub fn check_without_baseline(flag: &str, gates: &[Gate]) -> Result<(), Failure> {
    match gates.iter().find(|gate| gate.rule.needs_baseline()) {
        Some(gate) => Err(Failure::usage(format!(
            "{flag}: `{}`: there is no baseline: `brink compare BASELINE CANDIDATE --gate FILE` has one",
            gate.rule
        ))),
        None => Ok(()),
    }
}

/// Reads a rule of a flag.
pub fn rule(text: &str) -> Result<Rule, String> {
    text.parse().map_err(|error| in_words(&error))
}

fn parse(text: &str) -> Result<Vec<Gate>, FileError> {
    let file: GateFile = toml::from_str(text).map_err(|error| explain(text, &error))?;
    let gate = |case: Option<String>, rule: &Spanned<String>| match rule.get_ref().parse() {
        Ok(rule) => Ok(Gate { case, rule }),
        Err(error) => Err(FileError {
            line: Some(1 + text[..rule.span().start.min(text.len())].matches('\n').count()),
            message: format!("`{}`: {}", rule.get_ref().escape_debug(), in_words(&error)),
        }),
    };
    let plain = file.gates.iter().map(|rule| gate(None, rule));
    let of_cases = file.gate.iter().map(|table| gate(table.case.clone(), &table.rule));
    let gates = plain.chain(of_cases).collect::<Result<Vec<Gate>, FileError>>()?;
    if gates.is_empty() {
        let message =
            "no gates: write gates = [\"p99 < 5ms\"], or [[gate]] tables with case and rule".to_owned();
        return Err(FileError { line: None, message });
    }
    Ok(gates)
}

/// What is wrong with a rule, with the nearest measure where that is what is wrong.
fn in_words(error: &RuleError) -> String {
    let RuleError::UnknownMeasure(given) = error else { return error.to_string() };
    let names =
        MEASURES.iter().flat_map(|measure| [measure.short, measure.name]).filter(|name| !name.is_empty());
    let hint =
        nearest::nearest(given, names).map_or(String::new(), |name| format!(" did you mean `{name}`?"));
    let short: Vec<&str> =
        MEASURES.iter().map(|measure| measure.short).filter(|name| !name.is_empty()).collect();
    format!(
        "unknown measure `{given}`:{hint} allowed: {}, and the fields of a result that README.md lists",
        short.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        parse(text).unwrap_err().at(Path::new("g.toml"))
    }

    #[test]
    fn reads_both_forms() {
        let text = "gates = [\"p99 < 5ms\", \"opened == requested\"]\n[[gate]]\ncase = \"mio-*\"\nrule = \"per_s > 0.95 * baseline\"\n";
        let gates = parse(text).unwrap();
        let said: Vec<_> = gates.iter().map(|gate| (gate.case.as_deref(), gate.rule.to_string())).collect();
        assert_eq!(
            said,
            [
                (None, "p99 < 5ms".to_owned()),
                (None, "opened == requested".to_owned()),
                (Some("mio-*"), "per_s > 0.95 * baseline".to_owned())
            ]
        );
        assert!(check_without_baseline("--gate", &gates[..2]).is_ok());
        assert!(check_without_baseline("--gate", &gates).unwrap_err().line.contains("there is no baseline"));
    }

    #[test]
    fn one_line_with_place_word_and_nearest_name() {
        for (text, start, word) in [
            (
                "gates = [\n\"p99 < 5ms\",\n\"p98 < 5ms\"]",
                "g.toml:3: `p98 < 5ms`: unknown measure `p98`: did you mean `p9",
                "allowed: per_s",
            ),
            ("[[gate]]\nrule = \"p99 < 5KiB\"", "g.toml:2: `p99 < 5KiB`: ", "`KiB`"),
            ("[[gate]]\ncase = \"x\"", "g.toml:1: ", "rule"),
            (
                "[[gate]]\nrules = \"p99 < 1s\"",
                "g.toml:2: unknown key `rules`: did you mean `rule`?",
                "allowed",
            ),
            ("gate = 3", "g.toml:1: gate: ", ""),
            ("gates = [", "g.toml:1: ", ""),
            ("", "g.toml: no gates", "[[gate]]"),
            ("gates = []", "g.toml: no gates", "[[gate]]"),
        ] {
            let said = wrong(text);
            assert!(said.starts_with(start) && said.contains(word), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}

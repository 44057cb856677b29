//! `brink compare`: two runs side by side, and gates that a run must keep to. Reads result files only.

use std::io::Read;
use std::path::Path;

use brink_results::comparison::{self, Comparison, Options, Side};
use brink_results::gate::{self, Gate, Judgement};
use brink_results::schema::{CaseResult, Plan};
use brink_results::store;
use brink_wire::value::format_bytes;

use crate::cli::{CompareArgs, CompareFormat};
use crate::command;
use crate::exit::{Code, Failure};
use crate::gate_file;
use crate::stderr;

/// Stands for stdin.
const STDIN: &str = "-";
/// More than a sweep of some ten thousand cases has. A device that never ends is not read for ever.
const RUN_BYTES_MAX: u64 = 1 << 30;

/// Compares, judges and prints.
///
/// # Errors
/// By the contract of exit codes: 2 usage or nothing to compare, then 3 a gate was breached (or, where asked, something
/// is worse), then 5 results that are invalid, or planned by the candidate and not there.
pub fn run(args: &CompareArgs) -> Result<(), Failure> {
    let gates = args.gate.as_deref().map(gate_file::read).transpose()?.unwrap_or_default();
    match &args.candidate {
        None => gates_alone(args, &gates),
        Some(candidate) => {
            if args.baseline.as_os_str() == STDIN && candidate.as_os_str() == STDIN {
                return Err(Failure::usage(
                    "-: stands for stdin, which is read once: name a file for one side",
                ));
            }
            let (baseline, candidate) = (read(&args.baseline)?, read(candidate)?);
            both(args, &gates, &baseline, &candidate)
        }
    }
}

/// One side: only what it must keep to.
fn gates_alone(args: &CompareArgs, gates: &[Gate]) -> Result<(), Failure> {
    if gates.is_empty() {
        return Err(Failure::usage("compare: two runs are needed, or one and --gate FILE"));
    }
    if args.fail_on_worse {
        return Err(Failure::usage("--fail-on-worse: needs a baseline and a candidate"));
    }
    gate_file::check_without_baseline("--gate", gates)?;
    let side = read(&args.baseline)?;
    // A comparison says it among its notes.
    side.lacks("candidate").iter().for_each(|line| stderr::say(&format!("brink: {line}")));
    let judgements = gate::judge(gates, &side.subjects(), args.allow_invalid);
    print(args.format, None, &side, &judgements)?;
    ended(breach(&judgements))
}

fn both(args: &CompareArgs, gates: &[Gate], baseline: &Side, candidate: &Side) -> Result<(), Failure> {
    let options = Options {
        threshold: args.threshold,
        allow_invalid: args.allow_invalid,
        as_is: args.as_is,
        every_measure: args.all,
    };
    let made = comparison::compare(baseline, candidate, options);
    if made.cases.is_empty() && made.invalid.is_empty() {
        return Err(Failure::usage(nothing_alike(&made)));
    }
    let judgements = gate::judge(gates, &made.subjects(), args.allow_invalid);
    print(args.format, Some(&made), candidate, &judgements)?;
    let worse = (args.fail_on_worse && made.counts().worse > 0).then_some(Code::Breached);
    // A case that was planned and never came to a result is left out as well.
    let is_short = !made.invalid.is_empty() || !candidate.missing.is_empty();
    let invalid = is_short.then_some(Code::Invalid);
    ended(breach(&judgements).or(worse).or(invalid))
}

/// The code of breached gates.
pub fn breach(judgements: &[Judgement]) -> Option<Code> {
    judgements.iter().any(|judgement| !judgement.is_kept).then_some(Code::Breached)
}

fn ended(code: Option<Code>) -> Result<(), Failure> {
    code.map_or(Ok(()), |code| Err(Failure::said(code)))
}

/// Why there is nothing to compare.
fn nothing_alike(made: &Comparison) -> String {
    let (a, b) = (&made.baseline.from, &made.candidate.from);
    if let Some(other) = made.not_alike.first() {
        let more = match made.not_alike.len() {
            1 => String::new(),
            count => format!(" (and {} more cases)", count - 1),
        };
        return format!(
            "{a} and {b} ask different questions: {}: {}{more}; --as-is compares them all the same",
            other.name.escape_debug(),
            other.why
        );
    }
    let some = |names: &[String]| match names {
        [] => "none".to_owned(),
        [first] => first.escape_debug().to_string(),
        [first, rest @ ..] => format!("{} and {} more", first.escape_debug(), rest.len()),
    };
    format!(
        "{a} and {b} have no case in common: the first has {}, the second {}",
        some(&made.only_baseline),
        some(&made.only_candidate)
    )
}

/// A folder, a result file, or what `--format json` printed, from a file or from stdin.
fn read(path: &Path) -> Result<Side, Failure> {
    let from = path.display().to_string();
    if path.is_dir() {
        let run = store::read_run(path).map_err(|error| Failure::usage(error.to_string()))?;
        return side(&from, run.results, run.plan.as_ref(), run.unreadable);
    }
    let text = if path.as_os_str() == STDIN {
        read_all(std::io::stdin())
    } else {
        std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}")).and_then(read_all)
    };
    let text = text.map_err(|problem| Failure::usage(format!("{from}: {problem}")))?;
    let (plan, results) =
        store::parse_printed(&text).map_err(|problem| Failure::usage(format!("{from}: {problem}")))?;
    side(&from, results, plan.as_ref(), Vec::new())
}

/// All of it, unless it has no end.
fn read_all(from: impl Read) -> Result<String, String> {
    let mut text = String::new();
    from.take(RUN_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > RUN_BYTES_MAX {
        return Err(format!("is larger than {}: no run of brink is", format_bytes(RUN_BYTES_MAX as f64)));
    }
    Ok(text)
}

fn side(
    from: &str,
    results: Vec<CaseResult>,
    plan: Option<&Plan>,
    unreadable: Vec<String>,
) -> Result<Side, Failure> {
    if results.is_empty() {
        return Err(Failure::usage(format!("{from}: holds no result")));
    }
    Ok(Side::new(from, results, plan, unreadable))
}

fn print(
    format: CompareFormat,
    made: Option<&Comparison>,
    candidate: &Side,
    judgements: &[Judgement],
) -> Result<(), Failure> {
    command::print(&match format {
        CompareFormat::Text => comparison::text(made, judgements),
        CompareFormat::Markdown => comparison::markdown(made, judgements),
        CompareFormat::Json => format!("{}\n", comparison::json(made, candidate, judgements)),
    })
}

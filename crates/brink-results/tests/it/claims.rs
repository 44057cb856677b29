//! Claims judged over made-up results: figures, intervals, crossovers, verdicts, and what is missing said.

use std::collections::BTreeMap;

use brink_results::claims::check::{Check, CheckOutcome};
use brink_results::claims::program::{PROGRAM_SCHEMA, ProgramResult};
use brink_results::claims::{
    CLAIMS_SCHEMA, ClaimSpec, ClaimVerdict, ExperimentSpec, JudgedClaim, NamedExpression, ProgramSpec, Spec,
    Table, judge, text,
};
use brink_results::schema::{CaseResult, Verdict};
use brink_results::store::RunData;

use crate::fixtures::{MODELS, result};

/// Three runs of a model in the experiment `grid`, with this p99 more or less, in microseconds.
fn grid(model: usize, connections: u64, p99_us: u64) -> Vec<CaseResult> {
    (1..=3)
        .map(|repeat| {
            let mut made = result(MODELS[model], connections);
            made.case.name = format!("grid.{}-c{connections}-r{repeat}", MODELS[model].name);
            made.case.repeat = repeat;
            made.latency_ns.as_mut().unwrap().p99 = (p99_us + u64::from(repeat)) * 1_000;
            made
        })
        .collect()
}

fn program(name: &str, repeat: u32, makespan_ms: f64) -> ProgramResult {
    ProgramResult {
        schema: PROGRAM_SCHEMA.to_owned(),
        name: name.to_owned(),
        repeat,
        command: "python3 x.py".to_owned(),
        started: "2026-01-01T00:00:00Z".to_owned(),
        wall_ns: Some(900_000_000),
        measures: BTreeMap::from([("makespan_ns".to_owned(), makespan_ms * 1e6)]),
        facts: BTreeMap::new(),
        failure: None,
        skipped: None,
        interrupted: false,
    }
}

fn spec(values: &[(&str, &str)], rules: &[&str]) -> Spec {
    let named = |(name, text): &(&str, &str)| NamedExpression {
        name: (*name).to_owned(),
        expression: (*text).to_owned(),
    };
    Spec {
        schema: CLAIMS_SCHEMA.to_owned(),
        name: "claims".to_owned(),
        quick: true,
        experiments: vec![ExperimentSpec { name: "grid".to_owned(), allow: Vec::new() }],
        left_out: vec!["grid.tokio-c9".to_owned()],
        programs: Vec::new(),
        claims: vec![ClaimSpec {
            id: "X1".to_owned(),
            says: "one is twice the other".to_owned(),
            source: "somebody".to_owned(),
            claimed: BTreeMap::new(),
            shows: vec!["It was {a}.".to_owned()],
            would_change: String::new(),
            values: values.iter().map(named).collect(),
            checks: rules
                .iter()
                .map(|rule| Check { of: format!("on {rule}"), rule: (*rule).to_owned() })
                .collect(),
            plot: None,
            table: None,
        }],
        guide: None,
        facts: BTreeMap::new(),
        judged: Vec::new(),
        advice: Vec::new(),
        not_run: Vec::new(),
    }
}

fn judged(values: &[(&str, &str)], rules: &[&str]) -> JudgedClaim {
    let grids = [(10, 200, 300), (100, 200, 210), (1_000, 400, 200), (2_000, 500, 200)];
    let of =
        |(connections, threads, tokio)| [grid(1, connections, threads), grid(2, connections, tokio)].concat();
    let results = grids.into_iter().flat_map(of).collect();
    let run = RunData { dir: "x".into(), plan: None, results, unreadable: Vec::new() };
    let mut programs: Vec<ProgramResult> =
        [100.0, 101.0, 102.0].iter().zip(1..).map(|(ms, repeat)| program("py.a", repeat, *ms)).collect();
    programs.push(program("py.once", 1, 50.0));
    programs.push(ProgramResult {
        skipped: Some("python3 is not there".to_owned()),
        ..program("py.none", 1, 1.0)
    });
    judge(&spec(values, rules), &run, &programs).remove(0)
}

fn outcomes(judged: &JudgedClaim) -> Vec<CheckOutcome> {
    judged.checks.iter().map(|check| check.outcome).collect()
}

#[test]
fn figures_carry_their_intervals_through_arithmetic() {
    let found = judged(
        &[("a", "p99 of grid.threads-c1000"), ("half", "a / 2"), ("same", "a - p99 of grid.threads-c1000")],
        &["half >= 190us", "half >= 210us", "half >= 201us", "same <= 0s"],
    );
    let a = &found.values[0];
    let [low, high] = a.interval.unwrap();
    // 401, 402 and 403 us: half the range stretched by 2.689 about the median, as `statistics` has it, by drawing.
    assert!((low - 399.3e-6).abs() < 0.4e-6 && (high - 404.7e-6).abs() < 0.4e-6, "{low} {high}");
    assert!(found.sentence.starts_with("It was 402 us (399 us to 405 us)"), "{}", found.sentence);
    assert_eq!(found.values[2].interval, Some([0.0, 0.0]), "the same figure is drawn once");
    use CheckOutcome::{Broken, Close, Kept};
    assert_eq!(outcomes(&found), [Kept, Broken, Close, Kept]);
    assert_eq!(found.verdict, ClaimVerdict::Depends);
    assert!(
        found.on.starts_with("holds: on half >= 190us and on same <= 0s; fails: on half >= 210us"),
        "{}",
        found.on
    );
    assert!(found.on.ends_with("too close to tell: on half >= 201us"), "{}", found.on);
}

#[test]
fn programs_are_figures_too_and_a_single_run_says_so() {
    let found = judged(
        &[("a", "makespan_ns of py.a"), ("once", "makespan_ns of py.once"), ("wall", "wall_ns of py.a")],
        &["a <= 110ms", "a <= 2 * once", "wall <= 0.9s"],
    );
    assert_eq!(found.values[1].words, "50.0 ms (one run)");
    assert_eq!(found.values[2].words, "900 ms");
    use CheckOutcome::{Broken, Kept};
    assert_eq!(outcomes(&found), [Kept, Broken, Kept]);
}

#[test]
fn what_is_missing_decides_nothing_and_is_said() {
    let found = judged(
        &[("a", "makespan_ns of py.none"), ("out", "p99 of grid.tokio-c9"), ("else", "p99 of grid.zig-c1")],
        &["a <= 1s", "out <= 1s", "else <= 1s"],
    );
    assert_eq!(found.verdict, ClaimVerdict::Undecided);
    let why: Vec<&str> = found.checks.iter().map(|check| check.words.as_str()).collect();
    assert_eq!(
        why,
        [
            "py.none: python3 is not there",
            "grid.tokio-c9: left out by --quick",
            "grid.zig-c1: is not in this run"
        ]
    );
    assert_eq!(found.sentence, "Not measured.");
}

#[test]
fn what_is_too_close_or_too_little_leaves_a_claim_undecided() {
    let values = [("a", "p99 of grid.threads-c1000"), ("none", "makespan_ns of py.none")];
    let verdict = |rules: &[&str]| judged(&values, rules).verdict;
    use ClaimVerdict::{Depends, Fails, Holds, Undecided};
    assert_eq!(verdict(&["a >= 380us", "a >= 402us"]), Undecided, "it could turn");
    assert_eq!(verdict(&["a >= 380us", "a >= 402us", "a <= 1us"]), Depends, "it could not");
    assert_eq!(verdict(&["a >= 380us", "none <= 1s"]), Holds, "half was measured");
    assert_eq!(verdict(&["a <= 380us", "none <= 1s"]), Fails, "half was measured");
    assert_eq!(verdict(&["a >= 380us", "none <= 1s", "none >= 0s"]), Undecided, "a minority");
    let part = judged(&values, &["a >= 380us", "none <= 1s"]);
    assert_eq!(part.on, "holds: on a >= 380us; not measured: on none <= 1s");
}

#[test]
fn there_is_no_ratio_to_what_cannot_be_told_from_nothing() {
    let values = [("a", "p99 of grid.threads-c1000"), ("b", "p99 of grid.threads-c10"), ("n", "a - b * 2")];
    let found = judged(&values, &["a / n >= 1", "a / 0 >= 1s"]);
    assert_eq!(outcomes(&found), [CheckOutcome::Unmeasured; 2]);
    let why = &found.checks[0].words;
    assert!(why.starts_with("what it is divided by, -"), "{why}");
    assert!(why.ends_with("cannot be told from nothing"), "{why}");
}

#[test]
fn a_table_shows_figures_closely_and_a_program_tells_facts() {
    let mut spec = spec(&[("a", "makespan_ns of py.a"), ("none", "makespan_ns of py.none")], &["a <= 1s"]);
    let row = ["py", "{a}", "{none}", "{python of py.a}"].map(str::to_owned).to_vec();
    spec.claims[0].table =
        Some(Table { columns: vec![String::new(); 4], rows: vec![row], note: String::new() });
    let run = RunData { dir: "x".into(), plan: None, results: Vec::new(), unreadable: Vec::new() };
    let mut programs: Vec<ProgramResult> =
        [100.0, 101.0, 102.0].iter().zip(1..).map(|(ms, repeat)| program("py.a", repeat, *ms)).collect();
    for (program, version) in programs.iter_mut().zip(["3.11", "3.11", "3.12"]) {
        program.facts.insert("python".to_owned(), version.to_owned());
    }
    let judged = spec.judged_by(&run, &programs);
    let rows = &judged.judged[0].table.as_ref().unwrap().rows;
    assert_eq!(rows[0], ["py", "101 ms ±2.80 ms", "–", "3.11"]);
    assert_eq!(text::facts(&judged).unwrap(), "Programs: python 3.11 and 3.12.");
}

#[test]
fn what_has_not_run_yet_is_named() {
    let mut spec = spec(&[("a", "makespan_ns of py.a")], &["a <= 1s"]);
    let planned = |name: &str, repeat| ProgramSpec {
        name: name.to_owned(),
        repeat,
        command: "true".to_owned(),
        serve: None,
        needs: None,
        timeout_ns: 1,
        after_cases: 0,
    };
    spec.programs = vec![planned("py.a", 1), planned("py.b", 1), planned("py.b", 2)];
    let mut results = grid(1, 10, 200);
    results[0].interrupted = true;
    let run = RunData { dir: "x".into(), plan: None, results, unreadable: Vec::new() };
    let cut_short = ProgramResult { interrupted: true, ..program("py.b", 1, 1.0) };
    let judged = spec.clone().judged_by(&run, &[cut_short]);
    assert_eq!(judged.judged[0].checks[0].words, "py.a: has no result yet");
    assert_eq!(judged.not_run, ["grid.threads-c10-r1", "py.a-r1", "py.b-r1", "py.b-r2"]);
    assert!(
        text::text(&judged).contains("Stopped before its end: 4 runs of cases and programs have no result.")
    );
    let done = [("py.a", 1), ("py.b", 1), ("py.b", 2)].map(|(name, repeat)| program(name, repeat, 1.0));
    let run = RunData { results: Vec::new(), ..run };
    assert_eq!(spec.judged_by(&run, &done).stopped_words(), None);
}

#[test]
fn a_result_that_is_not_valid_counts_only_where_it_is_allowed() {
    let mut results = grid(1, 10, 200);
    results.iter_mut().for_each(|result| {
        result.validity.verdict = Verdict::Unsteady;
        result.validity.reasons = vec!["it drifted".to_owned()];
    });
    let run = RunData { dir: "x".into(), plan: None, results, unreadable: Vec::new() };
    let mut spec = spec(&[("a", "p99 of grid.threads-c10")], &["a <= 1s"]);
    let refused = judge(&spec, &run, &[]).remove(0);
    assert_eq!(refused.verdict, ClaimVerdict::Undecided);
    assert_eq!(refused.checks[0].words, "grid.threads-c10: unsteady: it drifted");
    spec.experiments[0].allow = vec![Verdict::Unsteady];
    assert_eq!(judge(&spec, &run, &[]).remove(0).verdict, ClaimVerdict::Holds);
}

#[test]
fn a_crossover_lies_between_two_counts() {
    let found = judged(
        &[
            ("a", "crossover(p99, grid.threads-c*, grid.tokio-c*)"),
            ("never", "crossover(p99, grid.tokio-c1000, grid.threads-c1000)"),
            ("already", "crossover(p99, grid.threads-c?000, grid.tokio-c?000)"),
        ],
        &["a <= 1k", "a <= 99", "a <= 500", "never <= 1k", "already <= 1k", "never <= 2k", "already >= 500"],
    );
    let words: Vec<&str> = found.values.iter().map(|value| value.words.as_str()).collect();
    assert_eq!(
        words,
        [
            "as good up to 100, better from 1,000",
            "no crossover up to 1,000",
            "better at 1,000 already, the least that was measured"
        ]
    );
    assert_eq!(found.values[1].figure, None);
    use CheckOutcome::{Broken, Close, Kept};
    // Up to 1,000 was looked, and no further; nor below the least.
    assert_eq!(outcomes(&found), [Kept, Broken, Close, Broken, Kept, Close, Close]);
}

#[test]
fn the_text_has_every_claim_its_figures_and_what_it_depends_on() {
    let spec = spec(&[("a", "makespan_ns of py.a")], &["a <= 1s", "a <= 1ms"]);
    let run = RunData { dir: "x".into(), plan: None, results: Vec::new(), unreadable: Vec::new() };
    let programs: Vec<ProgramResult> = (1..=3).map(|repeat| program("py.a", repeat, 100.0)).collect();
    let said = text::text(&spec.judged_by(&run, &programs));
    assert!(said.starts_with("X1  depends    one is twice the other\n"), "{said}");
    assert!(said.contains("It was 100 ms.\n") && said.contains("fails: on a <= 1ms"), "{said}");
    assert!(said.ends_with("1 claims: 1 depend\n"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 100));
}

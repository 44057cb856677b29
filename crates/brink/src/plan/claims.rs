//! A claims file to cases, programs and claims with nothing left open. Pure.

use std::collections::{BTreeMap, BTreeSet};

use brink_results::case::Case;
use brink_results::claims::evidence::STOPPED_BY;
use brink_results::claims::expression::{self, Expression};
use brink_results::claims::sentences::names_in;
use brink_results::claims::{CLAIMS_SCHEMA, ClaimSpec, ExperimentSpec, PlotSpec, ProgramSpec, Spec, check};
use brink_results::gate;
use brink_results::measures::Measure;

use super::sweep::{REPEATS_DEFAULT, served, sweep};
use super::{Machine, ns};
use crate::claims_file::{ClaimsFile, ExperimentTable, PROGRAM_TIMEOUT, ProgramTable, bounded};
use crate::cli::WorkloadName;
use crate::exit::Failure;
use crate::sweep_file::{SweepFile, Typed};
use crate::target_process::output::shown;

/// The cases of all experiments in the order in which they are run, and what is claimed of them.
///
/// Each repeat holds every experiment once, so that what the machine does meanwhile meets all alike.
///
/// # Errors
/// A usage failure when values make no sense together, or a claim asks for what is not measured.
pub fn claims(file: &ClaimsFile, quick: bool, machine: &Machine) -> Result<(Vec<Case>, Spec), Failure> {
    let in_file = |failure: Failure| Failure { line: format!("{}{failure}", file.place(None)), ..failure };
    let (cases, spec) = resolved(file, quick, machine).map_err(in_file)?;
    for claim in &spec.claims {
        if let Err(why) = check_asked(claim, &spec, &cases) {
            let (place, id) = (file.place(Some(&claim.id)), shown(&claim.id));
            return Err(Failure::usage(format!("{place}[[claim]] `{id}`: {}", bounded(why))));
        }
    }
    Ok((cases, spec))
}

fn resolved(file: &ClaimsFile, quick: bool, machine: &Machine) -> Result<(Vec<Case>, Spec), Failure> {
    let mut labels = BTreeSet::new();
    let mut experiments = Vec::new();
    let mut left_out = BTreeSet::new();
    for (number, table) in (0..).zip(&file.experiment) {
        let table = table.get_ref();
        let seed = file.seed.wrapping_add(number);
        let asked = table.repeats.as_ref().or(file.repeats.as_ref()).map_or(REPEATS_DEFAULT, |of| of.0);
        let whole = cases_of(table, table.sweep(seed, 1), machine)?;
        check_names(table, &whole)
            .map_err(|why| Failure::usage(format!("[[experiment]] `{}`: {}", table.name, bounded(why))))?;
        labels.extend(whole.iter().map(|case| case.target.label.clone()));
        let mut all: BTreeSet<String> = whole.iter().map(|case| stem(case).to_owned()).collect();
        all.extend(table.program.iter().map(|program| program_name(table, program)));
        let experiment = if quick {
            quickly(file, table, seed, machine)?
        } else {
            let cases = cases_of(table, table.sweep(seed, asked), machine)?;
            Experiment { table, cases, programs: table.program.iter().collect(), repeats: asked }
        };
        let kept: BTreeSet<String> = experiment.names();
        left_out.extend(all.difference(&kept).cloned());
        experiments.push(experiment);
    }
    let (cases, programs) = in_order(&experiments, machine)?;
    let spec = Spec {
        schema: CLAIMS_SCHEMA.to_owned(),
        name: file.name.clone(),
        quick,
        experiments: file
            .experiment
            .iter()
            .map(|table| ExperimentSpec {
                name: table.get_ref().name.clone(),
                allow: table.get_ref().allow.clone(),
            })
            .collect(),
        left_out: left_out.into_iter().collect(),
        programs,
        claims: file.claims()?,
        guide: file.guide(),
        facts: BTreeMap::new(),
        judged: Vec::new(),
        advice: Vec::new(),
        not_run: Vec::new(),
    };
    let mut blocking = spec.guide.iter().flat_map(|guide| &guide.blocking);
    if let Some(unknown) = blocking.find(|label| !labels.contains(*label)) {
        return Err(Failure::usage(format!("[guide]: blocking: no target is called `{}`", shown(unknown))));
    }
    Ok((cases, spec))
}

/// An experiment as it is to be run.
struct Experiment<'a> {
    table: &'a ExperimentTable,
    cases: Vec<Case>,
    programs: Vec<&'a ProgramTable>,
    repeats: u32,
}

impl Experiment<'_> {
    fn names(&self) -> BTreeSet<String> {
        let cases = self.cases.iter().map(|case| stem(case).to_owned());
        cases.chain(self.programs.iter().map(|program| program_name(self.table, program))).collect()
    }
}

/// What `--quick` keeps must be there, and a case and a program cannot have one name.
fn check_names(table: &ExperimentTable, cases: &[Case]) -> Result<(), String> {
    let is_case = |name: &str| cases.iter().any(|case| stem(case) == name);
    if let Some(program) = table.program.iter().find(|program| is_case(&program_name(table, program))) {
        return Err(format!("a case and a program are both called `{}`", program.label));
    }
    let is_there = |label: &str| {
        cases.iter().any(|case| case.target.label == label)
            || table.program.iter().any(|program| program.label == label)
    };
    let mut kept = table.quick.targets.iter().flatten();
    if let Some(unknown) = kept.find(|label| !is_there(label)) {
        return Err(format!("quick: targets: no target and no program is called `{unknown}`"));
    }
    let mut kept = table.quick.connections.iter().flatten();
    match kept.find(|count| !cases.iter().any(|case| case.load.connections == count.0)) {
        Some(unknown) => Err(format!("quick: connections: no step has {}", unknown.0)),
        None => Ok(()),
    }
}

/// What `--quick` keeps of an experiment.
fn quickly<'a>(
    file: &ClaimsFile,
    table: &'a ExperimentTable,
    seed: u64,
    machine: &Machine,
) -> Result<Experiment<'a>, Failure> {
    let (own, all) = (&table.quick, &file.quick);
    if own.skip {
        return Ok(Experiment { table, cases: Vec::new(), programs: Vec::new(), repeats: 0 });
    }
    let named =
        own.repeats.as_ref().or(all.repeats.as_ref()).or(table.repeats.as_ref()).or(file.repeats.as_ref());
    let repeats = named.map_or(REPEATS_DEFAULT, |of| of.0);
    let keeps = |label: &str| own.targets.as_ref().is_none_or(|kept| kept.iter().any(|one| one == label));
    let sweep = table.sweep(seed, repeats).map(|mut sweep| {
        // What stands for all experiments is for those that have a window.
        let has_window = !sweep.load.climb && sweep.load.workload != Some(WorkloadName::Burst);
        let warmup = own.warmup.as_ref().or(all.warmup.as_ref().filter(|_| has_window));
        let duration = own.duration.as_ref().or(all.duration.as_ref().filter(|_| has_window));
        if let Some(warmup) = warmup {
            sweep.load.warmup = Some(Typed(warmup.0));
            sweep.step.iter_mut().for_each(|step| step.warmup = None);
        }
        if let Some(duration) = duration {
            sweep.load.duration = Some(Typed(duration.0));
            sweep.step.iter_mut().for_each(|step| step.duration = None);
        }
        sweep
    });
    // Left out only now: a case has the same name whatever else is run.
    let mut cases = cases_of(table, sweep, machine)?;
    let keeps_step =
        |count: u64| own.connections.as_ref().is_none_or(|kept| kept.iter().any(|one| one.0 == count));
    let planned = cases.len();
    cases.retain(|case| keeps(&case.target.label) && keeps_step(case.load.connections));
    if planned > 0 && cases.is_empty() {
        return Err(Failure::usage(format!(
            "[experiment.quick] of `{}` keeps no case: `skip = true` says so",
            table.name
        )));
    }
    let programs = table.program.iter().filter(|program| keeps(&program.label)).collect();
    Ok(Experiment { table, cases, programs, repeats })
}

fn cases_of(
    table: &ExperimentTable,
    sweep_file: Option<SweepFile>,
    machine: &Machine,
) -> Result<Vec<Case>, Failure> {
    let Some(file) = sweep_file else { return Ok(Vec::new()) };
    let cases = sweep(&file, machine).map_err(|failure| Failure {
        line: format!("[[experiment]] `{}`: {failure}", table.name),
        ..failure
    })?;
    Ok(cases.into_iter().map(|case| Case { name: format!("{}.{}", table.name, case.name), ..case }).collect())
}

fn program_name(table: &ExperimentTable, program: &ProgramTable) -> String {
    format!("{}.{}", table.name, program.label)
}

/// The name of a case without its repeat.
fn stem(case: &Case) -> &str {
    let tail = format!("-r{}", case.repeat);
    case.name.strip_suffix(&tail).unwrap_or(&case.name)
}

/// All first repeats, then all second ones. A program comes after the cases of its experiment.
fn in_order(experiments: &[Experiment], machine: &Machine) -> Result<(Vec<Case>, Vec<ProgramSpec>), Failure> {
    let (mut cases, mut programs) = (Vec::new(), Vec::new());
    let repeats = experiments.iter().map(|experiment| experiment.repeats).max().unwrap_or_default();
    for repeat in 1..=repeats {
        for experiment in experiments {
            cases.extend(experiment.cases.iter().filter(|case| case.repeat == repeat).cloned());
            if repeat > experiment.repeats {
                continue;
            }
            for program in &experiment.programs {
                programs.push(ProgramSpec {
                    name: program_name(experiment.table, program),
                    repeat,
                    command: program.command.clone(),
                    serve: program.serve.as_ref().map(|serve| served(serve, machine)).transpose()?,
                    needs: program.needs.clone(),
                    timeout_ns: ns(program.timeout.as_ref().map_or(PROGRAM_TIMEOUT, |time| time.0)),
                    after_cases: cases.len(),
                });
            }
        }
    }
    Ok((cases, programs))
}

fn cases_drawn(plot: &PlotSpec) -> &[String] {
    match plot {
        PlotSpec::Bars(_) => &[],
        PlotSpec::Lines { cases, .. } | PlotSpec::OverTime(cases) => cases,
    }
}

/// What a claim asks for must be among what is measured, or be left out by `--quick`.
fn check_asked(claim: &ClaimSpec, spec: &Spec, cases: &[Case]) -> Result<(), String> {
    let mut expressions: Vec<Expression> = Vec::new();
    for value in &claim.values {
        expressions.push(expression::parse(&value.expression)?);
    }
    for one in &claim.checks {
        let rule = check::parse(&one.rule)?;
        expressions.extend([rule.left, rule.right]);
    }
    let told = claim.shows.iter().chain(claim.table.iter().flat_map(|table| table.rows.iter().flatten()));
    let facts: Vec<(&str, &str)> =
        told.flat_map(|text| names_in(text)).filter_map(|name| name.split_once(" of ")).collect();
    let mut asked = Vec::new();
    expressions.iter().for_each(|expression| expression.cases(&mut asked));
    let is_case = |glob: &str| cases.iter().any(|case| gate::matches(glob, stem(case)));
    let is_program = |name: &str| spec.programs.iter().any(|program| program.name == name);
    let is_left_out = |glob: &str| spec.left_out.iter().any(|name| gate::matches(glob, name));
    for (fact, name) in facts {
        match () {
            () if is_case(name) && fact != STOPPED_BY => {
                return Err(format!("`{{{fact} of {name}}}`: a case tells `{STOPPED_BY}` only"));
            }
            () if is_case(name) || is_program(name) || is_left_out(name) => {}
            () => return Err(format!("`{name}` is no case and no program of this file")),
        }
    }
    for drawn in claim.plot.iter().flat_map(cases_drawn) {
        if !is_case(drawn) && !is_left_out(drawn) {
            return Err(format!("plot: `{drawn}` is no case of this file"));
        }
    }
    for (measure, name) in asked {
        match () {
            () if is_case(name) && Measure::find(measure).is_none() => {
                return Err(format!("`{measure} of {name}`: `{measure}` is not a measure of a case"));
            }
            () if is_case(name) || is_program(name) || is_left_out(name) => {}
            () => return Err(format!("`{name}` is no case and no program of this file")),
        }
    }
    Ok(())
}

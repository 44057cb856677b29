//! A claims file as typed (TOML): experiments, which are sweeps, programs beside them, and claims with their rules; one
//! clear line for what may not stand there.
//!
//! Nothing is resolved here and nothing is looked up on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use brink_results::claims::check::{self, Check};
use brink_results::claims::dimension::Dimension;
use brink_results::claims::guide::Question;
use brink_results::claims::sentences::names_in;
use brink_results::claims::{ClaimSpec, GuideSpec, NamedExpression, PlotSpec, Table, expression};
use brink_results::measures::Measure;
use brink_results::schema::Verdict;

use crate::exit::Failure;
use crate::sweep_file::{
    Count, FileError, LoadTable, Repeats, StepTable, SweepFile, TargetTable, Time, TimeAboveZero, Typed,
    Wait, Work, contradiction, explain, incomplete,
};
use crate::target_process::output::shown;
use crate::target_process::words;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimsFile {
    /// Names the results folder.
    pub name: String,
    /// Of the shuffled order.
    #[serde(default = "one")]
    pub seed: u64,
    /// How often each experiment is run that names no number.
    #[serde(default)]
    pub repeats: Option<Typed<Repeats>>,
    /// What `--quick` takes instead.
    #[serde(default)]
    pub quick: QuickTable,
    /// What is measured.
    pub experiment: Vec<Spanned<ExperimentTable>>,
    /// What is claimed.
    #[serde(default)]
    claim: Vec<Spanned<ClaimTable>>,
    /// What the guide is made of.
    #[serde(default)]
    guide: Option<GuideTable>,
    /// Where it was read from, as it was named.
    #[serde(skip)]
    path: String,
    /// The line of each claim, from 1.
    #[serde(skip)]
    claim_lines: Vec<usize>,
}

/// `[quick]` of the file and of an experiment.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuickTable {
    /// Leaves the experiment out.
    pub skip: bool,
    /// How often each case is run.
    pub repeats: Option<Typed<Repeats>>,
    /// Work before measuring begins.
    pub warmup: Option<Typed<Time>>,
    /// Measuring window.
    pub duration: Option<Typed<TimeAboveZero>>,
    /// The steps that are kept, by their connections; none: all.
    pub connections: Option<Vec<Typed<Count>>>,
    /// The targets and programs that are kept, by label or model; none: all.
    pub targets: Option<Vec<String>>,
}

/// `[[experiment]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentTable {
    /// Its cases' and programs' names begin with it.
    pub name: String,
    /// How often each case is run.
    #[serde(default)]
    pub repeats: Option<Typed<Repeats>>,
    /// What `--quick` takes instead.
    #[serde(default)]
    pub quick: QuickTable,
    /// Verdicts that count as measured beside `valid`.
    #[serde(default)]
    pub allow: Vec<Verdict>,
    /// As in a sweep file.
    #[serde(default)]
    pub target: Vec<TargetTable>,
    /// As in a sweep file.
    #[serde(default)]
    pub load: LoadTable,
    /// As in a sweep file.
    #[serde(default)]
    pub step: Vec<StepTable>,
    /// Commands that are run beside the cases.
    #[serde(default)]
    pub program: Vec<ProgramTable>,
}

/// `[[experiment.program]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramTable {
    /// With the experiment it is its name.
    pub label: String,
    /// `{url}` and `{address}` are those of `serve`, `{brink}` is this program.
    pub command: String,
    /// A target that is started before it and stopped after it.
    #[serde(default)]
    pub serve: Option<TargetTable>,
    /// A program that must be on the PATH.
    #[serde(default)]
    pub needs: Option<String>,
    /// It is ended after this time.
    #[serde(default)]
    pub timeout: Option<Typed<TimeAboveZero>>,
}

/// `[[claim]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimTable {
    id: String,
    says: String,
    source: String,
    #[serde(default)]
    claimed: BTreeMap<String, String>,
    shows: Sentences,
    would_change: String,
    value: toml::Table,
    check: Vec<Check>,
    #[serde(default)]
    plot: Option<PlotTable>,
    #[serde(default)]
    table: Option<Table>,
}

/// One sentence, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts is needed")]
enum Sentences {
    One(String),
    Several(Vec<String>),
}

impl Sentences {
    fn all(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PlotTable {
    bars: Option<Vec<String>>,
    lines: Option<LinesTable>,
    over_time: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinesTable {
    measure: String,
    cases: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuideTable {
    experiments: Vec<String>,
    #[serde(default)]
    blocking: Vec<String>,
    #[serde(default)]
    question: Vec<QuestionTable>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuestionTable {
    connections: Typed<Count>,
    #[serde(default)]
    delay: Option<Typed<Wait>>,
    #[serde(default)]
    work: Option<Typed<Work>>,
    #[serde(default)]
    blocking: bool,
}

/// How long a program may take where nothing is named.
pub const PROGRAM_TIMEOUT: Duration = Duration::from_secs(60);

/// Of what is wrong in a file: a value in it may be of any length.
const MESSAGE_CHARS_MAX: usize = 600;

/// Reads a claims file.
///
/// # Errors
/// A usage failure with file and line.
pub fn read(path: &Path) -> Result<ClaimsFile, Failure> {
    let file = parse(&text_of(path)?).map_err(|error| Failure::usage(error.at(path)))?;
    Ok(ClaimsFile { path: path.display().to_string(), ..file })
}

/// Whether a file has experiments, as no sweep file has.
///
/// # Errors
/// A usage failure for a file that cannot be read.
pub fn is_one(path: &Path) -> Result<bool, Failure> {
    Ok(text_of(path)?.parse::<toml::Table>().is_ok_and(|table| table.contains_key("experiment")))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{}: cannot be read: {error}", path.display())))
}

fn parse(text: &str) -> Result<ClaimsFile, FileError> {
    let mut file: ClaimsFile = toml::from_str(text).map_err(|error| explain(text, &error))?;
    let line = |at: usize| Some(1 + text[..at.min(text.len())].matches('\n').count());
    file.claim_lines = file.claim.iter().filter_map(|claim| line(claim.span().start)).collect();
    if file.experiment.is_empty() {
        let message = "no [[experiment]]: there is nothing to measure".to_owned();
        return Err(FileError { line: None, message });
    }
    if !is_name(&file.name) {
        let name = shown(&file.name);
        let message = format!("name: `{name}` names a folder: letters, digits, - and _ are allowed");
        return Err(FileError { line: None, message });
    }
    let mut names = BTreeSet::new();
    for table in &file.experiment {
        let experiment = table.get_ref();
        let wrong = wrong_with(experiment)
            .or_else(|| (!names.insert(&experiment.name)).then(|| "its name is taken by another".to_owned()));
        if let Some(message) = wrong {
            let message = format!("[[experiment]] `{}`: {}", shown(&experiment.name), bounded(message));
            return Err(FileError { line: line(table.span().start), message });
        }
    }
    let mut ids = BTreeSet::new();
    let programs = file.programs();
    for table in &file.claim {
        let claim = table.get_ref();
        let taken = (!ids.insert(&claim.id)).then(|| "its id is taken by another".to_owned());
        let wrong = taken.or_else(|| claim.unknown_measure(&programs)).or_else(|| claim.resolve().err());
        if let Some(message) = wrong {
            let message = format!("[[claim]] `{}`: {}", shown(&claim.id), bounded(message));
            return Err(FileError { line: line(table.span().start), message });
        }
    }
    let of_guide = file.guide.iter().flat_map(|guide| &guide.experiments);
    if let Some(unknown) = of_guide.into_iter().find(|name| !names.contains(name)) {
        let message = format!("[guide]: there is no experiment `{}`", shown(unknown));
        return Err(FileError { line: None, message });
    }
    Ok(file)
}

/// One line, whatever stands in the file: with its beginning, and with its end, where it says what is wrong.
pub fn bounded(message: String) -> String {
    let count = message.chars().count();
    if count <= MESSAGE_CHARS_MAX {
        return message;
    }
    let half = MESSAGE_CHARS_MAX / 2;
    let begin = message.chars().take(half);
    begin.chain("..".chars()).chain(message.chars().skip(count - half)).collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn wrong_with(experiment: &ExperimentTable) -> Option<String> {
    if !is_name(&experiment.name) {
        return Some("its name: letters, digits, - and _ are allowed".to_owned());
    }
    if experiment.target.is_empty() && experiment.program.is_empty() {
        return Some(
            "it measures nothing: name a [[experiment.target]] or a [[experiment.program]]".to_owned(),
        );
    }
    let of_sweep = experiment.sweep(0, 1).and_then(|file| incomplete(&file)).map(|(_, message)| message);
    let of_target =
        experiment.target.iter().find_map(|target| Some(format!("[[target]]: {}", contradiction(target)?)));
    let of_program = experiment.program.iter().find_map(|program| {
        let why = wrong_with_program(program)?;
        Some(format!("[[program]] `{}`: {why}", program.label))
    });
    let mut labels = BTreeSet::new();
    let twice = experiment.program.iter().find(|program| !labels.insert(&program.label));
    let twice = twice.map(|program| format!("two programs are both called `{}`", program.label));
    of_sweep.or(of_target).or(of_program).or(twice)
}

fn wrong_with_program(program: &ProgramTable) -> Option<String> {
    if let Err(why) = words::split(&program.command) {
        return Some(why);
    }
    let asks = ["{url}", "{address}"].iter().find(|word| program.command.contains(**word));
    match (&program.serve, asks) {
        _ if !is_name(&program.label) => Some("its label: letters, digits, - and _ are allowed".to_owned()),
        (None, Some(word)) => Some(format!("{word} stands for the address of `serve`, which is not there")),
        (Some(_), None) => {
            Some("`serve` is of no use to it: {url} or {address} must stand in `command`".to_owned())
        }
        (Some(serve), _) if serve.model.is_none() => Some("serve: a `model` is needed".to_owned()),
        (Some(serve), _) => contradiction(serve).map(|why| format!("serve: {why}")),
        (None, None) => None,
    }
}

impl ExperimentTable {
    /// The sweep that it is; `None` where it has programs alone.
    pub fn sweep(&self, seed: u64, repeats: u32) -> Option<SweepFile> {
        (!self.target.is_empty()).then(|| SweepFile {
            name: self.name.clone(),
            seed,
            repeats: Some(Typed(repeats)),
            target: self.target.clone(),
            load: self.load.clone(),
            step: self.step.clone(),
        })
    }
}

impl ClaimsFile {
    /// As expressions call them.
    fn programs(&self) -> BTreeSet<String> {
        let of = |table: &Spanned<ExperimentTable>| {
            let experiment = table.get_ref();
            let labels = experiment.program.iter().map(|program| &program.label);
            labels.map(|label| format!("{}.{label}", experiment.name)).collect::<Vec<String>>()
        };
        self.experiment.iter().flat_map(of).collect()
    }

    /// The claims, each of which was checked when the file was read.
    ///
    /// # Errors
    /// A usage failure.
    pub fn claims(&self) -> Result<Vec<ClaimSpec>, Failure> {
        self.claim.iter().map(|claim| claim.get_ref().resolve().map_err(Failure::usage)).collect()
    }

    /// `configs/claims.toml: `; with the line of a claim `configs/claims.toml:12: `.
    pub fn place(&self, id: Option<&str>) -> String {
        let is_it = |claim: &Spanned<ClaimTable>| Some(claim.get_ref().id.as_str()) == id;
        let at = self.claim.iter().position(is_it).and_then(|at| self.claim_lines.get(at));
        at.map_or_else(|| format!("{}: ", self.path), |line| format!("{}:{line}: ", self.path))
    }

    /// What the guide is made of.
    pub fn guide(&self) -> Option<GuideSpec> {
        let question = |table: &QuestionTable| Question {
            connections: table.connections.0,
            delay_ns: table.delay.as_ref().map_or(0, |delay| delay.0.as_nanos() as u64),
            work_ns: table.work.as_ref().map_or(0, |work| u64::from(work.0) * 1_000),
            blocking: table.blocking,
            memory_bytes: None,
        };
        let of = |guide: GuideTable| GuideSpec {
            questions: guide.question.iter().map(question).collect(),
            experiments: guide.experiments,
            blocking: guide.blocking,
        };
        self.guide.clone().map(of)
    }
}

impl ClaimTable {
    fn resolve(&self) -> Result<ClaimSpec, String> {
        let mut dimensions: Vec<(&str, Dimension)> = Vec::new();
        let mut values = Vec::new();
        for (name, value) in &self.value {
            let text = value.as_str().ok_or_else(|| format!("value `{name}`: a text in quotes is needed"))?;
            let known = |name: &str| dimensions.iter().find(|(own, _)| *own == name).map(|(_, of)| *of);
            let dimension = expression::parse(text)
                .and_then(|expression| expression.dimension(&known))
                .map_err(|why| format!("value `{name}`: {why}"))?;
            dimensions.push((name, dimension));
            values.push(NamedExpression { name: name.clone(), expression: text.to_owned() });
        }
        let known = |name: &str| dimensions.iter().find(|(own, _)| *own == name).map(|(_, of)| *of);
        for check in &self.check {
            check::parse(&check.rule)
                .and_then(|rule| rule.check(&known))
                .map_err(|why| format!("check `{}`: {why}", shown(&check.rule)))?;
        }
        if self.check.is_empty() {
            return Err("no [[claim.check]]: without a rule no verdict follows".to_owned());
        }
        self.check_claimed(&known)?;
        let texts =
            self.shows.all().iter().chain(self.table.iter().flat_map(|table| table.rows.iter().flatten()));
        // `{FACT of PROGRAM}` is looked up with the cases.
        let in_texts = texts.flat_map(|text| names_in(text)).filter(|name| !name.contains(" of "));
        let named = in_texts.chain(self.claimed.keys().map(String::as_str));
        let plotted = self.plot.iter().flat_map(|plot| plot.bars.iter().flatten()).map(String::as_str);
        if let Some(unknown) = named.chain(plotted).find(|name| known(name).is_none()) {
            return Err(format!("there is no value `{unknown}`"));
        }
        let uneven = |table: &&Table| table.rows.iter().any(|row| row.len() != table.columns.len());
        if let Some(table) = self.table.as_ref().filter(uneven) {
            return Err(format!(
                "table: each row needs {} cells, one for each of `columns`",
                table.columns.len()
            ));
        }
        Ok(ClaimSpec {
            id: self.id.clone(),
            says: self.says.clone(),
            source: self.source.clone(),
            claimed: self.claimed.clone(),
            shows: self.shows.all().to_vec(),
            would_change: self.would_change.clone(),
            values,
            checks: self.check.clone(),
            plot: self.plot.as_ref().map(PlotTable::resolve).transpose()?,
            table: self.table.clone(),
        })
    }
}

impl ClaimTable {
    /// A program's figures are its own; those of a case are known. Before units are looked at, of which an unknown one has none.
    fn unknown_measure(&self, programs: &BTreeSet<String>) -> Option<String> {
        for text in self.value.values().filter_map(toml::Value::as_str) {
            let Ok(expression) = expression::parse(text) else { continue };
            let mut asked = Vec::new();
            expression.cases(&mut asked);
            let is_unknown = |(measure, case): &&(&str, &str)| {
                !programs.contains(*case) && Measure::find(measure).is_none()
            };
            if let Some((measure, case)) = asked.iter().find(is_unknown) {
                return Some(format!("`{measure} of {case}`: `{measure}` is not a measure of a case"));
            }
        }
        None
    }

    /// What is claimed is drawn beside what was measured, so it must be counted in the same.
    fn check_claimed(&self, known: &dyn Fn(&str) -> Option<Dimension>) -> Result<(), String> {
        for (name, text) in &self.claimed {
            let claimed = expression::parse(text).and_then(|figure| figure.dimension(&|_| None));
            let claimed = claimed.map_err(|_| format!("claimed `{name}`: `{text}` is not a figure"))?;
            if known(name).is_some_and(|measured| measured != claimed) {
                return Err(format!("claimed `{name}`: `{text}` is {}, its value is not", claimed.words()));
            }
        }
        Ok(())
    }
}

impl PlotTable {
    fn resolve(&self) -> Result<PlotSpec, String> {
        match (&self.bars, &self.lines, &self.over_time) {
            (Some(bars), None, None) => Ok(PlotSpec::Bars(bars.clone())),
            (None, Some(lines), None) => match Measure::find(&lines.measure) {
                Some(_) => Ok(PlotSpec::Lines { measure: lines.measure.clone(), cases: lines.cases.clone() }),
                None => Err(format!("plot: `{}` is not a measure", lines.measure)),
            },
            (None, None, Some(cases)) => Ok(PlotSpec::OverTime(cases.clone())),
            _ => Err("plot: exactly one of `bars`, `lines` and `over_time` is needed".to_owned()),
        }
    }
}

fn one() -> u64 {
    1
}

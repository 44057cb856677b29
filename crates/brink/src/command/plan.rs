//! `brink plan`: what a sweep would run, without running it.

use brink_results::case::Case;
use brink_results::schema::{PLAN_SCHEMA, Plan};
use brink_wire::value::{format_count, format_duration};
use std::time::Duration;

use crate::claims_file;
use crate::cli::{Format, PlanArgs};
use crate::command;
use crate::exit::Failure;
use crate::plan::{self, Machine};
use crate::sweep_file::SweepFile;

/// Prints the resolved cases of a sweep file, or of a claims file.
///
/// # Errors
/// A usage failure for a file that is not as it must be.
pub fn run(args: &PlanArgs) -> Result<(), Failure> {
    let in_file =
        |failure: Failure| Failure { line: format!("{}: {failure}", args.file.display()), ..failure };
    let plan = if claims_file::is_one(&args.file)? {
        let file = claims_file::read(&args.file)?;
        super::claims::make(&file, args.quick, Vec::new(), String::new())?.0
    } else if args.quick {
        return Err(Failure::usage(format!("--quick: {} is no claims file", args.file.display())));
    } else {
        let file = command::read_sweep_file(&args.file)?;
        make(&file, Vec::new(), String::new()).map_err(in_file)?
    };
    match args.format {
        Format::Json => {
            let json =
                serde_json::to_string_pretty(&plan).map_err(|error| Failure::failed(error.to_string()))?;
            command::print(&format!("{json}\n"))
        }
        Format::Text => command::print(&text(&plan)),
    }
}

/// The plan of a sweep file on this machine.
///
/// # Errors
/// A usage failure when values make no sense together.
pub fn make(file: &SweepFile, command_line: Vec<String>, created: String) -> Result<Plan, Failure> {
    let machine = command::machine()?;
    let cases = plan::sweep(file, &machine)?;
    of_cases((&file.name, file.seed), cases, &machine, (command_line, created))
}

/// A plan of these cases, whose CPUs are there.
///
/// # Errors
/// A usage failure that names the key.
pub fn of_cases(
    (name, seed): (&str, u64),
    cases: Vec<Case>,
    machine: &Machine,
    (command, created): (Vec<String>, String),
) -> Result<Plan, Failure> {
    for case in &cases {
        command::check_cpus("[load] cpus", case.load.cpus.as_deref(), &machine.cpus_allowed)?;
        command::check_cpus("[[target]] cpus", case.target.cpus.as_deref(), &machine.cpus_allowed)?;
    }
    Ok(Plan {
        schema: PLAN_SCHEMA.to_owned(),
        name: name.to_owned(),
        seed,
        brink_version: env!("CARGO_PKG_VERSION").to_owned(),
        command,
        created,
        resumed: Vec::new(),
        cases,
    })
}

fn text(plan: &Plan) -> String {
    let mut out = format!("{}: {} cases, seed {}\n", plan.name, plan.cases.len(), plan.seed);
    for (number, case) in plan.cases.iter().enumerate() {
        out += &format!(
            "{:>4}  {:<28} {} connections, {}, delay {}, engine {}\n",
            number + 1,
            case.name,
            format_count(case.load.connections),
            command::in_words(&case.load),
            case.load
                .delay_ns
                .map_or(case.target.delay.to_string(), |ns| format_duration(Duration::from_nanos(ns))),
            case.load.engine,
        );
    }
    out
}

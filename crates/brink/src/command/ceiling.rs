//! `brink ceiling`: how many connections a target and this client hold, what gives way first, and what lifts it.

use brink_results::case::Case;
use brink_results::schema::CaseResult;
use brink_results::{answer, store};
use brink_wire::value::{format_bytes, format_count};

use crate::audience::Audience;
use crate::case_process::{Asked, CaseRunner, Ran};
use crate::ceiling::{self, Climbing};
use crate::cli::CeilingArgs;
use crate::command;
use crate::exit::{Code, Failure};
use crate::plan::{self, Machine};
use crate::preflight::{self, Surroundings};
use crate::progress::Left;
use crate::stderr;

/// Connections above what this client's own limits let it open, so that one of them is met.
const BEYOND: u64 = 1_000;
/// Connections where nothing is known to bound them.
const STOP_AT_MAX: u64 = 10_000_000;

/// Finds a ceiling and prints it.
///
/// # Errors
/// By the contract of exit codes: 1 could not run, 2 usage, 130 and 143 stopped.
pub fn run(args: &CeilingArgs) -> Result<(), Failure> {
    let machine = command::machine()?;
    command::check_pinning(&args.at, &args.client, &machine)?;
    check_floor(args.memory_floor)?;
    // A child raises its soft limit likewise; what is read here is what it will meet.
    command::raise_nofile();
    let case = resolve(args, &machine)?;
    let permission = command::permission(&args.at, &case, &args.follow)?;
    if let Some(out) = &args.out {
        command::claim(out, &case).map_err(|error| Failure::usage(format!("--out: {error}")))?;
    }
    let runner = CaseRunner::new()?;
    let climbing = Climbing {
        memory_floor_bytes: args.memory_floor,
        climb_max_s: args.climb_within.as_secs_f64(),
        external: permission.external,
        token_was_typed: permission.token_was_typed,
    };
    stderr::say(&format!(
        "brink: up to {} connections in all to {}, engine {}",
        format_count(case.load.connections),
        command::target_in_words(&case.target),
        case.load.engine,
    ));
    // Nobody knows how long it takes.
    let mut audience =
        Audience::new(&args.follow, args.format, args.at.token.as_deref(), 1, Left::default())?;
    audience.begin(&case);
    let asked = Asked {
        out: args.out.as_deref().map(|out| (out, 1)),
        // Whether a limit is in the way is what is asked.
        preflight: false,
        climbing: Some(&climbing),
        token: permission.token.as_deref(),
    };
    let ran = runner.run(&case, asked, |snapshot| audience.update(snapshot));
    if let Ok(ran) = &ran {
        audience.end(&ran.result);
    }
    audience.finish();
    let Ran { mut result, died } = ran?;
    if died.is_some() && result.failure_point.is_some() {
        result.ceiling = Some(ceiling::of_dead_client(&result, args.memory_floor));
        if let Some(out) = &args.out {
            store::write_result(out, 1, &result).map_err(|error| Failure::failed(error.to_string()))?;
        }
    }
    if let Some(out) = &args.out {
        command::write_report(out)?;
    }
    let failure = verdict(&result, runner.caught().code());
    command::print_result(args.format, &args.follow, &result, failure.as_ref(), answer::answer_ceiling)?;
    failure.map_or(Ok(()), Err)
}

/// A floor above what is available now would end it before it began.
fn check_floor(asked: Option<u64>) -> Result<(), Failure> {
    let available = brink_host::usage::machine().available_bytes;
    match asked.zip(available) {
        Some((asked, available)) if asked >= available => Err(Failure::usage(format!(
            "--memory-floor: {} are more than the {} that are available now",
            format_bytes(asked as f64),
            format_bytes(available as f64)
        ))),
        _ => Ok(()),
    }
}

/// The case, with a bound that something is met below.
fn resolve(args: &CeilingArgs, machine: &Machine) -> Result<Case, Failure> {
    if let Some(stop_at) = args.stop_at {
        return plan::ceiling(args, stop_at, machine);
    }
    let readings = brink_host::limits::read(std::process::id());
    let first = plan::ceiling(args, STOP_AT_MAX, machine)?;
    let around = Surroundings::before(&first, &readings, machine.cpus_allowed.len() as u32);
    let own = preflight::client_max(&first, &around, !args.client.source_ip.is_empty());
    let stop_at = own.map_or(STOP_AT_MAX, |own| own.saturating_add(own / 20 + BEYOND)).min(STOP_AT_MAX);
    plan::ceiling(args, stop_at, machine)
}

/// A ceiling that was found is no failure, whatever it was.
fn verdict(result: &CaseResult, signal: Option<Code>) -> Option<Failure> {
    match (signal, &result.ceiling) {
        (Some(signal), _) => Some(Failure::said(signal)),
        (None, Some(_)) => None,
        (None, None) => {
            let why = result.validity.reasons.first().cloned().unwrap_or_default();
            Some(Failure::failed(why))
        }
    }
}

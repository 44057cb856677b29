//! `brink target`: the echo server.

use std::io::Write;
use std::net::SocketAddr;

use brink_target::{Options, Stop};
use brink_wire::control::{Counters, Ready};

use crate::cli::TargetArgs;
use crate::command;
use crate::exit::Failure;
use crate::stderr;
use crate::{plan, signals, supervise};

/// Runs a target until it is told to stop.
///
/// # Errors
/// A usage failure for flags that do not go together or an address that cannot be
/// had; a failure when serving fails.
pub fn run(args: &TargetArgs) -> Result<(), Failure> {
    if let Some(parent) = args.parent {
        brink_host::parent::die_with_parent(parent).map_err(|error| {
            Failure::failed(format!("cannot follow the parent process {parent}: {error}"))
        })?;
    }
    let options = options(args)?;
    // Before any thread is made, so that all of them inherit it.
    if let Some(cpus) = &args.cpus {
        brink_host::cpus::pin(&cpus.0).map_err(|error| Failure::failed(format!("--cpus: {error}")))?;
    }
    command::raise_nofile();
    let stop = Stop::new().map_err(|error| Failure::failed(format!("cannot make a stop signal: {error}")))?;
    let on_signal = stop.clone();
    let caught = signals::listen(move |_| on_signal.request())
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    let mut announced = Ok(());
    let mut on_ready = |ready: &Ready| {
        announced = announce(ready);
        if announced.is_err() {
            stop.request();
        }
    };
    let served = match processes(args) {
        1 => brink_target::run(&options, &stop, &mut on_ready),
        several => supervise::run(&options, several, &stop, &mut on_ready),
    };
    announced?;
    let counters = served.map_err(|error| explain(args, &options, &error))?;
    // Stopping is what a signal is for: a target that did so ended well.
    let _stopped_by_a_signal = caught.code();
    if !args.shares_port {
        say_goodbye(&counters);
    }
    Ok(())
}

/// What was counted, in one line. A worker leaves that to its supervisor.
fn say_goodbye(counters: &Counters) {
    stderr::say(&format!(
        "brink: target stopped: {} connections accepted, {} requests answered{}",
        counters.accepted,
        counters.requests,
        counters
            .refusals
            .iter()
            .map(|r| format!(", {} {} {}", r.count, r.phase, r.error))
            .collect::<String>()
    ));
}

/// Processes that serve. One that shares its port is one of several already.
fn processes(args: &TargetArgs) -> u32 {
    if args.shares_port { 1 } else { args.processes.unwrap_or(1).max(1) }
}

fn options(args: &TargetArgs) -> Result<Options, Failure> {
    let name = args.model.model.as_deref().unwrap_or(plan::MODEL_DEFAULT);
    let model = brink_target::find(name).ok_or_else(|| Failure::failed(format!("no model `{name}`")))?;
    (model.available)()
        .map_err(|why| Failure::failed(format!("the model `{name}` cannot run here: {why}")))?;
    if args.model.stack_size.is_some() && !model.has_own_stacks {
        return Err(Failure::usage(format!(
            "--stack-size: the model `{name}` has no threads with stacks of their own size"
        )));
    }
    let machine = command::machine()?;
    let cpus = args.cpus.as_ref().map(|cpus| cpus.0.as_slice());
    command::check_cpus("--cpus", cpus, &machine.cpus_allowed)?;
    let cpus_in_all = cpus.map_or(machine.cpus_allowed.len(), <[usize]>::len) as u32;
    // All processes have all CPUs, and share them.
    let cpus_each = (cpus_in_all / processes(args)).max(1);
    let control = match (args.no_control, args.control) {
        (true, _) => None,
        (false, Some(address)) => Some(address),
        (false, None) => Some(next_port(args.listen)?),
    };
    if let Some(control) = control.filter(|control| !control.ip().to_canonical().is_loopback())
        && args.token.is_none()
    {
        return Err(Failure::usage(format!(
            "--token: the control plane at {control} can be reached from other machines and needs one; or use --control 127.0.0.1:PORT, or --no-control"
        )));
    }
    Ok(Options {
        model,
        listen: args.listen,
        control,
        token: args.token.clone(),
        threads: plan::worker_threads(name, "--threads", args.threads)?
            .unwrap_or_else(|| model.threads.default_for(cpus_each)),
        delay: args.delay,
        work_us: args.work,
        stack_bytes: args.model.stack_size.unwrap_or(plan::STACK_BYTES_DEFAULT),
        backlog: args.model.backlog.unwrap_or(plan::BACKLOG_DEFAULT),
        connections_max: args.model.max_connections,
        shares_port: args.shares_port,
    })
}

/// The control plane's own default: the port after the echo port; with port 0 any free one.
fn next_port(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    let port = match listen.port() {
        0 => 0,
        u16::MAX => {
            return Err(Failure::usage("--control: there is no port after 65535; name one, or --no-control"));
        }
        port => port + 1,
    };
    Ok(SocketAddr::new(listen.ip(), port))
}

fn announce(ready: &Ready) -> Result<(), Failure> {
    let line = serde_json::to_string(ready).map_err(|error| Failure::failed(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(format!("cannot write the ready line to stdout: {error}")))
}

fn explain(args: &TargetArgs, options: &Options, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let control = options.control.map_or(String::new(), |control| format!(" (control plane: {control})"));
    match error.kind() {
        AddrInUse | AddrNotAvailable | PermissionDenied => {
            Failure::usage(format!("--listen {}{control}: {error}", args.listen))
        }
        // Says by itself what it was that failed.
        _ => Failure::failed(error.to_string()),
    }
}

//! How values of flags and of sweep files are read: one function each, with one clear line for what is wrong.
//!
//! Pure: nothing is looked up on the machine.

use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use brink_results::schemas::SCHEMAS;
use brink_wire::escape;
use brink_wire::frame::{DELAY_NS_MAX, PAYLOAD_LEN_MAX, WORK_US_MAX};
use brink_wire::value;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};

use crate::location::Location;
use crate::nearest;

/// A list of CPUs. A type of its own, since clap takes a plain `Vec` for a repeated flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus(pub Vec<usize>);

/// Reads `--cpus`.
pub fn cpus(text: &str) -> Result<Cpus, String> {
    value::parse_cpus(text).map(Cpus)
}

/// Reads a model by name.
pub fn model_name(text: &str) -> Result<String, String> {
    let names: Vec<_> = brink_target::MODELS.iter().map(|model| model.name).collect();
    known("model", text, &names)
}

/// Reads an engine by name.
pub fn engine_name(text: &str) -> Result<String, String> {
    let names: Vec<_> = brink_client::ENGINES.iter().map(|engine| engine.name).collect();
    known("engine", text, &names)
}

/// A name out of a table: help, completions and manual pages list what it can be.
#[derive(Clone)]
pub struct OneOf {
    read: fn(&str) -> Result<String, String>,
    rows: fn() -> Vec<(&'static str, &'static str)>,
}

impl TypedValueParser for OneOf {
    type Value = String;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        self.read.parse_ref(cmd, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.rows)().into_iter().map(|(name, about)| PossibleValue::new(name).help(about))))
    }
}

/// `--model`
pub fn model_names() -> OneOf {
    let rows = || brink_target::MODELS.iter().map(|model| (model.name, model.summary)).collect();
    OneOf { read: model_name, rows }
}

/// `--engine`
pub fn engine_names() -> OneOf {
    let rows = || brink_client::ENGINES.iter().map(|engine| (engine.name, engine.summary)).collect();
    OneOf { read: engine_name, rows }
}

/// What `brink schema` is asked for.
pub fn schema_names() -> OneOf {
    let rows = || SCHEMAS.iter().map(|schema| (schema.name, schema.about)).collect();
    let read = |text: &str| known("schema", text, &SCHEMAS.iter().map(|row| row.name).collect::<Vec<_>>());
    OneOf { read, rows }
}

/// Reads where a target is.
pub fn location(text: &str) -> Result<Location, String> {
    text.parse()
}

/// Reads `--send` and `--expect`, and keeps them as they were typed.
pub fn escaped(text: &str) -> Result<String, String> {
    match escape::parse_escaped(text)?.len() {
        0 => Err("at least one byte is needed".to_owned()),
        len if len > PAYLOAD_LEN_MAX => Err(format!("{len} bytes are too many: at most 1MiB")),
        _ => Ok(text.to_owned()),
    }
}

/// Reads a method of HTTP.
pub fn method(text: &str) -> Result<String, String> {
    let letters = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    match text.to_ascii_uppercase() {
        _ if !letters => Err(format!("`{text}` is not a method: GET, HEAD, POST, PUT, PATCH, DELETE, ..")),
        method if method == "CONNECT" => Err("CONNECT makes a tunnel, not a request".to_owned()),
        method => Ok(method),
    }
}

/// Reads a header of HTTP: `Name: value`.
pub fn header(text: &str) -> Result<(String, String), String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let wrong = || format!("`{text}` is not a header: write 'Name: value'");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    if name.is_empty() || !name.chars().all(token) || value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(wrong());
    }
    let own = ["content-length", "transfer-encoding", "connection", "expect", "upgrade"];
    if own.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!(
            "`{name}` is not for you to set: connections are kept alive and bodies have a length"
        ));
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// Reads a process id.
pub fn pid(text: &str) -> Result<u32, String> {
    // pid_max is at most 2^22, see proc_sys_kernel(5).
    let pid = text.parse().ok().filter(|pid| (1..=1 << 22).contains(pid));
    pid.ok_or_else(|| format!("`{text}` is not a process id: 1 to 4194304"))
}

/// Reads a command line.
pub fn command(text: &str) -> Result<String, String> {
    match shlex::split(text) {
        Some(words) if words.first().is_some_and(|program| !program.is_empty()) => Ok(text.to_owned()),
        Some(_) => Err("a command is needed".to_owned()),
        None => Err(format!("`{text}`: a quote is not closed")),
    }
}

/// Reads a number of serving processes.
pub fn processes(text: &str) -> Result<u32, String> {
    match value::parse_count(text)? {
        n @ 1..=1024 => Ok(n as u32),
        n => Err(format!("{n} is out of bounds: 1 to 1024 are allowed")),
    }
}

/// A number of processes, or as many as limits make necessary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processes {
    /// So many.
    Number(u32),
    /// So that no limit of a process is short of the connections.
    Auto,
}

impl fmt::Display for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// Reads a number of processes, or `auto`.
pub fn processes_or_auto(text: &str) -> Result<Processes, String> {
    match text.trim() {
        "auto" => Ok(Processes::Auto),
        number => processes(number).map(Processes::Number).map_err(|error| {
            if number.starts_with(|c: char| c.is_ascii_digit()) { error } else { format!("{error}; or auto") }
        }),
    }
}

/// Reads a rate of requests: a count, or a decimal number per second.
pub fn request_rate(text: &str) -> Result<f64, String> {
    let rate = value::parse_count(text).map(|rate| rate as f64).or_else(|error| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        text.parse::<f64>().ok().filter(|_| plain).ok_or(error)
    })?;
    if !(0.001..=100e6).contains(&rate) {
        return Err(format!("`{text}` is out of bounds: 0.001 to 100m per second are allowed"));
    }
    Ok(rate)
}

/// Reads `--payload`.
pub fn payload(text: &str) -> Result<u32, String> {
    let bytes = value::parse_bytes(text)?;
    if !(1..=PAYLOAD_LEN_MAX as u64).contains(&bytes) {
        return Err(format!("a payload of {bytes} bytes is out of bounds: 1B to 1MiB are allowed"));
    }
    Ok(bytes as u32)
}

/// Reads a size in bytes.
pub fn size(text: &str) -> Result<u64, String> {
    value::parse_bytes(text)
}

/// Reads `--work` into microseconds.
pub fn work_us(text: &str) -> Result<u32, String> {
    let work = value::parse_duration(text)?;
    let us = u32::try_from(work.as_micros()).ok().filter(|&us| us <= WORK_US_MAX);
    us.ok_or_else(|| format!("`{text}` is too much work for one request: at most 1m"))
}

/// Reads a count that may not be zero.
pub fn count_above_zero(text: &str) -> Result<u64, String> {
    match value::parse_count(text)? {
        0 => Err("0 is too few: at least 1".to_owned()),
        n if n > 100_000_000 => Err(format!("{n} is too many: at most 100m")),
        n => Ok(n),
    }
}

/// Reads a duration that may not be zero.
pub fn duration_above_zero(text: &str) -> Result<Duration, String> {
    match value::parse_duration(text)? {
        Duration::ZERO => Err(format!("`{text}` is too short: it must be more than zero")),
        d if d > Duration::from_secs(7 * 24 * 3600) => Err(format!("`{text}` is too long: at most 168h")),
        d => Ok(d),
    }
}

/// Reads a duration that may be zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    match value::parse_duration(text)? {
        Duration::ZERO => Ok(Duration::ZERO),
        _ => duration_above_zero(text),
    }
}

/// Reads a wait that a request asks for.
pub fn wait(text: &str) -> Result<Duration, String> {
    let wait = value::parse_duration(text)?;
    if wait > Duration::from_nanos(DELAY_NS_MAX) {
        return Err(format!("`{text}` waits too long: at most 1h"));
    }
    Ok(wait)
}

/// Reads a number of bare sleepers.
pub fn sleepers(text: &str) -> Result<u64, String> {
    match value::parse_count(text)? {
        count @ 1..=1_000_000 => Ok(count),
        _ => Err(format!("`{text}` is out of bounds: 1 to 1m are allowed")),
    }
}

/// Reads a number of threads.
pub fn threads(text: &str) -> Result<u32, String> {
    match value::parse_count(text)? {
        n @ 1..=1_000_000 => Ok(n as u32),
        n => Err(format!("{n} is out of bounds: 1 to 1000000 are allowed")),
    }
}

/// Reads a backlog of listen(2).
pub fn backlog(text: &str) -> Result<u32, String> {
    match value::parse_count(text)? {
        n @ 1..=1_048_576 => Ok(n as u32),
        n => Err(format!("{n} is out of bounds: 1 to 1048576 are allowed")),
    }
}

/// Reads how often a case is run.
pub fn repeats(text: &str) -> Result<u32, String> {
    match value::parse_count(text)? {
        n @ 1..=1000 => Ok(n as u32),
        n => Err(format!("{n} is out of bounds: 1 to 1000 are allowed")),
    }
}

/// Reads `host:port`.
pub fn host_and_port(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(port) if port > 0 => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not an address with a port, as in 127.0.0.1:7000 or host:7000")),
    }
}

/// Reads a name for tables and files.
pub fn label(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| !c.is_control()) && text.chars().count() <= 60;
    if plain && !text.trim().is_empty() {
        Ok(text.to_owned())
    } else {
        Err("a label has 1 to 60 characters, none of them a control character".to_owned())
    }
}

/// Reads a share in percent, `3%` or `3`, as a ratio.
pub fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let share = number.parse::<f64>().ok().filter(|share| plain && (0.0..=100.0).contains(share));
    share
        .map(|share| share / 100.0)
        .ok_or_else(|| format!("`{text}` is not a percentage: 0% to 100%, as in 3%"))
}

/// Reads a rate per second.
pub fn rate(text: &str) -> Result<f64, String> {
    count_above_zero(text).map(|rate| rate as f64)
}

/// Reads `--stack-size`. 16 KiB is `PTHREAD_STACK_MIN` on x86_64, see pthread_attr_setstacksize(3);
/// aarch64 has 128 KiB.
pub fn stack_size(text: &str) -> Result<u64, String> {
    let min = if cfg!(target_arch = "aarch64") { 128 << 10 } else { 16 << 10 };
    let bytes = value::parse_bytes(text)?;
    if !(min..=1 << 30).contains(&bytes) {
        return Err(format!(
            "a stack of {bytes} bytes is out of bounds: {}KiB to 1GiB are allowed",
            min >> 10
        ));
    }
    Ok(bytes)
}

fn known(kind: &str, text: &str, names: &[&str]) -> Result<String, String> {
    if names.contains(&text) { Ok(text.to_owned()) } else { Err(nearest::unknown(kind, text, names)) }
}

/// Reads `ADDR:PORT`, without names.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not an address with a port, as in 127.0.0.1:7000 or [::]:7000"))
}

/// Reads a secret.
pub fn token(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic());
    if plain && !text.is_empty() {
        Ok(text.to_owned())
    } else {
        Err("a token is printable ASCII without blanks, at least one character".to_owned())
    }
}

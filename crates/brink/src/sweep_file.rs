//! A sweep file as typed (TOML): what may stand in it, and one clear line for what may not.
//!
//! Nothing is resolved here and nothing is looked up on the machine.

mod background;

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use serde::de::{IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use brink_wire::delay::Delay;

use crate::cli::{ArrivalsName, CloseName, WorkloadName};
use crate::location::Location;
use crate::{cli, nearest};

pub use self::background::{BackgroundTable, parse as parse_background};

/// A whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// Names the results folder.
    pub name: String,
    /// Of the shuffled order.
    #[serde(default = "one")]
    pub seed: u64,
    /// How often each case is run.
    #[serde(default)]
    pub repeats: Option<Typed<Repeats>>,
    /// The ends that echo.
    pub target: Vec<TargetTable>,
    /// The end that connects.
    #[serde(default)]
    pub load: LoadTable,
    /// What changes from case to case.
    #[serde(default)]
    pub step: Vec<StepTable>,
}

/// `[[target]]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "as the flags of the same name, see cli")]
pub struct TargetTable {
    pub label: Option<Typed<Label>>,
    pub model: Option<Typed<Model>>,
    pub address: Option<Typed<Where>>,
    pub control: Option<Typed<Address>>,
    pub pid: Option<Typed<Pid>>,
    pub command: Option<Typed<CommandLine>>,
    /// What a command serves: `http://127.0.0.1:{port}/path`.
    pub url: Option<String>,
    pub send: Option<Typed<Escaped>>,
    pub expect: Option<Typed<Escaped>>,
    pub method: Option<Typed<Method>>,
    pub header: Vec<String>,
    pub processes: Option<Typed<Processes>>,
    pub threads: Option<Typed<Threads>>,
    pub cpus: Option<Typed<Cpus>>,
    pub delay: Option<Delay>,
    pub work: Option<Typed<Work>>,
    pub stack_size: Option<Typed<Stack>>,
    pub backlog: Option<Typed<Backlog>>,
    pub max_connections: Option<Typed<Count>>,
}

/// `[load]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "as the flags of the same name, see cli")]
pub struct LoadTable {
    pub engine: Option<Typed<Engine>>,
    pub connections: Option<OneOrMany<Typed<Count>>>,
    pub workload: Option<WorkloadName>,
    pub requests: Option<Typed<Count>>,
    pub rate: Option<Rate>,
    pub arrivals: Option<ArrivalsName>,
    pub seed: Option<u64>,
    pub send: Option<Typed<Escaped>>,
    pub expect: Option<Typed<Escaped>>,
    pub think: Option<Typed<Time>>,
    pub heartbeat: Option<Typed<TimeAboveZero>>,
    pub delay: Option<Typed<Wait>>,
    pub work: Option<Typed<Work>>,
    pub payload: Option<Typed<Size>>,
    pub threads: Option<Typed<Threads>>,
    pub processes: Option<Typed<Processes>>,
    pub cpus: Option<Typed<Cpus>>,
    pub busy_poll: Option<Typed<Time>>,
    pub connect_rate: Option<Typed<Count>>,
    pub source_ip: Vec<std::net::IpAddr>,
    pub warmup: Option<Typed<Time>>,
    pub duration: Option<Typed<TimeAboveZero>>,
    pub timeout: Option<Typed<TimeAboveZero>>,
    pub close: Option<CloseName>,
    pub background: Option<BackgroundTable>,
    /// Each case is a ceiling, as `brink ceiling` finds it; `connections` is where it stops.
    pub climb: bool,
    pub climb_within: Option<Typed<TimeAboveZero>>,
    pub memory_floor: Option<Typed<Memory>>,
}

/// `[[step]]`: one point of the curve; what it names goes before `[load]` and `[[target]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as the flags of the same name, see cli")]
pub struct StepTable {
    pub connections: Typed<Count>,
    pub engine: Option<Typed<Engine>>,
    pub delay: Option<Delay>,
    pub rate: Option<Rate>,
    pub requests: Option<Typed<Count>>,
    pub payload: Option<Typed<Size>>,
    pub warmup: Option<Typed<Time>>,
    pub duration: Option<Typed<TimeAboveZero>>,
}

/// One value or a list of them.
#[derive(Debug, Clone)]
pub enum OneOrMany<T> {
    /// `connections = 100`
    One(T),
    /// `connections = [10, 100]`
    Many(Vec<T>),
}

/// By hand, so that an error is that of the value and not of an enum that nobody typed.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value or a list of them")
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(OneOrMany::One)
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(OneOrMany::One)
            }
            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(OneOrMany::One)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                if values.is_empty() {
                    return Err(serde::de::Error::custom("the list is empty: at least one value is needed"));
                }
                Ok(OneOrMany::Many(values))
            }
        }
        from.deserialize_any(Either(PhantomData))
    }
}

impl<T: Clone> OneOrMany<T> {
    /// All of them.
    pub fn all(&self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value.clone()],
            Self::Many(values) => values.clone(),
        }
    }
}

/// A value that is typed as on the command line, read by the same function.
pub trait Kind {
    /// What it becomes.
    type Value: Clone + fmt::Debug;
    /// Reads it.
    fn parse(text: &str) -> Result<Self::Value, String>;
}

/// A value of some kind.
#[derive(Debug)]
pub struct Typed<K: Kind>(pub K::Value);

impl<K: Kind> Clone for Typed<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<'de, K: Kind> Deserialize<'de> for Typed<K> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Whole(u64),
            Text(String),
        }
        let text = match Raw::deserialize(from) {
            Ok(Raw::Whole(number)) => number.to_string(),
            Ok(Raw::Text(text)) => text,
            Err(_) => {
                return Err(serde::de::Error::custom("a whole number or a text in quotes is needed here"));
            }
        };
        K::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

macro_rules! kinds {
    ($($name:ident: $value:ty = $parse:expr;)*) => {$(
        #[doc = concat!("Read by `", stringify!($parse), "`.")]
        #[derive(Debug, Clone, Copy)]
        pub struct $name;
        impl Kind for $name {
            type Value = $value;
            fn parse(text: &str) -> Result<$value, String> {
                $parse(text)
            }
        }
    )*};
}

kinds! {
    Model: String = cli::model_name;
    Engine: String = cli::engine_name;
    Count: u64 = cli::count_above_zero;
    Time: Duration = cli::duration;
    TimeAboveZero: Duration = cli::duration_above_zero;
    Wait: Duration = cli::wait;
    Threads: u32 = cli::threads;
    Backlog: u32 = cli::backlog;
    Repeats: u32 = cli::repeats;
    Address: String = cli::host_and_port;
    Where: Location = cli::location;
    Pid: u32 = cli::pid;
    CommandLine: String = cli::command;
    Escaped: String = cli::escaped;
    Method: String = cli::method;
    Processes: cli::Processes = cli::processes_or_auto;
    Label: String = cli::label;
    Work: u32 = cli::work_us;
    Size: u32 = cli::payload;
    Stack: u64 = cli::stack_size;
    Memory: u64 = cli::size;
    Cpus: cli::Cpus = cli::cpus;
}

/// Requests per second: a number, or a text as on the command line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(pub f64);

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(f64),
            Text(String),
        }
        let text = match Raw::deserialize(from) {
            Ok(Raw::Number(number)) => number.to_string(),
            Ok(Raw::Text(text)) => text,
            Err(_) => return Err(serde::de::Error::custom("a number or a text in quotes is needed here")),
        };
        cli::request_rate(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// What is wrong in a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// One line without the place.
    pub message: String,
}

impl FileError {
    /// `configs/quick.toml:12: unknown key ...`
    pub fn at(&self, path: &Path) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {}", path.display(), self.message),
            None => format!("{}: {}", path.display(), self.message),
        }
    }
}

/// Reads the text of a sweep file.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn parse(text: &str) -> Result<SweepFile, FileError> {
    let file: SweepFile = toml::from_str(text).map_err(|error| explain(text, &error))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if file.name.is_empty() || !file.name.chars().all(plain) {
        return Err(FileError {
            line: line_of_key(text, "name"),
            message: format!("name: `{}` names a folder: letters, digits, - and _ are allowed", file.name),
        });
    }
    if let Some((key, message)) = incomplete(&file) {
        return Err(FileError { line: key.and_then(|key| line_of_key(text, key)), message });
    }
    for (target, place) in file.target.iter().zip(target_lines(text)) {
        if let Some(message) = contradiction(target) {
            return Err(FileError { line: Some(place), message: format!("[[target]]: {message}") });
        }
    }
    Ok(file)
}

/// What a sweep lacks, or says twice, with the key that is at fault.
pub fn incomplete(file: &SweepFile) -> Option<(Option<&'static str>, String)> {
    if file.target.is_empty() {
        let message = "no [[target]]: name at least one, as in [[target]] model = \"tokio\"";
        return Some((None, message.to_owned()));
    }
    match (file.step.is_empty(), &file.load.connections) {
        (true, None) => {
            let message = "no connections: set `connections` in [load], or add [[step]] tables";
            Some((None, message.to_owned()))
        }
        (false, Some(_)) => {
            let message = "connections: stands in [load] and in [[step]] tables: one of the two is allowed";
            Some((Some("connections"), message.to_owned()))
        }
        _ => None,
    }
}

/// What of a [[target]] does not go together.
pub fn contradiction(target: &TargetTable) -> Option<String> {
    let TargetTable { model, address, command, .. } = target;
    if [model.is_some(), address.is_some(), command.is_some()].iter().filter(|given| **given).count() != 1 {
        return Some("exactly one of `model`, `address` and `command` is needed".to_owned());
    }
    let of_model = [
        ("threads", target.threads.is_some()),
        ("processes", target.processes.is_some()),
        ("stack_size", target.stack_size.is_some()),
        ("backlog", target.backlog.is_some()),
        ("max_connections", target.max_connections.is_some()),
        ("work", target.work.is_some()),
        ("cpus", target.cpus.is_some()),
    ];
    let of_address = [("control", target.control.is_some()), ("pid", target.pid.is_some())];
    let of_stranger = [
        ("send", target.send.is_some()),
        ("expect", target.expect.is_some()),
        ("method", target.method.is_some()),
        ("header", !target.header.is_empty()),
    ];
    let misplaced = |keys: &[(&'static str, bool)], of: &str| {
        let (key, _) = keys.iter().find(|(_, given)| *given)?;
        Some(format!("`{key}` belongs to a target with {of}"))
    };
    let of_model = || misplaced(&of_model, "a `model`").filter(|_| model.is_none());
    let of_address = || misplaced(&of_address, "an `address`").filter(|_| address.is_none());
    let of_stranger = || misplaced(&of_stranger, "an `address` or a `command`").filter(|_| model.is_some());
    let url = target.url.as_ref().filter(|_| command.is_none());
    let url = url.map(|_| "`url` belongs to a target with a `command`; an `address` can be a URL".to_owned());
    of_address().or_else(of_model).or_else(of_stranger).or(url)
}

/// Turns serde's words into ours: a key that is not known gets the nearest one that is.
pub fn explain(text: &str, error: &toml::de::Error) -> FileError {
    let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    let said = error.message().lines().next().unwrap_or("not valid TOML").to_owned();
    let quoted: Vec<_> = said.split('`').skip(1).step_by(2).collect();
    let message = match (said.split('`').next(), quoted.split_first()) {
        (Some("unknown field "), Some((given, valid))) if !valid.is_empty() => {
            nearest::unknown("key", given, valid)
        }
        (Some("unknown variant "), Some((given, valid))) if !valid.is_empty() => {
            nearest::unknown("value", given, valid)
        }
        _ => match key_on_line(text, line) {
            Some(key) => format!("{key}: {said}"),
            None => said,
        },
    };
    FileError { line, message }
}

fn key_on_line(text: &str, line: Option<usize>) -> Option<&str> {
    let (key, _) = text.lines().nth(line?.checked_sub(1)?)?.split_once('=')?;
    Some(key.trim()).filter(|key| !key.is_empty() && !key.starts_with('#'))
}

fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let is_it = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
    text.lines().position(is_it).map(|at| at + 1)
}

/// Lines on which the `[[target]]` tables begin, in order.
fn target_lines(text: &str) -> Vec<usize> {
    #[derive(Deserialize)]
    struct Places {
        target: Vec<Spanned<toml::Table>>,
    }
    let places = toml::from_str::<Places>(text).map(|places| places.target).unwrap_or_default();
    places.iter().map(|table| 1 + text[..table.span().start].matches('\n').count()).collect()
}

fn one() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"x\"\n[[target]]\nmodel = \"tokio\"\n[load]\nconnections = [10, \"1k\"]\n";

    fn wrong(text: &str) -> String {
        parse(text).unwrap_err().at(Path::new("f.toml"))
    }

    #[test]
    fn reads_a_small_file() {
        let file = parse(GOOD).unwrap();
        let connections: Vec<_> = file.load.connections.unwrap().all().iter().map(|c| c.0).collect();
        assert_eq!(connections, [10, 1000]);
    }

    #[test]
    fn one_line_with_place_and_nearest_name() {
        let with = |extra: &str| wrong(&format!("{GOOD}{extra}\n"));
        assert!(
            with("conections = 3")
                .starts_with("f.toml:6: unknown key `conections`: did you mean `connections`?")
        );
        assert!(
            with("payload = \"2MiB\"").starts_with("f.toml:6: payload: "),
            "{}",
            with("payload = \"2MiB\"")
        );
        assert!(with("duration = \"3\"").contains("f.toml:6: duration: `3` has no unit"));
        assert!(
            with("workload = \"holt\"").starts_with("f.toml:6: unknown value `holt`: did you mean `hold`?")
        );
        assert!(
            with("engine = \"moi\"").contains("f.toml:6: engine: unknown engine `moi`: did you mean `mio`?")
        );
        assert!(with("[[target]]").contains("f.toml:6: [[target]]: exactly one of"));
        assert!(
            with("[[target]]\nmodel = \"tokyo\"")
                .contains("f.toml:7: model: unknown model `tokyo`: did you mean")
        );
        assert!(with("[[step]]\nconnections = 5").contains("one of the two"));
        assert!(wrong("name = \"x\"\ntarget = []\n").contains("no [[target]]"));
        assert!(wrong("name = \"a/b\"\n[[target]]\nmodel=\"mio\"\n").starts_with("f.toml:1: name: "));
        assert!(wrong("name = ").starts_with("f.toml:1: "));
        let zero = wrong("name = \"x\"\n[[target]]\nmodel = \"mio\"\n[load]\nconnections = 0\n");
        assert!(zero.starts_with("f.toml:5: connections: "), "{zero}");
        let load =
            |line: &str| wrong(&format!("name = \"x\"\n[[target]]\nmodel = \"mio\"\n[load]\n{line}\n"));
        for (line, word) in [
            ("connections = []", "the list is empty"),
            ("connections = -5", "a whole number"),
            ("connections = 1.5", "a whole number"),
            ("connections = [1, \"x\"]", "not a count"),
            ("threads = 0", "1 to 1000000"),
            ("heartbeat = \"0s\"", "more than zero"),
            ("timeout = \"0s\"", "more than zero"),
            ("delay = \"5h\"", "at most 1h"),
            ("warmup = \"9999h\"", "at most 168h"),
            ("source_ip = [\"x\"]", "IP address"),
        ] {
            let said = load(line);
            assert!(
                said.starts_with("f.toml:5: ") && said.contains(word) && said.lines().count() == 1,
                "{said}"
            );
        }
        assert!(with("[[target]]\naddress = \"foo\"").contains("f.toml:7: address: `foo` is not an address"));
        assert!(with("[[target]]\nmodel = \"mio\"\ncontrol = \"a:1\"").contains("`control` belongs to"));
        assert!(with("[[target]]\naddress = \"a:1\"\nthreads = 2").contains("`threads` belongs to"));
        assert!(
            with("[[target]]\ncommand = \"x\"\ncpus = 0").contains("`cpus` belongs to"),
            "nothing pins it"
        );
        assert!(with("[[target]]\nmodel = \"mio\"\nsend = \"x\"").contains("`send` belongs to"));
        assert!(with("[[target]]\ncommand = \"a 'b\"").contains("a quote is not closed"));
        assert!(with("[[target]]\naddress = \"https://a/\"").contains("TLS"));
        for text in [with("x"), with("a = [1"), zero] {
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}

//! `[load.background]`, and the same on the command line: `connections=1,rate=2,work=200ms`. Must not resolve anything.

use serde::Deserialize;

use super::{Count, Engine, Kind, Rate, Size, Time, TimeAboveZero, Typed, Wait, Work};
use crate::cli::{ArrivalsName, WorkloadName};
use crate::nearest;

/// A second load of the same target while the first is measured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "as the flags of the same name, see cli")]
pub struct BackgroundTable {
    pub connections: Option<Typed<Count>>,
    pub workload: Option<WorkloadName>,
    pub rate: Option<Rate>,
    pub arrivals: Option<ArrivalsName>,
    pub think: Option<Typed<Time>>,
    pub delay: Option<Typed<Wait>>,
    pub work: Option<Typed<Work>>,
    pub payload: Option<Typed<Size>>,
    pub engine: Option<Typed<Engine>>,
    pub timeout: Option<Typed<TimeAboveZero>>,
}

const KEYS: [&str; 10] =
    ["connections", "workload", "rate", "arrivals", "think", "delay", "work", "payload", "engine", "timeout"];

/// Reads `--background`: the keys of the table with their values, each once.
///
/// # Errors
/// One line that names the key, what was wrong and what is allowed.
pub fn parse(text: &str) -> Result<BackgroundTable, String> {
    let mut table = BackgroundTable::default();
    let mut seen = Vec::new();
    for pair in text.split(',') {
        let Some((key, value)) = pair.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
            return Err(format!("`{}`: write KEY=VALUE, as in connections=1,rate=2,work=200ms", pair.trim()));
        };
        if seen.contains(&key) {
            return Err(format!("{key}: stands there twice"));
        }
        seen.push(key);
        let of_key = |why: String| format!("{key}: {why}");
        match key {
            "connections" => table.connections = Some(typed(value).map_err(of_key)?),
            "workload" => table.workload = Some(named(value).map_err(of_key)?),
            "rate" => table.rate = Some(crate::cli::request_rate(value).map(Rate).map_err(of_key)?),
            "arrivals" => table.arrivals = Some(named(value).map_err(of_key)?),
            "think" => table.think = Some(typed(value).map_err(of_key)?),
            "delay" => table.delay = Some(typed(value).map_err(of_key)?),
            "work" => table.work = Some(typed(value).map_err(of_key)?),
            "payload" => table.payload = Some(typed(value).map_err(of_key)?),
            "engine" => table.engine = Some(typed(value).map_err(of_key)?),
            "timeout" => table.timeout = Some(typed(value).map_err(of_key)?),
            _ => return Err(nearest::unknown("key", key, &KEYS)),
        }
    }
    Ok(table)
}

fn typed<K: Kind>(text: &str) -> Result<Typed<K>, String> {
    K::parse(text).map(Typed)
}

fn named<E: clap::ValueEnum>(text: &str) -> Result<E, String> {
    E::from_str(text, false).map_err(|_| {
        let all = E::value_variants().iter().filter_map(E::to_possible_value);
        let names: Vec<String> = all.map(|value| value.get_name().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        nearest::unknown("value", text, &names)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_table() {
        let read = parse("connections=10, rate=2.5,delay=200ms,engine=tokio,workload=open").unwrap();
        assert_eq!((read.connections.unwrap().0, read.rate.unwrap().0), (10, 2.5));
        assert_eq!(read.delay.unwrap().0.as_millis(), 200);
        assert_eq!((read.engine.unwrap().0.as_str(), read.workload), ("tokio", Some(WorkloadName::Open)));
        // What the one knows the other knows.
        let listed: Vec<String> = KEYS.iter().map(|key| format!("{key} = \"?\"")).collect();
        for line in listed {
            let error = toml::from_str::<BackgroundTable>(&line).unwrap_err();
            assert!(!error.message().starts_with("unknown field"), "{line}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "write KEY=VALUE"),
            ("connections", "`connections`: write KEY=VALUE"),
            ("connections=0", "connections: "),
            ("rate=2,rate=3", "rate: stands there twice"),
            ("rat=2", "`rat`"),
            ("workload=opn", "open"),
            ("engine=tokyo", "tokio"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(part) && !why.contains('\n'), "{text}: {why}");
        }
    }
}

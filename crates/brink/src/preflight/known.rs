//! Whether a limit has a value, is none, or cannot be told. A reading says that in its note.

use brink_host::limits::{Limit, LimitReading, is_no_limit};

/// What is known of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<'a> {
    /// What bites, once the end has raised what it may raise by itself.
    Value(u64),
    /// Nothing binds, and why.
    NoLimit(&'a str),
    /// It cannot be told, and why.
    Unknown(&'a str),
}

/// What is known of a limit by its reading.
pub fn known<'a>(row: &Limit, reading: &'a LimitReading) -> Known<'a> {
    let note = reading.note.as_deref().unwrap_or_default();
    let bites = if row.is_mode() { reading.value } else { row.reachable(reading) };
    match bites {
        Some(value) => Known::Value(value),
        // The hard limit is unlimited, and the soft one is raised to it.
        None if reading.value.is_some() && reading.hard.is_none() => Known::NoLimit("unlimited once raised"),
        None if is_no_limit(reading) => Known::NoLimit(note),
        None if note.is_empty() => Known::Unknown("no reason is given"),
        None => Known::Unknown(note),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brink_host::limits::{find, read};

    fn reading(name: &str, value: Option<u64>, hard: Option<u64>, note: Option<&str>) -> LimitReading {
        LimitReading {
            name: name.to_owned(),
            value,
            hard,
            used: None,
            source: String::new(),
            note: note.map(str::to_owned),
        }
    }

    #[test]
    fn no_limit_is_not_unknown() {
        let of = |name: &str, value, hard, note| match known(
            find(name).unwrap(),
            &reading(name, value, hard, note),
        ) {
            Known::Value(value) => format!("{value}"),
            Known::NoLimit(why) => format!("none: {why}"),
            Known::Unknown(why) => format!("unknown: {why}"),
        };
        assert_eq!(of("rlimit.nofile", Some(1_024), Some(4_096), None), "4096");
        assert_eq!(of("rlimit.nofile", Some(1_024), None, None), "none: unlimited once raised");
        assert_eq!(of("rlimit.as", None, None, Some("unlimited")), "none: unlimited");
        assert_eq!(of("rlimit.nproc", None, None, Some("does not bind root")), "none: does not bind root");
        assert_eq!(of("kernel.pid_max", None, None, Some("cannot be read")), "unknown: cannot be read");
        assert_eq!(of("kernel.pid_max", None, None, None), "unknown: no reason is given");
        assert_eq!(of("kernel.io_uring_disabled", Some(2), None, Some("allowed to nobody")), "2");
    }

    #[test]
    fn whatever_this_machine_says_is_one_of_the_three() {
        for reading in read(std::process::id()) {
            if let Known::Unknown(why) = known(find(&reading.name).unwrap(), &reading) {
                assert!(!why.starts_with("no reason"), "{} is silent", reading.name);
            }
        }
    }
}

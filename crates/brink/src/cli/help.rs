//! How help is laid out: which flags stand under which heading, which of them `-h` shows, what is completed for a
//! value, and how commands are grouped. The flags themselves are in `cli`. Tables only: must not parse a value.

use std::ffi::OsString;

use clap::builder::ValueHint;
use clap::{Arg, Command, CommandFactory, FromArgMatches};

use super::{Cli, examples};

/// Columns of help.
const WIDTH: usize = 100;

/// Commands, in the groups they are listed in.
const GROUPS: &[(&str, &[&str])] = &[
    ("Measure", &["load", "ceiling", "sweep", "claims", "target"]),
    ("Before a run", &["plan", "limits"]),
    ("After a run", &["report", "compare", "advise"]),
    ("For scripts and shells", &["schema", "completions", "man", "help"]),
];

/// Headings of flags, by command.
const HEADINGS: &[(&[&str], &str, &[&str])] = &[
    (
        &["load", "ceiling"],
        "Target",
        &[
            "url",
            "target",
            "control",
            "pid",
            "command",
            "token",
            "external",
            "model",
            "stack_size",
            "backlog",
            "max_connections",
            "target_threads",
            "target_processes",
            "target_cpus",
        ],
    ),
    (
        &["load", "ceiling"],
        "Load",
        &[
            "connections",
            "duration",
            "requests",
            "rate",
            "arrivals",
            "seed",
            "warmup",
            "workload",
            "think",
            "heartbeat",
            "delay",
            "work",
            "background",
            "payload",
            "method",
            "header",
            "send",
            "expect",
            "timeout",
            "no_preflight",
            "stop_at",
            "memory_floor",
            "climb_within",
            "hold",
        ],
    ),
    (
        &["load", "ceiling"],
        "Client",
        &[
            "engine",
            "connect_rate",
            "connect_window",
            "threads",
            "processes",
            "cpus",
            "busy_poll",
            "source_ip",
            "close",
        ],
    ),
    (
        &["load", "ceiling", "limits"],
        "Output",
        &["format", "out", "slo", "quiet", "ndjson", "metrics", "hdr_log"],
    ),
    (&["limits"], "A target that runs", &["target", "control", "token", "pid"]),
    (
        &["limits"],
        "A plan",
        &[
            "model",
            "stack_size",
            "backlog",
            "max_connections",
            "connections",
            "processes",
            "client_processes",
            "target_threads",
            "engine",
            "threads",
            "source_ip",
            "measured",
        ],
    ),
    (
        &["target"],
        "Model",
        &["model", "stack_size", "max_connections", "delay", "work", "threads", "processes", "cpus"],
    ),
    (&["target"], "Network", &["listen", "backlog", "control", "no_control", "token"]),
];

/// What `-h` leaves to `--help`.
const ONLY_IN_LONG_HELP: &[(&[&str], &[&str])] = &[
    (
        &["load", "ceiling"],
        &[
            "control",
            "pid",
            "token",
            "external",
            "stack_size",
            "backlog",
            "max_connections",
            "target_threads",
            "target_processes",
            "target_cpus",
            "processes",
            "warmup",
            "threads",
            "arrivals",
            "seed",
            "think",
            "heartbeat",
            "work",
            "background",
            "payload",
            "method",
            "header",
            "send",
            "expect",
            "timeout",
            "no_preflight",
            "memory_floor",
            "climb_within",
            "connect_window",
            "cpus",
            "busy_poll",
            "source_ip",
            "close",
            "connect_rate",
            "warmup",
            "threads",
            "quiet",
            "ndjson",
            "metrics",
            "hdr_log",
        ],
    ),
    (
        &["limits"],
        &["control", "token", "stack_size", "backlog", "max_connections", "target_threads", "threads"],
    ),
    (&["target"], &["backlog", "no_control", "max_connections", "work", "cpus"]),
];

/// What a value is, where its type does not say.
const HINTS: &[(&[&str], &str, ValueHint)] = &[
    (&["load", "ceiling", "sweep", "claims"], "out", ValueHint::DirPath),
    (&["report"], "out", ValueHint::FilePath),
    (&["report"], "folder", ValueHint::DirPath),
    (&["report"], "svg", ValueHint::DirPath),
    (&["report"], "png", ValueHint::DirPath),
    (&["load", "sweep", "report"], "hdr_log", ValueHint::FilePath),
    (&["load", "ceiling", "sweep", "claims"], "ndjson", ValueHint::FilePath),
    (&["sweep", "claims"], "resume", ValueHint::DirPath),
    (&["claims", "advise"], "from", ValueHint::DirPath),
    (&["sweep", "compare"], "gate", ValueHint::FilePath),
    (&["compare"], "baseline", ValueHint::AnyPath),
    (&["compare"], "candidate", ValueHint::AnyPath),
    (&["sweep", "plan", "claims"], "file", ValueHint::FilePath),
    (&["limits"], "measured", ValueHint::DirPath),
    (&["man"], "dir", ValueHint::DirPath),
    (&["load", "ceiling"], "url", ValueHint::Url),
    (&["load", "ceiling"], "command", ValueHint::CommandString),
];

/// The command line, with all that is told about it.
pub fn definition() -> Command {
    let root = Cli::command();
    let names: Vec<String> = root.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let listed = listed(&root);
    let root = names.iter().fold(root, |root, name| root.mut_subcommand(name, dressed));
    root.help_template(format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{listed}\nOptions:\n{{options}}{{after-help}}"))
        .after_help("`brink help COMMAND` tells all flags of a command, with examples; `brink COMMAND -h` the common ones.")
}

/// Parses the words of a command line, its program first.
///
/// # Errors
/// What was wrong with them, or the help that they ask for.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let shown = ONLY_IN_LONG_HELP
        .iter()
        .flat_map(|(commands, flags)| commands.iter().map(move |name| (*name, *flags)));
    let command = shown.fold(definition(), |root, (name, flags)| {
        root.mut_subcommand(name, |command| {
            flags.iter().fold(command, |command, flag| with(command, flag, |arg| arg.hide_short_help(true)))
        })
    });
    Cli::from_arg_matches(&command.try_get_matches_from(words)?)
}

/// A command with its headings, hints and examples.
fn dressed(command: Command) -> Command {
    let name = command.get_name().to_owned();
    let command = HEADINGS
        .iter()
        .filter(|(commands, ..)| commands.contains(&name.as_str()))
        .flat_map(|(_, heading, flags)| flags.iter().map(move |flag| (*heading, *flag)))
        .fold(command, |command, (heading, flag)| with(command, flag, |arg| arg.help_heading(heading)));
    let command = HINTS
        .iter()
        .filter(|(commands, ..)| commands.contains(&name.as_str()))
        .fold(command, |command, (_, flag, hint)| with(command, flag, |arg| arg.value_hint(*hint)));
    let examples: String =
        examples::of(&name).map(|example| format!("\n  # {}\n  {}\n", example.does, example.line)).collect();
    if examples.is_empty() {
        return command;
    }
    command
        .after_help(format!("All flags, with examples: brink help {name}"))
        .after_long_help(format!("Examples:{examples}"))
}

/// A command with one of its flags changed; as it was where it has no such flag.
fn with(command: Command, flag: &str, change: impl FnOnce(Arg) -> Arg) -> Command {
    if command.get_arguments().any(|arg| arg.get_id() == flag) {
        command.mut_arg(flag, change)
    } else {
        command
    }
}

/// The commands, group by group. One that is in no group comes last.
fn listed(root: &Command) -> String {
    let about = |name: &str| match root.find_subcommand(name).and_then(Command::get_about) {
        Some(about) => about.to_string(),
        None => "Tell all about a command".to_owned(),
    };
    let grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let others: Vec<&str> = root
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && !grouped(command.get_name()))
        .map(Command::get_name)
        .collect();
    let groups = GROUPS.iter().copied().chain([("More", &others[..])]);
    let mut text = String::new();
    for (title, names) in groups.filter(|(_, names)| !names.is_empty()) {
        text += &format!("\n{title}:\n");
        for name in names {
            text += &entry(name, &about(name));
        }
    }
    text
}

/// A name and what it is, over as many lines as that takes.
fn entry(name: &str, about: &str) -> String {
    let mut text = format!("  {name:<12}");
    let mut column = text.len();
    for word in about.split_whitespace() {
        if column + 1 + word.len() > WIDTH {
            text += &format!("\n{:14}", "");
            column = 14;
        }
        text += &format!(" {word}");
        column += 1 + word.len();
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn shown() -> Vec<Command> {
        definition().get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect()
    }

    #[test]
    fn every_command_is_in_one_group_and_has_examples() {
        for command in shown() {
            let name = command.get_name();
            let groups = GROUPS.iter().filter(|(_, names)| names.contains(&name)).count();
            assert_eq!(groups, 1, "{name}: in GROUPS");
            let examples: Vec<_> = examples::of(name).collect();
            assert!((2..=4).contains(&examples.len()), "{name}: {} in EXAMPLES", examples.len());
            assert!(
                examples.iter().all(|example| example.line.starts_with(&format!("brink {name}"))),
                "{name}"
            );
        }
        let names: Vec<_> = shown().iter().map(|command| command.get_name().to_owned()).collect();
        for name in GROUPS.iter().flat_map(|(_, names)| names.iter()).filter(|name| **name != "help") {
            assert!(names.iter().any(|known| known == name), "GROUPS: there is no `{name}`");
        }
    }

    /// What is broken over two lines cannot be pasted.
    #[test]
    fn examples_fit_a_line_of_a_narrow_terminal() {
        for example in shown().iter().flat_map(|command| examples::of(command.get_name())) {
            let (line, does) = (example.line.chars().count(), example.does.chars().count());
            assert!(line + 2 <= 80 && does + 4 <= 100, "{line} and {does} columns: {}", example.line);
        }
    }

    #[test]
    fn examples_of_the_whole_are_those_of_commands() {
        for example in examples::of("brink") {
            let command = example.line.split(' ').nth(1).unwrap();
            assert!(
                examples::of(command).any(|one| one.line == example.line),
                "{}: nobody runs it",
                example.line
            );
        }
    }

    /// A flag that is added to one of these fails this until it stands under a heading.
    #[test]
    fn every_flag_of_a_long_help_has_a_heading() {
        for command in shown() {
            let name = command.get_name();
            if !HEADINGS.iter().any(|(commands, ..)| commands.contains(&name)) {
                continue;
            }
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                assert!(
                    arg.get_help_heading().is_some(),
                    "HEADINGS: `{}` of `{name}` is missing",
                    arg.get_id()
                );
            }
        }
    }

    #[test]
    fn tables_name_flags_that_are() {
        let has = |commands: &[&str], flag: &str| {
            shown().iter().any(|command| {
                commands.contains(&command.get_name())
                    && command.get_arguments().any(|arg| arg.get_id() == flag)
            })
        };
        for (commands, heading, flags) in HEADINGS {
            for flag in *flags {
                assert!(has(commands, flag), "HEADINGS: no `{flag}` under {heading}");
            }
        }
        for (commands, flags) in ONLY_IN_LONG_HELP {
            for flag in *flags {
                assert!(has(commands, flag), "ONLY_IN_LONG_HELP: no `{flag}`");
            }
        }
        for (commands, flag, _) in HINTS {
            assert!(has(commands, flag), "HINTS: no `{flag}`");
        }
    }

    fn help(line: &str) -> String {
        parse(words(line)).unwrap_err().to_string()
    }

    #[test]
    fn short_help_is_a_screen_and_long_help_tells_all() {
        for command in shown() {
            let name = command.get_name();
            let short = help(&format!("brink {name} -h"));
            assert!(short.lines().count() <= 40, "{name}: {} lines\n{short}", short.lines().count());
            let long = help(&format!("brink {name} --help"));
            assert_eq!(long, help(&format!("brink help {name}")));
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                if let Some(flag) = arg.get_long() {
                    assert!(long.contains(&format!("--{flag}")), "{name}: --{flag} is not in its help");
                }
            }
            for example in examples::of(name) {
                assert!(long.contains(example.line), "{name}: `{}` is not in its help", example.line);
            }
        }
        let all = help("brink --help");
        assert!(all.lines().all(|line| line.chars().count() <= WIDTH), "{all}");
        assert!(all.lines().count() <= 40, "{all}");
    }

    #[test]
    fn the_parser_has_no_contradiction() {
        definition().debug_assert();
    }
}

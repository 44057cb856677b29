//! Examples of each command: `--help` and the manual pages show them, and a test runs every one.
//!
//! Each is short enough for that: small counts, and hardly a second long. They are words of a POSIX shell, run in
//! the project's root; a target at 127.0.0.1:7000, a web server at 127.0.0.1:8080 and results in my-sweep are there.

/// A command line and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// The subcommand that it is an example of; `brink` for brink(1), which repeats those of subcommands.
    pub command: &'static str,
    /// As typed.
    pub line: &'static str,
    /// In one line.
    pub does: &'static str,
}

const fn example(command: &'static str, line: &'static str, does: &'static str) -> Example {
    Example { command, line, does }
}

/// All, command by command.
const EXAMPLES: &[Example] = &[
    example("brink", "brink load --model threads -c 200 -n 2k --delay 20ms", "One model, one load"),
    example(
        "brink",
        "brink limits --model threads --connections 500",
        "Which limit ends a plan first, and what lifts it",
    ),
    example(
        "brink",
        "brink sweep configs/smoke.toml",
        "Every case of a sweep file; results and report in a folder",
    ),
    example(
        "target",
        "brink target --model tokio",
        "Echo at 127.0.0.1:7000, with the control plane at port 7001",
    ),
    example(
        "target",
        "brink target --model threads --stack-size 64KiB --delay 50ms..150ms",
        "A thread with a small stack for each connection, and a random wait before each reply",
    ),
    example(
        "target",
        "brink target --model mio --processes 2 --listen 127.0.0.1:7000",
        "Two processes that share the port",
    ),
    example(
        "load",
        "brink load --model threads -c 200 -n 2k --delay 20ms",
        "2,000 requests over 200 connections to a target that is started for this",
    ),
    example(
        "load",
        "brink load --target 127.0.0.1:7000 --rate 1k --arrivals poisson -d 1s",
        "1,000 requests/s at random times, whether the target keeps up or not",
    ),
    example(
        "load",
        "brink load http://127.0.0.1:8080/ -c 10 -n 200 --slo 'p99 < 1s' --format csv",
        "Any web server; the result as a table, and exit code 3 where it is slower than that",
    ),
    example(
        "load",
        "brink load --command 'python3 scripts/targets/echo.py {port}' -n 500 -o mine",
        "A server that brink starts, samples and stops; result and report in a folder",
    ),
    example(
        "ceiling",
        "brink ceiling --model tokio --stop-at 200 --hold 100ms",
        "Whether 200 connections are held, and what gives way before",
    ),
    example(
        "ceiling",
        "brink ceiling --model threads --max-connections 100 --hold 100ms",
        "A limit of the target itself, named like any other",
    ),
    example("sweep", "brink sweep configs/smoke.toml", "Results and report in results/<date>-smoke"),
    example(
        "sweep",
        "brink sweep configs/smoke.toml --out my-smoke --format csv > my-smoke.csv",
        "In a folder of your own, and as a table",
    ),
    example(
        "claims",
        "brink claims configs/my-claim.toml",
        "Run what a claim needs, and judge it; results and report in results/<date>-my-claim",
    ),
    example(
        "claims",
        "brink claims configs/my-claim.toml --quick --out own --format json > own.json",
        "As few runs as the file says, and the verdicts for a script",
    ),
    example(
        "advise",
        "brink advise --connections 1k --delay 10ms",
        "Which model, by the last run of brink claims under results/",
    ),
    example(
        "advise",
        "brink advise -c 5k --delay 50ms --blocking --memory 2GiB",
        "The same where the wait blocks its thread, within so much memory",
    ),
    example("plan", "brink plan configs/quick.toml --format text", "One line for each case"),
    example("plan", "brink plan configs/quick.toml > plan.json", "Every field, resolved"),
    example("report", "brink report my-sweep --svg plots", "Draw the page again, and each plot as a file"),
    example("report", "brink report my-sweep --format csv > my-sweep.csv", "A table of old results"),
    example("limits", "brink limits", "What this machine permits, and what is in use"),
    example(
        "limits",
        "brink limits --model threads --connections 500",
        "Which limit ends a plan first, at how many connections, and what lifts it",
    ),
    example("limits", "brink limits --target 127.0.0.1:7000 -c 500", "The same of a target that runs"),
    example(
        "limits",
        "brink limits --model mio -c 500 --measured my-sweep --format json",
        "Memory by what was measured here, for a script",
    ),
    example(
        "compare",
        "brink compare my-sweep my-sweep",
        "Which cases got better or worse from one run to another",
    ),
    example(
        "compare",
        "brink compare my-sweep my-sweep --fail-on-worse",
        "The same for a script: exit code 3 where anything is worse",
    ),
    example(
        "compare",
        "brink compare my-sweep my-sweep --format markdown > comment.md",
        "For the discussion of a change",
    ),
    example("schema", "brink schema", "What there is a schema of"),
    example("schema", "brink schema result > brink.result-1.json", "The schema of a result"),
    example(
        "completions",
        "brink completions bash > brink.bash && source brink.bash",
        "bash, in this shell; put the last part into ~/.bashrc to keep it",
    ),
    example("completions", "brink completions zsh > _brink", "zsh: into a folder of $fpath"),
    example("completions", "brink completions fish > brink.fish", "fish: into ~/.config/fish/completions"),
    example("man", "brink man > brink.1 && man ./brink.1", "Read brink(1)"),
    example("man", "brink man man1", "A page of each command; share/man/man1 is where they belong"),
];

/// Those of a command, in order.
pub fn of(command: &str) -> impl Iterator<Item = &'static Example> {
    EXAMPLES.iter().filter(move |example| example.command == command)
}

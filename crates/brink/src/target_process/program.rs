//! A program of a claims file: run to its end, with a bound on its time, and what it said.
//!
//! Must not know what is claimed.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{ChildStdout, Command};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use brink_host::parent;
use brink_wire::value::format_bytes;
use serde_json::Value;

use super::mark::Mark;
use super::output::{Output, shown};
use super::{Family, has_ended, pause, words};

/// Of stdout that is kept: where the last line of a program that says more begins is not known.
const STDOUT_BYTES_MAX: u64 = 1 << 20;
/// Short beside what is measured of a program: how long it takes is known to that.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// For what is still in the pipe after the end.
const REST_WITHIN: Duration = Duration::from_millis(500);

/// What a program said.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    /// From its start to its end.
    pub wall: Duration,
    /// The numbers of its JSON object.
    pub measures: BTreeMap<String, f64>,
    /// The texts of its JSON object.
    pub facts: BTreeMap<String, String>,
}

/// Runs a program until it ends, `within` is over, or `is_stopped`.
///
/// # Errors
/// One line that says why there is nothing to be had from it.
pub fn run(words: &[String], within: Duration, is_stopped: impl Fn() -> bool) -> Result<Said, String> {
    let Some((program, rest)) = words.split_first() else {
        return Err("there is no program in the command".to_owned());
    };
    let mut command = Command::new(program);
    command.args(rest);
    let mark = Mark::new();
    mark.put(&mut command);
    let began = Instant::now();
    let mut family = Family::start(&mut command, Some(mark), parent::spawn_tied)
        .map_err(|error| format!("`{program}` cannot be started: {error}"))?;
    let stdout = family.child.stdout.take().ok_or("its output is not a pipe")?;
    let reading =
        read_on(stdout).map_err(|error| format!("no thread can be made to listen to it: {error}"))?;
    let output = family.output.insert(Output::of_stderr(&mut family.child));
    let pid = family.pid;
    let is_over = loop {
        if has_ended(pid) {
            break true;
        }
        if is_stopped() || began.elapsed() >= within {
            break false;
        }
        pause(LOOK_EVERY);
    };
    let wall = began.elapsed();
    let words = output.last_words_of_the_dead();
    let status = family.clear();
    if !is_over {
        let why = if is_stopped() {
            "it was stopped".to_owned()
        } else {
            format!("it took longer than {} s", within.as_secs_f64())
        };
        return Err(why);
    }
    match status {
        Some(status) if status.success() => {}
        Some(status) => {
            let words = if words.is_empty() { words } else { format!(": {words}") };
            return Err(format!("{status}{words}"));
        }
        None => return Err("its exit status was lost".to_owned()),
    }
    let said = said_by(reading)?;
    if said.len() as u64 > STDOUT_BYTES_MAX {
        return Err(format!("it said more than {} on stdout", format_bytes(STDOUT_BYTES_MAX as f64)));
    }
    understood(&String::from_utf8_lossy(&said)).map(|(measures, facts)| Said { wall, measures, facts })
}

/// One byte more than it may say tells that it said too much.
fn read_on(stdout: ChildStdout) -> std::io::Result<JoinHandle<Vec<u8>>> {
    std::thread::Builder::new().name("program-stdout".to_owned()).spawn(move || {
        let mut bytes = Vec::new();
        let mut pipe = stdout;
        let _what_came = pipe.by_ref().take(STDOUT_BYTES_MAX + 1).read_to_end(&mut bytes);
        let _until_it_ends = std::io::copy(&mut pipe, &mut std::io::sink());
        bytes
    })
}

/// A child of it may hold the pipe for longer than it lives.
fn said_by(reading: JoinHandle<Vec<u8>>) -> Result<Vec<u8>, String> {
    let until = Instant::now() + REST_WITHIN;
    while !reading.is_finished() && Instant::now() < until {
        pause(LOOK_EVERY);
    }
    if !reading.is_finished() {
        return Err("something that it started holds its output open".to_owned());
    }
    reading.join().map_err(|_| "what it said was lost".to_owned())
}

type Figures = (BTreeMap<String, f64>, BTreeMap<String, String>);

/// The last line of a program, a JSON object of numbers and texts.
fn understood(said: &str) -> Result<Figures, String> {
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let Ok(Value::Object(object)) = serde_json::from_str(last) else {
        return Err(format!("its last line is no JSON object: `{}`", shown(last)));
    };
    let (mut measures, mut facts) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in object {
        match value {
            Value::Number(number) => {
                measures.extend(number.as_f64().map(|number| (name, number)));
            }
            Value::String(text) => {
                facts.insert(name, text);
            }
            Value::Bool(is) => {
                facts.insert(name, is.to_string());
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }
    Ok((measures, facts))
}

/// The words of a command with what stands for others filled in.
///
/// # Errors
/// One line that says what is wrong with it.
pub fn filled(command: &str, with: &[(&str, String)]) -> Result<Vec<String>, String> {
    let fill = |word: String| with.iter().fold(word, |word, (name, value)| word.replace(name, value));
    Ok(words::split(command)?.into_iter().map(fill).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Result<Said, String> {
        let words = ["sh", "-c", script].map(str::to_owned);
        run(&words, Duration::from_secs(20), || false)
    }

    #[test]
    fn the_last_line_is_what_it_said() {
        let said =
            sh(r#"echo noise; echo '{"makespan_ns": 5, "python": "3.13", "gil": true, "no": null}'; echo"#)
                .unwrap();
        assert_eq!(said.measures, BTreeMap::from([("makespan_ns".to_owned(), 5.0)]));
        assert_eq!(said.facts["python"], "3.13");
        assert_eq!(said.facts["gil"], "true");
    }

    #[test]
    fn what_went_wrong_is_said_in_one_line() {
        for (script, words) in [
            ("echo oh no >&2; exit 3", "exit status: 3: oh no"),
            ("echo hello", "no JSON object: `hello`"),
            ("true", "no JSON object: ``"),
            ("kill -9 $$", "signal: 9"),
            ("yes '{\"x\": 1}' | head -n 200000", "more than 1 MiB on stdout"),
        ] {
            let why = sh(script).unwrap_err();
            assert!(why.contains(words) && why.lines().count() == 1, "{script}: {why}");
        }
        assert!(
            run(&["/no/such/program".to_owned()], Duration::from_secs(1), || false)
                .unwrap_err()
                .contains("started")
        );
    }

    #[test]
    fn one_that_does_not_end_is_ended() {
        let words = ["sh", "-c", "sleep 1000"].map(str::to_owned);
        let why = run(&words, Duration::from_millis(50), || false).unwrap_err();
        assert_eq!(why, "it took longer than 0.05 s");
        assert_eq!(run(&words, Duration::from_secs(100), || true).unwrap_err(), "it was stopped");
    }

    #[test]
    fn words_are_filled_in() {
        let words = filled(
            "{brink} x '{url}/a b'",
            &[("{brink}", "/b".to_owned()), ("{url}", "http://h".to_owned())],
        );
        assert_eq!(words.unwrap(), ["/b", "x", "http://h/a b"]);
    }
}

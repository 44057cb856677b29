//! `--ndjson`: what is seen while it runs, one JSON object a line, as it is seen. Pure: where the lines go is for others.

use brink_results::case::Case;
use brink_results::schema::{Failure, Line, Seen};

use crate::progress::{Details, Snapshot};

/// Makes the lines of one case after the other.
#[derive(Debug, Default)]
pub struct Ndjson {
    case: String,
    repeat: u32,
    phase: String,
    known: Vec<Failure>,
}

impl Ndjson {
    /// A case begins.
    pub fn begin(&mut self, case: &Case, unix_s: f64) -> Vec<Vec<u8>> {
        *self = Self {
            case: case.name.clone(),
            repeat: case.repeat,
            phase: "start".to_owned(),
            known: Vec::new(),
        };
        self.line(unix_s, Seen::Case { connections: case.load.connections }).into_iter().collect()
    }

    /// The lines of one look at the running case.
    pub fn of(&mut self, snapshot: &Snapshot) -> Vec<Vec<u8>> {
        let Some(Details { unix_s, look, marks, .. }) = snapshot.details.as_deref() else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        for mark in marks {
            mark.name.clone_into(&mut self.phase);
            // The look is a little later than the mark.
            let began_unix_s = unix_s - (snapshot.t_s - mark.t_s);
            lines.push(self.line(began_unix_s, Seen::Phase { t_s: mark.t_s }));
        }
        lines.push(self.line(*unix_s, Seen::Client(&look.client)));
        lines.extend(look.target.iter().map(|target| self.line(*unix_s, Seen::Target(target))));
        lines.push(self.line(*unix_s, Seen::Machine(&look.machine)));
        let machine = look.target_machine.iter();
        lines.extend(machine.map(|machine| self.line(*unix_s, Seen::TargetMachine(machine))));
        for failure in &snapshot.failures {
            let is_known = |known: &Failure| {
                (known.end, &known.phase, &known.errno) == (failure.end, &failure.phase, &failure.errno)
            };
            if !self.known.iter().any(is_known) {
                lines.push(self.line(*unix_s, Seen::Failure { t_s: snapshot.t_s, failure }));
                self.known.push(failure.clone());
            }
        }
        lines.into_iter().flatten().collect()
    }

    /// The case is over, with this verdict.
    pub fn end(&self, verdict: &str, unix_s: f64) -> Vec<Vec<u8>> {
        self.line(unix_s, Seen::End { verdict }).into_iter().collect()
    }

    fn line(&self, unix_s: f64, seen: Seen<'_>) -> Option<Vec<u8>> {
        let Self { case, repeat, phase, .. } = self;
        let mut json = serde_json::to_vec(&Line { case, repeat: *repeat, phase, unix_s, seen }).ok()?;
        json.push(b'\n');
        Some(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ends::Look;
    use brink_results::schema::{End, EndSample, MachineSample, PhaseMark};
    use serde_json::Value;

    fn snapshot(phases: &[(&str, f64)], failures: &[&str]) -> Snapshot {
        let marks = phases.iter().map(|&(name, t_s)| PhaseMark { name: name.to_owned(), t_s }).collect();
        let client = EndSample { t_s: 2.5, latency_p99_ns: Some(7), ..EndSample::default() };
        let look = Look { client, target: Some(EndSample::default()), ..Look::default() };
        let failure = |errno: &&str| Failure {
            end: End::Client,
            phase: "connect".to_owned(),
            errno: (*errno).to_owned(),
            count: 1,
            first_at_connections: 9,
        };
        Snapshot {
            t_s: 2.5,
            failures: failures.iter().map(failure).collect(),
            details: Some(Box::new(Details { unix_s: 100.0, look, marks, ..Details::default() })),
            ..Snapshot::default()
        }
    }

    fn read(lines: &[Vec<u8>]) -> Vec<Value> {
        lines.iter().map(|line| serde_json::from_slice(line.strip_suffix(b"\n").unwrap()).unwrap()).collect()
    }

    #[test]
    fn marks_samples_and_what_failed_first_each_have_a_line() {
        let mut lines = Ndjson { case: "a".to_owned(), repeat: 2, ..Ndjson::default() };
        let first = read(&lines.of(&snapshot(&[("warmup", 1.0), ("window", 2.0)], &["EMFILE"])));
        let seen: Vec<_> = first
            .iter()
            .map(|line| (line["kind"].as_str().unwrap(), line["phase"].as_str().unwrap()))
            .collect();
        let expected = [
            ("phase", "warmup"),
            ("phase", "window"),
            ("client", "window"),
            ("target", "window"),
            ("machine", "window"),
            ("failure", "window"),
        ];
        assert_eq!(seen, expected);
        assert!(first.iter().all(|line| line["case"] == "a" && line["repeat"] == 2));
        assert_eq!((&first[0]["t_s"], &first[0]["unix_s"]), (&1.0.into(), &98.5.into()));
        assert_eq!((&first[2]["latency_p99_ns"], &first[2]["threads"]), (&7.into(), &Value::Null));
        assert_eq!(first[5]["failure"]["errno"], "EMFILE");
        let second = read(&lines.of(&snapshot(&[], &["EMFILE", "closed"])));
        assert_eq!(second.len(), 4, "only what is new failed: {second:?}");
        assert_eq!(second[3]["failure"]["errno"], "closed");
    }

    #[test]
    fn all_fields_of_a_sample_are_there() {
        let whole = read(&Ndjson::default().of(&snapshot(&[], &[])));
        let fields = |value: Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        for name in fields(serde_json::to_value(EndSample::default()).unwrap()) {
            assert!(whole[0].get(&name).is_some() && whole[1].get(&name).is_some(), "{name}");
        }
        for name in fields(serde_json::to_value(MachineSample::default()).unwrap()) {
            assert!(whole[2].get(&name).is_some(), "{name}");
        }
    }
}

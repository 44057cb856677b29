//! How much longer a sweep takes: each case's warm-up and window are in its plan; what a case takes beside them is
//! learnt from those that ran. Pure: clocks are read elsewhere.

use std::time::Duration;

use brink_results::case::{Case, Workload};

/// Connections that come up in a second where nothing was learnt yet.
const CONNECTS_PER_S: f64 = 10_000.0;
/// What a case takes beside its connections where nothing was learnt yet: processes that start and end.
const BESIDE_S: f64 = 1.0;

/// One case as expected.
#[derive(Debug, Clone, PartialEq)]
struct Expected {
    /// Warm-up and window; nothing where it is refused.
    work_s: f64,
    /// What it takes beside them, where nothing was learnt yet.
    beside_s: f64,
    connections: u64,
    is_refused: bool,
    /// What it took beside its work, once it ran.
    learnt_s: Option<f64>,
}

/// The cases of a run, in the order they run.
#[derive(Debug, Clone, Default)]
pub struct Left {
    cases: Vec<Expected>,
}

impl Left {
    /// Of these cases, of which a limit will refuse some.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a Case>, is_refused: impl Fn(&Case) -> bool) -> Self {
        Self { cases: cases.into_iter().map(|case| expected(case, is_refused(case))).collect() }
    }

    /// The case at this place, from 0, took so long in all. One that was refused, or ended early, taught nothing.
    pub fn learn(&mut self, at: usize, took_s: f64, is_whole: bool) {
        let Some(case) = self.cases.get_mut(at) else { return };
        if is_whole && !case.is_refused {
            case.learnt_s = Some((took_s - case.work_s).max(0.0));
        }
    }

    /// What is left in seconds when the case at this place has run for so long. `None`: nothing is known of it.
    pub fn s(&self, running: usize, elapsed_s: f64) -> Option<f64> {
        let this = self.takes_s(self.cases.get(running)?);
        let others: f64 = self.cases[running + 1..].iter().map(|case| self.takes_s(case)).sum();
        Some((this - elapsed_s).max(0.0) + others)
    }

    /// How long the case at this place takes in all.
    pub fn case_s(&self, at: usize) -> Option<f64> {
        self.cases.get(at).map(|case| self.takes_s(case))
    }

    fn takes_s(&self, case: &Expected) -> f64 {
        if case.is_refused { 0.0 } else { case.work_s + self.beside_s(case) }
    }

    /// As those that ran with about as many connections took, in proportion.
    fn beside_s(&self, case: &Expected) -> f64 {
        let away = |other: &Expected| (other.connections as f64 / case.connections as f64).ln().abs();
        let ran = || self.cases.iter().filter_map(|other| Some((other, other.learnt_s?)));
        let nearest = ran().map(|(other, _)| away(other)).fold(f64::INFINITY, f64::min);
        let as_near = ran().filter(|(other, _)| away(other) <= nearest);
        let scaled: Vec<_> = as_near.map(|(other, s)| s * case.beside_s / other.beside_s).collect();
        if scaled.is_empty() { case.beside_s } else { scaled.iter().sum::<f64>() / scaled.len() as f64 }
    }
}

fn expected(case: &Case, is_refused: bool) -> Expected {
    let load = &case.load;
    let s = |ns: u64| Duration::from_nanos(ns).as_secs_f64();
    let at_most_s = s(load.duration_ns);
    let window_s = match (load.requests, load.workload) {
        (None, _) => at_most_s,
        (Some(requests), Workload::Open { rate_per_s, .. }) => requests as f64 / rate_per_s,
        // Each connection makes its share one after the other.
        (Some(requests), _) => {
            let delay_s = load.delay_ns.map_or(case.target.delay.mean().as_secs_f64(), s);
            requests.div_ceil(load.connections) as f64 * delay_s
        }
    };
    let connects_per_s = load.connect_rate_per_s.map_or(CONNECTS_PER_S, |rate| rate.min(CONNECTS_PER_S));
    // Where something gives way there is a second one, and each is held: no more is known of them.
    let ways_up = if load.climb.is_some() { 2 } else { 1 };
    Expected {
        work_s: s(load.warmup_ns) + window_s.min(at_most_s),
        beside_s: BESIDE_S + f64::from(ways_up) * load.connections as f64 / connects_per_s,
        connections: load.connections,
        is_refused,
        learnt_s: None,
    }
}

/// `about 3 min left`: no more exactly than it is known.
pub fn in_words(left_s: f64) -> String {
    let s = left_s.ceil() as u64;
    match s {
        0..=10 => format!("about {} s left", s.max(1)),
        11..=89 => format!("about {} s left", s.div_ceil(5) * 5),
        90..=5_399 => format!("about {} min left", (s + 30) / 60),
        _ => format!("about {:.1} h left", left_s / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{self, Machine};
    use crate::sweep_file;

    fn cases(load: &str) -> Vec<Case> {
        let text = format!(
            "name = \"x\"\nrepeats = 1\n[[target]]\nmodel = \"mio\"\ndelay = \"100ms\"\n[load]\nwarmup = \"1s\"\n{load}"
        );
        let machine = Machine { cpus_allowed: vec![0, 1], ports: None, limits: Vec::new() };
        let mut cases = plan::sweep(&sweep_file::parse(&text).unwrap(), &machine).unwrap();
        cases.sort_by_key(|case| case.load.connections);
        cases
    }

    #[test]
    fn what_is_planned_counts_and_what_ran_teaches() {
        let cases = cases("connections = [100, 10000, 20000]\nduration = \"4s\"");
        let mut left = Left::of(&cases, |_| false);
        // 5 s of work each; 1.01, 2 and 3 s beside.
        assert!((left.s(0, 0.0).unwrap() - 21.01).abs() < 0.001);
        assert!((left.s(1, 6.0).unwrap() - 9.0).abs() < 0.001);
        assert!((left.s(1, 60.0).unwrap() - 8.0).abs() < 0.001, "never below nothing");
        left.learn(1, 9.0, true);
        // 4 s beside instead of 2, so 6 instead of 3.
        assert!((left.s(2, 0.0).unwrap() - 11.0).abs() < 0.001);
        left.learn(0, 0.1, false);
        assert!((left.s(2, 0.0).unwrap() - 11.0).abs() < 0.001, "one that broke teaches nothing");
        assert_eq!(left.s(3, 0.0), None);
    }

    #[test]
    fn what_is_refused_takes_nothing() {
        let cases = cases("connections = [100, 10000]\nduration = \"4s\"");
        let left = Left::of(&cases, |case| case.load.connections == 10_000);
        assert!((left.s(0, 0.0).unwrap() - 6.01).abs() < 0.001);
    }

    #[test]
    fn a_fixed_number_of_requests_takes_its_turns() {
        let cases = cases("connections = 50\nrequests = 500");
        let left = Left::of(&cases, |_| false);
        assert!((left.s(0, 0.0).unwrap() - (1.0 + 1.0 + 1.005)).abs() < 0.001, "{left:?}");
    }

    #[test]
    fn words_are_no_more_exact_than_they_can_be() {
        for (s, words) in [
            (0.2, "about 1 s left"),
            (9.1, "about 10 s left"),
            (61.0, "about 65 s left"),
            (170.0, "about 3 min left"),
            (9_000.0, "about 2.5 h left"),
        ] {
            assert_eq!(in_words(s), words);
        }
    }
}

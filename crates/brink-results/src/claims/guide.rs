//! Which model for which workload, on this machine: from the measured cases and nothing else.
//!
//! The question is a closed loop: so many connections, each of which asks again as soon as it has its reply. Between
//! measured cases the time beyond the wait and the work asked for is interpolated, on logarithms; outside of them the nearest
//! case is taken, and that is said. Must not run anything.

mod between;

use serde::{Deserialize, Serialize};

use brink_wire::value::{format_bytes, format_count, format_duration, format_ns};

use crate::answer::cost;
use crate::case::Workload;
use crate::comparison::contrast::figure;
use crate::measures::Measure;
use crate::repeats::{Repeats, repeats};
use crate::schema::CaseResult;
use crate::statistics::{Estimate, Scale, estimate};
use crate::store::RunData;
use crate::window;

use super::crossover::THRESHOLD;
use super::{GuideSpec, Spec, experiment_of};
use between::log_ns;

/// Of all CPU time, from which on a queue grows whatever the model.
const CPU_SHARE_MAX: f64 = 0.95;

/// What is to be served.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Question {
    /// Connections that ask all the time.
    pub connections: u64,
    /// What each request waits for, in nanoseconds.
    pub delay_ns: u64,
    /// CPU work of each request, in nanoseconds.
    pub work_ns: u64,
    /// Whether the wait is in a library that blocks its thread.
    pub blocking: bool,
    /// What the server may take of memory, in bytes.
    pub memory_bytes: Option<u64>,
}

/// How a figure came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Of this very workload.
    Measured,
    /// Between two that were measured.
    Interpolated,
    /// Outside of what was measured: the nearest that was.
    Extrapolated,
}

/// A figure with what it stands on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Figure {
    /// In nanoseconds or bytes.
    pub value: f64,
    /// Its 95% interval, where repeats tell one.
    pub interval: Option<[f64; 2]>,
    /// How it came about.
    pub how: How,
    /// The cases it stands on.
    pub cases: Vec<String>,
}

/// What is known of one model for a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Candidate {
    /// Its name in the claims file.
    pub label: String,
    /// Latency that 99 of 100 requests stay below, in nanoseconds.
    pub p99_ns: Option<Figure>,
    /// User memory of the target, in bytes.
    pub memory_bytes: Option<Figure>,
    /// Requests per second that its CPU time allows on this machine; null: its CPU per request was not measured.
    pub per_s_max: Option<f64>,
    /// Connections it was seen to hold, and the limit that ended it.
    pub ceiling: Option<(u64, String)>,
    /// Why it is out of the question; null: it is not.
    pub excluded: Option<String>,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Advice {
    /// What was asked.
    pub question: Question,
    /// The model to take; null: none of those measured will do.
    pub take: Option<String>,
    /// Why, in one sentence.
    pub why: String,
    /// All that were measured, the best first.
    pub candidates: Vec<Candidate>,
}

/// The answer from what a run measured.
#[must_use]
pub fn advise(spec: &Spec, run: &RunData, question: Question) -> Advice {
    let Some(guide) = &spec.guide else {
        let why = "the claims file of this run has no [guide]".to_owned();
        return Advice { question, take: None, why, candidates: Vec::new() };
    };
    let groups = repeats(&run.results);
    let groups: Vec<&Repeats> = groups.iter().filter(|group| is_of(guide, group)).collect();
    let mut labels: Vec<&str> = groups.iter().map(|group| group.first().case.target.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    let of = |label: &str| {
        let own: Vec<&Repeats> =
            groups.iter().copied().filter(|group| group.first().case.target.label == label).collect();
        candidate(label, &own, guide, &question)
    };
    let mut candidates: Vec<Candidate> = labels.into_iter().map(of).collect();
    candidates.retain(|candidate| candidate.p99_ns.is_some());
    let key = |c: &Candidate| {
        let figure = |of: &Option<Figure>| of.as_ref().map_or(f64::INFINITY, |figure| figure.value);
        (c.excluded.is_some(), c.is_extrapolated(), figure(&c.p99_ns), figure(&c.memory_bytes))
    };
    candidates.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)).then(a.3.total_cmp(&b.3))
    });
    let (take, why) = choice(&candidates);
    Advice { question, take, why, candidates }
}

fn is_of(guide: &GuideSpec, group: &Repeats) -> bool {
    guide.experiments.iter().any(|name| name == experiment_of(&group.name))
}

/// Of those whose p99 is not seen to be worse than the best, the one that takes least memory.
fn choice(candidates: &[Candidate]) -> (Option<String>, String) {
    let mut open: Vec<&Candidate> =
        candidates.iter().filter(|candidate| candidate.excluded.is_none()).collect();
    // What was measured about the question speaks before what was measured elsewhere alone.
    let is_near = |one: &Candidate| !one.is_extrapolated();
    let far: Vec<String> = open.iter().filter(|one| !is_near(one)).map(|one| one.label.clone()).collect();
    let are_some_left_out = !far.is_empty() && far.len() < open.len();
    if are_some_left_out {
        open.retain(|one| is_near(one));
    }
    let Some(best) = open.first() else {
        return (None, "none of those that were measured will do".to_owned());
    };
    let Some(best_p99) = &best.p99_ns else { return (None, "no p99 was measured".to_owned()) };
    // As `compare` has it: intervals apart, and by more than anybody would mind.
    let worse = |figure: &Figure| {
        let is_apart = match (figure.interval, best_p99.interval) {
            (Some([low, _]), Some([_, high])) => low > high,
            _ => true,
        };
        is_apart && figure.value > best_p99.value * (1.0 + THRESHOLD)
    };
    let alike: Vec<&Candidate> = open
        .iter()
        .copied()
        .filter(|candidate| candidate.p99_ns.as_ref().is_some_and(|figure| !worse(figure)))
        .collect();
    let memory = |candidate: &Candidate| candidate.memory_bytes.as_ref().map(|of| of.value as u64);
    let Some(taken) = alike.iter().min_by_key(|one| memory(one).unwrap_or(u64::MAX)) else {
        return (None, "no p99 was measured".to_owned());
    };
    let others: Vec<String> =
        alike.iter().filter(|one| one.label != taken.label).map(|one| one.label.clone()).collect();
    let mut why = match others.is_empty() {
        true => format!("{} has the lowest p99", taken.label),
        false => format!(
            "no difference in p99 is seen between {} and {}; {}",
            taken.label,
            crate::answer::listed(&others),
            by_memory(taken, &alike)
        ),
    };
    if are_some_left_out {
        why +=
            &format!("; what is told of {} is extrapolated and does not count", crate::answer::listed(&far));
    }
    (Some(taken.label.clone()), why)
}

/// What decided between those whose p99 is alike.
fn by_memory(taken: &Candidate, alike: &[&Candidate]) -> String {
    let unknown = alike.iter().filter(|one| one.memory_bytes.is_none()).count();
    match taken.memory_bytes {
        None => format!("memory of none of them was measured, so it is {} by its figure alone", taken.label),
        Some(_) if unknown > 0 => {
            format!("{} takes the least memory of those where it was measured", taken.label)
        }
        Some(_) => format!("{} takes the least memory", taken.label),
    }
}

fn candidate(label: &str, groups: &[&Repeats], guide: &GuideSpec, question: &Question) -> Candidate {
    let loops: Vec<&Repeats> = groups
        .iter()
        .copied()
        .filter(|group| matches!(group.first().case.load.workload, Workload::Closed { .. }))
        .collect();
    let per_s_max = per_s_max(&loops, question);
    // By Little's law (Operations Research 9, 1961) so many connections cannot be answered faster than this.
    let least_ns = per_s_max.map(|per_s| question.connections as f64 / per_s * 1e9);
    let asked_ns = (question.delay_ns + question.work_ns) as f64;
    let p99_ns = between::beyond(&loops, question).map(|mut figure| {
        // What was measured needs no bound.
        let least_ns = least_ns.filter(|_| figure.how != How::Measured);
        let whole = |ns: f64| (ns + asked_ns).max(least_ns.unwrap_or(0.0));
        if least_ns.is_some_and(|least| least > figure.value + asked_ns) {
            figure.how = How::Extrapolated;
        }
        figure.value = whole(figure.value);
        // Repeats of another workload tell nothing of how sure this one is.
        figure.interval =
            figure.interval.filter(|_| figure.how != How::Extrapolated).map(|ends| ends.map(whole));
        figure
    });
    let memory_bytes = memory(groups, question.connections);
    let ceiling = groups.iter().find_map(|group| {
        let result = group.results.iter().find(|result| result.ceiling.is_some())?;
        let limit = result.failure_point.as_ref().map_or("nothing gave way", |point| point.limit.as_str());
        Some((result.ceiling.as_ref()?.at_connections, limit.to_owned()))
    });
    let excluded = excluded(label, guide, question, memory_bytes.as_ref(), ceiling.as_ref());
    Candidate { label: label.to_owned(), p99_ns, memory_bytes, per_s_max, ceiling, excluded }
}

fn excluded(
    label: &str,
    guide: &GuideSpec,
    question: &Question,
    memory: Option<&Figure>,
    ceiling: Option<&(u64, String)>,
) -> Option<String> {
    if question.blocking && !guide.blocking.iter().any(|name| name == label) {
        return Some("a wait that blocks its thread stops all its other connections".to_owned());
    }
    if let Some((at, limit)) = ceiling.filter(|(at, _)| *at < question.connections) {
        return Some(format!("it was seen to end at {} connections, by {limit}", format_count(*at)));
    }
    let (budget, figure) = (question.memory_bytes?, memory?);
    (figure.value > budget as f64).then(|| {
        format!("it takes {} of the {} there are", format_bytes(figure.value), format_bytes(budget as f64))
    })
}

fn work_ns(result: &CaseResult) -> u64 {
    let us = result.case.load.work_us.unwrap_or(result.case.target.work_us);
    u64::from(us) * 1_000
}

/// By the CPU time that a request took beside its work in the case nearest to the question, and the CPUs it uses.
fn per_s_max(loops: &[&Repeats], question: &Question) -> Option<f64> {
    let distance = |group: &&&Repeats| {
        let first = group.first();
        let delay = first.case.asked_delay_ns().unwrap_or_default();
        let far = (log_ns(delay) - log_ns(question.delay_ns)).abs()
            + (log_ns(work_ns(first)) - log_ns(question.work_ns)).abs()
            + ((first.case.load.connections as f64).ln() - (question.connections as f64).ln()).abs();
        (far * 1e6) as u64
    };
    let nearest = loops.iter().min_by_key(distance)?;
    let seen: Vec<_> = nearest.valid().filter_map(cost::cpu_s_per_request).collect();
    let each_s = estimate(&seen, Scale::Ratio)?.value;
    let beside_s = (each_s - work_ns(nearest.first()) as f64 / 1e9).max(0.0);
    let cpus = cpus_used(nearest.first());
    Some(cpus as f64 * CPU_SHARE_MAX / (beside_s + question.work_ns as f64 / 1e9).max(1e-9))
}

/// CPUs that the target can use at once: all it may run on, but a loop only one. A thread per connection takes what there is.
fn cpus_used(result: &CaseResult) -> usize {
    let allowed = result.facts.target.as_ref().map_or(1, |end| end.machine.cpus_allowed.len().max(1));
    let target = &result.case.target;
    let loops = target.processes as usize * target.threads as usize;
    let threads = window::span(result).and_then(|span| window::threads_max(&result.usage.target, span));
    let has_one_each = threads.is_some_and(|threads| threads >= result.case.load.connections);
    if loops == 0 || has_one_each { allowed } else { allowed.min(loops) }
}

/// What the target takes before its first connection, and its slope.
fn memory(groups: &[&Repeats], connections: u64) -> Option<Figure> {
    let slope = Measure::find("memory_per_connection.target.user_bytes")?;
    let most = |group: &&&Repeats| group.first().case.load.connections;
    let held =
        groups.iter().filter(|group| matches!(group.first().case.load.workload, Workload::Hold { .. }));
    let group = held.filter(|group| group.first().ceiling.is_none()).max_by_key(most)?;
    let runs = group.observations(slope);
    let each: Estimate = figure(slope, &runs)?;
    let measured = group.first().case.load.connections as f64;
    let all = group.median(|result| {
        let most = window::user_bytes_max(&result.usage.target, window::span(result)?)?;
        Some(most as f64)
    })?;
    let base = (all - each.value * measured).max(0.0);
    let of = |slope: f64| base + slope * connections as f64;
    let how = match connections as f64 {
        n if n == measured => How::Measured,
        n if n < measured => How::Interpolated,
        _ => How::Extrapolated,
    };
    Some(Figure {
        value: of(each.value),
        interval: each.interval.map(|ends| ends.map(of)),
        how,
        cases: vec![group.name.clone()],
    })
}

impl Question {
    /// `5,000 connections, delay 50ms, work 200us`
    #[must_use]
    pub fn words(&self) -> String {
        let time = |ns: u64| format_duration(std::time::Duration::from_nanos(ns));
        let mut words = format!("{} connections", format_count(self.connections));
        words += &format!(", delay {}", time(self.delay_ns));
        if self.work_ns > 0 {
            words += &format!(", work {}", time(self.work_ns));
        }
        if self.blocking {
            words += ", a library that blocks";
        }
        if let Some(bytes) = self.memory_bytes {
            words += &format!(", within {}", format_bytes(bytes as f64));
        }
        words
    }
}

impl Figure {
    fn in_words(&self, one: fn(f64) -> String) -> String {
        let range = self.interval.map(|[low, high]| format!(" ({} to {})", one(low), one(high)));
        let how = match self.how {
            How::Measured => "",
            How::Interpolated => ", interpolated",
            How::Extrapolated => ", extrapolated",
        };
        format!("{}{}{how}", one(self.value), range.unwrap_or_default())
    }
}

impl Candidate {
    /// Whether its p99 lies outside of what was measured.
    fn is_extrapolated(&self) -> bool {
        self.p99_ns.as_ref().is_some_and(|figure| figure.how == How::Extrapolated)
    }

    /// `p99`, `memory`, `requests/s at most`, `ceiling` in words, for tables.
    #[must_use]
    pub fn cells(&self) -> [String; 4] {
        let unknown = || "not measured".to_owned();
        [
            self.p99_ns.as_ref().map_or_else(unknown, |figure| figure.in_words(format_ns)),
            self.memory_bytes.as_ref().map_or_else(unknown, |figure| figure.in_words(format_bytes)),
            self.per_s_max.map_or_else(unknown, |per_s| format_count(per_s as u64)),
            self.ceiling
                .as_ref()
                .map_or_else(unknown, |(at, limit)| format!("{}, {limit}", format_count(*at))),
        ]
    }

    /// The cases that its figures stand on.
    #[must_use]
    pub fn cases(&self) -> Vec<&str> {
        let figures = [&self.p99_ns, &self.memory_bytes].into_iter().flatten();
        let mut cases: Vec<&str> =
            figures.flat_map(|figure| figure.cases.iter().map(String::as_str)).collect();
        cases.dedup();
        cases
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn candidate(label: &str, p99_ns: [f64; 3], memory_bytes: Option<f64>) -> Candidate {
        let figure = |value, interval| Figure { value, interval, how: How::Measured, cases: Vec::new() };
        Candidate {
            label: label.to_owned(),
            p99_ns: Some(figure(p99_ns[1], Some([p99_ns[0], p99_ns[2]]))),
            memory_bytes: memory_bytes.map(|bytes| figure(bytes, None)),
            per_s_max: None,
            ceiling: None,
            excluded: None,
        }
    }

    #[test]
    fn what_was_measured_near_the_question_goes_before_what_was_not() {
        let mut far = candidate("far", [1.0, 2.0, 3.0], Some(1.0));
        far.p99_ns.as_mut().unwrap().how = How::Extrapolated;
        let near = candidate("near", [4.0, 5.0, 6.0], Some(9.0));
        let said = "near has the lowest p99; what is told of far is extrapolated and does not count";
        assert_eq!(choice(&[near, far.clone()]), (Some("near".to_owned()), said.to_owned()));
        assert_eq!(choice(&[far]).0, Some("far".to_owned()), "it is all there is");
    }

    #[test]
    fn memory_decides_only_where_it_was_measured() {
        let alike = |a, b| choice(&[candidate("a", [1.0, 2.0, 9.0], a), candidate("b", [1.0, 3.0, 9.0], b)]);
        let same = "no difference in p99 is seen between";
        for (a, b, take, why) in [
            (Some(9.0), Some(5.0), "b", format!("{same} b and a; b takes the least memory")),
            (
                Some(9.0),
                None,
                "a",
                format!("{same} a and b; a takes the least memory of those where it was measured"),
            ),
            (
                None,
                None,
                "a",
                format!(
                    "{same} a and b; memory of none of them was measured, so it is a by its figure alone"
                ),
            ),
        ] {
            assert_eq!(alike(a, b), (Some(take.to_owned()), why));
        }
        let apart =
            choice(&[candidate("a", [1.0, 2.0, 3.0], None), candidate("b", [4.0, 5.0, 6.0], Some(1.0))]);
        assert_eq!(apart, (Some("a".to_owned()), "a has the lowest p99".to_owned()));
    }
}

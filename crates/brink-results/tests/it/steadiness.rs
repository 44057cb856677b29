//! Series of replies to verdicts: made-up ones that moved, honest ones that must not be accused, and those of results/.

use std::path::PathBuf;

use brink_results::case::{Arrivals, Workload};
use brink_results::schema::{CaseResult, Validity, Verdict};
use brink_results::verdict::{Input, judge};
use brink_results::{store, window};

use crate::fixtures::{MODELS, open, result};

fn judged(result: &CaseResult) -> Validity {
    judge(Input { result, interrupted: None, missing: &[] })
}

/// A closed loop of 100 connections at a delay of 10 ms, its replies counted five times a second. The window is
/// from 4 s to 8 s, the rate that of `per_s` at each moment of the window.
fn closed(per_s: impl Fn(f64) -> f64) -> CaseResult {
    with_replies(result(MODELS[2], 100), &per_s)
}

fn with_replies(mut made: CaseResult, per_s: &dyn Fn(f64) -> f64) -> CaseResult {
    let (mut replies, mut samples) = (0.0, Vec::new());
    let (start, end) = window::span(&made).unwrap();
    let mut within = [0.0; 2];
    let base = made.usage.client[0].clone();
    for step in 0..1_000 {
        let t_s = f64::from(step) / 100.0;
        for (cut, count) in [start, end].into_iter().zip(&mut within) {
            *count = if t_s <= cut { replies } else { *count };
        }
        if step % 20 == 7 {
            let mut sample = base.clone();
            (sample.t_s, sample.requests, sample.cpu_s) = (t_s, Some(replies as u64), Some(0.2 * t_s));
            samples.push(sample);
        }
        // Whole thousandths, so that what is rounded away is nothing.
        replies += per_s(t_s - 4.0) / 100.0;
    }
    made.usage.client = samples;
    made.requests.per_s = Some((within[1] - within[0]) / (end - start));
    made
}

/// The verdict, and a reason that says this.
fn check(made: &CaseResult, verdict: Verdict, says: &str) {
    let validity = judged(made);
    assert_eq!(validity.verdict, verdict, "{:?}", validity.reasons);
    let told = validity.reasons.join("\n");
    assert!(told.contains(says) && (!says.is_empty() || told.is_empty()), "`{says}` is not in `{told}`");
}

/// Normal values by Box and Muller.
fn noise(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

#[test]
fn what_stood_still_is_valid() {
    check(&closed(|_| 9_800.0), Verdict::Valid, "");
    check(&closed(|t| 9_800.0 - 100.0 * t), Verdict::Valid, "");
    // A tenth up and down, over half a second.
    check(&closed(|t| 9_800.0 * (1.0 + 0.1 * (t * 12.6).sin())), Verdict::Valid, "");
}

#[test]
fn a_step_a_ramp_and_a_warm_up_are_told_apart() {
    check(
        &closed(|t| if t < 2.2 { 10_000.0 } else { 7_000.0 }),
        Verdict::Unsteady,
        "the completion rate fell by",
    );
    check(&closed(|t| 8_000.0 + 1_000.0 * t), Verdict::Unsteady, "the completion rate rose by");
    let warming = closed(|t| 9_800.0 * (1.0 - 0.9 * (-t.max(0.0) / 0.2).exp() + 0.02 * (t * 40.0).sin()));
    check(&warming, Verdict::Unsteady, "the warm-up of 1s was too short, make it at least 2");
    check(&warming, Verdict::Unsteady, "below that of the rest, so that requests.per_s is low by");
    check(
        &closed(|t| if t < 0.6 { 12_600.0 } else { 9_000.0 }),
        Verdict::Unsteady,
        "of the window was 30% above",
    );
}

#[test]
fn what_swings_is_unsteady_and_scatter_of_chance_is_not() {
    let swings = |t: f64| if (t * 1.25).fract() < 0.5 { 15_000.0 } else { 4_000.0 };
    check(&closed(swings), Verdict::Unsteady, "the completion rate swings: blocks of");
    let mut random = fastrand::Rng::with_seed(3);
    let mut accused = 0;
    for _ in 0..200 {
        let levels: Vec<f64> = (0..60).map(|_| 9_300.0 * (1.0 + 0.05 * noise(&mut random))).collect();
        let made = closed(|t| levels[(((t + 4.0) * 5.0) as usize).min(59)]);
        accused += i32::from(judged(&made).verdict != Verdict::Valid);
    }
    assert_eq!(accused, 0, "of 200 with a noise of 5%");
}

#[test]
fn a_stall_is_named_with_when_it_was() {
    let stalls =
        |at: f64, length: f64| closed(move |t| if t >= at && t < at + length { 0.0 } else { 9_800.0 });
    check(&stalls(1.5, 0.7), Verdict::Unsteady, "no reply came for at least 400 ms, from 1.67 s");
    let in_a_long_window = |length: f64| {
        let mut made = stalls(1.5, length);
        made.requests.window_s = 40.0;
        made
    };
    // The rate of a window of 40 s is not moved by it.
    let reasons = judged(&in_a_long_window(0.7)).reasons.join("\n");
    assert!(reasons.contains("no reply came for at least 400 ms"), "{reasons}");
    check(
        &closed(|t| if (t * 2.0) as i64 % 2 == 0 { 0.0 } else { 9_800.0 }),
        Verdict::Unsteady,
        "such times",
    );
}

/// 10,000 connections at a delay of 1 s, in step or spread over it: the rate swings with the cycle, or does not.
#[test]
fn cycles_of_a_closed_loop_are_no_unsteadiness() {
    let shapes: [&dyn Fn(f64) -> f64; 4] = [
        &|_| 10_000.0,
        &|t| if t.rem_euclid(1.0) < 0.05 { 200_000.0 } else { 0.0 },
        &|t| if (t + 0.33).rem_euclid(1.0) < 0.5 { 20_000.0 } else { 0.0 },
        &|t| 10_000.0 * (1.0 + 0.9 * (t * std::f64::consts::TAU).sin()),
    ];
    for (shape, per_s) in shapes.into_iter().enumerate() {
        for window_s in [3.0, 3.7, 4.0, 5.8] {
            let mut made = result(MODELS[0], 10_000);
            made.usage.phases[3].t_s = 4.0 + window_s;
            made.usage.phases[4].t_s = 9.95;
            made.requests.window_s = window_s;
            made.case.load.duration_ns = (window_s * 1e9) as u64;
            let mut made = with_replies(made, per_s);
            made.latency_ns.as_mut().unwrap().mean = 1e9;
            made.requests.per_s = Some(10_000.0);
            let validity = judged(&made);
            assert_eq!(
                validity.verdict,
                Verdict::Valid,
                "shape {shape}, {window_s} s: {:?}",
                validity.reasons
            );
        }
    }
}

#[test]
fn few_samples_or_replies_are_silent() {
    let mut made = closed(|t| if t < 2.0 { 10_000.0 } else { 5_000.0 });
    made.usage.client.retain(|s| s.t_s < 5.0);
    check(&made, Verdict::Valid, "");
    let slow = closed(|t| if t < 2.0 { 12.0 } else { 4.0 });
    assert!(judged(&slow).reasons.iter().all(|r| !r.contains("completion rate")), "{:?}", judged(&slow));
}

/// An open loop with requests under way as `under_way` says at each moment of the window.
fn open_with(under_way: impl Fn(f64) -> f64) -> CaseResult {
    let mut made = with_replies(open(MODELS[2], 1_000.0), &|_| 1_000.0);
    made.requests.per_s = Some(1_000.0);
    for sample in &mut made.usage.client {
        sample.in_flight = Some(under_way(sample.t_s - 4.0) as u64);
    }
    made
}

#[test]
fn a_queue_that_grows_is_unsteady() {
    check(&open_with(|t| 100.0 + 50.0 * t), Verdict::Unsteady, "a queue grew through the window: 190 more");
    check(&open_with(|_| 100.0), Verdict::Valid, "");
    let eases = open_with(|t| 300.0 - 50.0 * t);
    check(&eases, Verdict::Unsteady, "a queue was worked off through the window: 190 fewer");
    let mut random = fastrand::Rng::with_seed(5);
    for mean in [1.5_f64, 20.0, 100.0] {
        for _ in 0..100 {
            let levels: Vec<f64> =
                (0..60).map(|_| (mean + mean.sqrt() * noise(&mut random)).max(0.0)).collect();
            let made = open_with(|t| levels[(((t + 4.0) * 5.0) as usize).min(59)]);
            assert_eq!(judged(&made).verdict, Verdict::Valid, "{:?}", judged(&made).reasons);
        }
    }
}

#[test]
fn arrivals_of_chance_are_no_unsteadiness() {
    let mut random = fastrand::Rng::with_seed(6);
    for per_s in [300.0, 1_000.0, 10_000.0] {
        for _ in 0..200 {
            let mut made = open(MODELS[2], per_s);
            let Workload::Open { arrivals, .. } = &mut made.case.load.workload else { panic!("not open") };
            *arrivals = Arrivals::Poisson;
            let tenth = per_s / 100.0;
            let levels: Vec<f64> =
                (0..1_001).map(|_| (tenth + tenth.sqrt() * noise(&mut random)).max(0.0) * 100.0).collect();
            let made = with_replies(made, &|t| levels[((t + 4.0) * 100.0).round() as usize]);
            let reasons = judged(&made).reasons;
            let told = reasons.iter().find(|r| r.contains("completion rate") || r.contains("warm-up"));
            assert_eq!(told, None, "{per_s}/s");
        }
    }
}

/// What the repository's own results were judged to be they are still.
#[test]
fn committed_results_keep_their_verdict() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../results");
    let mut seen = 0;
    for dir in ["2026-11-21-quick", "2026-11-21-models"] {
        for made in store::read_run(&root.join(dir)).unwrap().results {
            let again = judged(&made);
            let name = &made.case.name;
            assert_eq!(again.verdict, made.validity.verdict, "{dir}, {name}: {:?}", again.reasons);
            let new: Vec<&String> =
                again.reasons.iter().filter(|r| !made.validity.reasons.contains(r)).collect();
            assert!(new.is_empty(), "{dir}, {name}: {new:?}");
            seen += 1;
        }
    }
    assert!(seen >= 68, "{seen}");
}

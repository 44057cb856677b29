//! CPU work that a request asks for: real computation, not a wait.
//!
//! Calibrated once at start, so a microsecond of work stays the same amount of work
//! when the machine gets busy (and then takes longer, as real work does).

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::stop::Stop;

/// One round of calibration.
const ROUND: Duration = Duration::from_millis(2);
const ROUNDS: usize = 5;
/// Steps between two looks at the clock while calibrating.
const STEPS: u64 = 4096;
/// Work between two looks at the stop flag, in microseconds.
const SLICE_US: u32 = 1000;

/// How much work a microsecond is on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    steps_per_us: f64,
}

impl Work {
    /// Measures how fast this machine works. Takes about 10 ms; the fastest of five rounds
    /// counts, being the one that was disturbed least.
    #[must_use]
    pub fn calibrate() -> Self {
        let fastest = (0..ROUNDS).map(|_| round()).fold(0.0, f64::max);
        Self { steps_per_us: fastest }
    }

    /// Does `work_us` microseconds' worth of computation. Returns whether all of it was done: it
    /// gives up when the target is to stop, and then there must be no reply that claims it.
    #[must_use]
    pub(crate) fn run(&self, work_us: u32, stop: &Stop) -> bool {
        let mut left = work_us;
        while left > 0 && !stop.requested() {
            let slice = left.min(SLICE_US);
            black_box(mix(u64::from(left), (f64::from(slice) * self.steps_per_us) as u64));
            left -= slice;
        }
        left == 0
    }
}

/// Steps per microsecond, over one round.
fn round() -> f64 {
    let begun = Instant::now();
    let mut steps = 0;
    loop {
        black_box(mix(steps, STEPS));
        steps += STEPS;
        let spent = begun.elapsed();
        if spent >= ROUND {
            return steps as f64 / (spent.as_secs_f64() * 1e6);
        }
    }
}

/// A chain in which each step needs the one before (the finaliser of SplitMix64,
/// Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).
fn mix(seed: u64, steps: u64) -> u64 {
    let mut state = seed;
    for _ in 0..steps {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_finds_a_speed_that_a_machine_can_have() {
        let work = Work::calibrate();
        assert!((1.0..10_000.0).contains(&work.steps_per_us), "{work:?}");
    }

    #[test]
    fn gives_up_when_stopped() {
        let stop = Stop::new().unwrap();
        stop.request();
        // A minute of work, unless the flag is heeded.
        let work = Work { steps_per_us: f64::from(u32::MAX) };
        assert!(!work.run(brink_wire::frame::WORK_US_MAX, &stop));
        assert!(work.run(0, &stop));
    }
}

//! CPU work that a request asks for: real computation (SHA-256), not a wait.
//!
//! Calibrated once at start, so a microsecond of work stays the same amount of work
//! when the machine gets busy (and then takes longer, as real work does).

use std::hint::black_box;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::stop::Stop;

/// One round of calibration, and how many there are: a tenth of a second in all, since what neighbours take of a
/// machine, and what its clock gains for a while, lasts for some ten milliseconds.
const ROUND: Duration = Duration::from_micros(500);
const ROUNDS: usize = 200;
/// Where CPU time is short, by a control group's quota say, fewer rounds have to do, and one try: a start is waited for.
const ONCE: Duration = Duration::from_millis(250);
const ALL: Duration = Duration::from_millis(800);
/// Steps between two looks at the clock while calibrating: some microseconds, beside which the look is nothing.
const STEPS: u64 = 128;
/// Work between two looks at the stop flag, in microseconds.
const SLICE_US: u32 = 1000;
/// Asked of each trial, in microseconds, and how many there are.
const TRIAL_US: u32 = 200;
const TRIALS: usize = 15;
/// Tried out further off than this, it is calibrated again, so many times in all.
const ERROR_MAX: f64 = 0.02;
const CALIBRATIONS: usize = 8;

/// How much work a microsecond is on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    steps_per_us: f64,
    error_ratio: Option<f64>,
}

impl Work {
    /// Measures how fast this machine works, then tries it out, and again where it was disturbed. Takes about 100 ms, at
    /// most a second.
    #[must_use]
    pub fn calibrate() -> Self {
        let begun = Instant::now();
        let mut best = Self::once();
        for _ in 1..CALIBRATIONS {
            if best.off() <= ERROR_MAX || begun.elapsed() >= ALL {
                break;
            }
            let again = Self::once();
            if again.off() < best.off() {
                best = again;
            }
        }
        best
    }

    /// Three quarters of the rounds are no faster: the fastest would be one in which the clock ran faster than it does for
    /// long, and a virtual machine is slowed more often than that, for up to half the rounds.
    fn once() -> Self {
        let begun = Instant::now();
        let mut rounds = vec![round()];
        while rounds.len() < ROUNDS && begun.elapsed() < ONCE {
            rounds.push(round());
        }
        rounds.sort_by(f64::total_cmp);
        let mut work = Self { steps_per_us: rounds[rounds.len() * 3 / 4], error_ratio: None };
        let mut errors: [f64; TRIALS] = std::array::from_fn(|_| work.trial());
        errors.sort_by(f64::total_cmp);
        work.error_ratio = Some(errors[TRIALS / 2]);
        work
    }

    fn off(&self) -> f64 {
        self.error_ratio.map_or(f64::INFINITY, f64::abs)
    }

    /// How far work was off when it was tried out after calibrating: (took - asked) / asked, the median
    /// of several tries. Positive: it took longer.
    #[must_use]
    pub fn error_ratio(&self) -> Option<f64> {
        self.error_ratio
    }

    /// Does `work_us` microseconds' worth of computation. Returns whether all of it was done: it
    /// gives up when the target is to stop, and then there must be no reply that claims it.
    #[must_use]
    pub(crate) fn run(&self, work_us: u32, stop: &Stop) -> bool {
        let mut left = work_us;
        while left > 0 && !stop.requested() {
            let slice = left.min(SLICE_US);
            self.slice(slice);
            left -= slice;
        }
        left == 0
    }

    fn slice(&self, work_us: u32) {
        // Rounded: a step is 45 ns on an AMD EPYC with SHA instructions.
        black_box(hash(u64::from(work_us), (f64::from(work_us) * self.steps_per_us).round() as u64));
    }

    fn trial(&self) -> f64 {
        let begun = Instant::now();
        self.slice(TRIAL_US);
        let took_us = begun.elapsed().as_secs_f64() * 1e6;
        took_us / f64::from(TRIAL_US) - 1.0
    }
}

/// Steps per microsecond, over one round.
fn round() -> f64 {
    let begun = Instant::now();
    let mut steps = 0;
    loop {
        black_box(hash(steps, STEPS));
        steps += STEPS;
        let spent = begun.elapsed();
        if spent >= ROUND {
            return steps as f64 / (spent.as_secs_f64() * 1e6);
        }
    }
}

/// SHA-256 of SHA-256 and so on: each step needs the one before, and is one block, since 32 bytes and
/// the padding fit in its 64 (FIPS 180-4, section 5.1.1).
fn hash(seed: u64, steps: u64) -> [u8; 32] {
    let mut state = [0; 32];
    state[..8].copy_from_slice(&seed.to_le_bytes());
    for _ in 0..steps {
        state = Sha256::digest(state).into();
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_finds_a_speed_that_a_machine_can_have() {
        let work = Work::calibrate();
        // Without optimisation a step takes some microseconds.
        assert!((0.01..100.0).contains(&work.steps_per_us), "{work:?}");
        assert!(work.error_ratio().unwrap() > -0.9, "{work:?}");
    }

    #[test]
    fn is_the_hash_it_says() {
        // Of 32 zero bytes, as `head -c 32 /dev/zero | sha256sum` has it.
        let expected = [0x66, 0x68, 0x7a, 0xad, 0xf8, 0x62, 0xbd, 0x77];
        assert_eq!(hash(0, 1)[..8], expected);
    }

    #[test]
    fn gives_up_when_stopped() {
        let stop = Stop::new().unwrap();
        stop.request();
        // A minute of work, unless the flag is heeded.
        let work = Work { steps_per_us: f64::from(u32::MAX), error_ratio: None };
        assert!(!work.run(brink_wire::frame::WORK_US_MAX, &stop));
        assert!(work.run(0, &stop));
    }
}

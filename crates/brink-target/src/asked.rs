//! What one request asks for, once the target's own delay and work have been filled in.
//!
//! Pure but for the generator's state. Must not wait or work.

use std::time::Duration;

use brink_wire::delay::Delay;
use brink_wire::frame::{DELAY_OF_TARGET, Header, WORK_OF_TARGET};

/// What the target does where a request leaves it to the target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own {
    pub(crate) delay: Delay,
    pub(crate) work_us: u32,
}

/// What is to happen before the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) delay: Duration,
    pub(crate) work_us: u32,
}

impl Own {
    /// What `header` asks for.
    pub(crate) fn asked(&self, header: &Header, draws: &mut Draws) -> Asked {
        self.filled_in(header.delay_ns, header.work_us, draws)
    }

    /// What is asked with these values, of which [`DELAY_OF_TARGET`] and [`WORK_OF_TARGET`] mean our own.
    pub(crate) fn filled_in(&self, delay_ns: u64, work_us: u32, draws: &mut Draws) -> Asked {
        let delay = match delay_ns {
            DELAY_OF_TARGET => draws.delay(self.delay),
            ns => Duration::from_nanos(ns),
        };
        let work_us = if work_us == WORK_OF_TARGET { self.work_us } else { work_us };
        Asked { delay, work_us }
    }

    /// Whether the reply can go at once, whatever is drawn.
    pub(crate) fn at_once(&self, header: &Header) -> bool {
        let no_delay = match header.delay_ns {
            DELAY_OF_TARGET => self.delay.max().is_zero(),
            ns => ns == 0,
        };
        let no_work = match header.work_us {
            WORK_OF_TARGET => self.work_us == 0,
            us => us == 0,
        };
        no_delay && no_work
    }
}

/// Random numbers for delays: small, and owned by one worker or connection.
#[derive(Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    /// Distinct `stream`s give unrelated sequences.
    pub(crate) fn new(stream: u64) -> Self {
        // SplitMix64's finaliser spreads neighbouring streams; xorshift must not start from 0.
        let mut seed = stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self((seed ^ (seed >> 27)) | 1)
    }

    fn delay(&mut self, delay: Delay) -> Duration {
        match delay {
            Delay::Fixed(delay) => delay,
            Delay::Uniform(low, high) => low + (high - low).mul_f64(self.fraction()),
            // The inverse of the exponential's distribution function; 1 - fraction is never 0.
            Delay::Exponential(mean) => mean.mul_f64((-(1.0 - self.fraction()).ln()).min(10.0)),
        }
    }

    /// In [0, 1), from the high 53 bits of xorshift64* (Vigna 2016, doi:10.1145/2845077).
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn header(delay_ns: u64, work_us: u32) -> Header {
        Header { payload_len: 0, work_us, sequence: 0, delay_ns, waited_ns: None }
    }

    #[test]
    fn the_request_goes_before_the_target() {
        let own = Own { delay: Delay::Fixed(5 * MS), work_us: 9 };
        let mut draws = Draws::new(0);
        let own_way = own.asked(&header(DELAY_OF_TARGET, WORK_OF_TARGET), &mut draws);
        assert_eq!(own_way, Asked { delay: 5 * MS, work_us: 9 });
        let asked = own.asked(&header(1, 2), &mut draws);
        assert_eq!(asked, Asked { delay: Duration::from_nanos(1), work_us: 2 });
    }

    #[test]
    fn at_once_only_where_nothing_is_to_be_done() {
        let idle = Own { delay: Delay::ZERO, work_us: 0 };
        let slow = Own { delay: Delay::Exponential(MS), work_us: 1 };
        assert!(idle.at_once(&header(DELAY_OF_TARGET, WORK_OF_TARGET)));
        assert!(slow.at_once(&header(0, 0)));
        assert!(!slow.at_once(&header(DELAY_OF_TARGET, 0)));
        assert!(!slow.at_once(&header(0, WORK_OF_TARGET)));
        assert!(!idle.at_once(&header(1, 0)));
        assert!(!idle.at_once(&header(0, 1)));
    }

    #[test]
    fn draws_stay_in_bounds_and_average_to_the_mean() {
        for delay in [Delay::Uniform(50 * MS, 150 * MS), Delay::Exponential(100 * MS)] {
            let mut draws = Draws::new(3);
            let drawn: Vec<_> = (0..20_000).map(|_| draws.delay(delay)).collect();
            assert!(drawn.iter().all(|&d| d <= delay.max()));
            let mean = drawn.iter().sum::<Duration>().as_secs_f64() / drawn.len() as f64;
            assert!((mean / 0.1 - 1.0).abs() < 0.03, "{delay}: {mean}");
        }
        assert_ne!(Draws::new(0).fraction().to_bits(), Draws::new(1).fraction().to_bits());
    }
}

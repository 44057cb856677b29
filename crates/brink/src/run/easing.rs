//! A limit may be short for a moment only: the threads of a run that has just ended take their time to go, above all on
//! a busy machine. Before a case is refused it is looked again, for as long as less and less is missing.
//!
//! Must not know limits, or read them.

use std::time::{Duration, Instant};

use brink_client::Stop;
use brink_results::schema::End;

use crate::preflight::Forecast;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// How long nothing must have come free before what is short counts as short.
const STILL: Duration = Duration::from_millis(300);
/// In all, however much still comes free.
const WITHIN: Duration = Duration::from_secs(5);

/// The same forecast, if nothing is short; else the one at which nothing is any more, or that stays.
/// `again` reckons with what is in use now; `None`: that could not be told.
pub fn wait(first: Forecast, stop: &Stop, again: impl FnMut() -> Option<Forecast>) -> Forecast {
    wait_by(first, stop, again, Instant::now, pause)
}

fn wait_by(
    first: Forecast,
    stop: &Stop,
    mut again: impl FnMut() -> Option<Forecast>,
    now: impl Fn() -> Instant,
    pause: impl Fn(Duration),
) -> Forecast {
    let (mut last, until, mut seen) = (first, now() + WITHIN, Vec::new());
    while last.short.is_some() {
        note(&mut seen, &last, now());
        let is_still = seen.iter().any(|short| now().duration_since(short.since) >= STILL);
        if is_still || now() >= until || stop.requested() {
            break;
        }
        pause(PAUSE);
        last = again().unwrap_or(last);
    }
    last
}

/// A limit that is short.
struct Short {
    end: End,
    limit: &'static str,
    /// The least that was missing of it so far.
    missing: u64,
    since: Instant,
}

/// Notes what is short now, and since when as much was missing of it.
fn note(seen: &mut Vec<Short>, forecast: &Forecast, now: Instant) {
    let all = forecast.all.iter().filter(|one| one.prediction.short);
    let short = all.map(|one| {
        let (end, limit) = (one.end, one.prediction.limit);
        let missing = one.prediction.needed.saturating_sub(one.prediction.value);
        let before = seen.iter().find(|before| (before.end, before.limit) == (end, limit));
        match before.filter(|before| before.missing <= missing) {
            Some(before) => Short { end, limit, missing: before.missing, since: before.since },
            None => Short { end, limit, missing, since: now },
        }
    });
    *seen = short.collect();
}

#[expect(clippy::disallowed_methods, reason = "nothing was opened yet, and nothing runs meanwhile")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{Basis, Reckoned};
    use brink_host::limits::Prediction;
    use std::cell::Cell;

    /// One limit for each number: how much is missing of it.
    fn short(missing: &[u64]) -> Forecast {
        let limits = ["cgroup.pids.max", "rlimit.nofile"];
        let one = |(limit, missing)| {
            let prediction = Prediction {
                limit,
                connections_max: 0,
                value: 300,
                used: None,
                needed: 300 + missing,
                short: true,
                fix: None,
                lasting: None,
            };
            Reckoned { end: End::Target, prediction, basis: Basis::Counted }
        };
        let all = limits.into_iter().zip(missing.iter().copied()).map(one).collect();
        Forecast { all, short: Some("short".to_owned()), ..Forecast::default() }
    }

    /// What comes of it, how often it was looked again, and how long it took.
    fn waited(first: Forecast, later: impl Fn(u64) -> Option<Forecast>) -> (Forecast, u64, Duration) {
        let (began, looks, passed) = (Instant::now(), Cell::new(0), Cell::new(Duration::ZERO));
        let again = || {
            looks.set(looks.get() + 1);
            later(looks.get())
        };
        let wait = |time| passed.set(passed.get() + time);
        let last = wait_by(first, &Stop::new(), again, || began + passed.get(), wait);
        (last, looks.get(), passed.get())
    }

    #[test]
    fn what_comes_free_is_waited_for() {
        let eases = |look| Some(if look < 9 { short(&[100 - look]) } else { Forecast::default() });
        let (last, looks, _) = waited(short(&[100]), eases);
        assert_eq!((last, looks), (Forecast::default(), 9));
        assert_eq!(waited(Forecast::default(), |_| Some(short(&[1]))).1, 0);
    }

    #[test]
    fn what_stays_short_is_short_after_a_moment() {
        let (last, _, passed) = waited(short(&[100]), |_| Some(short(&[100])));
        assert_eq!((last, passed), (short(&[100]), STILL));
        let (last, _, passed) = waited(short(&[100]), |look| Some(short(&[100 + look % 2])));
        assert!(last.short.is_some() && passed == STILL, "to and fro is not less and less");
        let (last, _, passed) = waited(short(&[100, 7]), |look| Some(short(&[100 - look, 7])));
        assert!(last.short.is_some() && passed == STILL, "one of them does not ease");
    }

    #[test]
    fn it_ends_however_much_comes_free() {
        let (last, _, passed) = waited(short(&[500]), |look| Some(short(&[500 - look])));
        assert!(last.short.is_some() && passed == WITHIN);
    }

    #[test]
    fn a_look_that_tells_nothing_is_no_reason_to_go_on() {
        let (last, _, passed) = waited(short(&[100]), |_| None);
        assert_eq!((last, passed), (short(&[100]), STILL));
    }

    #[test]
    fn nobody_is_kept_who_wants_to_stop() {
        let stop = Stop::new();
        stop.request();
        let last = wait_by(short(&[100]), &stop, || Some(Forecast::default()), Instant::now, |_| {});
        assert_eq!(last, short(&[100]));
    }
}

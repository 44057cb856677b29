//! A limit may be short for a moment only: the threads of a run that has just ended take their time to go, above all on
//! a busy machine. Before a case is refused it is looked again, for as long as more and more comes free.
//!
//! Must not know limits, or read them.

use std::time::{Duration, Instant};

use brink_client::Stop;

use crate::preflight::Forecast;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// How long nothing must have come free before what is short counts as short.
const STILL: Duration = Duration::from_millis(300);
/// In all, however much still comes free.
const WITHIN: Duration = Duration::from_secs(5);

/// The same forecast, if nothing is short; else the one at which nothing is any more, or that stays.
/// `again` reads what is in use now.
pub fn wait(first: Forecast, stop: &Stop, again: impl FnMut() -> Forecast) -> Forecast {
    wait_by(first, stop, again, Instant::now, pause)
}

fn wait_by(
    first: Forecast,
    stop: &Stop,
    mut again: impl FnMut() -> Forecast,
    now: impl Fn() -> Instant,
    pause: impl Fn(Duration),
) -> Forecast {
    let (mut last, mut most) = (first, 0);
    let until = now() + WITHIN;
    let mut still_since = now();
    while let Some(carried) = carried(&last) {
        if carried > most {
            (most, still_since) = (carried, now());
        }
        let is_still = now().duration_since(still_since) >= STILL;
        if is_still || now() >= until || stop.requested() {
            break;
        }
        pause(PAUSE);
        last = again();
    }
    last
}

/// Connections that the tightest limit carries of those that are short and have something in use.
fn carried(forecast: &Forecast) -> Option<u64> {
    let is_in_use = |used: Option<u64>| used.is_some_and(|used| used > 0);
    let short = forecast.all.iter().map(|one| &one.prediction).filter(|one| one.short);
    short.filter(|one| is_in_use(one.used)).map(|one| one.connections_max).min()
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
    use brink_results::schema::End;
    use std::cell::Cell;

    fn short(connections_max: u64, used: Option<u64>) -> Forecast {
        let prediction = Prediction {
            limit: "cgroup.pids.max",
            connections_max,
            value: 300,
            used,
            needed: 400,
            short: true,
            fix: None,
            lasting: None,
        };
        let one = Reckoned { end: End::Target, prediction, basis: Basis::Counted };
        Forecast { all: vec![one], ..Forecast::default() }
    }

    /// What comes of it, how often it was looked again, and how long it took.
    fn waited(first: Forecast, later: impl Fn(u64) -> Forecast) -> (Forecast, u64, Duration) {
        let (began, looks, passed) = (Instant::now(), Cell::new(0), Cell::new(Duration::ZERO));
        let again = || {
            looks.set(looks.get() + 1);
            later(looks.get())
        };
        let last = wait_by(
            first,
            &Stop::new(),
            again,
            || began + passed.get(),
            |time| passed.set(passed.get() + time),
        );
        (last, looks.get(), passed.get())
    }

    #[test]
    fn what_comes_free_is_waited_for() {
        let eases = |look| if look < 9 { short(100 + look, Some(200 - look)) } else { Forecast::default() };
        let (last, looks, _) = waited(short(100, Some(200)), eases);
        assert_eq!((last, looks), (Forecast::default(), 9));
    }

    #[test]
    fn what_stays_short_is_short_after_a_moment() {
        let (last, _, passed) = waited(short(100, Some(200)), |_| short(100, Some(200)));
        assert_eq!((last, passed), (short(100, Some(200)), STILL));
        let (last, _, passed) = waited(short(100, Some(200)), |look| short(100 - look % 2, Some(200)));
        assert!(carried(&last).is_some() && passed == STILL, "to and fro is not more and more");
    }

    #[test]
    fn it_ends_however_much_comes_free() {
        let (last, _, passed) = waited(short(100, Some(200)), |look| short(100 + look, Some(200)));
        assert!(carried(&last).is_some() && passed == WITHIN);
    }

    #[test]
    fn of_what_nothing_is_in_use_nothing_comes_free() {
        for used in [None, Some(0)] {
            let (last, looks, _) = waited(short(100, used), |_| Forecast::default());
            assert_eq!((last, looks), (short(100, used), 0));
        }
        assert_eq!(waited(Forecast::default(), |_| short(1, Some(1))).1, 0);
    }
}

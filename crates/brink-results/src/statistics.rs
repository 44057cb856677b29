//! Medians of repeated runs, with 95% intervals, and ratios of two such medians.
//!
//! Method. The interval of a median is a percentile bootstrap over the runs (Efron and Tibshirani, An Introduction
//! to the Bootstrap, 1993, ch. 13). With few runs that is too narrow: it covers the median of three runs in 75% of
//! cases, not in 95%. So half its width is stretched by sqrt(n / (n - 1)) * t / z, the correction of Hesterberg (What Teachers Should Know about the Bootstrap, The American Statistician 69, 2015, sections 3.2 and 4.4), t being
//! Student's with as many degrees of freedom as the runs leave, and laid about the median on both sides alike: of
//! normal values that covers 95.0% with three runs and more than that with more (a test draws them). Two runs have
//! their mean for a median: there it is Student's own interval. What each run knows of its own uncertainty (the
//! interval of a slope, the width of a histogram's bucket) is added in quadrature, by the standard error of a median of
//! normal values, 1.2533 s / sqrt(n).
//!
//! A ratio has the standard errors of both sides in quadrature, on logarithms, stretched by Student's t with the degrees of
//! freedom that Welch reckons for two samples that may scatter unlike (The generalization of "Student's" problem, Biometrika
//! 34, 1947): of normal values that are the same three runs of each are told apart in 4%, also in 6% where one side
//! scatters ten times as much, and mostly by less than the threshold of `compare`. With two runs on a side that errs in up to 11%; there both
//! intervals are added in quadrature, which errs in 6% at most.
//!
//! Pure and repeatable: resamples are enumerated where they are few, else drawn from a fixed seed.
//! Must not know what was measured: `measures` does.

use crate::slope::{Z_975, t_975};

/// All resamples of this many runs are enumerated: 5^5 are 3,125.
const ENUMERATED_MAX: usize = 5;
/// Resamples drawn where there are more runs.
const RESAMPLES: usize = 10_000;
/// Any will do, as long as it stays: the same files give the same answer.
const SEED: u64 = 0x62_72_69_6e_6b;
/// Standard error of a median of normal values over that of their mean: sqrt(pi / 2).
const MEDIAN_OVER_MEAN: f64 = 1.253_314;

/// Fewer runs on a side do not tell how they scatter well enough for Welch's degrees of freedom.
const WELCH_MIN: usize = 3;

/// What one run measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The value.
    pub value: f64,
    /// Half of its own 95% interval, as far as one run can tell; 0 where it cannot.
    pub half: f64,
}

/// On what scale values scatter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// By factors: times and rates, which are above zero. Reckoned on logarithms.
    Ratio,
    /// By amounts: slopes, which may reach zero and below.
    Amount,
}

/// A figure over the repeats of a case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The median.
    pub value: f64,
    /// Its 95% interval; `None` where a single run does not tell one.
    pub interval: Option<[f64; 2]>,
    /// Runs.
    pub count: usize,
}

impl Estimate {
    /// Whether both intervals are known and do not touch.
    #[must_use]
    pub fn is_apart(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (self.interval, other.interval) else { return false };
        own[1] < others[0] || others[1] < own[0]
    }
}

/// The middle value; the mean of the two middle ones where their number is even. `None` without values.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    middle(&sorted)
}

/// The median of all runs, with its interval. `None` without runs, and for values that are not finite or, on
/// [`Scale::Ratio`], not above zero.
#[must_use]
pub fn estimate(runs: &[Observation], scale: Scale) -> Option<Estimate> {
    let runs = scaled(runs, scale)?;
    let value = median(&values(&runs))?;
    let count = runs.len();
    let interval = match runs.as_slice() {
        [one] if one.half <= 0.0 => None,
        [one] => Some([value - one.half, value + one.half]),
        several => Some([value - half(several), value + half(several)]),
    };
    let back = |value: f64| if scale == Scale::Ratio { value.exp() } else { value };
    finite(Estimate { value: back(value), interval: interval.map(|ends| ends.map(back)), count })
}

/// Figures of a file that nothing has measured may be too large to reckon with.
fn finite(estimate: Estimate) -> Option<Estimate> {
    let interval = estimate.interval.filter(|ends| ends.iter().all(|end| end.is_finite()));
    estimate.value.is_finite().then_some(Estimate { interval, ..estimate })
}

/// The median of `of` over the median of `to`, with its interval where both were repeated. `None` unless all values
/// are above zero.
#[must_use]
pub fn ratio(of: &[Observation], to: &[Observation]) -> Option<Estimate> {
    let (of, to) = (scaled(of, Scale::Ratio)?, scaled(to, Scale::Ratio)?);
    let value = median(&values(&of))? - median(&values(&to))?;
    let count = of.len().min(to.len());
    let interval = (count > 1).then(|| {
        let half = half_of_both(&of, &to);
        [(value - half).exp(), (value + half).exp()]
    });
    finite(Estimate { value: value.exp(), interval, count })
}

fn scaled(runs: &[Observation], scale: Scale) -> Option<Vec<Observation>> {
    let of = |run: &Observation| match scale {
        Scale::Amount => run.value.is_finite().then_some(*run),
        Scale::Ratio => (run.value.is_finite() && run.value > 0.0)
            .then(|| Observation { value: run.value.ln(), half: run.half / run.value }),
    };
    runs.iter().map(of).collect()
}

fn values(runs: &[Observation]) -> Vec<f64> {
    runs.iter().map(|run| run.value).collect()
}

/// Half the interval of the median of two runs or more.
fn half(runs: &[Observation]) -> f64 {
    (t_975(runs.len() - 1) * standard_error(runs)).hypot(own_half(runs))
}

/// Half the interval of the difference of two such medians: see the module.
fn half_of_both(one: &[Observation], other: &[Observation]) -> f64 {
    if one.len().min(other.len()) < WELCH_MIN {
        return half(one).hypot(half(other));
    }
    let (a, b) = (standard_error(one), standard_error(other));
    let share = |error: f64, runs: &[Observation]| error.powi(4) / (runs.len() as f64 - 1.0);
    let degrees = (a * a + b * b).powi(2) / (share(a, one) + share(b, other));
    // Without any scatter there is nothing to stretch.
    let between = if degrees.is_finite() { t_975_between(degrees) * a.hypot(b) } else { 0.0 };
    between.hypot(own_half(one)).hypot(own_half(other))
}

/// Of degrees of freedom that need not be whole: between the nearest whole ones, by their inverse.
fn t_975_between(degrees: f64) -> f64 {
    let below = degrees.max(1.0).floor();
    let share = (below.recip() - degrees.max(1.0).recip()) / (below.recip() - (below + 1.0).recip());
    let (low, high) = (t_975(below as usize), t_975(below as usize + 1));
    low + (high - low) * share
}

/// The standard error of the median of two runs or more, few runs being made up for: see the module.
fn standard_error(runs: &[Observation]) -> f64 {
    let half = half_width(&mut medians(&values(runs)));
    match runs.len() {
        // Half the distance of two values is the standard error of their mean.
        2 => half,
        count => (count as f64 / (count as f64 - 1.0)).sqrt() * half / Z_975,
    }
}

/// Half the interval that the median has from what each run knows of itself.
fn own_half(runs: &[Observation]) -> f64 {
    let n = runs.len() as f64;
    let square = runs.iter().map(|run| run.half * run.half).sum::<f64>() / n;
    let of_median = if runs.len() > 2 { MEDIAN_OVER_MEAN } else { 1.0 };
    of_median * square.sqrt() / n.sqrt()
}

/// The medians of resamples with replacement.
fn medians(values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut indices = vec![0; n];
    let mut of = |pick: &mut dyn FnMut(usize) -> usize| {
        indices.iter_mut().enumerate().for_each(|(place, index)| *index = pick(place));
        indices.sort_unstable();
        let at = |place: usize| sorted[indices[place]];
        if n % 2 == 1 { at(n / 2) } else { f64::midpoint(at(n / 2 - 1), at(n / 2)) }
    };
    if n <= ENUMERATED_MAX {
        let digit = |number: usize, place: usize| number / n.pow(place as u32) % n;
        (0..n.pow(n as u32)).map(|number| of(&mut |place| digit(number, place))).collect()
    } else {
        let mut random = fastrand::Rng::with_seed(SEED);
        (0..RESAMPLES).map(|_| of(&mut |_| random.usize(..n))).collect()
    }
}

/// Half the distance of the 2.5% and the 97.5% quantile: the values beyond which no more than that lies.
fn half_width(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let beyond = (values.len() as f64 * 0.025).floor() as usize;
    (values[values.len() - 1 - beyond] - values[beyond]) / 2.0
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let n = sorted.len();
    let upper = sorted.get(n / 2)?;
    Some(if n % 2 == 1 { *upper } else { f64::midpoint(sorted[n / 2 - 1], *upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: &[f64]) -> Vec<Observation> {
        values.iter().map(|&value| Observation { value, half: 0.0 }).collect()
    }

    fn interval(values: &[f64], scale: Scale) -> [f64; 2] {
        estimate(&runs(values), scale).unwrap().interval.unwrap()
    }

    #[test]
    fn middles() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn three_runs_by_hand() {
        // 7 of 27 resamples have the least one as their median, so the quantiles are the ends; the stretch is
        // sqrt(3 / 2) * 4.303 / 1.960 = 2.689, and half the width 1.5.
        let [low, high] = interval(&[9.0, 10.0, 12.0], Scale::Amount);
        assert!((low - (10.0 - 1.5 * 2.689)).abs() < 0.001, "{low}");
        assert!((high - (10.0 + 1.5 * 2.689)).abs() < 0.001, "{high}");
    }

    #[test]
    fn two_runs_have_the_interval_of_their_mean() {
        // Student's t with one degree of freedom is 12.706, the standard error half the distance: 1.
        assert_eq!(interval(&[9.0, 11.0], Scale::Amount), [10.0 - 12.706, 10.0 + 12.706]);
    }

    #[test]
    fn what_is_too_large_to_reckon_with_has_no_interval() {
        let huge = runs(&[1e308, 1e-308, 1e-308]);
        assert_eq!(estimate(&huge, Scale::Ratio).unwrap().interval, None);
        assert_eq!(ratio(&runs(&[1e308]), &runs(&[1e-308])), None);
    }

    #[test]
    fn what_scatters_by_factors_stays_above_zero() {
        let [low, high] = interval(&[1.0, 10.0, 100.0], Scale::Ratio);
        assert!(low > 0.0 && (low * high / 100.0 - 1.0).abs() < 1e-9, "{low} {high}");
        assert_eq!(estimate(&runs(&[1.0, 0.0]), Scale::Ratio), None);
        assert_eq!(estimate(&[], Scale::Ratio), None);
    }

    #[test]
    fn one_run_knows_no_more_than_itself() {
        assert_eq!(estimate(&runs(&[5.0]), Scale::Ratio).unwrap().interval, None);
        let own = estimate(&[Observation { value: -5.0, half: 2.0 }], Scale::Amount).unwrap();
        assert_eq!(own.interval, Some([-7.0, -3.0]));
    }

    #[test]
    fn what_each_run_knows_of_itself_is_not_lost() {
        let alike = [Observation { value: 5.0, half: 1.0 }; 4];
        let [low, high] = estimate(&alike, Scale::Amount).unwrap().interval.unwrap();
        assert!(
            (high - 5.0 - MEDIAN_OVER_MEAN / 2.0).abs() < 1e-9 && (high - 5.0 - (5.0 - low)).abs() < 1e-9
        );
    }

    #[test]
    fn ratios_need_two_runs_of_each() {
        let ten = runs(&[99.0, 100.0, 101.0]);
        assert_eq!(ratio(&runs(&[5.0]), &ten).unwrap().interval, None);
        let same = ratio(&ten, &ten).unwrap();
        let [low, high] = same.interval.unwrap();
        assert!(same.value == 1.0 && low < 1.0 && high > 1.0 && high < 1.05, "{low} {high}");
        let more = ratio(&runs(&[109.0, 110.0, 111.0]), &ten).unwrap();
        assert!((more.value - 1.1).abs() < 1e-9 && more.interval.unwrap()[0] > 1.05);
    }

    /// Normal values by Box and Muller.
    fn normal(random: &mut fastrand::Rng) -> f64 {
        (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
    }

    #[test]
    fn intervals_cover_as_often_as_they_say() {
        let mut random = fastrand::Rng::with_seed(7);
        for (n, draws) in [(2, 4000), (3, 1000), (5, 400), (8, 100)] {
            let mut covered = 0;
            for _ in 0..draws {
                let values: Vec<f64> = (0..n).map(|_| 100.0 + 2.0 * normal(&mut random)).collect();
                let [low, high] = interval(&values, Scale::Ratio);
                covered += i32::from((low..=high).contains(&100.0));
            }
            // Three standard deviations below 95%, at most.
            let chance = 3.0 * (0.95 * 0.05 * f64::from(draws)).sqrt();
            assert!(f64::from(covered) >= 0.95 * f64::from(draws) - chance, "{covered} of {draws}, {n} runs");
        }
    }

    /// A quiet baseline, and a candidate on a machine that is not: the noisy side alone sets the interval.
    #[test]
    fn what_scatters_ten_times_as_much_is_no_difference() {
        let mut random = fastrand::Rng::with_seed(9);
        for (noisy, quiet) in [(2, 3), (3, 3), (3, 5)] {
            let mut wrong = 0;
            for _ in 0..400 {
                let mut draw = |n: usize, scatter: f64| -> Vec<Observation> {
                    runs(&(0..n).map(|_| 100.0 * (scatter * normal(&mut random)).exp()).collect::<Vec<f64>>())
                };
                let [low, high] = ratio(&draw(noisy, 0.06), &draw(quiet, 0.006)).unwrap().interval.unwrap();
                wrong += i32::from(!(low..=high).contains(&1.0));
            }
            // 20 are the bargain, with a standard deviation of 4.4.
            assert!(wrong <= 33, "{wrong} of 400, {noisy} runs against {quiet}");
        }
    }

    #[test]
    fn what_is_alike_is_rarely_called_apart_and_a_tenth_is_found() {
        let mut random = fastrand::Rng::with_seed(8);
        let mut draw = |mean: f64| -> Vec<Observation> {
            runs(&(0..3).map(|_| mean * (1.0 + 0.015 * normal(&mut random))).collect::<Vec<f64>>())
        };
        let apart = |a: &[Observation], b: &[Observation]| {
            let [low, high] = ratio(a, b).unwrap().interval.unwrap();
            !(low..=high).contains(&1.0)
        };
        let (mut wrong, mut found) = (0, 0);
        for _ in 0..100 {
            wrong += i32::from(apart(&draw(100.0), &draw(100.0)));
            found += i32::from(apart(&draw(90.0), &draw(100.0)));
        }
        assert!(wrong <= 6 && found >= 95, "{wrong} wrong, {found} found of 100");
    }
}

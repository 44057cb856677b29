//! Statistics of a series over time: where its warm-up ends, whether it has a trend, how much it scatters.
//!
//! Sources.
//! - Warm-up: MSER, the point from which the standard error of the mean of the rest is least, over means of batches:
//!   White, Cobb and Spratt, A Comparison of Five Steady-State Truncation Heuristics for Simulation, Proc. Winter
//!   Simulation Conference 2000; with the rule that a point in the second half tells nothing: Hoad, Robinson and Davies,
//!   Automating Warm-up Length Estimation, J. Operational Research Society 61 (2010).
//! - Trend: Mann, Nonparametric Tests Against Trend, Econometrica 13 (1945); Kendall, Rank Correlation Methods (1975),
//!   with its variance for ties; corrected for autocorrelation by Hamed and Rao, A Modified Mann-Kendall Trend Test for
//!   Autocorrelated Data, J. Hydrology 204 (1998). Its size: Sen, Estimates of the Regression Coefficient Based on
//!   Kendall's Tau, J. American Statistical Association 63 (1968).
//! - Scatter: the coefficient of variation of batch means (Law, Simulation Modeling and Analysis, 5th ed., 2015, ch. 9.5).
//!
//! Pure arithmetic. Must not know what is counted, nor what is too much: `verdict` does.

use crate::slope::Z_975;
use crate::statistics::median;

/// Fewest values that the normal approximation of Mann and Kendall's test is used for (Kendall 1975, ch. 4).
pub const VALUES_MIN: usize = 10;
/// Most values in a batch of MSER-5.
const BATCH_MAX: usize = 5;
/// Batches that are left at least where values are joined to batches.
const BATCHES_MIN: usize = 20;

/// The beginning of a series that MSER cuts off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUp {
    /// How many values.
    pub values: usize,
    /// Their mean.
    pub mean: f64,
    /// The mean of the rest.
    pub mean_after: f64,
    /// How many standard errors these two are apart.
    pub errors_apart: f64,
}

/// Where the warm-up of a series ends: MSER-5, with smaller batches where five would leave few of them.
/// `None` where nothing is to be cut, with fewer than [`VALUES_MIN`] values, and where the point is so late that it
/// tells nothing.
#[must_use]
pub fn warm_up(values: &[f64]) -> Option<WarmUp> {
    if values.len() < VALUES_MIN {
        return None;
    }
    let size = (values.len() / BATCHES_MIN).clamp(1, BATCH_MAX);
    let batches: Vec<f64> = values.chunks_exact(size).map(mean).collect();
    let n = batches.len();
    // Near its end a series is short enough to have little spread by chance: only the first half is looked through.
    let cut = (0..=n / 2).min_by(|&a, &b| mser(&batches[a..]).total_cmp(&mser(&batches[b..])))?;
    if cut == 0 || cut == n / 2 {
        return None;
    }
    let (before, after) = batches.split_at(cut);
    let error = (variance(after) * (1.0 / cut as f64 + 1.0 / after.len() as f64)).sqrt();
    let apart = (mean(before) - mean(after)).abs();
    let errors_apart = if apart > 0.0 { apart / error } else { 0.0 };
    Some(WarmUp { values: cut * size, mean: mean(before), mean_after: mean(after), errors_apart })
}

/// The squared standard error of a mean, as if values were independent.
fn mser(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = mean(values);
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n * n)
}

/// A monotonic trend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Mann and Kendall's statistic, standard normal where there is no trend: above zero where values rise.
    pub z: f64,
    /// Sen's slope, from one value to the next.
    pub slope: f64,
}

/// Mann and Kendall's test with the correction for autocorrelation, which is only let make it more careful.
/// `None` with fewer than [`VALUES_MIN`] values.
#[must_use]
pub fn trend(values: &[f64]) -> Option<Trend> {
    let n = values.len();
    if n < VALUES_MIN {
        return None;
    }
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    let mut s = 0.0;
    for (i, early) in values.iter().enumerate() {
        for (gap, late) in (1_usize..).zip(&values[i + 1..]) {
            slopes.push((late - early) / gap as f64);
            s += sign(late - early);
        }
    }
    let slope = median(&slopes)?;
    let rest: Vec<f64> = values.iter().enumerate().map(|(i, v)| v - slope * i as f64).collect();
    let variance = variance_of_s(values) * inflation(&ranks(&rest));
    let z = if variance > 0.0 { (s - sign(s)) / variance.sqrt() } else { 0.0 };
    Some(Trend { z, slope })
}

/// 0 for equal values, where `signum` has a sign.
fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}

/// Of independent values, groups of equal ones taken off.
fn variance_of_s(values: &[f64]) -> f64 {
    let of = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(|same| of(same.len() as f64)).sum();
    (of(values.len() as f64) - ties) / 18.0
}

/// How much larger the variance is for autocorrelation: Hamed and Rao's n / n*, over the lags whose
/// correlation of ranks is significant, as far as it is so from the first one on: what comes after, and what is below
/// zero, is mostly the detrending's doing, and would only make the test bolder.
fn inflation(ranks: &[f64]) -> f64 {
    let n = ranks.len() as f64;
    let mean = mean(ranks);
    let square: f64 = ranks.iter().map(|r| (r - mean).powi(2)).sum();
    if square <= 0.0 {
        return 1.0;
    }
    let correlation = |lag: usize| {
        let pairs = ranks.iter().zip(&ranks[lag..]);
        pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / square
    };
    let term = |lag: usize| {
        let left = n - lag as f64;
        left * (left - 1.0) * (left - 2.0) * correlation(lag)
    };
    let significant = |lag: &usize| correlation(*lag) > Z_975 / n.sqrt();
    let sum: f64 = (1..ranks.len()).take_while(significant).map(term).sum();
    1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * sum
}

/// From 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let (mut below, mut same) = (0.0, 0.0);
        for other in values {
            below += f64::from(u8::from(other < value));
            same += f64::from(u8::from(other == value));
        }
        below + f64::midpoint(same, 1.0)
    };
    values.iter().map(rank).collect()
}

/// Standard deviation over mean; `None` with fewer than two values, and for a mean that is not above zero.
#[must_use]
pub fn variation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    (values.len() > 1 && mean > 0.0).then(|| variance(values).sqrt() / mean)
}

/// What the variance of so many values may be above its true value by chance, as a factor, in all but one of a
/// thousand cases: chi-square over its degrees of freedom, by Wilson and Hilferty, Proc. National Academy of Sciences 17
/// (1931).
#[must_use]
pub fn variance_chance(values: usize) -> f64 {
    const Z_999: f64 = 3.090_232;
    let part = 2.0 / (9.0 * (values as f64 - 1.0).max(1.0));
    (1.0 - part + Z_999 * part.sqrt()).powi(3)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Normal values by Box and Muller.
    fn noise(random: &mut fastrand::Rng) -> f64 {
        (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
    }

    #[test]
    fn mann_and_kendall_by_hand() {
        // 1..=10 rising: S = 45, variance 10 * 9 * 25 / 18 = 125, z = 44 / sqrt(125).
        let rising: Vec<f64> = (1..=10).map(f64::from).collect();
        let found = trend(&rising).unwrap();
        assert!((found.z - 44.0 / 125.0_f64.sqrt()).abs() < 1e-12 && found.slope == 1.0, "{found:?}");
        let falling: Vec<f64> = rising.iter().rev().copied().collect();
        assert_eq!(trend(&falling).unwrap().z, -found.z);
        assert_eq!(trend(&[5.0; 12]), Some(Trend { z: 0.0, slope: 0.0 }));
        assert_eq!(trend(&rising[..9]), None, "too few");
        // Two groups of five equal values: 125 - 2 * 5 * 4 * 15 / 18.
        let tied = [[1.0; 5], [2.0; 5]].concat();
        assert!((variance_of_s(&tied) - (125.0 - 600.0 / 18.0)).abs() < 1e-9);
        assert_eq!(ranks(&[3.0, 1.0, 3.0]), [2.5, 1.0, 2.5]);
    }

    #[test]
    fn what_hangs_together_is_taken_for_a_trend_less_often_with_the_correction() {
        let mut random = fastrand::Rng::with_seed(11);
        let (mut plain, mut corrected) = (0, 0);
        for _ in 0..300 {
            let mut last = 0.0;
            let mut next = || {
                last = 0.6 * last + noise(&mut random);
                last
            };
            let values: Vec<f64> = (0..40).map(|_| next()).collect();
            let z = trend(&values).unwrap().z;
            let slope = trend(&values).unwrap().slope;
            let rest: Vec<f64> = values.iter().enumerate().map(|(i, v)| v - slope * i as f64).collect();
            corrected += i32::from(z.abs() > Z_975);
            plain += i32::from(z.abs() * inflation(&ranks(&rest)).sqrt() > Z_975);
        }
        assert!(plain > 60, "{plain} of 300 where 15 are the bargain");
        assert!(corrected < plain * 3 / 5, "{corrected} of 300, {plain} without the correction");
    }

    #[test]
    fn noise_has_a_trend_as_often_as_the_test_says() {
        let mut random = fastrand::Rng::with_seed(12);
        let mut found = 0;
        for _ in 0..1000 {
            let values: Vec<f64> = (0..15).map(|_| noise(&mut random)).collect();
            found += i32::from(trend(&values).unwrap().z.abs() > Z_975);
        }
        // 50 are expected, with a standard deviation of 7; the correction makes it fewer.
        assert!((20..=71).contains(&found), "{found} of 1,000");
    }

    #[test]
    fn a_warm_up_is_cut_where_it_ends() {
        let mut random = fastrand::Rng::with_seed(13);
        let mut curve = |n: usize, at: f64| -> Vec<f64> {
            (0..n).map(|i| 100.0 * (1.0 - 0.8 * (-(i as f64) / at).exp()) + noise(&mut random)).collect()
        };
        let short = warm_up(&curve(15, 1.0)).unwrap();
        assert!(
            (2..=6).contains(&short.values) && short.mean < 85.0 && short.errors_apart > 5.0,
            "{short:?}"
        );
        let long = warm_up(&curve(200, 10.0)).unwrap();
        assert!(long.values.is_multiple_of(5) && (20..=60).contains(&long.values), "{long:?}");
        assert_eq!(warm_up(&[1.0; 20]), None);
        assert_eq!(warm_up(&curve(9, 1.0)), None, "too few");
        let late: Vec<f64> = (0..20).map(|i| if i < 15 { 50.0 } else { 100.0 + f64::from(i % 2) }).collect();
        assert_eq!(warm_up(&late), None, "a point in the second half tells nothing");
    }

    #[test]
    fn scatter() {
        assert_eq!(variation(&[1.0]), None);
        assert_eq!(variation(&[0.0, 0.0]), None);
        assert!((variation(&[9.0, 11.0]).unwrap() - 2.0_f64.sqrt() / 10.0).abs() < 1e-12);
        // The 0.999 quantile of chi-square with 14 degrees of freedom is 36.12.
        assert!((variance_chance(15) - 36.12 / 14.0).abs() < 0.02, "{}", variance_chance(15));
    }
}

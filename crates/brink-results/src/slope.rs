//! A straight line through points by ordinary least squares, with the interval of its slope.
//!
//! Pure arithmetic. Must not know what the points are: `memory` does.

use crate::schema::Slope;

/// 0.975 quantiles of Student's t for 1 to 30 degrees of freedom: NIST/SEMATECH
/// e-Handbook of Statistical Methods, table 1.3.6.7.2, column 0.975.
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// 0.975 quantile of the normal distribution.
pub(crate) const Z_975: f64 = 1.959_963_985;
/// A line through two points has no residual, so no interval.
pub const POINTS_MIN: usize = 3;

/// Fits `y = a + slope * x` to points `(x, y)` and gives the slope with its 95%
/// confidence interval by Student's t with n - 2 degrees of freedom.
///
/// `None` for fewer than [`POINTS_MIN`] points, for points that all have the same `x`, and for a
/// figure that is not finite: the caller knows which, and says so. `r2` of points that all have the
/// same `y` is 1, since the line passes through them exactly.
#[must_use]
pub fn fit(points: &[(f64, f64)]) -> Option<Slope> {
    let n = points.len() as f64;
    if points.len() < POINTS_MIN {
        return None;
    }
    let x_mean = points.iter().map(|p| p.0).sum::<f64>() / n;
    let y_mean = points.iter().map(|p| p.1).sum::<f64>() / n;
    let sum = |term: &dyn Fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|&(x, y)| term(x - x_mean, y - y_mean)).sum()
    };
    let (sxx, sxy, syy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    if sxx <= 0.0 {
        return None;
    }
    let slope = sxy / sxx;
    // Summed from the residuals themselves: syy - slope * sxy loses all digits on a good fit.
    let residual = sum(&|x, y| (y - slope * x).powi(2));
    let half = t_975(points.len() - 2) * (residual / (n - 2.0) / sxx).sqrt();
    let r2 = if syy > 0.0 { 1.0 - residual / syy } else { 1.0 };
    let fitted =
        Slope { slope, ci95: [slope - half, slope + half], r2, points: u32::try_from(points.len()).ok()? };
    [slope, half, r2].iter().all(|v| v.is_finite()).then_some(fitted)
}

/// The 0.975 quantile of Student's t: from the table up to 30 degrees of freedom, from there by the
/// expansion 26.7.5 of Abramowitz and Stegun to its second term, which is off by less than 0.0001.
pub(crate) fn t_975(degrees: usize) -> f64 {
    if let Some(&t) = degrees.checked_sub(1).and_then(|i| T_975.get(i)) {
        return t;
    }
    let (n, z) = (degrees as f64, Z_975);
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    z + first / n + second / (n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, within: f64) {
        assert!((a - b).abs() <= within, "{a} is not {b}");
    }

    #[test]
    fn matches_a_fit_done_by_hand() {
        // x mean 3, y mean 4.2; sxx 10, sxy 8, syy 6.8; slope 0.8; residual 0.4; s^2 = 0.4/3;
        // standard error sqrt(0.13333/10) = 0.115470; times 3.182 = 0.367426; r2 = 1 - 0.4/6.8.
        let line = fit(&[(1.0, 3.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0), (5.0, 6.0)]).unwrap();
        near(line.slope, 0.8, 1e-12);
        near(line.ci95[0], 0.8 - 0.367_426, 1e-5);
        near(line.ci95[1], 0.8 + 0.367_426, 1e-5);
        near(line.r2, 1.0 - 0.4 / 6.8, 1e-12);
        assert_eq!(line.points, 5);
    }

    #[test]
    fn an_exact_line_has_no_width() {
        let line = fit(&[(10.0, 1e9 + 10.0), (100.0, 1e9 + 100.0), (10_000.0, 1e9 + 10_000.0)]).unwrap();
        near(line.slope, 1.0, 1e-9);
        near(line.ci95[1] - line.ci95[0], 0.0, 1e-6);
        assert_eq!(fit(&[(1.0, 5.0), (2.0, 5.0), (3.0, 5.0)]).unwrap().r2, 1.0);
    }

    #[test]
    fn is_silent_where_no_line_can_be_drawn() {
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&[(1.0, 1.0), (2.0, 2.0)]), None);
        assert_eq!(fit(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(fit(&[(1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0)]), None);
    }

    #[test]
    fn quantiles_join_where_the_table_ends() {
        near(t_975(1), 12.706, 0.0);
        near(t_975(31), 2.0395, 1e-3); // NIST: 2.040
        near(t_975(100), 1.984, 1e-3);
        near(t_975(1_000_000), Z_975, 1e-5);
    }
}

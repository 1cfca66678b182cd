//! Means over repeated trainings with their uncertainty: Student's t, and its correction for cross-validation.

use serde::{Deserialize, Serialize};

/// The probability with which an interval holds the mean.
pub const CONFIDENCE: f64 = 0.95;

/// A mean over repetitions. A single repetition has neither deviation nor interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the repetitions, with n − 1 in the denominator.
    pub deviation: Option<f64>,
    /// Half the width of the interval of [`CONFIDENCE`] around the mean.
    pub half_width: Option<f64>,
    /// The values themselves, in the order of the repetitions.
    pub values: Vec<f64>,
}

/// How repetitions depend on each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Repetition {
    /// Each is drawn by itself, as with other seeds.
    Independent,
    /// Folds of a cross-validation, which share most of their training rows: the variance of the mean is
    /// `s² (1/n + test/train)` and not `s²/n` (Nadeau & Bengio 2003, equation 14).
    Folds {
        /// Test rows per training row.
        test_per_train: f64,
    },
}

impl Summary {
    /// Summarises values; `None` without any.
    pub fn of(values: Vec<f64>, repetition: Repetition) -> Option<Self> {
        let count = values.len();
        let mean = mean(&values)?;
        let deviation = (count > 1).then(|| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            (squares / (count as f64 - 1.0)).sqrt()
        });
        let share = 1.0 / count as f64;
        let share = match repetition {
            Repetition::Independent => share,
            Repetition::Folds { test_per_train } => share + test_per_train,
        };
        let half_width = deviation.map(|deviation| t_quantile(count as f64 - 1.0) * deviation * share.sqrt());
        Some(Self { mean, deviation, half_width, values })
    }

    /// The ends of the interval.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.half_width.map(|half| (self.mean - half, self.mean + half))
    }
}

/// The mean; `None` without a value.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Ranks from 1 for the best; equal values share the mean of their ranks. A missing value has no rank.
pub fn ranks(values: &[Option<f64>], higher_is_better: bool) -> Vec<Option<f64>> {
    let sign = if higher_is_better { -1.0 } else { 1.0 };
    let keys: Vec<Option<f64>> = values.iter().map(|value| value.map(|value| sign * value)).collect();
    let rank = |own: &Option<f64>| {
        let own = (*own)?;
        let below = keys.iter().flatten().filter(|other| **other < own).count();
        let equal = keys.iter().flatten().filter(|other| **other == own).count();
        Some(below as f64 + f64::midpoint(equal as f64, 1.0))
    };
    keys.iter().map(rank).collect()
}

/// The number that a variable of Student's distribution stays below in size with probability [`CONFIDENCE`].
pub fn t_quantile(degrees: f64) -> f64 {
    let outside = 1.0 - CONFIDENCE;
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    while two_tails(high, degrees) > outside && high < 1e6 {
        high *= 2.0;
    }
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if two_tails(middle, degrees) > outside { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// `P(|T| > t) = I_x(ν/2, 1/2)` with `x = ν / (ν + t²)`.
fn two_tails(t: f64, degrees: f64) -> f64 {
    regularised_beta(degrees / (degrees + t * t), degrees / 2.0, 0.5)
}

/// The regularised incomplete beta function, by its continued fraction (Press et al., Numerical Recipes, 6.4).
fn regularised_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

/// Lentz's method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..300 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// Lanczos' approximation, for positive arguments.
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 6] = [
        76.180_091_729_471_46,
        -86.505_320_329_416_77,
        24.014_098_240_830_91,
        -1.231_739_572_450_155,
        0.120_865_097_386_617_9e-2,
        -0.539_523_938_495_3e-5,
    ];
    let base = x + 5.5;
    let series = COEFFICIENTS.iter().zip(1..).map(|(c, i)| c / (x + f64::from(i))).sum::<f64>();
    (x + 0.5) * base.ln() - base + (2.506_628_274_631_000_5 * (1.000_000_000_190_015 + series) / x).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_students_distribution_are_those_of_the_tables() {
        for (degrees, quantile) in [
            (1.0, 12.706_205),
            (2.0, 4.302_653),
            (4.0, 2.776_445),
            (9.0, 2.262_157),
            (30.0, 2.042_272),
            (1e4, 1.960_201),
        ] {
            assert!(
                (t_quantile(degrees) - quantile).abs() < 2e-6 * quantile,
                "{degrees}: {}",
                t_quantile(degrees)
            );
        }
    }

    #[test]
    fn intervals_of_seeds_and_of_folds() {
        let values = vec![1.0, 2.0, 3.0, 4.0];
        let seeds = Summary::of(values.clone(), Repetition::Independent).unwrap();
        let deviation = (5.0_f64 / 3.0).sqrt();
        assert!((seeds.deviation.unwrap() - deviation).abs() < 1e-12);
        assert!((seeds.half_width.unwrap() - 3.182_446 * deviation / 2.0).abs() < 1e-5);
        assert_eq!(seeds.interval().map(|(low, high)| low + high), Some(5.0));
        let folds = Summary::of(values, Repetition::Folds { test_per_train: 0.25 }).unwrap();
        assert!((folds.half_width.unwrap() - 3.182_446 * deviation * 0.5_f64.sqrt()).abs() < 1e-5);
        let single = Summary::of(vec![0.5], Repetition::Independent).unwrap();
        assert_eq!((single.deviation, single.interval()), (None, None));
        assert_eq!(Summary::of(Vec::new(), Repetition::Independent), None);
    }

    #[test]
    fn equal_values_share_their_ranks() {
        let values = [Some(0.9), None, Some(0.8), Some(0.9)];
        assert_eq!(ranks(&values, true), [Some(1.5), None, Some(3.0), Some(1.5)]);
        assert_eq!(ranks(&values, false), [Some(2.5), None, Some(1.0), Some(2.5)]);
    }
}

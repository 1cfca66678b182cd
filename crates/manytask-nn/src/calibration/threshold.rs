//! From probabilities to decisions.

use serde::{Deserialize, Serialize};

use super::Point;
use crate::{Error, Result};

/// What a decision is to be best by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Decision {
    /// The likeliest answer: a probability above a half, or the likeliest class.
    Likeliest,
    /// Yes above the threshold with the largest F1 of yes.
    F1,
    /// Yes above the threshold with the largest mean of the shares of right answers of yes and of no.
    BalancedAccuracy,
    /// Yes above the threshold with the lowest mean cost.
    Cost {
        /// What a yes costs that should be a no, at least 0.
        false_positive: f64,
        /// What a no costs that should be a yes, at least 0.
        false_negative: f64,
    },
}

impl Decision {
    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Likeliest => "likeliest",
            Self::F1 => "f1",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::Cost { .. } => "cost",
        }
    }

    /// Refuses costs out of range.
    ///
    /// # Errors
    /// With the cost and its range.
    pub fn check(self) -> Result<()> {
        let Self::Cost { false_positive, false_negative } = self else { return Ok(()) };
        for (key, cost) in [("false_positive", false_positive), ("false_negative", false_negative)] {
            if !(cost.is_finite() && cost >= 0.0) {
                return Err(Error::setting(["cost", key], &cost, "a cost is a finite number of at least 0"));
            }
        }
        if false_positive + false_negative <= 0.0 {
            return Err(Error::setting("cost", &0.0, "one of the two costs must be above 0"));
        }
        Ok(())
    }

    /// The threshold that is best on labels of yes and no: yes at a probability of at least so much. It lies half-way between two
    /// probabilities that occur; of equally good ones it is the nearest to a half. `None` with labels of one kind alone, where
    /// nothing can be chosen. In `O(N log N)`.
    ///
    /// `probabilities`, `labels` (NaN where missing) and `weights` are one for each row.
    pub fn threshold(self, probabilities: &[f64], labels: &[f64], weights: Option<&[f64]>) -> Option<f64> {
        let weight =
            |row: usize| weights.map_or(1.0, |weights| weights.get(row).copied().unwrap_or_default());
        let all = probabilities.iter().zip(labels).enumerate();
        let points = all.map(|(row, (x, y))| Point { x: *x, y: *y, w: weight(row) });
        let mut points: Vec<Point> = points.filter(|point| !point.y.is_nan() && point.w > 0.0).collect();
        let total = |yes: bool| -> f64 {
            points.iter().filter(|point| (point.y > 0.5) == yes).map(|point| point.w).sum()
        };
        let (positives, negatives) = (total(true), total(false));
        if positives <= 0.0 || negatives <= 0.0 {
            return None;
        }
        if self == Self::Likeliest {
            return Some(0.5);
        }
        points.sort_by(|a, b| b.x.total_cmp(&a.x));
        let (mut hits, mut alarms) = (0.0, 0.0);
        let mut best = (self.score(0.0, 0.0, positives, negatives), above(&points));
        for (row, point) in points.iter().enumerate() {
            if point.y > 0.5 {
                hits += point.w;
            } else {
                alarms += point.w;
            }
            let next = points.get(row + 1).map(|next| next.x);
            if next == Some(point.x) {
                continue;
            }
            let threshold = next.map_or(point.x / 2.0, |next| f64::midpoint(point.x, next));
            let score = self.score(hits, alarms, positives, negatives);
            let nearer = (threshold - 0.5).abs() < (best.1 - 0.5).abs();
            if score > best.0 + 1e-12 || (score > best.0 - 1e-12 && nearer) {
                best = (score, threshold);
            }
        }
        Some(best.1)
    }

    fn score(self, hits: f64, alarms: f64, positives: f64, negatives: f64) -> f64 {
        match self {
            Self::Likeliest => 0.0,
            Self::F1 => 2.0 * hits / (hits + alarms + positives),
            Self::BalancedAccuracy => f64::midpoint(hits / positives, 1.0 - alarms / negatives),
            Self::Cost { false_positive, false_negative } => {
                let cost = false_positive * alarms + false_negative * (positives - hits);
                -cost / (positives + negatives)
            }
        }
    }
}

/// A threshold above all probabilities, where no row is a yes.
fn above(points: &[Point]) -> f64 {
    points.first().map_or(1.0, |point| f64::midpoint(point.x, 1.0 + f64::EPSILON))
}

/// The first of the likeliest classes.
pub fn likeliest(probabilities: &[f64]) -> usize {
    crate::metrics::argmax(probabilities)
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: [f64; 7] = [0.9, 0.8, 0.6, 0.6, 0.3, 0.2, 0.1];
    const Y: [f64; 7] = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0];

    /// The best score over all cuts, tried one by one.
    fn tried(decision: Decision, threshold: f64) -> (f64, f64) {
        let at = |threshold: f64| {
            let yes = |row: usize| P[row] >= threshold;
            let count = |y: f64| (0..7).filter(|row| yes(*row) && Y[*row] == y).count() as f64;
            decision.score(count(1.0), count(0.0), 4.0, 3.0)
        };
        let cuts = (0..=100).map(|cut| at(f64::from(cut) / 100.0 + 0.005));
        (at(threshold), cuts.fold(f64::NEG_INFINITY, f64::max))
    }

    #[test]
    fn a_threshold_is_the_best_of_all() {
        for decision in [
            Decision::F1,
            Decision::BalancedAccuracy,
            Decision::Cost { false_positive: 1.0, false_negative: 5.0 },
            Decision::Cost { false_positive: 5.0, false_negative: 1.0 },
        ] {
            let threshold = decision.threshold(&P, &Y, None).unwrap();
            let (own, best) = tried(decision, threshold);
            assert!((own - best).abs() < 1e-12, "{decision:?} {threshold}: {own} {best}");
        }
        assert_eq!(Decision::Likeliest.threshold(&P, &Y, None), Some(0.5));
    }

    #[test]
    fn weights_count_and_missing_labels_do_not() {
        let cost = Decision::Cost { false_positive: 1.0, false_negative: 1.0 };
        let p = [0.7, 0.4];
        assert!(cost.threshold(&p, &[0.0, 1.0], Some(&[1.0, 3.0])).unwrap() < 0.4, "the yes is three rows");
        assert!(cost.threshold(&p, &[0.0, 1.0], Some(&[3.0, 1.0])).unwrap() > 0.7);
        assert_eq!(cost.threshold(&p, &[f64::NAN, 1.0], None), None, "labels of one kind");
    }

    #[test]
    fn costs_are_checked() {
        let of = |false_positive, false_negative| Decision::Cost { false_positive, false_negative }.check();
        assert!(of(1.0, 5.0).is_ok() && of(0.0, 1.0).is_ok());
        assert!(of(-1.0, 5.0).is_err() && of(0.0, 0.0).is_err() && of(f64::NAN, 1.0).is_err());
    }
}

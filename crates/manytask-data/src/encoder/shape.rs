//! What becomes of a number beside being shifted and divided.

use manytask_tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::Result;

/// The most quantiles that a column keeps.
const MOST: usize = 1000;
/// Training numbers for each of them, at least, where there are enough for ten.
const ROWS: usize = 30;
/// How near to 0 and 1 a share can come: a normal score of ±5.2.
const EDGE: f64 = 1e-7;

/// A function of a number that was fitted on the training split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Shape {
    /// To a normal distribution: the score of each of some values, linear between them.
    Quantile {
        /// Ascending, none twice.
        values: Vec<f64>,
        /// As many.
        scores: Vec<f64>,
    },
    /// To one number for each bin (Gorishniy et al. 2022, arXiv:2203.05556, equation 1): 1 where the number is above the bin, 0
    /// where it is below, and the share of the bin that is below it within.
    Piecewise {
        /// The bins' edges, ascending, none twice.
        edges: Vec<f64>,
    },
}

impl Shape {
    /// By the quantiles of numbers, which are sorted: a value that stands for several quantiles has their mean share. `Φ⁻¹` of
    /// the share is its score.
    ///
    /// # Errors
    /// When memory runs out.
    pub(super) fn quantile(sorted: &[f64]) -> Result<Self> {
        let count = (sorted.len() / ROWS).clamp(10, MOST);
        let mut shares: Vec<(f64, f64, f64)> = Vec::new();
        for (share, value) in quantiles(sorted, count) {
            match shares.last_mut() {
                Some((last, sum, times)) if *last == value => {
                    *sum += share;
                    *times += 1.0;
                }
                _ => shares.push((value, share, 1.0)),
            }
        }
        let bounded: Vec<f64> =
            shares.iter().map(|(_, sum, times)| (sum / times).clamp(EDGE, 1.0 - EDGE)).collect();
        let scores = Vec::try_from(Tensor::f_from_slice(&bounded)?.f_special_ndtri()?)?;
        Ok(Self::Quantile { values: shares.into_iter().map(|(value, ..)| value).collect(), scores })
    }

    /// Bins between the quantiles of numbers, which are sorted: at most so many, fewer where quantiles are equal.
    pub(super) fn piecewise(sorted: &[f64], bins: usize) -> Self {
        let mut edges: Vec<f64> = quantiles(sorted, bins.saturating_add(1)).map(|(_, value)| value).collect();
        edges.dedup();
        Self::Piecewise { edges }
    }

    /// How many numbers it gives.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Quantile { .. } => 1,
            Self::Piecewise { edges } => edges.len().saturating_sub(1).max(1),
        }
    }

    /// Appends what it gives for a number; of one outside the training range, what it gives for its bound.
    pub(super) fn write(&self, number: f64, out: &mut Vec<f32>) {
        match self {
            Self::Quantile { values, scores } => out.push(interpolated(values, scores, number) as f32),
            Self::Piecewise { edges } if edges.len() < 2 => out.push(0.0),
            Self::Piecewise { edges } => {
                let bins = edges.iter().zip(edges.iter().skip(1));
                out.extend(bins.map(|(low, high)| ((number - low) / (high - low)).clamp(0.0, 1.0) as f32));
            }
        }
    }

    /// The lower edge of each bin, where it has bins.
    pub(super) fn bins(&self) -> Option<&[f64]> {
        match self {
            Self::Quantile { .. } => None,
            Self::Piecewise { edges } => edges.get(..self.width()),
        }
    }
}

/// The quantiles of sorted numbers at so many shares from 0 to 1, linear between two numbers.
pub(super) fn quantiles(sorted: &[f64], count: usize) -> impl Iterator<Item = (f64, f64)> {
    let last = count.max(2) - 1;
    (0..=last).map(move |j| {
        let share = j as f64 / last as f64;
        let at = share * sorted.len().saturating_sub(1) as f64;
        let below = sorted.get(at.floor() as usize).copied().unwrap_or_default();
        let above = sorted.get(at.ceil() as usize).copied().unwrap_or(below);
        // Equal neighbours give exactly their value.
        let value = if below == above { below } else { below + (above - below) * (at - at.floor()) };
        (share, value)
    })
}

/// The ordinate at `x` of the broken line through points with these abscissas, ascending; that of the nearest end outside.
fn interpolated(values: &[f64], scores: &[f64], x: f64) -> f64 {
    let above = values.partition_point(|value| *value < x);
    let at = |index: usize| values.get(index).copied().zip(scores.get(index).copied());
    match (above.checked_sub(1).and_then(at), at(above)) {
        (Some((low, from)), Some((high, to))) => from + (to - from) * ((x - low) / (high - low)),
        (Some((_, end)), None) | (None, Some((_, end))) => end,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(shape: &Shape, number: f64) -> Vec<f32> {
        let mut out = Vec::new();
        shape.write(number, &mut out);
        out
    }

    #[test]
    fn quantiles_become_normal_whatever_the_distribution() {
        let sorted: Vec<f64> = (0..30_000).map(|i| (f64::from(i) / 3000.0).exp()).collect();
        let shape = Shape::quantile(&sorted).unwrap();
        let score = |share: f64| f64::from(written(&shape, sorted[(share * 29_999.0) as usize])[0]);
        // The quantiles of the normal distribution.
        for (share, expected) in [(0.5, 0.0), (0.841_344_7, 1.0), (0.022_750_1, -2.0), (0.998_650_1, 3.0)] {
            assert!((score(share) - expected).abs() < 0.02, "{share}: {}", score(share));
        }
        assert_eq!(written(&shape, -1e300), written(&shape, sorted[0]));
        assert_eq!(written(&shape, 1e300), written(&shape, sorted[29_999]));
        let all: Vec<f32> = sorted.iter().flat_map(|x| written(&shape, *x)).collect();
        assert!(all.is_sorted(), "it keeps the order");
    }

    #[test]
    fn a_value_that_most_rows_have_is_the_middle_of_its_quantiles() {
        let mut sorted = vec![0.0; 900];
        sorted.extend((1..=100).map(f64::from));
        let shape = Shape::quantile(&sorted).unwrap();
        let zero = written(&shape, 0.0)[0];
        // Φ⁻¹ of about 0.45.
        assert!((-0.2..-0.05).contains(&zero), "{zero}");
        assert!(written(&shape, 1.0)[0] > zero && written(&shape, 100.0)[0] > 5.0);
    }

    #[test]
    fn bins_are_full_below_a_number_and_empty_above() {
        let sorted: Vec<f64> = [0.0, 1.0, 2.0, 4.0, 8.0].to_vec();
        let shape = Shape::piecewise(&sorted, 4);
        assert_eq!(shape, Shape::Piecewise { edges: sorted });
        assert_eq!(written(&shape, 3.0), [1.0, 1.0, 0.5, 0.0]);
        assert_eq!(written(&shape, -5.0), [0.0; 4]);
        assert_eq!(written(&shape, 50.0), [1.0; 4]);
        let few = Shape::piecewise(&[0.0, 0.0, 0.0, 0.0, 7.0], 4);
        assert_eq!((few.width(), written(&few, 7.0)), (1, vec![1.0]), "equal quantiles are one edge");
        let constant = Shape::piecewise(&[3.0, 3.0], 4);
        assert_eq!((constant.width(), written(&constant, 5.0)), (1, vec![0.0]));
    }
}

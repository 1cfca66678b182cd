//! Sets and intervals that hold the truth as often as asked for.

use serde::{Deserialize, Serialize};

use super::Labelled;
use crate::metrics::Output;

/// A split conformal predictor (Papadopoulos et al. 2002): on rows drawn as those that it was fitted on, its sets hold the truth with
/// at least the probability that was asked for, whatever the network, and as long as those rows chose nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Conformal {
    /// The probability that was asked for.
    pub coverage: f64,
    /// The largest score of a value that is in the set.
    pub quantile: f64,
}

/// How strange the label of a regression's row is: `|y − ŷ|`, where there is one.
pub fn interval_scores(prediction: &[f64], target: &[f64]) -> Vec<f64> {
    let score = |(x, y): (&f64, &f64)| (y - x).abs();
    prediction.iter().zip(target).map(score).filter(|score| score.is_finite()).collect()
}

/// The same of classes, or of yes and no: `1 − p` with the probability p of the truth (Sadinle et al. 2019), where there is one.
///
/// `probabilities` of a row are of all classes; of a binary output that of yes.
pub fn set_scores(rows: &Labelled<'_>, probabilities: &[f64]) -> Vec<f64> {
    let score = |(row, own): (usize, &[f64])| {
        let label = rows.target.get(row).copied().filter(|label| !label.is_nan())?;
        let truth = match (rows.output, own) {
            (Output::Binary, [yes]) => {
                if label > 0.5 {
                    *yes
                } else {
                    1.0 - yes
                }
            }
            (Output::Multiclass, _) => own.get(label as usize).copied()?,
            _ => return None,
        };
        Some(1.0 - truth)
    };
    probabilities
        .chunks(rows.columns.max(1))
        .enumerate()
        .filter_map(score)
        .filter(|s| s.is_finite())
        .collect()
}

impl Conformal {
    /// The `⌈(n + 1) coverage⌉`-th smallest of n scores; `None` where there are too few for so large a coverage.
    pub fn fit(coverage: f64, mut scores: Vec<f64>) -> Option<Self> {
        scores.sort_by(f64::total_cmp);
        // Of 9 rows and 0.9 it is the ninth, whatever the rounding of their product.
        let rank = ((scores.len() + 1) as f64 * coverage - 1e-9).ceil() as usize;
        let quantile = *scores.get(rank.max(1) - 1)?;
        Some(Self { coverage, quantile })
    }

    /// How many rows a coverage takes at least.
    pub fn least_rows(coverage: f64) -> usize {
        (coverage / (1.0 - coverage) - 1e-9).ceil().max(1.0) as usize
    }

    /// The interval around a prediction of a value.
    pub fn interval(self, prediction: f64) -> (f64, f64) {
        (prediction - self.quantile, prediction + self.quantile)
    }

    /// The classes of a row's set, by number; of a binary output no is 0 and yes 1. The likeliest is always in it, so that no set is
    /// empty: where more answers are right than were asked for, sets hold the truth more often than that.
    pub fn set(self, output: Output, probabilities: &[f64]) -> Vec<usize> {
        let classes = match (output, probabilities) {
            (Output::Binary, [yes]) => vec![1.0 - yes, *yes],
            _ => probabilities.to_vec(),
        };
        let best = super::likeliest(&classes);
        let inside = |(class, p): (usize, &f64)| (class == best || 1.0 - p <= self.quantile).then_some(class);
        classes.iter().enumerate().filter_map(inside).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_is_that_of_one_more_row() {
        let fit = |rows: u32, coverage| {
            Conformal::fit(coverage, (1..=rows).rev().map(f64::from).collect()).map(|fitted| fitted.quantile)
        };
        // ⌈10 · 0.9⌉ = 9, ⌈20 · 0.9⌉ = 18, ⌈11 · 0.5⌉ = 6.
        assert_eq!((fit(9, 0.9), fit(19, 0.9), fit(10, 0.5)), (Some(9.0), Some(18.0), Some(6.0)));
        assert_eq!(fit(8, 0.9), None, "of 8 rows none is the 9th");
        assert_eq!((Conformal::least_rows(0.9), Conformal::least_rows(0.5)), (9, 1));
    }

    #[test]
    fn sets_hold_the_truth_as_often_as_asked_for() {
        // Every row is left out once: the share of them that is covered is the guarantee's mean.
        let scores: Vec<f64> = (0..50_u32).map(|i| f64::from((i * 29) % 50) / 50.0).collect();
        let covered = (0..50).filter(|out| {
            let others = scores.iter().enumerate().filter(|(i, _)| i != out).map(|(_, score)| *score);
            Conformal::fit(0.8, others.collect()).is_some_and(|fitted| scores[*out] <= fitted.quantile)
        });
        let share = covered.count() as f64 / 50.0;
        assert!((0.8..=0.82).contains(&share), "{share}");
    }

    #[test]
    fn sets_of_classes_have_all_that_are_likely_enough() {
        let fitted = Conformal { coverage: 0.9, quantile: 0.7 };
        assert_eq!(fitted.set(Output::Multiclass, &[0.5, 0.31, 0.19]), [0, 1]);
        assert_eq!(fitted.set(Output::Binary, &[0.2]), [0]);
        assert_eq!(fitted.set(Output::Binary, &[0.4]), [0, 1]);
        assert_eq!(
            Conformal { coverage: 0.5, quantile: 0.1 }.set(Output::Binary, &[0.7]),
            [1],
            "no set is empty"
        );
        assert_eq!(fitted.interval(2.0), (1.3, 2.7));
        let rows = Labelled {
            output: Output::Binary,
            columns: 1,
            logits: &[],
            target: &[1.0, 0.0, f64::NAN],
            weight: None,
        };
        assert_eq!(set_scores(&rows, &[0.75, 0.25, 0.5]), [0.25, 0.25]);
    }
}

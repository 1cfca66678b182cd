//! Calibrated probabilities, thresholds of decisions, and conformal sets and intervals.
//!
//! All are fitted on predictions for rows that the network was not trained on, a validation split, and hold as far as new rows are
//! drawn as those were.

mod conformal;
mod isotonic;
mod temperature;
mod threshold;

use serde::{Deserialize, Serialize};

pub use self::conformal::{Conformal, interval_scores, set_scores};
pub use self::isotonic::Isotonic;
pub use self::threshold::{Decision, likeliest};
use crate::metrics::Output;

/// How probabilities are calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// All logits of a task are divided by one number, which makes the likelihood of the labels largest (Guo et al. 2017). It keeps
    /// the order of rows, and classes; a label of several has a number of its own.
    Temperature,
    /// The step function without a descent that is nearest to the labels (Zadrozny & Elkan 2002), for each class against the rest.
    /// It wants hundreds of rows.
    Isotonic,
}

/// Logits of rows with their labels.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// What the logits mean: not [`Output::Regression`].
    pub output: Output,
    /// Logits in a row: 1 of a binary output, else one for each class or label.
    pub columns: usize,
    /// All logits, row by row.
    pub logits: &'a [f64],
    /// 0 or 1 for each logit, or the number of the class for each row; NaN where it is missing.
    pub target: &'a [f64],
    /// How much each row counts; without it rows count alike.
    pub weight: Option<&'a [f64]>,
}

/// Fitted probabilities of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibrator {
    /// What logits are divided by: one number, or one for each label.
    Temperature(Vec<f64>),
    /// A function for each class or label, of its probability.
    Isotonic(Vec<Isotonic>),
}

/// One probability or logit with a label of yes and no.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) w: f64,
}

impl Labelled<'_> {
    fn weight(&self, row: usize) -> f64 {
        self.weight.map_or(1.0, |weight| weight.get(row).copied().unwrap_or_default())
    }

    fn rows(&self) -> impl Iterator<Item = (usize, &[f64])> {
        self.logits.chunks(self.columns.max(1)).enumerate()
    }

    /// A label of yes and no, or a class against the rest, with a number of each row.
    fn points(&self, column: usize, value: impl Fn(&[f64]) -> Option<f64>) -> Vec<Point> {
        let point = |(row, logits): (usize, &[f64])| {
            let y = if self.output == Output::Multiclass {
                let class = self.target.get(row).filter(|class| !class.is_nan())?;
                f64::from(u8::from(*class == column as f64))
            } else {
                let label = self.target.get(row * self.columns + column).filter(|label| !label.is_nan())?;
                f64::from(u8::from(*label > 0.5))
            };
            let (x, w) = (value(logits)?, self.weight(row));
            (x.is_finite() && w > 0.0).then_some(Point { x, y, w })
        };
        self.rows().filter_map(point).collect()
    }
}

impl Calibrator {
    /// Fits the probabilities of a task. `None` where all labels are of one class, or none are there: then nothing can be fitted. A
    /// class or label of which that is so stays as it is.
    pub fn fit(how: Calibration, rows: &Labelled<'_>) -> Option<Self> {
        let columns = 0..rows.columns;
        match (how, rows.output) {
            (_, Output::Regression) => None,
            (Calibration::Temperature, Output::Multiclass) => {
                temperature::of_classes(rows).map(|temperature| Self::Temperature(vec![temperature]))
            }
            (Calibration::Temperature, _) => {
                let logit = |column: usize| move |logits: &[f64]| logits.get(column).copied();
                let fit = |column| temperature::of_labels(&rows.points(column, logit(column)));
                let fitted: Vec<Option<f64>> = columns.map(fit).collect();
                let any = fitted.iter().any(Option::is_some);
                any.then(|| Self::Temperature(fitted.into_iter().map(|own| own.unwrap_or(1.0)).collect()))
            }
            (Calibration::Isotonic, output) => {
                let fit = |column: usize| {
                    let value = |logits: &[f64]| plain(output, logits).get(column).copied();
                    Isotonic::fit(&rows.points(column, value))
                };
                let fitted: Vec<Option<Isotonic>> = columns.map(fit).collect();
                let any = fitted.iter().any(Option::is_some);
                any.then(|| Self::Isotonic(fitted.into_iter().map(Option::unwrap_or_default).collect()))
            }
        }
    }

    /// The probabilities of one row's logits.
    pub fn probabilities(&self, output: Output, logits: &[f64]) -> Vec<f64> {
        match self {
            Self::Temperature(temperatures) => {
                let of =
                    |column: usize| temperatures.get(column).or(temperatures.first()).copied().unwrap_or(1.0);
                let divided: Vec<f64> =
                    logits.iter().enumerate().map(|(column, logit)| logit / of(column)).collect();
                plain(output, &divided)
            }
            Self::Isotonic(functions) => {
                let raw = plain(output, logits);
                let of = |(p, function): (&f64, &Isotonic)| function.at(*p);
                let fitted: Vec<f64> = raw.iter().zip(functions).map(of).collect();
                let sum: f64 = fitted.iter().sum();
                match output {
                    // One against the rest: they need not sum to 1.
                    Output::Multiclass if sum > 0.0 => fitted.iter().map(|p| p / sum).collect(),
                    // No class is known of such a row.
                    Output::Multiclass => raw,
                    _ => fitted,
                }
            }
        }
    }
}

/// The probabilities that logits mean without calibration.
pub fn plain(output: Output, logits: &[f64]) -> Vec<f64> {
    match output {
        Output::Multiclass => crate::metrics::softmax(logits),
        _ => logits.iter().map(|logit| crate::metrics::sigmoid(*logit)).collect(),
    }
}

/// The logits whose [`plain`] probabilities are these; probabilities of 0 and 1 are finite ones of ±34.
pub fn logits_of(output: Output, probabilities: &[f64]) -> Vec<f64> {
    const LEAST: f64 = 1e-15;
    let kept = |p: &f64| p.clamp(LEAST, 1.0 - LEAST);
    match output {
        Output::Multiclass => probabilities.iter().map(|p| kept(p).ln()).collect(),
        _ => probabilities.iter().map(|p| (kept(p) / (1.0 - kept(p))).ln()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary<'a>(logits: &'a [f64], target: &'a [f64]) -> Labelled<'a> {
        Labelled { output: Output::Binary, columns: 1, logits, target, weight: None }
    }

    #[test]
    fn a_calibrator_of_labels_leaves_the_missing_out() {
        let (logits, target) = ([3.0, 3.0, 3.0, 3.0, -9.0], [1.0, 1.0, 1.0, 0.0, f64::NAN]);
        for how in [Calibration::Temperature, Calibration::Isotonic] {
            let fitted = Calibrator::fit(how, &binary(&logits, &target)).unwrap();
            let p = fitted.probabilities(Output::Binary, &[3.0])[0];
            assert!((p - 0.75).abs() < 1e-6, "{how:?}: {p}, the share of yes");
        }
        let single = binary(&logits[..3], &target[..3]);
        assert_eq!(Calibrator::fit(Calibration::Temperature, &single), None, "one class says nothing");
        assert_eq!(Calibrator::fit(Calibration::Isotonic, &single), None);
    }

    #[test]
    fn classes_of_isotonic_functions_sum_to_one() {
        let logits = [2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.5, 1.0, 0.9, 0.0];
        let target = [0.0, 1.0, 2.0, 1.0];
        let rows = Labelled {
            output: Output::Multiclass,
            columns: 3,
            logits: &logits,
            target: &target,
            weight: None,
        };
        let fitted = Calibrator::fit(Calibration::Isotonic, &rows).unwrap();
        for row in logits.chunks(3) {
            let p = fitted.probabilities(Output::Multiclass, row);
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12 && p.len() == 3, "{p:?}");
        }
    }

    #[test]
    fn logits_of_probabilities_give_these() {
        for (output, p) in [(Output::Binary, vec![0.3]), (Output::Multiclass, vec![0.2, 0.5, 0.3])] {
            let back = plain(output, &logits_of(output, &p));
            assert!(back.iter().zip(&p).all(|(a, b)| (a - b).abs() < 1e-12), "{back:?} {p:?}");
        }
        assert!(logits_of(Output::Binary, &[0.0, 1.0]).iter().all(|logit| logit.is_finite()));
    }
}

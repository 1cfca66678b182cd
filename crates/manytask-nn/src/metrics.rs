//! Metrics by which predictions are judged, equal to scikit-learn's.

mod classes;
mod directions;
mod kinds;
mod ranking;
mod regression;

use manytask_tensor::{Device, Kind, Tensor};
use serde::{Deserialize, Serialize};

pub(crate) use self::classes::{argmax, softmax};
pub use self::kinds::{METRICS, Metric};
use crate::loss::MISSING_CLASS;
use crate::{Error, Result};

/// What a head's numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Values.
    Regression,
    /// One logit.
    Binary,
    /// A logit for each class, of which one is true.
    Multiclass,
    /// A logit for each label, each true or not.
    Multilabel,
}

impl Output {
    /// What predicts it, in words: `regression`, `binary`, `multiclass` or `multilabel`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Binary => "binary",
            Self::Multiclass => "multiclass",
            Self::Multilabel => "multilabel",
        }
    }
}

impl Metric {
    /// The metric; `None` where it is undefined: without a label, or of one class alone where it takes two.
    ///
    /// `prediction` are values or logits `[N]`, `[N, D]`, or `[N, C]` for classes; `target` as a
    /// [`Loss`](crate::loss::Loss) takes it; `weight` `[N]` says how much each row counts. Several outputs or labels are
    /// averaged over those that have the metric.
    ///
    /// # Errors
    /// When shapes do not fit, or the metric is not for this output.
    pub fn evaluate(
        self,
        output: Output,
        prediction: &Tensor,
        target: &Tensor,
        weight: Option<&Tensor>,
    ) -> Result<Option<f64>> {
        self.evaluate_against(output, prediction, target, weight, None)
    }

    /// The same, with the mean of the labels of the training split, which [`Metric::RelativeRmse`] compares with; without one that is
    /// the mean of `target`.
    ///
    /// # Errors
    /// As [`Metric::evaluate`].
    pub fn evaluate_against(
        self,
        output: Output,
        prediction: &Tensor,
        target: &Tensor,
        weight: Option<&Tensor>,
        train_mean: Option<f64>,
    ) -> Result<Option<f64>> {
        if !self.fits(output) {
            return Err(Error::setting(
                "metric",
                &self.name(),
                format!("it is not for {} outputs", output.name()),
            ));
        }
        let rows = prediction.size().first().copied().unwrap_or_default();
        let columns = if rows == 0 { 1 } else { prediction.numel() as i64 / rows };
        let expected = if output == Output::Multiclass { rows } else { rows * columns };
        let wrong_weight = weight.is_some_and(|weight| weight.numel() as i64 != rows);
        if target.numel() as i64 != expected || target.size().first() != Some(&rows) || wrong_weight {
            return Err(Error::Input {
                layer: "metric".into(),
                expected: format!("predictions that fit labels {:?}", target.size()),
                found: prediction.size(),
            });
        }
        let prediction = numbers(prediction)?;
        let weight = weight.map(numbers).transpose()?.unwrap_or_else(|| vec![1.0; rows as usize]);
        if output == Output::Multiclass {
            let target = Vec::<i64>::try_from(target.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
            return Ok(self.of_classes(&prediction, &target, &weight, columns as usize));
        }
        let target = numbers(target)?;
        let columns = columns as usize;
        if self.is_of_directions() {
            return Ok(directions::metric(self, &prediction, &target, &weight, columns));
        }
        let rows_of = |column: usize| -> Vec<Row> {
            let rows = (0..rows as usize).filter_map(|row| {
                let at = row * columns + column;
                let (x, y) = (*prediction.get(at)?, *target.get(at)?);
                let w = *weight.get(row)?;
                (!y.is_nan() && w > 0.0).then_some(Row { x, y, w })
            });
            rows.collect()
        };
        if output == Output::Multilabel && self.pools_labels() {
            let rows: Vec<Row> = (0..columns).flat_map(rows_of).collect();
            return Ok(classes::of_pooled_labels(self, &decisions(&rows)));
        }
        Ok(mean((0..columns).filter_map(|column| {
            let rows = rows_of(column);
            match output {
                Output::Regression => regression::metric(self, &rows, train_mean),
                // Over labels already, of which each is the positive class.
                Output::Multilabel if self == Self::MacroF1 => Self::F1.of_labels(&rows),
                _ => self.of_labels(&rows),
            }
        })))
    }

    /// Of one label that is true (above 0.5) or not, by logits.
    fn of_labels(self, rows: &[Row]) -> Option<f64> {
        if rows.is_empty() {
            return None;
        }
        match self {
            Self::RocAuc => ranking::roc_auc(rows),
            Self::AveragePrecision => ranking::average_precision(rows),
            Self::LogLoss => classes::binary_log_loss(rows),
            Self::CalibrationError => {
                let points = rows.iter().map(|row| {
                    let p = sigmoid(row.x);
                    (p.max(1.0 - p), (row.x > 0.0) == (row.y > 0.5), row.w)
                });
                classes::calibration_error(points)
            }
            Self::BrierScore => classes::binary_brier_score(rows),
            _ => classes::of_decisions(self, &decisions(rows), 2),
        }
    }

    fn of_classes(self, logits: &[f64], target: &[i64], weight: &[f64], classes: usize) -> Option<f64> {
        let rows: Vec<(&[f64], usize, f64)> = logits
            .chunks(classes.max(1))
            .zip(target)
            .zip(weight)
            .filter(|((_, y), w)| **y != MISSING_CLASS && **y >= 0 && (**y as usize) < classes && **w > 0.0)
            .map(|((logits, y), w)| (logits, *y as usize, *w))
            .collect();
        if rows.is_empty() {
            return None;
        }
        match self {
            Self::RocAuc | Self::AveragePrecision => {
                let of_class = |class: usize| {
                    let rows: Vec<Row> = rows
                        .iter()
                        .map(|(logits, y, w)| {
                            let x = softmax(logits).get(class).copied().unwrap_or_default();
                            Row { x, y: f64::from(u8::from(*y == class)), w: *w }
                        })
                        .collect();
                    if self == Self::RocAuc {
                        ranking::roc_auc(&rows)
                    } else {
                        ranking::average_precision(&rows)
                    }
                };
                mean((0..classes).filter_map(of_class))
            }
            Self::LogLoss => classes::log_loss(&rows),
            Self::BrierScore => classes::brier_score(&rows),
            Self::TopKAccuracy(k) => classes::top_k_accuracy(&rows, k),
            Self::CalibrationError => classes::calibration_error(rows.iter().map(|(logits, y, w)| {
                let best = argmax(logits);
                (softmax(logits).get(best).copied().unwrap_or_default(), best == *y, *w)
            })),
            _ => {
                let pairs: Vec<_> = rows.iter().map(|(logits, y, w)| (argmax(logits), *y, *w)).collect();
                classes::of_decisions(self, &pairs, classes)
            }
        }
    }
}

/// One prediction, its label, and how much it counts.
#[derive(Debug, Clone, Copy)]
struct Row {
    x: f64,
    y: f64,
    w: f64,
}

/// (decision, truth, weight) of binary rows, decided at a probability of a half.
fn decisions(rows: &[Row]) -> Vec<(usize, usize, f64)> {
    rows.iter().map(|row| (usize::from(row.x > 0.0), usize::from(row.y > 0.5), row.w)).collect()
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    let flat = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_reshape([-1])?;
    Ok(Vec::<f64>::try_from(flat)?)
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

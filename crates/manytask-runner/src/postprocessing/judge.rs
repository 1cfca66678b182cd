//! How good what was fitted is on rows that it was not fitted on.

use manytask_multitask::TaskOutputs;
use manytask_nn::calibration::{Decision, logits_of};
use manytask_nn::loss::MISSING_CLASS;
use manytask_nn::metrics::{Metric, Output};
use manytask_tensor::Tensor;
use serde::Serialize;

use super::{Fitted, FittedTask};
use crate::failure::Result;
use crate::report::{aligned, number};

/// What was fitted for a task, on other rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Judged {
    task: String,
    /// Metrics without and with what was fitted.
    metrics: Vec<Compared>,
    /// Of the labels of a multilabel target one each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thresholds: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Coverage>,
}

/// A metric without and with what was fitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Compared {
    name: String,
    /// Of the logits as they are, decided at a half.
    plain: Option<f64>,
    /// Of calibrated probabilities, decided at the thresholds.
    fitted: Option<f64>,
}

/// How often sets or intervals hold the truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Coverage {
    asked: f64,
    found: f64,
    /// The rows with a label.
    rows: usize,
    /// The mean width of intervals, or the mean number of classes in a set.
    mean_size: f64,
}

impl Fitted {
    /// Judges all tasks on predictions that nothing was fitted to.
    ///
    /// # Errors
    /// When memory runs out.
    pub(crate) fn judge(&self, outputs: &[TaskOutputs]) -> Result<Vec<Judged>> {
        let known = outputs.iter().filter_map(|outputs| Some((outputs, self.tasks.get(&outputs.name)?)));
        known.map(|(outputs, fitted)| fitted.judge(outputs)).collect()
    }
}

impl FittedTask {
    fn judge(&self, outputs: &TaskOutputs) -> Result<Judged> {
        let probabilities = self.probabilities(outputs);
        let mut metrics = Vec::new();
        if self.calibrator.is_some() {
            let calibrated: Vec<f64> = probabilities
                .chunks(outputs.columns.max(1))
                .flat_map(|row| logits_of(outputs.output, row))
                .collect();
            for metric in [Metric::LogLoss, Metric::CalibrationError] {
                metrics.push(Compared {
                    name: metric.name(),
                    plain: value(metric, outputs, &outputs.prediction)?,
                    fitted: value(metric, outputs, &calibrated)?,
                });
            }
        }
        if let Some(decision) = self.decision {
            metrics.push(self.decided(decision, outputs, &probabilities)?);
        }
        Ok(Judged {
            task: outputs.name.clone(),
            metrics,
            thresholds: self.thresholds.clone(),
            coverage: self.covered(outputs, &probabilities),
        })
    }

    /// What the decisions are best by, at a half and at the thresholds.
    fn decided(&self, decision: Decision, outputs: &TaskOutputs, probabilities: &[f64]) -> Result<Compared> {
        let usual = Self { decision: Some(decision), ..Self::default() };
        let plain = usual.probabilities(outputs);
        if let Decision::Cost { false_positive, false_negative } = decision {
            let costs = (false_positive, false_negative);
            return Ok(Compared {
                name: "cost".into(),
                plain: usual.cost(costs, outputs, &plain),
                fitted: self.cost(costs, outputs, probabilities),
            });
        }
        let metric = match decision {
            Decision::F1 => Metric::F1,
            Decision::BalancedAccuracy => Metric::BalancedAccuracy,
            _ => Metric::Accuracy,
        };
        let logits = |fitted: &Self, probabilities: &[f64]| -> Vec<f64> {
            let rows = probabilities.chunks(outputs.columns.max(1));
            rows.flat_map(|row| {
                let chosen = fitted.decide(outputs.output, row);
                let yes = move |column: usize| match outputs.output {
                    Output::Binary => chosen.first() == Some(&1),
                    _ => chosen.contains(&column),
                };
                (0..outputs.columns).map(move |column| if yes(column) { 1.0 } else { -1.0 })
            })
            .collect()
        };
        Ok(Compared {
            name: metric.name(),
            plain: value(metric, outputs, &logits(&usual, &plain))?,
            fitted: value(metric, outputs, &logits(self, probabilities))?,
        })
    }

    /// The mean cost of the decisions over rows and labels.
    fn cost(&self, costs: (f64, f64), outputs: &TaskOutputs, probabilities: &[f64]) -> Option<f64> {
        let (mut sum, mut total) = (0.0, 0.0);
        let columns = outputs.columns.max(1);
        for (place, (p, label)) in probabilities.iter().zip(&outputs.target).enumerate() {
            let weight =
                outputs.weight.as_ref().map_or(Some(1.0), |weight| weight.get(place / columns).copied())?;
            if label.is_nan() {
                continue;
            }
            let yes = *p >= self.thresholds.get(place % columns).copied().unwrap_or(0.5);
            sum += weight
                * match (yes, *label > 0.5) {
                    (true, false) => costs.0,
                    (false, true) => costs.1,
                    _ => 0.0,
                };
            total += weight;
        }
        (total > 0.0).then(|| sum / total)
    }

    fn covered(&self, outputs: &TaskOutputs, probabilities: &[f64]) -> Option<Coverage> {
        let conformal = self.conformal?;
        let rows = probabilities.chunks(outputs.columns.max(1)).zip(&outputs.target);
        let known: Vec<(bool, f64)> = rows
            .filter(|(_, label)| !label.is_nan())
            .map(|(row, label)| {
                if let (Output::Regression, [value]) = (outputs.output, row) {
                    let (low, high) = conformal.interval(*value);
                    return ((low..=high).contains(label), high - low);
                }
                let set = conformal.set(outputs.output, row);
                (set.contains(&(*label as usize)), set.len() as f64)
            })
            .collect();
        let count = known.len() as f64;
        (count > 0.0).then(|| Coverage {
            asked: conformal.coverage,
            found: known.iter().filter(|(inside, _)| *inside).count() as f64 / count,
            rows: known.len(),
            mean_size: known.iter().map(|(_, size)| size).sum::<f64>() / count,
        })
    }
}

fn value(metric: Metric, outputs: &TaskOutputs, logits: &[f64]) -> Result<Option<f64>> {
    metric_of(metric, outputs, logits, outputs.weight.as_deref())
}

/// A metric of a task for these logits or values and weights of its rows.
///
/// # Errors
/// When the metric is not for the task.
pub(crate) fn metric_of(
    metric: Metric,
    outputs: &TaskOutputs,
    logits: &[f64],
    weight: Option<&[f64]>,
) -> Result<Option<f64>> {
    let rows = (logits.len() / outputs.columns.max(1)) as i64;
    let shape = [rows, outputs.columns as i64];
    let prediction = Tensor::f_from_slice(logits)?;
    let (prediction, target) = match outputs.output {
        Output::Multiclass => {
            let class = |class: &f64| if class.is_nan() { MISSING_CLASS } else { *class as i64 };
            let classes: Vec<i64> = outputs.target.iter().map(class).collect();
            (prediction.f_reshape(shape)?, Tensor::f_from_slice(&classes)?)
        }
        Output::Multilabel => {
            (prediction.f_reshape(shape)?, Tensor::f_from_slice(&outputs.target)?.f_reshape(shape)?)
        }
        _ => (prediction, Tensor::f_from_slice(&outputs.target)?),
    };
    let weight = weight.map(Tensor::f_from_slice).transpose()?;
    Ok(metric.evaluate_against(outputs.output, &prediction, &target, weight.as_ref(), outputs.train_mean)?)
}

/// Lines of a table, of the first tasks where there are many.
pub(crate) fn table(judged: &[Judged]) -> String {
    const ROWS: usize = 48;
    let head = ["task", "metric", "plain", "fitted", "threshold"].map(str::to_owned).to_vec();
    let cell = |value: Option<f64>| value.map_or("-".to_owned(), number);
    let mut rows = vec![head];
    for task in judged {
        for compared in &task.metrics {
            let decides = !["log_loss", "calibration_error"].contains(&compared.name.as_str());
            let threshold = match task.thresholds.as_slice() {
                [one] if decides => number(*one),
                [_, _, ..] if decides => "for each label".into(),
                _ => String::new(),
            };
            rows.push(vec![
                task.task.clone(),
                compared.name.clone(),
                cell(compared.plain),
                cell(compared.fitted),
                threshold,
            ]);
        }
        if let Some(coverage) = &task.coverage {
            rows.push(vec![
                task.task.clone(),
                format!("coverage, asked {}", coverage.asked),
                String::new(),
                number(coverage.found),
                format!("mean size {}", number(coverage.mean_size)),
            ]);
        }
    }
    let more = rows.len().saturating_sub(ROWS + 1);
    rows.truncate(ROWS + 1);
    let rest = if more > 0 { format!("and {more} more lines in results.json\n") } else { String::new() };
    format!("{}{rest}", aligned(&rows))
}

#[cfg(test)]
mod tests {
    use manytask_nn::calibration::Conformal;

    use super::*;

    fn binary() -> TaskOutputs {
        TaskOutputs {
            name: "y".into(),
            output: Output::Binary,
            columns: 1,
            // σ: 0.88, 0.73, 0.38, 0.27.
            prediction: vec![2.0, 1.0, -0.5, -1.0],
            target: vec![1.0, 0.0, 1.0, 0.0],
            weight: None,
            train_mean: None,
        }
    }

    #[test]
    fn decisions_are_judged_by_what_they_are_best_by() {
        let decision = Decision::Cost { false_positive: 1.0, false_negative: 4.0 };
        let fitted = FittedTask { decision: Some(decision), thresholds: vec![0.3], ..FittedTask::default() };
        let judged = fitted.judge(&binary()).unwrap();
        let cost = &judged.metrics[0];
        // At a half a false alarm and a miss, at 0.3 the false alarm alone.
        assert_eq!((cost.plain, cost.fitted), (Some(5.0 / 4.0), Some(1.0 / 4.0)));
        let fitted = FittedTask { decision: Some(Decision::F1), ..fitted };
        let f1 = fitted.judge(&binary()).unwrap().metrics[0].clone();
        assert_eq!(f1.plain, Some(0.5));
        assert!((f1.fitted.unwrap() - 0.8).abs() < 1e-12, "{f1:?}");
        assert!(table(&[fitted.judge(&binary()).unwrap()]).contains("0.8000"));
    }

    #[test]
    fn coverage_is_the_share_of_rows_whose_truth_is_inside() {
        let fitted = FittedTask {
            conformal: Some(Conformal { coverage: 0.75, quantile: 0.7 }),
            ..FittedTask::default()
        };
        let coverage = fitted.judge(&binary()).unwrap().coverage.unwrap();
        // Sets {yes}, {yes}, {no, yes}, {no}: the second row is missed.
        assert_eq!((coverage.found, coverage.rows, coverage.mean_size), (0.75, 4, 1.25));
    }
}

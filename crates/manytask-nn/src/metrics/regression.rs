//! Metrics of values.

use super::{Metric, Row};

/// `train_mean` is the mean of the labels of the training split, where it is known.
pub(super) fn metric(metric: Metric, rows: &[Row], train_mean: Option<f64>) -> Option<f64> {
    let total: f64 = rows.iter().map(|row| row.w).sum();
    if total <= 0.0 {
        return None;
    }
    let mean = |f: &dyn Fn(&Row) -> f64| rows.iter().map(|row| row.w * f(row)).sum::<f64>() / total;
    let squared = mean(&|row| (row.x - row.y).powi(2));
    // Around the mean, in two passes: labels far from zero lose nothing.
    let label = mean(&|row| row.y);
    let variance = mean(&|row| (row.y - label).powi(2));
    match metric {
        Metric::Mse => Some(squared),
        Metric::Rmse => Some(squared.sqrt()),
        Metric::Mae => Some(mean(&|row| (row.x - row.y).abs())),
        Metric::RelativeError => {
            let (sum, weight) =
                rows.iter().filter(|row| row.y != 0.0).fold((0.0, 0.0), |(sum, weight), row| {
                    (sum + row.w * ((row.x - row.y) / row.y).abs(), weight + row.w)
                });
            (weight > 0.0).then(|| sum / weight)
        }
        Metric::RelativeRmse => {
            let reference = train_mean.unwrap_or(label);
            let around = mean(&|row| (row.y - reference).powi(2));
            (around > 0.0).then(|| (squared / around).sqrt())
        }
        Metric::QuantileLoss(q) => Some(mean(&|row| {
            let error = row.y - row.x;
            (q * error).max((q - 1.0) * error)
        })),
        Metric::R2 if rows.len() > 1 && variance > 0.0 => Some(1.0 - squared / variance),
        Metric::ExplainedVariance if rows.len() > 1 && variance > 0.0 => {
            let bias = mean(&|row| row.y - row.x);
            Some(1.0 - mean(&|row| (row.y - row.x - bias).powi(2)) / variance)
        }
        _ => None,
    }
}

//! Metrics of decisions and of probabilities.

use super::{Metric, Row};

/// Of (decision, truth, weight).
pub(super) fn of_decisions(metric: Metric, pairs: &[(usize, usize, f64)], classes: usize) -> Option<f64> {
    // For each class: decided and true, decided, true.
    let mut counts = vec![(0.0, 0.0, 0.0); classes];
    for (decided, truth, weight) in pairs {
        if let Some(count) = counts.get_mut(*decided) {
            count.1 += weight;
            count.0 += if decided == truth { *weight } else { 0.0 };
        }
        if let Some(count) = counts.get_mut(*truth) {
            count.2 += weight;
        }
    }
    let total: f64 = counts.iter().map(|count| count.2).sum();
    let f1 = |(hit, decided, truth): &(f64, f64, f64)| {
        (decided + truth > 0.0).then(|| 2.0 * hit / (decided + truth))
    };
    match metric {
        Metric::Accuracy => Some(counts.iter().map(|count| count.0).sum::<f64>() / total),
        Metric::BalancedAccuracy => {
            super::mean(counts.iter().filter(|count| count.2 > 0.0).map(|count| count.0 / count.2))
        }
        // Neither a positive label nor a positive answer: scikit-learn's 0.
        Metric::F1 if classes == 2 => counts.get(1).map(|count| f1(count).unwrap_or(0.0)),
        Metric::F1 => super::mean(counts.iter().filter_map(f1)),
        _ => None,
    }
}

/// −ln p of the truth, with p kept off 0 and 1 by f64's ε, as scikit-learn.
fn surprise(probability: f64) -> f64 {
    -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

pub(super) fn binary_log_loss(rows: &[Row]) -> Option<f64> {
    let total: f64 = rows.iter().map(|row| row.w).sum();
    let of = |row: &Row| row.w * surprise(super::sigmoid(if row.y > 0.5 { row.x } else { -row.x }));
    (total > 0.0).then(|| rows.iter().map(of).sum::<f64>() / total)
}

pub(super) fn log_loss(rows: &[(&[f64], usize, f64)]) -> Option<f64> {
    let total: f64 = rows.iter().map(|row| row.2).sum();
    let of = |(logits, truth, weight): &(&[f64], usize, f64)| {
        weight * surprise(softmax(logits).get(*truth).copied().unwrap_or_default())
    };
    (total > 0.0).then(|| rows.iter().map(of).sum::<f64>() / total)
}

/// Of (confidence, right, weight).
pub(super) fn calibration_error(points: impl Iterator<Item = (f64, bool, f64)>) -> Option<f64> {
    const BINS: usize = 15;
    let mut bins = [(0.0, 0.0); BINS];
    let mut total = 0.0;
    for (confidence, right, weight) in points {
        // Bins are open below and closed above, as in the paper.
        let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        if let Some((rights, confidences)) = bins.get_mut(bin) {
            *rights += if right { weight } else { 0.0 };
            *confidences += weight * confidence;
        }
        total += weight;
    }
    (total > 0.0).then(|| {
        bins.iter().map(|(rights, confidences): &(f64, f64)| (rights - confidences).abs()).sum::<f64>()
            / total
    })
}

pub(super) fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|x| (x - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

/// The first of the largest.
pub(super) fn argmax(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if values.get(best).is_none_or(|most| value > most) {
            best = i;
        }
    }
    best
}

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
        Metric::F1 | Metric::MacroF1 => super::mean(counts.iter().filter_map(f1)),
        Metric::MeanIou => super::mean(
            counts
                .iter()
                .filter(|(_, decided, truth)| decided + truth > 0.0)
                .map(|(hit, decided, truth)| hit / (decided + truth - hit)),
        ),
        // A wrong answer is a false positive of one class and a false negative of another.
        Metric::MicroF1 => Some(counts.iter().map(|count| count.0).sum::<f64>() / total),
        Metric::HammingLoss => Some(1.0 - counts.iter().map(|count| count.0).sum::<f64>() / total),
        Metric::CohenKappa => kappa(pairs, &counts, |decided, truth| f64::from(u8::from(decided != truth))),
        Metric::QuadraticKappa => {
            kappa(pairs, &counts, |decided, truth| (decided as f64 - truth as f64).powi(2))
        }
        Metric::Matthews => matthews(&counts, total),
        _ => None,
    }
}

/// The same over labels of yes and no that are counted together.
pub(super) fn of_pooled_labels(metric: Metric, pairs: &[(usize, usize, f64)]) -> Option<f64> {
    let sum = |of: &dyn Fn(usize, usize) -> bool| {
        pairs.iter().filter(|(decided, truth, _)| of(*decided, *truth)).map(|pair| pair.2).sum::<f64>()
    };
    let total = sum(&|_, _| true);
    let wrong = sum(&|decided, truth| decided != truth);
    let hits = sum(&|decided, truth| decided == 1 && truth == 1);
    match metric {
        _ if total <= 0.0 => None,
        Metric::HammingLoss => Some(wrong / total),
        // Neither a positive label nor a positive answer: scikit-learn's 0.
        Metric::MicroF1 => Some(if hits + wrong > 0.0 { 2.0 * hits / (2.0 * hits + wrong) } else { 0.0 }),
        _ => None,
    }
}

/// 1 − Σ cost · observed / Σ cost · expected by chance; without a value where chance makes no mistake, with a single class.
fn kappa(
    pairs: &[(usize, usize, f64)],
    counts: &[(f64, f64, f64)],
    cost: impl Fn(usize, usize) -> f64,
) -> Option<f64> {
    let total: f64 = counts.iter().map(|count| count.2).sum();
    let observed: f64 = pairs.iter().map(|(decided, truth, weight)| weight * cost(*decided, *truth)).sum();
    let expected: f64 = counts
        .iter()
        .enumerate()
        .flat_map(|(decided, of)| {
            let cost = &cost;
            counts.iter().enumerate().map(move |(truth, other)| of.1 * other.2 * cost(decided, truth))
        })
        .sum::<f64>()
        / total;
    (expected > 0.0).then(|| 1.0 - observed / expected)
}

/// Without a value where all labels are one class; 0, as scikit-learn's, where all answers are.
fn matthews(counts: &[(f64, f64, f64)], total: f64) -> Option<f64> {
    let sum = |of: &dyn Fn(&(f64, f64, f64)) -> f64| counts.iter().map(of).sum::<f64>();
    let hits = sum(&|count| count.0);
    let covariance = hits * total - sum(&|count| count.1 * count.2);
    let decided = total * total - sum(&|count| count.1 * count.1);
    let truth = total * total - sum(&|count| count.2 * count.2);
    // Of sums of weights only what is beyond rounding counts as a second class.
    let some = |spread: f64| spread > 1e-12 * total * total;
    some(truth).then(|| if some(decided) { covariance / (decided * truth).sqrt() } else { 0.0 })
}

/// The share of rows whose class has one of the k largest logits.
pub(super) fn top_k_accuracy(rows: &[(&[f64], usize, f64)], k: usize) -> Option<f64> {
    let total: f64 = rows.iter().map(|row| row.2).sum();
    let hit = |(logits, truth, weight): &(&[f64], usize, f64)| {
        let own = logits.get(*truth).copied().unwrap_or(f64::NEG_INFINITY);
        let before = |(class, logit): &(usize, &f64)| **logit > own || (**logit == own && class < truth);
        let rank = logits.iter().enumerate().filter(before).count();
        if rank < k { *weight } else { 0.0 }
    };
    (total > 0.0).then(|| rows.iter().map(hit).sum::<f64>() / total)
}

pub(super) fn binary_brier_score(rows: &[Row]) -> Option<f64> {
    let total: f64 = rows.iter().map(|row| row.w).sum();
    let of = |row: &Row| row.w * (super::sigmoid(row.x) - f64::from(u8::from(row.y > 0.5))).powi(2);
    (total > 0.0).then(|| rows.iter().map(of).sum::<f64>() / total)
}

pub(super) fn brier_score(rows: &[(&[f64], usize, f64)]) -> Option<f64> {
    let total: f64 = rows.iter().map(|row| row.2).sum();
    let of = |(logits, truth, weight): &(&[f64], usize, f64)| {
        let squares = softmax(logits)
            .into_iter()
            .enumerate()
            .map(|(class, p)| (p - f64::from(u8::from(class == *truth))).powi(2));
        weight * squares.sum::<f64>()
    };
    (total > 0.0).then(|| rows.iter().map(of).sum::<f64>() / total)
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

pub(crate) fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|x| (x - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

/// The first of the largest.
pub(crate) fn argmax(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if values.get(best).is_none_or(|most| value > most) {
            best = i;
        }
    }
    best
}

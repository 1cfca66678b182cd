//! Metrics of vectors by the angle between what is predicted and what is true.

use super::Metric;

/// Of rows of `columns` numbers each; rows whose label misses a number do not count. Angles are in degrees.
pub(super) fn metric(
    metric: Metric,
    prediction: &[f64],
    target: &[f64],
    weight: &[f64],
    columns: usize,
) -> Option<f64> {
    let rows = prediction.chunks(columns).zip(target.chunks(columns)).zip(weight);
    let mut angles: Vec<(f64, f64)> = rows
        .filter(|((_, truth), weight)| truth.iter().all(|x| !x.is_nan()) && **weight > 0.0)
        .map(|((found, truth), weight)| (angle(found, truth), *weight))
        .collect();
    let total: f64 = angles.iter().map(|(_, weight)| weight).sum();
    if total <= 0.0 {
        return None;
    }
    match metric {
        Metric::MeanAngle => Some(angles.iter().map(|(angle, weight)| angle * weight).sum::<f64>() / total),
        Metric::MedianAngle => {
            angles.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            median(&angles, total)
        }
        Metric::WithinAngle(most) => {
            let near = angles.iter().filter(|(angle, _)| *angle < most).map(|(_, weight)| weight);
            Some(near.sum::<f64>() / total)
        }
        _ => None,
    }
}

/// The angle between two vectors, from 0 to 180; 90 where one is of zeros. By both of sine and cosine, so that small angles keep
/// their digits.
fn angle(one: &[f64], other: &[f64]) -> f64 {
    let length = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (a, b) = (length(one), length(other));
    if a <= 0.0 || b <= 0.0 {
        return 90.0;
    }
    // Kahan: tan(θ/2) = |u − v| / |u + v| of vectors of one length.
    let of = |sign: f64| {
        let each = one.iter().zip(other).map(|(x, y)| (x / a + sign * y / b).powi(2));
        each.sum::<f64>().sqrt()
    };
    2.0 * of(-1.0).atan2(of(1.0)).to_degrees()
}

/// The value at half of the weight, of two values where it lies between them the mean.
fn median(sorted: &[(f64, f64)], total: f64) -> Option<f64> {
    let mut below = 0.0;
    let mut rows = sorted.iter().peekable();
    while let Some((angle, weight)) = rows.next() {
        below += weight;
        if 2.0 * below > total {
            return Some(*angle);
        }
        if 2.0 * below == total {
            return Some(rows.peek().map_or(*angle, |(next, _)| (angle + next) / 2.0));
        }
    }
    sorted.last().map(|(angle, _)| *angle)
}

//! One number by which logits are divided.

use super::{Labelled, Point};

/// The inverse temperatures that are tried: beyond them labels are told apart without a mistake, or not at all.
const RANGE: (f64, f64) = (1e-3, 1e3);

/// Of labels of yes and no: the temperature T that minimises the mean of `ln(1 + exp(−s x / T))`, with s = ±1.
pub(super) fn of_labels(points: &[Point]) -> Option<f64> {
    let both = points.iter().any(|point| point.y > 0.5) && points.iter().any(|point| point.y < 0.5);
    let slope = |beta: f64| {
        let of = |point: &Point| {
            let p = crate::metrics::sigmoid(beta * point.x);
            point.w * (p - point.y) * point.x
        };
        points.iter().map(of).sum::<f64>()
    };
    both.then(|| 1.0 / root(slope))
}

/// Of classes: the one that minimises the mean cross-entropy of `logits / T`.
pub(super) fn of_classes(rows: &Labelled<'_>) -> Option<f64> {
    let labelled = |(row, logits)| {
        let class = rows.target.get(row).filter(|class| **class >= 0.0 && **class < rows.columns as f64)?;
        Some((logits, *class as usize, rows.weight(row)))
    };
    let known: Vec<(&[f64], usize, f64)> = rows.rows().filter_map(labelled).collect();
    let first = known.first()?.1;
    known.iter().any(|row| row.1 != first).then_some(())?;
    let slope = |beta: f64| {
        let of = |(logits, class, weight): &(&[f64], usize, f64)| {
            let scaled: Vec<f64> = logits.iter().map(|logit| beta * logit).collect();
            let expected: f64 =
                crate::metrics::softmax(&scaled).iter().zip(*logits).map(|(p, z)| p * z).sum();
            weight * (expected - logits.get(*class).copied().unwrap_or_default())
        };
        known.iter().map(of).sum::<f64>()
    };
    Some(1.0 / root(slope))
}

/// Where a function that does not descend crosses zero, by halving its logarithmic range; the nearer end where it does not.
fn root(slope: impl Fn(f64) -> f64) -> f64 {
    const HALVINGS: usize = 80;
    let (mut low, mut high) = RANGE;
    if slope(low) >= 0.0 {
        return low;
    }
    if slope(high) <= 0.0 {
        return high;
    }
    for _ in 0..HALVINGS {
        let middle = (low * high).sqrt();
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    (low * high).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Output;

    #[test]
    fn the_temperature_makes_the_likelihood_largest() {
        // p = 3/4 of yes at a logit of 5, and 1/4 at −5: the logit should be ln 3.
        let of = |x: f64, y: f64, w: f64| Point { x, y, w };
        let points = [of(5.0, 1.0, 3.0), of(5.0, 0.0, 1.0), of(-5.0, 0.0, 3.0), of(-5.0, 1.0, 1.0)];
        let temperature = of_labels(&points).unwrap();
        assert!((temperature - 5.0 / 3.0_f64.ln()).abs() < 1e-9, "{temperature}");
    }

    #[test]
    fn two_classes_are_a_label() {
        let logits = [0.0, 5.0, 0.0, 5.0, 0.0, 5.0, 0.0, 5.0];
        let rows = Labelled {
            output: Output::Multiclass,
            columns: 2,
            logits: &logits,
            target: &[1.0, 1.0, 1.0, 0.0],
            weight: None,
        };
        assert!((of_classes(&rows).unwrap() - 5.0 / 3.0_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn labels_without_a_mistake_stay_within_the_range() {
        let points = [Point { x: 1.0, y: 1.0, w: 1.0 }, Point { x: -1.0, y: 0.0, w: 1.0 }];
        assert_eq!(of_labels(&points), Some(1.0 / RANGE.1));
        let reversed = [Point { x: 1.0, y: 0.0, w: 1.0 }, Point { x: -1.0, y: 1.0, w: 1.0 }];
        assert_eq!(
            of_labels(&reversed),
            Some(1.0 / RANGE.0),
            "worse than chance: all probabilities are a half"
        );
    }
}

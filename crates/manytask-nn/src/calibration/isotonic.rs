//! Step functions without a descent.

use serde::{Deserialize, Serialize};

use super::Point;

/// The function without a descent that is nearest to labels in the mean square, with straight lines between its points and
/// constant beyond them, as scikit-learn's `IsotonicRegression(out_of_bounds="clip")`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Default for Isotonic {
    /// Every probability stays as it is.
    fn default() -> Self {
        Self { x: vec![0.0, 1.0], y: vec![0.0, 1.0] }
    }
}

/// Neighbouring points with one value.
struct Block {
    first: f64,
    last: f64,
    sum: f64,
    weight: f64,
}

impl Block {
    fn mean(&self) -> f64 {
        self.sum / self.weight
    }
}

impl Isotonic {
    /// Of labels of yes and no, by pooling neighbours that are out of order (Ayer et al. 1955), in `O(N log N)`; `None` with labels
    /// of one kind alone.
    pub(crate) fn fit(points: &[Point]) -> Option<Self> {
        let both = points.iter().any(|point| point.y > 0.5) && points.iter().any(|point| point.y < 0.5);
        if !both {
            return None;
        }
        let mut order: Vec<&Point> = points.iter().collect();
        order.sort_by(|a, b| a.x.total_cmp(&b.x));
        let mut distinct: Vec<Block> = Vec::new();
        for point in order {
            match distinct.last_mut() {
                Some(last) if last.last == point.x => {
                    last.sum += point.w * point.y;
                    last.weight += point.w;
                }
                _ => distinct.push(Block {
                    first: point.x,
                    last: point.x,
                    sum: point.w * point.y,
                    weight: point.w,
                }),
            }
        }
        let mut blocks: Vec<Block> = Vec::new();
        for mut next in distinct {
            while let Some(before) = blocks.pop_if(|before| before.mean() >= next.mean()) {
                next = Block {
                    first: before.first,
                    last: next.last,
                    sum: before.sum + next.sum,
                    weight: before.weight + next.weight,
                };
            }
            blocks.push(next);
        }
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for block in &blocks {
            let ends =
                if block.first == block.last { vec![block.first] } else { vec![block.first, block.last] };
            for end in ends {
                x.push(end);
                y.push(block.mean());
            }
        }
        Some(Self { x, y })
    }

    /// Its value at a number.
    pub fn at(&self, x: f64) -> f64 {
        let after = self.x.partition_point(|own| *own < x);
        let point = |i: usize| Some((*self.x.get(i)?, *self.y.get(i)?));
        match (after.checked_sub(1).and_then(point), point(after)) {
            (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (x - x0) / (x1 - x0),
            (None, Some((_, y))) | (Some((_, y)), None) => y,
            (None, None) => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_scikit_learns() {
        // IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(x, y, sample_weight=w).predict(at), version 1.9.
        let x = [0.1, 0.2, 0.2, 0.35, 0.4, 0.55, 0.6, 0.7, 0.8, 0.9];
        let y = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0];
        let w = [1.0, 1.0, 2.0, 1.0, 0.5, 1.0, 1.0, 2.0, 1.0, 1.0];
        let points: Vec<Point> = (0..10).map(|i| Point { x: x[i], y: y[i], w: w[i] }).collect();
        let fitted = Isotonic::fit(&points).unwrap();
        let at = [0.0, 0.1, 0.15, 0.3, 0.37, 0.5, 0.57, 0.65, 0.85, 1.0];
        let expected = [0.0, 0.0, 0.125, 0.25, 0.25 + 0.4 / 12.0, 1.0 / 3.0, 0.5, 0.75, 0.875, 1.0];
        for (at, expected) in at.iter().zip(expected) {
            assert!((fitted.at(*at) - expected).abs() < 1e-12, "{at}: {} {expected}", fitted.at(*at));
        }
    }

    #[test]
    fn labels_in_order_are_met_exactly() {
        let points: Vec<Point> =
            (0..6).map(|i| Point { x: f64::from(i), y: f64::from(u8::from(i > 2)), w: 1.0 }).collect();
        let fitted = Isotonic::fit(&points).unwrap();
        assert!(points.iter().all(|point| fitted.at(point.x) == point.y));
        assert_eq!(fitted.at(2.5), 0.5);
    }
}

//! The positive solution of `G w = w^(−1/α)`.

use crate::Gramian;
use crate::aggregators::bargaining;
use crate::aggregators::cholesky::Cholesky;

/// A Newton step of this length is the last: the next would be its square.
const LAST: f64 = 1e-8;
/// The largest residual of a solution.
const RESIDUAL: f64 = 1e-4;
/// Rounding of a sum of products, relative to the sum of their sizes.
const ROUNDING: f64 = 16.0 * f64::EPSILON;
/// How much of the way to the border of positive numbers a step may go.
const BORDER: f64 = 0.95;

/// w, with 0 for gradients of zero; `None` where there is none within rounding.
///
/// With `wᵢ = yᵢ sᵢ`, `sᵢ = ‖gᵢ‖^(−2α/(1+α))` the equation is `yᵢ (M y)ᵢ = cᵢ` with `M = S G S` and
/// `cᵢ = sᵢ^(1−1/α) yᵢ^(1−1/α)`; a task alone has y = 1. It says where `½ yᵀ M y − Σ sᵢ^(1−1/α) yᵢ^(1−1/α) / (1−1/α)` is least,
/// a convex function with a logarithm in place of the power for α = 1. A step of Newton's method is relative,
/// `y ← y (1 + z / √c)` with `(D Y M Y D + I/α) z = D (c − y M y)` and `D = 1/√c`: a system without small eigenvalues.
pub(super) fn solve(gramian: &Gramian, alpha: f64) -> Option<Vec<f64>> {
    let lengths: Vec<f64> =
        gramian.squared_norms().into_iter().map(|squared| squared.max(0.0).sqrt()).collect();
    let kept: Vec<usize> = (0..).zip(&lengths).filter(|(_, length)| **length > 0.0).map(|(i, _)| i).collect();
    let of = |task: &usize| lengths.get(*task).copied().unwrap_or(1.0);
    let scales: Vec<f64> = kept.iter().map(|task| of(task).powf(-2.0 * alpha / (1.0 + alpha))).collect();
    let power = 1.0 - alpha.recip();
    let problem = Problem {
        matrix: gramian.only(&kept).scaled(&scales),
        right: scales.iter().map(|scale| scale.powf(power)).collect(),
        alpha,
        power,
    };
    if kept.is_empty() {
        return Some(vec![0.0; lengths.len()]);
    }
    // From the bargain (α = 1), as long as makes the function least along it: where tasks' gradients differ by many powers of
    // ten, the short ones are little more than conditions, and a bargain meets them.
    let bargain = bargaining::solve(gramian)?;
    let start: Vec<f64> =
        kept.iter().zip(&scales).map(|(task, scale)| bargain.get(*task).map_or(1.0, |w| w / scale)).collect();
    let y = problem.minimum(start)?;
    let mut weights = vec![0.0; lengths.len()];
    for ((task, y), scale) in kept.into_iter().zip(y).zip(scales) {
        if let Some(weight) = weights.get_mut(task) {
            *weight = y * scale;
        }
    }
    weights.iter().all(|weight| weight.is_finite()).then_some(weights)
}

struct Problem {
    matrix: Gramian,
    /// `sᵢ^(1−1/α)`.
    right: Vec<f64>,
    alpha: f64,
    /// `1 − 1/α`.
    power: f64,
}

impl Problem {
    fn minimum(&self, mut y: Vec<f64>) -> Option<Vec<f64>> {
        let count = y.len();
        let (left, right) =
            self.sides(&y).iter().fold((0.0, 0.0), |sums, one| (sums.0 + one.0, sums.1 + one.1));
        let length = (right / left).powf((2.0 - self.power).recip());
        if !(length.is_finite() && length > 0.0) {
            return None;
        }
        for y in &mut y {
            *y *= length;
        }
        let mut factor = Cholesky::new(count);
        let mut before = f64::INFINITY;
        for _ in 0..200 {
            let sides = self.sides(&y);
            // z, and its right side D (c − y M y).
            let residual: Vec<f64> =
                sides.iter().map(|(left, right)| (right - left) / right.sqrt()).collect();
            let step = self.direction(&mut factor, &y, &sides, &residual)?;
            let relative: Vec<f64> =
                step.iter().zip(&sides).map(|(z, (_, right))| z / right.sqrt()).collect();
            let largest = relative.iter().fold(0.0_f64, |largest, s| largest.max(s.abs()));
            let length = self.length(&y, &sides, &relative, largest)?;
            for (y, s) in y.iter_mut().zip(&relative) {
                *y *= 1.0 + length * s;
            }
            // From here on each step is the square of the one before, until rounding ends that.
            if largest < LAST || (largest < RESIDUAL && largest > before / 2.0) {
                break;
            }
            before = largest;
        }
        self.is_solution(&y).then_some(y)
    }

    /// Whether both sides are the same, within what is asked and what rounding allows.
    fn is_solution(&self, y: &[f64]) -> bool {
        self.sides(y).into_iter().zip(y).enumerate().all(|(task, ((left, right), own))| {
            let sizes: f64 = self.matrix.row(task).iter().zip(y).map(|(value, y)| (value * y).abs()).sum();
            (left - right).abs() <= RESIDUAL * right + ROUNDING * own * sizes
        })
    }

    /// `yᵢ (M y)ᵢ` and cᵢ.
    fn sides(&self, y: &[f64]) -> Vec<(f64, f64)> {
        let left = self.matrix.apply(y).into_iter().zip(y).map(|(product, y)| product * y);
        left.zip(&self.right).zip(y).map(|((left, right), y)| (left, right * y.powf(self.power))).collect()
    }

    fn direction(
        &self,
        factor: &mut Cholesky,
        y: &[f64],
        sides: &[(f64, f64)],
        residual: &[f64],
    ) -> Option<Vec<f64>> {
        factor.clear();
        let scaled: Vec<f64> = y.iter().zip(sides).map(|(y, (_, right))| y / right.sqrt()).collect();
        for (task, own) in scaled.iter().enumerate() {
            let row = self.matrix.row(task);
            let beside = row.iter().zip(&scaled).take(task).map(|(value, other)| own * value * other);
            if !factor.push(beside, own * own * row.get(task)? + self.alpha.recip()) {
                return None;
            }
        }
        let mut step = residual.to_vec();
        factor.solve(&mut step);
        Some(step)
    }

    /// How much of a relative step is taken: as much as stays positive and makes the function smaller.
    fn length(&self, y: &[f64], sides: &[(f64, f64)], step: &[f64], largest: f64) -> Option<f64> {
        let down = step.iter().fold(0.0_f64, |down, s| down.max(-s));
        let mut length = if down > BORDER { BORDER / down } else { 1.0 };
        if largest < LAST.sqrt() {
            return Some(length);
        }
        let moved: Vec<f64> = y.iter().zip(step).map(|(y, s)| y * s).collect();
        let (curve, along) = (
            self.matrix.quadratic(&moved),
            sides.iter().zip(step).map(|((left, _), s)| left * s).sum::<f64>(),
        );
        for _ in 0..60 {
            let gain: f64 =
                sides.iter().zip(step).map(|((_, right), s)| right * self.utility(length * s)).sum();
            let terms = [length * along, length * length / 2.0 * curve, -gain];
            let sizes: f64 = terms.iter().map(|term| term.abs()).sum();
            if terms.iter().sum::<f64>() <= ROUNDING * sizes {
                return Some(length);
            }
            length /= 2.0;
        }
        None
    }

    /// `((1 + s)^p − 1) / p`, or its limit `log(1 + s)`.
    fn utility(&self, s: f64) -> f64 {
        let logarithm = s.ln_1p();
        if self.power == 0.0 { logarithm } else { (self.power * logarithm).exp_m1() / self.power }
    }
}

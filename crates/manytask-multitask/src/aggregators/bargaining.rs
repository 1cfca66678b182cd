//! The positive solution of `G α = 1/α`.

use super::cholesky::Cholesky;
use crate::Gramian;
use crate::gramian::dot;

/// A Newton step of this length is the last: the next would be its square.
const LAST: f64 = 1e-8;
/// The largest residual of a solution; near the end of what rounding allows it grows from 1e-15 to this within two powers of
/// ten of the distance of the hull from the origin.
const RESIDUAL: f64 = 1e-4;
/// How much of the way to the border of positive numbers a step may go.
const BORDER: f64 = 0.95;

/// α, with 0 for gradients of zero; `None` where there is none within rounding: zero lies in the hull of the gradients, and α
/// would grow for ever.
///
/// With `α = x / ‖g‖` the equation is `C x = 1/x` over the cosines C, so that lengths do not matter. It says where
/// `½ xᵀ C x − Σ log x` is least, a self-concordant function, which Newton's method takes from anywhere to its minimum. A step
/// is relative, `x ← x (1 + s)` with `(X C X + I) s = 1 − x C x`: a system without small eigenvalues.
pub(super) fn solve(gramian: &Gramian) -> Option<Vec<f64>> {
    let (lengths, all) = gramian.cosines();
    let kept: Vec<usize> = (0..).zip(&lengths).filter(|(_, length)| **length > 0.0).map(|(i, _)| i).collect();
    let count = kept.len();
    let cosines = if count == lengths.len() { all } else { part(&all, &kept)? };
    // Along the line of equal x the minimum is known; where their sum is short, what one task alone has.
    let total: f64 = cosines.values().iter().sum();
    let mut x = vec![(count as f64 / total.max(1.0)).sqrt(); count];
    let mut factor = Cholesky::new(count);
    let mut before = f64::INFINITY;
    for _ in 0..100 {
        let residual = residual(&cosines, &x);
        let step = direction(&cosines, &mut factor, &x, &residual)?;
        let decrement = dot(&residual, &step).max(0.0).sqrt();
        let length = damping(&residual, &step, decrement);
        for (x, s) in x.iter_mut().zip(&step) {
            *x *= 1.0 + length * s;
        }
        // From here on each step is the square of the one before, until rounding ends that.
        if decrement < LAST || (decrement < RESIDUAL && decrement > before / 2.0) {
            break;
        }
        before = decrement;
    }
    let worst = residual(&cosines, &x).into_iter().fold(0.0, |worst: f64, r| worst.max(r.abs()));
    if worst.is_nan() || worst > RESIDUAL {
        return None;
    }
    let mut weights = vec![0.0; lengths.len()];
    for (task, x) in kept.into_iter().zip(x) {
        if let (Some(weight), Some(length)) = (weights.get_mut(task), lengths.get(task)) {
            *weight = x / length;
        }
    }
    Some(weights)
}

fn part(gramian: &Gramian, kept: &[usize]) -> Option<Gramian> {
    let values = kept.iter().flat_map(|i| kept.iter().map(|j| gramian.at(*i, *j))).collect();
    Gramian::new(kept.len(), values)
}

/// `1 − x C x`.
fn residual(cosines: &Gramian, x: &[f64]) -> Vec<f64> {
    cosines.apply(x).iter().zip(x).map(|(product, x)| 1.0 - x * product).collect()
}

/// The relative step s.
fn direction(cosines: &Gramian, factor: &mut Cholesky, x: &[f64], residual: &[f64]) -> Option<Vec<f64>> {
    factor.clear();
    for (task, own) in x.iter().enumerate() {
        let row = cosines.row(task);
        let beside = row.iter().zip(x).take(task).map(|(cosine, other)| own * cosine * other);
        if !factor.push(beside, own * own * row.get(task)? + 1.0) {
            return None;
        }
    }
    let mut step = residual.to_vec();
    factor.solve(&mut step);
    Some(step)
}

/// How much of a step is taken: all where that makes the function smaller and stays positive, else what is known to do both.
fn damping(residual: &[f64], step: &[f64], decrement: f64) -> f64 {
    let down = step.iter().fold(0.0_f64, |down, s| down.max(-s));
    let length = if down > BORDER { BORDER / down } else { 1.0 };
    // With `s X C X s = ⟨s, r⟩ − ⟨s, s⟩` the change of the function needs no further product.
    let sum: f64 = step.iter().sum();
    let along = sum - dot(residual, step);
    let curve = dot(residual, step) - dot(step, step);
    let logarithms: f64 = step.iter().map(|s| (length * s).ln_1p()).sum();
    let change = length * along + length * length / 2.0 * curve - logarithms;
    if change <= 0.0 || decrement < 0.1 { length } else { (1.0 + decrement).recip() }
}

use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use crate::{Aggregator, Combination, Gramian, Level, Needs, Result, Step};

/// The multiple-gradient descent algorithm (Désidéri 2012, Sener & Koltun 2018): the shortest vector in the convex hull of
/// the gradients, `min ‖Σ αᵢ gᵢ‖²` over `α ≥ 0, Σ α = 1`, found exactly.
///
/// At the level `representation` it is MGDA-UB. A normalisation changes the α alone: they weigh the gradients as they are,
/// as in the authors' code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mgda {
    /// Of which gradients.
    pub level: Level,
    /// By what each gradient is divided before α is sought.
    pub normalisation: Normalisation,
}

/// By what gradients are divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// Nothing.
    #[default]
    None,
    /// Their norm.
    L2,
    /// Their task's loss.
    Loss,
    /// Both (`loss+` in the authors' code).
    LossL2,
}

impl Default for Mgda {
    fn default() -> Self {
        Self { level: Level::Parameters, normalisation: Normalisation::None }
    }
}

#[derive(Debug)]
struct MinNorm {
    settings: Mgda,
    last: Vec<f64>,
}

impl AggregatorSettings for Mgda {
    fn build(&self, _tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(MinNorm { settings: *self, last: Vec::new() }))
    }
}

impl Normalisation {
    /// The factor of each gradient; a gradient or loss of zero is left as it is.
    fn factors(self, gramian: &Gramian, losses: &[f64]) -> Vec<f64> {
        let divisors = gramian.squared_norms().into_iter().zip(losses).map(|(squared, loss)| match self {
            Self::None => 1.0,
            Self::L2 => squared.sqrt(),
            Self::Loss => *loss,
            Self::LossL2 => loss * squared.sqrt(),
        });
        divisors.map(|divisor| if divisor.abs() > 0.0 { divisor.recip() } else { 1.0 }).collect()
    }
}

impl Aggregator for MinNorm {
    fn name(&self) -> &'static str {
        "mgda"
    }

    fn needs(&self) -> Needs {
        Needs::gramian(self.settings.level)
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let losses = step.losses().to_vec();
        let gramian = step.gramian()?;
        let factors = self.settings.normalisation.factors(gramian, &losses);
        self.last = min_norm_point(&gramian.scaled(&factors));
        Ok(Combination::weights(self.last.clone()))
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.last)
    }
}

/// The convex weights of the shortest vector in the hull of vectors, from their inner products: Wolfe's algorithm (1976).
///
/// It keeps a set of affinely independent vectors, adds the one that promises most, and goes to the shortest vector of the
/// set's affine hull, dropping those whose weight would become negative, until no vector promises anything.
pub(super) fn min_norm_point(gramian: &Gramian) -> Vec<f64> {
    let size = gramian.size();
    let norms = gramian.squared_norms();
    let Some(start) = (0..size).min_by(|a, b| gramian.at(*a, *a).total_cmp(&gramian.at(*b, *b))) else {
        return Vec::new();
    };
    let mut weights = vec![0.0; size];
    set(&mut weights, start, 1.0);
    let mut corral = vec![start];
    // Each round shortens the vector, so none comes twice; the bound is against rounding.
    for _ in 0..50 * size + 100 {
        let products = gramian.apply(&weights);
        let now: f64 = products.iter().zip(&weights).map(|(p, w)| p * w).sum();
        let gain = |j: usize| now - products.get(j).copied().unwrap_or(now);
        let Some(best) =
            (0..size).filter(|j| !corral.contains(j)).max_by(|a, b| gain(*a).total_cmp(&gain(*b)))
        else {
            break;
        };
        let scale = (now.max(0.0) * norms.get(best).copied().unwrap_or_default()).sqrt();
        if gain(best) <= 1e-13 * scale.max(now.abs()) {
            break;
        }
        corral.push(best);
        if !shorten(gramian, &mut corral, &mut weights) {
            break;
        }
    }
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

/// Goes to the shortest vector of the corral's hull; false where the system is singular and nothing was changed.
fn shorten(gramian: &Gramian, corral: &mut Vec<usize>, weights: &mut [f64]) -> bool {
    while let Some(target) = affine_minimum(gramian, corral) {
        if target.iter().all(|w| *w > 0.0) {
            weights.fill(0.0);
            for (task, weight) in corral.iter().zip(target) {
                set(weights, *task, weight);
            }
            return true;
        }
        // As far as all stay at least zero, and drop who gets there.
        let now: Vec<f64> =
            corral.iter().map(|task| weights.get(*task).copied().unwrap_or_default()).collect();
        let mut reach = 1.0_f64;
        for (w, v) in now.iter().zip(&target) {
            if *v <= 0.0 {
                reach = reach.min(w / (w - v).max(f64::MIN_POSITIVE));
            }
        }
        let moved: Vec<f64> = now.iter().zip(&target).map(|(w, v)| w + reach * (v - w)).collect();
        let least = moved
            .iter()
            .zip(&target)
            .filter(|(_, v)| **v <= 0.0)
            .map(|(w, _)| *w)
            .fold(f64::INFINITY, f64::min);
        let mut kept = Vec::with_capacity(corral.len());
        weights.fill(0.0);
        for ((task, weight), v) in corral.iter().zip(moved).zip(target) {
            if v > 0.0 || weight > least.max(0.0) {
                set(weights, *task, weight.max(0.0));
                kept.push(*task);
            }
        }
        *corral = kept;
        if corral.is_empty() {
            return false;
        }
    }
    false
}

/// The weights, of sum 1, of the shortest vector in the affine hull: `[C a; aᵀ 0] [u; μ] = [0; 1]` with the vectors brought
/// to length 1, `C = D⁻¹ G D⁻¹`, `a = 1/d`, `w = u/d`, so that badly scaled gradients lose nothing.
fn affine_minimum(gramian: &Gramian, corral: &[usize]) -> Option<Vec<f64>> {
    let n = corral.len();
    let longest = corral.iter().map(|i| gramian.at(*i, *i)).fold(0.0, f64::max).sqrt();
    let lengths: Vec<f64> = corral
        .iter()
        .map(|i| gramian.at(*i, *i).max(0.0).sqrt())
        .map(|length| if length > 0.0 { length } else { longest.max(1.0) })
        .collect();
    // The last row is scaled to the size of the others.
    let unit = lengths.iter().copied().fold(f64::INFINITY, f64::min);
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n + 1);
    for (i, a) in corral.iter().zip(&lengths) {
        let mut row: Vec<f64> =
            corral.iter().zip(&lengths).map(|(j, b)| gramian.at(*i, *j) / (a * b)).collect();
        row.extend([unit / a, 0.0]);
        rows.push(row);
    }
    let mut last: Vec<f64> = lengths.iter().map(|length| unit / length).collect();
    last.extend([0.0, unit]);
    rows.push(last);
    let solved = solve(rows)?;
    let weights: Vec<f64> = solved.iter().zip(&lengths).map(|(u, length)| u / length).collect();
    let sum: f64 = weights.iter().sum();
    (weights.iter().all(|w| w.is_finite()) && sum > 0.0).then(|| weights.iter().map(|w| w / sum).collect())
}

/// Gaussian elimination with row pivots of the augmented rows; `None` where singular.
fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let n = rows.len();
    for column in 0..n {
        let size = |row: &Vec<f64>| row.get(column).copied().unwrap_or_default().abs();
        let pivot = (column..n).max_by(|a, b| {
            let size = |i: usize| rows.get(i).map_or(0.0, size);
            size(*a).total_cmp(&size(*b))
        })?;
        rows.swap(column, pivot);
        let (done, rest) = rows.split_at_mut(column + 1);
        let top = done.last()?;
        let head = *top.get(column)?;
        if head.abs() < 1e-15 {
            return None;
        }
        for row in rest {
            let factor = row.get(column)? / head;
            for (x, t) in row.iter_mut().zip(top).skip(column) {
                *x -= factor * t;
            }
        }
    }
    let mut x = vec![0.0; n];
    for i in (0..n).rev() {
        let row = rows.get(i)?;
        let known: f64 = row.iter().zip(&x).skip(i + 1).map(|(a, x)| a * x).sum();
        set(&mut x, i, (row.last()? - known) / row.get(i)?);
    }
    Some(x)
}

fn set(values: &mut [f64], at: usize, value: f64) {
    if let Some(place) = values.get_mut(at) {
        *place = value;
    }
}

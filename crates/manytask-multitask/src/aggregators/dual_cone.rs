//! The nearest vector that goes against no gradient, among vectors that are known by their inner products alone.

#[cfg(test)]
mod tests;

use super::cholesky::Cholesky;
use crate::Gramian;
use crate::gramian::dot;

/// Rounding of a product of two vectors, relative to their lengths.
const ROUNDING: f64 = 16.0 * f64::EPSILON;
/// What is left of an inner product that only rounding keeps from zero is below this.
const UNSOLVED: f64 = 1e-10;
/// So many exchanges in a row may fail to make fewer wrong signs before single ones are made.
const PATIENCE: usize = 3;
/// Rounds of coordinate descent for a first guess of who is active.
const ROUNDS: usize = 3;

/// Solutions of `min ½ uᵀ C u + qᵀ u` over `u ≥ 0`, where C holds the cosines of gradients and q the inner products of unit
/// gradients with a vector x: then `x + Σ uᵢ gᵢ` is the projection of x onto the cone of the vectors whose inner products
/// with all gradients are at least zero.
///
/// At the solution `u ≥ 0`, `y = C u + q ≥ 0`, and one of both is zero for each task. First all tasks with a wrong sign
/// change sides at once, from where the last problem ended (block principal pivoting, Júdice & Pires 1994); where that gets
/// nowhere, one task at a time does, and each makes the function smaller (Lawson & Hanson 1974).
#[derive(Debug)]
pub(super) struct DualCone<'g> {
    cosines: &'g Gramian,
    factor: Cholesky,
    /// The tasks with `u > 0`, in the order of the factor's rows.
    active: Vec<usize>,
    /// Of all tasks.
    is_active: Vec<bool>,
    weights: Vec<f64>,
    products: Vec<f64>,
}

impl<'g> DualCone<'g> {
    pub(super) fn new(cosines: &'g Gramian) -> Self {
        let size = cosines.size();
        Self {
            cosines,
            factor: Cholesky::new(size),
            active: Vec::with_capacity(size),
            is_active: vec![false; size],
            weights: vec![0.0; size],
            products: vec![0.0; size],
        }
    }

    /// u, of the last problem that was solved.
    pub(super) fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// `‖Σ uᵢ gᵢ‖²` over unit gradients.
    pub(super) fn squared_length(&self) -> f64 {
        self.cosines.quadratic(&self.weights).max(0.0)
    }

    /// The tasks with `u > 0`.
    pub(super) fn active(&self) -> &[usize] {
        &self.active
    }

    /// `C⁻¹ values` over the active tasks, in their order.
    pub(super) fn inverse(&self, values: &[f64]) -> Vec<f64> {
        let mut x: Vec<f64> = self.active.iter().map(|task| at(values, *task)).collect();
        self.factor.solve(&mut x);
        x
    }

    /// Starts anew for a q from what some rounds of coordinate descent leave above zero.
    pub(super) fn start(&mut self, q: &[f64]) {
        self.factor.clear();
        self.active.clear();
        self.is_active.fill(false);
        self.weights.fill(0.0);
        self.products.clear();
        self.products.extend_from_slice(q);
        for _ in 0..ROUNDS {
            for (task, weight) in self.weights.iter_mut().enumerate() {
                let next = (*weight - at(&self.products, task)).max(0.0);
                let change = next - *weight;
                if change != 0.0 {
                    *weight = next;
                    for (product, cosine) in self.products.iter_mut().zip(self.cosines.row(task)) {
                        *product += change * cosine;
                    }
                }
            }
        }
        for task in 0..q.len() {
            if at(&self.weights, task) > 0.0 {
                self.join(task);
            }
        }
    }

    /// Solves for a q, which are the inner products with a vector of about this length. `false` where the function has no
    /// minimum: the gradients have a convex combination of zero, and q goes down along it.
    pub(super) fn solve(&mut self, q: &[f64], length: f64) -> bool {
        let (mut fewest, mut patience) = (usize::MAX, PATIENCE);
        loop {
            self.fit(q);
            self.multiply(q);
            let out: Vec<usize> =
                self.active.iter().copied().filter(|task| at(&self.weights, *task) <= 0.0).collect();
            let allowed = self.allowed(length);
            let wrong =
                |task: &usize| !self.is_active(*task) && -at(&self.products, *task) > allowed(at(q, *task));
            let into: Vec<usize> = (0..q.len()).filter(wrong).collect();
            let count = out.len() + into.len();
            if count == 0 {
                return true;
            }
            (fewest, patience) = if count < fewest { (count, PATIENCE) } else { (fewest, patience - 1) };
            if patience == 0 {
                break;
            }
            for task in out {
                self.leave(task);
            }
            for task in into {
                self.join(task);
            }
        }
        self.drop_until_positive(q);
        self.descend(q, length)
    }

    /// One task at a time, from positive weights.
    fn descend(&mut self, q: &[f64], length: f64) -> bool {
        let mut in_vain = vec![false; q.len()];
        // No set of tasks comes twice; the bound is a second guard.
        for _ in 0..4 * q.len() + 20 {
            self.multiply(q);
            let allowed = self.allowed(length);
            let gain = |task: usize| -at(&self.products, task);
            let wrong = (0..q.len()).filter(|task| {
                !self.is_active(*task)
                    && gain(*task) > allowed(at(q, *task))
                    && in_vain.get(*task) == Some(&false)
            });
            let Some(best) = wrong.max_by(|a, b| gain(*a).total_cmp(&gain(*b))) else { break };
            if self.add(best, q) {
                in_vain.fill(false);
            } else {
                set(&mut in_vain, best, true);
            }
        }
        let spread: f64 = self.weights.iter().sum();
        self.products.iter().zip(q).all(|(y, q)| -y <= UNSOLVED * (length + q.abs() + spread))
    }

    /// Makes a task active that makes the function smaller; `false`, and nothing changes, where it does not.
    fn add(&mut self, task: usize, q: &[f64]) -> bool {
        let before = self.weights.clone();
        if !self.join(task) {
            return self.exchange(task, q);
        }
        self.fit(q);
        let smaller = at(&self.weights, task) > 0.0;
        if smaller {
            self.back_to_positive(q, before);
        } else {
            self.leave(task);
            self.weights = before;
        }
        smaller
    }

    /// Makes a task active whose gradient is a combination of the active ones: it grows, and they change so that the vector
    /// stays the same, until one of them gets to zero and leaves.
    fn exchange(&mut self, task: usize, q: &[f64]) -> bool {
        let combination = self.inverse(self.cosines.row(task));
        let stops = self.active.iter().zip(&combination).filter(|(_, part)| **part > 0.0);
        let stops = stops.map(|(other, part)| (*other, at(&self.weights, *other) / part));
        let Some((first, reach)) = stops.min_by(|a, b| a.1.total_cmp(&b.1)) else { return false };
        let mut moved = self.weights.clone();
        for (other, part) in self.active.iter().zip(combination) {
            set(&mut moved, *other, (at(&self.weights, *other) - reach * part).max(0.0));
        }
        self.leave(first);
        if !self.join(task) {
            self.join(first);
            return false;
        }
        set(&mut moved, first, 0.0);
        set(&mut moved, task, reach);
        self.fit(q);
        self.back_to_positive(q, moved);
        true
    }

    /// From `before` towards the weights of the active tasks, as far as all stay positive; who gets to zero is dropped.
    fn back_to_positive(&mut self, q: &[f64], mut before: Vec<f64>) {
        loop {
            let negative = |task: &&usize| at(&self.weights, **task) <= 0.0;
            let reach = |task: &usize| {
                let (from, to) = (at(&before, *task), at(&self.weights, *task));
                from / (from - to).max(f64::MIN_POSITIVE)
            };
            let stops = self.active.iter().filter(negative);
            let Some((first, reach)) =
                stops.map(|task| (*task, reach(task))).min_by(|a, b| a.1.total_cmp(&b.1))
            else {
                return;
            };
            for (from, to) in before.iter_mut().zip(&self.weights) {
                *from = (*from + reach.clamp(0.0, 1.0) * (to - *from)).max(0.0);
            }
            self.leave(first);
            set(&mut before, first, 0.0);
            self.fit(q);
        }
    }

    fn drop_until_positive(&mut self, q: &[f64]) {
        loop {
            self.fit(q);
            let negative = |task: &usize| at(&self.weights, *task) <= 0.0;
            let out: Vec<usize> = self.active.iter().copied().filter(negative).collect();
            if out.is_empty() {
                return;
            }
            for task in out {
                self.leave(task);
            }
        }
    }

    /// The weights of the active tasks for which their products are zero.
    fn fit(&mut self, q: &[f64]) {
        let mut x: Vec<f64> = self.active.iter().map(|task| -at(q, *task)).collect();
        self.factor.solve(&mut x);
        self.weights.fill(0.0);
        for (task, weight) in self.active.iter().zip(x) {
            set(&mut self.weights, *task, weight);
        }
    }

    /// `C u + q`.
    fn multiply(&mut self, q: &[f64]) {
        for (task, (product, q)) in self.products.iter_mut().zip(q).enumerate() {
            *product = dot(self.cosines.row(task), &self.weights) + q;
        }
    }

    /// What an inner product may be below zero by rounding, by its q.
    fn allowed(&self, length: f64) -> impl Fn(f64) -> f64 + use<> {
        let spread: f64 = self.weights.iter().map(|u| u.abs()).sum();
        move |q| ROUNDING * (length + q.abs() + spread)
    }

    fn is_active(&self, task: usize) -> bool {
        self.is_active.get(task).copied().unwrap_or_default()
    }

    /// `false` where the task's gradient depends on the active ones.
    fn join(&mut self, task: usize) -> bool {
        let row = self.cosines.row(task);
        let joined = self.factor.push(self.active.iter().map(|other| at(row, *other)), at(row, task));
        if joined {
            self.active.push(task);
            self.mark(task, true);
        }
        joined
    }

    fn leave(&mut self, task: usize) {
        if let Some(place) = self.active.iter().position(|other| *other == task) {
            self.factor.remove(place);
            self.active.remove(place);
            self.mark(task, false);
        }
    }

    fn mark(&mut self, task: usize, active: bool) {
        set(&mut self.is_active, task, active);
    }
}

fn at(values: &[f64], place: usize) -> f64 {
    values.get(place).copied().unwrap_or_default()
}

fn set<T>(values: &mut [T], place: usize, value: T) {
    if let Some(old) = values.get_mut(place) {
        *old = value;
    }
}

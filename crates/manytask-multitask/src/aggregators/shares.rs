//! Weights on the simplex that go on from step to step, of which present tasks take their part.

use serde::{Deserialize, Serialize};

use super::support::project_onto_simplex;
use crate::{Gramian, Result, State, StepInfo};

/// A share for each task; all add up to 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Shares {
    shares: Vec<f64>,
}

impl Shares {
    /// Equal ones.
    pub(super) fn new(tasks: usize) -> Self {
        Self { shares: vec![1.0 / tasks.max(1) as f64; tasks] }
    }

    /// The shares of these tasks of what they have together, so that they add up to 1.
    pub(super) fn of(&self, tasks: &[usize]) -> Vec<f64> {
        let own: Vec<f64> =
            tasks.iter().map(|task| self.shares.get(*task).copied().unwrap_or_default()).collect();
        let sum: f64 = own.iter().sum();
        if tasks.len() == self.shares.len() {
            own
        } else if sum > 0.0 {
            own.iter().map(|share| share / sum).collect()
        } else {
            vec![1.0 / own.len() as f64; own.len()]
        }
    }

    /// Moves the shares of these tasks, which `step` is given and answers with others; the nearest ones that add up to 1 are
    /// taken. What all of them have together stays.
    pub(super) fn update(&mut self, tasks: &[usize], step: impl FnOnce(&[f64]) -> Vec<f64>) -> Vec<f64> {
        let shares = project_onto_simplex(&step(&self.of(tasks)));
        let all = tasks.len() == self.shares.len();
        let sum: f64 = tasks.iter().filter_map(|task| self.shares.get(*task)).sum();
        for (task, share) in tasks.iter().zip(&shares) {
            if let Some(place) = self.shares.get_mut(*task) {
                *place = if all { *share } else { sum * share };
            }
        }
        shares
    }

    pub(super) fn state(&self) -> Result<State> {
        State::of(self)
    }

    pub(super) fn restore(&mut self, aggregator: &str, state: &State) -> Result<()> {
        state.read_into(aggregator, self)
    }
}

/// Refuses products of gradients that are not finite.
///
/// # Errors
/// When one is NaN or infinite.
pub(super) fn finite_products(products: &Gramian, step: &StepInfo<'_>) -> Result<()> {
    if products.values().iter().all(|product| product.is_finite()) {
        return Ok(());
    }
    Err(step.diverged("a product of two tasks' gradients is not finite, or too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_tasks_keep_their_share() {
        let mut shares = Shares { shares: vec![0.5, 0.2, 0.3] };
        let found = shares.update(&[0, 2], |own| {
            assert!((own[0] - 0.625).abs() < 1e-15 && (own[1] - 0.375).abs() < 1e-15, "{own:?}");
            vec![1.0, 1.0]
        });
        assert_eq!(found, [0.5, 0.5]);
        assert_eq!(shares.shares, [0.4, 0.2, 0.4]);
        assert_eq!(Shares { shares: vec![1.0, 0.0, 0.0] }.of(&[1, 2]), [0.5, 0.5]);
    }
}

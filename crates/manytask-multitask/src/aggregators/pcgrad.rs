use manytask_tensor::random::Key;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::gradients::finite_gramian;
use crate::{Aggregator, Combination, Gramian, Level, Needs, Result, Step};

/// Gradient surgery (Yu et al. 2020): each task's gradient gives up, in random order, its components against the others,
/// `pᵢ ← pᵢ − min(0, ⟨pᵢ, gⱼ⟩) / ‖gⱼ‖² gⱼ` with the original `gⱼ`; the direction is `Σ pᵢ`.
///
/// Every `pᵢ` stays a combination of gradients, so all is done on their Gramian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PcGrad {
    /// Of which gradients.
    pub level: Level,
}

impl Default for PcGrad {
    fn default() -> Self {
        Self { level: Level::Parameters }
    }
}

#[derive(Debug)]
struct Surgery {
    settings: PcGrad,
    tasks: Vec<String>,
    last: Vec<f64>,
}

impl AggregatorSettings for PcGrad {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(Surgery { settings: *self, tasks: tasks.to_vec(), last: Vec::new() }))
    }
}

/// The weights of the gradients in `Σ pᵢ`; the orders are drawn with `key`.
pub(super) fn weights(gramian: &Gramian, key: Key) -> Vec<f64> {
    let size = gramian.size();
    let mut sum = vec![1.0; size];
    for task in 0..size {
        // Of pᵢ with all gradients.
        let mut products = gramian.row(task).to_vec();
        for other in key.task(task as u64).permutation(size) {
            let other = other as usize;
            let squared = gramian.at(other, other);
            let product = products.get(other).copied().unwrap_or_default();
            if other == task || squared <= 0.0 || product >= 0.0 {
                continue;
            }
            let given = -product / squared;
            if let Some(weight) = sum.get_mut(other) {
                *weight += given;
            }
            products.iter_mut().zip(gramian.row(other)).for_each(|(product, g)| *product += given * g);
        }
    }
    sum
}

impl Aggregator for Surgery {
    fn name(&self) -> &'static str {
        "pcgrad"
    }

    fn needs(&self) -> Needs {
        Needs::gramian(self.settings.level)
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let key = step.key();
        self.last = weights(finite_gramian(step, &self.tasks)?, key);
        Ok(Combination::weights(self.last.clone()))
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.last)
    }
}

use manytask_tensor::Method;
use manytask_tensor::random::Key;
use serde::{Deserialize, Serialize};

use super::{AggregatorSettings, Property};
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// Gradient surgery (Yu et al. 2020): each task's gradient gives up, in random order, its components against the others,
/// `pᵢ ← pᵢ − min(0, ⟨pᵢ, gⱼ⟩) / ‖gⱼ‖² gⱼ` with the original `gⱼ`; the direction is `Σ pᵢ`.
///
/// Every `pᵢ` stays a combination of gradients, so all is done on their Gramian.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PcGrad {
    /// Of which gradients.
    pub level: Level,
}

#[derive(Debug)]
struct Surgery;

impl Method for PcGrad {
    const NAME: &'static str = "pcgrad";
    const SUMMARY: &'static str = "gradients without their components against each other";
    const ABOUT: &'static str = "\
        Yu et al. 2020, arXiv:2001.06782: each task's gradient gives up, in random order, what goes \
        against the others; the sum is followed. With two tasks it is twice upgrad's direction; Adam, \
        whose steps do not depend on a factor, makes both the same.";
}

impl AggregatorSettings for PcGrad {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnGramian::new(Surgery, self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::Homogeneous]
    }
}

impl GramianWeighting for Surgery {
    fn name(&self) -> &'static str {
        PcGrad::NAME
    }

    fn weights(&mut self, gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        Ok(weights(gramian, step.key))
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

mod fairness;

use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::support::above_zero;
use super::{AggregatorSettings, Property};
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// Fair resource allocation (Ban & Ji 2024): the direction `d = Jᵀ w` with `G w = w^(−1/α)` and `w > 0`, which maximises the
/// α-fair utility `Σ ⟨gᵢ, d⟩^(1−α) / (1−α)` in a ball, found exactly.
///
/// α = 1 is Nash-MTL without its limit; towards 0 it is the sum of the gradients, and large α help the task that is helped
/// least. A gradient of zero has no part in it. Where the gradients have a convex combination of zero within rounding, there is
/// no solution: the parameters are Pareto-stationary, and the weights are 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FairGrad {
    /// Of which gradients.
    pub level: Level,
    /// α, above 0.
    pub alpha: f64,
}

impl Default for FairGrad {
    fn default() -> Self {
        Self { level: Level::Parameters, alpha: 1.0 }
    }
}

#[derive(Debug)]
struct Fair {
    alpha: f64,
}

impl Method for FairGrad {
    const NAME: &'static str = "fairgrad";
    const SUMMARY: &'static str = "the α-fair direction between tasks";
    const ABOUT: &'static str = "\
        Ban & Ji 2024, arXiv:2402.15638: weights w > 0 with G w = w^(-1/α), solved exactly. α = 1 is \
        Nash-MTL without its limit; large α help the task that is helped least.";
}

impl AggregatorSettings for FairGrad {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(FairGrad::NAME, "alpha", self.alpha)?;
        Ok(Box::new(OnGramian::new(Fair { alpha: self.alpha }, self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::NonConflicting]
    }
}

impl GramianWeighting for Fair {
    fn name(&self) -> &'static str {
        FairGrad::NAME
    }

    fn weights(&mut self, gramian: &Gramian, _step: &StepInfo<'_>) -> Result<Vec<f64>> {
        Ok(fairness::solve(gramian, self.alpha).unwrap_or_else(|| vec![0.0; gramian.size()]))
    }
}

use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::support::positive;
use super::{AggregatorSettings, Property};
use crate::{Aggregator, LossWeighting, OnLosses, Result, StepInfo};

/// The scale-invariant baseline of Navon et al. 2022: the objective is `Σ log lᵢ`, so that `wᵢ = 1 / lᵢ`.
///
/// Losses must be above 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScaleInvariant {}

impl Method for ScaleInvariant {
    const NAME: &'static str = "scale_invariant";
    const SUMMARY: &'static str = "the sum of the losses' logarithms";
    const ABOUT: &'static str =
        "The baseline SI of Navon et al. 2022, arXiv:2202.01017: Σ log l. Losses must be above 0.";
}

impl AggregatorSettings for ScaleInvariant {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnLosses::new(*self, tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous, Property::LinearUnderScaling]
    }
}

impl LossWeighting for ScaleInvariant {
    fn name(&self) -> &'static str {
        ScaleInvariant::NAME
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        positive(self.name(), step)?;
        Ok(step.losses.values().iter().map(|loss| loss.recip()).collect())
    }
}

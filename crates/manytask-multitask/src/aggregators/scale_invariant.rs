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
        "scale_invariant"
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        positive(self.name(), step)?;
        Ok(step.losses.values().iter().map(|loss| loss.recip()).collect())
    }
}

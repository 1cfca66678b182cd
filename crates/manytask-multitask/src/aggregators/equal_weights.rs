use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::{AggregatorSettings, Property};
use crate::{Aggregator, LossWeighting, OnLosses, Result, StepInfo};

/// The mean of the present tasks' losses, `Σ lᵢ / K`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EqualWeights {}

impl Method for EqualWeights {
    const NAME: &'static str = "equal_weights";
    const SUMMARY: &'static str = "the mean of the losses";
    const ABOUT: &'static str = "The mean over the tasks that are present, 1/K Σ l.\n\
        LibMTL's EW is the sum: K times the gradient.";
}

impl AggregatorSettings for EqualWeights {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnLosses::new(*self, tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous, Property::LinearUnderScaling]
    }
}

impl LossWeighting for EqualWeights {
    fn name(&self) -> &'static str {
        EqualWeights::NAME
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let count = step.losses.len();
        Ok(vec![1.0 / count as f64; count])
    }
}

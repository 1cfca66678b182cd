use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::support::positive;
use super::{AggregatorSettings, Property};
use crate::{Aggregator, LossWeighting, OnLosses, Result, StepInfo};

/// The geometric loss strategy (Chennupati et al. 2019): the objective is `(Π lᵢ)^(1/K)`, so that
/// `wᵢ = exp(mean log l) / (K lᵢ)`.
///
/// Losses must be above 0. All is done with logarithms: a product of many losses would leave the range of numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeometricMean {}

impl Method for GeometricMean {
    const NAME: &'static str = "geometric_mean";
    const SUMMARY: &'static str = "the geometric mean of the losses";
    const ABOUT: &'static str = "\
        Chennupati et al. 2019 (GLS), arXiv:1904.08492: (Π l)^(1/K), computed with logarithms. Losses must \
        be above 0.";
}

impl AggregatorSettings for GeometricMean {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnLosses::new(*self, tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous, Property::LinearUnderScaling]
    }
}

impl LossWeighting for GeometricMean {
    fn name(&self) -> &'static str {
        GeometricMean::NAME
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        positive(self.name(), step)?;
        let logarithms: Vec<f64> = step.losses.values().iter().map(|loss| loss.ln()).collect();
        let count = logarithms.len() as f64;
        let mean = logarithms.iter().sum::<f64>() / count;
        Ok(logarithms.iter().map(|own| (mean - own).exp() / count).collect())
    }
}

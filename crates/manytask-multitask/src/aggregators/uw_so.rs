use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::support::{above_zero, positive, softmax};
use super::{AggregatorSettings, Property};
use crate::{Aggregator, LossWeighting, OnLosses, Result, StepInfo};

/// Soft optimal uncertainty weighting (Kirchdorfer et al. 2024): the weights that uncertainty weighting would learn are
/// `1 / lᵢ`; their softmax at a temperature is taken, `w = softmax(1 / (T lᵢ))`, as constants.
///
/// Losses must be above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UwSo {
    /// T; it is to be tuned, and in the paper it is from 1 to 100.
    pub temperature: f64,
}

impl Default for UwSo {
    fn default() -> Self {
        Self { temperature: 20.0 }
    }
}

impl Method for UwSo {
    const NAME: &'static str = "uw_so";
    const SUMMARY: &'static str = "the softmax of inverse losses";
    const ABOUT: &'static str = "\
        Kirchdorfer et al. 2024, arXiv:2408.07985: w = softmax(1 / (T l)), what uncertainty weighting \
        would learn, with a temperature that is to be tuned. Losses must be above 0.";
}

impl AggregatorSettings for UwSo {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(UwSo::NAME, "temperature", self.temperature)?;
        Ok(Box::new(OnLosses::new(*self, tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous, Property::LinearUnderScaling]
    }
}

impl LossWeighting for UwSo {
    fn name(&self) -> &'static str {
        UwSo::NAME
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        positive(self.name(), step)?;
        let inverse: Vec<f64> =
            step.losses.values().iter().map(|loss| (loss * self.temperature).recip().min(f64::MAX)).collect();
        Ok(softmax(&inverse))
    }
}

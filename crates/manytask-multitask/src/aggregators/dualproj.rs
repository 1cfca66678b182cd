use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::dual_cone::DualCone;
use super::{AggregatorSettings, Property};
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// The projection of the mean gradient onto the vectors that go against no task, `argmin ‖x − g₀‖` over `{x: J x ≥ 0}`, found
/// exactly: what gradient episodic memory (Lopez-Paz & Ranzato 2017) does, as `DualProj` of Quinton & Rey 2024.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DualProj {
    /// Of which gradients.
    pub level: Level,
}

#[derive(Debug)]
struct Projection;

impl Method for DualProj {
    const NAME: &'static str = "dualproj";
    const SUMMARY: &'static str = "the mean gradient projected to go against no task";
    const ABOUT: &'static str = "\
        Lopez-Paz & Ranzato 2017, arXiv:1706.08840; Quinton & Rey 2024: the nearest vector to the mean \
        gradient whose inner products with all gradients are at least 0, found exactly.";
}

impl AggregatorSettings for DualProj {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnGramian::new(Projection, self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::NonConflicting, Property::Homogeneous]
    }
}

impl GramianWeighting for Projection {
    fn name(&self) -> &'static str {
        DualProj::NAME
    }

    fn weights(&mut self, gramian: &Gramian, _step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let (lengths, cosines) = gramian.cosines();
        let count = lengths.len() as f64;
        // The mean in units of the longest gradient, and its inner products with unit gradients.
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        let mut weights = vec![1.0 / count; lengths.len()];
        if longest <= 0.0 {
            return Ok(weights);
        }
        let mean: Vec<f64> = lengths.iter().map(|length| length / longest / count).collect();
        let products = cosines.apply(&mean);
        if products.iter().all(|product| *product >= 0.0) {
            return Ok(weights);
        }
        let mut cone = DualCone::new(&cosines);
        cone.start(&products);
        cone.solve(&products, cosines.quadratic(&mean).max(0.0).sqrt());
        for ((weight, own), length) in weights.iter_mut().zip(cone.weights()).zip(&lengths) {
            if *own > 0.0 {
                *weight += own * (longest / length);
            }
        }
        Ok(weights)
    }
}

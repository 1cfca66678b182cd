use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::dual_cone::DualCone;
use super::{AggregatorSettings, Property};
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// Unconflicting projection of gradients (Quinton & Rey 2024): the mean of the gradients, each projected onto the vectors that
/// go against no task, `Σ π(gᵢ) / K` with `π(g) = argmin ‖x − g‖` over `{x: J x ≥ 0}`, found exactly.
///
/// Each projection is `Jᵀ v` with `argmin vᵀ G v` over `v ≥ eᵢ`. Two tasks get half of what [`PcGrad`](super::PcGrad) gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpGrad {
    /// Of which gradients.
    pub level: Level,
}

#[derive(Debug)]
struct Projections;

impl Method for UpGrad {
    const NAME: &'static str = "upgrad";
    const SUMMARY: &'static str = "the mean of gradients that each were projected to go against no task";
    const ABOUT: &'static str = "\
        Quinton & Rey 2024, arXiv:2406.16232: each gradient's nearest vector whose inner products with all \
        gradients are at least 0, found exactly; their mean is followed. With two tasks it is half of \
        pcgrad's direction, and with Adam the same.";
}

impl AggregatorSettings for UpGrad {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnGramian::new(Projections, self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[
            Property::PermutationInvariant,
            Property::NonConflicting,
            Property::Homogeneous,
            Property::LinearUnderScaling,
        ]
    }
}

impl GramianWeighting for Projections {
    fn name(&self) -> &'static str {
        UpGrad::NAME
    }

    fn weights(&mut self, gramian: &Gramian, _step: &StepInfo<'_>) -> Result<Vec<f64>> {
        Ok(weights(gramian))
    }
}

/// The mean over the tasks of the weights of their projected gradients.
fn weights(gramian: &Gramian) -> Vec<f64> {
    let (lengths, cosines) = gramian.cosines();
    let mut cone = DualCone::new(&cosines);
    let mut sum = vec![0.0; lengths.len()];
    for (task, own) in lengths.iter().enumerate() {
        // A gradient that goes against none stays as it is, and so does one of zero.
        if cosines.row(task).iter().any(|cosine| *cosine < 0.0) {
            cone.start(cosines.row(task));
            cone.solve(cosines.row(task), 1.0);
            for ((sum, weight), length) in sum.iter_mut().zip(cone.weights()).zip(&lengths) {
                if *weight > 0.0 {
                    *sum += weight * (own / length);
                }
            }
        }
        if let Some(sum) = sum.get_mut(task) {
            *sum += 1.0;
        }
    }
    sum.iter().map(|weight| weight / lengths.len() as f64).collect()
}

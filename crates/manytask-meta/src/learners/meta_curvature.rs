use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::dimensions::Factors;
use crate::inner::{Adapts, InnerLoop};
use crate::learned_step::{LearnedStep, StepAt};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::positive;
use crate::outer_gradient::OuterGradient;
use crate::shape::EpisodeShape;

/// Meta-Curvature (Park & Oliva 2019, arXiv:1902.03356): `φₖ₊₁ = φₖ − α M(∇L_support(φₖ))` with a learned linear map M of each tensor's
/// gradient, a product along its dimensions (equation 7): `M_o G M_iᵀ` of a matrix, and of kernels `[O, I, h, w]` also along the positions
/// h·w.
///
/// Each factor is `I + A` with A an entry `learner.curvature.NAME.DIMENSION`, which starts at 0: it begins as MAML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaCurvature {
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// α.
    pub inner_learning_rate: f64,
    /// Which parameters adapt.
    pub adapts: Adapts,
    /// How the outer gradient sees the inner gradients; that of the factors is there in either way.
    pub outer_gradient: OuterGradient,
}

impl Default for MetaCurvature {
    fn default() -> Self {
        Self {
            inner_steps: 1,
            inner_learning_rate: 0.01,
            adapts: Adapts::All,
            outer_gradient: OuterGradient::SecondOrder,
        }
    }
}

/// The factors of each tensor that adapts, along its dimensions.
#[derive(Debug)]
struct Curvature {
    factors: Vec<Factors>,
    rate: f64,
}

impl Method for MetaCurvature {
    const NAME: &'static str = "meta_curvature";
    const SUMMARY: &'static str = "MAML with learned linear maps of the gradients";
    const ABOUT: &'static str = "\
        Park & Oliva 2019, arXiv:1902.03356: φ = θ − α M_o G M_i with a learned matrix along each dimension of a tensor, \
        which starts as that of MAML; entries `learner.curvature.NAME.DIMENSION` of the checkpoint.";
}

impl LearnerSpec for MetaCurvature {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        _shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        positive("inner_learning_rate", self.inner_learning_rate)?;
        let settings = (self.inner_steps, &self.adapts, self.outer_gradient);
        InnerLoop::of_learned_rule(Self::NAME, settings, backbone, |slots| {
            let mut factors = Vec::new();
            for slot in slots {
                let entry = backbone.layout.entry(*slot)?;
                factors.push(Factors::new(&mut b.scope("curvature").scope(&entry.name), &entry.shape)?);
            }
            Ok(Box::new(Curvature { factors, rate: self.inner_learning_rate }))
        })
    }
}

impl LearnedStep for Curvature {
    fn next(&self, at: StepAt<'_>) -> Result<Vec<Tensor>> {
        at.each()
            .zip(&self.factors)
            .map(|(each, factors)| {
                let (value, gradient) = each?;
                Ok(value.f_sub(&factors.apply(gradient, at.params)?.f_mul_scalar(self.rate)?)?)
            })
            .collect()
    }
}

use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_tensor::{Method, Tensor};
use serde::{Deserialize, Serialize};

use super::alfa::generated;
use crate::backbone::Backbone;
use crate::inner::{Adapts, InnerLoop};
use crate::learned_step::{LearnedStep, StepAt};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::positive;
use crate::outer_gradient::OuterGradient;
use crate::shape::EpisodeShape;

/// L2F, learning to forget (Baik et al. 2020, arXiv:1906.05895): before a task's inner steps the start is attenuated, tensor by tensor, by
/// what the task's gradients at it say.
///
/// `φ₀ = γ θ` for each tensor, `γ = sigmoid(g(means of ∇L_support(θ)))` with a perceptron g of two hidden layers as wide as there are
/// tensors (section 3.3), then `φₖ₊₁ = φₖ − α ∇L_support(φₖ)`. The attenuation is part of the first inner step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct L2f {
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// α.
    pub inner_learning_rate: f64,
    /// Which parameters adapt, and are attenuated.
    pub adapts: Adapts,
    /// How the outer gradient sees the inner gradients; that of the attenuation is there in either way.
    pub outer_gradient: OuterGradient,
}

impl Default for L2f {
    fn default() -> Self {
        Self {
            inner_steps: 5,
            inner_learning_rate: 0.01,
            adapts: Adapts::All,
            outer_gradient: OuterGradient::SecondOrder,
        }
    }
}

#[derive(Debug)]
struct Attenuating {
    generator: Mlp,
    rate: f64,
}

impl Method for L2f {
    const NAME: &'static str = "l2f";
    const SUMMARY: &'static str = "MAML whose start is attenuated for each task";
    const ABOUT: &'static str = "\
        Baik et al. 2020, arXiv:1906.05895: φ₀ = γ θ with γ of each tensor by a perceptron of the means of the task's \
        gradients, then inner steps as MAML.";
}

impl LearnerSpec for L2f {
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
            let tensors = slots.len() as i64;
            let config =
                MlpConfig { hidden: vec![tensors, tensors], output: Some(tensors), ..MlpConfig::default() };
            let generator = Mlp::new(&mut b.scope("generator"), tensors, &config)?;
            Ok(Box::new(Attenuating { generator, rate: self.inner_learning_rate }))
        })
    }
}

impl LearnedStep for Attenuating {
    fn start(&self, at: StepAt<'_>) -> Result<Option<Vec<Tensor>>> {
        let kept = generated(&at, &self.generator, &at.means(at.gradients.iter().map(Ok))?)?.f_sigmoid()?;
        let attenuated = at.each().enumerate().map(|(place, each)| {
            let (value, _) = each?;
            Ok(value.f_mul(&at.alike(&kept.f_select(1, place as i64)?, value)?)?)
        });
        attenuated.collect::<Result<Vec<_>>>().map(Some)
    }

    fn next(&self, at: StepAt<'_>) -> Result<Vec<Tensor>> {
        at.each()
            .map(|each| {
                let (value, gradient) = each?;
                Ok(value.f_sub(&gradient.f_mul_scalar(self.rate)?)?)
            })
            .collect()
    }
}

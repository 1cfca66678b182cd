use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Init, Method, Role};
use serde::{Deserialize, Serialize};

use super::maml::check_checkpoints;
use crate::backbone::Backbone;
use crate::descent::Rates;
use crate::inner::{Adapts, InnerLoop, InnerRule, check_steps};
use crate::learner::{Learner, LearnerSpec};
use crate::outer_gradient::OuterGradient;
use crate::shape::EpisodeShape;

/// Meta-SGD (Li et al. 2017, arXiv:1707.09835): `φₖ₊₁ = φₖ − α ∘ ∇L_support(φₖ)` with a rate α for each number that adapts,
/// learned together with θ by the gradient of `L_query(φ_K(θ, α))` (equation 2 and algorithm 1).
///
/// Rates are of any sign: nothing keeps them above 0. They are entries `learner.rate.NAME` beside the parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaSgd {
    /// K, the inner steps in training; 1 in the paper.
    pub inner_steps: u32,
    /// The lowest and highest rate that is drawn to begin with, uniformly for each number.
    pub initial_rate: [f64; 2],
    /// Which parameters adapt.
    pub adapts: Adapts,
    /// How the outer gradient sees the inner gradients; that of the rates is there in either way.
    pub outer_gradient: OuterGradient,
    /// As [`Maml::checkpoint_every`](crate::Maml::checkpoint_every).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<u32>,
}

impl Default for MetaSgd {
    fn default() -> Self {
        Self {
            inner_steps: 1,
            initial_rate: [0.005, 0.1],
            adapts: Adapts::All,
            outer_gradient: OuterGradient::SecondOrder,
            checkpoint_every: None,
        }
    }
}

impl MetaSgd {
    fn check(&self) -> Result<()> {
        let [low, high] = self.initial_rate;
        if !((low as f32).is_finite() && (high as f32).is_finite() && low <= high) {
            return Err(Error::setting(
                ("initial_rate", usize::from((low as f32).is_finite())),
                format!("initial_rate is [{low}, {high}]"),
                "take a range from low to high, finite in single precision",
            ));
        }
        self.outer_gradient.of_learned_rules(Self::NAME)?;
        check_checkpoints(self.checkpoint_every, self.outer_gradient)?;
        check_steps(self.inner_steps)
    }
}

impl Method for MetaSgd {
    const NAME: &'static str = "meta_sgd";
    const SUMMARY: &'static str = "MAML with a learned rate for each parameter";
    const ABOUT: &'static str = "\
        Li et al. 2017, arXiv:1707.09835, algorithm 1: φ = θ − α ∘ ∇L_support(θ) with α learned beside θ, of \
        any sign; entries `learner.rate.NAME` of the checkpoint.";
}

impl LearnerSpec for MetaSgd {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        _shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        self.check()?;
        let slots = self.adapts.some(&backbone.layout)?;
        let [low, high] = self.initial_rate;
        let init = if low < high { Init::Uniform { low, high } } else { Init::Constant(low) };
        let mut b = b.scope("rate");
        let rates = slots.iter().map(|slot| {
            let entry = backbone.layout.entry(*slot)?;
            // A scale: not decayed.
            Ok(b.parameter(&entry.name, &entry.shape, init, Role::Scale)?)
        });
        Ok(Box::new(InnerLoop {
            steps: self.inner_steps,
            rates: Rates::Each(rates.collect::<Result<_>>()?),
            rule: InnerRule::default(),
            slots,
            outer_gradient: self.outer_gradient,
            checkpoint_every: self.checkpoint_every,
            learned: None,
        }))
    }
}

use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Method, Within as _};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::descent::Rates;
use crate::inner::{Adapts, InnerLoop, InnerRule, check_steps};
use crate::learner::{Learner, LearnerSpec};
use crate::outer_gradient::OuterGradient;
use crate::shape::EpisodeShape;

/// Model-agnostic meta-learning (Finn et al. 2017): `φ₀ = θ`, `φₖ₊₁ = φₖ − α ∇L_support(φₖ)`, and the meta-gradient is that of
/// `L_query(φ_K(θ))` by θ.
///
/// What adapts, the inner rule and the outer gradient are apart: with `outer_gradient = "first_order"` it is FOMAML, with
/// `"difference"` Reptile (Nichol et al. 2018), with `adapts = "head"` ANIL (Raghu et al. 2020), with `adapts = "body"` BOIL (Oh
/// et al. 2021).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Maml {
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// α.
    pub inner_learning_rate: f64,
    /// How an inner gradient becomes an inner step.
    pub inner_rule: InnerRule,
    /// Which parameters adapt.
    pub adapts: Adapts,
    /// How the outer gradient sees the inner steps.
    pub outer_gradient: OuterGradient,
    /// After how many inner steps the parameters are kept for the way back; what lies between is computed again then, so that
    /// memory grows with these steps and no more with all of them. Absent: everything is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<u32>,
}

impl Default for Maml {
    fn default() -> Self {
        Self {
            inner_steps: 1,
            inner_learning_rate: 0.01,
            inner_rule: InnerRule::default(),
            adapts: Adapts::All,
            outer_gradient: OuterGradient::SecondOrder,
            checkpoint_every: None,
        }
    }
}

impl Maml {
    fn check(&self) -> Result<()> {
        let rate = self.inner_learning_rate;
        // As it is used: 1e39 is infinite there, and 1e-46 is 0.
        if !((rate as f32).is_finite() && rate as f32 > 0.0) {
            return Err(Error::setting(
                "inner_learning_rate",
                format!("inner_learning_rate is {rate}"),
                "it must be above 0 and finite in single precision",
            ));
        }
        check_steps(self.inner_steps)?;
        check_checkpoints(self.checkpoint_every, self.outer_gradient)?;
        if self.checkpoint_every.is_some() && !self.inner_rule.is_plain() {
            return Err(Error::setting(
                "checkpoint_every",
                "checkpoint_every with an inner rule that has a state or a decay",
                "take plain sgd, or leave checkpoint_every out",
            ));
        }
        Ok(self.inner_rule.0.check().within(["inner_rule", self.inner_rule.0.name()])?)
    }
}

/// Refuses checkpoints after no step, and where there is no way back.
pub(super) fn check_checkpoints(every: Option<u32>, outer_gradient: OuterGradient) -> Result<()> {
    if every == Some(0) {
        return Err(Error::setting(
            "checkpoint_every",
            "checkpoint_every is 0",
            "take 1 at least, or leave it out",
        ));
    }
    if every.is_some() && outer_gradient == OuterGradient::Difference {
        return Err(Error::setting(
            "checkpoint_every",
            "checkpoint_every with outer_gradient = \"difference\", which has no way back and keeps no step",
            "leave checkpoint_every out",
        ));
    }
    Ok(())
}

impl Method for Maml {
    const NAME: &'static str = "maml";
    const SUMMARY: &'static str = "a start from which few steps of gradient descent lead far";
    const ABOUT: &'static str = "\
        Finn et al. 2017, arXiv:1703.03400: the gradient of the query loss goes through the inner steps. \
        With `checkpoint_every = C` the parameters of every C-th inner step are kept and what lies between \
        is computed again: less memory for many inner steps, at most one further pass through them. Left \
        out, all is kept.";
}

impl LearnerSpec for Maml {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn build(
        &self,
        _b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        _shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        self.check()?;
        Ok(Box::new(InnerLoop {
            steps: self.inner_steps,
            rates: Rates::One(self.inner_learning_rate),
            rule: self.inner_rule.clone(),
            slots: self.adapts.some(&backbone.layout)?,
            outer_gradient: self.outer_gradient,
            checkpoint_every: self.checkpoint_every,
            learned: None,
        }))
    }
}

use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::adaptation::{Adaptation, leaves};
use crate::backbone::Backbone;
use crate::descent::Rates;
use crate::episode::{Episode, Support};
use crate::inner::{Adapts, InnerLoop, InnerRule, check_steps};
use crate::learner::{Learner, LearnerSpec, Objective, Predictor};
use crate::logits::positive;
use crate::outer_gradient::{GradientMode, OuterGradient};
use crate::shape::EpisodeShape;

/// `WarpGrad` (Flennerhag et al. 2020, arXiv:1909.00025): warp layers, which inner steps leave alone, precondition the gradients of the others.
///
/// `warp` names layers of the network between those that adapt. They are trained by the canonical objective (equation 8): at each point θₖ
/// of a task's path, taken for a constant, one step `θₖ − α ∇L_support(θₖ; φ)` is made and judged by the queries; the mean over the path is
/// minimised by the warp layers φ. No gradient goes through more than one step, however many there are. The start θ₀, for which the
/// paper takes any method, learns from the first step of the path as MAML's does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarpGrad {
    /// K, the inner steps.
    pub inner_steps: u32,
    /// α.
    pub inner_learning_rate: f64,
    /// The warp layers, by what their names begin with.
    pub warp: Vec<String>,
}

impl Default for WarpGrad {
    fn default() -> Self {
        Self { inner_steps: 5, inner_learning_rate: 0.01, warp: vec!["layer1.".into()] }
    }
}

/// What [`WarpGrad`] builds.
#[derive(Debug)]
struct Warped(InnerLoop);

impl Method for WarpGrad {
    const NAME: &'static str = "warp_grad";
    const SUMMARY: &'static str =
        "layers that precondition the inner steps of the others, learned along the path";
    const ABOUT: &'static str = "\
        Flennerhag et al. 2020, arXiv:1909.00025: `warp` names layers, such as \"layer1.\", that inner steps leave alone. They learn from one step at each \
        point of a task's path, so that memory and time of a gradient do not grow with the length of differentiated paths; the start learns from the \
        first step.";
}

impl LearnerSpec for WarpGrad {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn build(
        &self,
        _b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        _shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        check_steps(self.inner_steps)?;
        positive("inner_learning_rate", self.inner_learning_rate)?;
        let warp = Adapts::Named(self.warp.clone()).slots(&backbone.layout);
        let all = Adapts::All.slots(&backbone.layout);
        let slots: Vec<_> = all.iter().filter(|slot| !warp.contains(slot)).copied().collect();
        if warp.is_empty() || slots.is_empty() {
            let names: Vec<&str> =
                backbone.layout.entries().iter().map(|entry| entry.name.as_str()).collect();
            let found = if warp.is_empty() { "none" } else { "all" };
            return Err(Error::setting(
                "warp",
                format!("warp = [{}] names {found} of the network's parameters", self.warp.join(", ")),
                format!("name layers between others; the parameters are {}", names.join(", ")),
            ));
        }
        Ok(Box::new(Warped(InnerLoop {
            steps: self.inner_steps,
            rates: Rates::One(self.inner_learning_rate),
            rule: InnerRule::default(),
            slots,
            outer_gradient: OuterGradient::FirstOrder,
            checkpoint_every: None,
            learned: None,
        })))
    }
}

impl Learner for Warped {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        self.0.adapt(support, params, mode)
    }

    fn objective(&self, episode: &Episode<'_>, params: &Params, _mode: GradientMode) -> Result<Objective> {
        let mut at = params.share();
        let mut sum: Option<Tensor> = None;
        for done in 0..self.0.steps {
            let path = Adaptation::new(&self.0, &episode.support, &at, GradientMode::Differentiable)?;
            let mut path = path.after(u64::from(done));
            path.advance()?;
            let losses = self.query_losses(&path.predict(&episode.query_x)?, episode)?;
            sum = Some(match sum.take() {
                None => losses,
                Some(sum) => sum.f_add(&losses)?,
            });
            // What adapts begins anew, as a constant; the warp layers stay those of the meta-parameters.
            let reached = leaves(&path.into_params(), &self.0.slots)?;
            for slot in &self.0.slots {
                at.put(*slot, reached.get(*slot)?.shallow_clone())?;
            }
        }
        let sum = sum.ok_or_else(|| Error::setting("inner_steps", "no inner step", "take 1 at least"))?;
        Ok(Objective::new(sum.f_div_scalar(f64::from(self.0.steps))?))
    }

    fn steps(&self) -> Option<u32> {
        Some(self.0.steps)
    }

    fn outer_gradient(&self) -> OuterGradient {
        // The path counts as constants.
        self.0.outer_gradient
    }
}

use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Graph, Method, Params, Tensor, WHOLE, gradients};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::episode::Support;
use crate::inner::check_steps;
use crate::learner::{Learner, LearnerSpec, Predictor};
use crate::logits::positive;
use crate::outer_gradient::{GradientMode, OuterGradient};
use crate::prediction::Prediction;
use crate::shape::{EpisodeShape, NetworkShape};

/// CAVIA (Zintgraf et al. 2019, arXiv:1810.03642): only some context parameters adapt, which are further inputs of the network; the
/// network's own parameters are shared by all tasks.
///
/// The context φ starts at 0 in each task, `φ ← φ − α ∇_φ L_support(θ, φ)` (equation 5), and θ learns from the query loss at the adapted φ
/// (equation 6), through the steps. Examples are vectors, to which φ is appended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cavia {
    /// How many numbers φ has; 5 for sine waves in the paper.
    pub context_parameters: i64,
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// α; 1 in the paper.
    pub inner_learning_rate: f64,
    /// How the outer gradient sees the inner gradients.
    pub outer_gradient: OuterGradient,
}

impl Default for Cavia {
    fn default() -> Self {
        Self {
            context_parameters: 5,
            inner_steps: 1,
            inner_learning_rate: 1.0,
            outer_gradient: OuterGradient::SecondOrder,
        }
    }
}

/// What [`Cavia`] builds.
#[derive(Debug)]
struct Contextual {
    settings: Cavia,
}

/// A context on its way through a support set.
struct Adapting<'a> {
    settings: Cavia,
    support: &'a Support<'a>,
    mode: GradientMode,
    params: Params,
    /// `[T?, C]`.
    context: Tensor,
    done: u64,
}

impl Method for Cavia {
    const NAME: &'static str = "cavia";
    const SUMMARY: &'static str = "further inputs that adapt, behind which all tasks share a network";
    const ABOUT: &'static str = "\
        Zintgraf et al. 2019, arXiv:1810.03642: `context_parameters` numbers are appended to each example, \
        start at 0 in each task and alone adapt. For examples that are vectors.";
}

impl LearnerSpec for Cavia {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        let inputs: i64 = shape.input.iter().product();
        let input = vec![inputs.saturating_add(self.context_parameters.max(0))];
        NetworkShape { input, outputs: Some(shape.outputs) }
    }

    fn build(
        &self,
        _b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        const MOST: i64 = 1 << 16;
        positive("inner_learning_rate", self.inner_learning_rate)?;
        check_steps(self.inner_steps)?;
        if !(1..=MOST).contains(&self.context_parameters) {
            let what = format!("context_parameters is {}", self.context_parameters);
            return Err(Error::setting("context_parameters", what, format!("take 1 to {MOST}")));
        }
        if shape.input.len() != 1 {
            return Err(Error::setting(
                WHOLE,
                "`cavia` on examples that are no vectors of numbers",
                "take such tasks, e.g. `sinusoid`, or another learner, e.g. `anil`",
            ));
        }
        if self.outer_gradient == OuterGradient::Difference {
            return Err(Error::setting(
                "outer_gradient",
                "outer_gradient = \"difference\" with `cavia`, which changes no parameters of the network in a task",
                "take \"second_order\" or \"first_order\"",
            ));
        }
        backbone.trained(self.name())?;
        Ok(Box::new(Contextual { settings: *self }))
    }
}

impl Learner for Contextual {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        let params = if mode == GradientMode::Off { params.detach()? } else { params.share() };
        let shape: Vec<i64> = support.tasks.into_iter().chain([self.settings.context_parameters]).collect();
        let context = Tensor::f_zeros(shape, (params.kind(), params.device()))?;
        Ok(Box::new(Adapting { settings: self.settings, support, mode, params, context, done: 0 }))
    }

    fn steps(&self) -> Option<u32> {
        Some(self.settings.inner_steps)
    }

    fn outer_gradient(&self) -> OuterGradient {
        self.settings.outer_gradient
    }
}

impl Adapting<'_> {
    fn forward(&self, x: &Tensor, context: &Tensor, number: u64) -> Result<Tensor> {
        let mut shape = x.size();
        if let Some(width) = shape.last_mut() {
            *width = self.settings.context_parameters;
        }
        let context = context.f_unsqueeze(-2)?.f_expand(shape, false)?;
        let joined = Tensor::f_cat(&[x, &context], -1)?;
        self.support.forward(self.support.network, &self.params, &joined, number)
    }
}

impl Predictor for Adapting<'_> {
    fn advance(&mut self) -> Result<()> {
        let support = self.support;
        let differentiable = self.mode == GradientMode::Differentiable;
        // The first context is a constant, and with constants for inner gradients all are.
        let context = if self.context.requires_grad() {
            self.context.shallow_clone()
        } else {
            self.context.f_detach()?.f_set_requires_grad(true)?
        };
        let prediction = self.forward(&support.x, &context, 2 * self.done)?;
        let loss = support.loss.mean(&prediction, &support.y, None, support.tasks)?;
        let graph = if differentiable { Graph::Differentiable } else { Graph::Free };
        let found = gradients(&loss.f_sum(loss.kind())?, &[&context], graph)?;
        for found in found {
            let next = context.f_sub(&found.f_mul_scalar(self.settings.inner_learning_rate)?)?;
            self.context = if differentiable { next } else { next.f_detach()? };
        }
        self.done += 1;
        Ok(())
    }

    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        Ok(Prediction::values(self.forward(x, &self.context, 2 * self.done + 1)?))
    }
}

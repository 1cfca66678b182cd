use manytask_multitask::Result;
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_nn::{Builder, Module};
use manytask_tensor::{Init, Method, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{with_dimension, without_dimension};
use crate::inner::{Adapts, InnerLoop};
use crate::learned_step::{LearnedStep, StepAt};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::{not_negative, positive};
use crate::outer_gradient::OuterGradient;
use crate::shape::EpisodeShape;

/// ALFA (Baik et al. 2020, arXiv:2011.00209): rates and decays of an inner step are made for the task and the step by a perceptron.
///
/// `φₖ₊₁ = (1 − β) φₖ − α ∇L_support(φₖ)` for each tensor (equation 4), with `(a, b) = g([means of ∇L, means of φₖ])` (equation 5) over all
/// tensors that adapt and `α = α₀ (1 + a)`, `β = β₀ (1 + b)`, where α₀ and β₀ are learned for each tensor and step (entries `learner.rates`
/// and `learner.decays`); steps beyond those of training have the last ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alfa {
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// What α₀ starts from.
    pub inner_learning_rate: f64,
    /// What β₀ starts from; 5e-4 in the authors' code.
    pub inner_weight_decay: f64,
    /// Which parameters adapt.
    pub adapts: Adapts,
    /// How the outer gradient sees the inner gradients; that of the rule is there in either way.
    pub outer_gradient: OuterGradient,
}

impl Default for Alfa {
    fn default() -> Self {
        Self {
            inner_steps: 5,
            inner_learning_rate: 0.01,
            inner_weight_decay: 5e-4,
            adapts: Adapts::All,
            outer_gradient: OuterGradient::SecondOrder,
        }
    }
}

/// The perceptron, and what its numbers multiply, `[K, L]`.
#[derive(Debug)]
struct Generated {
    generator: Mlp,
    rates: Slot,
    decays: Slot,
    steps: i64,
}

impl Method for Alfa {
    const NAME: &'static str = "alfa";
    const SUMMARY: &'static str = "MAML with rates and decays that a perceptron makes for each task and step";
    const ABOUT: &'static str = "\
        Baik et al. 2020, arXiv:2011.00209: φ ← (1 − β) φ − α ∇L with α and β of each tensor by a perceptron of the means of \
        gradients and parameters, times learned numbers of each tensor and step.";
}

impl LearnerSpec for Alfa {
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
        not_negative("inner_weight_decay", self.inner_weight_decay)?;
        let settings = (self.inner_steps, &self.adapts, self.outer_gradient);
        InnerLoop::of_learned_rule(Self::NAME, settings, backbone, |slots| {
            let (steps, tensors) = (i64::from(self.inner_steps), slots.len() as i64);
            let config =
                MlpConfig { hidden: vec![2 * tensors], output: Some(2 * tensors), ..MlpConfig::default() };
            let generator = Mlp::new(&mut b.scope("generator"), 2 * tensors, &config)?;
            let mut start = |name: &str, value: f64| {
                b.parameter(name, &[steps, tensors], Init::Constant(value), Role::Scale)
            };
            let rates = start("rates", self.inner_learning_rate)?;
            let decays = start("decays", self.inner_weight_decay)?;
            Ok(Box::new(Generated { generator, rates, decays, steps }))
        })
    }
}

/// What a perceptron makes of rows `[T, I]`, one of each task: `[T, O]`.
pub(super) fn generated(at: &StepAt<'_>, generator: &dyn Module, rows: &Tensor) -> Result<Tensor> {
    let tasks = at.support.tasks;
    let number = (1 << 33) + at.done;
    let rows = without_dimension(&rows.f_unsqueeze(1)?, tasks)?;
    let made = at.support.forward(generator, at.params, &rows, number)?;
    Ok(with_dimension(&made, tasks)?.f_squeeze_dim(1)?)
}

impl LearnedStep for Generated {
    fn next(&self, at: StepAt<'_>) -> Result<Vec<Tensor>> {
        let gradients = at.gradients.iter().map(Ok);
        let means = at.means(gradients.chain(at.slots.iter().map(|slot| Ok(at.params.get(*slot)?))))?;
        let factors = generated(&at, &self.generator, &means)?.f_add_scalar(1.0)?;
        let tensors = at.slots.len() as i64;
        let step = (at.done as i64).min(self.steps - 1);
        let of = |slot: Slot, first: i64| -> Result<Tensor> {
            let start = with_dimension(at.params.get(slot)?, at.support.tasks)?.f_select(1, step)?;
            Ok(factors.f_narrow(1, first, tensors)?.f_mul(&start)?)
        };
        let (rates, decays) = (of(self.rates, 0)?, of(self.decays, tensors)?);
        at.each()
            .enumerate()
            .map(|(place, each)| {
                let (value, gradient) = each?;
                let one = |all: &Tensor| at.alike(&all.f_select(1, place as i64)?, value);
                let kept = value.f_sub(&value.f_mul(&one(&decays)?)?)?;
                Ok(kept.f_sub(&gradient.f_mul(&one(&rates)?)?)?)
            })
            .collect()
    }
}

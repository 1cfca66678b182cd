use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Init, Method, Params, Role, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::descent::Rates;
use crate::episode::{Episode, Support};
use crate::inner::{Adapts, InnerLoop, InnerRule, check_steps};
use crate::learner::{Learner, LearnerSpec, Objective, Predictor};
use crate::logits::positive;
use crate::outer_gradient::{GradientMode, OuterGradient};
use crate::shape::EpisodeShape;

/// MAML++ (Antoniou et al. 2019, arXiv:1810.09502), each of its parts by itself: learned rates for each tensor and step (LSLR), the losses of
/// all inner steps (MSL), and first-order steps before second-order ones (DA).
///
/// The cosine annealing of the outer rate (CA) is `[schedule] kind = "cosine"`. Batch-norm has one set of weights and statistics for all
/// steps here: BNWB and BNRS are not part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MamlPlusPlus {
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// The rate of all inner steps, or that which learned ones start from.
    pub inner_learning_rate: f64,
    /// Whose rates are learned.
    pub learned_rates: LearnedRates,
    /// For so many steps of the training the losses after all inner steps count, with the weights of the authors' code, which go from equal
    /// ones to the last alone; 0: the last alone always.
    pub multi_step_loss_steps: u64,
    /// For so many steps of the training inner gradients are constants; exact from then on.
    pub first_order_steps: u64,
    /// Which parameters adapt.
    pub adapts: Adapts,
}

/// Whose rates are learned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnedRates {
    /// None: there is one, and it is fixed.
    None,
    /// Each tensor's in each step, entries `learner.rate.STEP.NAME` of one number and of any sign. Steps beyond those of training have the
    /// last one's.
    #[default]
    PerTensorAndStep,
}

impl Default for MamlPlusPlus {
    fn default() -> Self {
        Self {
            inner_steps: 5,
            inner_learning_rate: 0.1,
            learned_rates: LearnedRates::PerTensorAndStep,
            multi_step_loss_steps: 5000,
            first_order_steps: 0,
            adapts: Adapts::All,
        }
    }
}

/// What [`MamlPlusPlus`] builds.
#[derive(Debug)]
struct PlusPlus {
    inner: InnerLoop,
    multi_step_loss_steps: u64,
    first_order_steps: u64,
}

impl Method for MamlPlusPlus {
    const NAME: &'static str = "maml_pp";
    const SUMMARY: &'static str = "MAML++: learned rates of each tensor and step, losses of all inner steps";
    const ABOUT: &'static str = "\
        Antoniou et al. 2019, arXiv:1810.09502: `learned_rates`, `multi_step_loss_steps` (0: the last loss \
        alone) and `first_order_steps` each by itself, the cosine by [schedule]; without the parts of \
        batch-norm for each step.";
}

impl LearnerSpec for MamlPlusPlus {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        _shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        /// So many steps of so many tensors have rates.
        const MOST: u32 = 100;
        check_steps(self.inner_steps)?;
        positive("inner_learning_rate", self.inner_learning_rate)?;
        let slots = self.adapts.some(&backbone.layout)?;
        let rates = match self.learned_rates {
            LearnedRates::None => Rates::One(self.inner_learning_rate),
            LearnedRates::PerTensorAndStep if self.inner_steps > MOST => {
                return Err(Error::setting(
                    "inner_steps",
                    format!("inner_steps is {} with learned rates for each", self.inner_steps),
                    format!("take 1 to {MOST}, or learned_rates = \"none\""),
                ));
            }
            LearnedRates::PerTensorAndStep => {
                let start = Init::Constant(self.inner_learning_rate);
                let mut of_steps = Vec::new();
                for step in 0..self.inner_steps {
                    let mut b = b.scope(format!("rate.{step}"));
                    let of_step = slots.iter().map(|slot| {
                        Ok(b.parameter(&backbone.layout.entry(*slot)?.name, &[1], start, Role::Scale)?)
                    });
                    of_steps.push(of_step.collect::<Result<Vec<_>>>()?);
                }
                Rates::EachStep(of_steps)
            }
        };
        let inner = InnerLoop {
            steps: self.inner_steps,
            rates,
            rule: InnerRule::default(),
            slots,
            outer_gradient: OuterGradient::SecondOrder,
            checkpoint_every: None,
            learned: None,
        };
        Ok(Box::new(PlusPlus {
            inner,
            multi_step_loss_steps: self.multi_step_loss_steps,
            first_order_steps: self.first_order_steps,
        }))
    }
}

impl Learner for PlusPlus {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        self.inner.adapt(support, params, mode)
    }

    fn objective(&self, episode: &Episode<'_>, params: &Params, mode: GradientMode) -> Result<Objective> {
        let step = episode.support.step().unwrap_or(u64::MAX);
        let mode = match mode {
            GradientMode::Differentiable if step < self.first_order_steps => GradientMode::FirstOrder,
            mode => mode,
        };
        let weights = weights(self.inner.steps, step, self.multi_step_loss_steps);
        let mut predictor = self.adapt(&episode.support, params, mode)?;
        let mut sum: Option<Tensor> = None;
        for weight in weights {
            predictor.advance()?;
            if weight == 0.0 {
                continue;
            }
            let losses = self.query_losses(&predictor.predict(&episode.query_x)?, episode)?;
            let weighted = losses.f_mul_scalar(weight)?;
            sum = Some(match sum {
                None => weighted,
                Some(sum) => sum.f_add(&weighted)?,
            });
        }
        let losses = sum.ok_or_else(|| Error::setting("inner_steps", "no inner step", "take 1 at least"))?;
        Ok(Objective::new(losses))
    }

    fn steps(&self) -> Option<u32> {
        Some(self.inner.steps)
    }

    fn changes_with_steps(&self) -> bool {
        self.multi_step_loss_steps > 0 || self.first_order_steps > 0
    }
}

/// The weights of the losses after each of K inner steps, at a share f of the annealing: `max((1 − f)/K, 0.03/K)`, and what is left of 1 for the
/// last one; after the annealing the last alone.
fn weights(inner_steps: u32, step: u64, annealing: u64) -> Vec<f64> {
    /// The share of an equal weight that the losses before the last keep until the end.
    const LEAST: f64 = 0.03;
    let count = f64::from(inner_steps);
    let before = if step >= annealing {
        0.0
    } else {
        ((1.0 - step as f64 / annealing as f64) / count).max(LEAST / count)
    };
    let mut weights = vec![before; inner_steps as usize];
    if let Some(last) = weights.last_mut() {
        *last = 1.0 - (count - 1.0) * before;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_go_from_equal_ones_to_the_last_alone_as_in_the_authors_code() {
        // E = 10 epochs, S = 5: w = max(1/S − e·d, 0.03/S) with d = 1/(S·E), the last min(1/S + e(S − 1)d, 1 − (S − 1)·0.03/S).
        let (s, e) = (5.0, 10.0);
        for epoch in 0..10 {
            let d = 1.0 / (s * e);
            let own = (1.0 / s - f64::from(epoch) * d).max(0.03 / s);
            let last = (1.0 / s + f64::from(epoch) * (s - 1.0) * d).min(1.0 - (s - 1.0) * 0.03 / s);
            let found = weights(5, epoch as u64 * 500, 5000);
            assert!(found[..4].iter().all(|weight| (weight - own).abs() < 1e-12), "{epoch}: {found:?}");
            assert!((found[4] - last).abs() < 1e-12, "{epoch}: {found:?}");
        }
        assert_eq!(weights(3, 5000, 5000), [0.0, 0.0, 1.0]);
        assert_eq!(weights(3, 0, 0), [0.0, 0.0, 1.0]);
        assert_eq!(weights(1, 7, 5000), [1.0]);
    }
}

use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::scalar_optimizer::{ScalarOptimizer, ScalarRule};
use super::support::{at_least_zero, positive, rate, softmax};
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, State, StepInfo};

/// Loss discrepancy control (Xiao et al. 2025): a learned weighting whose tasks are kept at losses that are alike.
///
/// The first-order form of its bilevel problem, one objective for everything:
/// `Σ σᵢ lᵢ + λ Σ_{i<K} |τᵢ lᵢ − τᵢ₊₁ lᵢ₊₁|`, `σ = softmax(s)`, with the present tasks in their order. So a loss counts by
/// `σᵢ + λ τᵢ (sign(τᵢ lᵢ − τᵢ₊₁ lᵢ₊₁) − sign(τᵢ₋₁ lᵢ₋₁ − τᵢ lᵢ))`. s has a number for each task, which follows its gradient
/// `σᵢ (lᵢ − Σ σⱼ lⱼ)` with its own Adam; in the paper it is given by a small network on the shared features. Those of absent tasks rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LdcMtl {
    /// λ, how strongly losses are kept alike.
    pub strength: f64,
    /// τ, what a loss is measured by where losses are compared.
    pub scale: LossScale,
    /// The rate at which s is learned. Absent: the learning rate of the step.
    pub learning_rate: Option<f64>,
}

/// What losses are measured by where they are compared with each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossScale {
    /// Nothing, τ = 1.
    #[default]
    Identity,
    /// A task's loss at its first step, τ = 1 / l(0).
    Initial,
}

impl Default for LdcMtl {
    fn default() -> Self {
        Self { strength: 0.1, scale: LossScale::Identity, learning_rate: None }
    }
}

#[derive(Debug)]
struct Discrepancy {
    settings: LdcMtl,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// s.
    logits: Vec<f64>,
    /// l(0) of each task.
    initial: Vec<Option<f64>>,
    #[serde(flatten)]
    optimizer: ScalarOptimizer,
}

impl Method for LdcMtl {
    const NAME: &'static str = "ldc_mtl";
    const SUMMARY: &'static str = "learned weights, and losses that are kept alike";
    const ABOUT: &'static str = "\
        Xiao et al. 2025 (loss discrepancy control), arXiv:2502.08585, in its first-order form: Σ σ l + λ Σ |τ l − \
        τ' l'| over neighbouring tasks, σ = softmax(s) with a learned s for each task, which has its own Adam \
        (in the paper a small network on the shared features). `strength` is λ; scale = \"initial\" compares \
        losses by what they were at first, τ = 1 / l(0), which must be above 0.";
}

impl AggregatorSettings for LdcMtl {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        at_least_zero(Self::NAME, "strength", self.strength)?;
        rate(Self::NAME, self.learning_rate)?;
        let count = tasks.len();
        let memory = Memory {
            logits: vec![0.0; count],
            initial: vec![None; count],
            optimizer: ScalarOptimizer::new(count),
        };
        Ok(Box::new(OnLosses::new(Discrepancy { settings: *self, memory }, tasks)))
    }
}

impl Discrepancy {
    /// τ of the present tasks.
    fn scales(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        if self.settings.scale == LossScale::Identity {
            return Ok(vec![1.0; step.losses.len()]);
        }
        positive(LdcMtl::NAME, step)?;
        let mut scale = |(task, loss): (usize, f64)| {
            self.memory.initial.get_mut(task).map_or(1.0, |initial| initial.get_or_insert(loss).recip())
        };
        Ok(step.losses.iter().map(&mut scale).collect())
    }
}

impl LossWeighting for Discrepancy {
    fn name(&self) -> &'static str {
        LdcMtl::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::LOSSES }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let scales = self.scales(step)?;
        let rate = self.settings.learning_rate.unwrap_or(step.learning_rate);
        let Memory { logits, optimizer, .. } = &mut self.memory;
        let of = |task: &usize| logits.get(*task).copied().unwrap_or_default();
        let shares = softmax(&step.losses.present().iter().map(of).collect::<Vec<_>>());
        let mean: f64 = shares.iter().zip(step.losses.values()).map(|(share, loss)| share * loss).sum();
        for ((task, loss), share) in step.losses.iter().zip(&shares) {
            if let Some(logit) = logits.get_mut(task) {
                optimizer.step(ScalarRule::Adam, task, logit, share * (loss - mean), rate);
            }
        }
        let measured: Vec<f64> = step.losses.values().iter().zip(&scales).map(|(l, tau)| l * tau).collect();
        let mut weights = shares;
        let pairs =
            measured.iter().zip(measured.iter().skip(1)).zip(scales.iter().zip(scales.iter().skip(1)));
        for (first, ((one, next), (scale, next_scale))) in pairs.enumerate() {
            let slope =
                self.settings.strength * one.partial_cmp(next).map_or(0.0, |order| f64::from(order as i8));
            for (task, change) in [(first, slope * scale), (first + 1, -slope * next_scale)] {
                if let Some(weight) = weights.get_mut(task) {
                    *weight += change;
                }
            }
        }
        Ok(weights)
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(LdcMtl::NAME, &mut self.memory)
    }
}

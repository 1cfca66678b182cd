use manytask_tensor::{Device, Kind, Method};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::support::{above_zero, positive, share, softmax};
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, State, StepInfo};

/// Relative loss balancing with random lookback (Bischof & Kraus 2021, arXiv:2110.09813, equations 9 to 12): losses that have fallen
/// least count more, seen from the last step and, with a memory, from the first:
///
/// `λᵢ ← α (ρ λᵢ + (1 − ρ) bᵢ(0)) + (1 − α) bᵢ(t − 1)`, `bᵢ(t') = K softmaxᵢ(lᵢ(t) / (T lᵢ(t')))`, where ρ is 1 with the probability
/// `lookback` and else 0: then the memory is forgotten for what has changed since the first step.
///
/// Weights are 1 at a task's first step and add up to K. Losses must be above 0. Those of absent tasks rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReLoBRaLo {
    /// T: small ones make weights extreme.
    pub temperature: f64,
    /// α, how much of the weights before stays.
    pub alpha: f64,
    /// The expectation of ρ.
    pub lookback: f64,
}

impl Default for ReLoBRaLo {
    fn default() -> Self {
        Self { temperature: 0.1, alpha: 0.999, lookback: 0.999 }
    }
}

#[derive(Debug)]
struct Relative {
    settings: ReLoBRaLo,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// λ of each task.
    weights: Vec<f64>,
    /// The losses of its first step and of its last one.
    first: Vec<Option<f64>>,
    last: Vec<Option<f64>>,
}

impl Method for ReLoBRaLo {
    const NAME: &'static str = "relobralo";
    const SUMMARY: &'static str =
        "losses that have fallen least count more, with a memory that is forgotten now and then";
    const ABOUT: &'static str = "\
        Bischof & Kraus 2021, arXiv:2110.09813: w = α (ρ w + (1 - ρ) b(first)) + (1 - α) b(last), b(t') = \
        K softmax(l / (T l(t'))) against the losses of the first and of the last step; ρ is 1 with the \
        probability `lookback`. Losses must be above 0.";
}

impl AggregatorSettings for ReLoBRaLo {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(ReLoBRaLo::NAME, "temperature", self.temperature)?;
        share(ReLoBRaLo::NAME, "alpha", self.alpha)?;
        share(ReLoBRaLo::NAME, "lookback", self.lookback)?;
        let count = tasks.len();
        let memory = Memory { weights: vec![1.0; count], first: vec![None; count], last: vec![None; count] };
        Ok(Box::new(OnLosses::new(Relative { settings: *self, memory }, tasks)))
    }
}

impl LossWeighting for Relative {
    fn name(&self) -> &'static str {
        ReLoBRaLo::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::LOSSES }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        positive(self.name(), step)?;
        let ReLoBRaLo { temperature, alpha, lookback } = self.settings;
        let count = step.losses.len() as f64;
        let balance = |before: &[Option<f64>]| -> Vec<f64> {
            let ratio = |(task, loss): (usize, f64)| {
                let before = before.get(task).copied().flatten().unwrap_or(loss);
                (loss / before / temperature).min(f64::MAX)
            };
            let ratios: Vec<f64> = step.losses.iter().map(ratio).collect();
            softmax(&ratios).into_iter().map(|share| count * share).collect()
        };
        let (from_first, from_last) = (balance(&self.memory.first), balance(&self.memory.last));
        let stays = step.key.bernoulli(lookback, &[1], Kind::Double, Device::Cpu)?.f_double_value(&[0])?;
        let mut weights = Vec::with_capacity(step.losses.len());
        for (((task, loss), first), last) in step.losses.iter().zip(from_first).zip(from_last) {
            let Memory { weights: all, first: firsts, last: lasts } = &mut self.memory;
            let (Some(weight), Some(initial), Some(before)) =
                (all.get_mut(task), firsts.get_mut(task), lasts.get_mut(task))
            else {
                continue;
            };
            if initial.is_some() {
                let history = stays * *weight + (1.0 - stays) * first;
                *weight = alpha * history + (1.0 - alpha) * last;
            }
            initial.get_or_insert(loss);
            *before = Some(loss);
            weights.push(*weight);
        }
        Ok(weights)
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(self.name(), &mut self.memory)
    }
}

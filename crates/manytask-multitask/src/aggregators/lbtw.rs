use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::support::{at_least_zero, positive};
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, State, StepInfo};

/// Loss-balanced task weighting (Liu, Liang & Gitter 2019): `wᵢ = (lᵢ / lᵢ(0))^α` with a task's loss lᵢ(0) in its first batch of
/// the epoch: a task that has learned less of the epoch counts more.
///
/// Losses must be above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lbtw {
    /// α; at 0 all weights are 1.
    pub alpha: f64,
}

impl Default for Lbtw {
    fn default() -> Self {
        Self { alpha: 0.5 }
    }
}

#[derive(Debug)]
struct Balanced {
    alpha: f64,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// The epoch that the first losses are of.
    epoch: u64,
    first: Vec<Option<f64>>,
}

impl Method for Lbtw {
    const NAME: &'static str = "lbtw";
    const SUMMARY: &'static str = "tasks that have learned less of the epoch count more";
    const ABOUT: &'static str = "\
        Liu, Liang & Gitter 2019 (loss-balanced task weighting): w = (l / l0)^α with the loss l0 of the \
        task's first batch of the epoch.";
}

impl AggregatorSettings for Lbtw {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        at_least_zero(Lbtw::NAME, "alpha", self.alpha)?;
        let memory = Memory { epoch: 0, first: vec![None; tasks.len()] };
        Ok(Box::new(OnLosses::new(Balanced { alpha: self.alpha, memory }, tasks)))
    }
}

impl LossWeighting for Balanced {
    fn name(&self) -> &'static str {
        Lbtw::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::LOSSES }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        positive(self.name(), step)?;
        if self.memory.epoch != step.epoch {
            self.memory.first.fill(None);
            self.memory.epoch = step.epoch;
        }
        let mut weight = |(task, loss): (usize, f64)| {
            let first = self.memory.first.get_mut(task).map_or(loss, |first| *first.get_or_insert(loss));
            (loss / first).powf(self.alpha)
        };
        Ok(step.losses.iter().map(&mut weight).collect())
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(self.name(), &mut self.memory)
    }
}

use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::support::positive;
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, State, StepInfo, TaskVec};

/// Improvable gap balancing, its first version (Dai et al. 2023, UAI, arXiv:2307.15429, section 4.1): tasks count by how much of their
/// loss is left, `wᵢ = K rᵢ / Σ rⱼ` with `rᵢ = lᵢ / lᵢ(0)` and a task's mean loss lᵢ(0) of its first epoch.
///
/// Weights are 1 while that is not known of a task. Losses must be above 0. The second version, in which weights are the actions
/// of a learned policy, is another method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Igb {}

#[derive(Debug)]
struct Gap {
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// The mean loss of each task's first epoch.
    first: Vec<Option<f64>>,
}

impl Method for Igb {
    const NAME: &'static str = "igb";
    const SUMMARY: &'static str = "tasks count by the share of their loss that is left";
    const ABOUT: &'static str = "\
        Dai et al. 2023 (improvable gap balancing, its first version), arXiv:2307.15429: w = K r / Σ r \
        with r = l / l0 and a task's mean loss l0 of its first epoch; 1 until then. Losses must be above \
        0.";
}

impl AggregatorSettings for Igb {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        let memory = Memory { first: vec![None; tasks.len()] };
        Ok(Box::new(OnLosses::new(Gap { memory }, tasks)))
    }
}

impl LossWeighting for Gap {
    fn name(&self) -> &'static str {
        Igb::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, epoch_means: true, ..Needs::LOSSES }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        positive(self.name(), step)?;
        let first = |task: usize| self.memory.first.get(task).copied().flatten();
        let gaps: Option<Vec<f64>> =
            step.losses.iter().map(|(task, loss)| Some(loss / first(task)?)).collect();
        let Some(gaps) = gaps else { return Ok(vec![1.0; step.losses.len()]) };
        let sum: f64 = gaps.iter().sum();
        Ok(gaps.iter().map(|gap| gaps.len() as f64 * gap / sum).collect())
    }

    fn end_epoch(&mut self, mean_losses: &TaskVec) -> Result<()> {
        for (task, mean) in mean_losses.iter() {
            if let Some(first) = self.memory.first.get_mut(task) {
                first.get_or_insert(mean);
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(self.name(), &mut self.memory)
    }
}

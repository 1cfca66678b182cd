use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::support::{above_zero, softmax};
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, State, StepInfo, TaskVec};

/// Dynamic weight average (Liu et al. 2019): `w = K softmax(r / T)` with the ratio r of a task's mean loss in the last epoch to
/// that in the one before; 1 for all until two epochs are known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dwa {
    /// T, 2 in the paper; larger ones make weights more equal.
    pub temperature: f64,
}

impl Default for Dwa {
    fn default() -> Self {
        Self { temperature: 2.0 }
    }
}

#[derive(Debug)]
struct Average {
    temperature: f64,
    memory: Memory,
}

/// Each task's mean losses of the last epoch it was present in, and of the one before.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    last: Vec<Option<f64>>,
    before: Vec<Option<f64>>,
}

impl Method for Dwa {
    const NAME: &'static str = "dwa";
    const SUMMARY: &'static str = "losses that fall least from epoch to epoch count more";
    const ABOUT: &'static str = "\
        Liu et al. 2019 (dynamic weight average), arXiv:1803.10704: w = K softmax(r / T) with the ratio r \
        of a task's mean losses in the last two epochs; 1 until then.";
}

impl AggregatorSettings for Dwa {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(Dwa::NAME, "temperature", self.temperature)?;
        let memory = Memory { last: vec![None; tasks.len()], before: vec![None; tasks.len()] };
        Ok(Box::new(OnLosses::new(Average { temperature: self.temperature, memory }, tasks)))
    }
}

impl Average {
    /// How a task's loss went on from epoch to epoch; 1 where it is not known.
    fn ratio(&self, task: usize) -> f64 {
        let of = |all: &[Option<f64>]| all.get(task).copied().flatten();
        match (of(&self.memory.last), of(&self.memory.before)) {
            (Some(last), Some(before)) if before != 0.0 => last / before,
            _ => 1.0,
        }
    }
}

impl LossWeighting for Average {
    fn name(&self) -> &'static str {
        Dwa::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, epoch_means: true, ..Needs::LOSSES }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let ratios: Vec<f64> =
            step.losses.present().iter().map(|task| self.ratio(*task) / self.temperature).collect();
        let count = ratios.len() as f64;
        Ok(softmax(&ratios).into_iter().map(|share| count * share).collect())
    }

    fn end_epoch(&mut self, mean_losses: &TaskVec) -> Result<()> {
        for (task, mean) in mean_losses.iter() {
            if let (Some(last), Some(before)) =
                (self.memory.last.get_mut(task), self.memory.before.get_mut(task))
            {
                *before = last.replace(mean);
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

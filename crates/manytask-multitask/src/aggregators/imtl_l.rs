use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::scalar_optimizer::{ScalarOptimizer, ScalarRule};
use super::support::{finite, rate};
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, State, StepInfo};

/// The largest s: the loss of a task that is solved goes to 0, and its s would grow without end.
const LARGEST: f64 = 50.0;

/// The loss balance of impartial multi-task learning (Liu et al. 2021): each task has a learned s, and the objective is
/// `Σ e^(sᵢ) lᵢ − sᵢ`, so that all `e^(sᵢ) lᵢ` become 1.
///
/// The s follow their own gradient `e^s l − 1` with their own Adam, without weight decay; that of an absent task rests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImtlL {
    /// Where s starts.
    pub initial: f64,
    /// The rate at which s is learned. Absent: the learning rate of the step.
    pub learning_rate: Option<f64>,
}

#[derive(Debug)]
struct LossBalance {
    settings: ImtlL,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    log_weight: Vec<f64>,
    #[serde(flatten)]
    optimizer: ScalarOptimizer,
}

impl Method for ImtlL {
    const NAME: &'static str = "imtl_l";
    const SUMMARY: &'static str = "weights that make all losses equal";
    const ABOUT: &'static str = "\
        Liu et al. 2021 (IMTL-L): Σ exp(s) l − s with a learned s for each task, which has its own Adam. \
        With imtl_g in a pipeline it is IMTL.";
}

impl AggregatorSettings for ImtlL {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        finite(ImtlL::NAME, "initial", self.initial)?;
        rate(ImtlL::NAME, self.learning_rate)?;
        let memory = Memory {
            log_weight: vec![self.initial; tasks.len()],
            optimizer: ScalarOptimizer::new(tasks.len()),
        };
        Ok(Box::new(OnLosses::new(LossBalance { settings: *self, memory }, tasks)))
    }
}

impl LossWeighting for LossBalance {
    fn name(&self) -> &'static str {
        ImtlL::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::LOSSES }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let rate = self.settings.learning_rate.unwrap_or(step.learning_rate);
        let Memory { log_weight, optimizer } = &mut self.memory;
        let mut weights = Vec::with_capacity(step.losses.len());
        for (task, loss) in step.losses.iter() {
            if let Some(s) = log_weight.get_mut(task) {
                let weight = s.exp();
                weights.push(weight);
                optimizer.step(ScalarRule::Adam, task, s, weight * loss - 1.0, rate);
                *s = s.clamp(-LARGEST, LARGEST);
            }
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

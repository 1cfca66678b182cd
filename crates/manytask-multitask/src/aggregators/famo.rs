use std::collections::BTreeMap;

use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::scalar_optimizer::{ScalarOptimizer, ScalarRule};
use super::support::{above_zero, at_least_zero, by_task, for_some, named, not_positive, softmax};
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, State, StepInfo, TaskVec};

/// What is added to the distance of a loss from its least value.
const ABOVE: f64 = 1e-8;

/// Fast adaptive multitask optimization (Liu et al. 2023): all losses are to fall at the same rate.
///
/// With `Dᵢ = lᵢ − bᵢ` and `z = softmax(ξ)` the weights are `wᵢ = c zᵢ / Dᵢ`, `c = 1 / Σ (zᵢ / Dᵢ)`. After the optimizer's step
/// the same batch's losses are looked at again, and ξ follows `zᵢ (δᵢ − Σ zⱼ δⱼ)` with `δ = log D − log D'` and its own Adam:
/// who fell most counts less. That look leaves buffers and randomness alone. Only present tasks take part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Famo {
    /// The rate at which ξ is learned.
    pub learning_rate: f64,
    /// γ, the decay of ξ towards equal shares.
    pub weight_decay: f64,
    /// b, the least value of each task's loss by name; empty: 0.
    pub least: BTreeMap<String, f64>,
}

impl Default for Famo {
    fn default() -> Self {
        Self { learning_rate: 0.025, weight_decay: 1e-3, least: BTreeMap::new() }
    }
}

#[derive(Debug)]
struct Adaptive {
    settings: Famo,
    tasks: Vec<String>,
    least: Vec<f64>,
    /// The step at hand, and the logarithms of D at it.
    step: u64,
    before: TaskVec,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// ξ.
    logits: Vec<f64>,
    #[serde(flatten)]
    optimizer: ScalarOptimizer,
}

impl Method for Famo {
    const NAME: &'static str = "famo";
    const SUMMARY: &'static str = "weights for losses that fall at the same rate";
    const ABOUT: &'static str = "\
        Liu et al. 2023, arXiv:2306.03792: w = c z / (l − b) with z = softmax(ξ); ξ follows how much the \
        losses of the same batch fell by the step, with its own Adam. One forward pass more. `least` are b \
        by task, below all losses.";
}

impl AggregatorSettings for Famo {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(Famo::NAME, "learning_rate", self.learning_rate)?;
        at_least_zero(Famo::NAME, "weight_decay", self.weight_decay)?;
        let weighting = Adaptive {
            settings: self.clone(),
            tasks: tasks.to_vec(),
            least: by_task(Famo::NAME, "least", &self.least, tasks, 0.0, f64::NEG_INFINITY)?,
            step: 0,
            before: TaskVec::default(),
            memory: Memory { logits: vec![0.0; tasks.len()], optimizer: ScalarOptimizer::new(tasks.len()) },
        };
        Ok(Box::new(OnLosses::new(weighting, tasks)))
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        Self { least: for_some(&self.least, tasks, all), ..self.clone() }.build(tasks)
    }

    fn named(&self) -> Vec<String> {
        named(&[&self.least])
    }
}

impl Adaptive {
    /// D of each task.
    fn distances(&self, losses: &TaskVec) -> Result<TaskVec> {
        let distances =
            losses.map(|task, loss| loss - self.least.get(task).copied().unwrap_or_default() + ABOVE);
        let wrong = distances.iter().find(|(_, distance)| *distance <= 0.0).map(|(task, _)| task);
        match wrong {
            None => Ok(distances),
            Some(task) => {
                let name = self.tasks.get(task).map_or("", String::as_str);
                Err(not_positive(Famo::NAME, name, losses.get(task).unwrap_or_default(), self.step))
            }
        }
    }

    /// z of these tasks.
    fn shares(&self, tasks: &[usize]) -> Vec<f64> {
        let logits: Vec<f64> =
            tasks.iter().map(|task| self.memory.logits.get(*task).copied().unwrap_or_default()).collect();
        softmax(&logits)
    }
}

impl LossWeighting for Adaptive {
    fn name(&self) -> &'static str {
        Famo::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, losses_after_step: true, ..Needs::LOSSES }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        self.step = step.number;
        let distances = self.distances(step.losses)?;
        self.before = distances.map(|_, distance| distance.ln());
        let shares = self.shares(distances.present());
        let weights: Vec<f64> = shares.iter().zip(distances.values()).map(|(z, d)| z / d).collect();
        let sum: f64 = weights.iter().sum();
        Ok(weights.into_iter().map(|weight| weight / sum).collect())
    }

    fn after_step(&mut self, losses: &TaskVec) -> Result<()> {
        if losses.values().iter().any(|loss| !loss.is_finite()) {
            // The next step says so, with the task.
            return Ok(());
        }
        let tasks = self.before.common(losses);
        let after = self.distances(losses)?;
        let fall =
            |task: &usize| self.before.get(*task).unwrap_or_default() - after.get(*task).unwrap_or(1.0).ln();
        let falls: Vec<f64> = tasks.iter().map(fall).collect();
        let shares = self.shares(&tasks);
        let mean: f64 = shares.iter().zip(&falls).map(|(z, fall)| z * fall).sum();
        let Memory { logits, optimizer } = &mut self.memory;
        for ((task, share), fall) in tasks.iter().zip(&shares).zip(&falls) {
            if let Some(logit) = logits.get_mut(*task) {
                let gradient = share * (fall - mean) + self.settings.weight_decay * *logit;
                optimizer.step(ScalarRule::Adam, *task, logit, gradient, self.settings.learning_rate);
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

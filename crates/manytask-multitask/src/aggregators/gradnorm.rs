use manytask_tensor::{Compat, Method};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::scalar_optimizer::{ScalarOptimizer, ScalarRule};
use super::support::{above_zero, at_least_zero, positive};
use crate::{Aggregator, Combination, Gives, Level, Needs, Result, State, Step, StepInfo, TaskVec, finite};

/// Gradient normalization (Chen et al. 2018): weights are learned so that the norms `Gᵢ = wᵢ ‖∇ lᵢ‖` come to
/// `mean(G) rᵢ^α`, with the relative rate `rᵢ = (lᵢ / lᵢ(0)) / mean(l / l(0))` at which a task trains.
///
/// The weights follow the gradient of `Σ |Gᵢ − target|`, the targets taken as constants, with their own Adam; afterwards they
/// are scaled to add up to what they did, K for all tasks. None falls below 0. Those of absent tasks rest. Norms are by default
/// those of the last shared layer, as in the paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GradNorm {
    /// Of which gradients the norms are taken.
    pub level: Level,
    /// α, how strongly tasks are held to one rate.
    pub alpha: f64,
    /// The rate at which weights are learned.
    pub learning_rate: f64,
    /// What l(0) is.
    pub initial_loss: InitialLoss,
}

/// What losses are measured by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialLoss {
    /// A task's loss at its first step.
    #[default]
    FirstStep,
    /// Its mean loss over the first epoch, in which weights stay 1.
    FirstEpoch,
}

impl Default for GradNorm {
    fn default() -> Self {
        Self {
            level: Level::LastLayer,
            alpha: 1.5,
            learning_rate: 0.025,
            initial_loss: InitialLoss::FirstStep,
        }
    }
}

#[derive(Debug)]
struct Normalisation {
    settings: GradNorm,
    tasks: Vec<String>,
    memory: Memory,
    last: TaskVec,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    weights: Vec<f64>,
    initial: Vec<Option<f64>>,
    epochs: u64,
    #[serde(flatten)]
    optimizer: ScalarOptimizer,
}

impl Method for GradNorm {
    const NAME: &'static str = "gradnorm";
    const SUMMARY: &'static str = "weights for gradients of norms that make tasks train at one rate";
    const ABOUT: &'static str = "\
        Chen et al. 2018, arXiv:1711.02257: |w ∇l| is to be mean(|w ∇l|) r^α with the relative rate r of \
        the task's loss; the weights follow the gradient of the L1 distance with their own Adam and add up \
        to K. Norms are those of the last shared layer; level = { layers = [\"trunk.layer0\"] } takes \
        others.";
    const COMPAT: &'static [Compat] = &[Compat {
        of: "libmtl",
        settings: &[("level", "\"parameters\""), ("initial_loss", "\"first_epoch\"")],
        beyond: "weights are the softmax of parameters there",
    }];
}

impl AggregatorSettings for GradNorm {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        at_least_zero(GradNorm::NAME, "alpha", self.alpha)?;
        above_zero(GradNorm::NAME, "learning_rate", self.learning_rate)?;
        let memory = Memory {
            weights: vec![1.0; tasks.len()],
            initial: vec![None; tasks.len()],
            epochs: 0,
            optimizer: ScalarOptimizer::new(tasks.len()),
        };
        Ok(Box::new(Normalisation {
            settings: self.clone(),
            tasks: tasks.to_vec(),
            memory,
            last: TaskVec::default(),
        }))
    }
}

impl Normalisation {
    /// `rᵢ^α` of the present tasks; `None` while the initial losses are not known.
    fn targets(&mut self, losses: &TaskVec) -> Option<Vec<f64>> {
        let first_epoch = self.settings.initial_loss == InitialLoss::FirstEpoch;
        if first_epoch && self.memory.epochs == 0 {
            return None;
        }
        let mut ratio = |(task, loss): (usize, f64)| {
            self.memory.initial.get_mut(task).map_or(1.0, |initial| loss / *initial.get_or_insert(loss))
        };
        let ratios: Vec<f64> = losses.iter().map(&mut ratio).collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        Some(ratios.into_iter().map(|ratio| (ratio / mean).powf(self.settings.alpha)).collect())
    }

    fn learn(&mut self, present: &[usize], norms: &[f64], targets: &[f64]) {
        let Memory { weights, optimizer, .. } = &mut self.memory;
        let total = |weights: &[f64]| present.iter().filter_map(|task| weights.get(*task)).sum::<f64>();
        let before = total(weights);
        let of = |task: &usize| weights.get(*task).copied().unwrap_or_default();
        let scaled: Vec<f64> = present.iter().zip(norms).map(|(task, norm)| of(task) * norm).collect();
        let mean = scaled.iter().sum::<f64>() / scaled.len() as f64;
        for (((task, norm), scaled), target) in present.iter().zip(norms).zip(&scaled).zip(targets) {
            let gap = scaled - mean * target;
            let sign = if gap == 0.0 { 0.0 } else { gap.signum() };
            if let Some(weight) = weights.get_mut(*task) {
                optimizer.step(ScalarRule::Adam, *task, weight, sign * norm, self.settings.learning_rate);
                *weight = weight.max(0.0);
            }
        }
        let after = total(weights);
        if after > 0.0 {
            for task in present {
                if let Some(weight) = weights.get_mut(*task) {
                    *weight = before * *weight / after;
                }
            }
        }
    }
}

impl Aggregator for Normalisation {
    fn name(&self) -> &'static str {
        GradNorm::NAME
    }

    fn needs(&self) -> Needs {
        Needs {
            fixed_tasks: true,
            epoch_means: self.settings.initial_loss == InitialLoss::FirstEpoch,
            ..Needs::gramian(self.settings.level.clone())
        }
    }

    fn gives(&self) -> Gives {
        Gives::LossWeights
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let losses = step.losses().clone();
        let info = StepInfo::new(step, &losses, &self.tasks);
        positive(GradNorm::NAME, &info)?;
        let gramian = finite(step.gramian(&self.settings.level)?, &info)?;
        let norms: Vec<f64> =
            gramian.squared_norms().into_iter().map(|squared| squared.max(0.0).sqrt()).collect();
        self.last = losses.map(|task, _| self.memory.weights.get(task).copied().unwrap_or(1.0));
        if let Some(targets) = self.targets(&losses) {
            self.learn(losses.present(), &norms, &targets);
        }
        Ok(Combination::weighted_losses(self.last.values().to_vec()))
    }

    fn end_epoch(&mut self, mean_losses: &TaskVec) -> Result<()> {
        if self.settings.initial_loss == InitialLoss::FirstEpoch && self.memory.epochs == 0 {
            for (task, mean) in mean_losses.iter() {
                if let Some(initial) = self.memory.initial.get_mut(task) {
                    *initial = Some(mean);
                }
            }
        }
        self.memory.epochs += 1;
        Ok(())
    }

    fn weights(&self) -> Option<&TaskVec> {
        Some(&self.last)
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(GradNorm::NAME, &mut self.memory)
    }
}

use manytask_nn::clip;
use manytask_tensor::{KeyPath, Method};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::scalar_optimizer::{ScalarOptimizer, ScalarRule};
use super::support::{above_zero, at_least_zero};
use crate::{
    Aggregator, BatchOf, Combination, Error, Gives, Needs, Place, Result, State, Step, TaskVec, Want,
};

/// Auto-λ (Liu et al. 2022): the weights of the losses are learned so that after a step along `∇ Σ λᵢ lᵢ` the primary tasks'
/// losses on a validation batch are least.
///
/// With `θ' = θ − η ∇ Σ λᵢ lᵢ` over all parameters and `v = ∇ Σ L(θ')` of the primary tasks on the validation batch, the gradient of λᵢ
/// is `−η ⟨v, ∇ lᵢ(θ)⟩`, found by the difference `(lᵢ(θ + ε v) − lᵢ(θ − ε v)) / 2ε` with `ε = 0.01 / ‖v‖`, as in the paper. The weights
/// follow it with their own Adam, and none falls below 0; those of absent tasks rest. The parameters are never moved: a step
/// costs one pass back and three forward more, and the validation batch's both ways.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoLambda {
    /// What each weight starts at.
    pub initial: f64,
    /// The rate at which weights are learned.
    pub learning_rate: f64,
    /// The tasks that matter; empty: all. The others are there to help.
    pub primary: Vec<String>,
    /// ε ‖v‖.
    pub difference: f64,
}

impl Default for AutoLambda {
    fn default() -> Self {
        Self { initial: 0.1, learning_rate: 1e-4, primary: Vec::new(), difference: 0.01 }
    }
}

#[derive(Debug)]
struct Auto {
    settings: AutoLambda,
    /// 1 for primary tasks, 0 for others.
    primary: Vec<f64>,
    memory: Memory,
    last: TaskVec,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    weights: Vec<f64>,
    #[serde(flatten)]
    optimizer: ScalarOptimizer,
}

impl Method for AutoLambda {
    const NAME: &'static str = "auto_lambda";
    const SUMMARY: &'static str = "weights for losses that help the primary tasks on validation data";
    const ABOUT: &'static str = "\
        Liu et al. 2022, arXiv:2202.03091: after a step along the weighted losses the `primary` tasks' \
        losses on a validation batch are to be least; the gradient of the weights is found by differences \
        of losses. A step costs about three times as much. The validation split then has a share in \
        training: report results on a test split.";
}

impl AggregatorSettings for AutoLambda {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        at_least_zero(AutoLambda::NAME, "initial", self.initial)?;
        above_zero(AutoLambda::NAME, "learning_rate", self.learning_rate)?;
        above_zero(AutoLambda::NAME, "difference", self.difference)?;
        if let Some(name) = self.primary.iter().find(|name| !tasks.contains(name)) {
            return Err(Error::setting(
                KeyPath::from("primary").text(name),
                format!("auto_lambda: primary: there is no task `{name}`"),
                format!("the tasks are `{}`", tasks.join("`, `")),
            ));
        }
        let is_primary = |name: &String| self.primary.is_empty() || self.primary.contains(name);
        Ok(Box::new(Auto {
            settings: self.clone(),
            primary: tasks.iter().map(|name| f64::from(u8::from(is_primary(name)))).collect(),
            memory: Memory {
                weights: vec![self.initial; tasks.len()],
                optimizer: ScalarOptimizer::new(tasks.len()),
            },
            last: TaskVec::default(),
        }))
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        let stays = |name: &&String| tasks.contains(name) || !all.contains(name);
        let primary: Vec<String> = self.primary.iter().filter(stays).cloned().collect();
        if primary.is_empty() && !self.primary.is_empty() {
            return Err(Error::setting(
                "primary",
                "auto_lambda: none of the primary tasks is trained",
                "train at least one of them, or leave out primary",
            ));
        }
        Self { primary, ..self.clone() }.build(tasks)
    }

    fn named(&self) -> Vec<String> {
        self.primary.clone()
    }
}

impl Auto {
    /// The gradient of each present task's weight; `None` where the validation batch says nothing.
    fn gradient(&self, step: &mut dyn Step) -> Result<Option<TaskVec>> {
        let rate = step.learning_rate();
        let down = step.look(BatchOf::Own, Place::Here, Want::Gradient(&self.memory.weights))?;
        let ahead = Place::Moved { against: down.gradient()?, rate };
        let validation = step.look(BatchOf::Validation, ahead, Want::Gradient(&self.primary))?;
        if !validation.losses.iter().any(|(task, _)| self.primary.get(task).is_some_and(|one| *one > 0.0)) {
            return Ok(None);
        }
        let against = validation.gradient()?;
        let norm = match clip::global_norm(against) {
            Ok(norm) => norm,
            Err(manytask_nn::Error::NotFinite { .. }) => {
                let what = "the gradient of the validation batch is not finite".to_owned();
                return Err(Error::Diverged { step: step.number(), what });
            }
            Err(error) => return Err(error.into()),
        };
        if norm <= 0.0 {
            return Ok(None);
        }
        let size = self.settings.difference / norm;
        let mut at = |rate| step.look(BatchOf::Own, Place::Moved { against, rate }, Want::Losses);
        let (above, below) = (at(-size)?.losses, at(size)?.losses);
        let slope = |task, above| (above - below.get(task).unwrap_or(above)) / (2.0 * size);
        Ok(Some(above.map(|task, loss| -rate * slope(task, loss))))
    }
}

impl Aggregator for Auto {
    fn name(&self) -> &'static str {
        AutoLambda::NAME
    }

    fn needs(&self) -> Needs {
        Needs { validation: true, look_ahead: true, fixed_tasks: true, ..Needs::LOSSES }
    }

    fn gives(&self) -> Gives {
        Gives::LossWeights
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        if let Some(gradient) = self.gradient(step)? {
            if let Some((_, slope)) = gradient.iter().find(|(_, slope)| !slope.is_finite()) {
                let what = format!("a loss near the parameters is not finite: its slope is {slope}");
                return Err(Error::Diverged { step: step.number(), what });
            }
            let Memory { weights, optimizer } = &mut self.memory;
            for (task, gradient) in gradient.iter() {
                if let Some(weight) = weights.get_mut(task) {
                    optimizer.step(ScalarRule::Adam, task, weight, gradient, self.settings.learning_rate);
                    *weight = weight.max(0.0);
                }
            }
        }
        self.last = step.losses().map(|task, _| self.memory.weights.get(task).copied().unwrap_or_default());
        Ok(Combination::weighted_losses(self.last.values().to_vec()))
    }

    fn weights(&self) -> Option<&TaskVec> {
        Some(&self.last)
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(AutoLambda::NAME, &mut self.memory)
    }
}

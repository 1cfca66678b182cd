//! The two simple kinds of methods, and what makes aggregators of them.

use std::fmt::Debug;

use super::{Aggregator, Combination, Gives, Level, Needs, State, Step, StepInfo, TaskVec};
use crate::{Error, Gramian, Result};

/// Weights for losses, by their values: the objective is `Σ wᵢ lᵢ`, with one backward pass.
///
/// `wᵢ` is the derivative of the method's objective by `lᵢ`.
pub trait LossWeighting: Debug + Send {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// What it is told beside the losses.
    fn needs(&self) -> Needs {
        Needs::LOSSES
    }

    /// A weight for each present task.
    ///
    /// # Errors
    /// When there are none for these losses.
    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>>;

    /// See [`Aggregator::after_step`].
    fn after_step(&mut self, _losses: &TaskVec) -> Result<()> {
        Ok(())
    }

    /// See [`Aggregator::end_epoch`].
    fn end_epoch(&mut self, _mean_losses: &TaskVec) -> Result<()> {
        Ok(())
    }

    /// See [`Aggregator::state`].
    fn state(&self) -> Result<State> {
        Ok(State::default())
    }

    /// See [`Aggregator::restore`].
    fn restore(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }
}

/// Weights for the gradients of the shared parameters, by their inner products; each head follows its own loss.
pub trait GramianWeighting: Debug + Send {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// Whether it keeps something for each task.
    fn keeps_tasks(&self) -> bool {
        false
    }

    /// Whether it follows the preference of a step, where there is one.
    fn follows_preferences(&self) -> bool {
        false
    }

    /// A weight for each present task, from the Gramian of their gradients, all of whose numbers are finite.
    ///
    /// # Errors
    /// When there are none for these gradients.
    fn weights(&mut self, gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>>;

    /// See [`Aggregator::state`].
    fn state(&self) -> Result<State> {
        Ok(State::default())
    }

    /// See [`Aggregator::restore`].
    fn restore(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }
}

/// The aggregator of a [`LossWeighting`].
#[derive(Debug)]
pub struct OnLosses<W> {
    weighting: W,
    tasks: Vec<String>,
    last: TaskVec,
}

impl<W: LossWeighting> OnLosses<W> {
    /// For tasks of these names.
    pub fn new(weighting: W, tasks: &[String]) -> Self {
        Self { weighting, tasks: tasks.to_vec(), last: TaskVec::default() }
    }
}

impl<W: LossWeighting> Aggregator for OnLosses<W> {
    fn name(&self) -> &'static str {
        self.weighting.name()
    }

    fn needs(&self) -> Needs {
        self.weighting.needs()
    }

    fn gives(&self) -> Gives {
        Gives::LossWeights
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let info = StepInfo::new(step, step.losses(), &self.tasks).at(step.preference());
        let weights = self.weighting.weights(&info)?;
        self.last = checked(self.weighting.name(), &weights, step, &self.tasks)?;
        Ok(Combination::weighted_losses(self.last.values().to_vec()))
    }

    fn after_step(&mut self, losses: &TaskVec) -> Result<()> {
        self.weighting.after_step(losses)
    }

    fn end_epoch(&mut self, mean_losses: &TaskVec) -> Result<()> {
        self.weighting.end_epoch(mean_losses)
    }

    fn weights(&self) -> Option<&TaskVec> {
        Some(&self.last)
    }

    fn state(&self) -> Result<State> {
        self.weighting.state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.weighting.restore(state)
    }
}

/// The aggregator of a [`GramianWeighting`], at a level.
#[derive(Debug)]
pub struct OnGramian<W> {
    weighting: W,
    level: Level,
    tasks: Vec<String>,
    last: TaskVec,
}

impl<W: GramianWeighting> OnGramian<W> {
    /// On the gradients of a level, for tasks of these names.
    pub fn new(weighting: W, level: Level, tasks: &[String]) -> Self {
        Self { weighting, level, tasks: tasks.to_vec(), last: TaskVec::default() }
    }
}

impl<W: GramianWeighting> Aggregator for OnGramian<W> {
    fn name(&self) -> &'static str {
        self.weighting.name()
    }

    fn needs(&self) -> Needs {
        Needs {
            fixed_tasks: self.weighting.keeps_tasks(),
            preference: self.weighting.follows_preferences(),
            ..Needs::gramian(self.level.clone())
        }
    }

    fn gives(&self) -> Gives {
        Gives::GradientWeights
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let (losses, preference) = (step.losses().clone(), step.preference().map(<[f64]>::to_vec));
        let info = StepInfo::new(step, &losses, &self.tasks).at(preference.as_deref());
        let gramian = finite(step.gramian(&self.level)?, &info)?;
        let weights = self.weighting.weights(gramian, &info)?;
        self.last = checked(self.weighting.name(), &weights, step, &self.tasks)?;
        Ok(Combination::weights(self.last.values().to_vec()))
    }

    fn weights(&self) -> Option<&TaskVec> {
        Some(&self.last)
    }

    fn state(&self) -> Result<State> {
        self.weighting.state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.weighting.restore(state)
    }
}

/// A Gramian without NaN and infinity.
///
/// # Errors
/// When a gradient is NaN or infinite, with its task's name: no weights can be found then, and none are made up.
pub fn finite<'g>(gramian: &'g Gramian, step: &StepInfo<'_>) -> Result<&'g Gramian> {
    // The whole row: inner products can overflow where squared lengths do not, and the other way round.
    let wrong = (0..gramian.size()).find(|i| !gramian.row(*i).iter().all(|product| product.is_finite()));
    // With one gradient infinite a product with any other is: it is the one with a diagonal element of that kind.
    let wrong = (0..gramian.size()).find(|i| !gramian.at(*i, *i).is_finite()).or(wrong);
    match wrong {
        None => Ok(gramian),
        Some(row) => {
            let name = step.losses.present().get(row).map_or("", |task| step.name(*task));
            Err(step.diverged(format!(
                "the gradient of task `{name}` is not finite, or too large for its square"
            )))
        }
    }
}

/// The weights with their tasks.
///
/// # Errors
/// When one is NaN or infinite, with its task's name, or there are not as many as present tasks.
fn checked(name: &str, weights: &[f64], step: &dyn Step, tasks: &[String]) -> Result<TaskVec> {
    let losses = step.losses();
    if weights.len() != losses.len() {
        let message = format!("it gives {} weights for {} tasks", weights.len(), losses.len());
        return Err(Error::Contract { aggregator: name.into(), message });
    }
    let wrong = losses.present().iter().zip(weights).find(|(_, weight)| !weight.is_finite());
    match wrong {
        None => Ok(losses.with_values(weights)),
        Some((task, weight)) => {
            let task = tasks.get(*task).map_or("", String::as_str);
            let what = format!("the weight that `{name}` finds for task `{task}` is {weight}");
            Err(Error::Diverged { step: step.number(), what })
        }
    }
}

use std::ops::Range;

use manytask_tensor::Params;
use manytask_tensor::random::Key;

use super::{Level, TaskVec};
use crate::{Error, Gramian, Jacobian, Result};

/// What an aggregator may take at one step. Rows are counted over the present tasks.
///
/// Everything is computed when it is first asked for, and kept.
pub trait Step {
    /// The step of the loop, counted from 0.
    fn number(&self) -> u64;

    /// The epoch, counted from 0.
    fn epoch(&self) -> u64;

    /// The key of this step's randomness.
    fn key(&self) -> Key;

    /// The optimizer's learning rate at this step.
    fn learning_rate(&self) -> f64;

    /// The number of tasks, absent ones included.
    fn tasks(&self) -> usize;

    /// The losses of the present tasks.
    fn losses(&self) -> &TaskVec;

    /// The tasks that are present, by number, ascending.
    fn present(&self) -> &[usize] {
        self.losses().present()
    }

    /// The preference of the step, a share of each task, absent ones included, where the network is one for the whole Pareto front.
    fn preference(&self) -> Option<&[f64]> {
        None
    }

    /// The Gramian of the gradients of a level.
    ///
    /// # Errors
    /// When it was not declared in [`Needs`](super::Needs), or cannot be computed.
    fn gramian(&mut self, level: &Level) -> Result<&Gramian>;

    /// The gradients of a level.
    ///
    /// # Errors
    /// When they were not declared in [`Needs`](super::Needs), or cannot be computed.
    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian>;

    /// The ranges of columns of [`Step::jacobian`] that belong to one parameter, with its name: for methods that work
    /// layer by layer. The representation has none.
    ///
    /// # Errors
    /// When the level names a layer that is not there.
    fn columns(&self, level: &Level) -> Result<Vec<(String, Range<usize>)>>;

    /// Another look at losses and gradients: of which batch, at which parameters, and how much of it. The parameters, their
    /// buffers and the randomness of the step are not touched. It costs a forward pass, and what is wanted beside.
    ///
    /// # Errors
    /// When it was not declared in [`Needs`](super::Needs), or cannot be computed.
    fn look(&mut self, batch: BatchOf, place: Place<'_>, want: Want<'_>) -> Result<BatchGradients>;
}

/// Which batch is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchOf {
    /// The step's own.
    Own,
    /// A further, independent one of this step, `1 .. needs.batches`.
    Replica(u32),
    /// One of the validation split.
    Validation,
}

/// Which parameters it is looked at with.
#[derive(Debug, Clone, Copy)]
pub enum Place<'p> {
    /// The present ones.
    Here,
    /// `θ − rate · against`, for all parameters, those of heads included.
    Moved {
        /// A gradient of all parameters, from [`BatchGradients::gradient`].
        against: &'p Params,
        /// How far.
        rate: f64,
    },
}

/// How much is computed.
#[derive(Debug, Clone, Copy)]
pub enum Want<'w> {
    /// The losses alone.
    Losses,
    /// A gradient for each present task, of a level.
    Jacobian(&'w Level),
    /// The gradient of `Σ wᵢ lᵢ` over the present tasks by all parameters, those of heads included; a weight for each task by
    /// number.
    Gradient(&'w [f64]),
}

/// The losses of a batch, and the gradients that were wanted, with the tasks they are of: batches with missing labels need
/// not hold the same tasks.
#[derive(Debug)]
pub struct BatchGradients {
    /// Of the tasks that are present in this batch.
    pub losses: TaskVec,
    jacobian: Option<Jacobian>,
    gradient: Option<Params>,
}

impl BatchGradients {
    /// Losses alone.
    pub fn of_losses(losses: TaskVec) -> Self {
        Self { losses, jacobian: None, gradient: None }
    }

    /// Losses with a gradient for each of their tasks.
    #[must_use]
    pub fn with_jacobian(self, jacobian: Jacobian) -> Self {
        Self { jacobian: Some(jacobian), ..self }
    }

    /// Losses with one gradient of all parameters.
    #[must_use]
    pub fn with_gradient(self, gradient: Params) -> Self {
        Self { gradient: Some(gradient), ..self }
    }

    /// The gradients of some of the present tasks, in the order they are asked for.
    ///
    /// # Errors
    /// When a task is absent, or no Jacobian was wanted.
    pub fn rows_of(&self, tasks: &[usize]) -> Result<Jacobian> {
        let rows: Option<Vec<usize>> = tasks.iter().map(|task| self.losses.row(*task)).collect();
        match (&self.jacobian, rows) {
            (Some(jacobian), Some(rows)) => jacobian.of_rows(&rows),
            _ => Err(not_wanted("the gradients of these tasks")),
        }
    }

    /// The gradient of all parameters.
    ///
    /// # Errors
    /// When none was wanted.
    pub fn gradient(&self) -> Result<&Params> {
        self.gradient.as_ref().ok_or_else(|| not_wanted("a gradient of all parameters"))
    }
}

fn not_wanted(what: &str) -> Error {
    Error::Contract { aggregator: "step".into(), message: format!("this look did not ask for {what}") }
}

/// What is known of a step without any gradient.
#[derive(Debug, Clone, Copy)]
pub struct StepInfo<'s> {
    /// The step of the loop, counted from 0.
    pub number: u64,
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// The key of this step's randomness.
    pub key: Key,
    /// The optimizer's learning rate.
    pub learning_rate: f64,
    /// The losses of the present tasks.
    pub losses: &'s TaskVec,
    /// The names of all tasks.
    pub tasks: &'s [String],
    /// See [`Step::preference`].
    pub preference: Option<&'s [f64]>,
}

impl<'s> StepInfo<'s> {
    /// Of a step with these losses, which are [`Step::losses`] or what a pipeline made of them.
    pub fn new(step: &dyn Step, losses: &'s TaskVec, tasks: &'s [String]) -> Self {
        Self {
            number: step.number(),
            epoch: step.epoch(),
            key: step.key(),
            learning_rate: step.learning_rate(),
            losses,
            tasks,
            preference: None,
        }
    }

    /// The same with the step's preference.
    #[must_use]
    pub fn at(self, preference: Option<&'s [f64]>) -> Self {
        Self { preference, ..self }
    }

    /// The name of a task.
    pub fn name(&self, task: usize) -> &str {
        self.tasks.get(task).map_or("", String::as_str)
    }

    /// The weights cannot be found at these losses or gradients: the training has diverged.
    pub fn diverged(&self, what: impl Into<String>) -> Error {
        Error::Diverged { step: self.number, what: what.into() }
    }
}

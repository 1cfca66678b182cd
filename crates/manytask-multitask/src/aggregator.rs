use std::collections::BTreeMap;
use std::fmt::Debug;

use manytask_tensor::Tensor;
use manytask_tensor::random::Key;

use crate::{Gramian, Jacobian, Result};

/// Turns what it needs to know of K task losses into one direction.
///
/// An aggregator never sees a model. It declares what it needs ([`Aggregator::needs`]), so that impossible pairings are
/// refused before training, and takes exactly that from the [`Step`] it is given, so that nothing else is computed.
pub trait Aggregator: Debug + Send {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// The most that any step will ask for.
    fn needs(&self) -> Needs;

    /// One step: the combination of the present tasks' gradients.
    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination>;

    /// The losses of the same batch after the optimizer's step, one for each present task of that step; called when
    /// [`Needs::losses_after_step`] is set.
    fn after_step(&mut self, _present: &[usize], _losses: &[f64]) -> Result<()> {
        Ok(())
    }

    /// The mean training losses of the epoch that ended, for all tasks; `None` for one that never was present.
    fn end_epoch(&mut self, _mean_losses: &[Option<f64>]) {}

    /// The weights last used, for the log; `None` where there are none.
    fn weights(&self) -> Option<&[f64]> {
        None
    }

    /// What must be saved so that a resumed run goes on exactly.
    fn state(&self) -> State {
        State::default()
    }

    /// Takes back what [`Aggregator::state`] gave.
    ///
    /// # Errors
    /// When a name is missing or a length differs.
    fn restore(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }
}

/// What an aggregator must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent demands, each a column of the table in ARCHITECTURE.md"
)]
pub struct Needs {
    /// The most it takes of a batch's gradients.
    pub demand: Demand,
    /// Of which gradients.
    pub level: Level,
    /// How many independent batches each step draws.
    pub batches: u32,
    /// Whether it looks at a validation batch.
    pub validation: bool,
    /// Whether it evaluates the training or validation loss at moved parameters.
    pub look_ahead: bool,
    /// Whether it is told the losses of the same batch after the step.
    pub losses_after_step: bool,
    /// Whether it keeps something for each task, which is meaningless when tasks are sampled anew.
    pub fixed_tasks: bool,
}

impl Needs {
    /// The values of the losses and nothing else: one backward pass.
    pub const LOSSES: Self = Self {
        demand: Demand::Losses,
        level: Level::Parameters,
        batches: 1,
        validation: false,
        look_ahead: false,
        losses_after_step: false,
        fixed_tasks: false,
    };

    /// The Gramian of the gradients of a level.
    pub const fn gramian(level: Level) -> Self {
        Self { demand: Demand::Gramian, level, ..Self::LOSSES }
    }

    /// The rows of the Jacobian of a level.
    pub const fn jacobian(level: Level) -> Self {
        Self { demand: Demand::Jacobian, level, ..Self::LOSSES }
    }
}

/// What of the gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// Nothing: the losses alone.
    Losses,
    /// Their inner products.
    Gramian,
    /// The gradients themselves.
    Jacobian,
}

/// Gradients with respect to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The shared parameters.
    Parameters,
    /// The last shared activation: one pass through the heads and one through the trunk, and an upper bound of the
    /// parameter-level problem.
    Representation,
}

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

    /// The tasks that are present, by number, ascending.
    fn present(&self) -> &[usize];

    /// The losses of the present tasks.
    fn losses(&self) -> &[f64];

    /// The Gramian of the declared level.
    fn gramian(&mut self) -> Result<&Gramian>;

    /// The gradients of the declared level.
    fn jacobian(&mut self) -> Result<&Jacobian>;

    /// The ranges of columns of [`Step::jacobian`] that belong to one parameter, with its name: for methods that work
    /// layer by layer, or on the last shared layer alone.
    fn columns(&self) -> Vec<(String, std::ops::Range<usize>)>;

    /// The losses and gradients of a further, independent batch of this step, `1 .. needs.batches`.
    fn replica(&mut self, number: u32) -> Result<(Vec<f64>, Jacobian)>;

    /// The losses and gradients of a validation batch, at parameters moved by `rate` against a combination of this
    /// step's gradients, or where they are. The parameters are not touched.
    fn validation(&mut self, ahead: Option<(&Combination, f64)>) -> Result<(Vec<f64>, Jacobian)>;

    /// The losses and gradients of this step's own batch at moved parameters. The parameters are not touched.
    fn ahead(&mut self, combination: &Combination, rate: f64) -> Result<(Vec<f64>, Jacobian)>;
}

/// What becomes of the gradients.
#[derive(Debug)]
pub struct Combination {
    /// For the shared parameters.
    pub shared: Shared,
    /// The factor of each present task's gradient for its own parameters.
    pub heads: Vec<f64>,
}

/// A direction for the shared parameters; the optimizer goes against it, as against a gradient.
#[derive(Debug)]
pub enum Shared {
    /// `Jᵀ w`.
    Weights(Vec<f64>),
    /// The vector itself, `[P]`, of the declared level.
    Direction(Tensor),
}

impl Combination {
    /// The gradient of the weighted sum of losses `Σ wᵢ lᵢ`: heads are weighted as well.
    pub fn weighted_losses(weights: Vec<f64>) -> Self {
        Self { heads: weights.clone(), shared: Shared::Weights(weights) }
    }

    /// `Jᵀ w` for the shared parameters; each head follows its own loss.
    pub fn weights(weights: Vec<f64>) -> Self {
        Self { heads: vec![1.0; weights.len()], shared: Shared::Weights(weights) }
    }

    /// A vector for the shared parameters; each of the `present` heads follows its own loss.
    pub fn direction(direction: Tensor, present: usize) -> Self {
        Self { heads: vec![1.0; present], shared: Shared::Direction(direction) }
    }
}

/// What an aggregator saves: numbers and tensors by name.
#[derive(Debug, Default)]
pub struct State {
    /// Lists of numbers, saved with all their bits.
    pub numbers: BTreeMap<String, Vec<f64>>,
    /// Tensors of the size of tasks × parameters.
    pub tensors: BTreeMap<String, Tensor>,
}

//! What turns task losses into one direction, what it may take for that, and what it gives back.

mod combination;
mod given;
mod level;
mod needs;
mod state;
mod step;
mod task_vec;
mod weighting;

use std::fmt::Debug;

pub use self::combination::{Combination, Gives, Shared};
pub use self::given::{GivenBatch, GivenStep};
pub(crate) use self::level::layer_slots;
pub use self::level::{Level, layer_columns};
pub use self::needs::{Demand, Needs};
pub use self::state::State;
pub use self::step::{BatchGradients, BatchOf, Place, Step, StepInfo, Want};
pub use self::task_vec::TaskVec;
pub use self::weighting::{GramianWeighting, LossWeighting, OnGramian, OnLosses, finite};
use crate::Result;

/// Turns what it needs to know of K task losses into one direction.
///
/// An aggregator never sees a model. It declares what it needs ([`Aggregator::needs`]), so that impossible pairings are
/// refused before training, and takes exactly that from the [`Step`] it is given, so that nothing else is computed.
///
/// Most methods are simpler: one that gives weights for losses by their values is a [`LossWeighting`], one that gives weights
/// for gradients by their inner products a [`GramianWeighting`]; [`OnLosses`] and [`OnGramian`] make aggregators of them.
pub trait Aggregator: Debug + Send {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// The most that any step will ask for.
    fn needs(&self) -> Needs;

    /// The form of its answers.
    fn gives(&self) -> Gives;

    /// One step: the combination of the present tasks' gradients.
    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination>;

    /// The losses of the same batch after the optimizer's step, of the tasks that were present at that step; called when
    /// [`Needs::losses_after_step`] is set.
    fn after_step(&mut self, _losses: &TaskVec) -> Result<()> {
        Ok(())
    }

    /// The mean training losses of the epoch that ended, of all tasks that were present in it.
    fn end_epoch(&mut self, _mean_losses: &TaskVec) -> Result<()> {
        Ok(())
    }

    /// The weights last used, for the log; `None` where there are none.
    fn weights(&self) -> Option<&TaskVec> {
        None
    }

    /// What must be saved so that a resumed run goes on exactly.
    fn state(&self) -> Result<State> {
        Ok(State::default())
    }

    /// Takes back what [`Aggregator::state`] gave.
    ///
    /// # Errors
    /// When something is missing or a length differs.
    fn restore(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }
}

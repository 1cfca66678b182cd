//! Networks of many tasks.

mod body;
mod conditioned;
mod encoder;
mod ensemble;
mod experts;
mod features;
mod heads;
mod outputs;
pub(crate) mod pixels;
mod predict;
mod preferences;
mod rows;
mod settings;
mod stages;
mod whole_front;

use std::fmt::Debug;
use std::sync::Arc;

use manytask_data::Inputs;
use manytask_nn::Context;
use manytask_nn::dense::DenseChain;
use manytask_nn::fused::NotFused;
use manytask_tensor::{Layout, Owner, Params, Slot, Tensor};

pub(crate) use self::body::{Body, BodyOutput, BuiltBody, TaskFeatures, of_task, with_heads};
pub(crate) use self::conditioned::Conditioned;
pub use self::encoder::{Encoding, InputEncoder, InputSizes};
pub(crate) use self::ensemble::{Ensemble, Sharing};
pub(crate) use self::experts::{
    Bottom, EXPERT_PARTS, Experts, check_experts, check_levels, check_number, gate, gate_logits,
    gate_weights_of, levels, mixed,
};
pub use self::features::Features;
pub use self::heads::Heads;
pub(crate) use self::heads::stacked_weights;
pub use self::outputs::{Auxiliary, OutputGroup, Outputs};
pub(crate) use self::predict::{fused_chain, predict};
pub(crate) use self::preferences::PreferenceSettings;
pub use self::preferences::Preferences;
pub use self::rows::{Rows, TaskInputs};
pub use self::settings::{ArchitectureSettings, Blueprint, Built, PartUse, TrunkSettings};
pub(crate) use self::stages::{per_channel, pooled_like, run_stage, stage_widths};
pub(crate) use self::whole_front::{Conditioning, whole_front};
use crate::{Error, Result, Task};

/// A network of many tasks: inputs to the raw outputs of each task.
///
/// Whose a parameter is says the layout, where it was built: an entry of [`Owner::Task`] changes the outputs of that task
/// alone and rests in steps in which the task is absent; all others are shared, also where only some tasks reach them. An
/// aggregator's direction is for the shared ones.
pub trait Architecture: Debug + Send + Sync {
    /// The parameters.
    fn layout(&self) -> &Arc<Layout>;

    /// The number of tasks.
    fn tasks(&self) -> usize;

    /// The raw outputs (logits, standardised values) of the wanted tasks, by number, ascending, with a graph to `params`; in
    /// training also the auxiliary losses. `cx` says whether this is training, how far it is, and draws what is random.
    ///
    /// # Errors
    /// When the inputs are not of the network's form.
    fn forward(
        &self,
        params: &Params,
        inputs: &TaskInputs,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<Outputs>;

    /// The one place where shared parameters end and those of tasks begin, where there is such a place: its passes are faster,
    /// and gradients can be taken with respect to the representation there.
    fn bottleneck(&self) -> Option<&dyn Bottleneck> {
        None
    }

    /// How preferences are drawn, where it is one network for the whole Pareto front: what its outputs depend on beside the inputs
    /// ([`TaskInputs::preference`]).
    fn preferences(&self) -> Option<&Preferences> {
        None
    }

    /// Whether it mixes rows between the layers of its trunk where the context says so, see [`HiddenMix`](manytask_nn::HiddenMix).
    fn mixes_hidden(&self) -> bool {
        false
    }

    /// Refuses tasks or inputs that it is not for. `single_input` is whether all tasks are on the same rows.
    ///
    /// # Errors
    /// With what it is for.
    fn check(&self, tasks: &[Task], single_input: bool) -> Result<()> {
        let _ = (tasks, single_input);
        Ok(())
    }

    /// Trained parameters whose gradient in a pass is not that of the tasks' losses: an estimate, as of choices that are drawn, or
    /// of an objective of their own.
    fn surrogates(&self) -> Vec<Slot> {
        Vec::new()
    }

    /// The fewest rows that all tasks' rows together must have in training, see
    /// [`Module::smallest_batch`](manytask_nn::Module::smallest_batch).
    fn smallest_batch(&self) -> usize {
        1
    }

    /// The fewest rows that a task's own layers take in training.
    fn smallest_batch_of(&self, task: usize) -> usize {
        let _ = task;
        1
    }
}

impl dyn Architecture + '_ {
    /// Each task's raw outputs `[N, outputs]` for rows of inputs, without a graph and in evaluation; what they mean says
    /// [`Task::present`]. `inputs` are one for all tasks or one for each.
    ///
    /// # Errors
    /// When the inputs are not of the network's form.
    pub fn outputs(&self, params: &Params, inputs: &[Inputs]) -> Result<Vec<Tensor>> {
        predict(self, params, inputs, None)
    }

    /// The same of a network for the whole Pareto front, for one preference, see [`Preferences`].
    ///
    /// # Errors
    /// As `outputs`; where the preference is not of its tasks, or it is no such network.
    pub fn outputs_at(&self, params: &Params, inputs: &[Inputs], preference: &[f64]) -> Result<Vec<Tensor>> {
        let own = self.preferences().ok_or_else(|| {
            Error::setting("preference", "a preference for a network without one", "leave it out")
        })?;
        predict(self, params, inputs, Some(&own.checked(preference)?))
    }
}

/// The cut of an architecture: all shared parameters are before it, all of tasks behind it, and there is no auxiliary loss.
pub trait Bottleneck: Debug + Send + Sync {
    /// The representation of rows of inputs, `[B, features]`.
    ///
    /// # Errors
    /// When the inputs are not of the network's form.
    fn encode(&self, params: &Params, inputs: &Inputs, cx: &mut Context) -> Result<Tensor>;

    /// What makes each task's outputs of the representation.
    fn heads(&self) -> &Heads;

    /// All that is shared as a chain of linear layers whose activations are piecewise linear.
    ///
    /// # Errors
    /// With what else is shared.
    fn chain(&self) -> std::result::Result<&DenseChain, &NotFused> {
        static NO_CHAIN: NotFused =
            NotFused::because("an architecture whose trunk is not asked for its layers");
        Err(&NO_CHAIN)
    }

    /// What the gradients of some of the tasks' own parameters come from in place of their losses, where there are such.
    fn alignment(&self) -> Option<&dyn Alignment> {
        None
    }
}

/// Own parameters of tasks that follow an objective of all tasks' gradients of the representation.
pub trait Alignment: Debug + Send + Sync {
    /// The gradients of each present task's such parameters, `cotangents` being `∂lᵢ/∂z` of each present task, `[B, F]`, where all are on
    /// the same rows.
    ///
    /// # Errors
    /// When memory runs out.
    fn gradients(
        &self,
        params: &Params,
        present: &[usize],
        cotangents: &[Tensor],
    ) -> Result<Vec<Vec<(Slot, Tensor)>>>;
}

/// The trained parameters by owner.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    /// Those that tasks share, in layout order.
    pub(crate) shared: Vec<Slot>,
    /// Those of each task.
    pub(crate) own: Vec<Vec<Slot>>,
}

impl Owned {
    /// Of a network of so many tasks.
    pub(crate) fn of(layout: &Layout, tasks: usize) -> Result<Self> {
        let mut owned = Self { shared: Vec::new(), own: vec![Vec::new(); tasks] };
        for slot in layout.trained() {
            let Owned { shared, own } = &mut owned;
            match layout.entry(slot)?.owner {
                Owner::Shared => shared.push(slot),
                Owner::Task(task) => own.get_mut(task).unwrap_or(shared).push(slot),
            }
        }
        Ok(owned)
    }
}

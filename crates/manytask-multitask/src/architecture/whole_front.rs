//! Networks that are one for the whole Pareto front: a trunk with heads that a preference changes.

use std::fmt::Debug;
use std::sync::Arc;

use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Entry, Layout, LayoutBuilder, Params, Tensor};

use super::preferences::{PreferenceSettings, Preferences};
use super::{Architecture, Blueprint, Features, Heads, InputEncoder, Outputs, TaskInputs};
use crate::{Result, Task};

/// How a preference enters the network.
pub(crate) trait Conditioning: Debug + Send + Sync + 'static {
    /// The shape of a row as the trunk takes it, made of that of an encoded row.
    fn shape(&self, row: &[i64]) -> Vec<i64> {
        row.to_vec()
    }

    /// Adds its parameters beside those of trunk and heads, which are these entries.
    ///
    /// # Errors
    /// When a size is impossible, or the network is not what it can condition.
    fn within(self, layout: &mut LayoutBuilder, target: &[Entry]) -> Result<Self>
    where
        Self: Sized,
    {
        let _ = (layout, target);
        Ok(self)
    }

    /// Encoded rows as the trunk takes them; `preference` is `[K]`.
    ///
    /// # Errors
    /// When memory runs out.
    fn inputs(&self, x: Tensor, preference: &Tensor) -> Result<Tensor> {
        let _ = preference;
        Ok(x)
    }

    /// The parameters that trunk and heads compute with, with a graph to `params`.
    ///
    /// # Errors
    /// When memory runs out.
    fn params(&self, params: &Params, preference: &Tensor, cx: &mut Context) -> Result<Params> {
        let _ = (preference, cx);
        Ok(params.share())
    }
}

/// The architecture of a trunk with heads in which a preference is.
#[derive(Debug)]
struct WholeFront<C> {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    trunk: Box<dyn Module>,
    heads: Heads,
    conditioning: C,
    preferences: Preferences,
}

/// Builds `trunk.…` and `heads.NAME.…` with what conditions them.
///
/// # Errors
/// When there are not two tasks, or a size is impossible.
pub(crate) fn whole_front<C: Conditioning>(
    blueprint: &Blueprint<'_>,
    conditioning: C,
    settings: PreferenceSettings<'_>,
) -> Result<Box<dyn Architecture>> {
    let preferences = settings.of(blueprint.tasks.len())?;
    let mut layout = Layout::builder();
    let mut root = Builder::new(&mut layout);
    let encoder = blueprint.encoder(&mut root)?;
    let shape = conditioning.shape(encoder.shape());
    let embedded = encoder.columns();
    let (trunk, features) = blueprint.part("trunk", &mut root.scope("trunk"), &shape)?;
    let heads = blueprint.heads(&mut root, features)?;
    let built = layout.snapshot();
    let target = built.entries().get(embedded..).unwrap_or_default();
    let conditioning = conditioning.within(&mut layout, target)?;
    let layout = layout.build();
    let heads = heads.within(&layout);
    Ok(Box::new(WholeFront { layout, encoder, trunk, heads, conditioning, preferences }))
}

impl<C: Conditioning> Architecture for WholeFront<C> {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn tasks(&self) -> usize {
        self.heads.len()
    }

    fn forward(
        &self,
        params: &Params,
        inputs: &TaskInputs,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<Outputs> {
        let preference = inputs.preference.as_deref().unwrap_or_else(|| self.preferences.usual());
        if preference.len() != self.tasks() {
            self.preferences.checked(preference)?;
        }
        let preference =
            Tensor::f_from_slice(preference)?.f_to_kind(params.kind())?.f_to_device(params.device())?;
        let x = self.encoder.forward(params, &inputs.all, cx)?;
        let x = self.conditioning.inputs(x, &preference)?;
        let params = self.conditioning.params(params, &preference, cx)?;
        let representation = self.trunk.forward(&params, &x, cx)?;
        self.heads.forward(&params, Features::All(&representation, &inputs.rows), wanted, cx)
    }

    fn preferences(&self) -> Option<&Preferences> {
        Some(&self.preferences)
    }

    fn check(&self, tasks: &[Task], _single_input: bool) -> Result<()> {
        self.preferences.check(tasks.len())
    }

    fn smallest_batch(&self) -> usize {
        self.trunk.smallest_batch()
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        self.heads.smallest_batch_of(task)
    }
}

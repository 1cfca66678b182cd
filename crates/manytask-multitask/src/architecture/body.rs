//! Architectures that are features for each task, followed by a head for each.

use std::fmt::Debug;
use std::sync::Arc;

use manytask_nn::{Builder, Context};
use manytask_tensor::{Layout, Params, Slot, Tensor, WHOLE};

use super::{Architecture, Auxiliary, Blueprint, Features, Heads, InputEncoder, Outputs, Rows, TaskInputs};
use crate::{Error, Result};

/// What an architecture does between the encoded inputs and its heads. [`with_heads`] makes an [`Architecture`] of it.
pub(crate) trait Body: Debug + Send + Sync + 'static {
    /// The features of each wanted task for encoded rows `x`, `[B, D]` or `[B, C, H, W]`, and in training the auxiliary losses.
    ///
    /// # Errors
    /// When the inputs are not of the network's form.
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        rows: &Rows,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<BodyOutput>;

    /// The same when the layout is whole.
    ///
    /// # Errors
    /// When the network cannot be what the body needs.
    fn within(self, layout: &Layout) -> Result<Self>
    where
        Self: Sized,
    {
        let _ = layout;
        Ok(self)
    }

    /// See [`Architecture::surrogates`].
    fn surrogates(&self) -> Vec<Slot> {
        Vec::new()
    }

    /// The fewest rows that all tasks' rows together must have in training.
    fn smallest_batch(&self) -> usize {
        1
    }

    /// The fewest rows that the layers of one task take in training.
    fn smallest_batch_of(&self, task: usize) -> usize {
        let _ = task;
        1
    }
}

/// The features of the wanted tasks.
#[derive(Debug)]
pub(crate) enum TaskFeatures {
    /// `[K, B, F]`, where all have the same number of rows.
    Stacked(Tensor),
    /// `[B, F]` of each.
    Each(Vec<Tensor>),
}

/// What a [`Body`] gives.
#[derive(Debug)]
pub(crate) struct BodyOutput {
    pub(crate) features: TaskFeatures,
    pub(crate) auxiliary: Vec<Auxiliary>,
}

impl From<TaskFeatures> for BodyOutput {
    fn from(features: TaskFeatures) -> Self {
        Self { features, auxiliary: Vec::new() }
    }
}

/// The number of features that a body gives each task, with the body.
pub(crate) type BuiltBody<B> = (B, i64);

/// The architecture of an encoder of inputs, a body and a head for each task. `build` is given the shape of an encoded row.
///
/// # Errors
/// When a size is impossible, or there is no task.
pub(crate) fn with_heads<B: Body>(
    blueprint: &Blueprint<'_>,
    build: impl FnOnce(&mut Builder<'_>, &[i64]) -> Result<BuiltBody<B>>,
) -> Result<Box<dyn Architecture>> {
    let mut layout = Layout::builder();
    let mut root = Builder::new(&mut layout);
    let encoder = blueprint.encoder(&mut root)?;
    let (body, features) = build(&mut root, encoder.shape())?;
    let heads = blueprint.heads(&mut root, features)?;
    let layout = layout.build();
    let (body, heads) = (body.within(&layout)?, heads.within(&layout));
    Ok(Box::new(WithHeads { layout, encoder, body, heads }))
}

#[derive(Debug)]
struct WithHeads<B> {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    body: B,
    heads: Heads,
}

impl<B: Body> Architecture for WithHeads<B> {
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
        let x = self.encoder.forward(params, &inputs.all, cx)?;
        let BodyOutput { features, auxiliary } = self.body.features(params, &x, &inputs.rows, wanted, cx)?;
        let features = match &features {
            TaskFeatures::Stacked(all) => Features::Stacked(all),
            TaskFeatures::Each(each) => Features::Each(each),
        };
        Ok(self.heads.forward(params, features, wanted, cx)?.with_auxiliary(auxiliary))
    }

    fn surrogates(&self) -> Vec<Slot> {
        self.body.surrogates()
    }

    fn smallest_batch(&self) -> usize {
        self.body.smallest_batch()
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        self.body.smallest_batch_of(task).max(self.heads.smallest_batch_of(task))
    }
}

/// What a task has of a list with an element for each.
///
/// # Errors
/// When there is no such task.
pub(crate) fn of_task<T>(all: &[T], task: usize) -> Result<&T> {
    let count = all.len();
    all.get(task)
        .ok_or_else(|| Error::setting(WHOLE, format!("task {task} of {count}"), "count tasks from 0"))
}

//! The network that a learner is built on.

use std::sync::Arc;

use manytask_multitask::{Error, Result};
use manytask_nn::{BatchNormPolicy, Context, Module};
use manytask_tensor::{Device, Kind, Layout, Tensor, WHOLE, no_grad};

/// The network that a learner is built on.
#[derive(Debug)]
pub struct Backbone<'a> {
    /// The definition.
    pub network: &'a dyn Module,
    /// Its parameters.
    pub layout: Arc<Layout>,
    /// The shape of one row that goes into it.
    pub input: Vec<i64>,
}

impl Backbone<'_> {
    /// Refuses a network without parameters, for a learner that has none of its own.
    ///
    /// # Errors
    /// With the learner's name.
    pub(crate) fn trained(&self, learner: &str) -> Result<()> {
        if !self.layout.trained().is_empty() {
            return Ok(());
        }
        Err(Error::setting(
            WHOLE,
            format!("`{learner}` with a network that has no parameters: there is nothing to learn"),
            "take a [network] with parameters, such as kind = \"mlp\" or \"conv4\", or a learner that trains nothing, such as `logistic`, `ridge` or `simple_shot`",
        ))
    }

    /// How many numbers come out of it for one row.
    ///
    /// # Errors
    /// As [`Backbone::features`].
    pub fn feature_count(&self) -> Result<i64> {
        Ok(self.features()?.iter().product())
    }

    /// The shape of what comes out of it for one row: a pass of two rows of zeros.
    ///
    /// # Errors
    /// When such rows are not for it.
    pub fn features(&self) -> Result<Vec<i64>> {
        let _off = no_grad();
        let on = (Kind::Float, Device::Cpu);
        let rows = Tensor::f_zeros([&[2], self.input.as_slice()].concat(), on)?;
        let params = self.layout.zeros(on.0, on.1)?;
        let mut cx = Context::eval().with_batch_norm(BatchNormPolicy::Batch);
        Ok(self.network.forward(&params, &rows, &mut cx)?.size().split_off(1))
    }
}

/// Whether a network has batch-norm: its running statistics are the only buffers of that name.
pub(crate) fn normalises(layout: &Layout) -> bool {
    layout.entries().iter().any(|entry| entry.name.ends_with("running_mean"))
}

//! A pass whose gradients are there already.

use manytask_multitask::{Combination, Jacobian, Level, Pass, Result, Shared};
use manytask_nn::Context;
use manytask_tensor::capture::Outputs;
use manytask_tensor::{Params, Tensor};

use super::levels::{as_many, at_level, vector_of};
use super::losses::Losses;

/// A pass whose gradients are there already, the rows of one matrix.
pub(super) struct PrecomputedPass<'a> {
    params: &'a Params,
    present: Vec<usize>,
    losses: Losses,
    context: Context,
    jacobian: Jacobian,
    layers: Option<(Level, Jacobian)>,
    /// Whose memory the gradients are in.
    _outputs: Option<Outputs>,
}

impl<'a> PrecomputedPass<'a> {
    pub(super) fn new(params: &'a Params, mut losses: Losses, rows: &Tensor) -> Result<Self> {
        let present = (0..losses.values.len()).collect();
        let context = losses.take_context()?;
        Ok(Self {
            params,
            present,
            losses,
            context,
            jacobian: Jacobian::new(rows)?,
            layers: None,
            _outputs: None,
        })
    }

    /// With the memory that the gradients are in.
    pub(super) fn holding(self, outputs: Outputs) -> Self {
        Self { _outputs: Some(outputs), ..self }
    }
}

impl Pass for PrecomputedPass<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.losses.values
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        at_level(&self.jacobian, &mut self.layers, self.params, level)
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        let vector = match &combination.shared {
            Shared::Direction { vector, level } => vector_of(vector, level)?,
            Shared::Weights(weights) => self.jacobian.combine(as_many(weights, self.present.len())?)?,
        };
        Ok(Params::from_vector(self.params.layout(), &vector)?)
    }

    fn terms(&self) -> Vec<(&'static str, f64)> {
        self.losses.terms()
    }

    fn take_context(&mut self) -> Context {
        std::mem::replace(&mut self.context, Context::eval())
    }
}

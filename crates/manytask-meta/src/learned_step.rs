//! Inner steps that are learned otherwise than by rates.

use std::fmt::Debug;

use manytask_multitask::Result;
use manytask_tensor::{Params, Slot, Tensor};

use crate::episode::Support;

/// What an inner step is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepAt<'s> {
    pub(crate) support: &'s Support<'s>,
    /// All parameters, the learner's own among them.
    pub(crate) params: &'s Params,
    /// What adapts.
    pub(crate) slots: &'s [Slot],
    /// The gradients of the support loss by these, `[T?, …]`.
    pub(crate) gradients: &'s [Tensor],
    /// How many steps were made.
    pub(crate) done: u64,
}

/// A rule with parameters of its own, which the meta-gradient reaches through what it gives.
pub(crate) trait LearnedStep: Debug + Send + Sync {
    /// What adapts as it is before the first step, where that is not what the meta-parameters are; the first step is from there.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn start(&self, at: StepAt<'_>) -> Result<Option<Vec<Tensor>>> {
        let _ = at;
        Ok(None)
    }

    /// What adapts after a step.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn next(&self, at: StepAt<'_>) -> Result<Vec<Tensor>>;
}

impl StepAt<'_> {
    /// What adapts with its gradients.
    pub(crate) fn each(&self) -> impl Iterator<Item = Result<(&Tensor, &Tensor)>> {
        self.slots.iter().zip(self.gradients).map(|(slot, gradient)| Ok((self.params.get(*slot)?, gradient)))
    }

    /// Numbers `[T, 1]`, one of each task, in the form that goes with a tensor `[T?, …]`.
    pub(crate) fn alike(&self, number: &Tensor, like: &Tensor) -> Result<Tensor> {
        let mut shape = vec![1; like.dim()];
        if let (Some(first), Some(tasks)) = (shape.first_mut(), self.support.tasks) {
            *first = tasks;
        }
        Ok(number.f_reshape(shape)?)
    }

    /// The mean of each tensor's numbers in each task, `[T, L]`.
    pub(crate) fn means<'t>(&self, tensors: impl Iterator<Item = Result<&'t Tensor>>) -> Result<Tensor> {
        let rows = self.support.tasks.unwrap_or(1);
        let mean = |tensor: Result<&Tensor>| -> Result<Tensor> {
            let tensor = tensor?;
            Ok(tensor.f_reshape([rows, -1])?.f_mean_dim([1_i64].as_slice(), true, tensor.kind())?)
        };
        Ok(Tensor::f_cat(&tensors.map(mean).collect::<Result<Vec<_>>>()?, 1)?)
    }
}

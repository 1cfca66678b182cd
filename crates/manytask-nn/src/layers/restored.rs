use manytask_tensor::{Params, Tensor};

use crate::primitive::{NotFused, Primitive};
use crate::{Context, Module, Result, Staged};

/// What a module gives, in the element type of its parameters, whatever [`Precision`](crate::Precision) its layers compute in.
///
/// Its stages are those of the module, in whatever its layers compute.
#[derive(Debug)]
pub struct Restored<M>(pub M);

impl<M: Module> Module for Restored<M> {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        Ok(self.0.forward(params, x, cx)?.f_to_kind(params.kind())?)
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        self.0.primitives()
    }

    fn smallest_batch(&self) -> usize {
        self.0.smallest_batch()
    }

    fn staged(&self) -> Option<&dyn Staged> {
        self.0.staged()
    }
}

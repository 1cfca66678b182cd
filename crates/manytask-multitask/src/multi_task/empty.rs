//! The pass on a batch in which no task has a label.

use manytask_nn::Context;
use manytask_tensor::{Params, Tensor};

use super::{MultiTaskProblem, gradient};
use crate::{Combination, Jacobian, Level, Pass, Problem, Result, layer_columns};

/// A pass without a loss: no row of a Jacobian, a gradient of zero, and nothing for the buffers.
pub(super) struct EmptyPass<'a> {
    problem: &'a MultiTaskProblem,
    params: &'a Params,
    rows: Option<Jacobian>,
}

impl<'a> EmptyPass<'a> {
    pub(super) fn new(problem: &'a MultiTaskProblem, params: &'a Params) -> Self {
        Self { problem, params, rows: None }
    }
}

impl Pass for EmptyPass<'_> {
    fn present(&self) -> &[usize] {
        &[]
    }

    fn losses(&self) -> &[f64] {
        &[]
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        let width = match level {
            Level::Representation => 0,
            level => {
                let columns = layer_columns(self.problem.layout(), self.problem.shared(), level)?;
                columns.iter().map(|range| range.len() as i64).sum()
            }
        };
        let kind = (self.params.kind(), self.params.device());
        Ok(self.rows.insert(Jacobian::new(&Tensor::f_zeros([0, width], kind)?)?))
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        gradient::fits(combination, 0)?;
        Ok(self.params.detach()?.zeros_like()?)
    }

    fn take_context(&mut self) -> Context {
        Context::eval()
    }
}

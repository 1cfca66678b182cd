//! A pass over all tasks at once.

use manytask_multitask::{Combination, Jacobian, Level, Pass, Result, Shared};
use manytask_nn::Context;
use manytask_tensor::{Graph, Params, Tensor, grad};

use super::levels::{as_many, at_level, broken, vector_of};
use super::losses::Losses;

/// A pass over all tasks at once, whose graph waits for the weights.
pub(super) struct BatchedPass<'a> {
    params: &'a Params,
    /// Each task's own, views of the parameters.
    expanded: Params,
    present: Vec<usize>,
    losses: Losses,
    context: Context,
    /// The losses with their graph.
    graph: Tensor,
    jacobian: Option<Jacobian>,
    layers: Option<(Level, Jacobian)>,
}

impl<'a> BatchedPass<'a> {
    pub(super) fn new(
        params: &'a Params,
        expanded: Params,
        graph: Tensor,
        mut losses: Losses,
    ) -> Result<Self> {
        let present = (0..losses.values.len()).collect();
        let context = losses.take_context()?;
        Ok(Self { params, expanded, present, losses, context, graph, jacobian: None, layers: None })
    }
}

impl Pass for BatchedPass<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.losses.values
    }

    /// One pass: a task's loss depends on its own parameters alone, so the gradient of the sum by all tasks' parameters has a
    /// task's gradient in each row.
    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        if self.jacobian.is_none() {
            let total = self.graph.f_sum(self.graph.kind())?;
            let rows = grad(&total, &self.expanded, Graph::Free)?.flatten()?;
            self.jacobian = Some(Jacobian::new(&rows)?);
        }
        let all = self.jacobian.as_ref().ok_or_else(|| broken("no Jacobian"))?;
        at_level(all, &mut self.layers, self.params, level)
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        let vector = match (&combination.shared, &self.jacobian) {
            (Shared::Direction { vector, level }, _) => vector_of(vector, level)?,
            (Shared::Weights(weights), Some(jacobian)) => {
                jacobian.combine(as_many(weights, self.present.len())?)?
            }
            (Shared::Weights(weights), None) => {
                let weights = Tensor::f_from_slice(as_many(weights, self.present.len())?)?;
                let weights = weights.f_to_kind(self.graph.kind())?.f_to_device(self.graph.device())?;
                let total = self.graph.f_dot(&weights)?;
                return Ok(grad(&total, self.params, Graph::Free)?);
            }
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

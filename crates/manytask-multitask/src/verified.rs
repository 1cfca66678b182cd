//! A fused pass beside the same pass through the graph.

use manytask_nn::Context;
use manytask_tensor::{Kind, Params, Tensor};

use crate::{AuxiliaryLoss, Combination, Error, Gramian, Jacobian, Level, Pass, Result};

/// A pass that is computed in two ways, and fails where they differ by more than rounding: of float64 by 1e-8 of what the graph
/// gives, of float32 by 1e-2, since a number next to the kink of a relu may fall on either side of it.
pub struct VerifiedPass<'a> {
    fused: Box<dyn Pass + 'a>,
    graph: Box<dyn Pass + 'a>,
    tolerance: f64,
}

impl<'a> VerifiedPass<'a> {
    /// Compares the losses of two passes on one batch with parameters of this element type.
    ///
    /// # Errors
    /// When tasks or losses differ.
    pub fn new(fused: Box<dyn Pass + 'a>, graph: Box<dyn Pass + 'a>, kind: Kind) -> Result<Self> {
        let tolerance = if kind == Kind::Double { 1e-8 } else { 1e-2 };
        let pass = Self { fused, graph, tolerance };
        if pass.fused.present() != pass.graph.present() {
            return Err(pass.differs("the tasks that are present", f64::INFINITY));
        }
        for ((task, fused), graph) in
            pass.graph.present().iter().zip(pass.fused.losses()).zip(pass.graph.losses())
        {
            pass.near(&format!("the loss of task {task}"), (fused - graph).abs(), graph.abs())?;
        }
        Ok(pass)
    }

    fn differs(&self, what: &str, difference: f64) -> Error {
        Error::NotVerified { what: what.to_owned(), difference, tolerance: self.tolerance }
    }

    /// Refuses a difference that is no rounding of something so long; where that is not finite nothing can be said.
    fn near(&self, what: &str, difference: f64, length: f64) -> Result<()> {
        if !length.is_finite() || difference <= self.tolerance * length + f64::MIN_POSITIVE {
            return Ok(());
        }
        Err(self.differs(what, difference / length))
    }
}

fn length(vector: &Tensor) -> Result<f64> {
    Ok(vector.f_to_kind(Kind::Double)?.f_norm()?.f_double_value(&[])?)
}

impl Pass for VerifiedPass<'_> {
    fn present(&self) -> &[usize] {
        self.graph.present()
    }

    fn losses(&self) -> &[f64] {
        self.fused.losses()
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        let graph = self.graph.jacobian(level)?.rows().shallow_clone();
        let fused = self.fused.jacobian(level)?.rows().shallow_clone();
        for (row, task) in self.graph.present().iter().enumerate() {
            let (fused, graph) = (fused.f_select(0, row as i64)?, graph.f_select(0, row as i64)?);
            self.near(
                &format!("the gradient of task {task}"),
                length(&fused.f_sub(&graph)?)?,
                length(&graph)?,
            )?;
        }
        self.fused.jacobian(level)
    }

    fn gramian(&mut self, level: &Level) -> Result<Gramian> {
        let (graph, fused) = (self.graph.gramian(level)?, self.fused.gramian(level)?);
        for (i, a) in self.graph.present().iter().enumerate() {
            for (j, b) in self.graph.present().iter().enumerate() {
                let lengths = (graph.at(i, i) * graph.at(j, j)).sqrt();
                let what = format!("the inner product of the gradients of tasks {a} and {b}");
                self.near(&what, (fused.at(i, j) - graph.at(i, j)).abs(), lengths)?;
            }
        }
        Ok(fused)
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        let (graph, fused) = (self.graph.finish(combination)?, self.fused.finish(combination)?);
        let (of_graph, of_fused) = (graph.flatten()?, fused.flatten()?);
        self.near("the gradient of a step", length(&of_fused.f_sub(&of_graph)?)?, length(&of_graph)?)?;
        Ok(fused)
    }

    fn preference(&self) -> Option<&[f64]> {
        self.graph.preference()
    }

    fn auxiliary(&self) -> &[AuxiliaryLoss] {
        self.fused.auxiliary()
    }

    fn terms(&self) -> Vec<(&'static str, f64)> {
        self.fused.terms()
    }

    fn take_context(&mut self) -> Context {
        self.fused.take_context()
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Device;

    use super::*;
    use crate::testing::{problems, rows};
    use crate::{Draw, MultiTaskProblem, Problem, Split};

    /// Passes on two batches, which are as good as a fused pass with a mistake.
    fn of<'a>(
        problem: &'a MultiTaskProblem,
        params: &'a Params,
        steps: [u64; 2],
    ) -> Result<VerifiedPass<'a>> {
        let [fused, graph] = steps
            .map(|step| problem.forward(params, Draw { seed: 1, step, replica: 0, split: Split::Train }));
        VerifiedPass::new(fused?, graph?, Kind::Double)
    }

    #[test]
    fn a_difference_ends_a_step() {
        for problem in problems(|| rows(1, 40, true)) {
            let params = problem.layout().init(3, Kind::Double, Device::Cpu).unwrap().require_grad().unwrap();
            let all = || Combination::weights(vec![1.0; problem.tasks().len()]);
            let mut alike = of(&problem, &params, [0, 0]).unwrap();
            alike.gramian(&Level::Parameters).unwrap();
            alike.finish(&all()).unwrap();
            let error = of(&problem, &params, [0, 1]).map(drop).unwrap_err();
            assert!(
                matches!(&error, Error::NotVerified { what, .. } if what == "the loss of task 0"),
                "{error}"
            );
            // What is asked for later is compared too.
            let [fused, graph] = [0, 1].map(|step| {
                problem.forward(&params, Draw { seed: 1, step, replica: 0, split: Split::Train }).unwrap()
            });
            let mut pass = VerifiedPass { fused, graph, tolerance: 1e-8 };
            assert!(pass.gramian(&Level::Parameters).is_err());
            assert!(pass.jacobian(&Level::Parameters).is_err());
            assert!(pass.finish(&all()).is_err());
        }
    }
}

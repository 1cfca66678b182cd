//! The graph pass of an architecture with one cut: once through all heads, then through the trunk as often as is asked for.

use manytask_data::Batch;
use manytask_nn::Context;
use manytask_tensor::{Graph, Params, Slot, Tensor, vjp, write_in_turn};

use super::cut::{Cut, Gradients};
use super::{MultiTaskProblem, broken, context, direction_of_layers, gradient, rows_of_its_own};
use crate::aggregator::layer_slots;
use crate::architecture::{Bottleneck, Rows, TaskInputs};
use crate::{
    AuxiliaryLoss, Combination, Draw, Jacobian, Level, Pass, Problem, Result, Shared, layer_columns,
};

/// A pass whose graph is cut at the representation, so that one backward pass through all heads gives every task's cotangent.
pub(super) struct BottleneckPass<'a> {
    problem: &'a MultiTaskProblem,
    params: &'a Params,
    present: Vec<usize>,
    values: Vec<f64>,
    auxiliary: Vec<AuxiliaryLoss>,
    representation: Tensor,
    rows: Rows,
    cut: Option<Cut>,
    cx: Option<Context>,
    heads: Option<Gradients>,
    parameters: Option<Jacobian>,
    representations: Option<Jacobian>,
    layers: Option<(Level, Jacobian)>,
}

impl<'a> BottleneckPass<'a> {
    pub(super) fn forward(
        problem: &'a MultiTaskProblem,
        bottleneck: &dyn Bottleneck,
        params: &'a Params,
        batch: &Batch,
        present: Vec<usize>,
        draw: Draw,
    ) -> Result<Self> {
        let mut cx = context(problem, draw);
        let TaskInputs { all, rows, .. } = TaskInputs::join(batch, &present)?;
        let representation = bottleneck.encode(params, &all, &mut cx)?;
        let cut =
            Cut::forward(problem, bottleneck, params, batch, &present, (&representation, &rows), &mut cx)?;
        Ok(Self {
            problem,
            params,
            values: cut.values.clone(),
            auxiliary: cut.auxiliary.clone(),
            present,
            representation,
            rows,
            cut: Some(cut),
            cx: Some(cx),
            heads: None,
            parameters: None,
            representations: None,
            layers: None,
        })
    }

    /// The one pass through the heads.
    fn heads(&mut self) -> Result<&Gradients> {
        if let Some(cut) = self.cut.take() {
            self.heads = Some(cut.differentiate(self.problem, self.params, &self.present)?);
        }
        self.heads.as_ref().ok_or_else(|| broken("no pass through the heads"))
    }

    /// The gradient of some shared parameters for a cotangent of the representation.
    fn through_trunk(&self, slots: &[Slot], cotangent: &Tensor, graph: Graph) -> Result<Vec<Tensor>> {
        let inputs = slots.iter().map(|slot| Ok(self.params.get(*slot)?)).collect::<Result<Vec<_>>>()?;
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vjp(&[&self.representation], &[cotangent], &inputs, graph)?)
    }

    /// Each task's gradient of some shared parameters; `end` is what becomes of the graph.
    fn rows_by(&mut self, slots: &[Slot], end: Graph) -> Result<Tensor> {
        let tasks = self.present.len();
        if tasks == 0 {
            return Err(broken("a Jacobian of no task"));
        }
        self.heads()?;
        let width: i64 =
            slots.iter().map(|slot| Ok(self.params.get(*slot)?.numel() as i64)).sum::<Result<_>>()?;
        let rows = Tensor::f_empty([tasks as i64, width], (self.params.kind(), self.params.device()))?;
        for task in 0..tasks {
            let graph = if task + 1 == tasks { end } else { Graph::Keep };
            let cotangent = match &self.heads {
                Some(heads) => heads.cotangents.of(task, &self.representation)?,
                None => return Err(broken("no pass through the heads")),
            };
            let parts = self.through_trunk(slots, &cotangent, graph)?;
            // Each gradient is written where it belongs: a row is never put together elsewhere.
            write_in_turn(&parts, &rows.f_select(0, task as i64)?)?;
        }
        Ok(rows)
    }

    /// What own parameters have in place of the gradients of their tasks' losses.
    fn aligned(&mut self, weights: &[f64]) -> Result<Vec<Vec<(Slot, Tensor)>>> {
        let bottleneck = self.problem.architecture().bottleneck();
        let Some(alignment) = bottleneck.and_then(Bottleneck::alignment) else { return Ok(Vec::new()) };
        self.heads()?;
        let Some(heads) = &self.heads else { return Err(broken("no pass through the heads")) };
        let of = |task: usize| heads.cotangents.of(task, &self.representation);
        let cotangents = (0..self.present.len()).map(of).collect::<Result<Vec<_>>>()?;
        gradient::weighted(&alignment.gradients(self.params, &self.present, &cotangents)?, weights)
    }

    fn shared_gradient(&mut self, shared: &Shared) -> Result<Vec<Tensor>> {
        let (problem, params) = (self.problem, self.params);
        match shared {
            Shared::Weights(weights) => {
                if let Some(jacobian) = &self.parameters {
                    return gradient::split(problem, params, &jacobian.combine(weights)?);
                }
                let cotangent = self.heads()?.cotangents.weighted(weights)?;
                self.through_trunk(problem.shared(), &cotangent, Graph::Free)
            }
            Shared::Direction { vector, level: Level::Parameters } => {
                gradient::split(problem, params, vector)
            }
            Shared::Direction { vector, level: Level::Representation } => {
                let cotangent = vector.f_reshape(self.representation.size())?;
                self.through_trunk(problem.shared(), &cotangent, Graph::Free)
            }
            Shared::Direction { .. } => Err(direction_of_layers()),
        }
    }
}

impl Pass for BottleneckPass<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.values
    }

    fn auxiliary(&self) -> &[AuxiliaryLoss] {
        &self.auxiliary
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        let (layout, shared) = (self.problem.layout(), self.problem.shared());
        let found = match level {
            Level::Parameters => {
                if self.parameters.is_none() {
                    self.parameters = Some(Jacobian::new(&self.rows_by(shared, Graph::Free)?)?);
                }
                self.parameters.as_ref()
            }
            Level::Representation => {
                if matches!(self.rows, Rows::Own(_)) {
                    return Err(rows_of_its_own());
                }
                if self.representations.is_none() {
                    self.representations = Some(Jacobian::new(&self.heads()?.cotangents.rows()?)?);
                }
                self.representations.as_ref()
            }
            Level::LastLayer | Level::Layers(_) => {
                if self.layers.as_ref().is_none_or(|(of, _)| of != level) {
                    let rows = if let Some(all) = &self.parameters {
                        all.of_columns(&layer_columns(layout, shared, level)?)?
                    } else {
                        let slots = layer_slots(layout, shared, level)?;
                        Jacobian::new(&self.rows_by(&slots, Graph::Keep)?)?
                    };
                    self.layers = Some((level.clone(), rows));
                }
                self.layers.as_ref().map(|(_, rows)| rows)
            }
        };
        found.ok_or_else(|| broken("no Jacobian"))
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        gradient::fits(combination, self.present.len())?;
        let shared = self.shared_gradient(&combination.shared)?;
        let mut own = self.heads()?.own(&combination.heads)?;
        own.extend(self.aligned(&combination.heads)?);
        gradient::assemble(self.problem, self.params, shared, own)
    }

    fn take_context(&mut self) -> Context {
        self.cx.take().unwrap_or_else(Context::eval)
    }
}

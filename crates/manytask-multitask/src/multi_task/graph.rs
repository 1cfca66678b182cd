//! The graph pass of any architecture: losses that have a graph to all parameters.

use manytask_data::Batch;
use manytask_nn::Context;
use manytask_tensor::{Graph, Params, Slot, Tensor, gradients, write_in_turn};

use super::losses::Losses;
use super::{MultiTaskProblem, broken, context, direction_of_layers, gradient};
use crate::aggregator::layer_slots;
use crate::{
    AuxiliaryLoss, Combination, Draw, Error, Jacobian, Level, Pass, Problem, Result, Shared, layer_columns,
};

/// A pass that is differentiated once for a combination of losses, and once for each task where gradients are looked at.
pub(super) struct GraphPass<'a> {
    problem: &'a MultiTaskProblem,
    params: &'a Params,
    present: Vec<usize>,
    losses: Losses,
    preference: Option<Vec<f64>>,
    cx: Option<Context>,
    /// The gradients of the shared parameters, with those of each task's own.
    parameters: Option<(Jacobian, Vec<Vec<Tensor>>)>,
    layers: Option<(Level, Jacobian)>,
}

impl<'a> GraphPass<'a> {
    pub(super) fn forward(
        problem: &'a MultiTaskProblem,
        params: &'a Params,
        batch: &Batch,
        present: Vec<usize>,
        draw: Draw,
    ) -> Result<Self> {
        let mut cx = context(problem, draw);
        let preference = problem.preference(draw);
        let losses = problem.losses_of(params, batch, &present, (&mut cx, preference.clone()))?;
        let cx = Some(cx);
        Ok(Self { problem, params, present, losses, preference, cx, parameters: None, layers: None })
    }

    /// The gradients of one element by some parameters, zeros where they are not reached.
    fn by(&self, value: &Tensor, slots: &[Slot], graph: Graph) -> Result<Vec<Tensor>> {
        let inputs = slots.iter().map(|slot| Ok(self.params.get(*slot)?)).collect::<Result<Vec<_>>>()?;
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        if !value.requires_grad() {
            return inputs.iter().map(|input| Ok(input.f_detach()?.f_zeros_like()?)).collect();
        }
        Ok(gradients(value, &inputs, graph)?)
    }

    /// Each task's gradient of some shared parameters and of its own; `end` is what becomes of the graph.
    fn rows_by(&self, slots: &[Slot], with_own: bool, end: Graph) -> Result<(Jacobian, Vec<Vec<Tensor>>)> {
        let tasks = self.present.len();
        let width: i64 =
            slots.iter().map(|slot| Ok(self.params.get(*slot)?.numel() as i64)).sum::<Result<_>>()?;
        let rows = Tensor::f_empty([tasks as i64, width], (self.params.kind(), self.params.device()))?;
        let mut all_own = Vec::with_capacity(tasks);
        for (row, task) in self.present.iter().enumerate() {
            let graph = if row + 1 == tasks { end } else { Graph::Keep };
            let own: &[Slot] = if with_own { self.problem.own(*task) } else { &[] };
            let wanted: Vec<Slot> = slots.iter().chain(own).copied().collect();
            let mut found = self.by(&self.losses.vector.f_select(0, row as i64)?, &wanted, graph)?;
            all_own.push(found.split_off(slots.len()));
            write_in_turn(&found, &rows.f_select(0, row as i64)?)?;
        }
        Ok((Jacobian::new(&rows)?, all_own))
    }

    /// Each present task's gradient of its own parameters times its weight, by one backward pass.
    fn own(&self, weights: &[f64], end: Graph) -> Result<Vec<Vec<(Slot, Tensor)>>> {
        let slots: Vec<&[Slot]> = self.present.iter().map(|task| self.problem.own(*task)).collect();
        if let Some((_, own)) = &self.parameters {
            let weighted = slots.iter().zip(own).zip(weights).map(|((slots, own), weight)| {
                let scaled = slots.iter().zip(own).map(|(slot, gradient)| {
                    Ok((*slot, gradient.f_mul(&manytask_tensor::number_like(*weight, gradient)?)?))
                });
                scaled.collect::<Result<Vec<_>>>()
            });
            return weighted.collect();
        }
        let found = self.by(&self.losses.total(Some(weights))?, &slots.concat(), end)?;
        Ok(named(&slots, found))
    }
}

/// Gradients with their parameters, task by task.
fn named(slots: &[&[Slot]], found: Vec<Tensor>) -> Vec<Vec<(Slot, Tensor)>> {
    let mut found = found.into_iter();
    slots.iter().map(|slots| slots.iter().copied().zip(found.by_ref()).collect()).collect()
}

impl Pass for GraphPass<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.losses.values
    }

    fn preference(&self) -> Option<&[f64]> {
        self.preference.as_deref()
    }

    fn auxiliary(&self) -> &[AuxiliaryLoss] {
        &self.losses.auxiliary
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        let (layout, shared) = (self.problem.layout(), self.problem.shared());
        match level {
            Level::Parameters => {
                if self.parameters.is_none() {
                    self.parameters = Some(self.rows_by(shared, true, Graph::Free)?);
                }
                self.parameters.as_ref().map(|(rows, _)| rows).ok_or_else(|| broken("no Jacobian"))
            }
            Level::Representation => Err(no_bottleneck()),
            Level::LastLayer | Level::Layers(_) => {
                if self.layers.as_ref().is_none_or(|(of, _)| of != level) {
                    let rows = if let Some((all, _)) = &self.parameters {
                        all.of_columns(&layer_columns(layout, shared, level)?)?
                    } else {
                        let slots = layer_slots(layout, shared, level)?;
                        self.rows_by(&slots, false, Graph::Keep)?.0
                    };
                    self.layers = Some((level.clone(), rows));
                }
                self.layers.as_ref().map(|(_, rows)| rows).ok_or_else(|| broken("no Jacobian"))
            }
        }
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        gradient::fits(combination, self.present.len())?;
        let (problem, params) = (self.problem, self.params);
        let all = problem.shared();
        let (shared, own) = match &combination.shared {
            Shared::Weights(weights) => match &self.parameters {
                Some((jacobian, _)) => {
                    let shared = gradient::split(problem, params, &jacobian.combine(weights)?)?;
                    (shared, self.own(&combination.heads, Graph::Free)?)
                }
                // The objective is one sum: one pass for all parameters.
                None if *weights == combination.heads => {
                    let slots: Vec<&[Slot]> = self.present.iter().map(|task| problem.own(*task)).collect();
                    let wanted: Vec<Slot> =
                        all.iter().chain(slots.iter().copied().flatten()).copied().collect();
                    let mut shared = self.by(&self.losses.total(Some(weights))?, &wanted, Graph::Free)?;
                    let own = shared.split_off(all.len());
                    (shared, named(&slots, own))
                }
                None => {
                    let own = self.own(&combination.heads, Graph::Keep)?;
                    (self.by(&self.losses.total(Some(weights))?, all, Graph::Free)?, own)
                }
            },
            Shared::Direction { vector, level: Level::Parameters } => {
                (gradient::split(problem, params, vector)?, self.own(&combination.heads, Graph::Free)?)
            }
            Shared::Direction { level: Level::Representation, .. } => return Err(no_bottleneck()),
            Shared::Direction { .. } => return Err(direction_of_layers()),
        };
        gradient::assemble(problem, params, shared, own)
    }

    fn take_context(&mut self) -> Context {
        self.cx.take().unwrap_or_else(Context::eval)
    }
}

/// Gradients of a representation that there is not.
fn no_bottleneck() -> Error {
    Error::setting(
        "level",
        "gradients of the representation, but the architecture has no one place where tasks part",
        "take the level `parameters`",
    )
}

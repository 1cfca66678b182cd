//! A pass on a GPU through a trunk of linear layers with linear heads: few operations on all tasks at once, without a graph, each run of
//! them launched as a whole.
//!
//! Forward to the losses and their derivatives by the predictions, R; then, from what that left behind, the gradient for given weights,
//! `δ = (R ∘ w) W` back through the trunk; or the Gramian; or all rows. Between them the host sees the losses, or T² numbers.

mod groups;
mod trace;
mod trunk;

use std::sync::{Mutex, PoisonError};

use manytask_data as data;
use manytask_nn::Context;
use manytask_nn::dense::{DenseChain, DenseLayer};
use manytask_tensor::capture::{Outputs, Recorder};
use manytask_tensor::{Device, Params, Tensor, no_grad, send};

use self::groups::Groups;
use self::trace::Trace;
use super::{MultiTaskProblem, broken, context, direction_of_layers, gradient};
use crate::{
    Architecture, Combination, Draw, Gramian, Jacobian, Level, Pass, Problem, Result, Shared, Split, Task,
    layer_columns,
};

/// What of a problem is the same in every step.
#[derive(Debug)]
pub(super) struct Stacked {
    heads: Vec<DenseLayer>,
    groups: Groups,
    recorders: Recorders,
    /// The gradient in memory of a recording, in the shapes of the parameters: as it is made of many views, it is kept.
    gradient: Mutex<Option<(usize, Params)>>,
}

/// The parts of a step that are launched as a whole.
#[derive(Debug, Default)]
struct Recorders {
    forward: Recorder,
    gramian: Recorder,
    rows: Recorder,
    backward: Recorder,
}

impl Stacked {
    /// For a problem of this form: on one stream of rows that all count alike, a trunk that is a chain, heads that are one linear layer.
    pub(super) fn of(
        network: &dyn Architecture,
        tasks: &[Task],
        train: &data::SplitData,
    ) -> Result<Option<Self>> {
        let weighted = train.tasks.iter().any(|task| task.weight.is_some());
        let Some(cut) = network.bottleneck().filter(|cut| cut.chain().is_ok()) else { return Ok(None) };
        if !train.is_single_input() || weighted {
            return Ok(None);
        }
        let heads =
            (0..tasks.len()).map(|task| cut.heads().linear(task).copied()).collect::<Option<Vec<_>>>();
        let Some(heads) = heads else { return Ok(None) };
        let groups = Groups::of(tasks, &heads, train)?;
        Ok(Some(Self { heads, groups, recorders: Recorders::default(), gradient: Mutex::default() }))
    }

    /// Why steps are not launched as a whole, where that was tried and failed.
    pub(super) fn reason(&self) -> Option<String> {
        let Recorders { forward, gramian, rows, backward } = &self.recorders;
        [forward, gramian, rows, backward].into_iter().find_map(Recorder::reason)
    }
}

#[cfg(test)]
impl Stacked {
    /// The same on recordings that need no GPU.
    pub(super) fn rehearsing(self) -> Self {
        let [forward, gramian, rows, backward] = [(); 4].map(|()| Recorder::rehearsing());
        Self { recorders: Recorders { forward, gramian, rows, backward }, ..self }
    }
}

/// A pass on one batch.
struct StackedPass<'a> {
    problem: &'a MultiTaskProblem,
    stacked: &'a Stacked,
    chain: &'a DenseChain,
    params: &'a Params,
    present: Vec<usize>,
    values: Vec<f64>,
    /// The parameters as one vector, where they are.
    own: Option<Tensor>,
    /// The losses, what went into the trunk, what came out of its layers, and R of each group.
    forward: Outputs,
    rows: Option<(Jacobian, Outputs)>,
    representations: Option<Jacobian>,
    layers: Option<(Level, Jacobian)>,
    gradient: Option<Outputs>,
    cx: Option<Context>,
}

/// The pass on a batch of the training split, where parameters are on a GPU and the problem is such; else nothing.
pub(super) fn forward<'a>(
    problem: &'a MultiTaskProblem,
    params: &'a Params,
    draw: Draw,
) -> Result<Option<Box<dyn Pass + 'a>>> {
    match &problem.stacked {
        Some(stacked) if params.device() != Device::Cpu && draw.split == Split::Train => {
            of_problem(problem, stacked, params, draw)
        }
        _ => Ok(None),
    }
}

fn chain_of(architecture: &dyn Architecture) -> Option<&DenseChain> {
    architecture.bottleneck()?.chain().ok()
}

fn of_problem<'a>(
    problem: &'a MultiTaskProblem,
    stacked: &'a Stacked,
    params: &'a Params,
    draw: Draw,
) -> Result<Option<Box<dyn Pass + 'a>>> {
    let Some(chain) = chain_of(problem.architecture.as_ref()) else { return Ok(None) };
    Ok(Some(Box::new(StackedPass::new(problem, stacked, chain, params, draw)?)))
}

impl<'a> StackedPass<'a> {
    fn new(
        problem: &'a MultiTaskProblem,
        stacked: &'a Stacked,
        chain: &'a DenseChain,
        params: &'a Params,
        draw: Draw,
    ) -> Result<Self> {
        let split = problem.split(draw.split)?;
        let batcher = problem.batcher(split, draw)?;
        let each = batcher.batches_per_epoch();
        let chosen = batcher.batch(draw.step / each, draw.step % each)?;
        let (Some(chosen), Some(inputs)) = (chosen.first(), split.inputs.first()) else {
            return Err(broken("a split without rows"));
        };
        let present = stacked.groups.present(chosen)?;
        let own = params.as_vector();
        let read: Vec<&Tensor> =
            own.as_ref().map_or_else(|| params.leaves().iter().collect(), |own| vec![own]);
        let work = |indices: &[Tensor]| {
            let [indices] = indices else { return Err(broken("one tensor of rows")) };
            let x = inputs.select(indices)?.tensor(params.kind())?;
            let activations = trunk::forward(chain, params, &x)?;
            let last = activations.last().unwrap_or(&x);
            let (losses, residuals) = stacked.groups.losses(&stacked.heads, params, last, indices)?;
            Ok(std::iter::once(losses).chain([x]).chain(activations).chain(residuals).collect())
        };
        let chosen = send(chosen, params.device())?;
        let forward = stacked.recorders.forward.run(params.device(), &read, &[&chosen], work)?;
        let losses = forward.tensors.first().ok_or_else(|| broken("no losses"))?;
        let all = stacked.groups.in_task_order(&Vec::<f64>::try_from(losses)?);
        let values = present.iter().filter_map(|task| all.get(*task).copied()).collect();
        Ok(Self {
            problem,
            stacked,
            chain,
            params,
            present,
            values,
            forward,
            rows: None,
            representations: None,
            layers: None,
            gradient: None,
            cx: Some(context(problem, draw)),
            own,
        })
    }

    /// The parameters, and what the pass forward left behind.
    fn read(&self) -> Vec<&Tensor> {
        let own = self.own.as_ref().map_or_else(|| self.params.leaves(), std::slice::from_ref);
        own.iter().chain(self.forward.tensors.iter().skip(1)).collect()
    }

    fn trace(&self) -> Result<Trace<'_>> {
        let layers = self.chain.layers().len();
        let tensors = self.forward.tensors.get(1..).unwrap_or_default();
        if tensors.len() < 1 + layers {
            return Err(broken("a pass that left too little behind"));
        }
        let (inputs, residuals) = tensors.split_at(1 + layers);
        Ok(Trace { chain: self.chain, params: self.params, stacked: self.stacked, inputs, residuals })
    }

    /// The gradient of all parameters for a weight of each task, for shared parameters and for its own; both are 0 where it is absent.
    fn weighted(&mut self, shared: &[f64], own: &[f64]) -> Result<Params> {
        let tasks = self.stacked.heads.len();
        let mut weights = vec![0.0; 2 * tasks];
        for (row, task) in self.present.iter().enumerate() {
            for (start, given) in [(0, shared), (tasks, own)] {
                if let (Some(place), Some(weight)) = (weights.get_mut(start + task), given.get(row)) {
                    *place = *weight;
                }
            }
        }
        let weights = Tensor::f_from_slice(&weights)?.f_reshape([2, tasks as i64])?;
        let weights = send(&weights.f_to_kind(self.params.kind())?, self.params.device())?;
        let work = |weights: &[Tensor]| {
            let _off = no_grad();
            let [weights] = weights else { return Err(broken("one tensor of weights")) };
            Ok(vec![self.trace()?.gradient(&weights.f_select(0, 0)?, &weights.f_select(0, 1)?)?])
        };
        let device = self.params.device();
        let outputs = self.stacked.recorders.backward.run(device, &self.read(), &[&weights], work)?;
        let vector = outputs.tensors.first().ok_or_else(|| broken("no gradient"))?;
        let gradient = self.in_shapes(vector, outputs.is_recorded())?;
        self.gradient = Some(outputs);
        Ok(gradient)
    }

    /// A vector as a gradient; that of a recording is always in the same place.
    fn in_shapes(&self, vector: &Tensor, recorded: bool) -> Result<Params> {
        let place = vector.data_ptr() as usize;
        let mut kept = self.stacked.gradient.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, gradient)) = kept.as_ref().filter(|(known, _)| recorded && *known == place) {
            return Ok(gradient.share());
        }
        let gradient = Params::from_vector(self.params.layout(), vector)?;
        if recorded {
            *kept = Some((place, gradient.share()));
        }
        Ok(gradient)
    }

    fn only_present(&self, rows: &Jacobian) -> Result<Jacobian> {
        if self.present.len() == self.stacked.heads.len() {
            return Jacobian::new(rows.rows());
        }
        rows.of_rows(&self.present)
    }

    fn all_rows(&mut self) -> Result<&Jacobian> {
        if self.rows.is_none() {
            let work = |_: &[Tensor]| {
                let _off = no_grad();
                Ok::<_, crate::Error>(vec![self.trace()?.rows()?])
            };
            let device = self.params.device();
            let outputs = self.stacked.recorders.rows.run(device, &self.read(), &[], work)?;
            let rows = Jacobian::new(outputs.tensors.first().ok_or_else(|| broken("no rows"))?)?;
            self.rows = Some((self.only_present(&rows)?, outputs));
        }
        self.rows.as_ref().map(|(rows, _)| rows).ok_or_else(|| broken("no rows"))
    }
}

impl Pass for StackedPass<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.values
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        match level {
            Level::Parameters => self.all_rows(),
            Level::Representation => {
                if self.representations.is_none() {
                    let _off = no_grad();
                    let cotangents = self.trace()?.cotangents()?;
                    let rows = cotangents.f_reshape([self.stacked.heads.len() as i64, -1])?;
                    self.representations = Some(self.only_present(&Jacobian::new(&rows)?)?);
                }
                self.representations.as_ref().ok_or_else(|| broken("no rows"))
            }
            Level::LastLayer | Level::Layers(_) => {
                if self.layers.as_ref().is_none_or(|(of, _)| of != level) {
                    let columns = layer_columns(self.problem.layout(), self.problem.shared(), level)?;
                    let rows = self.all_rows()?.of_columns(&columns)?;
                    self.layers = Some((level.clone(), rows));
                }
                self.layers.as_ref().map(|(_, rows)| rows).ok_or_else(|| broken("no rows"))
            }
        }
    }

    fn gramian(&mut self, level: &Level) -> Result<Gramian> {
        if *level != Level::Parameters || self.rows.is_some() {
            return self.jacobian(level)?.gramian();
        }
        let work = |_: &[Tensor]| {
            let _off = no_grad();
            Ok::<_, crate::Error>(vec![self.trace()?.gramian()?])
        };
        let device = self.params.device();
        let outputs = self.stacked.recorders.gramian.run(device, &self.read(), &[], work)?;
        let numbers = outputs.tensors.first().ok_or_else(|| broken("no Gramian"))?.f_reshape([-1])?;
        let all = Gramian::new(self.stacked.heads.len(), Vec::try_from(numbers)?);
        let all = all.ok_or_else(|| broken("a Gramian of other tasks"))?;
        Ok(if self.present.len() == all.size() { all } else { all.only(&self.present) })
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        gradient::fits(combination, self.present.len())?;
        let direction = match &combination.shared {
            Shared::Weights(weights) => return self.weighted(weights, &combination.heads),
            Shared::Direction { vector, level: Level::Parameters } => vector.shallow_clone(),
            Shared::Direction { vector, level: Level::Representation } => {
                let _off = no_grad();
                let trace = self.trace()?;
                let shape = trace.inputs.last().map(Tensor::size).unwrap_or_default();
                trace.through_trunk(vector.f_to_kind(self.params.kind())?.f_reshape(shape)?)?
            }
            Shared::Direction { .. } => return Err(direction_of_layers()),
        };
        let gradient = self.weighted(&vec![0.0; self.present.len()], &combination.heads)?;
        let splits = gradient::split(self.problem, self.params, &direction)?;
        for (slot, split) in self.problem.shared().iter().zip(splits) {
            let _off = no_grad();
            gradient.get(*slot)?.shallow_clone().f_copy_(&split)?;
        }
        Ok(gradient)
    }

    fn take_context(&mut self) -> Context {
        self.cx.take().unwrap_or_else(Context::eval)
    }
}

#[cfg(test)]
mod tests;

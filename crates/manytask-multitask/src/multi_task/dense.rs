//! A pass through a trunk that is a chain of linear layers, without a graph.
//!
//! A task's gradient of a layer is `δᵢᵀ a` with the layer's input `a`, which tasks on the same rows share. Their inner products
//! are then those of `Lᵀ δᵢ` with `L Lᵀ = a aᵀ + 1`, whose size is that of the batch and not that of the parameters: the
//! gradients themselves need not be made. What is cheaper is taken.

mod heads;
mod rows;

use manytask_data::Batch;
use manytask_nn::Context;
use manytask_nn::dense::{DenseChain, DenseLayer, Input, LayerWeights, Trace};
use manytask_tensor::dense::{Accumulate, Real, uninit_with, values};
use manytask_tensor::{Kind, Params, Tensor, threads};

use self::heads::{Gradients, Losses};
use self::rows::Form;
#[cfg(test)]
pub(super) use self::rows::compact_is_cheaper;
use super::{MultiTaskProblem, broken, context, direction_of_layers, gradient};
use crate::aggregator::layer_slots;
use crate::architecture::{self, Bottleneck, TaskInputs};
use crate::trunk_inputs::TrunkInputs;
use crate::{
    AuxiliaryLoss, Combination, Draw, Gramian, Jacobian, Level, Pass, Problem, Result, Shared, layer_columns,
};

/// Which rows of the batch are a task's.
pub(super) enum Rows {
    /// All are on the same.
    Shared(usize),
    /// Each has its own: the first and their number.
    Own(Vec<(usize, usize)>),
}

/// A pass whose trunk is a chain.
struct DensePass<'a, T> {
    problem: &'a MultiTaskProblem,
    chain: &'a DenseChain,
    params: &'a Params,
    present: Vec<usize>,
    values: Vec<f64>,
    x: TrunkInputs,
    rows: Rows,
    trace: Trace<T>,
    losses: Option<Losses<T>>,
    gradients: Option<Gradients<T>>,
    cx: Option<Context>,
    parameters: Option<Jacobian>,
    representations: Option<Jacobian>,
    layers: Option<(Level, Jacobian)>,
}

/// The trunk after its pass forward: numbers alone, so that threads can share it.
struct Trunk<'t, T> {
    chain: &'t DenseChain,
    weights: &'t [LayerWeights<'t, T>],
    x: Input<'t, T>,
    activations: &'t [Vec<T>],
    rows: &'t Rows,
}

impl<T: Real> Trunk<'_, T> {
    /// Goes back for a cotangent of the representation of some rows, of all where none are named, and shows the δ of each
    /// layer, last to `first`, with what went into it.
    fn back(
        &self,
        mut cotangent: Vec<T>,
        rows: Option<(usize, usize)>,
        (first, threads): (usize, usize),
        mut see: impl FnMut(usize, &DenseLayer, &[T], Input<'_, T>) -> Result<()>,
    ) -> Result<()> {
        fn part<N>(all: &[N], rows: Option<(usize, usize)>, width: usize) -> &[N] {
            let Some((start, length)) = rows else { return all };
            all.get(start * width..(start + length) * width).unwrap_or_default()
        }
        let mut below = Vec::new();
        for (number, (layer, weights)) in
            self.chain.layers().iter().zip(self.weights).enumerate().skip(first).rev()
        {
            let after = self.activations.get(number).map_or(&[][..], Vec::as_slice);
            let before = number.checked_sub(1).and_then(|n| self.activations.get(n));
            let input = match (before.map_or(self.x, Input::from), rows) {
                (Input::OneHot(x), Some((start, length))) => Input::OneHot(x.some(start, length)),
                (Input::Full(x), _) => Input::Full(part(x, rows, layer.inputs)),
                (input, None) => input,
            };
            layer.activation.mul_derivative_in_place(&mut cotangent, part(after, rows, layer.outputs));
            see(number, layer, &cotangent, input)?;
            if number > first {
                layer.vjp(weights.weight, &cotangent, &mut below, Accumulate::No, threads)?;
                std::mem::swap(&mut cotangent, &mut below);
            }
        }
        Ok(())
    }
}

/// The pass on a batch, where trunk, element type and device are such; else nothing.
pub(super) fn forward<'a>(
    problem: &'a MultiTaskProblem,
    cut: &dyn Bottleneck,
    params: &'a Params,
    batch: &Batch,
    present: &[usize],
    draw: Draw,
) -> Result<Option<Box<dyn Pass + 'a>>> {
    let Ok(chain) = problem.fused_chain(params) else { return Ok(None) };
    Ok(Some(match params.kind() {
        Kind::Double => Box::new(DensePass::<f64>::new(problem, (cut, chain), params, batch, present, draw)?),
        _ => Box::new(DensePass::<f32>::new(problem, (cut, chain), params, batch, present, draw)?),
    }))
}

impl<'a, T: Real> DensePass<'a, T> {
    fn new(
        problem: &'a MultiTaskProblem,
        (cut, chain): (&dyn Bottleneck, &'a DenseChain),
        params: &'a Params,
        batch: &Batch,
        present: &[usize],
        draw: Draw,
    ) -> Result<Self> {
        let inputs = TaskInputs::join(batch, present)?;
        let x = TrunkInputs::new(&inputs.all, chain, T::KIND)?;
        let rows = match inputs.rows {
            architecture::Rows::Shared => Rows::Shared(x.rows()),
            architecture::Rows::Own(own) => {
                Rows::Own(own.iter().map(|(a, b)| (*a as usize, *b as usize)).collect())
            }
        };
        let mut trace = Trace::default();
        chain.forward(&chain.borrow(params)?, x.borrow()?, &mut trace, threads::get())?;
        let mut cx = context(problem, draw);
        let representation = trace.activations.last().map_or(&[][..], Vec::as_slice);
        let heads = cut.heads();
        let losses = Losses::new(problem, heads, params, batch, present, (representation, &rows), &mut cx)?;
        Ok(Self {
            problem,
            chain,
            params,
            present: present.to_vec(),
            values: losses.values()?,
            x,
            rows,
            trace,
            losses: Some(losses),
            gradients: None,
            cx: Some(cx),
            parameters: None,
            representations: None,
            layers: None,
        })
    }

    /// The one pass through the heads.
    fn gradients(&mut self) -> Result<()> {
        if let Some(losses) = self.losses.take() {
            let representation = self.trace.activations.last().map_or(&[][..], Vec::as_slice);
            self.gradients = Some(losses.differentiate(representation)?);
        }
        Ok(())
    }

    fn known(&self) -> Result<&Gradients<T>> {
        self.gradients.as_ref().ok_or_else(|| broken("no pass through the heads"))
    }

    fn trunk<'t>(&'t self, weights: &'t [LayerWeights<'t, T>]) -> Result<Trunk<'t, T>> {
        Ok(Trunk {
            chain: self.chain,
            weights,
            x: self.x.borrow()?,
            activations: &self.trace.activations,
            rows: &self.rows,
        })
    }

    /// The gradient of all shared parameters for a cotangent of the representation, one vector.
    fn through_trunk(&self, cotangent: Vec<T>) -> Result<Tensor> {
        let threads = threads::get();
        let weights = self.chain.borrow(self.params)?;
        uninit_with(&[self.chain.size() as i64], |out: &mut [T]| {
            self.trunk(&weights)?.back(cotangent, None, (0, threads), |number, layer, delta, input| {
                let (weight, bias) = rows::own(self.chain, number, out)?;
                Ok(layer.gradient(delta, input, weight, bias, threads)?)
            })
        })
    }

    /// Each task's gradient of some layers, without a pass through the layers before them.
    fn layer_rows(&self, level: &Level) -> Result<Jacobian> {
        let (layout, shared) = (self.problem.layout(), self.problem.shared());
        let columns = layer_columns(layout, shared, level)?;
        if let Some(all) = &self.parameters {
            return all.of_columns(&columns);
        }
        let slots = layer_slots(layout, shared, level)?;
        let has = |layer: &DenseLayer| slots.contains(&layer.weight) || slots.contains(&layer.bias);
        let layers = self.chain.layers();
        let first = layers.iter().position(has).unwrap_or(0);
        let before: usize = layers.iter().take(first).map(DenseLayer::size).sum();
        let columns: Vec<_> = columns.iter().map(|of| of.start - before..of.end - before).collect();
        Jacobian::new(&self.rows_in(&Form::Gradients, first)?)?.of_columns(&columns)
    }

    fn shared_gradient(&mut self, shared: &Shared) -> Result<Tensor> {
        self.gradients()?;
        match shared {
            Shared::Weights(weights) => match &self.parameters {
                Some(jacobian) => jacobian.combine(weights),
                None => self.through_trunk(self.known()?.cotangents.weighted(weights)?),
            },
            Shared::Direction { vector, level: Level::Parameters } => Ok(vector.shallow_clone()),
            Shared::Direction { vector, level: Level::Representation } => {
                let vector = vector.f_to_kind(T::KIND)?.f_contiguous()?;
                self.through_trunk(values(&vector)?.to_vec())
            }
            Shared::Direction { .. } => Err(direction_of_layers()),
        }
    }
}

impl<T: Real> Pass for DensePass<'_, T> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.values
    }

    fn auxiliary(&self) -> &[AuxiliaryLoss] {
        &[]
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        self.gradients()?;
        if level.is_layers() {
            if self.layers.as_ref().is_none_or(|(of, _)| of != level) {
                self.layers = Some((level.clone(), self.layer_rows(level)?));
            }
            return self.layers.as_ref().map(|(_, rows)| rows).ok_or_else(|| broken("no Jacobian"));
        }
        if *level == Level::Representation {
            if matches!(self.rows, Rows::Own(_)) {
                return Err(super::rows_of_its_own());
            }
            if self.representations.is_none() {
                self.representations =
                    Some(Jacobian::new(&self.known()?.cotangents.rows(self.present.len())?)?);
            }
            return self.representations.as_ref().ok_or_else(|| broken("no Jacobian"));
        }
        if self.parameters.is_none() {
            self.parameters = Some(Jacobian::new(&self.rows_in(&Form::Gradients, 0)?)?);
        }
        self.parameters.as_ref().ok_or_else(|| broken("no Jacobian"))
    }

    fn gramian(&mut self, level: &Level) -> Result<Gramian> {
        if *level == Level::Parameters && self.parameters.is_none() {
            self.gradients()?;
            if let Some(form) = self.compact()? {
                return Jacobian::new(&self.rows_in(&form, 0)?)?.gramian();
            }
        }
        self.jacobian(level)?.gramian()
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        gradient::fits(combination, self.present.len())?;
        let shared = self.shared_gradient(&combination.shared)?;
        let shared = gradient::split(self.problem, self.params, &shared)?;
        let own = gradient::weighted(&self.known()?.own, &combination.heads)?;
        gradient::assemble(self.problem, self.params, shared, own)
    }

    fn take_context(&mut self) -> Context {
        self.cx.take().unwrap_or_else(Context::eval)
    }
}

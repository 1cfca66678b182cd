//! What is behind the bottleneck: the losses of all heads, and their gradients by the representation and the heads' parameters.

use manytask_data::Batch;
use manytask_nn::Context;
use manytask_nn::dense::DenseLayer;
use manytask_tensor::{Graph, Params, Slot, Tensor, gradients};

use super::losses::{Losses, numbers};
use super::{MultiTaskProblem, broken, gradient};
use crate::architecture::{Bottleneck, Features, OutputGroup, Outputs, Rows, stacked_weights};
use crate::{AuxiliaryLoss, Result};

/// The losses of the present tasks with a graph that ends at the representation.
pub(super) struct Cut {
    losses: Option<Losses>,
    pub(super) values: Vec<f64>,
    pub(super) auxiliary: Vec<AuxiliaryLoss>,
    form: Form,
}

/// How the heads were computed.
enum Form {
    /// All are linear and on the same rows: `Y = Z Wᵀ + b` for all of them, and the graph ends at Y.
    Linear(Linear),
    /// On the same rows, each with its own copy of the representation.
    Copies(Vec<Tensor>),
    /// Each on its own rows of one copy.
    Rows(Tensor, Vec<(i64, i64)>),
}

/// Linear heads below each other, those of one size together.
struct Linear {
    representation: Tensor,
    /// Y `[B, O]`.
    outputs: Tensor,
    /// W `[O, F]`.
    weight: Tensor,
    /// In task order, each with the first of its columns of Y.
    heads: Vec<(DenseLayer, i64)>,
}

/// The one pass through the heads, done.
pub(super) struct Gradients {
    /// Each present task's loss by the representation of its rows.
    pub(super) cotangents: Cotangents,
    own: Own,
}

/// Each present task's loss by the representation of its rows.
pub(super) enum Cotangents {
    /// `Rᵢ Wᵢ` with the loss by the outputs R `[B, O]`, W `[O, F]`, and each task's first column and their number.
    Products(Tensor, Tensor, Vec<(i64, i64)>),
    /// On the same rows, `[B, F]` each.
    Each(Vec<Tensor>),
    /// On rows one task's after the other's, `[ΣB, F]`.
    Rows(Tensor, Vec<(i64, i64)>),
}

/// Each present task's loss by the parameters of its head.
enum Own {
    /// Of linear heads: `Rᵢᵀ Z` and the sum of `Rᵢ`, made when it is known how they are weighted.
    Products(Linear, Tensor),
    /// Themselves.
    Each(Vec<Vec<(Slot, Tensor)>>),
}

impl Cut {
    /// The losses for a representation of all rows, which are whose.
    pub(super) fn forward(
        problem: &MultiTaskProblem,
        bottleneck: &dyn Bottleneck,
        params: &Params,
        batch: &Batch,
        present: &[usize],
        (representation, rows): (&Tensor, &Rows),
        cx: &mut Context,
    ) -> Result<Self> {
        let heads = bottleneck.heads();
        let leaf = |tensor: &Tensor| -> Result<Tensor> { Ok(tensor.f_detach()?.f_set_requires_grad(true)?) };
        let (form, outputs) = match (rows, heads.all_linear(present)) {
            (Rows::Shared, Some(layers)) => {
                let (linear, outputs) = Linear::forward(params, representation, &layers)?;
                (Form::Linear(linear), outputs)
            }
            (Rows::Shared, None) => {
                let copies = present.iter().map(|_| leaf(representation)).collect::<Result<Vec<_>>>()?;
                let outputs = heads.forward(params, Features::Each(&copies), present, cx)?;
                (Form::Copies(copies), outputs)
            }
            (Rows::Own(spans), _) => {
                let copy = leaf(representation)?;
                let outputs = heads.forward(params, Features::All(&copy, rows), present, cx)?;
                (Form::Rows(copy, spans.clone()), outputs)
            }
        };
        let losses = Losses::new(problem, batch, present, &outputs)?;
        let (values, auxiliary) = (losses.values.clone(), losses.auxiliary.clone());
        Ok(Self { losses: Some(losses), values, auxiliary, form })
    }

    /// The one pass through the heads.
    pub(super) fn differentiate(
        self,
        problem: &MultiTaskProblem,
        params: &Params,
        present: &[usize],
    ) -> Result<Gradients> {
        let losses = self.losses.ok_or_else(|| broken("no losses"))?;
        let total = losses.total(None)?;
        let (copies, end) = match self.form {
            Form::Linear(linear) => {
                let found = gradients(&total, &[&linear.outputs], Graph::Free)?;
                let residual = found.into_iter().next().ok_or_else(|| broken("no gradient"))?;
                let spans = linear.heads.iter().map(|(head, start)| (*start, head.outputs as i64)).collect();
                let weight = linear.weight.shallow_clone();
                let cotangents = Cotangents::Products(residual.shallow_clone(), weight, spans);
                return Ok(Gradients { cotangents, own: Own::Products(linear, residual) });
            }
            Form::Copies(copies) => (copies, None),
            Form::Rows(copy, spans) => (vec![copy], Some(spans)),
        };
        let own: Vec<&[Slot]> = present.iter().map(|&task| problem.own(task)).collect();
        let mut inputs: Vec<&Tensor> = copies.iter().collect();
        for slot in own.iter().copied().flatten() {
            inputs.push(params.get(*slot)?);
        }
        let mut found = gradients(&total, &inputs, Graph::Free)?.into_iter();
        let mut by_copies: Vec<Tensor> = found.by_ref().take(copies.len()).collect();
        let own = own.into_iter().map(|slots| slots.iter().copied().zip(found.by_ref()).collect()).collect();
        let cotangents = match end {
            None => Cotangents::Each(by_copies),
            Some(spans) => {
                Cotangents::Rows(by_copies.pop().ok_or_else(|| broken("no representation"))?, spans)
            }
        };
        Ok(Gradients { cotangents, own: Own::Each(own) })
    }
}

impl Linear {
    fn forward(params: &Params, representation: &Tensor, layers: &[DenseLayer]) -> Result<(Self, Outputs)> {
        // Heads of one size stand together, so that their outputs are one slice.
        let mut sizes: Vec<usize> = Vec::new();
        for layer in layers {
            if !sizes.contains(&layer.outputs) {
                sizes.push(layer.outputs);
            }
        }
        let representation = representation.f_detach()?;
        let rows = representation.size().first().copied().unwrap_or_default();
        let mut order: Vec<usize> = (0..layers.len()).collect();
        let size_of = |position: usize| layers.get(position).map_or(0, |layer| layer.outputs);
        order.sort_by_key(|position| sizes.iter().position(|size| *size == size_of(*position)));
        let sorted: Vec<DenseLayer> =
            order.iter().filter_map(|position| layers.get(*position)).copied().collect();
        let (weight, bias) = stacked_weights(params, &sorted)?;
        let (weight, bias) = (weight.f_detach()?, bias.f_detach()?);
        let outputs = representation.f_linear(&weight, Some(&bias))?.f_set_requires_grad(true)?;
        let (mut heads, mut groups, mut start) = (Vec::new(), Vec::new(), 0);
        for size in sizes {
            let positions: Vec<usize> =
                order.iter().copied().filter(|position| size_of(*position) == size).collect();
            let (count, size) = (positions.len() as i64, size as i64);
            let raw = outputs.f_narrow(1, start, count * size)?;
            let raw = raw.f_reshape([rows, count, size])?.f_permute([1, 0, 2])?;
            for position in &positions {
                if let Some(layer) = layers.get(*position) {
                    heads.push((*position, *layer, start));
                }
                start += size;
            }
            groups.push(OutputGroup { positions, raw });
        }
        heads.sort_by_key(|(position, ..)| *position);
        let heads = heads.into_iter().map(|(_, layer, start)| (layer, start)).collect();
        let outputs_of = Outputs { groups, members: 1, auxiliary: Vec::new() };
        Ok((Self { representation, outputs, weight, heads }, outputs_of))
    }
}

impl Gradients {
    /// Each present task's gradient of its head times its weight.
    pub(super) fn own(&self, weights: &[f64]) -> Result<Vec<Vec<(Slot, Tensor)>>> {
        match &self.own {
            Own::Each(own) => gradient::weighted(own, weights),
            Own::Products(linear, residual) => {
                let spans: Vec<(i64, i64)> =
                    linear.heads.iter().map(|(head, start)| (*start, head.outputs as i64)).collect();
                let residual = scaled_columns(residual, &spans, weights)?;
                let weight = residual.f_tr()?.f_matmul(&linear.representation)?;
                let bias = residual.f_sum_dim_intlist([0].as_slice(), false, residual.kind())?;
                let own = linear.heads.iter().map(|(head, start)| {
                    let length = head.outputs as i64;
                    Ok(vec![
                        (head.weight, weight.f_narrow(0, *start, length)?),
                        (head.bias, bias.f_narrow(0, *start, length)?),
                    ])
                });
                own.collect()
            }
        }
    }
}

impl Cotangents {
    /// One present task's, as one of all rows `like`.
    pub(super) fn of(&self, task: usize, like: &Tensor) -> Result<Tensor> {
        match self {
            Self::Products(residual, weight, spans) => {
                let (start, length) = spans.get(task).copied().unwrap_or_default();
                Ok(residual.f_narrow(1, start, length)?.f_matmul(&weight.f_narrow(0, start, length)?)?)
            }
            Self::Each(all) => {
                all.get(task).map(Tensor::shallow_clone).ok_or_else(|| broken("a task without a cotangent"))
            }
            Self::Rows(all, spans) => {
                let (start, length) = spans.get(task).copied().unwrap_or_default();
                let zeros = like.f_detach()?.f_zeros_like()?;
                zeros.f_narrow(0, start, length)?.f_copy_(&all.f_narrow(0, start, length)?)?;
                Ok(zeros)
            }
        }
    }

    /// `Σ wᵢ cᵢ`.
    pub(super) fn weighted(&self, weights: &[f64]) -> Result<Tensor> {
        match self {
            Self::Products(residual, weight, spans) => {
                Ok(scaled_columns(residual, spans, weights)?.f_matmul(weight)?)
            }
            Self::Each(all) => {
                let mut parts = all.iter().zip(weights).map(|(one, weight)| scaled(one, *weight));
                let first = parts.next().ok_or_else(|| broken("a combination of no task"))??;
                parts.try_fold(first, |sum, part| Ok(sum.f_add(&part?)?))
            }
            Self::Rows(all, spans) => {
                let parts = spans
                    .iter()
                    .zip(weights)
                    .map(|((start, length), weight)| scaled(&all.f_narrow(0, *start, *length)?, *weight));
                Ok(Tensor::f_cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
            }
        }
    }

    /// All as rows `[K, B·F]`, where tasks are on the same rows.
    pub(super) fn rows(&self) -> Result<Tensor> {
        let each = match self {
            Self::Products(residual, _, spans) => {
                let of = |task| self.of(task, residual)?.f_reshape([-1]).map_err(Into::into);
                (0..spans.len()).map(of).collect::<Result<Vec<_>>>()?
            }
            Self::Each(all) => all.iter().map(|one| Ok(one.f_reshape([-1])?)).collect::<Result<Vec<_>>>()?,
            Self::Rows(..) => return Err(super::rows_of_its_own()),
        };
        if each.is_empty() { Err(broken("a Jacobian of no task")) } else { Ok(Tensor::f_stack(&each, 0)?) }
    }
}

fn scaled(gradient: &Tensor, weight: f64) -> Result<Tensor> {
    if weight == 1.0 {
        return Ok(gradient.shallow_clone());
    }
    Ok(gradient.f_mul(&manytask_tensor::number_like(weight, gradient)?)?)
}

/// Residuals whose columns are multiplied by the weights of their tasks.
fn scaled_columns(residual: &Tensor, spans: &[(i64, i64)], weights: &[f64]) -> Result<Tensor> {
    if weights.iter().all(|weight| *weight == 1.0) {
        return Ok(residual.shallow_clone());
    }
    let mut columns = vec![1.0; residual.size().get(1).copied().unwrap_or_default() as usize];
    for ((start, length), weight) in spans.iter().zip(weights) {
        if let Some(own) = columns.get_mut(*start as usize..(start + length) as usize) {
            own.fill(*weight);
        }
    }
    Ok(residual.f_mul(&numbers(&columns, residual)?)?)
}

//! The losses of all heads and their gradients: of linear heads together and without a graph, of others with one.

use manytask_data::Batch;
use manytask_nn::Context;
use manytask_nn::dense::{DenseChain, DenseLayer, PlainLoss, Target};
use manytask_tensor::dense::{Accumulate, Matrix, Real, from_fn, product, uninit_with, values};
use manytask_tensor::{Graph, Kind, Params, Slot, Tensor, gradients, threads};

use super::{MultiTaskProblem, Rows, broken};
use crate::architecture::Heads;
use crate::{Result, Task};

/// The losses of the present tasks, before they are differentiated.
pub(super) enum Losses<T> {
    /// Every head is one linear layer, on the same rows.
    Linear(Linear<T>),
    /// Heads of any kind, each with its own copy of the representation.
    Graph(Graphs),
}

/// Linear heads, stacked: `O` numbers for each row.
pub(super) struct Linear<T> {
    heads: Vec<DenseLayer>,
    values: Vec<f64>,
    /// `[O, F]`.
    weights: Vec<T>,
    /// Each task's loss by its own predictions, `[O, B]`.
    residuals: Vec<T>,
}

/// Losses with graphs that end at copies of the representation.
pub(super) struct Graphs {
    losses: Vec<Tensor>,
    copies: Vec<Tensor>,
    own: Vec<Vec<(Slot, Tensor)>>,
    one_after_the_other: bool,
}

/// What the pass through the heads gave.
pub(super) struct Gradients<T> {
    /// Each present task's loss by the representation of its rows.
    pub(super) cotangents: Cotangents<T>,
    /// Each present task's loss by the parameters of its head.
    pub(super) own: Vec<Vec<(Slot, Tensor)>>,
}

/// Each present task's loss by the representation of its rows, row by row.
pub(super) enum Cotangents<T> {
    /// The products of residuals `[B, oᵢ]` and weights `[oᵢ, F]`.
    Products {
        /// oᵢ.
        outputs: Vec<usize>,
        /// `[O, F]`.
        weights: Vec<T>,
        /// `[O, B]`.
        residuals: Vec<T>,
        /// F.
        features: usize,
    },
    /// Themselves; whether they are of rows that follow each other, or of the same rows.
    Whole(Vec<Vec<T>>, bool),
}

impl<T: Real> Losses<T> {
    pub(super) fn new(
        problem: &MultiTaskProblem,
        heads: &Heads,
        params: &Params,
        batch: &Batch,
        present: &[usize],
        (representation, rows): (&[T], &Rows),
        cx: &mut Context,
    ) -> Result<Self> {
        if let (Rows::Shared(batch_rows), Some(heads)) = (rows, heads.all_linear(present)) {
            return Ok(Self::Linear(Linear::new(
                problem,
                params,
                batch,
                present,
                (representation, *batch_rows),
                heads,
            )?));
        }
        let features = problem.fused_chain(params).map_or(0, DenseChain::outputs);
        let (mut losses, mut copies, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &task) in present.iter().enumerate() {
            let (start, length) = match rows {
                Rows::Shared(rows) => (0, *rows),
                Rows::Own(rows) => rows.get(row).copied().unwrap_or_default(),
            };
            let part = representation.get(start * features..(start + length) * features).unwrap_or_default();
            let copy = from_fn::<T, crate::Error>(&[length as i64, features as i64], |copy| {
                copy.copy_from_slice(part);
                Ok(())
            })?;
            let copy = copy.f_set_requires_grad(true)?;
            let described = problem.tasks.get(task).zip(batch.targets.get(task));
            let (described, target) = described.ok_or_else(|| broken("a task without labels"))?;
            let prediction = heads.one(task, params, &copy, cx)?;
            let weight = batch.weights.get(task).and_then(Option::as_ref);
            losses.push(described.mean_loss(&prediction, target, weight)?);
            copies.push(copy);
            let slots = problem.own(task).iter();
            own.push(
                slots.map(|slot| Ok((*slot, params.get(*slot)?.shallow_clone()))).collect::<Result<_>>()?,
            );
        }
        let one_after_the_other = matches!(rows, Rows::Own(_));
        Ok(Self::Graph(Graphs { losses, copies, own, one_after_the_other }))
    }

    pub(super) fn values(&self) -> Result<Vec<f64>> {
        match self {
            Self::Linear(linear) => Ok(linear.values.clone()),
            Self::Graph(graphs) => fetched(&graphs.losses),
        }
    }

    /// The one pass through the heads.
    pub(super) fn differentiate(self, representation: &[T]) -> Result<Gradients<T>> {
        match self {
            Self::Linear(linear) => linear.differentiate(representation),
            Self::Graph(graphs) => graphs.differentiate(),
        }
    }
}

/// The values of losses of one element each, fetched at once.
fn fetched(losses: &[Tensor]) -> Result<Vec<f64>> {
    if losses.is_empty() {
        return Ok(Vec::new());
    }
    let stacked = Tensor::f_stack(losses, 0)?.f_detach()?.f_to_kind(Kind::Double)?;
    Ok(Vec::<f64>::try_from(stacked.f_reshape([-1])?)?)
}

impl<T: Real> Linear<T> {
    fn new(
        problem: &MultiTaskProblem,
        params: &Params,
        batch: &Batch,
        present: &[usize],
        (representation, rows): (&[T], usize),
        heads: Vec<DenseLayer>,
    ) -> Result<Self> {
        let features = heads.first().map_or(0, |head| head.inputs);
        let outputs: usize = heads.iter().map(|head| head.outputs).sum();
        let (mut weights, mut predictions) = (Vec::new(), Vec::new());
        weights.reserve_exact(outputs * features);
        for head in &heads {
            weights.extend_from_slice(values(params.get(head.weight)?)?);
            for bias in values::<T>(params.get(head.bias)?)? {
                predictions.resize(predictions.len() + rows, *bias);
            }
        }
        let z = Matrix::new(representation, rows, features)?.transposed();
        let w = Matrix::new(&weights, outputs, features)?;
        product(&mut predictions, Accumulate::Yes, T::one(), w, z, threads::get())?;
        let mut residuals = vec![T::zero(); outputs * rows];
        let mut losses = Vec::with_capacity(present.len());
        let mut start = 0;
        for (head, &task) in heads.iter().zip(present) {
            let place = start * rows..(start + head.outputs) * rows;
            start += head.outputs;
            let described = problem.tasks.get(task).zip(batch.targets.get(task));
            let (Some((described, target)), Some(own), Some(residual)) =
                (described, predictions.get(place.clone()), residuals.get_mut(place))
            else {
                return Err(broken("a task without predictions"));
            };
            let weight = batch.weights.get(task).and_then(Option::as_ref);
            losses.push(differentiated(described, own, target, weight, rows, residual)?);
        }
        Ok(Self { heads, values: losses, weights, residuals })
    }

    /// `dWᵢ = Rᵢᵀ Z`, all in one product.
    fn differentiate(self, representation: &[T]) -> Result<Gradients<T>> {
        let Self { heads, weights, residuals, .. } = self;
        let features = heads.first().map_or(0, |head| head.inputs);
        let outputs: Vec<usize> = heads.iter().map(|head| head.outputs).collect();
        let all: usize = outputs.iter().sum();
        let rows = residuals.len() / all.max(1);
        let weight = uninit_with::<T, crate::Error>(&[all as i64, features as i64], |out| {
            let r = Matrix::new(&residuals, all, rows)?;
            let z = Matrix::new(representation, rows, features)?;
            Ok(product(out, Accumulate::No, T::one(), r, z, threads::get())?)
        })?;
        let bias = from_fn::<T, crate::Error>(&[all as i64], |out| {
            for (sum, residuals) in out.iter_mut().zip(residuals.chunks_exact(rows.max(1))) {
                *sum = residuals.iter().fold(T::zero(), |sum, residual| sum + *residual);
            }
            Ok(())
        })?;
        let mut start = 0;
        let own = heads.iter().map(|head| {
            let length = head.outputs as i64;
            let parts = vec![
                (head.weight, weight.f_narrow(0, start, length)?),
                (head.bias, bias.f_narrow(0, start, length)?),
            ];
            start += length;
            Ok(parts)
        });
        let own = own.collect::<Result<_>>()?;
        Ok(Gradients { cotangents: Cotangents::Products { outputs, weights, residuals, features }, own })
    }
}

/// The loss of predictions `[o, B]`; its gradient is written over `residual`.
fn differentiated<T: Real>(
    task: &Task,
    predictions: &[T],
    target: &Tensor,
    weight: Option<&Tensor>,
    rows: usize,
    residual: &mut [T],
) -> Result<f64> {
    let outputs = predictions.len() / rows.max(1);
    let turned = |from: &[T], to: &mut [T], width: usize| {
        for (place, number) in to.iter_mut().enumerate() {
            let (row, column) = (place / width.max(1), place % width.max(1));
            let from = from.get(column * (from.len() / width.max(1)) + row);
            *number = from.copied().unwrap_or_default();
        }
    };
    let plain = PlainLoss::of(&task.loss).filter(|_| weight.is_none() && target.is_contiguous());
    if let Some(plain) = plain {
        let classes;
        let labels = if target.kind() == Kind::Int64 {
            classes = Vec::<i64>::try_from(target.f_reshape([-1])?)?;
            Some(Target::Classes(classes.as_slice()))
        } else {
            values(target).ok().map(Target::Values)
        };
        if let Some(labels) = labels.filter(|labels| plain.fits(*labels, rows, outputs)) {
            if outputs == 1 {
                return Ok(plain.value(predictions, labels, 1, residual));
            }
            let (mut own, mut gradient) = (vec![T::zero(); residual.len()], vec![T::zero(); residual.len()]);
            turned(predictions, &mut own, outputs);
            let loss = plain.value(&own, labels, outputs, &mut gradient);
            turned(&gradient, residual, rows);
            return Ok(loss);
        }
    }
    let leaf = from_fn::<T, crate::Error>(&[rows as i64, outputs as i64], |out| {
        turned(predictions, out, outputs);
        Ok(())
    })?;
    let leaf = leaf.f_set_requires_grad(true)?;
    let loss = task.mean_loss(&leaf, target, weight)?;
    let found = gradients(&loss, &[&leaf], Graph::Free)?;
    for gradient in found {
        turned(values(&gradient.f_contiguous()?)?, residual, rows);
    }
    Ok(loss.f_to_kind(Kind::Double)?.f_double_value(&[])?)
}

impl Graphs {
    fn differentiate<T: Real>(self) -> Result<Gradients<T>> {
        let Self { losses, copies, own, one_after_the_other } = self;
        let inputs: Vec<&Tensor> = copies.iter().chain(own.iter().flatten().map(|(_, leaf)| leaf)).collect();
        let found = if losses.is_empty() {
            Vec::new()
        } else {
            let total = Tensor::f_stack(&losses, 0)?.f_sum(T::KIND)?;
            gradients(&total, &inputs, Graph::Free)?
        };
        let mut found = found.into_iter();
        let whole = found.by_ref().take(copies.len()).map(|one| Ok(values(&one.f_contiguous()?)?.to_vec()));
        let whole = whole.collect::<Result<_>>()?;
        let own = own.iter().map(|own| own.iter().map(|(slot, _)| *slot).zip(found.by_ref()).collect());
        Ok(Gradients { own: own.collect(), cotangents: Cotangents::Whole(whole, one_after_the_other) })
    }
}

impl<T: Real> Cotangents<T> {
    /// One present task's.
    pub(super) fn of(&self, task: usize, threads: usize) -> Result<Vec<T>> {
        match self {
            Self::Whole(all, _) => Ok(all.get(task).cloned().unwrap_or_default()),
            Self::Products { outputs, weights, residuals, features } => {
                let rows = residuals.len() / outputs.iter().sum::<usize>().max(1);
                let start: usize = outputs.iter().take(task).sum();
                let count = outputs.get(task).copied().unwrap_or_default();
                let residuals = residuals.get(start * rows..(start + count) * rows).unwrap_or_default();
                let weights = weights.get(start * features..(start + count) * features).unwrap_or_default();
                let mut out = vec![T::zero(); rows * features];
                let r = Matrix::new(residuals, count, rows)?.transposed();
                product(
                    &mut out,
                    Accumulate::No,
                    T::one(),
                    r,
                    Matrix::new(weights, count, *features)?,
                    threads,
                )?;
                Ok(out)
            }
        }
    }

    /// `Σ wᵢ cᵢ`, or the weighted ones after each other where the tasks' rows are.
    pub(super) fn weighted(&self, factors: &[f64]) -> Result<Vec<T>> {
        match self {
            Self::Whole(all, one_after_the_other) => {
                let mut sum: Vec<T> = Vec::new();
                for (one, factor) in all.iter().zip(factors) {
                    let scaled = one.iter().map(|c| *c * T::of(*factor));
                    if *one_after_the_other || sum.is_empty() {
                        sum.extend(scaled);
                    } else {
                        sum.iter_mut().zip(scaled).for_each(|(sum, c)| *sum += c);
                    }
                }
                Ok(sum)
            }
            Self::Products { outputs, weights, residuals, features } => {
                let all: usize = outputs.iter().sum();
                let rows = residuals.len() / all.max(1);
                let mut scaled = residuals.clone();
                let each =
                    outputs.iter().zip(factors).flat_map(|(n, factor)| std::iter::repeat_n(*factor, *n));
                for (residuals, factor) in scaled.chunks_exact_mut(rows.max(1)).zip(each) {
                    for residual in residuals {
                        *residual *= T::of(factor);
                    }
                }
                let mut out = vec![T::zero(); rows * features];
                let (r, w) = (Matrix::new(&scaled, all, rows)?, Matrix::new(weights, all, *features)?);
                product(&mut out, Accumulate::No, T::one(), r.transposed(), w, threads::get())?;
                Ok(out)
            }
        }
    }

    /// All of them as rows, `[K, …]`.
    pub(super) fn rows(&self, tasks: usize) -> Result<Tensor> {
        let all = (0..tasks).map(|task| self.of(task, threads::get())).collect::<Result<Vec<_>>>()?;
        let width = all.first().map_or(0, Vec::len);
        if width == 0 || all.iter().any(|one| one.len() != width) {
            return Err(broken("a Jacobian of no task"));
        }
        from_fn(&[tasks as i64, width as i64], |out: &mut [T]| {
            out.chunks_exact_mut(width).zip(&all).for_each(|(row, one)| row.copy_from_slice(one));
            Ok(())
        })
    }
}

//! Each task's gradient, as it is or in a form whose inner products are the same.

use manytask_nn::dense::{DenseChain, DenseLayer, Input};
use manytask_tensor::dense::{Accumulate, Matrix, Real, product, uninit_with, values};
use manytask_tensor::{Tensor, threads};
use rayon::prelude::*;

use super::{DensePass, Rows, broken};
use crate::Result;

/// What a row is made of.
pub(super) enum Form<T> {
    /// The gradient by all shared parameters.
    Gradients,
    /// `Lᵀ δ` of each layer, with Lᵀ `[B, B]` row by row.
    Compact {
        /// B.
        batch: usize,
        /// Lᵀ of each layer.
        factors: Vec<Vec<T>>,
    },
}

impl<T: Real> Form<T> {
    /// The numbers of a row that belong to a layer.
    fn width(&self, layer: &DenseLayer) -> usize {
        match self {
            Self::Gradients => layer.size(),
            Self::Compact { batch, .. } => layer.outputs * batch,
        }
    }

    /// Writes a layer's part of a row, for δ of rows that came into the layer as `input`.
    fn write(
        &self,
        (number, layer): (usize, &DenseLayer),
        delta: &[T],
        input: Input<'_, T>,
        part: &mut [T],
        threads: usize,
    ) -> Result<()> {
        match self {
            Self::Gradients => {
                let (weight, bias) = part.split_at_mut(layer.outputs * layer.inputs);
                Ok(layer.gradient(delta, input, weight, bias, threads)?)
            }
            Self::Compact { batch, factors } => {
                let factor = factors.get(number).map_or(&[][..], Vec::as_slice);
                let (factor, d) =
                    (Matrix::new(factor, *batch, *batch)?, Matrix::new(delta, *batch, layer.outputs)?);
                Ok(product(part, Accumulate::No, T::one(), factor, d, threads)?)
            }
        }
    }
}

/// The place of a layer's W and b in a vector of all shared parameters.
pub(super) fn own<'v, T>(
    chain: &DenseChain,
    number: usize,
    vector: &'v mut [T],
) -> Result<(&'v mut [T], &'v mut [T])> {
    let start: usize = chain.layers().iter().take(number).map(DenseLayer::size).sum();
    let layer = chain.layers().get(number).ok_or_else(|| broken("a layer that is not there"))?;
    let vector = vector.get_mut(start..start + layer.size()).ok_or_else(|| broken("a vector too short"))?;
    Ok(vector.split_at_mut(layer.outputs * layer.inputs))
}

impl<T: Real> DensePass<'_, T> {
    /// The compact form, where the tasks share their rows and it is cheaper than the gradients.
    pub(super) fn compact(&self) -> Result<Option<Form<T>>> {
        let Rows::Shared(batch) = self.rows else { return Ok(None) };
        let layers = self.chain.layers();
        if !compact_is_cheaper(layers, batch, self.present.len()) {
            return Ok(None);
        }
        let matrix = self.x.matrix()?;
        let x = values::<T>(&matrix)?;
        let mut factors = Vec::with_capacity(layers.len());
        for (number, layer) in layers.iter().enumerate() {
            let input = number.checked_sub(1).and_then(|n| self.trace.activations.get(n));
            let Some(factor) = factor(input.map_or(x, Vec::as_slice), layer.inputs)? else { return Ok(None) };
            factors.push(factor);
        }
        Ok(Some(Form::Compact { batch, factors }))
    }

    /// A row for each present task, `[K, …]`, of the layers from `first` on.
    pub(super) fn rows_in(&self, form: &Form<T>, first: usize) -> Result<Tensor> {
        let tasks = self.present.len();
        if tasks == 0 {
            return Err(broken("a Jacobian of no task"));
        }
        let width: usize = self.chain.layers().iter().skip(first).map(|layer| form.width(layer)).sum();
        let (weights, cotangents) = (self.chain.borrow(self.params)?, &self.known()?.cotangents);
        let trunk = self.trunk(&weights)?;
        // A task for each thread where there are enough, else all threads in each product.
        let threads = threads::get();
        let (workers, each) = if tasks >= threads { (threads, 1) } else { (1, threads) };
        let one = |(task, row): (usize, &mut [T])| -> Result<()> {
            let own = match trunk.rows {
                Rows::Shared(_) => None,
                Rows::Own(rows) => rows.get(task).copied(),
            };
            let mut end = row.len();
            trunk.back(cotangents.of(task, each)?, own, (first, each), |number, layer, delta, input| {
                let start = end - form.width(layer).min(end);
                let part = row.get_mut(start..end).unwrap_or_default();
                end = start;
                form.write((number, layer), delta, input, part, each)
            })
        };
        uninit_with(&[tasks as i64, width as i64], |out: &mut [T]| {
            if workers == 1 {
                return out.chunks_exact_mut(width).enumerate().try_for_each(one);
            }
            let share = tasks.div_ceil(workers);
            out.par_chunks_mut(width * share).enumerate().try_for_each(|(first, rows)| {
                rows.chunks_exact_mut(width)
                    .enumerate()
                    .try_for_each(|(n, row)| one((first * share + n, row)))
            })
        })
    }
}

/// Floating-point operations of both ways; those in f64 take twice as long, a factorization ten times.
pub(in crate::multi_task) fn compact_is_cheaper(layers: &[DenseLayer], batch: usize, tasks: usize) -> bool {
    let (rows, tasks) = (batch as f64, tasks as f64);
    let (mut gradients, mut compact) = (0.0, 0.0);
    for layer in layers {
        let (inputs, outputs) = (layer.inputs as f64, layer.outputs as f64);
        gradients += 2.0 * tasks * rows * inputs * outputs + 4.0 * tasks * tasks * inputs * outputs;
        compact += 2.0 * tasks * rows * rows * outputs + 4.0 * tasks * tasks * rows * outputs;
        // The factor, and the pass back for the combination, which the gradients themselves would save.
        compact += 4.0 * rows * rows * inputs + 10.0 / 3.0 * rows.powi(3) + 4.0 * rows * inputs * outputs;
    }
    compact < gradients
}

/// Lᵀ with `L Lᵀ = a aᵀ + 1`, the 1 being the bias' part; `None` where rounding leaves none.
///
/// In f64: gradients are often sums that nearly cancel, and their length is what remains.
fn factor<T: Real>(a: &[T], width: usize) -> Result<Option<Vec<T>>> {
    let rows = a.len() / width.max(1);
    let wide: Vec<f64> = a.iter().map(|x| x.wide()).collect();
    let a = Matrix::new(&wide, rows, width)?;
    let mut largest = 0.0_f64;
    let mut products = vec![1.0; rows * rows];
    product(&mut products, Accumulate::Yes, 1.0, a, a.transposed(), threads::get())?;
    let diagonal = |products: &mut [f64], f: &mut dyn FnMut(&mut f64)| {
        products.iter_mut().step_by(rows + 1).for_each(f);
    };
    diagonal(&mut products, &mut |square| largest = largest.max(*square));
    // Rows that depend on each other leave pivots of the size of rounding, which must not be negative.
    let rounding = largest * rows as f64 * f64::EPSILON;
    diagonal(&mut products, &mut |square| *square += rounding);
    threads::with_single_threaded_torch(|| {
        let products = Tensor::f_from_slice(&products)?.f_reshape([rows as i64, rows as i64])?;
        let (factor, info) = products.f_linalg_cholesky_ex(true, false)?;
        if info.f_int64_value(&[])? != 0 {
            return Ok(None);
        }
        let factor = factor.f_contiguous()?;
        Ok(Some(values::<f64>(&factor)?.iter().map(|x| T::of(*x)).collect()))
    })
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    /// With `δᵀ a` a thousandth of its terms, `⟨a aᵀ δ, δ⟩` in f32 is rounding and nothing else.
    #[test]
    fn what_remains_of_gradients_that_nearly_cancel_is_exact_in_single_precision() {
        let normal = |what| Key::new(1, what).normal(&[32, 48], Kind::Double, Device::Cpu).unwrap();
        let (a, delta) = (normal("a") * 1e-3 + 1.0, normal("delta"));
        let delta = &delta - delta.mean_dim([0_i64].as_slice(), true, Kind::Double) + normal("rest") * 1e-3;
        let (a, delta) = (a.to_kind(Kind::Float), delta.to_kind(Kind::Float));
        let gradient = delta.tr().to_kind(Kind::Double).matmul(&a.to_kind(Kind::Double));
        let bias = delta.sum_dim_intlist([0_i64].as_slice(), false, Kind::Double);
        let expected =
            (gradient.square().sum(Kind::Double) + bias.square().sum(Kind::Double)).double_value(&[]);
        let all = (delta.square().sum(Kind::Double) * a.square().sum(Kind::Double)).double_value(&[]);
        assert!(expected < 1e-5 * all, "they do not cancel: {}", expected / all);
        let factor = factor(values::<f32>(&a).unwrap(), 48).unwrap().unwrap();
        let mut compact = vec![0.0_f32; 32 * 48];
        let (l, d) =
            (Matrix::new(&factor, 32, 32).unwrap(), Matrix::new(values(&delta).unwrap(), 32, 48).unwrap());
        product(&mut compact, Accumulate::No, 1.0, l, d, 1).unwrap();
        let found: f64 = compact.iter().map(|x| f64::from(*x).powi(2)).sum();
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
    }
}

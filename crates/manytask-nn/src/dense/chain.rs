use manytask_tensor::dense::{Accumulate, Matrix, Real, product, values};
use manytask_tensor::{Params, Slot};

use super::{DenseActivation, Input, PlainLoss, Target};
use crate::Result;

/// Linear layers, each followed by a [`DenseActivation`]. Rows of numbers go through it, row by row in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DenseChain {
    pub(super) layers: Vec<DenseLayer>,
}

/// One layer of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DenseLayer {
    /// W, `[outputs, inputs]`.
    pub weight: Slot,
    /// b, `[outputs]`.
    pub bias: Slot,
    /// The numbers of a row that comes in.
    pub inputs: usize,
    /// The numbers of a row that comes out.
    pub outputs: usize,
    /// What is applied to them.
    pub activation: DenseActivation,
}

/// A layer's parameters, row by row.
#[derive(Debug, Clone, Copy)]
pub struct LayerWeights<'a, T> {
    /// W.
    pub weight: &'a [T],
    /// b.
    pub bias: &'a [T],
}

/// What a pass leaves behind for what is differentiated later, layer by layer. Its memory is used again by the next pass.
#[derive(Debug, Default)]
pub struct Trace<T> {
    /// Values after each layer.
    pub activations: Vec<Vec<T>>,
    /// The loss by these values.
    pub cotangents: Vec<Vec<T>>,
    /// The loss by what went into each layer's curve, δ.
    pub deltas: Vec<Vec<T>>,
}

impl DenseLayer {
    /// The number of its parameters.
    pub fn size(&self) -> usize {
        self.outputs * self.inputs + self.outputs
    }

    /// `out = x Wᵀ + b`, before the curve.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn affine<'x, T: Real>(
        &self,
        weights: LayerWeights<'_, T>,
        x: impl Into<Input<'x, T>>,
        out: &mut Vec<T>,
        threads: usize,
    ) -> Result<()> {
        let x = x.into();
        let rows = match x {
            Input::Full(x) => x.len() / self.inputs.max(1),
            Input::OneHot(x) => x.rows(),
        };
        out.resize(rows * self.outputs, T::zero());
        out.chunks_exact_mut(self.outputs.max(1)).for_each(|row| row.copy_from_slice(weights.bias));
        match x {
            Input::Full(x) => {
                let x = Matrix::new(x, rows, self.inputs)?;
                let w = Matrix::new(weights.weight, self.outputs, self.inputs)?;
                Ok(product(out, Accumulate::Yes, T::one(), x, w.transposed(), threads)?)
            }
            Input::OneHot(x) => Ok(x.add_product(weights.weight, self.outputs, out, threads)?),
        }
    }

    /// The gradient of its parameters for δ of rows that came in as `x`: `δᵀ x` and the sum of δ's rows.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn gradient<'x, T: Real>(
        &self,
        delta: &[T],
        x: impl Into<Input<'x, T>>,
        weight: &mut [T],
        bias: &mut [T],
        threads: usize,
    ) -> Result<()> {
        match x.into() {
            Input::Full(x) => {
                let rows = delta.len() / self.outputs.max(1);
                let (d, x) = (Matrix::new(delta, rows, self.outputs)?, Matrix::new(x, rows, self.inputs)?);
                product(weight, Accumulate::No, T::one(), d.transposed(), x, threads)?;
            }
            Input::OneHot(x) => x.gradient(delta, self.outputs, weight, threads)?,
        }
        bias.fill(T::zero());
        for row in delta.chunks_exact(self.outputs.max(1)) {
            bias.iter_mut().zip(row).for_each(|(sum, d)| *sum += *d);
        }
        Ok(())
    }

    /// The cotangent of what came in, for δ: `δ W`.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn vjp<T: Real>(
        &self,
        weight: &[T],
        delta: &[T],
        out: &mut Vec<T>,
        accumulate: Accumulate,
        threads: usize,
    ) -> Result<()> {
        let rows = delta.len() / self.outputs.max(1);
        out.resize(rows * self.inputs, T::zero());
        let (d, w) =
            (Matrix::new(delta, rows, self.outputs)?, Matrix::new(weight, self.outputs, self.inputs)?);
        Ok(product(out, accumulate, T::one(), d, w, threads)?)
    }
}

impl DenseChain {
    /// Its layers, first to last.
    pub fn layers(&self) -> &[DenseLayer] {
        &self.layers
    }

    /// The numbers of a row that comes in.
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    /// The numbers of a row that comes out.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// The number of all parameters.
    pub fn size(&self) -> usize {
        self.layers.iter().map(DenseLayer::size).sum()
    }

    /// Whether all its curves are straight on both sides of 0.
    pub fn is_piecewise_linear(&self) -> bool {
        self.layers.iter().all(|layer| layer.activation.is_piecewise_linear())
    }

    /// The slots in the order of [`DenseChain::split`]: W and b of each layer.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.layers.iter().flat_map(|layer| [layer.weight, layer.bias])
    }

    /// The parameters where they lie in the tensors' memory.
    ///
    /// # Errors
    /// When a tensor is not contiguous on the processor, or of another element type.
    pub fn borrow<'a, T: Real>(&self, params: &'a Params) -> Result<Vec<LayerWeights<'a, T>>> {
        let of = |layer: &DenseLayer| {
            Ok(LayerWeights {
                weight: values(params.get(layer.weight)?)?,
                bias: values(params.get(layer.bias)?)?,
            })
        };
        self.layers.iter().map(of).collect()
    }

    /// The parameters in one vector, W and b of each layer one after the other.
    pub fn split<'a, T>(&self, flat: &'a [T]) -> Vec<LayerWeights<'a, T>> {
        let mut rest = flat;
        let mut take = |length: usize| {
            let (part, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            part
        };
        let of = |layer: &DenseLayer| LayerWeights {
            weight: take(layer.outputs * layer.inputs),
            bias: take(layer.outputs),
        };
        self.layers.iter().map(of).collect()
    }

    /// The pass forward: fills `trace.activations`.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn forward<'x, T: Real>(
        &self,
        weights: &[LayerWeights<'_, T>],
        x: impl Into<Input<'x, T>>,
        trace: &mut Trace<T>,
        threads: usize,
    ) -> Result<()> {
        let x = x.into();
        trace.activations.resize_with(self.layers.len(), Vec::new);
        for (number, (layer, weights)) in self.layers.iter().zip(weights).enumerate() {
            let (before, rest) = trace.activations.split_at_mut(number);
            let Some(out) = rest.first_mut() else { break };
            layer.affine(*weights, before.last().map_or(x, Input::from), out, threads)?;
            layer.activation.apply(out);
        }
        Ok(())
    }

    /// The loss of what the pass forward gave; its gradient goes into the last of `trace.cotangents`.
    pub fn loss<T: Real>(&self, loss: PlainLoss, target: Target<'_, T>, trace: &mut Trace<T>) -> f64 {
        trace.cotangents.resize_with(self.layers.len(), Vec::new);
        let Some((prediction, cotangent)) = trace.activations.last().zip(trace.cotangents.last_mut()) else {
            return 0.0;
        };
        cotangent.resize(prediction.len(), T::zero());
        loss.value(prediction, target, self.outputs(), cotangent)
    }

    /// The pass back from the last of `trace.cotangents`: fills the other ones and `trace.deltas`, and writes the gradient of
    /// all parameters into one vector, as [`DenseChain::split`] has them; that by the rows that came in into `below`.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn backward<T: Real>(
        &self,
        weights: &[LayerWeights<'_, T>],
        x: &[T],
        trace: &mut Trace<T>,
        gradient: &mut [T],
        below: Option<&mut Vec<T>>,
        threads: usize,
    ) -> Result<()> {
        let mut below = below;
        trace.deltas.resize_with(self.layers.len(), Vec::new);
        let mut end = gradient.len();
        for (number, (layer, weights)) in self.layers.iter().zip(weights).enumerate().rev() {
            let (before, rest) = trace.cotangents.split_at_mut(number);
            let parts = rest.first().zip(trace.activations.get(number)).zip(trace.deltas.get_mut(number));
            let Some(((cotangent, activation), delta)) = parts else { break };
            delta.clear();
            delta.extend_from_slice(cotangent);
            layer.activation.mul_derivative_in_place(delta, activation);
            let input = number.checked_sub(1).and_then(|n| trace.activations.get(n)).map_or(x, Vec::as_slice);
            let own = gradient.get_mut(end.saturating_sub(layer.size())..end).unwrap_or_default();
            end = end.saturating_sub(layer.size());
            let (weight, bias) = own.split_at_mut(own.len().saturating_sub(layer.outputs));
            layer.gradient(delta, input, weight, bias, threads)?;
            let below = before.last_mut().or(below.as_deref_mut().filter(|_| number == 0));
            if let Some(below) = below {
                layer.vjp(weights.weight, delta, below, Accumulate::No, threads)?;
            }
        }
        Ok(())
    }
}

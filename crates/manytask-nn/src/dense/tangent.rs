use manytask_tensor::dense::{Accumulate, Matrix, Real, product};

use super::{DenseChain, LayerWeights, PlainLoss, Target, Trace};
use crate::Result;

/// How a pass changes along a direction of the parameters; its memory is used again.
#[derive(Debug, Default)]
pub struct Tangents<T> {
    /// Of the rows that come in; empty where these do not move.
    pub input: Vec<T>,
    /// Of the loss by the rows that come in, where these move.
    pub below: Vec<T>,
    /// Of values after each layer.
    activations: Vec<Vec<T>>,
    /// Of the loss by a layer's values, and by what went into its curve.
    cotangent: Vec<T>,
    delta: Vec<T>,
}

impl DenseChain {
    /// `out = H v`: the Hessian of the mean loss of rows `x`, at the parameters and with the trace of a whole pass there and
    /// back, times a vector (Pearlmutter 1994). `direction` and `out` are as [`DenseChain::split`] has parameters.
    ///
    /// # Errors
    /// When a shape does not fit.
    #[expect(clippy::too_many_arguments, reason = "a pass, a direction, and where it goes")]
    pub fn hessian_product<T: Real>(
        &self,
        weights: &[LayerWeights<'_, T>],
        x: &[T],
        (loss, target): (PlainLoss, Target<'_, T>),
        trace: &Trace<T>,
        direction: &[T],
        along: &mut Tangents<T>,
        out: &mut [T],
    ) -> Result<()> {
        let directions = self.split(direction);
        let of = (loss, target, self.outputs());
        self.hessian_product_from((weights, &directions), x, of, trace, along, out)
    }

    /// The same where the rows that come in move as well, as `along.input` says; a chain without layers passes on what it gets.
    pub(crate) fn hessian_product_from<T: Real>(
        &self,
        (weights, directions): (&[LayerWeights<'_, T>], &[LayerWeights<'_, T>]),
        x: &[T],
        (loss, target, outputs): (PlainLoss, Target<'_, T>, usize),
        trace: &Trace<T>,
        along: &mut Tangents<T>,
        out: &mut [T],
    ) -> Result<()> {
        self.forward_jvp(weights, directions, x, trace, along)?;
        let prediction = trace.activations.last().map_or(x, Vec::as_slice);
        let Tangents { activations, cotangent, input, .. } = along;
        let moved = activations.last().unwrap_or(input);
        cotangent.resize(prediction.len(), T::zero());
        loss.curvature(prediction, target, outputs, moved, cotangent);
        if self.layers.is_empty() {
            along.below.clear();
            along.below.extend_from_slice(&along.cotangent);
        }
        self.backward_jvp(weights, directions, x, trace, along, out)
    }

    /// `ȧ = f′(z) (aₗ₋₁ Vᵀ + c + ȧₗ₋₁ Wᵀ)`.
    fn forward_jvp<T: Real>(
        &self,
        weights: &[LayerWeights<'_, T>],
        directions: &[LayerWeights<'_, T>],
        x: &[T],
        trace: &Trace<T>,
        along: &mut Tangents<T>,
    ) -> Result<()> {
        along.activations.resize_with(self.layers.len(), Vec::new);
        let layers = self.layers.iter().zip(weights).zip(directions).zip(&trace.activations).enumerate();
        for (number, (((layer, weights), direction), activation)) in layers {
            let (before, rest) = along.activations.split_at_mut(number);
            let Some(out) = rest.first_mut() else { break };
            let input = number.checked_sub(1).and_then(|n| trace.activations.get(n)).map_or(x, Vec::as_slice);
            layer.affine(*direction, input, out, 1)?;
            let moved = before.last().or(Some(&along.input).filter(|input| number == 0 && !input.is_empty()));
            if let Some(moved) = moved {
                let moved = Matrix::new(moved, moved.len() / layer.inputs.max(1), layer.inputs)?;
                let w = Matrix::new(weights.weight, layer.outputs, layer.inputs)?;
                product(out, Accumulate::Yes, T::one(), moved, w.transposed(), 1)?;
            }
            layer.activation.mul_derivative_in_place(out, activation);
        }
        Ok(())
    }

    /// `δ̇ = f′ ċ + f″ ż c̄`, `Ẇ = δ̇ᵀ a + δᵀ ȧ`, `ċₗ₋₁ = δ̇ W + δ V`.
    fn backward_jvp<T: Real>(
        &self,
        weights: &[LayerWeights<'_, T>],
        directions: &[LayerWeights<'_, T>],
        x: &[T],
        trace: &Trace<T>,
        along: &mut Tangents<T>,
        out: &mut [T],
    ) -> Result<()> {
        let Tangents { activations, cotangent, delta, input: moved_input, below: out_below } = along;
        let mut end = out.len();
        let layers = self.layers.iter().zip(weights).zip(directions).enumerate().rev();
        for (number, ((layer, weights), direction)) in layers {
            let traced = trace.activations.get(number).zip(trace.cotangents.get(number));
            let Some((((values, c), moved), d)) =
                traced.zip(activations.get(number)).zip(trace.deltas.get(number))
            else {
                break;
            };
            delta.clear();
            delta.extend_from_slice(cotangent);
            layer.activation.mul_derivative_in_place(delta, values);
            layer.activation.add_second_derivative(delta, moved, c, values);
            let below = number.checked_sub(1);
            let input = below.and_then(|n| trace.activations.get(n)).map_or(x, Vec::as_slice);
            let own = out.get_mut(end.saturating_sub(layer.size())..end).unwrap_or_default();
            end = end.saturating_sub(layer.size());
            let (weight, bias) = own.split_at_mut(own.len().saturating_sub(layer.outputs));
            layer.gradient(delta, input, weight, bias, 1)?;
            let moves = below.is_some() || !moved_input.is_empty();
            let moved = below.map_or(Some(&*moved_input), |n| activations.get(n)).filter(|_| moves);
            let cotangent = if below.is_some() { &mut *cotangent } else { &mut *out_below };
            if let Some(moved) = moved {
                let rows = moved.len() / layer.inputs.max(1);
                let d = Matrix::new(d, rows, layer.outputs)?.transposed();
                product(weight, Accumulate::Yes, T::one(), d, Matrix::new(moved, rows, layer.inputs)?, 1)?;
                layer.vjp(weights.weight, delta, cotangent, Accumulate::No, 1)?;
            }
            if moves {
                layer.vjp(direction.weight, d, cotangent, Accumulate::Yes, 1)?;
            }
        }
        Ok(())
    }
}

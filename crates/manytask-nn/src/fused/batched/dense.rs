//! A chain of linear layers, of many tasks at once.
//!
//! With activations `aₗ` and `δₗ = ∂L/∂(Wₗ aₗ₋₁ + bₗ)` a step of gradient descent is `Wₗ ← Wₗ − α δₗᵀ aₗ₋₁` in one operation. The cotangent λ of
//! the parameters after it becomes `λ − α H λ` of those before it, by one pass forward and one back (Pearlmutter 1994): along λ = (V, c) it
//! is `R(Wₗ aₗ₋₁ + bₗ) = Wₗ R(aₗ₋₁) + Vₗ aₗ₋₁ + cₗ`, and `R(δₗᵀ aₗ₋₁) = R(δₗ)ᵀ aₗ₋₁ + δₗᵀ R(aₗ₋₁)`.

use manytask_tensor::{Tensor, baddbmm_scaled};

use super::matrices::Matrices;
use super::nothing;
use crate::Result;
use crate::dense::{DenseChain, DenseLayer};

/// The parameters of a layer, or a gradient or a direction of them.
#[derive(Debug)]
pub(super) struct DenseLeaf {
    /// W.
    pub(super) weight: Matrices,
    /// b `[T, 1, o]`.
    pub(super) bias: Tensor,
}

/// Those of each layer.
pub(super) type DenseLeaves = Vec<DenseLeaf>;

/// What a pass leaves behind.
#[derive(Debug)]
pub(super) struct DenseTrace {
    /// What goes into each layer, and the predictions: `[T, N, i]`.
    pub(super) activations: Vec<Tensor>,
    /// δ of each layer, `[T, N, o]`, after a pass back.
    pub(super) deltas: Vec<Tensor>,
}

/// A chain at some parameters: what its passes read.
#[derive(Debug, Clone, Copy)]
pub(super) struct DensePass<'a> {
    pub(super) chain: &'a DenseChain,
    pub(super) leaves: &'a DenseLeaves,
    /// Whether W and b of each layer move in a task.
    pub(super) moving: &'a [[bool; 2]],
    /// Ones `[T, 1, N]`.
    pub(super) ones: &'a Tensor,
}

impl<'a> DensePass<'a> {
    fn layers(
        self,
    ) -> impl DoubleEndedIterator<Item = (usize, &'a DenseLayer, &'a DenseLeaf)> + ExactSizeIterator {
        self.chain
            .layers()
            .iter()
            .zip(self.leaves)
            .enumerate()
            .map(|(number, (layer, leaves))| (number, layer, leaves))
    }

    /// The pass forward.
    pub(super) fn forward(self, x: Tensor) -> Result<DenseTrace> {
        let mut activations = vec![x];
        for (_, layer, own) in self.layers() {
            let input = activations.last().ok_or_else(nothing)?;
            let linear = own.weight.forward(input, Some(&own.bias))?;
            activations.push(layer.activation.apply_to(linear)?);
        }
        Ok(DenseTrace { activations, deltas: Vec::new() })
    }

    /// The pass back to δ, from a cotangent of the predictions; what comes out below, where that is wanted.
    pub(super) fn back_to_deltas(
        self,
        trace: &mut DenseTrace,
        cotangent: Tensor,
        below: bool,
    ) -> Result<Tensor> {
        let mut cotangent = cotangent;
        trace.deltas.clear();
        for (number, layer, own) in self.layers().rev() {
            let output = trace.activations.get(number + 1).ok_or_else(nothing)?;
            let delta = layer.activation.mul_derivative(output, cotangent)?;
            cotangent =
                if number > 0 || below { own.weight.backward(&delta, None)? } else { delta.shallow_clone() };
            trace.deltas.push(delta);
        }
        trace.deltas.reverse();
        Ok(cotangent)
    }

    /// The gradient by the parameters, after [`DensePass::back_to_deltas`].
    pub(super) fn gradient(self, trace: &DenseTrace) -> Result<DenseLeaves> {
        let parts = self.leaves.iter().zip(trace.deltas.iter().zip(&trace.activations));
        let each = parts.map(|(own, (delta, input))| {
            Ok(DenseLeaf { weight: own.weight.outer(delta, input)?, bias: self.ones.f_matmul(delta)? })
        });
        each.collect()
    }

    /// `φ − α ∇L(φ)`, after [`DensePass::back_to_deltas`].
    pub(super) fn descended(self, trace: &DenseTrace, rate: f64) -> Result<DenseLeaves> {
        let parts = self.leaves.iter().zip(self.moving).zip(trace.deltas.iter().zip(&trace.activations));
        let moved = parts.map(|((DenseLeaf { weight, bias }, moving), (delta, input))| {
            let weight = match moving {
                [true, _] => weight.less_outer(delta, input, rate)?,
                _ => weight.share(),
            };
            let bias = match moving {
                [_, true] => baddbmm_scaled(bias, self.ones, delta, -rate)?,
                _ => bias.shallow_clone(),
            };
            Ok(DenseLeaf { weight, bias })
        });
        moved.collect()
    }

    /// `λ − α H λ`, where only what moves enters the product: with R of the predictions made the change of their cotangent by `curvature`.
    /// `tangents` are those of [`DensePass::tangents`]. Also how what comes out below changes, where that is wanted.
    pub(super) fn descended_back(
        self,
        trace: &DenseTrace,
        along: &DenseLeaves,
        tangents: &[Option<Tensor>],
        change: Tensor,
        (rate, below): (f64, bool),
    ) -> Result<(DenseLeaves, Tensor)> {
        let mut cotangent = change;
        let mut found = DenseLeaves::with_capacity(along.len());
        for ((number, layer, own), DenseLeaf { weight, bias }) in self.layers().zip(along).rev() {
            let (Some(input), Some(output), Some(delta)) =
                (trace.activations.get(number), trace.activations.get(number + 1), trace.deltas.get(number))
            else {
                return Err(nothing());
            };
            let moves = self.moving.get(number).is_some_and(|[weight, _]| *weight);
            let change = layer.activation.mul_derivative(output, cotangent)?;
            let mut next = weight.less_outer(&change, input, rate)?;
            if let Some(Some(tangent)) = tangents.get(number) {
                next = next.less_outer(delta, tangent, rate)?;
            }
            found.push(DenseLeaf { weight: next, bias: baddbmm_scaled(bias, self.ones, &change, -rate)? });
            cotangent = match (number > 0 || below, moves) {
                (false, _) => change,
                (true, true) => weight.backward(delta, Some(&own.weight.backward(&change, None)?))?,
                (true, false) => own.weight.backward(&change, None)?,
            };
        }
        found.reverse();
        Ok((found, cotangent))
    }

    /// R of what goes into each layer, and of the predictions; nothing where it is 0.
    pub(super) fn tangents(
        self,
        trace: &DenseTrace,
        along: &DenseLeaves,
        input: Option<Tensor>,
    ) -> Result<Vec<Option<Tensor>>> {
        let mut tangents: Vec<Option<Tensor>> = vec![input];
        for (((number, layer, own), DenseLeaf { weight, bias }), [weight_moves, bias_moves]) in
            self.layers().zip(along).zip(self.moving)
        {
            let (Some(input), Some(output)) =
                (trace.activations.get(number), trace.activations.get(number + 1))
            else {
                return Err(nothing());
            };
            let mut sum = if *bias_moves { Some(bias.f_expand(output.size(), false)?) } else { None };
            let before = tangents.last().and_then(Option::as_ref);
            let products =
                [weight_moves.then_some((input, weight)), before.map(|before| (before, &own.weight))];
            for (rows, matrices) in products.into_iter().flatten() {
                sum = Some(matrices.forward(rows, sum.as_ref())?);
            }
            tangents.push(sum.map(|sum| layer.activation.mul_derivative(output, sum)).transpose()?);
        }
        Ok(tangents)
    }
}

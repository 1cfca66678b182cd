//! Inner loops of perceptrons by gradient descent, of all tasks at once, in few operations and without a graph: what a GPU is given.
//!
//! With activations `aₗ` and `δₗ = ∂L/∂(Wₗ aₗ₋₁ + bₗ)` a step is `Wₗ ← Wₗ − α δₗᵀ aₗ₋₁` in one operation. The meta-gradient goes back by
//! `λₖ = λₖ₊₁ − α H(φₖ) λₖ₊₁`, each Hessian product one pass forward and one back (Pearlmutter 1994): along λ = (V, c) it is
//! `R(Wₗ aₗ₋₁ + bₗ) = Wₗ R(aₗ₋₁) + Vₗ aₗ₋₁ + cₗ`, and `R(δₗᵀ aₗ₋₁) = R(δₗ)ᵀ aₗ₋₁ + δₗᵀ R(aₗ₋₁)`.

use manytask_data::Episodes;
use manytask_multitask::{Error, Result};
use manytask_nn::Module;
use manytask_nn::dense::{DenseChain, PlainLoss};
use manytask_nn::loss::{Loss, present};
use manytask_tensor::{Kind, Layout, Params, Tensor, baddbmm_scaled, masked_fill, no_grad};

use crate::descent::{Descent, Rates};

use crate::outer_gradient::OuterGradient;

/// A network, a learner and a loss that all are what is fused here.
#[derive(Debug)]
pub(crate) struct BatchedDescent {
    chain: DenseChain,
    /// K.
    steps: u32,
    /// α.
    rate: f64,
    /// How the meta-gradient sees the steps: exactly, or as constants.
    outer_gradient: OuterGradient,
    loss: PlainLoss,
    /// Whether W and b of each layer move in a task.
    moving: Vec<[bool; 2]>,
}

/// W `[T, o, i]` and b `[T, 1, o]` of each layer, or a cotangent of them.
type Layers = Vec<[Tensor; 2]>;

/// What a pass on a support set leaves behind.
struct Trace {
    layers: Layers,
    /// What goes into each layer, and the predictions: `[T, N, i]`.
    activations: Vec<Tensor>,
    /// δ of each layer, `[T, N, o]`.
    deltas: Vec<Tensor>,
}

impl BatchedDescent {
    /// The fused form, for plain gradient descent on a chain of linear layers and piecewise linear activations.
    pub(crate) fn of(
        network: &dyn Module,
        layout: &Layout,
        descent: Option<Descent>,
        loss: &Loss,
    ) -> Option<Self> {
        let chain = DenseChain::compile(network, layout)
            .ok()
            .filter(|chain| chain.is_piecewise_linear() && chain.slots().eq(layout.trained()))?;
        let descent = descent.filter(|descent| {
            descent.checkpoint_every.is_none() && descent.outer_gradient != OuterGradient::Difference
        })?;
        let Rates::One(rate) = descent.rates else { return None };
        let moves = |slot| descent.slots.contains(&slot);
        let moving = chain.layers().iter().map(|layer| [moves(layer.weight), moves(layer.bias)]).collect();
        let (steps, outer_gradient) = (descent.steps, descent.outer_gradient);
        Some(Self { loss: PlainLoss::of(loss)?, chain, steps, rate, outer_gradient, moving })
    }

    /// The query losses `[T]`, and each task's meta-gradient, `[T, P]`.
    ///
    /// # Errors
    /// When examples or labels are not of the network's form, or memory runs out.
    pub(crate) fn run(&self, params: &Params, episodes: &Episodes) -> Result<(Tensor, Tensor)> {
        let _off = no_grad();
        let tasks = episodes.support_x.size().first().copied().unwrap_or_default();
        let flat = |x: &Tensor| x.f_flatten(2, -1);
        let (support_x, query_x) = (flat(&episodes.support_x)?, flat(&episodes.query_x)?);
        let support = Labels::of(self.loss, &episodes.support_y, self.outputs(), params.kind())?;
        let query = Labels::of(self.loss, &episodes.query_y, self.outputs(), params.kind())?;
        let ones = |x: &Tensor| {
            let rows = x.size().get(1).copied().unwrap_or_default();
            Tensor::f_ones([tasks, 1, rows], (params.kind(), params.device()))
        };
        let (support_ones, query_ones) = (ones(&support_x)?, ones(&query_x)?);
        let mut layers = self.start(params, tasks)?;
        let mut steps = Vec::new();
        for _ in 0..self.steps {
            let trace = self.trace(layers, &support_x, &support)?;
            layers = self.next(&trace, &support_ones)?;
            if self.outer_gradient == OuterGradient::SecondOrder {
                steps.push(trace);
            }
        }
        let trace = self.trace(layers, &query_x, &query)?;
        let mut cotangent = Layers::new();
        for (delta, input) in trace.deltas.iter().zip(&trace.activations) {
            let weight = delta.f_transpose(1, 2)?.f_matmul(input)?;
            cotangent.push([weight, query_ones.f_matmul(delta)?]);
        }
        while let Some(step) = steps.pop() {
            cotangent = self.back(&step, cotangent, &support, &support_ones)?;
        }
        let rows = cotangent.iter().flatten().map(|leaf| leaf.f_reshape([tasks, -1]));
        let rows = Tensor::f_cat(&rows.collect::<std::result::Result<Vec<_>, _>>()?, 1)?;
        let predictions = trace.activations.last().ok_or_else(nothing)?;
        Ok((query.losses(predictions)?, rows))
    }

    fn outputs(&self) -> i64 {
        self.chain.outputs() as i64
    }

    /// The same parameters for each task: views.
    fn start(&self, params: &Params, tasks: i64) -> Result<Layers> {
        let layers = self.chain.layers().iter().map(|layer| {
            let weight = params.get(layer.weight)?.f_detach()?.f_unsqueeze(0)?;
            let bias = params.get(layer.bias)?.f_detach()?.f_reshape([1, 1, -1])?;
            let [o, i] = [layer.outputs as i64, layer.inputs as i64];
            Ok([weight.f_expand([tasks, o, i], false)?, bias.f_expand([tasks, 1, o], false)?])
        });
        layers.collect()
    }

    /// A pass forward and back to δ.
    fn trace(&self, layers: Layers, x: &Tensor, labels: &Labels) -> Result<Trace> {
        let mut activations = vec![x.shallow_clone()];
        for (layer, [weight, bias]) in self.chain.layers().iter().zip(&layers) {
            let input = activations.last().ok_or_else(nothing)?;
            let linear = baddbmm_scaled(bias, input, &weight.f_transpose(1, 2)?, 1.0)?;
            activations.push(layer.activation.apply_to(linear)?);
        }
        let mut cotangent = labels.cotangent(activations.last().ok_or_else(nothing)?)?;
        let mut deltas = Vec::with_capacity(layers.len());
        for (number, (layer, [weight, _])) in self.chain.layers().iter().zip(&layers).enumerate().rev() {
            let output = activations.get(number + 1).ok_or_else(nothing)?;
            let delta = layer.activation.mul_derivative(output, cotangent)?;
            cotangent = if number > 0 { delta.f_matmul(weight)? } else { delta.shallow_clone() };
            deltas.push(delta);
        }
        deltas.reverse();
        Ok(Trace { layers, activations, deltas })
    }

    /// `φ − α ∇L(φ)`.
    fn next(&self, trace: &Trace, ones: &Tensor) -> Result<Layers> {
        let parts = trace.layers.iter().zip(&self.moving).zip(trace.deltas.iter().zip(&trace.activations));
        let moved = parts.map(|(([weight, bias], moving), (delta, input))| {
            let less = -self.rate;
            let weight = match moving {
                [true, _] => baddbmm_scaled(weight, &delta.f_transpose(1, 2)?, input, less)?,
                _ => weight.shallow_clone(),
            };
            let bias = match moving {
                [_, true] => baddbmm_scaled(bias, ones, delta, less)?,
                _ => bias.shallow_clone(),
            };
            Ok([weight, bias])
        });
        moved.collect()
    }

    /// `λ − α H(φ) λ`, where only what moves enters the product.
    fn back(&self, trace: &Trace, along: Layers, labels: &Labels, ones: &Tensor) -> Result<Layers> {
        let less = -self.rate;
        let tangents = self.tangents(trace, &along)?;
        let (Some(Some(last)), Some(predictions)) = (tangents.last(), trace.activations.last()) else {
            return Ok(along);
        };
        let mut cotangent = labels.curvature(predictions, last)?;
        let mut found = Layers::with_capacity(along.len());
        for (number, (layer, [weight, bias])) in self.chain.layers().iter().zip(&along).enumerate().rev() {
            let (Some(output), Some(input)) =
                (trace.activations.get(number + 1), trace.activations.get(number))
            else {
                return Err(nothing());
            };
            let (Some(delta), Some([own, _]), Some([moves, _])) =
                (trace.deltas.get(number), trace.layers.get(number), self.moving.get(number))
            else {
                return Err(nothing());
            };
            let change = layer.activation.mul_derivative(output, cotangent)?;
            let mut next = baddbmm_scaled(weight, &change.f_transpose(1, 2)?, input, less)?;
            if let Some(Some(tangent)) = tangents.get(number) {
                next = baddbmm_scaled(&next, &delta.f_transpose(1, 2)?, tangent, less)?;
            }
            found.push([next, baddbmm_scaled(bias, ones, &change, less)?]);
            cotangent = match (number, moves) {
                (0, _) => change,
                (_, true) => baddbmm_scaled(&change.f_matmul(own)?, delta, weight, 1.0)?,
                (_, false) => change.f_matmul(own)?,
            };
        }
        found.reverse();
        Ok(found)
    }

    /// R of what goes into each layer, and of the predictions; nothing where it is 0.
    fn tangents(&self, trace: &Trace, along: &Layers) -> Result<Vec<Option<Tensor>>> {
        let mut tangents: Vec<Option<Tensor>> = vec![None];
        let parts = self.chain.layers().iter().zip(along).zip(&trace.layers).zip(&self.moving).enumerate();
        for (number, (((layer, [weight, bias]), [own, _]), [weight_moves, bias_moves])) in parts {
            let (Some(input), Some(output)) =
                (trace.activations.get(number), trace.activations.get(number + 1))
            else {
                return Err(nothing());
            };
            let mut sum = if *bias_moves { Some(bias.f_expand(output.size(), false)?) } else { None };
            let before = tangents.last().and_then(Option::as_ref);
            let products = [weight_moves.then_some((input, weight)), before.map(|before| (before, own))];
            for (rows, matrix) in products.into_iter().flatten() {
                let turned = matrix.f_transpose(1, 2)?;
                sum = Some(match sum {
                    None => rows.f_matmul(&turned)?,
                    Some(sum) => baddbmm_scaled(&sum, rows, &turned, 1.0)?,
                });
            }
            tangents.push(sum.map(|sum| layer.activation.mul_derivative(output, sum)).transpose()?);
        }
        Ok(tangents)
    }
}

fn nothing() -> Error {
    Error::Contract { aggregator: "meta-problem".into(), message: "a chain without layers".into() }
}

/// Labels with the weight of each: the mean over those that are there.
struct Labels {
    loss: PlainLoss,
    /// `[T, N, D]`; of classes, ones and zeros.
    values: Tensor,
    /// `[T, N, D]` or `[T, N, 1]`: one over the number of labels of the task, 0 where there is none.
    weights: Tensor,
}

impl Labels {
    fn of(loss: PlainLoss, y: &Tensor, outputs: i64, kind: Kind) -> Result<Self> {
        let there = present(y)?;
        let tasks = y.size().first().copied().unwrap_or_default();
        let marks = there.f_to_kind(kind)?;
        let count = marks
            .f_reshape([tasks, -1])?
            .f_sum_dim_intlist([1_i64].as_slice(), true, kind)?
            .f_clamp_min(1.0)?;
        let known = masked_fill(y, &there.f_logical_not()?, 0.0)?;
        let (values, weights) = if loss == PlainLoss::CrossEntropy {
            let numbers = Tensor::f_arange(outputs, (Kind::Int64, y.device()))?.f_reshape([1, 1, -1])?;
            (known.f_unsqueeze(2)?.f_eq_tensor(&numbers)?.f_to_kind(kind)?, marks.f_unsqueeze(2)?)
        } else {
            (known.f_to_kind(kind)?.f_flatten(2, -1)?, marks.f_flatten(2, -1)?)
        };
        Ok(Self { loss, values, weights: weights.f_div(&count.f_unsqueeze(2)?)? })
    }

    /// Each task's mean loss, `[T]`.
    fn losses(&self, predictions: &Tensor) -> Result<Tensor> {
        let kind = predictions.kind();
        let each = match self.loss {
            PlainLoss::Mse => predictions.f_sub(&self.values)?.f_square()?,
            PlainLoss::BinaryCrossEntropy => {
                // −ln σ(ŷ) y − ln(1 − σ(ŷ)) (1 − y) = −ln σ(ŷ) + ŷ (1 − y).
                let rest = predictions.f_mul(&self.values.f_neg()?.f_add_scalar(1.0)?)?;
                rest.f_sub(&predictions.f_log_sigmoid()?)?
            }
            PlainLoss::CrossEntropy => predictions.f_log_softmax(-1, kind)?.f_mul(&self.values)?.f_neg()?,
        };
        Ok(each.f_mul(&self.weights)?.f_sum_dim_intlist([1_i64, 2].as_slice(), false, kind)?)
    }

    /// The losses by the predictions.
    fn cotangent(&self, predictions: &Tensor) -> Result<Tensor> {
        let means = match self.loss {
            PlainLoss::Mse => {
                let gap = predictions.f_sub(&self.values)?;
                return Ok(gap.f_mul(&self.weights)?.f_mul_scalar(2.0)?);
            }
            PlainLoss::BinaryCrossEntropy => predictions.f_sigmoid()?,
            PlainLoss::CrossEntropy => predictions.f_softmax(-1, predictions.kind())?,
        };
        Ok(means.f_sub(&self.values)?.f_mul(&self.weights)?)
    }

    /// How [`Labels::cotangent`] changes along a change of the predictions.
    fn curvature(&self, predictions: &Tensor, along: &Tensor) -> Result<Tensor> {
        let weighted = along.f_mul(&self.weights)?;
        Ok(match self.loss {
            PlainLoss::Mse => weighted.f_mul_scalar(2.0)?,
            PlainLoss::BinaryCrossEntropy => {
                let mean = predictions.f_sigmoid()?;
                weighted.f_mul(&mean.f_sub(&mean.f_square()?)?)?
            }
            PlainLoss::CrossEntropy => {
                let shares = predictions.f_softmax(-1, predictions.kind())?;
                let part = shares.f_mul(&weighted)?;
                let sum = part.f_sum_dim_intlist([-1_i64].as_slice(), true, part.kind())?;
                part.f_sub(&shares.f_mul(&sum)?)?
            }
        })
    }
}

//! The trunk, forward and back, for one cotangent or for all tasks' at once.

use manytask_nn::dense::{DenseChain, DenseLayer};
use manytask_tensor::{Kind, Params, Tensor, no_grad};

use crate::Result;
use crate::multi_task::broken;

/// What comes out of each layer for rows `[B, i]`.
pub(super) fn forward(chain: &DenseChain, params: &Params, x: &Tensor) -> Result<Vec<Tensor>> {
    let _off = no_grad();
    let mut activations: Vec<Tensor> = Vec::with_capacity(chain.layers().len());
    for layer in chain.layers() {
        let input = activations.last().unwrap_or(x);
        let linear = input.f_linear(params.get(layer.weight)?, Some(params.get(layer.bias)?))?;
        activations.push(layer.activation.apply_to(linear)?);
    }
    Ok(activations)
}

/// Goes back from a cotangent of the representation, `[B, F]` or each task's, `[T, B, F]`: shows each layer's δ with what went into it,
/// last to first. `inputs` are what went into the layers, and the representation.
pub(super) fn backward(
    chain: &DenseChain,
    params: &Params,
    inputs: &[Tensor],
    mut cotangent: Tensor,
    mut see: impl FnMut(&DenseLayer, &Tensor, &Tensor) -> Result<()>,
) -> Result<()> {
    for (number, layer) in chain.layers().iter().enumerate().rev() {
        let (Some(input), Some(output)) = (inputs.get(number), inputs.get(number + 1)) else {
            return Err(broken("as many inputs as layers, and the representation"));
        };
        let delta = layer.activation.mul_derivative(output, cotangent)?;
        see(layer, &delta, input)?;
        cotangent = if number > 0 { delta.f_matmul(params.get(layer.weight)?)? } else { delta };
    }
    Ok(())
}

/// The inner products of the gradients `δᵢᵀ a` and `Σ δᵢ` of a layer, `[T, T]`, for δ `[T, B, o]` and a `[B, i]`, in double precision: of
/// the gradients themselves, or as `⟨δᵢ, (a aᵀ + 1) δⱼ⟩`, whichever takes fewer operations.
pub(super) fn gramian(delta: &Tensor, input: &Tensor) -> Result<Tensor> {
    let (tasks, rows, outputs) = delta.size3()?;
    let inputs = input.size().get(1).copied().unwrap_or_default();
    let (delta, input) = (delta.f_to_kind(Kind::Double)?, input.f_to_kind(Kind::Double)?);
    let flat = |x: &Tensor| x.f_reshape([tasks, -1]);
    let compact = rows * rows * (tasks * outputs + inputs) + tasks * tasks * rows * outputs;
    let gradients = (tasks * rows + tasks * tasks) * inputs * outputs;
    if compact <= gradients {
        let products = input.f_matmul(&input.f_tr()?)?.f_add_scalar(1.0)?;
        return Ok(flat(&delta)?.f_matmul(&flat(&products.f_matmul(&delta)?)?.f_tr()?)?);
    }
    let weights = flat(&delta.f_transpose(1, 2)?.f_matmul(&input)?)?;
    let biases = delta.f_sum_dim_intlist([1].as_slice(), false, Kind::Double)?;
    Ok(weights.f_matmul(&weights.f_tr()?)?.f_add(&biases.f_matmul(&biases.f_tr()?)?)?)
}

use manytask_tensor::{Tensor, masked_fill};

use crate::Result;

/// What a length is at least taken for, as PyTorch's `cosine_similarity`: of a vector of zeros the cosine is 0.
const SHORTEST: f64 = 1e-8;

/// Where rows of vectors have a label: none of its numbers is missing. Of the labels' shape without the last dimension.
pub(super) fn present(target: &Tensor) -> Result<Tensor> {
    Ok(target.f_isnan()?.f_any_dim(-1, false)?.f_logical_not()?)
}

/// `1 − cos` of the angle between rows, 0 where a label is missing.
pub(super) fn cosine_distance(prediction: &Tensor, target: &Tensor, missing: &Tensor) -> Result<Tensor> {
    let known = masked_fill(target, &missing.f_unsqueeze(-1)?.f_expand(target.size(), false)?, 0.0)?;
    let cosine = Tensor::f_cosine_similarity(prediction, &known, -1, SHORTEST)?;
    Ok(cosine.f_neg()?.f_add_scalar(1.0)?)
}

//! What architectures do between the stages of trunks.

use manytask_nn::{Context, Module};
use manytask_tensor::{Params, Tensor};

use crate::{Error, Result};

/// The widths of a trunk's stages, see [`Staged`](manytask_nn::Staged).
///
/// # Errors
/// When it has none; `architecture` is who asks.
pub(crate) fn stage_widths(architecture: &str, trunk: &dyn Module) -> Result<Vec<i64>> {
    match trunk.staged() {
        Some(staged) => Ok(staged.widths().to_vec()),
        None => Err(Error::setting(
            "trunk",
            format!("`{architecture}` with a trunk that has no stages"),
            "take one that is a sequence of layers, such as mlp with `hidden`, or conv4",
        )),
    }
}

/// What a stage of a trunk makes of the features before it, in the element type of the parameters.
///
/// # Errors
/// When there is no such stage, or the features do not fit.
pub(crate) fn run_stage(
    trunk: &dyn Module,
    stage: usize,
    params: &Params,
    x: &Tensor,
    cx: &mut Context,
) -> Result<Tensor> {
    let staged =
        trunk.staged().ok_or_else(|| Error::setting("trunk", "a trunk without stages", "take another"))?;
    Ok(staged.run(stage, params, x, cx)?.f_to_kind(params.kind())?)
}

/// Applies a function of rows `[N, C] → [N, C']` to the channels of features, `[B, C]` or `[B, C, H, W]`: of pictures, at each
/// pixel, as a 1 × 1 convolution.
///
/// # Errors
/// Those of the function.
pub(crate) fn per_channel(
    x: &Tensor,
    apply: impl FnOnce(&Tensor) -> manytask_nn::Result<Tensor>,
) -> manytask_nn::Result<Tensor> {
    if x.dim() <= 2 {
        return apply(x);
    }
    let last = x.f_movedim_int(1, -1)?;
    let mut shape = last.size();
    let rows = last.f_reshape([-1, shape.last().copied().unwrap_or(1)])?;
    let applied = apply(&rows)?;
    if let (Some(channels), Some(width)) = (shape.last_mut(), applied.size().last()) {
        *channels = *width;
    }
    Ok(applied.f_reshape(&shape)?.f_movedim_int(-1, 1)?)
}

/// Features of a stage in the size of those of another: pictures are averaged to the other's height and width, or over all pixels
/// where the other is rows.
///
/// # Errors
/// When rows are to become pictures.
pub(crate) fn pooled_like(x: &Tensor, other: &Tensor) -> Result<Tensor> {
    match (x.size().as_slice(), other.size().as_slice()) {
        (&[_, _, h, w], &[_, _, height, width]) if (h, w) == (height, width) => Ok(x.shallow_clone()),
        (&[_, _, _, _], &[_, _, height, width]) => Ok(x.f_adaptive_avg_pool2d([height, width])?),
        (&[_, _, _, _], &[_, _]) => Ok(x.f_mean_dim([2, 3].as_slice(), false, x.kind())?),
        (&[_, _], &[_, _]) => Ok(x.shallow_clone()),
        (own, other) => Err(Error::setting(
            "trunk",
            format!("features {own:?} where a stage gives {other:?}"),
            "take a trunk whose stages are pictures first and rows then",
        )),
    }
}

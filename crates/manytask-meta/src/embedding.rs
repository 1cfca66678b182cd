//! What learners share that compare embeddings: one form with and without a task dimension.

use manytask_multitask::{Error, Result};
use manytask_nn::loss::present;
use manytask_nn::metrics::Output;
use manytask_tensor::{Kind, Params, Tensor, WHOLE};

use crate::episode::Support;
use crate::shape::EpisodeShape;

/// The number of classes of the tasks.
///
/// # Errors
/// When they have none: with the learner's name.
pub(crate) fn classes(learner: &str, shape: &EpisodeShape) -> Result<i64> {
    if shape.output == Output::Multiclass { Ok(shape.outputs) } else { Err(without_classes(learner)) }
}

pub(crate) fn without_classes(learner: &str) -> Error {
    Error::setting(
        WHOLE,
        format!(
            "`{learner}` on tasks without classes: it tells classes apart, and these tasks predict values"
        ),
        "take tasks with classes, or another learner, e.g. `maml`",
    )
}

/// The embeddings of examples as `[T, N, D]`, with T = 1 where there is no task dimension: the `number`-th pass of the task.
pub(crate) fn embed(support: &Support<'_>, params: &Params, x: &Tensor, number: u64) -> Result<Tensor> {
    flat(&support.forward(support.network, params, x, number)?, support.tasks)
}

/// An embedding `[T, N, …]` or `[N, …]` as `[T, N, D]`, with T = 1 where there is no task dimension.
pub(crate) fn flat(embedding: &Tensor, tasks: Option<i64>) -> Result<Tensor> {
    let first = if tasks.is_some() { 2 } else { 1 };
    let embedding = if embedding.dim() > first + 1 {
        embedding.f_flatten(first as i64, -1)?
    } else {
        embedding.shallow_clone()
    };
    if embedding.dim() < first + 1 {
        return Err(Error::setting(
            WHOLE,
            format!("an embedding of shape {:?}", embedding.size()),
            "give a network with outputs [N, D]",
        ));
    }
    with_dimension(&embedding, tasks)
}

/// With a task dimension of 1 where there is none.
pub(crate) fn with_dimension(x: &Tensor, tasks: Option<i64>) -> Result<Tensor> {
    Ok(if tasks.is_some() { x.shallow_clone() } else { x.f_unsqueeze(0)? })
}

/// Without the task dimension that [`with_dimension`] added.
pub(crate) fn without_dimension(x: &Tensor, tasks: Option<i64>) -> Result<Tensor> {
    Ok(if tasks.is_some() { x.shallow_clone() } else { x.f_squeeze_dim(0)? })
}

/// Labels `[T?, N]` as `[T, N, C]` of 0 and 1; a row of zeros where the label is missing.
pub(crate) fn one_hot(
    learner: &str,
    labels: &Tensor,
    classes: i64,
    tasks: Option<i64>,
    kind: Kind,
) -> Result<Tensor> {
    let labels = with_dimension(labels, tasks)?;
    if labels.kind() != Kind::Int64 || labels.dim() != 2 {
        return Err(without_classes(learner));
    }
    let numbers = Tensor::f_arange(classes, (Kind::Int64, labels.device()))?.f_reshape([1, 1, classes])?;
    Ok(labels.f_unsqueeze(2)?.f_eq_tensor(&numbers)?.f_to_kind(kind)?)
}

/// Labels `[T, N, C]` (of classes 0 and 1, of regressions the values), and `[T, N, 1]` of 1 where they are there; a row of zeros
/// where one is missing.
pub(crate) fn targets(
    learner: &str,
    support: &Support<'_>,
    classes: Option<i64>,
    kind: Kind,
) -> Result<(Tensor, Tensor)> {
    if let Some(classes) = classes {
        let y = one_hot(learner, &support.y, classes, support.tasks, kind)?;
        let there = y.f_sum_dim_intlist([-1_i64].as_slice(), true, kind)?;
        return Ok((y, there));
    }
    let y = with_dimension(&support.y, support.tasks)?;
    let there = present(&y)?.f_all_dim(-1, true)?;
    let y = y.f_where_self(&there, &y.f_zeros_like()?)?;
    Ok((y, there.f_to_kind(kind)?))
}

/// Rows `[…, D]` scaled to length 1; a row of zeros stays one.
pub(crate) fn normalised(x: &Tensor) -> Result<Tensor> {
    /// Under the root, which has no derivative at 0.
    const TINY: f64 = 1e-12;
    let squares = x.f_square()?.f_sum_dim_intlist([-1_i64].as_slice(), true, x.kind())?;
    Ok(x.f_div(&squares.f_add_scalar(TINY)?.f_sqrt()?)?)
}

/// The mean embedding of each class `[T, C, D]`, of embeddings `[T, N, D]` and labels `[T, N, C]` of 0 and 1.
pub(crate) fn centroids(embeddings: &Tensor, members: &Tensor) -> Result<Tensor> {
    let members = members.f_transpose(1, 2)?;
    let counts = members.f_sum_dim_intlist([-1_i64].as_slice(), true, members.kind())?.f_clamp_min(1.0)?;
    Ok(members.f_div(&counts)?.f_matmul(embeddings)?)
}

/// `−‖q − c‖²` of queries `[T, M, D]` and points `[T, C, D]`, without their differences at once in memory:
/// `2 q·c − ‖q‖² − ‖c‖²`.
pub(crate) fn negative_squared_distances(queries: &Tensor, points: &Tensor) -> Result<Tensor> {
    let kind = queries.kind();
    let squared = |x: &Tensor| x.f_square()?.f_sum_dim_intlist([-1_i64].as_slice(), true, kind);
    let lengths = squared(queries)?.f_add(&squared(points)?.f_transpose(1, 2)?)?;
    let products = queries.f_matmul(&points.f_transpose(1, 2)?)?;
    Ok(products.f_add(&products)?.f_sub(&lengths)?)
}

//! What single tasks come to.

use manytask_multitask::Result;
use manytask_nn::metrics::Output;
use manytask_tensor::{Device, Kind, Tensor};

use crate::problem::Judge;

/// The kind of numbers that figures are taken in.
const KIND: Kind = Kind::Double;

/// A task after some steps of adaptation. Where a prediction is not finite the loss is NaN, and the figure means nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    pub(super) loss: f64,
    /// The mean squared error, or the accuracy.
    pub(super) figure: f64,
}

/// The figures of each task, for predictions and labels along a leading task dimension.
pub(super) fn figures(judge: &Judge, prediction: &Tensor, target: &Tensor) -> Result<Vec<Figures>> {
    let tasks = prediction.size().first().copied().unwrap_or_default();
    let losses = judge.loss.mean(prediction, target, None, Some(tasks))?;
    let of_task = |values: Tensor| -> Result<Vec<f64>> {
        Ok(Vec::<f64>::try_from(values.f_to_kind(KIND)?.f_to_device(Device::Cpu)?)?)
    };
    let figure = if judge.output == Output::Regression {
        prediction.f_sub(target)?.f_square()?
    } else {
        // The largest of numbers of which one is NaN is a class as well: such a task's loss tells it apart.
        prediction.f_argmax(-1, false)?.f_eq_tensor(target)?
    };
    let figure =
        figure.f_to_kind(KIND)?.f_reshape([tasks, -1])?.f_mean_dim([1_i64].as_slice(), false, KIND)?;
    let finite = prediction.f_isfinite()?.f_reshape([tasks, -1])?.f_all_dim(1, false)?;
    let all = of_task(losses)?.into_iter().zip(of_task(figure)?).zip(of_task(finite)?);
    let of = |((loss, figure), finite)| Figures { loss: if finite > 0.0 { loss } else { f64::NAN }, figure };
    Ok(all.map(of).collect())
}

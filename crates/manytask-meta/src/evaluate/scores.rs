//! What single tasks come to.

use manytask_multitask::Result;
use manytask_nn::metrics::{Metric, Output};
use manytask_tensor::{Device, Kind, Tensor};

use crate::embedding::with_dimension;
use crate::episode::Episode;
use crate::prediction::Prediction;
use crate::query_objective::QueryObjective;

/// The metric of distributions: the mean log-likelihood of a label.
pub(super) const LOG_LIKELIHOOD: &str = "log_likelihood";

/// A task after some steps of adaptation. Where a prediction is not finite the loss is NaN, and the metric means nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TaskScore {
    pub(super) loss: f64,
    /// The value of the metric.
    pub(super) metric: f64,
}

/// What values are judged by.
pub(super) fn primary(output: Output) -> Metric {
    if output == Output::Regression { Metric::Mse } else { Metric::Accuracy }
}

/// The metrics of each task. A task without any label has none, which its loss of NaN tells.
pub(super) fn scores(
    objective: &QueryObjective,
    prediction: &Prediction,
    episode: &Episode<'_>,
) -> Result<Vec<TaskScore>> {
    let tasks = episode.support.tasks;
    let losses = numbers(&objective.learner.query_losses(prediction, episode)?)?;
    let values = with_dimension(&prediction.values, tasks)?;
    let rows = [values.size().first().copied().unwrap_or_default(), -1];
    let mut finite = values.f_isfinite()?.f_reshape(rows)?.f_all_dim(1, false)?;
    if let Some(deviations) = &prediction.deviations {
        let there = with_dimension(deviations, tasks)?.f_isfinite()?.f_reshape(rows)?.f_all_dim(1, false)?;
        finite = finite.f_logical_and(&there)?;
    }
    let metrics = match prediction.log_likelihood(&episode.query_y, tasks)? {
        Some(likelihoods) => numbers(&likelihoods)?.into_iter().map(Some).collect(),
        None => of_metric(objective.output, &values, &with_dimension(&episode.query_y, tasks)?)?,
    };
    let all = losses.into_iter().zip(metrics).zip(numbers(&finite)?);
    let of = |((loss, metric), finite): ((f64, Option<f64>), f64)| match metric {
        Some(metric) if finite > 0.0 => TaskScore { loss, metric },
        _ => TaskScore { loss: f64::NAN, metric: f64::NAN },
    };
    Ok(all.map(of).collect())
}

/// The metric of each task, for predictions `[T, M, …]` and labels along the same dimension.
fn of_metric(output: Output, values: &Tensor, target: &Tensor) -> Result<Vec<Option<f64>>> {
    let (values, target) = (values.f_to_device(Device::Cpu)?, target.f_to_device(Device::Cpu)?);
    let tasks = values.size().first().copied().unwrap_or_default();
    let of = |task: i64| {
        let (values, target) = (values.f_select(0, task)?, target.f_select(0, task)?);
        Ok(primary(output).evaluate(output, &values, &target, None)?)
    };
    (0..tasks).map(of).collect()
}

fn numbers(values: &Tensor) -> Result<Vec<f64>> {
    let values = values.f_detach()?.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?;
    Ok(Vec::<f64>::try_from(values.f_reshape([-1])?)?)
}
